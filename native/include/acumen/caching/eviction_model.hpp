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
// fit() allocates nothing and takes time linear in the tables.  Loops over bins carry nothing from
// one to the next where that is possible, so that compilers vectorise them.
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
    const std::int32_t exponent = code_ >> 11, mantissa = code_ & 2047;
    const float scale = std::bit_cast<float>((exponent + 126) << 23);  // 2^(exponent - 1)
    return exponent == 0 ? static_cast<float>(mantissa)
                         : static_cast<float>(mantissa | 2048) * scale;
  }
  void increment(std::uint32_t coin) {
    const std::uint32_t exponent = code_ >> 11;
    const std::uint32_t mask = exponent > 1 ? (1u << (exponent - 1)) - 1u : 0u;
    if ((coin & mask) == 0 && code_ != 0xffffu) ++code_;
  }

 private:
  std::uint16_t code_ = 0;
};

// Bins of age, in units of C/32: from 0, then half octaves from 1, 1.5, 2, 3, 4, 6 …, all exact.
struct AgeBins {
  static constexpr std::uint32_t kCount = 26;
  std::array<float, kCount> start{}, width{}, per_width{};

  constexpr AgeBins() {
    for (std::uint32_t bin = 0; bin < kCount; ++bin) {
      start[bin] = start_of(bin);
      width[bin] = start_of(bin + 1) - start_of(bin);
      per_width[bin] = 1 / width[bin];
    }
  }
  static constexpr float start_of(std::uint32_t bin) {
    return bin == 0 ? 0.0f : std::bit_cast<float>((bin - 1 + (127u << 1)) << 22);
  }
  static std::uint32_t of(float scaled) {
    if (scaled < 1.0f) return 0;
    const std::uint32_t half_octave = (std::bit_cast<std::uint32_t>(scaled) >> 22) - (127u << 1);
    return std::min(half_octave + 1, kCount - 1);
  }
};
inline constexpr AgeBins kAges;

class EvictionModel {
 public:
  static constexpr std::uint32_t kBins = AgeBins::kCount;
  static constexpr std::uint32_t kSteps = 4;  // an index is interpolated at quarters of a bin

  static constexpr std::size_t bytes_per_class() {
    return kBins * (2 * sizeof(Count) + sizeof(std::uint8_t));
  }

  void reset(std::uint32_t objects, std::size_t classes_max, const EvictionTuning& tuning) {
    unit_ = static_cast<float>(objects) / 32;
    units_ = 1 / unit_;
    classes_ = ObjectClasses::choose(objects, classes_max);
    const std::size_t cells = std::size_t{classes_.count()} * kBins;
    returned_ = std::vector<Count>(cells);
    ended_ = std::vector<Count>(cells);
    index_ = std::vector<std::uint8_t>(cells);
    std::vector<LifeTable> nobody(classes_.count());
    fit(nobody, tuning);
  }

  const ObjectClasses& classes() const { return classes_; }
  std::size_t bytes() const { return classes_.count() * bytes_per_class(); }

  std::uint32_t age_bin(std::uint32_t age) const { return AgeBins::of(scaled(age)); }
  std::size_t cell(std::uint32_t kind, std::uint32_t age) const {
    return std::size_t{kind} * kBins + age_bin(age);
  }

