// Linear Thompson sampling: take every arm as often as it is believed to be the best.
//
// Idea       Under the ridge posterior every arm's expected reward is normal. Thompson sampling
//            draws one value an arm and takes the largest; here the probability that each arm wins
//            is computed instead, and the engine draws from that. The choice is the same, but
//            its propensity is known.
// Guarantee  The recorded propensity is exact: it is what was drawn from. What is approximate is
//            the rule: the integral P(a wins) = ∫ Π F · d log F_a is a sum over a grid of eight
//            points, quadratically finer at its lower end; -log F is a polynomial's eighth power
//            less a constant. For 2 to 15 arms the worst probability of a case is off by 0.004,
//            0.007 and 0.010 on average where deviations differ up to 1-, 10- and 100-fold, by
//            0.02, 0.03 and 0.08 at most. Of hundreds of arms, one that is far less known than
//            the others may get as little as a fifth of its share: its upper tail is where the
//            grid is coarsest.
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
      : LinearLearner(shape, options), options_(options), scratch_(normal_scratch(shape.arms)) {}

  void distribution(const float* x, const ArmSet& arms, float* probabilities) override {
    const float* mean = means(x, arms);
    const float* deviation = deviations(x, arms, static_cast<float>(options_.spread), true);
    kernels().best_of_normals(mean, deviation, arms.count, static_cast<float>(options_.exploration),
                              scratch_.data(), probabilities);
  }

  std::size_t memory_bytes() const override {
    return LinearLearner::memory_bytes() + scratch_.bytes();
  }

 private:
  ThompsonOptions options_;
  AlignedArray<float> scratch_;
};

}  // namespace acumen
