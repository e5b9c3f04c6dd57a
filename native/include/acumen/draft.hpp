// A model that is to take the place of an engine's, prepared off to the side.
//
// Idea       A model that was trained elsewhere contains what others learned, and this engine's
//            own lessons up to some event. A draft is overwritten with it, is taught the engine's
//            later lessons in small portions while the engine goes on choosing, and, when a few
//            at most are left, changes places with the engine's model: pointers, and vectors that
//            are moved. An episode is learned as the whole that it was. What is the engine's own
//            stays: decisions that wait for feedback, guard, randomness, counters, and the
//            comparison with the default.
// Guarantee  Whoever chooses waits for at most kAtOnce lessons, a copy or some pointers. A lesson
//            is in the model once, or counted as missed: then the ring has let go of its decision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "acumen/choice.hpp"
#include "acumen/episode.hpp"

namespace acumen {

class Draft {
 public:
  static constexpr std::size_t kAtOnce = 16;

  /// For who holds engine.lock(). `learner` is of the kind and shape of the engine's, untaught.
  /// Lessons of events after `event` are the engine's own that the draft will not contain.
  Draft(ChoiceEngine& engine, std::shared_ptr<Learner> learner, std::uint64_t event)
      : schema_(engine.schema_),
        scales_(engine.candidate_scales_),
        objective_(engine.objective_),
        learner_(std::move(learner)),
        fixed_arms_(engine.scaled_.size()),
        scaled_(padded(scales_.features())),
        x_(padded(schema_.dimension())),
        steps_(learner_->shape()),
        event_(event) {
    std::copy(engine.scaled_.begin(), engine.scaled_.end(), fixed_arms_.begin());
  }

  /// The state, under the names that the engine has for its own.
  void visit(StateVisitor& visitor) {
    visitor.array("lessons", &lessons_, 1);
    visitor.array("calibrated_rows", &calibrated_rows_, 1);
    schema_.visit(visitor);
    scales_.visit(visitor);
    comparison_.visit(visitor);
    learner_->visit(visitor);
  }

  /// Asked after it was overwritten.
  bool valid() {
    return schema_.valid() && scales_.valid() && comparison_.valid() && learner_->validate();
  }

  /// Notes the engine's next lessons, `most` of them; how many are left then. For who holds the
  /// engine's lock.
  std::uint64_t gather(ChoiceEngine& engine, std::uint64_t most = kAtOnce) {
    const LessonMemory& memory = engine.journal_->lessons();
    if (!begun_) {
      next_ = memory.after(event_);
      missed_ += memory.forgot(event_);
      begun_ = true;
    } else if (next_ < memory.oldest()) {
      next_ = memory.oldest();
      missed_ += memory.before(next_) - before_;
      leave_episode();
    }
    for (; most > 0 && next_ < memory.count(); --most) note(engine, memory.at(next_++));
    before_ = memory.before(next_);
    return memory.count() - next_;
  }

  /// Learns what was gathered; of an episode, when its last step was. Needs no lock.
  void learn() {
    for (const Noted& noted : noted_) {
      const bool good = noted.known && schema_.encode(noted.row.data(), x_.data()) == Schema::kGood;
      const float* features = good ? features_of(noted) : nullptr;
      const LessonMemory::Lesson& lesson = noted.lesson;
      if (lesson.is_step()) {
        if (good) {
          steps_.add({lesson.id, x_.data(), features, noted.arm, noted.propensity}, lesson.reward);
        } else {
          steps_.leave_out(lesson.reward, lesson.discount);
        }
        if (lesson.kind != LessonMemory::Kind::kStep) end_episode(lesson);
      } else if (good) {
        lessons_ += learner_->learn(
            {x_.data(), noted.arm, features, noted.propensity, lesson.reward, noted.demonstrated});
      }
      caught_up_ += noted.known;
    }
    noted_.clear();
  }

  enum class Exchange { kDone, kBehind, kOtherObjective };

  /// Learns the last few lessons, `most` at most, and changes places with the engine's model; the
  /// journal keeps `text`. For who holds the engine's lock.
  Exchange exchange(ChoiceEngine& engine, std::string_view text, std::uint64_t most = kAtOnce) {
    if (!(engine.objective_ == objective_)) return Exchange::kOtherObjective;
    // An episode is learned as a whole: a long one before, not here.
    if (gather(engine, most) > 0 || noted_.size() + steps_.size() > most) return Exchange::kBehind;
    learn();
    keep_seen(engine);
    std::swap(engine.schema_, schema_);
    std::swap(engine.candidate_scales_, scales_);
    std::swap(engine.lessons_, lessons_);
    std::swap(engine.calibrated_rows_, calibrated_rows_);
    engine.learner_ = learner_.get();
    engine.clips_.clear();
    engine.encoded_ = 0;
    engine.journal_->text(EventKind::kLoad, text);
    return Exchange::kDone;
  }

