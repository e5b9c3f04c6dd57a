// From scores to probabilities: the exploration rules that several learners share.
//
// Idea       A rule looks at one score an arm and answers with the whole distribution; the choice
//            engine draws from it, which makes the recorded propensity exact.
// Guarantee  Every function writes `count` finite, non-negative floats that sum to 1.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace acumen {

/// 1 - mix shared by the arms with the largest score (ties are split), mix spread over all.
inline void greedy(const float* scores, std::uint32_t count, float mix, float* probabilities) {
  float best = scores[0];
  for (std::uint32_t a = 1; a < count; ++a) best = std::max(best, scores[a]);
  std::uint32_t ties = 0;
  for (std::uint32_t a = 0; a < count; ++a) ties += scores[a] == best;
  const float floor = mix / static_cast<float>(count);
  const float share = (1.0f - mix) / static_cast<float>(ties);
  for (std::uint32_t a = 0; a < count; ++a) {
    probabilities[a] = floor + (scores[a] == best ? share : 0.0f);
  }
}

/// Inverse gap weighting (Abe & Long 1999; Foster & Rakhlin 2020): p = 1 / (K + γ · gap to the
/// best), and the best arms share the rest.
inline void inverse_gap(const float* scores, std::uint32_t count, float gamma,
                        float* probabilities) {
  float best = scores[0];
  for (std::uint32_t a = 1; a < count; ++a) best = std::max(best, scores[a]);
  const float arms = static_cast<float>(count);
  float total = 0.0f, ties = 0.0f;
  for (std::uint32_t a = 0; a < count; ++a) {
    const float gap = best - scores[a];
    probabilities[a] = gap > 0.0f ? 1.0f / (arms + gamma * gap) : 0.0f;
    total += probabilities[a];
    ties += gap > 0.0f ? 0.0f : 1.0f;
  }
  const float share = (1.0f - total) / ties;
  for (std::uint32_t a = 0; a < count; ++a) {
    if (scores[a] == best) probabilities[a] = share;
  }
}

/// (1 - mix) · p + mix / count.
inline void blend_uniform(float* probabilities, std::uint32_t count, float mix) {
  const float floor = mix / static_cast<float>(count), keep = 1.0f - mix;
  for (std::uint32_t a = 0; a < count; ++a) probabilities[a] = keep * probabilities[a] + floor;
}

}  // namespace acumen
