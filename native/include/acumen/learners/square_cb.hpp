// SquareCB: explore in inverse proportion to how much worse an arm looks.
//
// Idea       p(a) = 1 / (K + γ · gap(a)), and the best arm takes the rest: any regression will do,
//            no uncertainty is needed, so that a choice costs K dot products. γ grows with
//            experience, γ_t = gamma · lessons^exponent, and the gap is measured in standard
//            deviations of the rewards.
// Guarantee  Every propensity is positive: at least 1 / (K + γ_t · largest gap).
// Paper      Foster & Rakhlin, "Beyond UCB: optimal and efficient contextual bandits with
// regression
//            oracles", ICML 2020; exponent 1/2 as in its theorem.
#pragma once

#include "acumen/learners/exploration.hpp"
#include "acumen/learners/linear.hpp"

namespace acumen {

struct SquareCBOptions : LinearOptions {
  double gamma = 10.0;
  double exponent = 0.5;
};

/// γ_t over the rewards' deviation, for gaps in the reward's own unit.
inline float gap_weight(const RewardScale& scale, double gamma, double exponent) {
  const double lessons = scale.lessons();
  if (exponent != 0.5) {
    return static_cast<float>(
        std::min(gamma * std::pow(lessons, exponent) / scale.deviation(), 1e30));
  }
  return static_cast<float>(std::min(gamma * std::sqrt(lessons / scale.variance()), 1e30));
}

class SquareCB final : public LinearLearner {
 public:
  SquareCB(LearnerShape shape, const SquareCBOptions& options)
      : LinearLearner(shape, options), options_(options) {}

  void distribution(const float* x, const ArmSet& arms, float* probabilities) override {
    const float gamma = gap_weight(scale(), options_.gamma, options_.exponent);
    kernels().inverse_gap(means(x, arms), arms.count, gamma, probabilities);
  }

 private:
  SquareCBOptions options_;
};

}  // namespace acumen
