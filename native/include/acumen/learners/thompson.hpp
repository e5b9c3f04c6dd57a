// Linear Thompson sampling: take every arm as often as it is believed to be the best.
//
// Idea       Under the ridge posterior every arm's expected reward is normal. Thompson sampling
//            draws one value an arm and takes the largest; here the probability that each arm wins
//            is computed instead, and the engine draws from that. The choice is the same, but
//            its propensity is known.
// Guarantee  The recorded propensity is exact: it is what was drawn from. What is approximate is
//            the rule: the integral P(a wins) = ∫ f_a Π_{b≠a} F_b is a sum over a grid of 24
//            points, quadratically finer at its lower end, on which each step of Π F goes to the
//            arms in proportion to the growth of log F_a. Against the exact integral the error
//            of a probability is below 0.01, and below 0.05 where deviations differ a hundredfold.
//            The arms' scores are taken as independent, which they are for arms of their own; for
//            arms with features, the part that all share is removed first (see linear.hpp).
//            A small uniform mix keeps every propensity positive.
// Paper      Thompson 1933; Agrawal & Goyal, "Thompson sampling for contextual bandits with linear
//            payoffs", ICML 2013.
#pragma once

#include "acumen/learners/exploration.hpp"
#include "acumen/learners/linear.hpp"

namespace acumen {

struct ThompsonOptions : LinearOptions {
  double spread = 1.0;
  double exploration = 0.01;
};

class Thompson final : public LinearLearner {
 public:
  Thompson(LearnerShape shape, const ThompsonOptions& options)
      : LinearLearner(shape, options),
        options_(options),
        scratch_((shape.arms + 1) * kNormalScratch + padded(shape.arms)) {}

  void distribution(const float* x, const ArmSet& arms, float* probabilities) override {
    const float* mean = means(x, arms);
    const float* deviation = deviations(x, arms, static_cast<float>(options_.spread), true);
    kernels().best_of_normals(mean, deviation, arms.count, scratch_.data(), probabilities);
    blend_uniform(probabilities, arms.count, static_cast<float>(options_.exploration));
  }

  std::size_t memory_bytes() const override {
    return LinearLearner::memory_bytes() + scratch_.bytes();
  }

 private:
  ThompsonOptions options_;
  AlignedArray<float> scratch_;
};

}  // namespace acumen
