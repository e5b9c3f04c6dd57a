// Short arrays of floats: the largest, the sum, and an arm drawn from a distribution.
//
// Idea       Four running results side by side, because a chain through all values would wait for
//            itself, and compilers may not reorder floats.
// Guarantee  The same values give the same result on every machine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace acumen {

constexpr std::uint32_t kLanes = 4;

inline float largest(const float* scores, std::uint32_t count) {
  float best[kLanes] = {scores[0], scores[0], scores[0], scores[0]};
  std::uint32_t a = 0;
  for (; a + kLanes <= count; a += kLanes)
    for (std::uint32_t lane = 0; lane < kLanes; ++lane)
      best[lane] = scores[a + lane] > best[lane] ? scores[a + lane] : best[lane];
  for (; a < count; ++a) best[0] = std::max(best[0], scores[a]);
  return std::max(std::max(best[0], best[1]), std::max(best[2], best[3]));
}

inline float sum_of(const float* values, std::uint32_t count) {
  float total[kLanes] = {};
  std::uint32_t a = 0;
  for (; a + kLanes <= count; a += kLanes)
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) total[lane] += values[a + lane];
  for (; a < count; ++a) total[0] += values[a];
  return (total[0] + total[1]) + (total[2] + total[3]);
}

/// What a distribution sums to (about 1); 0 if a value is negative or none.
inline float usable_total(const float* probabilities, std::uint32_t count) {
  std::int32_t bad = 0;
  for (std::uint32_t i = 0; i < count; ++i) bad |= probabilities[i] >= 0.0f ? 0 : 1;
  const float total = sum_of(probabilities, count);
  return bad == 0 && std::isfinite(total) ? total : 0.0f;
}

/// The arm at u in [0, total), where each takes as much room as its probability; the last with
/// p > 0 takes what rounding leaves. The largest number if there is none.
inline std::uint32_t draw_arm(const float* probabilities, std::uint32_t count, double u) {
  std::uint32_t drawn = std::numeric_limits<std::uint32_t>::max();
  for (std::uint32_t i = 0; i < count && u >= 0.0; ++i) {
    if (!(probabilities[i] > 0.0f)) continue;
    drawn = i;
    u -= static_cast<double>(probabilities[i]);
  }
  return drawn;
}

}  // namespace acumen
