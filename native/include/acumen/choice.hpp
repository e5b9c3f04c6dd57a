// The choice engine: a decision out, feedback in, in a few hundred nanoseconds.
//
// Idea       One object joins the parts: schema (row → vector), learner (vector → distribution),
//            guard (learned or default), ring (decisions awaiting feedback), objective (metrics →
//            reward) and the holdback's comparison. The engine samples from the learner's
//            distribution itself, so the recorded propensity is the probability with which the arm
//            was sampled, the guard's coin included:
//                p(arm) = share · learned(arm) + (1 - share) · [arm is the default].
// Guarantee  decide() never fails, waits a bounded time for the lock and allocates nothing; what
//            goes wrong is served the default with a reason. feedback() loses no lesson. Memory is
//            constant. Safe from many threads; the same seed and calls give the same decisions.
//            A few decisions take longer, because scales are chosen and lessons are learned anew:
//            the 8th, 32nd, 128th and 512th, and one or two after values have left their range
//            (docs/choices.md: how long); meanwhile others get the default, and feedback waits.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "acumen/aligned.hpp"
#include "acumen/candidate_scales.hpp"
#include "acumen/choice_types.hpp"
#include "acumen/clip_watch.hpp"
#include "acumen/comparing.hpp"
#include "acumen/confidence.hpp"
#include "acumen/decision_ring.hpp"
#include "acumen/guard.hpp"
#include "acumen/journal_hook.hpp"
#include "acumen/learner.hpp"
#include "acumen/objective.hpp"
#include "acumen/outbox.hpp"
#include "acumen/random.hpp"
#include "acumen/sampling.hpp"
#include "acumen/schema.hpp"
#include "acumen/snapshot.hpp"
#include "acumen/spin_lock.hpp"

namespace acumen {

class ChoiceEngine {
 public:
  static constexpr std::uint32_t kSpins = 1000;  ///< decide() waits at most some 50 µs
  static constexpr std::uint64_t kCalibrationRows = 512;
  static constexpr std::array<std::uint64_t, 4> kCalibrations = {8, 32, 128, kCalibrationRows};
  /// Decisions that new scales are chosen from and learned anew with: fewer where each takes long.
  static constexpr std::uint64_t recent(std::uint32_t dimension) {
    return std::clamp<std::uint64_t>((1u << 18) / dimension, 1024, 4096);
  }
  static constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();  ///< no reward
  static constexpr int kTimeOuts = 32, kComparisons = 16;  ///< at most so many a call
  static constexpr std::uint32_t kNoArm = std::numeric_limits<std::uint32_t>::max();

  /// `learner` must outlive the engine. It may be null: then questions bring their own
  /// distribution, and lessons gather in the outbox.
  ChoiceEngine(ChoiceOptions options, Learner* learner)
      : options_(std::move(options)),
        schema_(options_.fields),
        objective_(options_.metrics),
        learner_(learner),
        guard_(options_.mode, options_.canary_share, options_.holdback),
        ring_(std::max<std::uint32_t>(options_.pending_max, kCalibrationRows), schema_.fields(),
              objective_.metrics(), options_.shape.features, options_.replica),
        candidate_scales_(options_.arm_features.empty() ? options_.shape.features : 0,
                          kCalibrationRows),
        clips_(schema_.numbers() + candidate_scales_.features(),
               std::min(ring_.capacity(), recent(schema_.dimension()))),
        random_(options_.seed),
        outbox_(learner_ ? 0 : ring_.capacity()),
        x_(padded(schema_.dimension())),
        probabilities_(padded(options_.shape.arms)),
        scaled_(options_.shape.arms * std::size_t{padded(options_.shape.features)}) {
    const std::size_t stride = padded(options_.shape.features);
    if (!options_.arm_features.empty()) {
      const std::uint32_t n = options_.shape.features;
      for (std::uint32_t a = 0; a < options_.shape.arms; ++a)
        std::copy_n(options_.arm_features.data() + a * n, n, scaled_.data() + a * stride);
    }
  }

