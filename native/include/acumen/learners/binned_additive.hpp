// Binned additive features: a learner for rewards that are not linear, at a linear learner's cost.
//
// Idea       The expected reward is a sum of one curve an input: a line, which is learned quickly,
//            plus a piecewise linear correction over bins that follow the input's quantiles (see
//            hat_basis.hpp). An arm known by its index has
//            curves of its own; arms with features c share them: curves of c, and curves of the
//            context times each c_k. Each weight carries its own uncertainty p, and a lesson moves
//            weights in proportion to it, p·φ / (1 + Σ p φ²): large steps for bins seldom seen,
//            ever smaller ones for the rest.
// Guarantee  Finite: a step moves the prediction towards the reward, never beyond it; p falls from
//            its prior to a floor and no further, so that the learner never freezes.
//            Exploration by inverse gaps (square_cb.hpp), or epsilon-greedy where epsilon > 0.
// Layout     Tables of rows × columns floats: row 0 the constant, a slope an input, then 16 hats an
//            input; one column an arm, or 1 + features columns, behind which come 16 hats a
//            feature. One choice adds up three rows an input, for all arms at once.
// Paper      Graepel, Quiñonero Candela, Borchert & Herbrich, "Web-scale Bayesian click-through
//            rate prediction", ICML 2010 (factorised posterior); Hastie & Tibshirani,
//            "Generalized additive models", 1986; Foster & Rakhlin, ICML 2020.
#pragma once

#include "acumen/learners/exploration.hpp"
#include "acumen/learners/hat_basis.hpp"
#include "acumen/learners/reward_scale.hpp"
#include "acumen/learners/square_cb.hpp"

namespace acumen {

struct BinnedAdditiveOptions {
  double gamma = 5.0;
  double exponent = 0.5;
  double epsilon = 0.0;    ///< above 0: epsilon-greedy instead of inverse gaps
  double prior = 1.0;      ///< a weight's variance before any lesson, in units of the noise's
  double half_life = 0.0;  ///< lessons after which a lesson should count half; 0: never forget
};

class BinnedAdditive final : public Learner {
 public:
  BinnedAdditive(LearnerShape shape, const BinnedAdditiveOptions& options)
      : Learner(shape),
        options_(options),
        floor_(floor_of(shape, options)),
        context_(shape.dimension - 1),
        arm_(shape.features),
        scale_(options.half_life),
        columns_(padded(shape.features ? 1 + shape.features : shape.arms)),
        rows_(shape.dimension + HatBasis::kPoints * (shape.dimension - 1)),
        weights_(static_cast<std::size_t>(rows_) * columns_ + HatBasis::kPoints * shape.features),
        variances_(weights_.size()),
        counts_(shape.features ? 1 : shape.arms),
        index_(shape.dimension + 2 * (shape.dimension - 1) + 2 * shape.features),
        hat_(index_.size()),
        values_(std::max(context_.stride(), arm_.stride()) + 8),
        row_(columns_),
        scores_(padded(shape.arms)),
        cells_(cells_at_most(shape)),
        slopes_(cells_.size()) {
    clear();
  }

  void distribution(const float* x, const ArmSet& arms, float* probabilities) override {
    const std::uint32_t active = context_rows(x);
    const float* scores = row_.data();
    dense_kernels().weigh_rows(weights_.data(), columns_, index_.data(), hat_.data(), active,
                               row_.data());
    if (shape().features > 0) {
      for (std::uint32_t a = 0; a < arms.count; ++a) {
        scores_[a] = arm_score(arms.features + a * padded(shape().features));
      }
      scores = scores_.data();
    }
    if (options_.epsilon > 0.0) {
      greedy(scores, arms.count, static_cast<float>(options_.epsilon), probabilities);
    } else {
      inverse_gap(scores, arms.count, gap_weight(scale_, options_.gamma, options_.exponent),
                  probabilities);
    }
  }

  bool validate() override {
    const auto size = static_cast<std::uint32_t>(weights_.size());
    if (!scale_.valid() || !context_.validate() || !arm_.validate() ||
        !within(weights_.data(), size, 1e30f)) {
      return false;
    }
    return std::all_of(variances_.begin(), variances_.end(),
                       [this](float p) { return p >= 0.0f && p <= prior() * 1.001f; });
  }

  std::size_t memory_bytes() const override {
    return sizeof(*this) + context_.bytes() + arm_.bytes() + weights_.bytes() + variances_.bytes() +
           counts_.bytes() + index_.bytes() + hat_.bytes() + values_.bytes() + row_.bytes() +
           scores_.bytes() + cells_.bytes() + slopes_.bytes();
  }

