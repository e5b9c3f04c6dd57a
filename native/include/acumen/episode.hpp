// An episode's steps, gathered from the engine's ring for a learner of sequences.
//
// Idea       The ring keeps every decision's row, arm and propensity; an episode is a list of their
//            ids. When it ends, the rows are encoded under the scales of now, as they are when a
//            single feedback teaches.
// Guarantee  Steps from which there is nothing to learn (unknown by now, a bad context, a mode that
//            teaches nothing, feedback of their own) are left out; what was rewarded there is the
//            step's before, discounted once more.
// Layout     xs: `size()` rows of padded(dimension) floats; features, where arms have some, as many
//            of padded(features). taught[i] says whether the i-th id is among the steps.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "acumen/choice.hpp"
#include "acumen/sequence_learner.hpp"

namespace acumen {

struct EpisodeSteps {
  std::vector<float> xs, features, propensities, rewards;
  std::vector<std::uint32_t> arms;
  std::vector<bool> taught;

  std::uint32_t size() const { return static_cast<std::uint32_t>(arms.size()); }

  /// As a learner takes it; valid while this is.
  EpisodeLesson lesson(float discount, bool ended) const {
    return {size(),         xs.data(), arms.data(), propensities.data(),
            rewards.data(), discount,  ended,       features.empty() ? nullptr : features.data()};
  }
};

/// For who holds engine.lock(). `rewards`: one an id, in the objective's own unit.
inline EpisodeSteps gather_episode(ChoiceEngine& engine, const std::uint64_t* ids,
                                   const double* rewards, std::size_t count, float discount) {
  EpisodeSteps steps;
  DecisionRing& ring = engine.ring();
  std::vector<float> x(padded(engine.schema().dimension()));
  const std::uint32_t arm_stride = padded(engine.options().shape.features);
  float gap = 1.0f;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t slot = ring.find(ids[i]);
    bool good = slot != ring.capacity();
    if (good) {
      const Entry& entry = ring.entry(slot);
      const bool open = entry.state == EntryState::kWaiting ||
                        (entry.state == EntryState::kExpired && std::isnan(entry.reward));
      good = open && entry.usable && teaches(static_cast<Reason>(entry.reason)) &&
             engine.schema().encode(ring.row(slot), x.data()) == Schema::kGood;
    }
    steps.taught.push_back(good);
    if (good) {
      const Entry& entry = ring.entry(slot);
      steps.xs.insert(steps.xs.end(), x.begin(), x.end());
      if (arm_stride > 0) {
        const float* features = engine.features_taken(slot, entry.arm);
        steps.features.insert(steps.features.end(), features, features + arm_stride);
      }
      steps.arms.push_back(entry.arm);
      steps.propensities.push_back(entry.propensity);
      steps.rewards.push_back(static_cast<float>(rewards[i]));
      gap = 1.0f;
    } else if (!steps.rewards.empty()) {
      gap *= discount;
      steps.rewards.back() += gap * static_cast<float>(rewards[i]);
    }
  }
  return steps;
}

}  // namespace acumen
