// What goes into the choice engine and what comes out of it: plain records.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "acumen/guard.hpp"
#include "acumen/learner.hpp"
#include "acumen/objective.hpp"
#include "acumen/schema.hpp"

namespace acumen {

struct ChoiceOptions {
  std::vector<Field> fields;
  std::vector<Metric> metrics;
  LearnerShape shape;                ///< dimension is the schema's
  std::vector<float> arm_features;   ///< of fixed arms (arms × features), or empty
  std::uint32_t pending_max = 4096;  ///< decisions kept: the power of two above, >= 512
  double timeout_s = 0.0;            ///< 0: wait until the ring comes round
  double timeout_reward = std::numeric_limits<double>::quiet_NaN();  ///< NaN: teach nothing
  Mode mode = Mode::kOn;
  float canary_share = 0.0f;
  float holdback = 0.02f;
  std::uint64_t seed = 0;
  std::uint64_t replica = 0;
};

/// One call for a decision.
struct Question {
  double* row = nullptr;              ///< schema.fields() doubles; unseen categories are marked
  const float* candidates = nullptr;  ///< candidate_count × features, unscaled, or null
  std::uint32_t candidate_count = 0;
  std::uint32_t default_arm = 0;
  const float* given = nullptr;  ///< a distribution made elsewhere (a learner outside the engine)
  Reason problem = Reason::kLearned;  ///< a reason to serve the default, known before the call
  double now_s = 0.0;
  std::uint64_t episode = 0;  ///< a sequence of decisions that this one belongs to, or 0
  std::uint32_t step = 0;     ///< its place in there
};

/// One decision.
struct Answer {
  std::uint64_t id = 0;
  std::uint64_t version = 0;
  std::uint32_t arm = 0;
  std::uint32_t suggested = 0;  ///< what the learned policy drew, or kNoArm
  float propensity = 1.0f;
  Reason reason = Reason::kLearned;
};

enum class FeedbackResult : std::uint8_t {
  kLearned,    ///< it taught something
  kRecorded,   ///< there was nothing to learn, or it came too late for that
  kDuplicate,  ///< the decision has its feedback
  kUnknown,    ///< no such decision, or it is no longer kept
  kBad,        ///< no reward follows from it; a good one may still come
  kCount,
};

struct Counters {
  std::array<std::uint64_t, static_cast<std::size_t>(Reason::kCount)> reasons{};
  std::array<std::uint64_t, static_cast<std::size_t>(FeedbackResult::kCount)> feedback{};
  std::uint64_t expired = 0, overwritten = 0;

  FeedbackResult count(FeedbackResult result) {
    feedback[static_cast<std::size_t>(result)] += 1;
    return result;
  }
};

}  // namespace acumen