  Answer decide(const Question& question) {
    const Guard::View view = guard_.look();
    if (!lock_.try_lock(kSpins)) {
      busy_.fetch_add(1, std::memory_order_relaxed);
      return {0, 0, question.default_arm, kNoArm, 1.0f, Reason::kBusy};
    }
    const std::lock_guard<SpinLock> unlock(lock_, std::adopt_lock);
    if (options_.timeout_s > 0) expire(question.now_s);

    const std::uint32_t count =
        question.candidates ? question.candidate_count : options_.shape.arms;
    Answer answer{0, lessons_, question.default_arm, kNoArm, 1.0f, Reason::kLearned};
    const bool usable = question.problem != Reason::kBadContext && count > 0 &&
                        count <= options_.shape.arms && prepare(question, count);
    const bool asked =
        usable && view.mode != Mode::kOff && !view.killed && question.problem == Reason::kLearned;
    float share = 0.0f;
    if (!asked) {
      answer.reason = question.problem == Reason::kDefaultFailed ? Reason::kDefaultFailed
                      : view.killed                              ? Reason::kKilled
                      : view.mode == Mode::kOff                  ? Reason::kOff
                      : !usable                                  ? Reason::kBadContext
                                                                 : question.problem;
    } else if (const float total = ask(question, count); total > 0.0f) {
      share = view.learned_share;
      draw(total, count, share, view.mode, answer);
    } else {
      answer.reason = Reason::kLearnerFailed;
    }
    counters_.reasons[static_cast<std::size_t>(answer.reason)] += 1;
    record(question, usable, share, answer);
    return answer;
  }

  FeedbackResult feedback(std::uint64_t id, const double* values, double now_s = 0.0) {
    const std::lock_guard<SpinLock> guard(lock_);
    return feedback_locked(id, values, now_s);
  }

  /// The same, for who holds lock() already.
  FeedbackResult feedback_locked(std::uint64_t id, const double* values, double now_s) {
    const std::size_t slot = ring_.find(id);
    if (slot == ring_.capacity()) return told(id, values, FeedbackResult::kUnknown);
    Entry& entry = ring_.entry(slot);
    if (entry.state == EntryState::kDone) return told(id, values, FeedbackResult::kDuplicate);
    const double reward = reward_of(values);
    if (std::isnan(reward)) return told(id, values, FeedbackResult::kBad);
    time_out_if_overdue(slot, now_s);
    copy_few(values, objective_.metrics(), ring_.values(slot));
    // Late feedback corrects the record; what the comparison or a time-out's reward did, stays.
    const bool late = entry.state == EntryState::kExpired;
    entry.state = EntryState::kDone;
    if (!late) entry.reward = reward;
    const bool open = !late || std::isnan(options_.timeout_reward);
    const bool taught = entry.taught;
    const bool learned = open && (taught || settle(slot, reward));
    entry.taught = false;
    lessons_ += learned;
    compare_in_order(ring_, comparison_, kComparisons);
    return told(id, values, learned ? FeedbackResult::kLearned : FeedbackResult::kRecorded, taught);
  }

  /// Feedback that comes after the time is up is late. For who holds lock().
  void time_out_if_overdue(std::size_t slot, double now_s) {
    const Entry& entry = ring_.entry(slot);
    const bool waits = entry.state == EntryState::kWaiting && options_.timeout_s > 0;
    if (waits && entry.time_s <= now_s - options_.timeout_s) time_out(slot);
  }

  /// Another objective over the same metrics; the model learns anew from the ring's raw metrics.
  /// The journal keeps `text`.
  void set_objective(std::vector<Metric> metrics, std::string_view text = {}) {
    const std::lock_guard<SpinLock> guard(lock_);
    if (journal_ && !text.empty()) journal_->text(EventKind::kObjective, text);
    objective_ = Objective(std::move(metrics));
    relearn(ring_.capacity());
    comparison_ = HoldbackComparison();
    ring_.compare_again();
    ring_.each([&](std::size_t slot) {
      Entry& entry = ring_.entry(slot);
      const bool known = entry.state == EntryState::kDone && !std::isnan(entry.reward);
      if (known) entry.reward = reward_of(ring_.values(slot));
    });
  }

  /// Encodes a row as decide() would, and marks unseen categories in it, as decide() would; false
  /// if it is bad. For a learner outside the engine.
  bool encode(double* row, float* x) {
    const std::lock_guard<SpinLock> guard(lock_);
    meet(row);
    return schema_.encode(row, x) == Schema::kGood;
  }

  /// Writes the features of the arms as the learner sees them, padded rows; `candidates` null:
  /// those of the fixed arms. For a learner outside the engine.
  void arm_features(const float* candidates, std::uint32_t count, float* out) {
    const std::lock_guard<SpinLock> guard(lock_);
    if (candidates) {
      candidate_scales_.scale(candidates, count, out);
    } else {
      std::copy_n(scaled_.data(), count * padded(options_.shape.features), out);
    }
  }

