// The least that look-ups cost: one value is read for each, at a place that is known beforehand.
//
// Idea: an index must at least look at the key that it answers with. Where no address depends on
// what was read before, a processor waits for many reads at once, as many as it can have under way;
// nothing that finds its key by reading anything else first is faster than this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "acumen/index/fetch_ahead.hpp"

namespace acumen::index {

/// The sum, modulo 2^64, of values[place] over all places; none if a place is `count` or more.
template <typename T>
std::optional<std::uint64_t> sum_at(const T* values, std::size_t count, const std::uint64_t* places,
                                    std::size_t reads) {
  constexpr std::size_t kAhead = 64;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < reads; ++i) {
    if (i + kAhead < reads && places[i + kAhead] < count) fetch_ahead(values + places[i + kAhead]);
    if (places[i] >= count) return std::nullopt;
    sum += values[places[i]];
  }
  return sum;
}

}  // namespace acumen::index
