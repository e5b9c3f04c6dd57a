// The dearest set of items that one device can bear: pricing for bounds of a pipeline's load.
//
// Idea       Items have prices; a set is busy for its seconds and for copying every net that it
//            cuts. Graphs of programs are long and narrow, so items are looked at one after the
//            other, in an order in which few nets are open (have pins before and behind):
//
//              state  = what is known of each open net: all its pins so far are out, in, or both
//              label  = (load, price, bytes) of one way to get to a state
//
//            Labels that another of the same state beats in everything are dropped, and so are
//            those that cannot get above the best set known: what remains is worth at most
//            multiplier · (load left) + the best unconstrained rest, which a pass backwards over
//            all states yields exactly. The multiplier is that of the Lagrangian dual; its paths
//            also yield the first good set, and completions of labels yield better ones. Where
//            there are too many labels, one item is fixed to be in, then to be out.
// Guarantee  No set within the load, and the bytes, is dearer than what `search` says; the set
//            that it finds is within both, up to rounding.
// Layout     States of all positions one after the other; a row each: where both choices lead and
//            what copying they add. Labels of all positions, with the label each came from.
// Paper      Bertele & Brioschi, "Nonserial Dynamic Programming", 1972; Handler & Zang, "A dual
//            algorithm for the constrained shortest path problem", Networks 1980.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "acumen/placement/load_model.hpp"

namespace acumen::placement {

class DearestSet {
 public:
  /// `model` is of one device. `small()` is false if there are more than `states_max` states, or if
  /// it would take too long to find an order.
  DearestSet(LoadModel model, std::size_t states_max) : model_(std::move(model)) {
    model_.validate();
    if (model_.devices != 1) throw std::invalid_argument("one device has one dearest set");
    if (model_.pays[0] == 0) {  // nets cost nothing then
      model_.start.assign(1, 0);
      model_.pins.clear();
      model_.copy.clear();
      model_.validate();
    }
    double bytes = 0.0;
    for (const double one : model_.bytes) bytes += one;
    limited_ = bytes > model_.limit[0];
    if (choose_order()) list_states(states_max);
  }

  bool small() const { return small_; }
  std::size_t states() const { return rows_.size(); }
  /// Of the last search: by these its time goes.
  std::size_t branchings() const { return branchings_; }

  /// What a set of a load of at most `load` costs at most. It may be too much by a part of `gap`;
  /// by more if there would have to be more than `nodes_max` branchings.
  double search(const std::vector<double>& prices, double load, double gap, std::size_t nodes_max) {
    if (!small_) throw std::invalid_argument("there are too many states");
    if (prices.size() != model_.items) throw std::invalid_argument("one price an item");
    for (const double price : prices)
      if (!(price >= 0 && price <= kCostMax)) throw std::invalid_argument("no such price");
    if (!(load >= 0 && load <= kCostMax && gap >= 0)) throw std::invalid_argument("no such load");
    price_ = prices;
    load_ = load;
    best_ = 0.0;
    chosen_.assign(model_.items, 0);
    fixed_.assign(model_.items, kFree);
    left_open_ = 0.0;
    nodes_left_ = nodes_max;
    const double dual = branch(gap);
    branchings_ = nodes_max - nodes_left_;
    return std::min(dual, std::max(best_ * (1 + gap), left_open_));
  }

  /// The dearest set found, 1 for each item in it.
  const std::vector<std::uint8_t>& chosen() const { return chosen_; }

 private:
  static constexpr double kNever = -std::numeric_limits<double>::infinity();
  static constexpr std::uint32_t kNone = UINT32_MAX;
  static constexpr std::uint8_t kFree = 0, kIn = 1, kOut = 2;

  struct Row {
    std::uint32_t to[2];  ///< the state behind, if the item is out or in
    double copies[2];     ///< seconds of copying that this adds
  };
  struct Rest {  ///< the best unconstrained rest from a state on
    double value, load, bytes;
  };
  struct Label {
    double load, price, bytes;
    std::uint32_t state, from;  ///< `from`: in the trail
  };
  struct Path {
    double price, load, bytes;
    std::vector<std::uint8_t> chosen;
  };

  std::size_t size_of(std::uint32_t net) const { return model_.start[net + 1] - model_.start[net]; }

  /// From a few items on, always the item that opens the fewest nets more than it closes. False: no
  /// order was found in which as few nets are open as a state has room for.
  bool choose_order() {
    double least = std::numeric_limits<double>::infinity();
    const std::size_t stride = std::max<std::size_t>(1, model_.items / 12);
    std::size_t looks_left = kOrderLooks;
    for (std::size_t first = 0; first < model_.items; first += stride) {
      double states = 0.0;
      auto order = grow_order(std::uint32_t(first), states, looks_left);
      if (states >= least || order.size() < model_.items) continue;
      least = states;
      order_ = std::move(order);
    }
    return !order_.empty();
  }

