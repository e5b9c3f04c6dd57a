// The best split of a directed acyclic graph into contiguous parts, one a device.
//
// Idea       A plan is contiguous if devices can be put in a row so that data never flow back: what
//            lies on the first ones is then an ideal (with an item, all that it waits for), and so
//            is what lies on one more. From every ideal all larger ones are walked through by
//            adding item after item, as long as some device holds what was added within the best
//            load known: compute and memory only grow, so whoever is too heavy has no children.
//            Each is worth
//
//              best[larger][devices used + one] = min(max(best[ideal][devices used], load(added)))
//
//            Devices that are alike are a class; "devices used" counts how many of each class.
//            Ideals are met when they are needed, and left alone where what remains cannot be done
//            by the devices that remain. With a chain for a graph this is the linearised program.
// Guarantee  With all ideals looked at, no contiguous plan has a lower largest load. `step` returns
//            after so much work, so that who calls can watch a clock; it gives up, saying so, when
//            there are more ideals than it may remember.
// Layout     ideals: `words` 64-bit words each; children: offset and pairs (item, larger ideal).
// Paper      Tarnawski et al., NeurIPS 2020, section 5.1; the pruning is our own.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "acumen/placement/load_model.hpp"
#include "acumen/random.hpp"

namespace acumen::placement {

class IdealSplit {
 public:
  enum class State : std::uint8_t { kMore, kDone, kTooMany };

  /// `model` with one device a class, of which there are `count[class]`; edges (from[i], to[i]) say
  /// who waits for whom. Plans that are not better than `bound` are not looked for.
  IdealSplit(LoadModel model, std::vector<std::uint32_t> count,
             const std::vector<std::uint32_t>& from, const std::vector<std::uint32_t>& to,
             double bound, std::size_t ideals_max)
      : model_(std::move(model)), count_(std::move(count)), bound_(bound), ideals_max_(ideals_max) {
    model_.validate();
    prepare_classes();
    prepare_order(from, to);
    words_ = (model_.items + 63) / 64;
    table_.assign(1024, kNone);
    inside_.assign(model_.nets(), 0);
    scratch_.assign(words_, 0);
    work_.assign((model_.items + 1) * classes(), 0.0);
    layers_.resize(model_.items + 1);
    find(0);
    best_[0] = 0.0;
  }

  /// Looks at about `pairs` more pairs of ideals.
  State step(std::size_t pairs) {
    pairs_left_ = pairs;
    while (state_ == State::kMore && pairs_left_ > 0) {
      while (layer_ < layers_.size() && at_ == layers_[layer_].size()) {
        layers_[layer_].clear();
        ++layer_;
        at_ = 0;
      }
      if (layer_ == layers_.size()) {
        state_ = State::kDone;
      } else {
        grow_from(layers_[layer_][at_++]);
      }
    }
    return state_;
  }

  double bound() const { return bound_; }
  bool found() const { return goal_ != kNone; }
  std::size_t ideals() const { return hashes_.size(); }

  /// Which part every item is in, and the class of device of each part, first to last. Empty: no
  /// plan better than the bound given has been found.
  std::pair<std::vector<std::uint32_t>, std::vector<std::uint32_t>> plan() const {
    std::vector<std::uint32_t> part(model_.items, 0), kind;
    if (goal_ == kNone) return {{}, {}};
    std::uint32_t ideal = goal_, used = goal_used_;
    std::vector<std::uint32_t> chain{ideal};
    while (ideal != 0) {
      const std::size_t slot = ideal * used_sets_ + used;
      kind.push_back(via_[slot]);
      used -= stride_[via_[slot]];
      ideal = before_[slot];
      chain.push_back(ideal);
    }
    std::reverse(kind.begin(), kind.end());
    std::reverse(chain.begin(), chain.end());
    for (std::size_t p = 0; p + 1 < chain.size(); ++p)
      for (std::size_t i = 0; i < model_.items; ++i)
        if (holds(chain[p + 1], i) && !holds(chain[p], i)) part[i] = std::uint32_t(p);
    return {part, kind};
  }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  /// One ideal with more larger ones than this is one of too many, and `step` returns soon.
  static constexpr std::size_t kPairsOfOne = 300'000;
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  std::size_t classes() const { return model_.devices; }
  bool holds(std::uint32_t ideal, std::size_t item) const {
    return bits_[ideal * words_ + item / 64] >> (item % 64) & 1;
  }

  void prepare_classes() {
    if (count_.size() != classes()) throw std::invalid_argument("one count a class");
    if (classes() > 256) throw std::invalid_argument("too many kinds of device");  // see via_
    used_sets_ = 1;
    for (const std::uint32_t n : count_) {
      stride_.push_back(std::uint32_t(used_sets_));
      used_sets_ *= n + 1;
      if (n > 65535 || used_sets_ > 65536) throw std::invalid_argument("too many kinds of device");
    }
    // What an item is worth to a class: the most of the first class's work done in a second of it.
    rate_.assign(classes(), 0.0);
    for (std::size_t c = 0; c < classes(); ++c) {
      for (std::size_t i = 0; i < model_.items; ++i) {
        const double own = model_.at(c, i), base = base_work(i);
        if (base > 0 && own < kNever) rate_[c] = std::max(rate_[c], own > 0 ? base / own : kNever);
      }
    }
    for (std::size_t i = 0; i < model_.items; ++i) all_work_ += base_work(i);
    for (std::uint32_t u = 0; u < used_sets_; ++u) {
      double rate = 0.0;
      for (std::size_t c = 0; c < classes(); ++c)
        if (left(u, c) > 0) rate += rate_[c] > 0 ? left(u, c) * rate_[c] : 0.0;
      rest_rate_.push_back(rate);
    }
  }

