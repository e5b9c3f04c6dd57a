// Action values: what is still to come after an arm, as a function that is moved step by step.
//
// Idea       Q(z, m) = w[m]·φ(z), with a row of weights an arm. Linear: φ(z) = z, the context.
//            With hidden units: φ(z) = (z, tanh(U z)), so that what a line can say needs no hidden
//            unit, and the units bend it where it does not do.
//            A step is true online TD(λ) on the gradient g of Q, taken where each step was made:
//                e ← γλ e + η (1 - γλ e·g) g,    θ ← θ + (target - before) e - η (now - before) g,
//            with η = rate / ‖g‖², so that a rate of 1 would make a prediction exact at once, if Q
//            were linear in θ; the traces e remember all parameters, U's too. For linear values
//            this is the forward view, exactly. With hidden units old gradients in e are those of
//            older weights, and it is so only as far as a small step changes them little; e·g in
//            the trace still keeps a context that is met again and again from being counted twice.
//            Gradients are those of Q / unit, unit a magnitude of the values: so that U learns as
//            fast whatever unit the rewards are in.
// Guarantee  Finite for any step: features are bounded, and so are the share of U in g, what one
//            step moves U by, and all weights.
// Layout     Weights: `rows` rows of padded(inputs) + padded(units) floats. Traces likewise, and
//            those of U behind them.
// Paper      van Seijen, Mahmood, Pilarski, Machado & Sutton, "True online temporal-difference
//            learning", JMLR 2016; for what becomes of it beyond linear functions: van Seijen,
//            "Effective multi-step temporal-difference learning for non-linear function
//            approximation", 2016.
#pragma once

#include "acumen/aligned.hpp"
#include "acumen/learner.hpp"
#include "acumen/learners/hidden_layer.hpp"

namespace acumen {

/// How values are to be moved after one step.
struct Correction {
  double target = 0.0;  ///< what the value should have been
  double now = 0.0;     ///< what it is
  double before = 0.0;  ///< what the step before took it to be
  float rate = 0.0f;    ///< 1: all the way
  float fade = 0.0f;    ///< γλ
  double unit = 1.0;    ///< a magnitude of values, > 0
};

class ActionValues {
 public:
  ActionValues(std::uint32_t rows, std::uint32_t inputs, std::uint32_t units, std::uint64_t seed)
      : rows_(rows),
        stride_(padded(inputs)),
        hidden_(inputs, units, seed),
        width_(stride_ + hidden_.width()),
        weights_(std::size_t{rows} * width_),
        traces_(weights_.size() + hidden_.size()),
        phi_(units > 0 ? width_ : 0),
        slopes_(hidden_.width()),
        overlaps_(hidden_.width()) {}

  std::uint32_t rows() const { return rows_; }

  /// out[m] = Q(z, m) for every row. z: padded(inputs) floats; out: padded(rows).
  void look(const float* z, float* out) {
    kernels_->dots(weights_.data(), width_, rows_, features(z), width_, out);
  }

  /// Q(z, row).
  float value(const float* z, std::uint32_t row) {
    return kernels_->dot(weights_.data() + std::size_t{row} * width_, features(z), width_);
  }

  /// Between episodes, and where the trace is cut: nothing before shares in what follows.
  void forget_traces() { traces_.clear(); }

  void move(const float* z, std::uint32_t row, const Correction& c) {
    const float* phi = features(z);
    float* own = weights_.data() + std::size_t{row} * width_;
    float* trace = traces_.data() + std::size_t{row} * width_;
    const auto unit = static_cast<float>(c.unit);
    float square = kernels_->dot(phi, phi, width_), overlap = kernels_->dot(trace, phi, width_);
    if (hidden_.units() > 0) look_down(z, phi, own, unit, square, overlap);
    const float rate = c.rate / std::max(square, 1.0f);
    const float error = static_cast<float>(c.target - c.before);
    const float back = rate * static_cast<float>(c.now - c.before);
    const float added = rate * (1.0f - c.fade * overlap);
    for (float& e : traces_) e = std::fabs(e) < 1e-20f ? 0.0f : c.fade * e;
    for (std::uint32_t i = 0; i < width_; ++i) trace[i] += added * phi[i];
    if (hidden_.units() > 0) move_down(z, added, error / unit, back / unit);
    for (std::size_t i = 0; i < weights_.size(); ++i) weights_[i] += error * traces_[i];
    for (std::uint32_t i = 0; i < width_; ++i) own[i] -= back * phi[i];
    for (float& w : weights_) w = std::clamp(w, -kRewardLimit, kRewardLimit);
  }

  void clear() {
    weights_.clear();
    hidden_.clear();
  }

  void visit(StateVisitor& visitor) {
    visitor.array("action_weights", weights_.data(), weights_.size());
    hidden_.visit(visitor);
  }

  bool valid() const {
    return hidden_.valid() &&
           within(weights_.data(), static_cast<std::uint32_t>(weights_.size()), kRewardLimit);
  }

  std::size_t bytes() const {
    return weights_.bytes() + hidden_.bytes() + traces_.bytes() + phi_.bytes() + slopes_.bytes() +
           overlaps_.bytes();
  }

 private:
  /// What one step may move U by, in values per unit, and its share in g.
  static constexpr float kErrorLimit = 4.0f, kSlopeLimit = 4.0f;

  const float* features(const float* z) {
    if (hidden_.units() == 0) return z;
    std::copy_n(z, stride_, phi_.data());
    hidden_.features(z, phi_.data() + stride_);
    return phi_.data();
  }

  /// slopes_[j] = ∂(Q / unit) / ∂(U z)[j]; adds U's part to ‖g‖² and to e·g.
  void look_down(const float* z, const float* phi, const float* own, float unit, float& square,
                 float& overlap) {
    const float* h = phi + stride_;
    const float* output = own + stride_;
    for (std::uint32_t j = 0; j < hidden_.width(); ++j)
      slopes_[j] = std::clamp(output[j] / unit, -kSlopeLimit, kSlopeLimit) * hidden_.slope(h[j]);
    kernels_->dots(traces_.data() + weights_.size(), stride_, hidden_.units(), z, stride_,
                   overlaps_.data());
    square += kernels_->dot(z, z, stride_) *
              kernels_->dot(slopes_.data(), slopes_.data(), hidden_.width());
    overlap += kernels_->dot(overlaps_.data(), slopes_.data(), hidden_.width());
  }

  void move_down(const float* z, float added, float error, float back) {
    float* trace = traces_.data() + weights_.size();
    float* weights = hidden_.weights();
    for (std::uint32_t j = 0; j < hidden_.units(); ++j)
      kernels_->add_scaled(trace + std::size_t{j} * stride_, z, added * slopes_[j], stride_);
    const float bounded = std::clamp(error, -kErrorLimit, kErrorLimit);
    const float less = std::clamp(back, -kErrorLimit, kErrorLimit);
    for (std::size_t i = 0; i < hidden_.size(); ++i) weights[i] += bounded * trace[i];
    for (std::uint32_t j = 0; j < hidden_.units(); ++j)
      kernels_->add_scaled(weights + std::size_t{j} * stride_, z, -less * slopes_[j], stride_);
    hidden_.limit();
  }

  const DenseKernels* kernels_ = &dense_kernels();
  std::uint32_t rows_, stride_;
  HiddenLayer hidden_;
  std::uint32_t width_;
  AlignedArray<float> weights_, traces_, phi_, slopes_, overlaps_;
};

}  // namespace acumen
