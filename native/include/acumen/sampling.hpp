// Drawing an arm from a distribution.
//
// Idea       Arms lie side by side on [0, total), each as long as its probability; the arm at u is
//            the one that as many running sums lie below as there are arms before it. Where u falls
//            is chance, so a walk that stops there would be mispredicted almost always: the kernel
//            counts instead.
// Guarantee  The same values give the same arm on every machine; none without probability is drawn.
#pragma once

#include <cstdint>
#include <limits>

#include "acumen/dense.hpp"

namespace acumen {

/// The arm at u in [0, total); the last with p > 0 takes what rounding leaves. The largest number
/// if there is none.
inline std::uint32_t draw_arm(const DenseKernels& kernels, const float* probabilities,
                              std::uint32_t count, double u) {
  const std::uint32_t arm = kernels.count_below(probabilities, count, u);
  if (arm < count && probabilities[arm] > 0.0f) return arm;
  // Sums that differ in their last bit have pointed behind the end or at an arm without
  // probability.
  std::uint32_t drawn = std::numeric_limits<std::uint32_t>::max();
  for (std::uint32_t i = 0; i < count && u >= 0.0; ++i) {
    if (!(probabilities[i] > 0.0f)) continue;
    drawn = i;
    u -= static_cast<double>(probabilities[i]);
  }
  return drawn;
}

}  // namespace acumen
