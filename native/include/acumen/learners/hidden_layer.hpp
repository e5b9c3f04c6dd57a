// A hidden layer: features of the inputs that are learned with what is built upon them.
//
// Idea       h = tanh(U z). Seeded random weights are features of some use from the first lesson
//            on; the gradient of what is built upon them then turns them to where they are needed.
// Guarantee  Whatever z: features lie within ±1, weights within ±kWeightLimit, both finite. The
//            same seed and sizes give the same first weights. No allocation after construction.
// Layout     U: `units` rows of padded(inputs) floats. Features: padded(units), zero behind the
//            last, like everything that goes into the dense kernels.
// Paper      Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
//            Nature 1986; first weights of variance 1.5² / inputs: LeCun, Bottou, Orr & Müller,
//            "Efficient backprop", 1998.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "acumen/aligned.hpp"
#include "acumen/learner.hpp"
#include "acumen/random.hpp"

namespace acumen {

class HiddenLayer {
 public:
  static constexpr float kWeightLimit = 100.0f;

  HiddenLayer(std::uint32_t inputs, std::uint32_t units, std::uint64_t seed)
      : inputs_(inputs),
        units_(units),
        stride_(padded(inputs)),
        seed_(seed),
        weights_(std::size_t{units} * stride_),
        scores_(padded(units)) {
    clear();
  }

  std::uint32_t units() const { return units_; }
  /// Values of h.
  std::uint32_t width() const { return padded(units_); }
  std::size_t size() const { return weights_.size(); }
  float* weights() { return weights_.data(); }

  /// h = tanh(U z). z: padded(inputs) floats.
  void features(const float* z, float* h) {
    kernels_->dots(weights_.data(), stride_, units_, z, stride_, scores_.data());
    // tanh(s) = ±(1 - q) / (1 + q) with q = exp(-2 |s|): the exponential takes no positive values.
    for (float& s : scores_) s = std::clamp(s, -40.0f, 40.0f);
    for (std::uint32_t j = 0; j < width(); ++j) h[j] = -2.0f * std::fabs(scores_[j]);
    kernels_->exponential(h, width(), h);
    for (std::uint32_t j = 0; j < width(); ++j)
      h[j] = std::copysign((1.0f - h[j]) / (1.0f + h[j]), scores_[j]);
  }

  /// ∂h[j] / ∂(U z)[j] where h[j] is this.
  static float slope(float h) { return 1.0f - h * h; }

  void limit() {
    for (float& w : weights_) w = std::clamp(w, -kWeightLimit, kWeightLimit);
  }

  /// The first weights again.
  void clear() {
    Random random(seed_);
    weights_.clear();
    const double reach = std::sqrt(3.0 * kGain * kGain / inputs_);
    for (std::uint32_t j = 0; j < units_; ++j)
      for (std::uint32_t i = 0; i < inputs_; ++i)
        weights_[std::size_t{j} * stride_ + i] =
            static_cast<float>(reach * (2.0 * random.uniform() - 1.0));
  }

  void visit(StateVisitor& visitor) {
    if (units_ > 0) visitor.array("hidden_weights", weights_.data(), weights_.size());
  }

  /// Weights within their limits, and those of the padding zero.
  bool valid() const {
    for (std::uint32_t j = 0; j < units_; ++j)
      for (std::uint32_t i = inputs_; i < stride_; ++i)
        if (weights_[std::size_t{j} * stride_ + i] != 0.0f) return false;
    return within(weights_.data(), static_cast<std::uint32_t>(weights_.size()), kWeightLimit);
  }

  std::size_t bytes() const { return weights_.bytes() + scores_.bytes(); }

 private:
  static constexpr double kGain = 1.5;  // a third of the units bends within a standard deviation

  const DenseKernels* kernels_ = &dense_kernels();
  std::uint32_t inputs_, units_, stride_;
  std::uint64_t seed_;
  AlignedArray<float> weights_, scores_;
};

}  // namespace acumen