  double base_work(std::size_t item) const {
    const double work = model_.at(0, item);
    return work < kNever ? work : 0.0;
  }
  std::uint32_t left(std::uint32_t used, std::size_t c) const {
    return count_[c] - used / stride_[c] % (count_[c] + 1);
  }

  void prepare_order(const std::vector<std::uint32_t>& from, const std::vector<std::uint32_t>& to) {
    if (from.size() != to.size()) throw std::invalid_argument("an edge has two ends");
    before_start_.assign(model_.items + 1, 0);
    for (std::size_t e = 0; e < from.size(); ++e) {
      if (from[e] >= model_.items || to[e] >= model_.items || from[e] == to[e])
        throw std::invalid_argument("an edge joins two different items");
      ++before_start_[to[e] + 1];
    }
    for (std::size_t i = 0; i < model_.items; ++i) before_start_[i + 1] += before_start_[i];
    before_item_.resize(from.size());
    std::vector<std::uint32_t> next(before_start_.begin(), before_start_.end() - 1);
    for (std::size_t e = 0; e < from.size(); ++e) before_item_[next[to[e]]++] = from[e];
  }

  /// The number of the ideal in `scratch_`, which has `hash`; a new one if it is not known.
  std::uint32_t find(std::uint64_t hash) {
    std::size_t mask = table_.size() - 1, slot = mix64(hash) & mask;
    for (; table_[slot] != kNone; slot = (slot + 1) & mask) {
      const std::uint32_t id = table_[slot];
      if (hashes_[id] == hash &&
          std::equal(scratch_.begin(), scratch_.end(), bits_.begin() + id * words_))
        return id;
    }
    const auto id = std::uint32_t(hashes_.size());
    table_[slot] = id;
    hashes_.push_back(hash);
    bits_.insert(bits_.end(), scratch_.begin(), scratch_.end());
    seen_.push_back(kNone);
    children_.push_back({0, 0});
    waiting_.push_back(0);
    best_.resize(best_.size() + used_sets_, kNever);
    before_.resize(best_.size(), 0);
    via_.resize(best_.size(), 0);
    std::size_t size = 0;
    for (const std::uint64_t word : scratch_) size += std::size_t(std::popcount(word));
    size_.push_back(std::uint32_t(size));
    if (id == 0) layers_[0].push_back(0);
    if (hashes_.size() * 2 > table_.size()) rehash();
    return id;
  }

  void rehash() {
    table_.assign(table_.size() * 2, kNone);
    const std::size_t mask = table_.size() - 1;
    for (std::uint32_t id = 0; id < hashes_.size(); ++id) {
      std::size_t slot = mix64(hashes_[id]) & mask;
      while (table_[slot] != kNone) slot = (slot + 1) & mask;
      table_[slot] = id;
    }
  }

  /// Which items can be added to an ideal, and what it is then.
  void list_children(std::uint32_t ideal) {
    const std::size_t first = child_item_.size();
    std::copy_n(bits_.begin() + ideal * words_, words_, scratch_.begin());
    for (std::uint32_t i = 0; i < model_.items; ++i) {
      if (scratch_[i / 64] >> (i % 64) & 1) continue;
      bool free = true;
      for (std::uint32_t b = before_start_[i]; free && b < before_start_[i + 1]; ++b)
        free = scratch_[before_item_[b] / 64] >> (before_item_[b] % 64) & 1;
      if (free) child_item_.push_back(i);
    }
    const std::uint64_t hash = hashes_[ideal];
    for (std::size_t k = first; k < child_item_.size(); ++k) {
      const std::uint32_t i = child_item_[k];
      scratch_[i / 64] ^= 1ULL << (i % 64);
      child_ideal_.push_back(find(hash ^ mix64(i + 1)));
      scratch_[i / 64] ^= 1ULL << (i % 64);
    }
    children_[ideal] = {first, child_item_.size()};
    if (hashes_.size() > ideals_max_) state_ = State::kTooMany;
  }

  void grow_from(std::uint32_t ideal) {
    double done = 0.0;
    for (std::size_t i = 0; i < model_.items; ++i)
      if (holds(ideal, i)) done += base_work(i);
    useful_.clear();
    for (std::uint32_t u = 0; u < used_sets_; ++u) {
      const double value = best_[ideal * used_sets_ + u];
      const double can = rest_rate_[u] > 0 ? rest_rate_[u] * bound_ : 0.0;  // no 0 x infinity
      if (value < bound_ && (all_work_ - done) * (1 - 1e-9) <= can + 1e-9 * all_work_)
        useful_.push_back({u, value});
    }
    if (useful_.empty()) return;
    seen_[ideal] = ideal;
    root_left_ = kPairsOfOne;
    walk(ideal, ideal, 0, 0.0, 0.0);
  }

