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
//            An early decision now and then takes longer (the 8th, 32nd, 128th and 512th): scales
//            are calibrated and the few lessons so far are learned anew.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "acumen/aligned.hpp"
#include "acumen/choice_types.hpp"
#include "acumen/confidence.hpp"
#include "acumen/decision_ring.hpp"
#include "acumen/guard.hpp"
#include "acumen/learner.hpp"
#include "acumen/objective.hpp"
#include "acumen/random.hpp"
#include "acumen/schema.hpp"
#include "acumen/spin_lock.hpp"

namespace acumen {

class ChoiceEngine {
 public:
  static constexpr std::uint32_t kSpins = 1000;  ///< decide() waits at most some 50 µs
  static constexpr std::uint64_t kCalibrationRows = 512;
  static constexpr std::array<std::uint64_t, 4> kCalibrations = {8, 32, 128, kCalibrationRows};
  static constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();  ///< no reward
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
        random_(options_.seed),
        x_(padded(schema_.dimension())),
        probabilities_(padded(options_.shape.arms)),
        scaled_(options_.shape.arms * std::size_t{padded(options_.shape.features)}) {
    outbox_.reserve(learner_ ? 0 : ring_.capacity());
    const std::size_t stride = padded(options_.shape.features);
    feature_scales_.resize(options_.arm_features.empty() ? options_.shape.features : 0);
    candidate_rows_.reserve(feature_scales_.size() * kCalibrationRows);
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
      answer.reason = view.killed               ? Reason::kKilled
                      : view.mode == Mode::kOff ? Reason::kOff
                      : !usable                 ? Reason::kBadContext
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

  FeedbackResult feedback(std::uint64_t id, const double* values) {
    const std::lock_guard<SpinLock> guard(lock_);
    const std::size_t slot = ring_.find(id);
    if (slot == ring_.capacity()) return counted(FeedbackResult::kUnknown);
    if (ring_.entry(slot).state == EntryState::kDone) return counted(FeedbackResult::kDuplicate);
    const double reward = objective_.reward(values);
    if (std::isnan(reward)) return counted(FeedbackResult::kBad);
    std::copy_n(values, objective_.metrics(), ring_.values(slot));
    // Feedback after its time-out corrects the record, but the default reward was learned already.
    const bool late =
        ring_.entry(slot).state == EntryState::kExpired && !std::isnan(options_.timeout_reward);
    ring_.entry(slot).state = EntryState::kDone;
    if (late) return counted(FeedbackResult::kRecorded);
    const bool learned = settle(slot, reward);
    lessons_ += learned;
    return counted(learned ? FeedbackResult::kLearned : FeedbackResult::kRecorded);
  }

  /// Another objective over the same metrics; the model learns anew from the ring's raw metrics.
  void set_objective(std::vector<Metric> metrics) {
    const std::lock_guard<SpinLock> guard(lock_);
    objective_ = Objective(std::move(metrics));
    comparison_ = HoldbackComparison();
    relearn(true);
  }

  /// Encodes a row as decide() would, and marks unseen categories in it, as decide() would; false
  /// if it is bad. For a learner outside the engine.
  bool encode(double* row, float* x) {
    const std::lock_guard<SpinLock> guard(lock_);
    schema_.meet(row);
    return schema_.encode(row, x) == Schema::kGood;
  }

  /// Writes the features of the arms as the learner sees them, padded rows; `candidates` null:
  /// those of the fixed arms. For a learner outside the engine.
  void arm_features(const float* candidates, std::uint32_t count, float* out) {
    const std::lock_guard<SpinLock> guard(lock_);
    if (candidates) {
      scale_rows(candidates, count, out);
    } else {
      std::copy_n(scaled_.data(), count * padded(options_.shape.features), out);
    }
  }

  /// Shows the model's whole state: what save() writes and load() overwrites.
  void visit(StateVisitor& visitor) {
    const std::lock_guard<SpinLock> guard(lock_);
    visit_state(visitor);
  }

  /// Lets a visitor write a saved state. False: it broke an invariant, and all is forgotten.
  bool overwrite(StateVisitor& writer) {
    const std::lock_guard<SpinLock> guard(lock_);
    visit_state(writer);
    const bool good = schema_.valid() && Schema::valid(feature_scales_) && comparison_.valid() &&
                      (!learner_ || learner_->validate());
    if (!good) forget();
    return good;
  }

  Guard& guard() { return guard_; }
  const Schema& schema() const { return schema_; }
  DecisionRing& ring() { return ring_; }
  Learner* learner() { return learner_; }
  const ChoiceOptions& options() const { return options_; }
  SpinLock& lock() { return lock_; }
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
    return comparison_;
  }

  /// Whether there is something to take out of the outbox.
  bool has_lessons() {
    const std::lock_guard<SpinLock> guard(lock_);
    return outbox_reset_ || !outbox_.empty();
  }