  /// Ends early where no good order begins: with too many open nets, or after too many looks.
  std::vector<std::uint32_t> grow_order(std::uint32_t first, double& states,
                                        std::size_t& looks_left) const {
    std::vector<std::uint32_t> order, left(model_.nets()), near{first};
    std::vector<std::uint8_t> seen(model_.items, 0);
    for (std::uint32_t t = 0; t < model_.nets(); ++t) left[t] = std::uint32_t(size_of(t));
    seen[first] = 1;
    std::uint32_t unseen = 0;
    int open = 0;
    while (order.size() < model_.items && open <= int(kOpenMax)) {
      if (near.size() >= looks_left) {
        looks_left = 0;
        break;
      }
      looks_left -= near.size();
      if (near.empty()) {
        while (seen[unseen]) ++unseen;
        seen[unseen] = 1;
        near.push_back(unseen);
      }
      std::size_t at = 0;
      int least = INT32_MAX;
      for (std::size_t k = 0; k < near.size(); ++k) {
        const int more = opens(near[k], left);
        if (more < least || (more == least && near[k] < near[at])) {
          least = more;
          at = k;
        }
      }
      const std::uint32_t item = near[at];
      near[at] = near.back();
      near.pop_back();
      order.push_back(item);
      open += least;
      states += std::pow(3.0, open);
      for (std::uint32_t k = model_.item_start[item]; k < model_.item_start[item + 1]; ++k) {
        const std::uint32_t t = model_.item_nets[k];
        if (left[t]-- < size_of(t)) continue;  // its pins are near already
        for (std::uint32_t p = model_.start[t]; p < model_.start[t + 1]; ++p) {
          if (seen[model_.pins[p]]) continue;
          seen[model_.pins[p]] = 1;
          near.push_back(model_.pins[p]);
        }
      }
    }
    return order;
  }

  int opens(std::uint32_t item, const std::vector<std::uint32_t>& left) const {
    int more = 0;
    for (std::uint32_t k = model_.item_start[item]; k < model_.item_start[item + 1]; ++k) {
      const std::uint32_t t = model_.item_nets[k];
      more += (left[t] == size_of(t) && left[t] > 1) - (left[t] == 1 && size_of(t) > 1);
    }
    return more;
  }

  /// Two bits a net that is open: 0, 1: all pins so far are out, in; 2: both.
  void list_states(std::size_t states_max) {
    std::vector<std::uint32_t> left(model_.nets()), slot(model_.nets(), kNone);
    for (std::uint32_t t = 0; t < model_.nets(); ++t) left[t] = std::uint32_t(size_of(t));
    std::vector<std::uint32_t> free;
    for (std::uint32_t k = kOpenMax; k > 0; --k) free.push_back(k - 1);
    std::vector<std::uint64_t> keys{0}, then, next;
    for (const std::uint32_t item : order_) {
      const std::size_t first = rows_.size();
      offset_.push_back(first);
      if (first + keys.size() > states_max) return;
      rows_.resize(first + keys.size(), Row{{0, 0}, {0.0, 0.0}});
      then.resize(2 * keys.size());
      for (std::size_t s = 0; s < keys.size(); ++s) then[2 * s] = then[2 * s + 1] = keys[s];
      for (std::uint32_t k = model_.item_start[item]; k < model_.item_start[item + 1]; ++k) {
        const std::uint32_t t = model_.item_nets[k];
        if (size_of(t) < 2) continue;
        const bool opening = slot[t] == kNone, closing = --left[t] == 0;
        if (opening) {
          if (free.empty()) return;
          slot[t] = free.back();
          free.pop_back();
        }
        const std::uint32_t shift = 2 * slot[t];
        for (std::size_t c = 0; c < then.size(); ++c) {
          const std::uint64_t in = c % 2, was = opening ? in : then[c] >> shift & 3;
          const bool cut = was != in && was != 2;
          if (cut) rows_[first + c / 2].copies[in] += model_.copy[t];
          const std::uint64_t now = closing ? 0 : cut ? 2 : was;
          then[c] = (then[c] & ~(3ULL << shift)) | now << shift;
        }
        if (closing) free.push_back(slot[t]);
      }
      next = then;
      std::sort(next.begin(), next.end());
      next.erase(std::unique(next.begin(), next.end()), next.end());
      for (std::size_t c = 0; c < then.size(); ++c)
        rows_[first + c / 2].to[c % 2] =
            std::uint32_t(std::lower_bound(next.begin(), next.end(), then[c]) - next.begin());
      keys.swap(next);
    }
    offset_.push_back(rows_.size());
    small_ = true;
  }

