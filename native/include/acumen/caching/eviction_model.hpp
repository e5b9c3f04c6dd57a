// Eviction model: life tables per class of objects, and the Gittins index that follows from them.
//
// Idea.  Whether to keep an object is a question about its next request: at its age, how likely is
// reuse, and how much time in the cache would waiting for it cost?  For each class the model counts
// at which ages objects were requested again (returned) or lost from sight (ended), and how old
// those are that still wait (running).  An actuary's life table makes hazards of that: returned /
// at risk, where half of those who left a bin without return count as at risk in it.  So waiting
// objects speak before they return, and long gaps are not underrated because they take long.
// Classes with little data borrow from their parents (same level and gap, same level, all; who was
// requested often is expected back sooner).
//
// The Gittins index of an object, max over T of P(reuse within T) / E[time held until reuse or T],
// is the best rate of hits per unit of space and time that keeping it can earn.  It sees a loop's
// far peak (keep the old, drop the new) as well as a decaying hazard (drop the old), which neither
// hit probability nor density at a fixed horizon does.
//
// Guarantee.  Memory is fixed by reset(): 5 bytes a class and age bin.  Counts never overflow.
// fit() allocates nothing and takes time linear in the tables.
//
// Layout.  Row-major [class][bin]; bin 0 = ages [0, C/32), then half octaves up to 128 C.
//     returned_, ended_   uint16, floating counts: 11 bits of mantissa, 5 of exponent (Count)
//     index_              uint8, 16 steps an octave of index * C, 160 = one hit per C requests
//
// Paper: Gittins, "Bandit processes and dynamic allocation indices" (JRSS B 1979); hazards as in
// LHD (Beckmann et al., NSDI 2018); approximate counting is Morris (CACM 1978).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "acumen/caching/object_classes.hpp"

namespace acumen::caching {

// Constants of the model; all relative to the cache's size or to one object, none to a workload.
struct EvictionTuning {
  float prior_hazard = 0.12f;    // of reuse within any half octave of age, before any data
  float often_factor = 3;        // of that, for objects requested three times or more
  float shrink_objects = 100;    // weight of a parent's hazard, in objects at risk
  float bypass_margin = 64;      // in 1/64 octaves: how far a newcomer must rank above
  float refit_interval = 0.25f;  // in units of C requests
  float refit_requests_min = 100;
  float learner_price = 0.6f;  // the lead that makes the cache follow the learner, and
  float heuristic_price = 1;   // the heuristic, in objects that the cache would exchange
};

// A count that fits 16 bits: exact up to 2048, then unbiased with an error of about 2 %.
class Count {
 public:
  float value() const {
    const std::uint32_t exponent = code_ >> 11, mantissa = code_ & 2047u;
    if (exponent == 0) return static_cast<float>(mantissa);
    return std::ldexp(static_cast<float>(mantissa | 2048u), static_cast<int>(exponent) - 1);
  }
  void increment(std::uint32_t coin) {
    const std::uint32_t exponent = code_ >> 11;
    const std::uint32_t mask = exponent > 1 ? (1u << (exponent - 1)) - 1u : 0u;
    if ((coin & mask) == 0 && code_ != 0xffffu) ++code_;
  }

 private:
  std::uint16_t code_ = 0;
};

class EvictionModel {
 public:
  static constexpr std::uint32_t kBins = 26;
  static constexpr std::uint32_t kSteps = 4;  // an index is interpolated at quarters of a bin

  static constexpr std::size_t bytes_per_class() {
    return kBins * (2 * sizeof(Count) + sizeof(std::uint8_t));
  }

  void reset(std::uint32_t objects, std::size_t classes_max, const EvictionTuning& tuning) {
    objects_ = static_cast<float>(objects);
    classes_ = ObjectClasses::choose(objects, classes_max);
    const std::size_t cells = std::size_t{classes_.count()} * kBins;
    returned_ = std::vector<Count>(cells);
    ended_ = std::vector<Count>(cells);
    index_ = std::vector<std::uint8_t>(cells);
    fit({}, tuning);
  }

