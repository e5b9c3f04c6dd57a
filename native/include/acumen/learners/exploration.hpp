// From scores to probabilities: the exploration rules that several learners share.
//
// Idea       A rule looks at one score an arm and answers with the whole distribution; the choice
//            engine draws from it, which makes the recorded propensity exact. Greedy and inverse
//            gap weighting are kernels (see dense.hpp); what is built on kernels stands here.
// Guarantee  Every function writes `count` finite, non-negative floats that sum to 1.
#pragma once

#include <algorithm>
#include <cstdint>

#include "acumen/dense.hpp"

namespace acumen {

/// p = exp(sharpness · scores) / Σ of these. Both arrays have room for padded(count) values; scores
/// are overwritten.
inline void softmax(const DenseKernels& kernels, float* scores, std::uint32_t count,
                    float sharpness, float* probabilities) {
  const float best = *std::max_element(scores, scores + count);
  for (std::uint32_t a = 0; a < count; ++a) scores[a] = sharpness * (scores[a] - best);
  kernels.exponential(scores, padded(count), probabilities);
  float total = 0.0f;
  for (std::uint32_t a = 0; a < count; ++a) total += probabilities[a];
  for (std::uint32_t a = 0; a < count; ++a) probabilities[a] /= total;
}

/// (1 - mix) · p + mix / count.
inline void blend_uniform(float* probabilities, std::uint32_t count, float mix) {
  const float floor = mix / static_cast<float>(count), keep = 1.0f - mix;
  for (std::uint32_t a = 0; a < count; ++a) probabilities[a] = keep * probabilities[a] + floor;
}

}  // namespace acumen
