// Columns of graphs and clusters from arbitrary bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fuzz_input.hpp"

namespace acumen {

template <typename T>
std::vector<T> numbers(Input& in, std::size_t count, std::uint32_t limit) {
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(in.below(limit));
  return values;
}

/// Small ones from `least` on, and now and then anything.
inline std::vector<double> times(Input& in, std::size_t count, double least) {
  std::vector<double> values(count);
  for (double& value : values) {
    const std::uint8_t kind = in.byte();
    value = kind < 3 ? in.wide_value() : least + static_cast<double>(kind % 4) * 0.3;
  }
  return values;
}

}  // namespace acumen
