// The end of an episode: its steps, gathered from the engine's ring, teach a learner of sequences.
//
// Idea       The ring keeps every decision's row, arm and propensity; an episode is a list of their
//            ids. When it ends, the rows are encoded under the scales of now, as they are when a
//            single feedback teaches. The feedback of every step follows, with the return from
//            there on: it is counted, and kept to teach anew from.
// Guarantee  Steps from which there is nothing to learn (unknown by now, a bad context, a mode that
//            teaches nothing, feedback of their own) are left out; what was rewarded there is the
//            step's before, discounted once more.
// Layout     xs: `size()` rows of padded(dimension) floats; features, where arms have some, as many
//            of padded(features); the others one value a step.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "acumen/choice.hpp"
#include "acumen/sequence_learner.hpp"

namespace acumen {

/// The decisions of an episode that is over, one reward each in the objective's own unit.
struct EndedEpisode {
  const std::uint64_t* ids;
  const double* rewards;
  std::size_t count;
  float discount;
  bool ended;  ///< false: cut off
};

/// A step as the ring has it, its context and its arm's features as learners see them.
struct EpisodeStep {
  std::uint64_t id = 0;
  const float* x = nullptr;
  const float* features = nullptr;
  std::uint32_t arm = 0;
  float propensity = 1.0f;
};

class EpisodeSteps {
 public:
  std::vector<std::uint64_t> ids;
  std::vector<float> xs, features, propensities, rewards;
  std::vector<std::uint32_t> arms;

  explicit EpisodeSteps(const LearnerShape& shape = {}) : shape_(shape) {}

  std::uint32_t size() const { return static_cast<std::uint32_t>(ids.size()); }

  void add(const EpisodeStep& step, float reward) {
    ids.push_back(step.id);
    xs.insert(xs.end(), step.x, step.x + padded(shape_.dimension));
    if (step.features)
      features.insert(features.end(), step.features, step.features + padded(shape_.features));
    arms.push_back(step.arm);
    propensities.push_back(step.propensity);
    rewards.push_back(reward);
    gap_ = 1.0f;
  }

  /// A step from which there is nothing to learn.
  void leave_out(float reward, float discount) {
    if (rewards.empty()) return;
    gap_ *= discount;
    rewards.back() += gap_ * reward;
  }

  /// As a learner takes it; valid while this is.
  EpisodeLesson lesson(float discount, bool ended) const {
    return {size(),         xs.data(), arms.data(), propensities.data(),
            rewards.data(), discount,  ended,       features.empty() ? nullptr : features.data()};
  }

  /// Teaches it; nothing happens with a learner of single choices.
  void teach(Learner* learner, float discount, bool ended) const {
    if (auto* sequences = dynamic_cast<SequenceLearner*>(learner))
      sequences->learn_episode(lesson(discount, ended));
  }

 private:
  LearnerShape shape_;
  float gap_ = 1.0f;  ///< what a reward left out next would be worth, but for one discount
};

/// For who holds engine.lock().
inline EpisodeSteps gather_episode(ChoiceEngine& engine, const EndedEpisode& episode) {
  const ChoiceOptions& options = engine.options();
  EpisodeSteps steps(options.shape);
  DecisionRing& ring = engine.ring();
  std::vector<float> x(padded(options.shape.dimension));
  for (std::size_t i = 0; i < episode.count; ++i) {
    const std::size_t slot = ring.find(episode.ids[i]);
    bool good = slot != ring.capacity();
    if (good) {
      const Entry& entry = ring.entry(slot);
      const bool open = entry.state == EntryState::kWaiting ||
                        (entry.state == EntryState::kExpired && std::isnan(entry.reward));
      good = open && entry.usable && teaches(static_cast<Reason>(entry.reason)) &&
             engine.schema().encode(ring.row(slot), x.data()) == Schema::kGood;
    }
    if (good) {
      const Entry& entry = ring.entry(slot);
      const bool featured = options.shape.features > 0;
      steps.add({entry.id, x.data(), featured ? engine.features_taken(slot, entry.arm) : nullptr,
                 entry.arm, entry.propensity},
                static_cast<float>(episode.rewards[i]));
    } else {
      steps.leave_out(static_cast<float>(episode.rewards[i]), episode.discount);
    }
  }
  return steps;
}

/// Teaches the engine's learner. Of one that has ended the feedback is to follow, and teaches no
/// more. For who holds engine.lock().
inline EpisodeSteps teach_episode(ChoiceEngine& engine, const EndedEpisode& episode) {
  EpisodeSteps steps = gather_episode(engine, episode);
  steps.teach(engine.learner(), episode.discount, episode.ended);
  DecisionRing& ring = engine.ring();
  for (const std::uint64_t id : steps.ids) ring.entry(ring.find(id)).taught = episode.ended;
  return steps;
}

/// Times out the steps whose time is up, before their episode teaches: else the feedback would find
/// them overdue, and teach them once more. For who holds engine.lock().
inline void time_out_steps(ChoiceEngine& engine, const EndedEpisode& episode, double now_s) {
  for (std::size_t i = 0; i < episode.count; ++i) {
    const std::size_t slot = engine.ring().find(episode.ids[i]);
    if (slot != engine.ring().capacity()) engine.time_out_if_overdue(slot, now_s);
  }
}

/// The same, and gives the feedback; `returns`: a row of metrics an id, null if it was cut off.
/// Its own event is the journal's last.
inline EpisodeSteps end_episode(ChoiceEngine& engine, const EndedEpisode& episode,
                                const double* returns, double now_s) {
  using Kind = LessonMemory::Kind;
  EpisodeSteps steps = teach_episode(engine, episode);
  JournalHook* journal = engine.journal();
  for (std::uint32_t i = 0; i < steps.size() && journal; ++i) {
    const Kind last = episode.ended ? Kind::kEnd : Kind::kCutOff;
    journal->lessons().add({journal->sequence(), steps.ids[i],
                            i + 1 < steps.size() ? Kind::kStep : last, steps.rewards[i],
                            episode.discount});
  }
  const std::size_t metrics = engine.options().metrics.size();
  for (std::size_t i = 0; i < episode.count && returns; ++i)
    engine.feedback_locked(episode.ids[i], returns + i * metrics, now_s);
  return steps;
}

}  // namespace acumen
