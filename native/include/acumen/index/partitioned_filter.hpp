// Membership filter in front of which a scorer may sort the keys: plain, partitioned or sandwiched.
//
// Idea       The scorer's range is cut into regions, each with a binary fuse filter of its own.
// Where
//            scores say "surely inside" no filter is needed and every key passes; where few keys
//            but many absent ones lie, the filter is sharp, and holds few keys. A front filter that
//            holds all keys may turn most absent ones away before anything is scored. One region
//            without front is the plain filter; a front and two regions, of which one lets all
//            pass, the sandwich.
// Guarantee  Each key is in the filter of the region in which its score lies, so that a scorer,
// good or
//            bad, changes the rate of false positives alone. validate() says whether look-ups stay
//            inside the arrays.
// Layout     key ─ front ─ score ──┬─ score <  t1 ─── filter 0
//                                  ├─ score <  t2 ─── filter 1
//                                  └─ otherwise ───── filter 2 (none: everything passes)
// Paper      Vaidya, Knorr, Mitzenmacher & Kraska, "Partitioned learned Bloom filters", ICLR 2021;
//            Mitzenmacher, "A model for learned Bloom filters and optimizing by sandwiching",
//            NeurIPS 2018.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "acumen/index/binary_fuse.hpp"
#include "acumen/index/ngram_scorer.hpp"

namespace acumen::membership {

inline constexpr std::size_t kRegionsMax = 64;

/// Texts one after the other; text i has the bytes offsets[i] … offsets[i + 1] - 1.
struct TextKeys {
  const std::int64_t* offsets;
  const std::uint8_t* data;
  std::size_t count;

  KeyView view(std::size_t i) const {
    return {data + offsets[i], static_cast<std::size_t>(offsets[i + 1] - offsets[i])};
  }
  std::uint64_t hash(std::size_t i) const {
    const KeyView key = view(i);
    return hash_text(key.text, key.size);
  }
};

/// Whether all texts lie within `bytes` bytes.
inline bool validate(const TextKeys& keys, std::uint64_t bytes) {
  if (keys.offsets[0] < 0) return false;
  for (std::size_t i = 0; i < keys.count; ++i)
    if (keys.offsets[i + 1] < keys.offsets[i]) return false;
  return static_cast<std::uint64_t>(keys.offsets[keys.count]) <= bytes;
}

struct IntegerKeys {
  const std::uint64_t* values;
  std::size_t count;

  KeyView view(std::size_t i) const {
    return {reinterpret_cast<const std::uint8_t*>(values + i), 8};
  }
  std::uint64_t hash(std::size_t i) const { return values[i]; }
};

struct PartitionedFilter {
  FuseView front;
  std::vector<double> thresholds;
  std::vector<FuseView> regions;
  NgramScorer scorer;  // without weights: all scores are 0, unless they are given

  const FuseView& region_of(double score) const {
    std::size_t region = 0;
    for (const double threshold : thresholds) region += score >= threshold ? 1 : 0;
    return regions[region];
  }

  double score_of(const KeyView& key) const {
    return scorer.weights ? static_cast<double>(scorer.score(key)) : 0.0;
  }

  bool contains(const KeyView& key, std::uint64_t hash) const {
    return front.contains(hash) && region_of(score_of(key)).contains(hash);
  }

  bool contains_scored(std::uint64_t hash, double score) const {
    return front.contains(hash) && region_of(score).contains(hash);
  }
};

inline bool validate(const PartitionedFilter& filter) {
  if (filter.regions.size() != filter.thresholds.size() + 1) return false;
  if (filter.regions.size() > kRegionsMax) return false;
  // Not ">=": thresholds that are no numbers are refused too.
  for (std::size_t i = 0; i < filter.thresholds.size(); ++i)
    if (!(i == 0 || filter.thresholds[i - 1] <= filter.thresholds[i])) return false;
  return true;
}

/// out[i - begin] = whether key i is inside, for begin <= i < end. `given` are scores, or null.
template <class Keys>
void contains_range(const PartitionedFilter& filter, const Keys& keys, const double* given,
                    std::size_t begin, std::size_t end, bool* out) {
  struct Waiting {
    std::uint64_t hash;
    const FuseView* region;
  };
  constexpr std::size_t kAhead = 8;
  Waiting ring[kAhead];
  const bool has_front = filter.front.shape.is_table();
  const auto region_of = [&](std::size_t i) -> const FuseView* {
    return &filter.region_of(given ? given[i] : filter.score_of(keys.view(i)));
  };
  const auto start = [&](std::size_t i) {
    Waiting& next = ring[i % kAhead];
    next.hash = keys.hash(i);
    // What the front turns away needs no score.
    next.region = has_front ? nullptr : region_of(i);
    const FuseView& first = has_front ? filter.front : *next.region;
    prefetch(first, next.hash);
  };
  for (std::size_t i = begin; i < std::min(end, begin + kAhead); ++i) start(i);
  for (std::size_t i = begin; i < end; ++i) {
    const Waiting& key = ring[i % kAhead];
    out[i - begin] = has_front ? filter.front.contains(key.hash) && region_of(i)->contains(key.hash)
                               : key.region->contains(key.hash);
    if (i + kAhead < end) start(i + kAhead);
  }
}

}  // namespace acumen::membership
