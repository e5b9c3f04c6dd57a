// Object classes: what a request's past says about its future, in a handful of bits.
//
// Idea.  Objects with a like past are pooled, so that each pool's reuse can be learnt from a few
// thousand requests.  An object seen once is told apart by the length of the run of misses in which
// it came (scans come in runs); any other by the gap between its last two requests, by the gap
// before that, and by how often it was requested: 2 | 3-4 | 5-8 | 9-16 | ... | 129+ times.
// Gaps are powers of two relative to the cache's size C, so the same classes fit every cache.
//
// Guarantee.  Pure functions of (class, gap, random bits); an object carries its class and nothing
// else.  Counting up to a level's end is by coin: a level of 2^k requests is left with chance 2^-k.
//
// Layout.  Class numbers, with G gaps, B earlier gaps, L levels, R runs:
//     0                      founders: seen once, before the cache was full for the first time
//     [1, R)                 seen once, by log2 of the run of misses
//     [R, R + G)             seen twice, by gap
//     [R + G + ((level - 1) * G + gap) * B + before]   level 1 .. L-1
//
// Small caches get fewer classes (see choose): the model must not outweigh what it serves.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace acumen::caching {

struct ObjectClasses {
  static constexpr std::uint32_t kGapsMax = 12;  // [0, C/64), then octaves, [16 C, oo)
  static constexpr std::uint32_t kLevelsMax = 8;

  std::uint32_t levels = 6, gaps = 12, befores = 6, runs = 8;
  float scale = 1;  // gap * scale = gap / (C / 64)

  // The finest layout with at most `classes_max` classes, or the coarsest.
  static ObjectClasses choose(std::uint32_t objects, std::size_t classes_max) {
    static constexpr std::array<std::array<std::uint32_t, 4>, 9> kLayouts = {{{8, 12, 5, 8},
                                                                              {6, 12, 6, 8},
                                                                              {5, 12, 4, 8},
                                                                              {5, 6, 3, 6},
                                                                              {4, 6, 2, 4},
                                                                              {3, 6, 1, 4},
                                                                              {3, 4, 1, 3},
                                                                              {2, 3, 1, 3},
                                                                              {2, 2, 1, 2}}};
    ObjectClasses classes;
    for (const auto& layout : kLayouts) {
      classes.levels = layout[0];
      classes.gaps = layout[1];
      classes.befores = layout[2];
      classes.runs = layout[3];
      if (classes.count() <= classes_max) break;
    }
    classes.scale = 64.0f / static_cast<float>(objects);
    return classes;
  }

  std::uint32_t twice() const { return runs; }
  std::uint32_t often() const { return runs + gaps; }
  std::uint32_t count() const { return often() + (levels - 1) * gaps * befores; }

  std::uint32_t gap_bin(std::uint32_t gap) const {
    const float scaled = static_cast<float>(gap) * scale;
    if (scaled < 1.0f) return 0;
    const std::uint32_t octave = (std::bit_cast<std::uint32_t>(scaled) >> 23) - 127u + 1u;
    return std::min(octave, kGapsMax - 1) * gaps / kGapsMax;
  }

  static constexpr std::uint32_t kFounder = 0;
  std::uint32_t newcomer(std::uint32_t run) const {
    return std::min(static_cast<std::uint32_t>(std::bit_width(run | 2u)), runs) - 1;
  }

  // The class of an object of class `kind` that is requested again after `gap`.
  std::uint32_t next(std::uint32_t kind, std::uint32_t gap, std::uint32_t coin) const {
    const std::uint32_t bin = gap_bin(gap);
    if (kind < twice()) return twice() + bin;
    if (kind < often()) return member(1, bin, kind - twice());
    const std::uint32_t place = (kind - often()) / befores;
    std::uint32_t level = place / gaps + 1;
    if (level + 1 < levels && (coin & ((1u << level) - 1u)) == 0) ++level;
    return member(level, bin, place % gaps);
  }

 private:
  std::uint32_t member(std::uint32_t level, std::uint32_t gap, std::uint32_t before) const {
    return often() + ((level - 1) * gaps + gap) * befores + before * befores / gaps;
  }
};

}  // namespace acumen::caching
