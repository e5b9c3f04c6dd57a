// From scores to probabilities: the exploration rules that several learners share.
//
// Idea       A rule looks at one score an arm and answers with the whole distribution; the choice
//            engine draws from it, which makes the recorded propensity exact. Greedy and inverse
//            gap weighting are kernels (see dense.hpp); what needs no lanes stands here.
// Guarantee  Every function writes `count` finite, non-negative floats that sum to 1.
#pragma once

#include <cstdint>

namespace acumen {

/// (1 - mix) · p + mix / count.
inline void blend_uniform(float* probabilities, std::uint32_t count, float mix) {
  const float floor = mix / static_cast<float>(count), keep = 1.0f - mix;
  for (std::uint32_t a = 0; a < count; ++a) probabilities[a] = keep * probabilities[a] + floor;
}

}  // namespace acumen