  /// Scaled features of the arm that was taken. For who holds lock().
  const float* features_taken(std::size_t slot, std::uint32_t arm) {
    const std::size_t stride = padded(options_.shape.features);
    if (!options_.arm_features.empty()) return scaled_.data() + arm * stride;
    candidate_scales_.scale(ring_.features(slot), 1, scaled_.data());
    return scaled_.data();
  }

  /// Shows the model's whole state: what save() writes and load() overwrites.
  void visit(StateVisitor& visitor) {
    const std::lock_guard<SpinLock> guard(lock_);
    compare_in_order(ring_, comparison_, ring_.capacity());
    visit_state(visitor);
  }

  /// Lets a visitor write a saved state. False: it broke an invariant, and nothing has changed.
  bool overwrite(StateVisitor& writer) {
    const std::lock_guard<SpinLock> guard(lock_);
    compare_in_order(ring_, comparison_, ring_.capacity());
    Snapshot before;
    visit_state(before);
    encoded_ = 0;
    visit_state(writer);
    if (!valid()) {
      visit_state(before.put_back());
      static_cast<void>(valid());  // rebuilds what the learner derives from its state
      return false;
    }
    return true;
  }

  Guard& guard() { return guard_; }
  const Schema& schema() const { return schema_; }
  DecisionRing& ring() { return ring_; }
  Learner* learner() { return learner_; }
  const ChoiceOptions& options() const { return options_; }
  SpinLock& lock() { return lock_; }
  // For who holds lock(): who is told what happens (or null), lessons for a learner outside.
  JournalHook*& journal() { return journal_; }
  Outbox& outbox() { return outbox_; }
  std::uint64_t lessons() {
    const std::lock_guard<SpinLock> guard(lock_);
    return lessons_;
  }

  Counters counters() {
    const std::lock_guard<SpinLock> guard(lock_);
    Counters result = counters_;
    result.reasons[static_cast<std::size_t>(Reason::kBusy)] = busy_.load();
    return result;
  }

  HoldbackComparison comparison() {
    const std::lock_guard<SpinLock> guard(lock_);
    compare_in_order(ring_, comparison_, ring_.capacity());
    return comparison_;
  }

  /// After fork(): a lock that a lost thread held is free again, the child draws other numbers,
  /// and its decisions have ids of their own.
  void become_replica(std::uint64_t seed, std::uint64_t replica) {
    lock_.unlock();
    random_.reseed(seed);
    ring_.restart(replica);
  }

  std::size_t memory_bytes() const {
    return sizeof(*this) + schema_.memory_bytes() + ring_.memory_bytes() + clips_.memory_bytes() +
           (learner_ ? learner_->memory_bytes() : 0) + candidate_scales_.memory_bytes() +
           4 * (x_.size() + probabilities_.size() + scaled_.size());
  }

 private:
  friend class Replay;   // replay.hpp
  friend class History;  // history.hpp
  friend class Draft;    // draft.hpp

  void visit_state(StateVisitor& visitor) {
    visitor.array("lessons", &lessons_, 1);
    visitor.array("calibrated_rows", &calibrated_rows_, 1);
    schema_.visit(visitor);
    candidate_scales_.visit(visitor);
    comparison_.visit(visitor);
    if (learner_) learner_->visit(visitor);
  }

  bool valid() {
    return schema_.valid() && candidate_scales_.valid() && comparison_.valid() &&
           (!learner_ || learner_->validate());
  }

  /// NaN for what nothing can be learned from, far too large a number included.
  double reward_of(const double* values) const {
    const double reward = objective_.reward(values);
    return std::fabs(reward) <= static_cast<double>(kRewardLimit) ? reward : kNothing;
  }

  FeedbackResult told(std::uint64_t id, const double* values, FeedbackResult fate,
                      bool taught = false) {
    if (journal_) journal_->feedback(id, values, fate, taught);
    return counters_.count(fate);
  }

  void meet(double* row) {
    if (journal_) journal_->before_meeting(row);
    schema_.meet(row);
    if (journal_) journal_->met(row);
  }

