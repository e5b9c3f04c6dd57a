// Multinomial logistic regression over additive features: which arm would somebody take here?
//
// Idea       An arm's score is a line plus a curve for every input (16 hats at the quantiles of the
//            normal distribution, since inputs come standardised): lines for weighted sums, curves
//            for thresholds. Learning is stochastic gradient descent on the log loss,
//            w -= rate · g / sqrt(Σ g²), each weight with the sum of its own gradients (AdaGrad).
// Guarantee  Finite: a gradient is at most |x|, its sum of squares grows linearly, and weights are
//            cut off at ±1000. No Python, no allocation after construction.
// Layout     lines: arms rows of padded(dimension) floats; curves: 16 · inputs rows, a column an
//            arm. Sums of squares lie beside both, in the same places.
// Paper      Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and
//            stochastic optimization", JMLR 2011; Hastie & Tibshirani, "Generalized additive
//            models", 1986.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "acumen/aligned.hpp"
#include "acumen/learner.hpp"
#include "acumen/learners/exploration.hpp"
#include "acumen/learners/hat_basis.hpp"

namespace acumen {

class Multinomial {
 public:
  Multinomial(std::uint32_t dimension, std::uint32_t arms)
      : dimension_(dimension),
        stride_(padded(dimension)),
        arms_(arms),
        columns_(padded(arms)),
        basis_(dimension - 1),
        lines_(std::size_t{arms} * stride_),
        line_sums_(lines_.size()),
        curves_(std::size_t{HatBasis::kPoints} * (dimension - 1) * columns_),
        curve_sums_(curves_.size()),
        values_(basis_.stride()),
        index_(2 * (dimension - 1)),
        hat_(index_.size()),
        scores_(columns_),
        row_(columns_),
        probabilities_(columns_) {}

  /// The likeliest arm.
  std::uint32_t likeliest(const float* x) {
    score(x);
    const float* best = std::max_element(scores_.data(), scores_.data() + arms_);
    return static_cast<std::uint32_t>(best - scores_.data());
  }

  /// Somebody took this arm here.
  void learn(const float* x, std::uint32_t arm) {
    const std::uint32_t active = score(x);
    softmax(*kernels_, scores_.data(), arms_, 1.0f, probabilities_.data());
    probabilities_[arm] -= 1.0f;
    for (std::uint32_t a = 0; a < arms_; ++a) {
      const float slope = probabilities_[a];
      float* line = lines_.data() + std::size_t{a} * stride_;
      float* sums = line_sums_.data() + std::size_t{a} * stride_;
      for (std::uint32_t i = 0; i < stride_; ++i) step(line[i], sums[i], slope * x[i]);
    }
    for (std::uint32_t i = 0; i < active; ++i) {
      float* curve = curves_.data() + std::size_t{index_[i]} * columns_;
      float* sums = curve_sums_.data() + std::size_t{index_[i]} * columns_;
      for (std::uint32_t a = 0; a < arms_; ++a)
        step(curve[a], sums[a], probabilities_[a] * hat_[i]);
    }
  }

  void clear() {
    lines_.clear(), line_sums_.clear();
    curves_.clear(), curve_sums_.clear();
  }

  void visit(StateVisitor& visitor) {
    visitor.array("multinomial.lines", lines_.data(), lines_.size());
    visitor.array("multinomial.line_sums", line_sums_.data(), line_sums_.size());
    visitor.array("multinomial.curves", curves_.data(), curves_.size());
    visitor.array("multinomial.curve_sums", curve_sums_.data(), curve_sums_.size());
  }

  bool validate() const {
    const auto sums_good = [](const AlignedArray<float>& sums) {
      return std::all_of(sums.begin(), sums.end(),
                         [](float v) { return v >= 0.0f && std::isfinite(v); });
    };
    return within(lines_.data(), static_cast<std::uint32_t>(lines_.size()), kWeightLimit) &&
           within(curves_.data(), static_cast<std::uint32_t>(curves_.size()), kWeightLimit) &&
           sums_good(line_sums_) && sums_good(curve_sums_);
  }

  std::size_t bytes() const {
    return sizeof(*this) + basis_.bytes() + lines_.bytes() + line_sums_.bytes() + curves_.bytes() +
           curve_sums_.bytes() + values_.bytes() + index_.bytes() + hat_.bytes() + scores_.bytes() +
           row_.bytes() + probabilities_.bytes();
  }

 private:
  static constexpr float kRate = 0.5f;
  static constexpr float kWeightLimit = 1000.0f;

  static void step(float& weight, float& sum, float gradient) {
    sum += gradient * gradient;
    const float moved = weight - kRate * gradient / std::sqrt(sum + 1e-8f);
    weight = std::clamp(moved, -kWeightLimit, kWeightLimit);
  }

  /// Fills scores_, index_ and hat_; returns how many hats there are.
  std::uint32_t score(const float* x) {
    kernels_->dots(lines_.data(), stride_, arms_, x, stride_, scores_.data());
    if (basis_.inputs() == 0) return 0;
    std::copy_n(x + 1, basis_.inputs(), values_.data());
    const std::uint32_t active = basis_.hats(values_.data(), 0, index_.data(), hat_.data());
    kernels_->weigh_rows(curves_.data(), columns_, index_.data(), hat_.data(), active, row_.data());
    for (std::uint32_t a = 0; a < arms_; ++a) scores_[a] += row_[a];
    return active;
  }

  const DenseKernels* kernels_ = &dense_kernels();
  std::uint32_t dimension_, stride_, arms_, columns_;
  HatBasis basis_;
  AlignedArray<float> lines_, line_sums_, curves_, curve_sums_;
  AlignedArray<float> values_;
  AlignedArray<std::uint32_t> index_;
  AlignedArray<float> hat_, scores_, row_, probabilities_;
};

}  // namespace acumen