  bool may_be_in(std::uint32_t item) const {
    return fixed_[item] != kOut && model_.seconds[item] <= load_ &&
           model_.bytes[item] <= model_.limit[0];
  }
  bool may_be_out(std::uint32_t item) const { return fixed_[item] != kIn; }

  /// Looks for sets that are dearer than `best_` by a part of `gap`, if items are fixed as they
  /// are; what no such set can cost more than.
  double branch(double gap) {
    Path over, under;
    const double dual = find_multiplier(over, under);
    if (dual <= best_ * (1 + gap) || extend_labels(gap)) return dual;
    std::uint32_t item = kNone;  // the longest one about which the two paths differ
    for (std::uint32_t i = 0; i < model_.items; ++i) {
      if (over.chosen[i] == under.chosen[i] || fixed_[i] != kFree) continue;
      if (item == kNone || model_.seconds[i] > model_.seconds[item]) item = i;
    }
    if (nodes_left_ == 0 || item == kNone) {
      left_open_ = std::max(left_open_, dual);
      return dual;
    }
    --nodes_left_;
    for (const std::uint8_t choice : {kIn, kOut}) {
      fixed_[item] = choice;
      branch(gap);
    }
    fixed_[item] = kFree;
    return dual;
  }

  /// The best rest from every state on if a second of load costs `multiplier`; from the start on.
  Path solve_relaxed(double multiplier) {
    rest_.resize(rows_.size() + 1);
    rest_.back() = {0.0, 0.0, 0.0};
    for (std::size_t p = order_.size(); p-- > 0;) {
      const std::uint32_t item = order_[p];
      const bool may_in = may_be_in(item), may_out = may_be_out(item);
      for (std::size_t s = offset_[p]; s < offset_[p + 1]; ++s) {
        const Row& row = rows_[s];
        rest_[s] = {kNever, 0.0, 0.0};
        if (may_out) {
          const Rest& rest = rest_[offset_[p + 1] + row.to[0]];
          rest_[s] = {rest.value - multiplier * row.copies[0], rest.load + row.copies[0],
                      rest.bytes};
        }
        if (!may_in) continue;
        const Rest& rest = rest_[offset_[p + 1] + row.to[1]];
        const double adds = model_.seconds[item] + row.copies[1];
        const double value = rest.value + price_[item] - multiplier * adds;
        if (value > rest_[s].value)
          rest_[s] = {value, rest.load + adds, rest.bytes + model_.bytes[item]};
      }
    }
    Path path{rest_[0].value + multiplier * rest_[0].load, rest_[0].load, rest_[0].bytes, {}};
    path.chosen.assign(model_.items, 0);
    follow(0, 0, multiplier, path.chosen);
    return path;
  }

  /// Writes down the best rest from a state at a position on.
  void follow(std::size_t p, std::uint32_t state, double multiplier,
              std::vector<std::uint8_t>& chosen) const {
    for (; p < order_.size(); ++p) {
      const std::uint32_t item = order_[p];
      const Row& row = rows_[offset_[p] + state];
      bool in = may_be_in(item);
      if (in && may_be_out(item)) {
        const double out = rest_[offset_[p + 1] + row.to[0]].value - multiplier * row.copies[0];
        const double adds = model_.seconds[item] + row.copies[1];
        in = rest_[offset_[p + 1] + row.to[1]].value + price_[item] - multiplier * adds > out;
      }
      chosen[item] = in;
      state = row.to[in];
    }
  }

  /// The multiplier of the least Lagrangian bound, nearly, and that bound; `best_` becomes the
  /// dearest set within the limits that was met.
  double find_multiplier(Path& over, Path& under) {
    multiplier_ = 0.0;
    over = under = solve_relaxed(0.0);
    double dual = over.price;
    if (!(dual > best_)) return dual;  // nothing, if an item cannot be as it is fixed
    offer(over);
    if (over.load <= load_) return dual;
    const auto relax = [&](double multiplier) {
      Path path = solve_relaxed(multiplier);
      offer(path);
      const double value = rest_[0].value + multiplier * load_;
      if (value < dual) {
        dual = value;
        multiplier_ = multiplier;
      }
      return path;
    };
    under = relax(over.price / (1e-6 * load_ + 1e-12 * over.load));
    for (int turn = 0; turn < kTurns && under.load <= load_; ++turn) {
      const double slope = (over.price - under.price) / (over.load - under.load);
      if (!(slope > 0) || !std::isfinite(slope)) break;
      const double line = under.price - slope * under.load;
      Path path = relax(slope);
      if (rest_[0].value <= line + 1e-9 * (std::abs(line) + over.price)) break;
      (path.load > load_ ? over : under) = std::move(path);
    }
    solve_relaxed(multiplier_);
    return dual;
  }

  void offer(const Path& path) {
    if (path.load > load_ || path.bytes > model_.limit[0] || path.price <= best_) return;
    best_ = path.price;
    chosen_ = path.chosen;
  }

