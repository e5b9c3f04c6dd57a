// The sequence learner: what learns from whole episodes, not from one choice at a time.
//
// Idea       In a sequence of choices each moves the world on, and what comes of it comes later.
//            The engine hands an episode over as a whole when it ends, so that traces can be run
//            over it without any of them being kept between calls, and episodes may interleave.
//            A lone lesson is an episode of one step whose reward is the return: this is how a
//            model is taught anew from the engine's ring, where returns are kept.
// Guarantee  As every Learner; learn_episode() takes all of an episode or, for a bad value, none.
// Layout     xs: `steps` rows of padded(dimension) floats; features, where arms have some, `steps`
//            rows of padded(features), those of the arm that was taken; the others one value a
//            step.
#pragma once

#include <algorithm>

#include "acumen/learner.hpp"

namespace acumen {

struct EpisodeLesson {
  std::uint32_t steps = 0;
  const float* xs = nullptr;            ///< contexts, in the order of time
  const std::uint32_t* arms = nullptr;  ///< what was taken
  const float* propensities = nullptr;  ///< with which probability
  const float* rewards = nullptr;       ///< what came of it before the next step
  float discount = 1.0f;                ///< what a reward one step later is worth, in [0, 1]
  bool ended = true;  ///< false: cut off; the last state's value stands for all that would follow
  const float* features = nullptr;  ///< of the arms that were taken, or null
};

class SequenceLearner : public Learner {
 public:
  using Learner::Learner;

  /// Takes one episode. False, and nothing changes, for what learn() would refuse in any step.
  bool learn_episode(const EpisodeLesson& episode) {
    const std::uint32_t stride = padded(shape().dimension);
    const std::size_t arm_stride = padded(shape().features);
    if (!(episode.discount >= 0.0f && episode.discount <= 1.0f)) return false;
    if (arm_stride > 0 && episode.steps > 0 && episode.features == nullptr) return false;
    for (std::uint32_t t = 0; t < episode.steps; ++t) {
      const float p = episode.propensities[t];
      if (episode.arms[t] >= shape().arms || !(p > 0.0f && p <= 1.01f) ||
          !within(&episode.rewards[t], 1, kRewardLimit) ||
          !within(episode.xs + std::size_t{t} * stride, stride, kContextLimit) ||
          (arm_stride > 0 &&
           !within(episode.features + t * arm_stride, padded(shape().features), kContextLimit)))
        return false;
    }
    update_episode(episode);
    version_ += episode.steps;
    return true;
  }

 protected:
  virtual void update_episode(const EpisodeLesson& episode) = 0;

  void update(const Lesson& lesson) final {
    update_episode({1, lesson.x, &lesson.arm, &lesson.propensity, &lesson.reward, 1.0f, true,
                    lesson.features});
  }

  /// Returns may be sums of many rewards; what is learned from stays within a reward's limits.
  static double bounded(double value) {
    return std::clamp(value, -double{kRewardLimit}, double{kRewardLimit});
  }
};

}  // namespace acumen
