// Sarsa(λ) and Watkins's Q(λ): learn what each arm is worth from what the next step is worth.
//
// Idea       Q(x, a) is what is still to come after taking arm a in context x. After each step it
//            is moved towards r + γ Q', where Q' is the value of the next arm taken (Sarsa, the
//            value of what is served) or of the best next arm (Q, the value of the best). A trace
//            of the steps before shares the correction with them, γλ less at each. In Q(λ) it is
//            cut where the next arm is not the best one, because what follows says nothing about
//            the best. What Q is, and how it moves: action_values.hpp.
//            The step falls with the times n that the arm was taken in such a context
//            (n = 1 / u² - 1, see below): by (1 + n / 10)^-settling.
//            In a cut-off episode the last context's value ends the sums.
//            Arms known by their features c share one function, Q(x, c) over x ⊗ (1, c), or over
//            (x, c) where that has more than 128 values. What else was on offer is not known
//            afterwards, only what was taken: enough for Sarsa, not for the best next arm of Q.
// Exploration An arm's score is Q plus a bonus for what it was rarely taken in: bonus · unit ·
//            u(x), u² = Σ x[i]² / (1 + n[a, i]) / ‖x‖², where n counts the squares of the inputs
//            that the arm was taken with. Without it the first success, anywhere, would decide for
//            contexts in which nothing else was ever tried. The best score is taken with
//            probability 1 - ε (or by softmax(score / (temperature · unit))), any arm with ε,
//            which falls with the steps learned: ε (1 + steps / arms)^-decay.
// Guarantee  distribution() is exact, for nothing is drawn here. Weights are cut off at the limit
//            of rewards: they stay finite also where off-policy learning would diverge.
// Paper      Sutton, "Learning to predict by the methods of temporal differences", Machine Learning
//            1988; Watkins, "Learning from delayed rewards", 1989. The bonus: Strehl & Littman, "An
//            analysis of model-based interval estimation", 2008, per input.
#pragma once

#include "acumen/aligned.hpp"
#include "acumen/learners/action_values.hpp"
#include "acumen/learners/exploration.hpp"
#include "acumen/learners/linear.hpp"
#include "acumen/learners/reward_scale.hpp"
#include "acumen/sequence_learner.hpp"

namespace acumen {

struct TemporalDifferenceOptions {
  bool best_next = false;  ///< Q(λ) instead of Sarsa(λ); for arms known by their index
  double rate = 0.4;
  double trace = 0.9;  ///< λ
  double epsilon = 1.0;
  double decay = 0.5;
  double temperature = 0.0;  ///< 0: the best score
  double bonus = 2.0;
  double settling = 0.7;     ///< how the step falls with experience
  std::uint32_t hidden = 0;  ///< hidden units; 0: linear
  std::uint64_t seed = 0;    ///< of the first weights of the hidden units
};

class TemporalDifference final : public SequenceLearner {
 public:
  TemporalDifference(LearnerShape shape, const TemporalDifferenceOptions& options)
      : SequenceLearner(shape),
        options_(options),
        products_(shape.dimension * (1 + shape.features) <= kDesignLimit),
        inputs_(shape.dimension + shape.features * (products_ ? shape.dimension : 1)),
        stride_(padded(inputs_)),
        scale_(kUnitHalfLife),
        action_(shape.features ? 1 : shape.arms, inputs_, options.hidden, options.seed),
        taken_(static_cast<std::size_t>(action_.rows()) * stride_),
        design_(shape.features ? stride_ : 0),
        values_(padded(shape.arms)) {}

  void distribution(const float* x, const ArmSet& arms, float* probabilities) override {
    const double steps = static_cast<double>(version_) / arms.count;
    const auto epsilon =
        static_cast<float>(options_.epsilon * std::pow(1.0 + steps, -options_.decay));
    const auto bonus = static_cast<float>(options_.bonus * unit_of_values());
    if (shape().features == 0) {
      action_.look(x, values_.data());
      for (std::uint32_t a = 0; a < arms.count && bonus > 0.0f; ++a)
        values_[a] += bonus * rarity(x, a);
    } else {
      for (std::uint32_t a = 0; a < arms.count; ++a) {
        const float* z = inputs(x, arms.features + std::size_t{a} * padded(shape().features));
        values_[a] = action_.value(z, 0) + (bonus > 0.0f ? bonus * rarity(z, 0) : 0.0f);
      }
    }
    if (options_.temperature > 0.0) {
      soften(arms.count, probabilities);
      blend_uniform(probabilities, arms.count, epsilon);
    } else {
      kernels_->greedy(values_.data(), arms.count, epsilon, probabilities);
    }
  }

  bool validate() override {
    const auto counts_good = [](float n) { return n >= 0.0f && n <= kCountLimit; };
    return scale_.valid() && action_.valid() &&
           std::all_of(taken_.begin(), taken_.end(), counts_good);
  }

  std::size_t memory_bytes() const override {
    return sizeof(*this) + action_.bytes() + taken_.bytes() + design_.bytes() + values_.bytes();
  }

