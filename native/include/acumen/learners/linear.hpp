// What the linear learners have in common: the expected reward of every arm, and how sure it is.
//
// Idea       Arms known by their index have a ridge regression each, over the context x. Arms with
//            features c share one, over phi = x ⊗ (1, c), so that what is learned of one arm holds
//            for all that look like it; where that has more than 128 values, over phi = (x, c).
//            Either phi is linear in g = (1, c): for one context, the mean of all arms is w·g and
//            the variance gᵀ M g, with w and M computed once for the call.
// Guarantee  Means and deviations are finite, deviations positive. Memory is fixed by the shape.
// Layout     phi holds x first, then for each feature the block c_k · x (or the one value c_k).
// Paper      Li, Chu, Langford & Schapire, "A contextual-bandit approach to personalized news
//            article recommendation", WWW 2010 (disjoint and hybrid models).
#pragma once

#include <algorithm>
#include <cmath>
#include <typeinfo>

#include "acumen/learners/reward_scale.hpp"
#include "acumen/learners/ridge.hpp"

namespace acumen {

struct LinearOptions {
  double ridge = 1.0;      ///< λ of the prior: how many lessons' worth of "no effect" is assumed
  double half_life = 0.0;  ///< lessons after which a lesson counts half; 0: never forget
};

/// Most values of phi; beyond, the products of context and arm features are left out.
inline constexpr std::uint32_t kDesignLimit = 128;

class LinearLearner : public Learner {
 public:
  LinearLearner(LearnerShape shape, const LinearOptions& options)
      : Learner(shape),
        products_(shape.dimension * (1 + shape.features) <= kDesignLimit),
        arm_stride_(padded(shape.features)),
        models_(shape.features ? 1 : shape.arms, design_size(shape), options.ridge,
                options.half_life),
        scale_(options.half_life),
        mean_(padded(shape.arms)),
        deviation_(padded(shape.arms)),
        design_(shape.features ? (shape.features + 1) * design_stride() : 0),
        image_(design_stride() + 8),
        weights_(padded(1 + shape.features) + 8),
        form_(shape.features ? packed_size(1 + shape.features) : 0),
        arm_(padded(1 + shape.features)),
        arm_outer_(form_.size()) {}

  const RidgeModels& models() const { return models_; }
  const RewardScale& scale() const { return scale_; }

  bool expected(const float* x, const ArmSet& arms, float* rewards) override {
    std::copy_n(means(x, arms), arms.count, rewards);
    return true;
  }

  bool merge(const Learner& other) override {
    if (typeid(*this) != typeid(other) || other.shape() != shape()) return false;
    const auto* o = static_cast<const LinearLearner*>(&other);
    if (!models_.same_terms(o->models_)) return false;
    scale_.merge(o->scale_);
    models_.merge(o->models_, scale_.average());
    version_ += o->version();
    return true;
  }

  void begin_bulk() override { models_.begin_bulk(); }
  void end_bulk() override { models_.end_bulk(); }

  bool validate() override { return scale_.valid() && models_.validate(); }

  std::size_t memory_bytes() const override {
    return sizeof(*this) + models_.bytes() + mean_.bytes() + deviation_.bytes() + design_.bytes() +
           image_.bytes() + weights_.bytes() + form_.bytes() + arm_.bytes() + arm_outer_.bytes();
  }

 protected:
  const DenseKernels& kernels() const { return *kernels_; }

  /// The expected reward of every arm, in the reward's unit.
  const float* means(const float* x, const ArmSet& arms) {
    if (shape().features == 0) {
      models_.means(x, arms.count, mean_.data());
      return mean_.data();
    }
    const float* theta = models_.theta(0);
    const std::uint32_t d = shape().dimension, f = shape().features;
    if (products_) {
      kernels_->dots(theta + d, d, f, x, padded(d), &weights_[8]);
    } else {
      std::copy_n(theta + d, f, &weights_[8]);
    }
    kernels_->dots(arms.features, arm_stride_, arms.count, &weights_[8], arm_stride_, mean_.data());
    const float shared = kernels_->dot(theta, x, padded(d));
    for (std::uint32_t a = 0; a < arms.count; ++a) mean_[a] += shared;
    return mean_.data();
  }

