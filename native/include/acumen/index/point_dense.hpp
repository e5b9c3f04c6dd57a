// Keys that are nearly, or exactly, a line: positions by arithmetic.
//
// Idea       Ids that were counted up and times of a regular clock lie on a grid: key = origin + i
// ·
//            stride. Division by the stride is a multiplication with its inverse modulo 2^64 and a
//            rotation, and yields a number below `count` exactly if the key lies on the grid and
//            within the range: one comparison answers both. What is needed besides depends on the
//            keys:
//              sequence   in order and without gaps: nothing, i is the position
//              bitmap     in order, with gaps: one bit a grid point, and the number of bits before
//              direct     in any order: the position of each grid point, 0: no key there
// Guarantee  Exact: a grid point is one key only, so that no key needs to be compared. validate()
//            holds what a file says against the same conditions.
//
//            bitmap   [ bits 64 | ones before: 64 ] x count / 64        2 bits a grid point
//            direct   [ position + 1: 32 ] x count                      4 bytes a grid point
//
// Paper      Granlund & Montgomery, "Division by invariant integers using multiplication", PLDI
// 1994,
//            section 9 (exact division); Jacobson, "Space-efficient static trees and graphs", FOCS
//            1989 (counts beside bits).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "acumen/index/point_builder.hpp"
#include "acumen/index/point_keys.hpp"

namespace acumen::index {

/// Points origin + i · stride, i < count, modulo 2^64. The stride may be negative.
struct Grid {
  std::uint64_t origin = 0, stride = 1, count = 0;
  std::uint64_t inverse = 1;  // of the stride's odd part
  std::uint32_t twos = 0;     // how often the stride can be halved

  Grid() = default;
  Grid(std::uint64_t origin_, std::uint64_t stride_, std::uint64_t count_)
      : origin(origin_), stride(stride_), count(count_) {
    if (stride == 0) stride = 1;
    twos = static_cast<std::uint32_t>(std::countr_zero(stride));
    const std::uint64_t odd = stride < (1ULL << 63) ? stride >> twos : ~((~stride + 1) >> twos) + 1;
    inverse = odd;  // correct in the lowest three bits; each step doubles them
    for (int i = 0; i < 5; ++i) inverse *= 2 - odd * inverse;
  }

  /// i, or something >= count if the word is no point.
  ACUMEN_POINT_INLINE std::uint64_t index(std::uint64_t word) const {
    return std::rotr((word - origin) * inverse, static_cast<int>(twos));
  }
  /// No two points are the same word.
  bool validate() const { return count > 0 && (twos == 0 || (count - 1) >> (64 - twos) == 0); }
};

struct BitmapCell {
  std::uint64_t bits, before;
};

inline bool validate_bitmap(const BitmapCell* cells, std::uint64_t count, std::uint64_t n) {
  std::uint64_t ones = 0;
  for (std::uint64_t i = 0; i < (count + 63) / 64; ++i) {
    if (cells[i].before != ones) return false;
    ones += static_cast<std::uint64_t>(std::popcount(cells[i].bits));
  }
  const bool beyond = count % 64 != 0 && (cells[count / 64].bits >> (count % 64)) != 0;
  return ones == n && !beyond;
}

/// `cells` zeroed, (count + 63) / 64 of them. The keys rise, on the grid.
inline void build_bitmap(const WordColumn& keys, std::uint64_t n, const Grid& grid,
                         BitmapCell* cells) {
  for (std::uint64_t i = 0; i < n; ++i) {
    const std::uint64_t at = grid.index(keys[i]);
    cells[at / 64].bits |= 1ULL << (at % 64);
  }
  std::uint64_t ones = 0;
  for (std::uint64_t i = 0; i < (grid.count + 63) / 64; ++i) {
    cells[i].before = ones;
    ones += static_cast<std::uint64_t>(std::popcount(cells[i].bits));
  }
}

/// `table` zeroed, grid.count of them. The keys lie on the grid.
inline BuildResult build_direct(const WordColumn& keys, std::uint64_t n, const Grid& grid,
                                Duplicates duplicates, std::uint32_t* table) {
  BuildResult result;
  for (std::uint64_t row = 0; row < n; ++row) {
    std::uint32_t& position = table[grid.index(keys[row])];
    if (position == 0) {
      ++result.keys;
    } else if (duplicates == Duplicates::kRefuse) {
      return {BuildResult::Status::kDuplicate, position - 1, row, 0, 0};
    } else if (duplicates == Duplicates::kFirst) {
      continue;
    }
    position = static_cast<std::uint32_t>(row + 1);
  }
  return result;
}

inline bool validate_direct(const std::uint32_t* table, std::uint64_t count, std::uint64_t n) {
  for (std::uint64_t i = 0; i < count; ++i) {
    if (table[i] > n) return false;
  }
  return true;
}

/// What a column looks like. Words of signed keys are compared as such.
struct KeyShape {
  std::uint64_t least = 0, span = 0;  ///< the smallest key, and the largest less the smallest
  std::uint64_t stride = 1;           ///< divides all differences; 0: all keys are equal
  std::uint64_t step = 0;             ///< of a sequence, if `sequence`
  bool rising = true;                 ///< each key is larger than the one before
  bool sequence = true;               ///< each key is the one before plus `step`, all one way
};

inline KeyShape shape_of(const WordColumn& keys, std::uint64_t n) {
  KeyShape shape;
  if (n == 0) return shape;
  const std::uint64_t flip = keys.is_signed() ? 1ULL << 63 : 0, first = keys[0];
  std::uint64_t low = first ^ flip, high = low, before = low;
  shape.step = n > 1 ? keys[1] - first : 1;
  bool falling = true;
  for (std::uint64_t i = 1; i < n; ++i) {
    const std::uint64_t word = keys[i] ^ flip;
    low = word < low ? word : low;
    high = word > high ? word : high;
    shape.rising &= word > before;
    falling &= word < before;
    shape.sequence &= word - before == shape.step;
    before = word;
  }
  shape.sequence &= shape.rising || falling;
  shape.least = low ^ flip;
  shape.span = high - low;
  shape.stride = 0;
  for (std::uint64_t i = 0; i < n && shape.stride != 1; ++i) {
    shape.stride = std::gcd(shape.stride, keys[i] - shape.least);
  }
  return shape;
}

}  // namespace acumen::index