  const ObjectClasses& classes() const { return classes_; }
  std::size_t cells() const { return returned_.size(); }
  std::size_t bytes() const { return classes_.count() * bytes_per_class(); }

  std::uint32_t age_bin(std::uint32_t age) const {
    const float scaled = static_cast<float>(age) * (32.0f / objects_);
    if (scaled < 1.0f) return 0;
    const std::uint32_t half_octave = (std::bit_cast<std::uint32_t>(scaled) >> 22) - (127u << 1);
    return std::min(half_octave + 1, kBins - 1);
  }
  std::size_t cell(std::uint32_t kind, std::uint32_t age) const {
    return std::size_t{kind} * kBins + age_bin(age);
  }

  // Objects that still wait, at their present ages; `crossed` sums how much of the bin lies behind.
  struct Running {
    float objects = 0, crossed = 0;
  };
  void add_running(std::span<Running> running, std::uint32_t kind, std::uint32_t age) const {
    const std::uint32_t bin = age_bin(age);
    Running& sum = running[std::size_t{kind} * kBins + bin];
    const float width = start(bin + 1) - start(bin);
    sum.objects += 1;
    sum.crossed += std::min((static_cast<float>(age) - start(bin)) / width, 1.0f);
  }

  void learn_return(std::uint32_t kind, std::uint32_t age, std::uint32_t coin) {
    returned_[cell(kind, age)].increment(coin);
  }
  void learn_end(std::uint32_t kind, std::uint32_t age, std::uint32_t coin) {
    ended_[cell(kind, age)].increment(coin);
  }

  // The index at an age, in 1/64 octaves, and the age at which it changes next.
  struct Value {
    std::uint32_t index;
    std::uint32_t until_age;
  };
  Value value(std::uint32_t kind, std::uint32_t age) const {
    const std::uint32_t bin = age_bin(age);
    const std::uint8_t* const row = &index_[std::size_t{kind} * kBins];
    if (bin + 1 >= kBins) return {row[bin] * kSteps, ~0u};
    const float from = start(bin), step = (start(bin + 1) - from) / kSteps;
    const auto steps = static_cast<std::uint32_t>((static_cast<float>(age) - from) / step);
    const std::uint32_t at = std::min(steps, kSteps - 1);
    const float until = from + step * static_cast<float>(at + 1);
    return {row[bin] * (kSteps - at) + row[bin + 1] * at,
            std::max(age + 1, static_cast<std::uint32_t>(until))};
  }
  // The bin of the lowest index between two bins, which are the answer where none is lower.
  std::uint32_t valley(std::uint32_t kind, std::uint32_t from, std::uint32_t to) const {
    const std::uint8_t* const row = &index_[std::size_t{kind} * kBins];
    std::uint32_t lowest = row[from] <= row[to] ? from : to;
    for (std::uint32_t bin = from + 1; bin < to; ++bin)
      if (row[bin] < row[lowest]) lowest = bin;
    return lowest;
  }
  std::uint32_t newborn_index(std::uint32_t kind) const {
    return index_[std::size_t{kind} * kBins] * kSteps;
  }

