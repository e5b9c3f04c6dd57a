// The learner: what turns feedback into better choices. Every native learner implements this.
//
// Idea       A learner answers one question, "with which probability would you take each arm in
//            this context?", and takes one lesson, "arm a was taken with probability p here, and
//            this reward came of it". The choice engine draws from the answer itself, so that the
//            recorded propensity is, by construction, the probability with which the arm was
//            sampled; a learner never draws.
// Guarantee  distribution() writes `arms.count` finite, non-negative floats that sum to 1 (within
//            rounding; the engine renormalises). Inputs are finite: the engine has seen to it.
//            Not thread-safe: the engine's lock is the only one.
// Layout     Context x: padded(shape.dimension) floats, x[0] = 1 (the bias), standardised values,
//            zero padding. Arm features: padded(shape.features) floats a row, zero padding.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "acumen/dense.hpp"

namespace acumen {

/// What a learner is built for; fixed for its life.
struct LearnerShape {
  std::uint32_t dimension = 1;  ///< values of x, the bias included
  std::uint32_t arms = 0;       ///< fixed arms, or the most candidates that a call may bring
  std::uint32_t features = 0;   ///< features of an arm; 0: arms are known by their index alone

  bool operator==(const LearnerShape&) const = default;
};

/// The arms of one call.
struct ArmSet {
  std::uint32_t count = 0;          ///< 1 … shape.arms
  const float* features = nullptr;  ///< count rows of padded(shape.features) floats, or null
};

/// What came of one choice.
struct Lesson {
  const float* x = nullptr;         ///< the context
  std::uint32_t arm = 0;            ///< index of the arm that was taken
  const float* features = nullptr;  ///< that arm's features, or null
  float propensity = 1.0f;          ///< probability with which it was taken, in (0, 1]
  float reward = 0.0f;              ///< more is better; in the objective's own unit
  bool demonstrated = false;        ///< the default took this arm, whatever the policy wanted
};

/// What a lesson may contain at most: far outside of anything that means something, and small
/// enough that sums over 10^18 lessons stay finite.
inline constexpr float kRewardLimit = 1e18f;
inline constexpr float kContextLimit = 1e4f;

/// Whether all |values| are at most `limit`; false for NaN. Written for the compiler to vectorise.
inline bool within(const float* values, std::uint32_t count, float limit) {
  const auto most = std::bit_cast<std::int32_t>(limit);
  std::int32_t left = 0;
  for (std::uint32_t i = 0; i < count; ++i)
    left |= most - (std::bit_cast<std::int32_t>(values[i]) & 0x7fffffff);
  return left >= 0;
}

/// Walks over a learner's whole state, array by array, to save it or to restore it.
class StateVisitor {
 public:
  virtual ~StateVisitor() = default;
  virtual void array(std::string_view name, float* values, std::size_t count) = 0;
  virtual void array(std::string_view name, double* values, std::size_t count) = 0;
  virtual void array(std::string_view name, std::uint64_t* values, std::size_t count) = 0;
};

class Learner {
 public:
  explicit Learner(LearnerShape shape) : shape_(shape) {}
  Learner(const Learner&) = delete;
  Learner& operator=(const Learner&) = delete;
  virtual ~Learner() = default;

  const LearnerShape& shape() const { return shape_; }

  /// Lessons taken so far: the version of the model.
  std::uint64_t version() const { return version_; }

  /// Writes the probability of every arm into probabilities[0 … arms.count), an array with room for
  /// padded(arms.count) values; those behind the last arm mean nothing.
  virtual void distribution(const float* x, const ArmSet& arms, float* probabilities) = 0;

  /// Writes the reward that is expected of every arm into rewards[0 … arms.count). False: this
  /// learner models no rewards.
  virtual bool expected(const float* x, const ArmSet& arms, float* rewards) {
    static_cast<void>(x), static_cast<void>(arms), static_cast<void>(rewards);
    return false;
  }

  /// Takes one lesson. False, and nothing changes, for what could make the state non-finite: an
  /// unknown arm, NaN, or a magnitude above the limits.
  bool learn(const Lesson& lesson) {
    if (lesson.arm >= shape_.arms || !(lesson.propensity > 0.0f && lesson.propensity <= 1.01f) ||
        !within(&lesson.reward, 1, kRewardLimit) ||
        !within(lesson.x, padded(shape_.dimension), kContextLimit)) {
      return false;
    }
    if (shape_.features > 0 && (lesson.features == nullptr ||
                                !within(lesson.features, padded(shape_.features), kContextLimit))) {
      return false;
    }
    update(lesson);
    ++version_;
    return true;
  }

  /// Many lessons follow, without a question in between: what serves questions alone may wait.
  virtual void begin_bulk() {}
  virtual void end_bulk() {}

  /// Forgets everything.
  void reset() {
    clear();
    version_ = 0;
  }

  /// Adds the other's lessons to its own, where statistics add up. False: they do not, or the
  /// two are not of one kind and shape; nothing has changed then.
  virtual bool merge(const Learner& other) {
    static_cast<void>(other);
    return false;
  }

  /// Shows every array of the state under a stable name; sizes depend on the shape alone.
  void visit(StateVisitor& visitor) {
    visitor.array("version", &version_, 1);
    visit_state(visitor);
  }

  /// Called after visit() has overwritten the state: rebuilds what is derived and says whether
  /// the state keeps every invariant (finite, positive definite …). False: call reset().
  virtual bool validate() = 0;

  /// Bytes held, scratch included; constant for the learner's life.
  virtual std::size_t memory_bytes() const = 0;

 protected:
  virtual void update(const Lesson& lesson) = 0;
  virtual void clear() = 0;
  virtual void visit_state(StateVisitor& visitor) = 0;

  std::uint64_t version_ = 0;

 private:
  LearnerShape shape_;
};

}  // namespace acumen