  /// Lessons for a learner outside the engine; `reset` says that it is to forget all before.
  std::vector<OwnedLesson> take_outbox(bool& reset) {
    const std::lock_guard<SpinLock> guard(lock_);
    reset = outbox_reset_;
    outbox_reset_ = false;
    return std::exchange(outbox_, {});
  }

  /// After fork(): a lock that a lost thread held is free again, the child draws other numbers,
  /// and its decisions have ids of their own.
  void become_replica(std::uint64_t seed, std::uint64_t replica) {
    lock_.unlock();
    random_.reseed(seed);
    ring_.restart(replica);
  }

  std::size_t memory_bytes() const {
    return sizeof(*this) + schema_.memory_bytes() + ring_.memory_bytes() +
           (learner_ ? learner_->memory_bytes() : 0) +
           4 * (x_.size() + probabilities_.size() + scaled_.size()) +
           8 * candidate_rows_.capacity();
  }

 private:
  void visit_state(StateVisitor& visitor) {
    visitor.array("lessons", &lessons_, 1);
    visitor.array("calibrated_rows", &calibrated_rows_, 1);
    schema_.visit(visitor);
    Schema::visit_scales(visitor, "candidates.scales", feature_scales_);
    comparison_.visit(visitor);
    if (learner_) learner_->visit(visitor);
  }

  /// Encodes the context and the candidates into the scratch arrays; false: bad values.
  bool prepare(const Question& question, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count * options_.shape.features && question.candidates; ++i)
      if (!std::isfinite(question.candidates[i])) return false;
    schema_.meet(question.row);
    if (schema_.encode(question.row, x()) != Schema::kGood) return false;
    if (question.candidates) {
      remember_candidates(question.candidates, count);
      scale_rows(question.candidates, count, scaled_.data());
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
    float total = 0.0f;
    for (std::uint32_t i = 0; i < count; ++i) {
      if (!(p[i] >= 0.0f)) return 0.0f;
      total += p[i];
    }
    return std::isfinite(total) ? total : 0.0f;
  }

  /// Tosses the guard's coin and draws an arm; fills the answer.
  void draw(float total, std::uint32_t count, float share, Mode mode, Answer& answer) {
    const float* p = probabilities_.data();
    const std::uint32_t default_arm = answer.arm;
    double u = random_.uniform() * static_cast<double>(total);
    // The last arm with p > 0 takes what rounding leaves.
    for (std::uint32_t i = 0; i < count && u >= 0.0; ++i) {
      if (!(p[i] > 0.0f)) continue;
      answer.suggested = i;
      u -= static_cast<double>(p[i]);
    }
    const bool learned = share > 0.0f && random_.uniform() < static_cast<double>(share);
    answer.reason = learned                 ? Reason::kLearned
                    : mode == Mode::kOn     ? Reason::kHoldback
                    : mode == Mode::kCanary ? Reason::kControl
                                            : Reason::kShadow;
    if (learned) answer.arm = answer.suggested;
    answer.propensity = (answer.arm < count ? share * (p[answer.arm] / total) : 0.0f) +
                        (answer.arm == default_arm ? 1.0f - share : 0.0f);
  }

  void record(const Question& question, bool usable, float share, Answer& answer) {
    bool lost = false;
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
    if (usable && calibrated_rows_ < kCalibrationRows) {
      calibrated_rows_ += 1;
      if (std::find(kCalibrations.begin(), kCalibrations.end(), calibrated_rows_) !=
          kCalibrations.end())
        calibrate();
    }
  }

  /// One decision's reward is known: compare, and teach. False: there was nothing to learn.
  bool settle(std::size_t slot, double reward) {
    const Entry& entry = ring_.entry(slot);
    comparison_.observe(entry.learned, static_cast<double>(entry.learned_share), reward);
    const Reason reason = static_cast<Reason>(entry.reason);
    if (!entry.usable || reason == Reason::kOff || reason == Reason::kKilled) return false;
    if (schema_.encode(ring_.row(slot), x()) != Schema::kGood) return false;
    const float* features = nullptr;
    if (options_.shape.features) features = features_taken(slot, entry.arm);
    const Lesson lesson{x(), entry.arm, features, entry.propensity, static_cast<float>(reward)};
    return teach(lesson);
  }

  bool teach(const Lesson& lesson) {
    if (learner_) return learner_->learn(lesson);
    const std::uint32_t features = options_.shape.features;
    OwnedLesson owned{{lesson.x, lesson.x + schema_.dimension()},
                      {},
                      lesson.arm,
                      lesson.propensity,
                      lesson.reward};
    if (lesson.features) owned.features.assign(lesson.features, lesson.features + features);
    outbox_.push_back(std::move(owned));
    return true;
  }