 protected:
  void update(const Lesson& lesson) override {
    scale_.add(lesson.reward);
    forget_untaught(lesson.arm);
    const std::uint32_t cells = lesson_cells(lesson);
    float predicted = 0.0f, variance = 0.0f;
    for (std::uint32_t i = 0; i < cells; ++i) {
      predicted += slopes_[i] * weights_[cells_[i]];
      variance += slopes_[i] * slopes_[i] * variances_[cells_[i]];
    }
    const float error = lesson.reward - predicted, share = 1.0f / (1.0f + variance);
    for (std::uint32_t i = 0; i < cells; ++i) {
      float& p = variances_[cells_[i]];
      const float gain = p * slopes_[i] * share;
      weights_[cells_[i]] += gain * error;
      p = std::max(p - gain * slopes_[i] * p, floor_);
    }
    scale_.add_error(static_cast<double>(error) * error * share);
    observe(lesson);
  }

  void clear() override {
    weights_.clear();
    variances_.fill(prior());
    counts_.clear();
    context_.clear();
    arm_.clear();
    scale_.clear();
  }

  void visit_state(StateVisitor& visitor) override {
    visitor.array("weights", weights_.data(), weights_.size());
    visitor.array("variances", variances_.data(), variances_.size());
    visitor.array("counts", counts_.data(), counts_.size());
    context_.visit(visitor, "context_knots", "context_sample", "context_counts");
    arm_.visit(visitor, "arm_knots", "arm_sample", "arm_counts");
    scale_.visit(visitor);
  }

 private:
  static std::size_t cells_at_most(const LearnerShape& shape) {
    const std::size_t hats = shape.dimension + 2 * (shape.dimension - 1);
    return shape.features ? hats * (1 + shape.features) + 2 * shape.features : hats;
  }

  /// The variance that a weight keeps: 1/500 of a lesson's, or, with forgetting, what about as many
  /// lessons leave as an arm's bin sees within the half-life.
  static float floor_of(const LearnerShape& shape, const BinnedAdditiveOptions& options) {
    const double arms = shape.features ? 1.0 : shape.arms;
    const double wanted =
        options.half_life > 0.0 ? std::min(4.0 * arms / options.half_life, 0.25) : 0.0;
    return static_cast<float>(std::min(std::max(wanted, 0.002), options.prior));
  }

  float prior() const { return static_cast<float>(options_.prior); }

  /// The rows that the context touches and their weights: the constant, the slopes, the hats.
  /// Returns how many.
  std::uint32_t context_rows(const float* x) {
    const std::uint32_t d = shape().dimension;
    for (std::uint32_t j = 0; j < d; ++j) {
      index_[j] = j;
      hat_[j] = x[j];
    }
    if (d == 1) return 1;
    std::copy_n(x + 1, d - 1, values_.data());
    return d + context_.hats(values_.data(), d, index_.data() + d, hat_.data() + d);
  }

  /// After context_rows() has filled index_ and row_: the arm's hats go behind them.
  float arm_score(const float* features) {
    const std::uint32_t behind = static_cast<std::uint32_t>(index_.size()) - 2 * arm_.inputs();
    const std::uint32_t hats =
        arm_.hats(features, rows_ * columns_, index_.data() + behind, hat_.data() + behind);
    float score = row_[0];
    for (std::uint32_t k = 0; k < arm_.inputs(); ++k) score += features[k] * row_[k + 1];
    for (std::uint32_t i = behind; i < behind + hats; ++i) score += hat_[i] * weights_[index_[i]];
    return score;
  }

  /// The weights that take part in a lesson, and the factor of each in the prediction.
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

  /// Arms without a lesson expect the average reward.
  void forget_untaught(std::uint32_t taught) {
    const float average = static_cast<float>(scale_.average());
    if (untaught_ != 0 || version_ == 0) {
      untaught_ = 0;
      for (std::uint32_t a = 0; a < counts_.size(); ++a) {
        if (counts_[a] > 0) continue;
        weights_[a] = average;
        ++untaught_;
      }
    }
    ++counts_[shape().features ? 0 : taught];
  }

  void observe(const Lesson& lesson) {
    if (context_.inputs() > 0) {
      std::copy_n(lesson.x + 1, context_.inputs(), values_.data());
      std::fill(values_.begin() + context_.inputs(), values_.end(), 0.0f);
      if (context_.observe(values_.data()))
        move_knots(context_, shape().dimension * columns_, columns_);
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
  RewardScale scale_;
  std::uint32_t columns_, rows_, untaught_ = 1;
  AlignedArray<float> weights_, variances_;
  AlignedArray<std::uint64_t> counts_;
  AlignedArray<std::uint32_t> index_;
  AlignedArray<float> hat_, values_, row_, scores_;
  AlignedArray<std::uint32_t> cells_;
  AlignedArray<float> slopes_;
};

}  // namespace acumen
