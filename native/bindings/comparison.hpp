// The holdback's comparison as Python takes it; see comparison.py.
#pragma once

#include <cstdint>
#include <tuple>

#include "acumen/confidence.hpp"

namespace acumen::bindings {

/// Decisions, lost ones, mean reward.
using ComparedSide = std::tuple<std::uint64_t, std::uint64_t, double>;

/// Difference, low, high; then of the default and of the learned policy.
inline std::tuple<double, double, double, ComparedSide, ComparedSide> compared(
    const HoldbackComparison& comparison, double alpha) {
  const Interval found = comparison.interval(alpha);
  const auto side = [&](bool learned) -> ComparedSide {
    const HoldbackComparison::Side& s = comparison.side(learned);
    return {s.seen, s.lost, s.mean};
  };
  return {found.mean, found.low, found.high, side(false), side(true)};
}

}  // namespace acumen::bindings