  /// Encodes the context and the candidates into the scratch arrays; false: bad values.
  bool prepare(const Question& question, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count * options_.shape.features && question.candidates; ++i)
      if (!std::isfinite(question.candidates[i])) return false;
    meet(question.row);
    if (schema_.encode(question.row, x()) != Schema::kGood) return false;
    if (question.candidates) {
      if (calibrated_rows_ < kCalibrationRows) {
        const std::size_t kept = candidate_scales_.remember(question.candidates, count);
        if (journal_) journal_->candidates(question.candidates, kept);
      }
      candidate_scales_.scale(question.candidates, count, scaled_.data());
    }
    return true;
  }

  /// Asks for the distribution. Returns what it sums to (about 1; draw() divides by it), 0 if it is
  /// unusable.
  float ask(const Question& question, std::uint32_t count) {
    float* p = probabilities_.data();
    if (question.given) {
      std::copy_n(question.given, count, p);
    } else {
      if (!learner_) return 0.0f;
      const ArmSet arms{count, options_.shape.features ? scaled_.data() : nullptr};
      learner_->distribution(x(), arms, p);
    }
    return kernels_->usable_total(p, count);
  }

  /// Tosses the guard's coin and draws an arm; fills the answer.
  void draw(float total, std::uint32_t count, float share, Mode mode, Answer& answer) {
    const float scale = share / total;  // before the arm is known: nothing waits for the division
    const std::uint32_t default_arm = answer.arm;
    answer.suggested = draw_arm(*kernels_, probabilities_.data(), count, random_.uniform() * total);
    const bool learned = share > 0.0f && random_.uniform() < static_cast<double>(share);
    answer.reason = learned ? Reason::kLearned : default_by_chance(mode);
    if (learned) answer.arm = answer.suggested;
    answer.propensity = (answer.arm < count ? scale * probabilities_[answer.arm] : 0.0f) +
                        (answer.arm == default_arm ? 1.0f - share : 0.0f);
  }

  void record(const Question& question, bool usable, float share, Answer& answer) {
    bool lost = false;
    if (ring_.is_full()) compare_oldest(ring_, comparison_);
    const std::size_t slot = ring_.push(lost);
    counters_.overwritten += lost;
    Entry& entry = ring_.entry(slot);
    entry.version = answer.version;
    entry.time_s = question.now_s;
    entry.arm = answer.arm;
    entry.propensity = answer.propensity;
    entry.learned_share = share;
    entry.reason = static_cast<std::uint8_t>(answer.reason);
    entry.state = EntryState::kWaiting;
    entry.learned = answer.reason == Reason::kLearned;
    entry.usable = usable;
    answer.id = entry.id;
    std::copy_n(question.row, schema_.fields(), ring_.row(slot));
    if (question.candidates && answer.arm < question.candidate_count) {
      const std::uint32_t n = options_.shape.features;
      std::copy_n(question.candidates + answer.arm * n, n, ring_.features(slot));
    }
    newest_ = entry.id;
    if (journal_) journal_->decision(question, usable, share, answer);
    encoded_ = usable ? entry.id : 0;
    if (!usable) return;
    if (calibrated_rows_ == kCalibrationRows) {
      if (scales_fail(question, answer.arm)) recalibrate(false);
      return;
    }
    calibrated_rows_ += 1;
    if (std::find(kCalibrations.begin(), kCalibrations.end(), calibrated_rows_) !=
        kCalibrations.end())
      calibrate();
  }

  /// Counts what was clipped of this decision; true when that happens too often, and new scales
  /// are due. The scratch arrays still hold what the learner was asked with.
  bool scales_fail(const Question& question, std::uint32_t arm) {
    const std::uint32_t numbers = schema_.numbers(), features = options_.shape.features;
    clips_.see(x() + 1, numbers, 0);
    if (question.candidates && arm < question.candidate_count)
      clips_.see(scaled_.data() + arm * std::size_t{padded(features)}, features, numbers);
    return clips_.alarms();
  }

  /// One decision's reward is known: teach. False: there was nothing to learn.
  bool settle(std::size_t slot, double reward) {
    const Entry& entry = ring_.entry(slot);
    if (!entry.usable || !teaches(static_cast<Reason>(entry.reason))) return false;
    // The scratch array often still holds this decision's context.
    if (entry.id != encoded_) {
      encoded_ = 0;
      if (schema_.encode(ring_.row(slot), x()) != Schema::kGood) return false;
      encoded_ = entry.id;
    }
    const float* features = options_.shape.features ? features_taken(slot, entry.arm) : nullptr;
    Lesson lesson{x(), entry.arm, features, entry.propensity, static_cast<float>(reward)};
    lesson.demonstrated = demonstrates(static_cast<Reason>(entry.reason));
    return teach(lesson);
  }

