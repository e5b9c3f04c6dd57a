// From scores to probabilities: the exploration rules that several learners share.
//
// Idea       A rule looks at one score an arm and answers with the whole distribution; the choice
//            engine draws from it, which makes the recorded propensity exact.
// Guarantee  Every function writes `count` finite, non-negative floats that sum to 1.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "acumen/sampling.hpp"

namespace acumen {

/// 1 - mix shared by the arms with the largest score (ties are split), mix spread over all.
inline void greedy(const float* scores, std::uint32_t count, float mix, float* probabilities) {
  const float best = largest(scores, count);
  std::int32_t ties = 0;
  for (std::uint32_t a = 0; a < count; ++a) ties += scores[a] == best ? 1 : 0;
  const float floor = mix / static_cast<float>(count);
  const float top = floor + (1.0f - mix) / static_cast<float>(ties);
  for (std::uint32_t a = 0; a < count; ++a) probabilities[a] = scores[a] == best ? top : floor;
}

/// Inverse gap weighting (Abe & Long 1999; Foster & Rakhlin 2020): p = 1 / (K + γ · gap to the
/// best), and the best arms share the rest.
inline void inverse_gap(const float* scores, std::uint32_t count, float gamma,
                        float* probabilities) {
  const float best = largest(scores, count), arms = static_cast<float>(count);
  std::int32_t ties = 0;
  for (std::uint32_t a = 0; a < count; ++a) {
    const float gap = best - scores[a], p = 1.0f / (arms + gamma * gap);
    probabilities[a] = gap > 0.0f ? p : 0.0f;
    ties += gap > 0.0f ? 0 : 1;
  }
  const float share = (1.0f - sum_of(probabilities, count)) / static_cast<float>(ties);
  for (std::uint32_t a = 0; a < count; ++a)
    probabilities[a] = scores[a] == best ? share : probabilities[a];
}

/// (1 - mix) · p + mix / count.
inline void blend_uniform(float* probabilities, std::uint32_t count, float mix) {
  const float floor = mix / static_cast<float>(count), keep = 1.0f - mix;
  for (std::uint32_t a = 0; a < count; ++a) probabilities[a] = keep * probabilities[a] + floor;
}

}  // namespace acumen
