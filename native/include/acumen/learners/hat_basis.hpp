// A piecewise linear basis whose knots follow the data: 16 hat functions for every input.
//
// Idea       An input v between two knots is described by how near it is to either: two weights
//            that sum to 1, all other hats are 0. A weighted sum of hats is any function that is
//            linear between the knots. Knots stand at quantiles of the inputs, so that detail is
//            spent where inputs fall; they are fitted to a sample of 256 rows, after 64 lessons
//            and whenever there have been eight times as many.
// Guarantee  Knots rise strictly; positions lie in their intervals for every finite input. Sampling
//            hashes the count of rows, so that the same rows give the same knots.
// Layout     knots[k · stride + j] is knot k of input j: eight inputs are located at a time.
// Paper      de Boor, "A Practical Guide to Splines", 1978; Vitter, "Random sampling with a
//            reservoir", ACM TOMS 1985.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "acumen/aligned.hpp"
#include "acumen/learner.hpp"
#include "acumen/random.hpp"

namespace acumen {

class HatBasis {
 public:
  static constexpr std::uint32_t kPoints = 16;
  static constexpr std::uint32_t kSample = 256;
  static constexpr std::uint64_t kFirstFit = 64;

  explicit HatBasis(std::uint32_t inputs)
      : inputs_(inputs),
        stride_(padded(inputs)),
        knots_(kPoints * stride_),
        inverse_widths_(kPoints * stride_),
        positions_(2 * stride_),
        sample_(kSample * stride_) {
    clear();
  }

  std::uint32_t inputs() const { return inputs_; }
  std::uint32_t stride() const { return stride_; }
  float knot(std::uint32_t j, std::uint32_t k) const { return knots_[k * stride_ + j]; }

  /// Two hats an input: row `first_row + 16 · j + interval` and the one after, with their weights.
  /// `values` are stride() floats. Returns how many were written, 2 · inputs().
  std::uint32_t hats(const float* values, std::uint32_t first_row, std::uint32_t* index,
                     float* weight) {
    dense_kernels().locate(knots_.data(), inverse_widths_.data(), kPoints, values, stride_,
                           positions_.data());
    for (std::uint32_t j = 0; j < inputs_; ++j) {
      const std::uint32_t row = first_row + kPoints * j + static_cast<std::uint32_t>(positions_[j]);
      const float fraction = positions_[stride_ + j];
      index[2 * j] = row;
      index[2 * j + 1] = row + 1;
      weight[2 * j] = 1.0f - fraction;
      weight[2 * j + 1] = fraction;
    }
    return 2 * inputs_;
  }

  /// Shows the basis one row. True: it is time to call refit().
  bool observe(const float* values) {
    const std::uint64_t slot = seen_ < kSample ? seen_ : mix64(seen_) % (seen_ + 1);
    if (slot < kSample) std::copy_n(values, stride_, sample_.data() + slot * stride_);
    ++seen_;
    return seen_ >= next_fit_;
  }

  /// Moves the knots to the sample's quantiles and calls moved(j, row, interval, fraction): the new
  /// hat `row` of input j stands where the old function was between `interval` and the next.
  /// Rows of one input come in rising order, after all positions of that input are known.
  template <class Moved>
  void refit(Moved moved) {
    next_fit_ = std::max(next_fit_, seen_) * 8;
    const auto rows = static_cast<std::uint32_t>(std::min<std::uint64_t>(seen_, kSample));
    std::array<float, kSample> values;
    for (std::uint32_t j = 0; j < inputs_; ++j) {
      for (std::uint32_t i = 0; i < rows; ++i) values[i] = sample_[i * stride_ + j];
      std::sort(values.begin(), values.begin() + rows);
      std::array<float, kPoints> fresh;
      std::uint32_t used = 0;
      for (std::uint32_t k = 0; k < kPoints; ++k) {
        const float v = values[k * (rows - 1) / (kPoints - 1)];
        // Values that occur often fill several quantiles; one knot is enough for each.
        if (used == 0 || v > fresh[used - 1] + kGap * (1.0f + std::fabs(v))) fresh[used++] = v;
      }
      for (; used < kPoints; ++used) fresh[used] = fresh[used - 1] + 1.0f;
      std::array<std::pair<std::uint32_t, float>, kPoints> places;
      for (std::uint32_t k = 0; k < kPoints; ++k) places[k] = place(j, fresh[k]);
      moved(j, places);
      for (std::uint32_t k = 0; k < kPoints; ++k) knots_[k * stride_ + j] = fresh[k];
    }
    derive();
  }

  void clear() {
    seen_ = 0;
    next_fit_ = kFirstFit;
    sample_.clear();
    // The normal distribution's quantiles: inputs come standardised.
    constexpr float kNormal[kPoints / 2] = {0.08f, 0.24f, 0.40f, 0.58f, 0.78f, 1.01f, 1.32f, 2.2f};
    for (std::uint32_t j = 0; j < stride_; ++j) {
      for (std::uint32_t k = 0; k < kPoints / 2; ++k) {
        knots_[(kPoints / 2 + k) * stride_ + j] = kNormal[k];
        knots_[(kPoints / 2 - 1 - k) * stride_ + j] = -kNormal[k];
      }
    }
    derive();
  }

  void visit(StateVisitor& visitor, std::string_view knots, std::string_view sample,
             std::string_view counts) {
    visitor.array(knots, knots_.data(), knots_.size());
    visitor.array(sample, sample_.data(), sample_.size());
    std::uint64_t both[2] = {seen_, next_fit_};
    visitor.array(counts, both, 2);
    seen_ = both[0];
    next_fit_ = both[1];
  }

  bool validate() {
    if (!within(knots_.data(), static_cast<std::uint32_t>(knots_.size()), 2 * kContextLimit) ||
        !within(sample_.data(), static_cast<std::uint32_t>(sample_.size()), kContextLimit) ||
        next_fit_ < kFirstFit || seen_ > (1ull << 60)) {
      return false;
    }
    for (std::uint32_t j = 0; j < stride_; ++j) {
      for (std::uint32_t k = 1; k < kPoints; ++k) {
        if (!(knot(j, k) > knot(j, k - 1))) return false;
      }
    }
    derive();
    return true;
  }

  std::size_t bytes() const {
    return knots_.bytes() + inverse_widths_.bytes() + positions_.bytes() + sample_.bytes();
  }

 private:
  static constexpr float kGap = 1e-4f;

  std::pair<std::uint32_t, float> place(std::uint32_t j, float v) const {
    std::uint32_t k = 0;
    while (k + 2 < kPoints && v >= knot(j, k + 1)) ++k;
    const float fraction = (v - knot(j, k)) * inverse_widths_[k * stride_ + j];
    return {k, std::clamp(fraction, 0.0f, 1.0f)};
  }

  void derive() {
    for (std::size_t i = 0; i + stride_ < knots_.size(); ++i) {
      inverse_widths_[i] = 1.0f / (knots_[i + stride_] - knots_[i]);
    }
  }

  std::uint32_t inputs_, stride_;
  std::uint64_t seen_ = 0, next_fit_ = kFirstFit;
  AlignedArray<float> knots_, inverse_widths_, positions_, sample_;
};

}  // namespace acumen