 protected:
  void update_episode(const EpisodeLesson& episode) override {
    const std::uint32_t steps =
        episode.ended || episode.steps == 0 ? episode.steps : episode.steps - 1;
    action_.forget_traces();
    bool fresh = true;  // no correction of an earlier step's is outstanding
    double before = 0.0;
    for (std::uint32_t t = 0; t < steps; ++t) {
      const double now = value_taken(episode, t);
      double next = 0.0, taken = 0.0;
      bool cut = false;
      if (t + 1 < episode.steps) {
        taken = value_taken(episode, t + 1);
        const double best = options_.best_next ? best_value() : taken;
        next = best;
        cut = taken < best;
      }
      const double target =
          bounded(static_cast<double>(episode.rewards[t]) + episode.discount * next);
      scale_.add(target);
      move(episode, t, {target, now, fresh ? now : before});
      if (cut) action_.forget_traces();
      fresh = cut;
      before = taken;
    }
  }

  void clear() override {
    scale_.clear();
    action_.clear();
    taken_.clear();
  }

  void visit_state(StateVisitor& visitor) override {
    action_.visit(visitor);
    visitor.array("taken", taken_.data(), taken_.size());
    scale_.visit(visitor);
  }

 private:
  static constexpr float kCountLimit = 1e9f;
  /// Steps after which what values were moved towards counts half. What was far off at first (where
  /// one walks in circles it falls and falls) would else be a yardstick for ever.
  static constexpr double kUnitHalfLife = 500.0;

  /// What Q is a function of: x, and for arms with features x ⊗ (1, c) or (x, c).
  const float* inputs(const float* x, const float* features) {
    if (shape().features == 0) return x;
    const std::uint32_t d = shape().dimension;
    std::copy_n(x, d, design_.data());
    for (std::uint32_t k = 0; k < shape().features; ++k) {
      if (!products_) design_[d + k] = features[k];
      for (std::uint32_t i = 0; i < d && products_; ++i)
        design_[d * (k + 1) + i] = features[k] * x[i];
    }
    return design_.data();
  }

  const float* inputs(const EpisodeLesson& episode, std::uint32_t t) {
    const float* x = episode.xs + std::size_t{t} * padded(shape().dimension);
    return inputs(x, episode.features + std::size_t{t} * padded(shape().features));
  }

  /// Q of the arm that was taken in step t; values_ then holds those of all rows there.
  double value_taken(const EpisodeLesson& episode, std::uint32_t t) {
    action_.look(inputs(episode, t), values_.data());
    return static_cast<double>(values_[row_of(episode.arms[t])]);
  }

  void move(const EpisodeLesson& episode, std::uint32_t t, Correction correction) {
    const float* z = inputs(episode, t);
    const std::uint32_t row = row_of(episode.arms[t]);
    correction.rate = static_cast<float>(options_.rate);
    if (options_.settling > 0.0) {
      const float u = rarity(z, row), tries = 1.0f / std::max(u * u, 1e-20f) - 1.0f;
      correction.rate *=
          std::pow(1.0f + 0.1f * std::max(tries, 0.0f), -static_cast<float>(options_.settling));
    }
    correction.fade = static_cast<float>(static_cast<double>(episode.discount) * options_.trace);
    correction.unit = unit_of_values();
    float* taken = taken_.data() + std::size_t{row} * stride_;
    for (std::uint32_t i = 0; i < stride_; ++i)
      taken[i] = std::min(taken[i] + z[i] * z[i], kCountLimit);
    action_.move(z, row, correction);
  }

  std::uint32_t row_of(std::uint32_t arm) const { return shape().features ? 0 : arm; }

  /// Root mean square of what values were moved towards. Their deviation would not do: it vanishes
  /// where one always goes the same way, and zero means something here, namely that nothing comes.
  double unit_of_values() const {
    return std::sqrt(scale_.variance() + scale_.average() * scale_.average());
  }

  /// u: 1 in contexts in which the arm was never taken, less with every time.
  float rarity(const float* z, std::uint32_t row) const {
    const float* taken = taken_.data() + std::size_t{row} * stride_;
    float square = 0.0f, rare = 0.0f;
    for (std::uint32_t i = 0; i < stride_; ++i) {
      square += z[i] * z[i];
      rare += z[i] * z[i] / (1.0f + taken[i]);
    }
    return square > 0.0f ? std::sqrt(rare / square) : 1.0f;
  }

  double best_value() const {
    return static_cast<double>(*std::max_element(values_.data(), values_.data() + action_.rows()));
  }

  void soften(std::uint32_t count, float* probabilities) {
    const double sharpness = 1.0 / (options_.temperature * unit_of_values());
    softmax(*kernels_, values_.data(), count, static_cast<float>(std::min(sharpness, 1e30)),
            probabilities);
  }

  const DenseKernels* kernels_ = &dense_kernels();
  TemporalDifferenceOptions options_;
  bool products_;  ///< of context and arm features are among the inputs
  std::uint32_t inputs_, stride_;
  RewardScale scale_;
  ActionValues action_;
  AlignedArray<float> taken_, design_, values_;
};

}  // namespace acumen