  bool teach(const Lesson& lesson) {
    if (learner_) return learner_->learn(lesson);
    outbox_.add(lesson, schema_.dimension(), options_.shape.features);
    return true;
  }

  /// The model's `calibrated_rows_`-th row has come: chooses scales from all rows so far. Left out
  /// where the ring lacks more than an eighth of them (bad rows fill it, or they came before a
  /// load or a fork): the lessons of those rows could not be learned anew, and would be forgotten.
  /// Scales that do not fit for that reason are found by what they clip.
  void calibrate() {
    std::uint64_t held = 0;
    ring_.each([&](std::size_t slot) { held += ring_.entry(slot).usable; });
    if (calibrated_rows_ == kCalibrations[0] || 8 * held >= 7 * calibrated_rows_) recalibrate(true);
  }

  /// Chooses all scales from what the ring holds, and learns its lessons anew under them. Without
  /// `first`, from recent decisions alone, and candidates' scales from those that were taken.
  void recalibrate(bool first) {
    std::vector<double> rows, taken;
    const std::uint32_t features = first ? 0 : candidate_scales_.features();
    const std::uint64_t back = first ? ring_.capacity() : recent(schema_.dimension());
    ring_.each_of_last(back, [&](std::size_t slot) {
      if (!ring_.entry(slot).usable) return;
      rows.insert(rows.end(), ring_.row(slot), ring_.row(slot) + schema_.fields());
      taken.insert(taken.end(), ring_.features(slot), ring_.features(slot) + features);
    });
    schema_.calibrate(rows);
    encoded_ = 0;
    candidate_scales_.calibrate(taken);
    relearn(back);
  }

  /// Teaches anew what the ring holds: all of it, or its `back` youngest entries.
  void relearn(std::uint64_t back) {
    if (learner_) {
      learner_->reset();
      learner_->begin_bulk();
    } else {
      outbox_.start_anew();
    }
    // What an episode has taught is forgotten, too: the feedback on its way teaches it, each step
    // for itself.
    ring_.each([&](std::size_t slot) { ring_.entry(slot).taught = false; });
    ring_.each_of_last(back, [&](std::size_t slot) {
      const EntryState state = ring_.entry(slot).state;
      const double reward = state == EntryState::kDone      ? reward_of(ring_.values(slot))
                            : state == EntryState::kExpired ? options_.timeout_reward
                                                            : kNothing;
      if (!std::isnan(reward)) settle(slot, reward);
    });
    if (learner_) learner_->end_bulk();
  }

  /// Settles decisions whose time has run out, a few a call, so that no call waits long.
  void expire(double now_s) {
    for (int i = 0; i < kTimeOuts; ++i) {
      const std::size_t slot = ring_.overdue(now_s - options_.timeout_s);
      if (slot == ring_.capacity()) return;
      time_out(slot);
    }
  }

  void time_out(std::size_t slot) {
    Entry& entry = ring_.entry(slot);
    if (journal_) journal_->timed_out(entry.id);
    entry.state = EntryState::kExpired;
    entry.reward = options_.timeout_reward;
    counters_.expired += 1;
    if (!std::isnan(entry.reward)) lessons_ += settle(slot, entry.reward);
  }

  float* x() { return x_.data(); }

  const DenseKernels* kernels_ = &dense_kernels();
  ChoiceOptions options_;
  Schema schema_;
  Objective objective_;
  Learner* learner_;
  Guard guard_;
  DecisionRing ring_;
  CandidateScales candidate_scales_;
  HoldbackComparison comparison_;
  ClipWatch clips_;
  Random random_;
  SpinLock lock_;
  Counters counters_;
  std::atomic<std::uint64_t> busy_{0};
  std::uint64_t lessons_ = 0;  ///< lessons ever taken: the version that decisions carry
  std::uint64_t calibrated_rows_ = 0;
  std::uint64_t newest_ = 0, encoded_ = 0;  ///< ids: last decision; whose context x_ holds, or 0
  Outbox outbox_;
  JournalHook* journal_ = nullptr;
  AlignedArray<float> x_, probabilities_, scaled_;
};

}  // namespace acumen
