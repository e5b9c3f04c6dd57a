// Replay: a model again from what a journal says of it, bit for bit.
//
// Idea       Events are applied in the order in which they happened. A decision is recorded as it
//            was (nothing is drawn), feedback and time-outs are joined to it, and what followed
//            from them then (lessons, new scales, learning anew) follows from them again, because
//            the engine has no other inputs: no clock, and randomness only where it draws.
// Guarantee  Equal events give equal bits, given the same schema, learner and size of the ring.
//            What cannot be (an arm that is not there) is refused, and changes nothing. While one
//            lives the engine tells its own journal nothing.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "acumen/choice.hpp"

namespace acumen {

/// A decision as a journal has it.
struct PastDecision {
  std::uint64_t id = 0, version = 0;
  std::uint32_t arm = 0;  ///< kNoArm: there was none to serve
  float propensity = 1.0f, learned_share = 0.0f;
  std::uint8_t reason = 0;
  bool usable = false;
  double time_s = 0.0;
  const double* row = nullptr;      ///< schema.fields() doubles, unseen categories marked
  const float* features = nullptr;  ///< of the arm that was taken, unscaled, or null
};

class Replay {
 public:
  /// For who holds engine.lock(), as long as it lives.
  explicit Replay(ChoiceEngine& engine)
      : engine_(engine), journal_(engine.journal_), replica_(engine.ring_.replica()) {
    engine_.journal_ = nullptr;
    engine_.ring_.go_back();
  }
  ~Replay() {
    engine_.journal_ = journal_;
    engine_.ring_.rename(replica_);
  }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  /// False: it cannot have been like that.
  bool decision(const PastDecision& past) {
    const ChoiceOptions& options = engine_.options_;
    const std::uint32_t arms = options.shape.arms, features = options.shape.features;
    const bool candidates = features > 0 && options.arm_features.empty();
    const bool good_reason = past.reason < static_cast<std::uint8_t>(Reason::kCount);
    const bool good_id = (past.id & DecisionRing::kSequenceMask) != 0;
    if (!good_id || !good_reason) return false;
    row_.assign(past.row, past.row + engine_.schema_.fields());
    Question question;
    question.row = row_.data();
    question.now_s = past.time_s;
    bool usable = past.usable && past.arm < arms && candidates == (past.features != nullptr) &&
                  engine_.schema_.encode(row_.data(), engine_.x()) == Schema::kGood;
    for (std::uint32_t i = 0; i < features && usable && candidates; ++i)
      usable = std::isfinite(past.features[i]);
    if (usable && candidates) {
      // Where the arm's features stood among the others': the rest is not known, nor needed.
      matrix_.resize(std::size_t{arms} * features);
      std::copy_n(past.features, features, matrix_.data() + std::size_t{past.arm} * features);
      question.candidates = matrix_.data();
      question.candidate_count = past.arm + 1;
      float* scaled = engine_.scaled_.data() + past.arm * std::size_t{padded(features)};
      engine_.candidate_scales_.scale(past.features, 1, scaled);
    }
    const auto reason = static_cast<Reason>(past.reason);
    Answer answer{0, past.version, past.arm, ChoiceEngine::kNoArm, past.propensity, reason};
    go_to(past.id);
    engine_.record(question, usable, past.learned_share, answer);
    if (candidates && past.features && !usable)
      std::copy_n(past.features, features, engine_.ring_.features(engine_.ring_.find(answer.id)));
    return usable == past.usable;
  }

  FeedbackResult feedback(std::uint64_t id, const double* values) {
    // Time-outs are events of their own: on this clock none is ever due.
    return engine_.feedback_locked(id, values, -std::numeric_limits<double>::infinity());
  }

  /// False: there is no such decision that waits.
  bool timed_out(std::uint64_t id) {
    const std::size_t slot = engine_.ring_.find(id);
    if (slot == engine_.ring_.capacity()) return false;
    if (engine_.ring_.entry(slot).state != EntryState::kWaiting) return false;
    engine_.time_out(slot);
    return true;
  }

  void candidate(const float* features) { engine_.candidate_scales_.remember(features, 1); }

  void seen(std::uint32_t field, std::uint64_t code) { engine_.schema_.mark_seen(field, code); }

  /// A stream begins whose engine had no recent decisions.
  void forget_decisions() { engine_.ring_.restart(replica_); }

 private:
  /// Decisions whose events are missing leave their slots empty.
  void go_to(std::uint64_t id) {
    DecisionRing& ring = engine_.ring_;
    const std::uint64_t missing = ring.missing_before(id), replica = id >> 40;
    if (missing >= ring.capacity() && ring.may_move_to(id)) {
      ring.move_to(id & DecisionRing::kSequenceMask);
      ring.rename(replica);
    } else if (missing >= ring.capacity()) {
      compare_in_order(ring, engine_.comparison_, ring.capacity());
      while (ring.uncompared() != ring.capacity()) compare_oldest(ring, engine_.comparison_);
      ring.restart(replica, id & DecisionRing::kSequenceMask);
    } else {
      for (std::uint64_t i = 0; i < missing; ++i) {
        if (ring.is_full()) compare_oldest(ring, engine_.comparison_);
        ring.skip();
      }
      ring.rename(replica);
    }
  }

  ChoiceEngine& engine_;
  JournalHook* journal_;
  std::uint64_t replica_;
  std::vector<double> row_;
  std::vector<float> matrix_;
};

}  // namespace acumen