  /// Looks at all ideals one item larger than `ideal`, and on from there; `bytes` and `comm` are
  /// what has been added to `root` keeps and copies.
  void walk(std::uint32_t root, std::uint32_t ideal, std::size_t depth, double bytes, double comm) {
    if (children_[ideal].second == 0) list_children(ideal);
    const auto [first, last] = children_[ideal];
    const double* work = work_.data() + depth * classes();
    double* grown = work_.data() + (depth + 1) * classes();
    for (std::size_t k = first; k < last && state_ == State::kMore; ++k) {
      const std::uint32_t item = child_item_[k], larger = child_ideal_[k];
      if (seen_[larger] == root) continue;
      seen_[larger] = root;
      if (pairs_left_ > 0) --pairs_left_;
      if (--root_left_ == 0) state_ = State::kTooMany;
      for (std::size_t c = 0; c < classes(); ++c) grown[c] = work[c] + model_.at(c, item);
      const double copies = comm + toggle(item, 1);
      if (offer(root, larger, grown, bytes + model_.bytes[item], copies))
        walk(root, larger, depth + 1, bytes + model_.bytes[item], copies);
      toggle(item, -1);
    }
  }

  /// Adds an item to the part or takes it out; by how much copying becomes more.
  double toggle(std::uint32_t item, int sign) {
    double more = 0.0;
    for (std::uint32_t k = model_.item_start[item]; k < model_.item_start[item + 1]; ++k) {
      const std::uint32_t t = model_.item_nets[k], size = model_.start[t + 1] - model_.start[t];
      const bool cut = inside_[t] > 0 && inside_[t] < size;
      inside_[t] += std::uint32_t(sign);
      const bool now = inside_[t] > 0 && inside_[t] < size;
      if (now != cut) more += now ? model_.copy[t] : -model_.copy[t];
    }
    return more;
  }

  /// Gives what was added to a device of each class; whether one of them can bear more.
  bool offer(std::uint32_t root, std::uint32_t larger, const double* work, double bytes,
             double copies) {
    bool bearable = false;
    const bool whole = size_[larger] == model_.items;
    for (std::size_t c = 0; c < classes(); ++c) {
      if (!(work[c] < bound_) || bytes > model_.limit[c]) continue;
      bearable = true;
      const double load = work[c] + (model_.pays[c] ? std::max(copies, 0.0) : 0.0);
      if (!(load < bound_)) continue;
      for (const auto& [used, value] : useful_) {
        if (left(used, c) == 0) continue;
        const std::uint32_t then = used + stride_[c];
        const std::size_t slot = std::size_t(larger) * used_sets_ + then;
        const double worst = std::max(value, load);
        if (!(worst < best_[slot])) continue;
        best_[slot] = worst;
        before_[slot] = root;
        via_[slot] = std::uint8_t(c);
        if (!waiting_[larger]) {
          waiting_[larger] = 1;
          layers_[size_[larger]].push_back(larger);
        }
        if (whole && worst < bound_) {
          bound_ = worst;
          goal_ = larger;
          goal_used_ = then;
        }
      }
    }
    return bearable;
  }

  LoadModel model_;
  std::vector<std::uint32_t> count_;
  double bound_;
  std::size_t ideals_max_;
  State state_ = State::kMore;

  // Of the classes: what a step in `used` is, what a class does at most, and what those left do.
  std::vector<std::uint32_t> stride_;
  std::size_t used_sets_ = 1;
  std::vector<double> rate_, rest_rate_;
  double all_work_ = 0.0;

  std::vector<std::uint32_t> before_start_, before_item_;  // whom an item waits for

  // Of the ideals.
  std::size_t words_ = 0;
  std::vector<std::uint64_t> bits_, hashes_;
  std::vector<std::uint32_t> table_, size_, seen_;
  std::vector<std::pair<std::size_t, std::size_t>> children_;
  std::vector<std::uint32_t> child_item_, child_ideal_;
  std::vector<std::uint8_t> waiting_;
  std::vector<double> best_;  // by ideal and by devices used
  std::vector<std::uint32_t> before_;
  std::vector<std::uint8_t> via_;
  std::vector<std::vector<std::uint32_t>> layers_;  // ideals of so many items that wait
  std::size_t layer_ = 0, at_ = 0;

  // Of the walk.
  std::vector<std::uint64_t> scratch_;
  std::vector<std::uint32_t> inside_;  // how many pins of a net have been added
  std::vector<double> work_;           // by depth and by class
  std::vector<std::pair<std::uint32_t, double>> useful_;
  std::size_t pairs_left_ = 0, root_left_ = 0;

  std::uint32_t goal_ = kNone, goal_used_ = 0;
};

}  // namespace acumen::placement