  /// Whether all that could be dearer than `best_` by a part of `gap` has been looked at. No more
  /// than `kBeam` labels go on from any position, those that may become the dearest.
  bool extend_labels(double gap) {
    trail_.clear();
    std::vector<Label> labels{{0.0, 0.0, 0.0, 0, kNone}}, next;
    std::size_t at = 0;  // where the best set leaves the labels
    std::uint32_t state = 0, from = kNone;
    bool better = false, whole = true;
    for (std::size_t p = 0; p < order_.size() && !labels.empty(); ++p) {
      const std::uint32_t item = order_[p];
      next.clear();
      for (const Label& label : labels) {
        const Row& row = rows_[offset_[p] + label.state];
        for (std::uint32_t in = 0; in < 2; ++in) {
          if (in ? !may_be_in(item) : !may_be_out(item)) continue;
          Label then{label.load + row.copies[in], label.price, label.bytes, row.to[in], 0};
          if (in) {
            then.load += model_.seconds[item];
            then.price += price_[item];
            then.bytes += model_.bytes[item];
          }
          if (then.load > load_ || then.bytes > model_.limit[0]) continue;
          const Rest& rest = rest_[offset_[p + 1] + then.state];
          if (then.price + rest.value + multiplier_ * (load_ - then.load) <= best_ * (1 + gap))
            continue;
          then.from = std::uint32_t(trail_.size());
          trail_.push_back({label.from, in});
          next.push_back(then);
          const double price = then.price + rest.value + multiplier_ * rest.load;
          if (price > best_ && then.load + rest.load <= load_ &&
              then.bytes + rest.bytes <= model_.limit[0]) {
            best_ = price;
            better = true;
            at = p + 1;
            state = then.state;
            from = then.from;
          }
        }
      }
      keep_undominated(next);
      labels.swap(next);
      whole &= keep_promising(labels, p + 1);
    }
    if (better) {
      follow(at, state, multiplier_, chosen_);
      for (; at > 0; --at, from = trail_[from].first)
        chosen_[order_[at - 1]] = std::uint8_t(trail_[from].second);
    }
    return whole;
  }

  /// Drops the labels that are worth least if there are more than `kBeam`; whether there are not.
  bool keep_promising(std::vector<Label>& labels, std::size_t p) const {
    if (labels.size() <= kBeam) return true;
    const auto worth = [&](const Label& one) {
      return one.price + rest_[offset_[p] + one.state].value - multiplier_ * one.load;
    };
    std::nth_element(labels.begin(), labels.begin() + std::ptrdiff_t(kBeam), labels.end(),
                     [&](const Label& a, const Label& b) { return worth(a) > worth(b); });
    labels.resize(kBeam);
    return false;
  }

  /// Of the labels of each state those that no other one beats.
  void keep_undominated(std::vector<Label>& labels) const {
    std::sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) {
      if (a.state != b.state) return a.state < b.state;
      if (a.load != b.load) return a.load < b.load;
      if (a.price != b.price) return a.price > b.price;
      return a.bytes < b.bytes;
    });
    std::size_t kept = 0, first = 0;
    for (const Label& label : labels) {
      if (kept == first || labels[kept - 1].state != label.state) first = kept;
      bool beaten = false;
      if (!limited_) {
        beaten = kept > first && labels[kept - 1].price >= label.price;
      } else {
        const std::size_t back = std::max(first + kLooks, kept) - kLooks;
        for (std::size_t k = kept; k > back && !beaten; --k)
          beaten = labels[k - 1].price >= label.price && labels[k - 1].bytes <= label.bytes;
      }
      if (!beaten) labels[kept++] = label;
    }
    labels.resize(kept);
  }

  static constexpr std::uint32_t kOpenMax = 32;  ///< two bits each of a state's 64
  /// At items that could be the next one; a look takes some ten nanoseconds.
  static constexpr std::size_t kOrderLooks = 100'000'000;
  static constexpr int kTurns = 30;
  static constexpr std::size_t kBeam = 300;
  static constexpr std::size_t kLooks = 64;  ///< at labels before; all would be a square of them

  LoadModel model_;
  bool limited_ = false, small_ = false;
  std::vector<std::uint32_t> order_;
  std::vector<std::size_t> offset_;  // of each position's states
  std::vector<Row> rows_;
  // The search.
  std::vector<double> price_;
  double load_ = 0.0, multiplier_ = 0.0, best_ = 0.0, left_open_ = 0.0;
  std::size_t nodes_left_ = 0, branchings_ = 0;
  std::vector<std::uint8_t> fixed_;
  std::vector<Rest> rest_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> trail_;  // from which label, and the choice
  std::vector<std::uint8_t> chosen_;
};

}  // namespace acumen::placement
