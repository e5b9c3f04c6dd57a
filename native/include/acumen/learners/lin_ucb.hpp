// LinUCB: take the arm that could be best.
//
// Idea       Score = expected reward + alpha · its standard deviation under the ridge posterior;
// the
//            largest score wins. What is little known scores high, is tried, and becomes known.
// Guarantee  The bonus is in the reward's own unit (the noise is estimated online). A small uniform
//            mix keeps every propensity positive; with exploration = 0 it is the paper's rule.
// Paper      Li, Chu, Langford & Schapire, "A contextual-bandit approach to personalized news
//            article recommendation", WWW 2010.
#pragma once

#include "acumen/learners/exploration.hpp"
#include "acumen/learners/linear.hpp"

namespace acumen {

struct LinUCBOptions : LinearOptions {
  double alpha = 1.0;
  double exploration = 0.01;
};

class LinUCB final : public LinearLearner {
 public:
  LinUCB(LearnerShape shape, const LinUCBOptions& options)
      : LinearLearner(shape, options), options_(options) {}

  void distribution(const float* x, const ArmSet& arms, float* probabilities) override {
    const float* mean = means(x, arms);
    float* score = deviations(x, arms, static_cast<float>(options_.alpha), false);
    kernels().add_scaled(score, mean, 1.0f, padded(arms.count));
    kernels().greedy(score, arms.count, static_cast<float>(options_.exploration), probabilities);
  }

 private:
  LinUCBOptions options_;
};

}  // namespace acumen