  // Recomputes all indexes; running[cell] = objects of that class and age that still wait.
  void fit(std::span<const Running> running, const EvictionTuning& tuning) {
    const ObjectClasses& c = classes_;
    const auto blended = [&](const Table& table, const Hazards& parent) {
      return blend(table, parent, tuning.shrink_objects);
    };
    std::array<Table, ObjectClasses::kLevelsMax + 1> group{};  // newcomers, then a level each
    Table all;
    for (std::uint32_t kind = 0; kind < c.count(); ++kind)
      group[group_of(kind)].add(row(kind, running));
    for (const Table& table : group) all.add(table);
    Hazards prior;
    prior.fill(tuning.prior_hazard);
    const Hazards root = blended(all, prior);
    std::array<Hazards, ObjectClasses::kLevelsMax + 1> levels;
    Hazards often = root;
    for (float& hazard : often) hazard = std::min(hazard * tuning.often_factor, 0.9f);
    for (std::size_t i = 0; i < group.size(); ++i)
      levels[i] = blended(group[i], i < 2 ? root : often);
    for (std::uint32_t kind = 0; kind < c.often(); ++kind)
      set_index(kind, blended(row(kind, running), levels[group_of(kind)]));
    for (std::uint32_t first = c.often(); first < c.count(); first += c.befores) {
      Table gap;
      for (std::uint32_t i = 0; i < c.befores; ++i) gap.add(row(first + i, running));
      const Hazards parent = blended(gap, levels[group_of(first)]);
      for (std::uint32_t i = 0; i < c.befores; ++i)
        set_index(first + i, blended(row(first + i, running), parent));
    }
  }

 private:
  using Hazards = std::array<float, kBins>;
  struct Table {
    std::array<float, kBins> events{}, risk{};
    void add(const Table& other) {
      for (std::uint32_t bin = 0; bin < kBins; ++bin) {
        events[bin] += other.events[bin];
        risk[bin] += other.risk[bin];
      }
    }
  };

  // The least age in a bin, in requests.
  float start(std::uint32_t bin) const {
    if (bin == 0) return 0;
    return std::bit_cast<float>((bin - 1 + (127u << 1)) << 22) * objects_ / 32;
  }
  std::uint32_t group_of(std::uint32_t kind) const {
    if (kind < classes_.twice()) return 0;
    if (kind < classes_.often()) return 1;
    return 2 + (kind - classes_.often()) / (classes_.gaps * classes_.befores);
  }
  Table row(std::uint32_t kind, std::span<const Running> running) const {
    Table table;
    float beyond = 0;
    for (std::uint32_t bin = kBins; bin-- > 0;) {
      const std::size_t at = std::size_t{kind} * kBins + bin;
      const float events = returned_[at].value();
      float left = ended_[at].value();
      table.events[bin] = events;
      table.risk[bin] = beyond + events + 0.5f * left;
      if (!running.empty()) {
        left += running[at].objects;
        table.risk[bin] += running[at].crossed;
      }
      beyond += events + left;
    }
    return table;
  }
  static Hazards blend(const Table& table, const Hazards& parent, float weight) {
    Hazards hazards;
    for (std::uint32_t bin = 0; bin < kBins; ++bin)
      hazards[bin] = (table.events[bin] + weight * parent[bin]) / (table.risk[bin] + weight);
    return hazards;
  }

  // From the oldest age back: a stretch of bins is extended by the next one as long as that one
  // pays better, which leaves stretches of falling value; the first one's value is the index.
  void set_index(std::uint32_t kind, const Hazards& hazards) {
    struct Stretch {
      float gain, held, alive;
    };
    std::array<Stretch, kBins> stack;
    std::uint32_t top = 0;
    for (std::uint32_t bin = kBins; bin-- > 0;) {
      const float width = start(bin + 1) - start(bin), hazard = hazards[bin];
      Stretch now = {hazard, width * (1 - 0.5f * hazard), 1 - hazard};
      while (top > 0 && stack[top - 1].gain * now.held > now.gain * stack[top - 1].held) {
        const Stretch next = stack[--top];
        now.gain += now.alive * next.gain;
        now.held += now.alive * next.held;
        now.alive *= next.alive;
      }
      stack[top++] = now;
      const float octaves = std::log2(std::max(now.gain * objects_ / now.held, 1e-6f));
      index_[std::size_t{kind} * kBins + bin] =
          static_cast<std::uint8_t>(std::clamp(160.5f + 16 * octaves, 0.0f, 255.0f));
    }
  }

  float objects_ = 1;
  ObjectClasses classes_;
  std::vector<Count> returned_, ended_;
  std::vector<std::uint8_t> index_;
};

}  // namespace acumen::caching
