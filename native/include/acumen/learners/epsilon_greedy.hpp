// Epsilon-greedy: the best arm by its ridge regression, and any arm now and then.
//
// Idea       With probability epsilon draw uniformly, otherwise take the arm with the largest
//            expected reward. Epsilon may fall with experience: ε · (1 + lessons / arms)^-decay.
// Guarantee  Every arm keeps probability epsilon_t / K.
// Paper      Sutton & Barto, "Reinforcement Learning", 2nd ed., 2018, ch. 2; Langford & Zhang, "The
//            epoch-greedy algorithm", NIPS 2007 (decay = 1/3).
#pragma once

#include "acumen/learners/exploration.hpp"
#include "acumen/learners/linear.hpp"

namespace acumen {

struct EpsilonGreedyOptions : LinearOptions {
  double epsilon = 0.1;
  double decay = 0.0;
};

class EpsilonGreedy final : public LinearLearner {
 public:
  EpsilonGreedy(LearnerShape shape, const EpsilonGreedyOptions& options)
      : LinearLearner(shape, options), options_(options) {}

  void distribution(const float* x, const ArmSet& arms, float* probabilities) override {
    double epsilon = options_.epsilon;
    if (options_.decay > 0.0) {
      epsilon *= std::pow(1.0 + scale().lessons() / arms.count, -options_.decay);
    }
    kernels().greedy(means(x, arms), arms.count, static_cast<float>(epsilon), probabilities);
  }

 private:
  EpsilonGreedyOptions options_;
};

}  // namespace acumen