  /// After exchange(), whoever owns the engine's learner changes it for this one.
  std::shared_ptr<Learner>& learner() { return learner_; }

  std::uint64_t lessons() const { return lessons_; }
  std::uint64_t caught_up() const { return caught_up_; }
  /// Lessons that could not be learned again: at least so many.
  std::uint64_t missed() const { return missed_; }

 private:
  struct Noted {
    LessonMemory::Lesson lesson;
    bool known = false, demonstrated = false;
    std::vector<double> row;
    std::vector<float> features;
    std::uint32_t arm = 0;
    float propensity = 1.0f;
  };

  /// Scaled features of the arm that was taken, if arms have any.
  const float* features_of(const Noted& noted) {
    const std::size_t stride = padded(learner_->shape().features);
    if (stride == 0) return nullptr;
    if (noted.features.empty()) return fixed_arms_.data() + noted.arm * stride;
    scales_.scale(noted.features.data(), 1, scaled_.data());
    return scaled_.data();
  }

  void note(ChoiceEngine& engine, const LessonMemory::Lesson& lesson) {
    DecisionRing& ring = engine.ring_;
    const std::size_t slot = ring.find(lesson.id);
    const bool known = slot != ring.capacity();
    if (lesson.kind == LessonMemory::Kind::kCounted) {
      lessons_ += known;  // else its step was missed
      return;
    }
    Noted noted;
    noted.lesson = lesson;
    noted.known = known;
    missed_ += !known;
    if (known) {
      const Entry& entry = ring.entry(slot);
      if (!lesson.is_step()) {
        const bool late = lesson.kind == LessonMemory::Kind::kTimedOut;
        const double reward =
            late ? engine.options_.timeout_reward : engine.reward_of(ring.values(slot));
        if (std::isnan(reward) || !entry.usable) return;
        noted.lesson.reward = static_cast<float>(reward);
      }
      const double* row = ring.row(slot);
      const float* features = ring.features(slot);
      noted.row.assign(row, row + schema_.fields());
      noted.features.assign(features, features + scales_.features());
      noted.arm = entry.arm;
      noted.propensity = entry.propensity;
      noted.demonstrated = demonstrates(static_cast<Reason>(entry.reason));
    }
    // What is not known of an episode has a place in it all the same: it may be the last step.
    if (known || lesson.is_step()) noted_.push_back(std::move(noted));
  }

  void end_episode(const LessonMemory::Lesson& last) {
    steps_.teach(learner_.get(), last.discount, last.kind == LessonMemory::Kind::kEnd);
    steps_ = EpisodeSteps(learner_->shape());
  }

  /// Steps between those that were gathered and the next ones are gone.
  void leave_episode() {
    learn();
    missed_ += steps_.size();
    caught_up_ -= steps_.size();
    steps_ = EpisodeSteps(learner_->shape());
  }

  /// Categories that the engine has met meanwhile are not to be met for the first time again.
  void keep_seen(ChoiceEngine& engine) {
    for (std::uint32_t i = 0; i < schema_.fields(); ++i)
      for (std::uint32_t code = 0; code < schema_.field(i).buckets; ++code)
        if (engine.schema_.has_seen(i, code)) schema_.mark_seen(i, code);
  }

  Schema schema_;
  CandidateScales scales_;
  HoldbackComparison comparison_;  ///< of those who trained it; the engine keeps its own
  Objective objective_;
  std::shared_ptr<Learner> learner_;
  AlignedArray<float> fixed_arms_, scaled_, x_;
  std::vector<Noted> noted_;
  EpisodeSteps steps_;  ///< of an episode that was not gathered to its end
  std::uint64_t event_, next_ = 0, lessons_ = 0, calibrated_rows_ = 0;
  std::uint64_t caught_up_ = 0, missed_ = 0;
  std::uint32_t before_ = 0;  ///< lessons before the next one, as the memory counts them
  bool begun_ = false;
};

}  // namespace acumen