  /// Scaled features of the arm that was taken. Fixed arms have theirs in `scaled_`.
  const float* features_taken(std::size_t slot, std::uint32_t arm) {
    const std::size_t stride = padded(options_.shape.features);
    if (!options_.arm_features.empty()) return scaled_.data() + arm * stride;
    scale_rows(ring_.features(slot), 1, scaled_.data());
    return scaled_.data();
  }

  void scale_rows(const float* rows, std::uint32_t count, float* out) const {
    const std::uint32_t n = options_.shape.features;
    const std::size_t stride = padded(n);
    for (std::uint32_t r = 0; r < count; ++r)
      for (std::uint32_t j = 0; j < n; ++j)
        out[r * stride + j] = Schema::standardised(rows[r * n + j], feature_scales_[j]);
  }

  void remember_candidates(const float* rows, std::uint32_t count) {
    const std::size_t room = candidate_rows_.capacity() - candidate_rows_.size();
    const std::size_t wanted = static_cast<std::size_t>(count) * options_.shape.features;
    if (calibrated_rows_ < kCalibrationRows)
      candidate_rows_.insert(candidate_rows_.end(), rows, rows + std::min(room, wanted));
  }

  /// The model's `calibrated_rows_`-th row has come: chooses scales from all rows so far. Left out
  /// where the ring lacks more than an eighth of them (bad rows fill it, or they came before a
  /// load or a fork): the lessons of those rows could not be learned anew, and would be forgotten.
  void calibrate() {
    std::uint64_t held = 0;
    ring_.each([&](std::size_t slot) { held += ring_.entry(slot).usable; });
    if (calibrated_rows_ == kCalibrations[0] || 8 * held >= 7 * calibrated_rows_) recalibrate();
  }

  /// Chooses all scales from what the ring holds, and learns its lessons anew under them.
  void recalibrate() {
    std::vector<double> rows;
    ring_.each([&](std::size_t slot) {
      if (ring_.entry(slot).usable)
        rows.insert(rows.end(), ring_.row(slot), ring_.row(slot) + schema_.fields());
    });
    schema_.calibrate(rows);
    Schema::calibrate(candidate_rows_, feature_scales_);
    relearn(false);
  }

  void relearn(bool compare) {
    if (learner_) {
      learner_->reset();
    } else {
      outbox_.clear();
      outbox_reset_ = true;
    }
    const HoldbackComparison before = comparison_;
    ring_.each([&](std::size_t slot) {
      const EntryState state = ring_.entry(slot).state;
      const double reward = state == EntryState::kDone      ? objective_.reward(ring_.values(slot))
                            : state == EntryState::kExpired ? options_.timeout_reward
                                                            : kNothing;
      if (!std::isnan(reward)) settle(slot, reward);
    });
    if (!compare) comparison_ = before;
  }

  void forget() {
    schema_.forget();
    std::fill(feature_scales_.begin(), feature_scales_.end(), Scale{});
    comparison_ = HoldbackComparison();
    lessons_ = calibrated_rows_ = 0;
    candidate_rows_.clear();
    if (learner_) learner_->reset();
  }

  /// Settles decisions whose time has run out; at most two a call, so that no call waits long.
  void expire(double now_s) {
    for (int i = 0; i < 2; ++i) {
      const std::size_t slot = ring_.overdue(now_s - options_.timeout_s);
      if (slot == ring_.capacity()) return;
      ring_.entry(slot).state = EntryState::kExpired;
      counters_.expired += 1;
      if (!std::isnan(options_.timeout_reward)) lessons_ += settle(slot, options_.timeout_reward);
    }
  }

  FeedbackResult counted(FeedbackResult result) {
    switch (result) {
      case FeedbackResult::kLearned:
        counters_.feedback_learned += 1;
        break;
      case FeedbackResult::kRecorded:
        counters_.feedback_recorded += 1;
        break;
      case FeedbackResult::kDuplicate:
        counters_.feedback_duplicate += 1;
        break;
      case FeedbackResult::kUnknown:
        counters_.feedback_unknown += 1;
        break;
      case FeedbackResult::kBad:
        counters_.feedback_bad += 1;
        break;
    }
    return result;
  }

  float* x() { return x_.data(); }

  ChoiceOptions options_;
  Schema schema_;
  Objective objective_;
  Learner* learner_;
  Guard guard_;
  DecisionRing ring_;
  HoldbackComparison comparison_;
  Random random_;
  SpinLock lock_;
  Counters counters_;
  std::atomic<std::uint64_t> busy_{0};
  std::uint64_t lessons_ = 0;  ///< lessons ever taken: the version that decisions carry
  std::uint64_t calibrated_rows_ = 0;
  bool outbox_reset_ = false;
  std::vector<OwnedLesson> outbox_;
  AlignedArray<float> x_, probabilities_, scaled_;
  std::vector<Scale> feature_scales_;   ///< of candidates; empty for fixed arms
  std::vector<double> candidate_rows_;  ///< the first candidates, for their scales
};

}  // namespace acumen
