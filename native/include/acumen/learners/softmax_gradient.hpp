// Softmax policy gradient: learn the probabilities themselves.
//
// Idea       p(a) = softmax of linear scores. After a lesson, the score of the arm that was taken
//            moves by its advantage, (reward - baseline) / deviation, and the others' against it:
//            W += rate · ρ · advantage · ∂ log p(a) / ∂W. The baseline is a ridge regression of the
//            reward on the context alone, whatever the arm.
// Guarantee  Importance-safe: lessons drawn long ago, or by another policy, are weighed by
//            ρ = p_now(a) / propensity, cut off at 1; advantages are cut off at ±4 and weights at
//            ±20 so that no single lesson decides and no arm dies out. A uniform mix keeps
//            every propensity positive.
//            Arms with features: a lesson does not tell what else was on offer, so that the mean
//            of the features under the policy is replaced by a running mean of those taken;
//            with a baseline that has learned the expected reward, this changes no expectation.
// Paper      Williams, "Simple statistical gradient-following algorithms for connectionist
//            reinforcement learning", Machine Learning 1992.
#pragma once

#include "acumen/learners/exploration.hpp"
#include "acumen/learners/reward_scale.hpp"
#include "acumen/learners/ridge.hpp"

namespace acumen {

struct SoftmaxGradientOptions {
  double rate = 1.0;
  double exploration = 0.02;
  double half_life = 0.0;
};

class SoftmaxGradient final : public Learner {
 public:
  SoftmaxGradient(LearnerShape shape, const SoftmaxGradientOptions& options)
      : Learner(shape),
        options_(options),
        stride_(padded(shape.dimension)),
        arm_stride_(padded(shape.features)),
        keep_(options.half_life > 0.0 ? std::exp2(-1.0 / options.half_life) : 1.0),
        rows_(shape.features ? shape.features : shape.arms),
        baseline_(1, shape.dimension, 1.0, options.half_life),
        scale_(options.half_life),
        weights_(static_cast<std::size_t>(rows_) * stride_),
        centre_(arm_stride_ + 8),
        slopes_(padded(rows_)),
        scores_(padded(shape.arms)),
        policy_(padded(shape.arms)) {}

  void distribution(const float* x, const ArmSet& arms, float* probabilities) override {
    softmax(x, arms);
    std::copy_n(policy_.data(), arms.count, probabilities);
    blend_uniform(probabilities, arms.count, static_cast<float>(options_.exploration));
  }

  void begin_bulk() override { baseline_.begin_bulk(); }
  void end_bulk() override { baseline_.end_bulk(); }

  bool validate() override {
    return scale_.valid() && baseline_.validate() &&
           within(weights_.data(), static_cast<std::uint32_t>(weights_.size()), kWeightLimit) &&
           within(centre_.data(), static_cast<std::uint32_t>(centre_.size()), kContextLimit);
  }

  std::size_t memory_bytes() const override {
    return sizeof(*this) + baseline_.bytes() + weights_.bytes() + centre_.bytes() +
           slopes_.bytes() + scores_.bytes() + policy_.bytes();
  }

 protected:
  void update(const Lesson& lesson) override {
    const float expected = baseline_.mean(lesson.x);
    const float square = kernels_->dot(lesson.x, lesson.x, stride_);
    scale_.add(lesson.reward);
    baseline_.set_prior_mean(scale_.average());
    scale_.add_error(baseline_.learn(0, lesson.x, lesson.reward).noise());
    if (version_ == 0) return;
    const double advantage = (lesson.reward - static_cast<double>(expected)) / scale_.noise();
    float step = static_cast<float>(options_.rate * std::clamp(advantage, -4.0, 4.0));
    step *= shape().features ? arm_slopes(lesson) : index_slopes(lesson);
    step /= 1.0f + square;
    // What is forgotten goes back to equal probabilities: certainty must be earned again.
    const float keep = static_cast<float>(keep_);
    for (std::uint32_t k = 0; k < rows_; ++k) {
      const float factor = step * slopes_[k];
      float* row = weights_.data() + k * stride_;
      for (std::uint32_t i = 0; i < stride_; ++i) {
        const float moved = keep * row[i] + factor * lesson.x[i];
        // Decayed weights become zero before they become denormal, which would be slow.
        const float kept = std::fabs(moved) < 1e-20f ? 0.0f : moved;
        row[i] = std::clamp(kept, -kWeightLimit, kWeightLimit);
      }
    }
  }

  void clear() override {
    baseline_.clear();
    scale_.clear();
    weights_.clear();
    centre_.clear();
  }

  void visit_state(StateVisitor& visitor) override {
    visitor.array("policy_weights", weights_.data(), weights_.size());
    visitor.array("centre", centre_.data(), centre_.size());
    baseline_.visit(visitor);
    scale_.visit(visitor);
  }

 private:
  static constexpr float kWeightLimit = 20.0f;

  void softmax(const float* x, const ArmSet& arms) {
    if (shape().features == 0) {
      kernels_->dots(weights_.data(), stride_, arms.count, x, stride_, scores_.data());
    } else {
      slopes_.clear();
      kernels_->dots(weights_.data(), stride_, rows_, x, stride_, slopes_.data());
      kernels_->dots(arms.features, arm_stride_, arms.count, slopes_.data(), arm_stride_,
                     scores_.data());
    }
    acumen::softmax(*kernels_, scores_.data(), arms.count, 1.0f, policy_.data());
  }

  /// slopes_[b] = 1[b = a] - p(b); returns ρ.
  float index_slopes(const Lesson& lesson) {
    softmax(lesson.x, {shape().arms, nullptr});
    for (std::uint32_t b = 0; b < rows_; ++b) slopes_[b] = -policy_[b];
    slopes_[lesson.arm] += 1.0f;
    const float mix = static_cast<float>(options_.exploration);
    const float now = (1.0f - mix) * policy_[lesson.arm] + mix / static_cast<float>(rows_);
    return std::min(now / lesson.propensity, 1.0f);
  }

  /// slopes_[k] = c_k - its running mean, over their squared length; the other arms, and with them
  /// p_now, are not known here, so that ρ is 1.
  float arm_slopes(const Lesson& lesson) {
    const float rate = 1.0f / static_cast<float>(std::min<std::uint64_t>(version_, 1000) + 1);
    float length = 1.0f;
    for (std::uint32_t k = 0; k < rows_; ++k) {
      slopes_[k] = lesson.features[k] - centre_[k];
      centre_[k] += rate * slopes_[k];
      length += slopes_[k] * slopes_[k];
    }
    return 1.0f / length;
  }

  const DenseKernels* kernels_ = &dense_kernels();
  SoftmaxGradientOptions options_;
  std::uint32_t stride_, arm_stride_;
  double keep_;
  std::uint32_t rows_;
  RidgeModels baseline_;
  RewardScale scale_;
  AlignedArray<float> weights_, centre_, slopes_, scores_, policy_;
};

}  // namespace acumen
