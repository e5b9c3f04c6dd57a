// A learned model of where keys lie: how many of them are smaller than a given one.
//
// Idea       The range of the keys is cut into cells of equal width, a power of two. For each cell
// the
//            exact number of keys before it is kept; within a cell the number is interpolated. That
//            is the keys' distribution function as a piecewise-linear curve through exact points,
//            and finding the piece takes a shift. It serves as a hash function that spreads keys
//            with regular gaps more evenly than chance does (point_buckets.hpp), and as a
//            prediction of positions if the keys are sorted (point_ranks.hpp). It is made by
//            counting: one pass.
// Guarantee  A key of cell c has ranks[c] <= rank < ranks[c + 1], exactly; rank() never leaves that
//            range but upwards by rounding in an empty cell, and never exceeds the number of keys.
//            It never falls as the word rises.
//
//            words    origin ──── 2^shift ────┬─────────────┬───  …  ──┬─── origin + span
//            cells         0                  │      1      │          │ cells - 1
//            ranks    [ 0                | ranks[1]     | ranks[2]  …  | n ]     32 bits each
//
// Paper      Kraska, Beutel, Chi, Dean & Polyzotis, "The case for learned index structures", SIGMOD
//            2018, section 4; Kipf et al., "RadixSpline", aiDM 2020, for the radix table.
#pragma once

#include <cstddef>
#include <cstdint>

#include "acumen/index/point_hash.hpp"

namespace acumen::index {

/// Keys, as words whose differences are taken modulo 2^64: signed ones begin at a negative origin.
struct PointModel {
  std::uint64_t origin = 0;              ///< the smallest key
  std::uint64_t span = 0;                ///< the largest less the smallest
  std::uint32_t shift = 1;               ///< 1 … 63
  const std::uint32_t* ranks = nullptr;  ///< cells + 1 of them

  std::uint64_t cells() const { return (span >> shift) + 1; }

  /// `offset` = word - origin <= span.
  ACUMEN_POINT_INLINE std::uint64_t rank(std::uint64_t offset) const {
    const std::uint64_t cell = offset >> shift, part = (offset << (64 - shift)) >> 32;
    const std::uint64_t low = ranks[cell], width = ranks[cell + 1] - low;
    return low + ((width * part) >> 32);
  }

  /// Ranks rise from 0 to `keys`; what a file claims is checked by this.
  bool validate(std::size_t ranks_size, std::uint64_t keys) const {
    if (shift < 1 || shift > 63 || ranks_size != cells() + 1) return false;
    if (ranks[0] != 0 || ranks[ranks_size - 1] != keys) return false;
    for (std::size_t i = 1; i < ranks_size; ++i) {
      if (ranks[i - 1] > ranks[i]) return false;
    }
    return true;
  }
};

/// The shift that gives at most about `cells` cells.
inline std::uint32_t shift_for_cells(std::uint64_t span, std::uint64_t cells) {
  std::uint32_t shift = 1;
  while (shift < 63 && (span >> shift) >= (cells < 1 ? 1 : cells)) ++shift;
  return shift;
}

/// Counts keys into `ranks`, zeroed, model.cells() + 1 of them. All words lie in the model's span.
inline void count_ranks(const PointModel& model, const std::uint64_t* words, std::size_t n,
                        std::uint32_t* ranks) {
  for (std::size_t i = 0; i < n; ++i) ++ranks[((words[i] - model.origin) >> model.shift) + 1];
}
inline void sum_ranks(const PointModel& model, std::uint32_t* ranks) {
  for (std::size_t cell = 1; cell <= model.cells(); ++cell) ranks[cell] += ranks[cell - 1];
}

}  // namespace acumen::index