  // A class's events and risks by age.  Before fit() has made them of what was counted: how many
  // objects still wait at that age, and the sum of how much of the bin lies behind each.
  struct LifeTable {
    std::array<float, kBins> events{}, risk{};
    void add(const LifeTable& other) {
      for (std::uint32_t bin = 0; bin < kBins; ++bin) {
        events[bin] += other.events[bin];
        risk[bin] += other.risk[bin];
      }
    }
  };
  void add_waiting(LifeTable& table, std::uint32_t age) const {
    const float at = scaled(age);
    const std::uint32_t bin = AgeBins::of(at);
    table.events[bin] += 1;
    table.risk[bin] += std::min((at - kAges.start[bin]) * kAges.per_width[bin], 1.0f);
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
    const float at = scaled(age);
    const std::uint32_t bin = AgeBins::of(at);
    const std::uint8_t* const row = &index_[std::size_t{kind} * kBins];
    if (bin + 1 >= kBins) return {row[bin] * kSteps, ~0u};
    const float from = kAges.start[bin], width = kAges.width[bin];
    const auto steps = static_cast<std::uint32_t>((at - from) * (kSteps * kAges.per_width[bin]));
    const std::uint32_t step = std::min(steps, kSteps - 1);
    const float until = (from + width / kSteps * static_cast<float>(step + 1)) * unit_;
    return {row[bin] * (kSteps - step) + row[bin + 1] * step,
            std::max(age + 1, static_cast<std::uint32_t>(std::min(until, kLatest)))};
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

  // Recomputes all indexes; tables[kind]: the objects of that class that wait.  Uses up the tables.
  void fit(std::span<LifeTable> tables, const EvictionTuning& tuning) {
    const ObjectClasses& c = classes_;
    const auto blended = [&](const LifeTable& table, const Hazards& parent) {
      return blend(table, parent, tuning.shrink_objects);
    };
    for (std::uint32_t kind = 0; kind < c.count(); ++kind) complete(kind, tables[kind]);
    std::array<LifeTable, ObjectClasses::kLevelsMax + 1> group{};  // newcomers, then a level each
    LifeTable all;
    for (std::uint32_t kind = 0; kind < c.count(); ++kind) group[group_of(kind)].add(tables[kind]);
    for (const LifeTable& table : group) all.add(table);
    Hazards prior;
    prior.fill(tuning.prior_hazard);
    const Hazards root = blended(all, prior);
    std::array<Hazards, ObjectClasses::kLevelsMax + 1> levels;
    Hazards often = root;
    for (float& hazard : often) hazard = std::min(hazard * tuning.often_factor, 0.9f);
    std::array<Row, ObjectClasses::kLevelsMax + 1> rows;
    for (std::size_t i = 0; i < group.size(); ++i) {
      levels[i] = blended(group[i], i < 2 ? root : often);
      rows[i] = indexes(levels[i]);
    }
    // A class without data is its parent's likeness: in small caches most are.
    const auto set = [&](std::uint32_t kind, const Hazards& parent, const Row& row) {
      const bool empty = tables[kind].risk[0] == 0;
      const Row own = empty ? row : indexes(blended(tables[kind], parent));
      std::copy(own.begin(), own.end(), &index_[std::size_t{kind} * kBins]);
    };
    for (std::uint32_t kind = 0; kind < c.often(); ++kind)
      set(kind, levels[group_of(kind)], rows[group_of(kind)]);
    for (std::uint32_t first = c.often(); first < c.count(); first += c.befores) {
      LifeTable gap;
      for (std::uint32_t i = 0; i < c.befores; ++i) gap.add(tables[first + i]);
      const std::uint32_t level = group_of(first);
      const bool empty = gap.risk[0] == 0;
      const Hazards parent = empty ? levels[level] : blended(gap, levels[level]);
      const Row row = empty ? rows[level] : indexes(parent);
      for (std::uint32_t i = 0; i < c.befores; ++i) set(first + i, parent, row);
    }
  }

 private:
  using Hazards = std::array<float, kBins>;
  using Row = std::array<std::uint8_t, kBins>;

  static constexpr float kLatest = 4294967040.0f;  // the largest float that fits 32 bits

  float scaled(std::uint32_t age) const { return static_cast<float>(age) * units_; }
  std::uint32_t group_of(std::uint32_t kind) const {
    if (kind < classes_.twice()) return 0;
    if (kind < classes_.often()) return 1;
    return 2 + (kind - classes_.often()) / (classes_.gaps * classes_.befores);
  }
  // Makes events and risks of those who wait and of what was counted.
  void complete(std::uint32_t kind, LifeTable& table) const {
    Hazards returned, ended;
    const std::size_t first = std::size_t{kind} * kBins;
    for (std::uint32_t bin = 0; bin < kBins; ++bin) {
      returned[bin] = returned_[first + bin].value();
      ended[bin] = ended_[first + bin].value();
    }
    float beyond = 0;
    for (std::uint32_t bin = kBins; bin-- > 0;) {
      const float waiting = table.events[bin];
      table.events[bin] = returned[bin];
      table.risk[bin] += beyond + returned[bin] + 0.5f * ended[bin];
      beyond += returned[bin] + (ended[bin] + waiting);
    }
  }
  static Hazards blend(const LifeTable& table, const Hazards& parent, float weight) {
    Hazards hazards;
    for (std::uint32_t bin = 0; bin < kBins; ++bin)
      hazards[bin] = (table.events[bin] + weight * parent[bin]) / (table.risk[bin] + weight);
    return hazards;
  }

  // From the oldest age back: a stretch of bins is extended by the next one as long as that one
  // pays better, which leaves stretches of falling value; the first one's value is the index.
  static Row indexes(const Hazards& hazards) {
    struct Stretch {
      float gain, held, alive;
    };
    std::array<Stretch, kBins> stack;
    Hazards gains, helds;
    std::uint32_t top = 0;
    for (std::uint32_t bin = kBins; bin-- > 0;) {
      const float hazard = hazards[bin];
      Stretch now = {hazard, kAges.width[bin] * (1 - 0.5f * hazard), 1 - hazard};
      while (top > 0 && stack[top - 1].gain * now.held > now.gain * stack[top - 1].held) {
        const Stretch next = stack[--top];
        now.gain += now.alive * next.gain;
        now.held += now.alive * next.held;
        now.alive *= next.alive;
      }
      stack[top++] = now;
      gains[bin] = now.gain;
      helds[bin] = now.held;
    }
    Row row;
    for (std::uint32_t bin = 0; bin < kBins; ++bin) {
      const float octaves = log2(std::max(32 * gains[bin] / helds[bin], 1e-6f));
      const float index = std::min(std::max(160.5f + 16 * octaves, 0.0f), 255.0f);
      row[bin] = static_cast<std::uint8_t>(static_cast<std::int32_t>(index));
    }
    return row;
  }
  // Of a normal number > 0, within 2e-5: the polynomial of degree 5 nearest to it on [1, 2].
  static float log2(float x) {
    const auto bits = std::bit_cast<std::int32_t>(x);
    const float m = std::bit_cast<float>((bits & 0x7fffff) | 0x3f800000);
    float y = 0.0439286269f * m - 0.409475595f;
    y = y * m + 1.61017752f;
    y = y * m - 3.52021885f;
    y = y * m + 5.06975651f;
    y = y * m - 2.79415369f;
    return y + static_cast<float>((bits >> 23) - 127);
  }

  float unit_ = 1, units_ = 1;  // C/32 in requests, and its inverse
  ObjectClasses classes_;
  std::vector<Count> returned_, ended_;
  std::vector<std::uint8_t> index_;
};

}  // namespace acumen::caching
