// Drawing an arm from a distribution.
//
// Idea       A walk through the probabilities that takes u away until nothing is left. Where it
//            ends is chance, so a branch there would be mispredicted almost always, and everything
//            behind it would wait: within a group of arms the walk goes on and decides by selects.
// Guarantee  The same values give the same arm on every machine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace acumen {

/// The arm at u in [0, total), where each takes as much room as its probability; the last with
/// p > 0 takes what rounding leaves. The largest number if there is none.
inline std::uint32_t draw_arm(const float* probabilities, std::uint32_t count, double u) {
  constexpr std::uint32_t kGroup = 16;
  std::uint32_t drawn = std::numeric_limits<std::uint32_t>::max();
  for (std::uint32_t i = 0; i < count && u >= 0.0;) {
    for (const std::uint32_t end = std::min(count, i + kGroup); i < end; ++i) {
      const double p = static_cast<double>(probabilities[i]);
      const bool here = (u >= 0.0) & (p > 0.0);
      drawn = here ? i : drawn;
      u -= p;
    }
  }
  return drawn;
}

}  // namespace acumen
