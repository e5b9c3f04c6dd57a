// Binned additive features: a learner for rewards that bend, at about a linear learner's cost.
//
// Idea       The expected reward is a ridge regression, which learns quickly, plus a curve for
//            every input, piecewise linear over bins that follow the input's quantiles
//            (hat_basis.hpp), which learns what the regression leaves over. An arm known by its
//            index has curves of its own; arms with features c share them: curves of c, and curves
//            of the context times 1 and each c_k. Each point of a curve carries its own uncertainty
//            p; a lesson moves it by p·φ / (1 + Σ p φ² + the regression's variance) of the error.
// Guarantee  Finite: a curve's step is at most the error it corrects (its share is below 1; the
//            regression moves as well, so that both together may overshoot); p falls from its
//            prior to a floor and no further, so that the learner never freezes.
//            Exploration by inverse gaps (square_cb.hpp), or epsilon-greedy where epsilon > 0.
// Layout     Tables of rows × columns floats: 16 hats an input; one column an arm, or 1 + features
//            columns, behind which come 16 hats a feature. One choice adds up two rows an input,
//            for all arms at once.
// Paper      Graepel, Quiñonero Candela, Borchert & Herbrich, "Web-scale Bayesian click-through
//            rate prediction", ICML 2010 (factorised posterior); Hastie & Tibshirani,
//            "Generalized additive models", 1986; Foster & Rakhlin, ICML 2020.
#pragma once

#include "acumen/learners/exploration.hpp"
#include "acumen/learners/hat_basis.hpp"
#include "acumen/learners/linear.hpp"
#include "acumen/learners/square_cb.hpp"

namespace acumen {

struct BinnedAdditiveOptions : LinearOptions {
  double gamma = 10.0;
  double exponent = 0.5;
  double epsilon = 0.0;  ///< above 0: epsilon-greedy instead of inverse gaps
  double prior = 0.3;    ///< variance of a curve's point before any lesson, in units of the noise's
};

class BinnedAdditive final : public LinearLearner {
 public:
  BinnedAdditive(LearnerShape shape, const BinnedAdditiveOptions& options)
      : LinearLearner(shape, options),
        options_(options),
        floor_(floor_of(shape, options)),
        context_(shape.dimension - 1),
        arm_(shape.features),
        columns_(padded(shape.features ? 1 + shape.features : shape.arms)),
        rows_(HatBasis::kPoints * (shape.dimension - 1)),
        weights_(static_cast<std::size_t>(rows_) * columns_ + HatBasis::kPoints * shape.features),
        variances_(weights_.size()),
        index_(2 * (shape.dimension - 1) + 2 * shape.features),
        hat_(index_.size()),
        values_(context_.stride()),
        row_(columns_),
        scores_(padded(shape.arms)),
        cells_(cells_at_most(shape)),
        slopes_(cells_.size()) {
    variances_.fill(prior());
  }

  bool expected(const float* x, const ArmSet& arms, float* rewards) override {
    const float* linear = means(x, arms);
    const std::uint32_t active = context_rows(x);
    dense_kernels().weigh_rows(weights_.data(), columns_, index_.data(), hat_.data(), active,
                               row_.data());
    for (std::uint32_t a = 0; a < arms.count; ++a) {
      rewards[a] = linear[a] + (shape().features ? arm_curves(arms.features, a) : row_[a]);
    }
    return true;
  }

  void distribution(const float* x, const ArmSet& arms, float* probabilities) override {
    expected(x, arms, scores_.data());
    if (options_.epsilon > 0.0) {
      kernels().greedy(scores_.data(), arms.count, static_cast<float>(options_.epsilon),
                       probabilities);
    } else {
      const float gamma = gap_weight(scale(), options_.gamma, options_.exponent);
      kernels().inverse_gap(scores_.data(), arms.count, gamma, probabilities);
    }
  }

  /// Curves do not add up: never.
  bool merge(const Learner&) override { return false; }

  bool validate() override {
    return LinearLearner::validate() && context_.validate() && arm_.validate() &&
           within(weights_.data(), static_cast<std::uint32_t>(weights_.size()), 1e30f) &&
           std::all_of(variances_.begin(), variances_.end(),
                       [this](float p) { return p >= 0.0f && p <= prior() * 1.001f; });
  }

  std::size_t memory_bytes() const override {
    return LinearLearner::memory_bytes() + context_.bytes() + arm_.bytes() + weights_.bytes() +
           variances_.bytes() + index_.bytes() + hat_.bytes() + values_.bytes() + row_.bytes() +
           scores_.bytes() + cells_.bytes() + slopes_.bytes();
  }

 protected:
  void update(const Lesson& lesson) override {
    const Surprise linear = teach(lesson);
    const std::uint32_t cells = lesson_cells(lesson);
    float predicted = 0.0f, variance = static_cast<float>(linear.variance);
    for (std::uint32_t i = 0; i < cells; ++i) {
      predicted += slopes_[i] * weights_[cells_[i]];
      variance += slopes_[i] * slopes_[i] * variances_[cells_[i]];
    }
    const float error = static_cast<float>(linear.error) - predicted;
    const float share = 1.0f / (1.0f + variance);
    for (std::uint32_t i = 0; i < cells; ++i) {
      float& p = variances_[cells_[i]];
      const float gain = p * slopes_[i] * share;
      weights_[cells_[i]] += gain * error;
      p = std::max(p - gain * slopes_[i] * p, floor_);
    }
    note_noise(static_cast<double>(error) * error * share);
    observe(lesson);
  }

