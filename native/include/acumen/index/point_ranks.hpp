// Sorted keys: the position is predicted, and the keys around it are read.
//
// Idea       If the keys are sorted, then a key's position is its rank, which the model of the
// keys'
//            distribution knows nearly: no table is needed but the model's own, and the keys are
//            where the user has them. A line of keys is fetched where the model points, and
//            compared at once; if the key is smaller or larger than all of them, the neighbours
//            follow, and where the keys are crowded, binary search.
// Guarantee  The model's cell bounds the position exactly, so that the answer is always right. A
//            look-up reads the cell, and the logarithm of the fullest cell's keys at the most.
// Layout     The model's ranks (point_model.hpp), 32 bits a cell, one cell for about 16 keys.
// Paper      Kraska, Beutel, Chi, Dean & Polyzotis, "The case for learned index structures", SIGMOD
//            2018, section 3.
#pragma once

#include "acumen/index/point_keys.hpp"
#include "acumen/index/point_model.hpp"

namespace acumen::index {

inline constexpr std::uint64_t kPointAbsent = ~std::uint64_t{0};

/// The position of the key at `offset` from the model's origin within [low, high), or kPointAbsent.
ACUMEN_POINT_INLINE std::uint64_t search_between(const WordColumn& keys, std::uint64_t origin,
                                                 std::uint64_t offset, std::uint64_t low,
                                                 std::uint64_t high) {
  const std::uint64_t end = high;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (keys[middle] - origin < offset) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < end && keys[low] - origin == offset ? low : kPointAbsent;
}

}  // namespace acumen::index