  /// The standard deviation of every arm's expected reward under the posterior, in the reward's
  /// unit, times `scale`. `contrast`: of its difference from the arms' average instead, which
  /// leaves out the uncertainty that all arms share and that decides nothing.
  float* deviations(const float* x, const ArmSet& arms, float scale, bool contrast) {
    if (shape().features == 0) {
      models_.variances(x, arms.count, deviation_.data());
    } else {
      shared_variances(x, arms, contrast);
    }
    const float noise = scale * static_cast<float>(scale_.noise());
    kernels_->deviations(deviation_.data(), noise, padded(arms.count), deviation_.data());
    return deviation_.data();
  }

  void update(const Lesson& lesson) override { scale_.add_error(teach(lesson).noise()); }

  /// Teaches the regression; the caller decides what error counts as noise.
  Surprise teach(const Lesson& lesson) {
    scale_.add(lesson.reward);
    models_.set_prior_mean(scale_.average());
    if (shape().features == 0) return models_.learn(lesson.arm, lesson.x, lesson.reward);
    float* phi = design_.data();
    std::fill_n(phi, design_stride(), 0.0f);
    write_design(lesson.x, 0, 1.0f, phi);
    for (std::uint32_t k = 0; k < shape().features; ++k) {
      write_design(lesson.x, k + 1, lesson.features[k], phi);
    }
    return models_.learn(0, phi, lesson.reward);
  }

  void note_noise(double variance) { scale_.add_error(variance); }

  void clear() override {
    models_.clear();
    scale_.clear();
  }

  void visit_state(StateVisitor& visitor) override {
    models_.visit(visitor);
    scale_.visit(visitor);
  }

 private:
  static std::uint32_t design_size(const LearnerShape& shape) {
    const std::uint32_t full = shape.dimension * (1 + shape.features);
    return full <= kDesignLimit ? full : shape.dimension + shape.features;
  }
  std::uint32_t design_stride() const { return padded(models_.dimension()); }

  /// What feature k (0: the constant 1) contributes to phi, times `factor`.
  void write_design(const float* x, std::uint32_t k, float factor, float* phi) const {
    const std::uint32_t d = shape().dimension;
    if (k == 0 || products_) {
      for (std::uint32_t i = 0; i < d; ++i) phi[k * d + i] = factor * x[i];
    } else {
      phi[d + k - 1] = factor;
    }
  }

  /// M = Tᵀ P T, where column k of T is what g_k contributes to phi; then gᵀ M g for every arm.
  void shared_variances(const float* x, const ArmSet& arms, bool contrast) {
    const std::uint32_t f = shape().features, width = f + 1, stride = design_stride();
    design_.clear();
    for (std::uint32_t k = 0; k < width; ++k) {
      write_design(x, k, 1.0f, design_.data() + k * stride);
    }
    for (std::uint32_t k = contrast ? 1 : 0; k < width; ++k) {
      kernels_->multiply(models_.inverse(0), design_.data() + k * stride, models_.dimension(),
                         image_.data());
      float* row = form_.data() + packed_row(k);
      const std::uint32_t columns = std::min(width, k / 8 * 8 + 8);
      kernels_->dots(design_.data(), stride, columns, image_.data(), stride, row);
    }
    arm_.clear();
    float* average = weights_.data() + 8;
    std::fill_n(average, arm_stride_, 0.0f);
    for (std::uint32_t a = 0; contrast && a < arms.count; ++a) {
      for (std::uint32_t k = 0; k < f; ++k) average[k] += arms.features[a * arm_stride_ + k];
    }
    const float share = 1.0f / static_cast<float>(arms.count);
    arm_[0] = contrast ? 0.0f : 1.0f;
    for (std::uint32_t a = 0; a < arms.count; ++a) {
      for (std::uint32_t k = 0; k < f; ++k) {
        arm_[k + 1] = arms.features[a * arm_stride_ + k] - share * average[k];
      }
      kernels_->outer(arm_.data(), width, arm_outer_.data());
      deviation_[a] = kernels_->dot(form_.data(), arm_outer_.data(), form_.size());
    }
  }

  const DenseKernels* kernels_ = &dense_kernels();
  bool products_;
  std::uint32_t arm_stride_;
  RidgeModels models_;
  RewardScale scale_;
  AlignedArray<float> mean_, deviation_;
  AlignedArray<float> design_, image_, weights_, form_, arm_, arm_outer_;
};

}  // namespace acumen