  void clear() override {
    LinearLearner::clear();
    weights_.clear();
    variances_.fill(prior());
    context_.clear();
    arm_.clear();
  }

  void visit_state(StateVisitor& visitor) override {
    LinearLearner::visit_state(visitor);
    visitor.array("curves", weights_.data(), weights_.size());
    visitor.array("curve_variances", variances_.data(), variances_.size());
    context_.visit(visitor, "context_knots", "context_sample", "context_counts");
    arm_.visit(visitor, "arm_knots", "arm_sample", "arm_counts");
  }

 private:
  static std::size_t cells_at_most(const LearnerShape& shape) {
    return 2 * (shape.dimension - 1) * (1 + shape.features) + 2 * shape.features;
  }

  /// The variance that a point keeps: 1/500 of a lesson's, or, with forgetting, what about as many
  /// lessons leave as an arm's bin sees within the half-life.
  static float floor_of(const LearnerShape& shape, const BinnedAdditiveOptions& options) {
    const double arms = shape.features ? 1.0 : shape.arms;
    const double wanted =
        options.half_life > 0.0 ? std::min(4.0 * arms / options.half_life, 0.25) : 0.0;
    return static_cast<float>(std::min(std::max(wanted, 0.002), options.prior));
  }

  float prior() const { return static_cast<float>(options_.prior); }

  /// The rows that the context touches and their weights; returns how many.
  std::uint32_t context_rows(const float* x) {
    if (context_.inputs() == 0) return 0;
    std::copy_n(x + 1, context_.inputs(), values_.data());
    return context_.hats(values_.data(), 0, index_.data(), hat_.data());
  }

  /// After context_rows() has filled index_ and row_: the arm's own hats go behind them.
  float arm_curves(const float* all_features, std::uint32_t arm) {
    const float* features = all_features + arm * arm_.stride();
    const std::uint32_t behind = 2 * context_.inputs();
    const std::uint32_t hats =
        arm_.hats(features, rows_ * columns_, index_.data() + behind, hat_.data() + behind);
    float score = row_[0];
    for (std::uint32_t k = 0; k < arm_.inputs(); ++k) score += features[k] * row_[k + 1];
    for (std::uint32_t i = behind; i < behind + hats; ++i) score += hat_[i] * weights_[index_[i]];
    return score;
  }

  /// The points that take part in a lesson, and the factor of each in the prediction.
  std::uint32_t lesson_cells(const Lesson& lesson) {
    const std::uint32_t active = context_rows(lesson.x);
    std::uint32_t cells = 0;
    const auto add = [&](std::uint32_t cell, float slope) {
      cells_[cells] = cell;
      slopes_[cells++] = slope;
    };
    if (shape().features == 0) {
      for (std::uint32_t i = 0; i < active; ++i) add(index_[i] * columns_ + lesson.arm, hat_[i]);
      return cells;
    }
    for (std::uint32_t i = 0; i < active; ++i) {
      add(index_[i] * columns_, hat_[i]);
      for (std::uint32_t k = 0; k < arm_.inputs(); ++k) {
        add(index_[i] * columns_ + k + 1, hat_[i] * lesson.features[k]);
      }
    }
    const std::uint32_t hats =
        arm_.hats(lesson.features, rows_ * columns_, index_.data(), hat_.data());
    for (std::uint32_t i = 0; i < hats; ++i) add(index_[i], hat_[i]);
    return cells;
  }

  void observe(const Lesson& lesson) {
    if (context_.inputs() > 0 && context_.observe(values_.data())) {
      move_knots(context_, 0, columns_);
    }
    if (arm_.inputs() > 0 && arm_.observe(lesson.features)) move_knots(arm_, rows_ * columns_, 1);
  }

  /// Reads the old curves off at the new knots: the function stays what it was.
  void move_knots(HatBasis& basis, std::size_t first, std::uint32_t columns) {
    basis.refit([&](std::uint32_t j, const auto& places) {
      for (auto* table : {&weights_, &variances_}) {
        float* rows = table->data() + first + std::size_t{j} * HatBasis::kPoints * columns;
        for (std::uint32_t c = 0; c < columns; ++c) {
          std::array<float, HatBasis::kPoints> old;
          for (std::uint32_t k = 0; k < old.size(); ++k) old[k] = rows[k * columns + c];
          for (std::uint32_t k = 0; k < old.size(); ++k) {
            const auto [interval, fraction] = places[k];
            rows[k * columns + c] = old[interval] + fraction * (old[interval + 1] - old[interval]);
          }
        }
      }
    });
  }

  BinnedAdditiveOptions options_;
  float floor_;
  HatBasis context_, arm_;
  std::uint32_t columns_, rows_;
  AlignedArray<float> weights_, variances_;
  AlignedArray<std::uint32_t> index_;
  AlignedArray<float> hat_, values_, row_, scores_;
  AlignedArray<std::uint32_t> cells_;
  AlignedArray<float> slopes_;
};

}  // namespace acumen
