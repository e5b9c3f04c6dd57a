// Sarsa(λ) and Watkins's Q(λ): learn what each arm is worth from what the next step is worth.
//
// Idea       Q(x, a) = w[a]·x is what is still to come after taking arm a in context x. After each
//            step it is moved towards r + γ Q', where Q' is the value of the next arm taken (Sarsa,
//            the value of what is served) or of the best next arm (Q, the value of the best). A
//            trace e of the steps before shares the correction with them, γλ less at each.
//            The traces are true-online ("dutch") ones: what is learned is exactly the λ-return's
//            forward view, whatever the step size. In Q(λ) the trace is cut where the next arm is
//            not the best one, because what follows says nothing about the best.
//            The step is rate / ‖x‖², so that a rate of 1 would make a prediction exact at once; it
//            falls with the times n that the arm was taken in such a context (n = 1 / u² - 1, see
//            below): by (1 + n / 10)^-settling.
//            In a cut-off episode the last context's value ends the sums.
// Exploration An arm's score is Q plus a bonus for what it was rarely taken in: bonus · unit ·
//            u(x), u² = Σ x[i]² / (1 + n[a, i]) / ‖x‖², where n counts the squares of the inputs
//            that the arm was taken with. Without it the first success, anywhere, would decide for
//            contexts in which nothing else was ever tried. The best score is taken with
//            probability 1 - ε (or by softmax(score / (temperature · unit))), any arm with ε,
//            which falls with the steps learned: ε (1 + steps / arms)^-decay.
// Guarantee  distribution() is exact, for nothing is drawn here. Weights are cut off at the limit
// of
//            rewards: they stay finite also where linear off-policy learning would diverge.
// Paper      Sutton, "Learning to predict by the methods of temporal differences", Machine Learning
//            1988; Watkins, "Learning from delayed rewards", 1989; van Seijen, Mahmood, Pilarski,
//            Machado & Sutton, "True online temporal-difference learning", JMLR 2016. The bonus:
//            Strehl & Littman, "An analysis of model-based interval estimation", 2008, per input.
#pragma once

#include "acumen/aligned.hpp"
#include "acumen/learners/exploration.hpp"
#include "acumen/learners/reward_scale.hpp"
#include "acumen/sequence_learner.hpp"

namespace acumen {

struct TemporalDifferenceOptions {
  bool best_next = false;  ///< Q(λ) instead of Sarsa(λ)
  double rate = 0.4;
  double trace = 0.9;  ///< λ
  double epsilon = 1.0;
  double decay = 0.5;
  double temperature = 0.0;  ///< 0: the best score
  double bonus = 2.0;
  double settling = 0.7;  ///< how the step falls with experience
};

class TemporalDifference final : public SequenceLearner {
 public:
  TemporalDifference(LearnerShape shape, const TemporalDifferenceOptions& options)
      : SequenceLearner(shape),
        options_(options),
        stride_(padded(shape.dimension)),
        weights_(static_cast<std::size_t>(shape.arms) * stride_),
        traces_(weights_.size()),
        taken_(weights_.size()),
        values_(padded(shape.arms)) {}

  void distribution(const float* x, const ArmSet& arms, float* probabilities) override {
    const double steps = static_cast<double>(version_) / arms.count;
    const auto epsilon =
        static_cast<float>(options_.epsilon * std::pow(1.0 + steps, -options_.decay));
    look(x);
    if (options_.bonus > 0.0) favour_rare(x, arms.count);
    if (options_.temperature > 0.0) {
      soften(arms.count, probabilities);
      blend_uniform(probabilities, arms.count, epsilon);
    } else {
      kernels_->greedy(values_.data(), arms.count, epsilon, probabilities);
    }
  }

  bool validate() override {
    const auto counts_good = [](float n) { return n >= 0.0f && n <= kCountLimit; };
    return scale_.valid() && std::all_of(taken_.begin(), taken_.end(), counts_good) &&
           within(weights_.data(), static_cast<std::uint32_t>(weights_.size()), kRewardLimit);
  }

  std::size_t memory_bytes() const override {
    return sizeof(*this) + weights_.bytes() + traces_.bytes() + taken_.bytes() + values_.bytes();
  }

 protected:
  void update_episode(const EpisodeLesson& episode) override {
    const std::uint32_t steps = episode.steps;
    traces_.clear();
    bool fresh = true;  // no correction of an earlier step's is outstanding
    double before = 0.0;
    for (std::uint32_t t = 0; t < steps; ++t) {
      if (t + 1 == steps && !episode.ended) return;
      const float* x = episode.xs + std::size_t{t} * stride_;
      const std::uint32_t arm = episode.arms[t];
      look(x);
      const double now = static_cast<double>(values_[arm]);
      double next = 0.0, taken = 0.0;
      bool cut = false;
      if (t + 1 < steps) {
        look(x + stride_);
        taken = static_cast<double>(values_[episode.arms[t + 1]]);
        const double best = best_value();
        next = options_.best_next ? best : taken;
        cut = options_.best_next && taken < best;
      }
      const double target =
          bounded(static_cast<double>(episode.rewards[t]) + episode.discount * next);
      scale_.add(target);
      move(x, arm, target, now, fresh ? now : before,
           static_cast<float>(static_cast<double>(episode.discount) * options_.trace));
      if (cut) traces_.clear();
      fresh = cut;
      before = taken;
    }
  }

  void clear() override {
    scale_.clear();
    weights_.clear();
    taken_.clear();
  }

  void visit_state(StateVisitor& visitor) override {
    visitor.array("action_weights", weights_.data(), weights_.size());
    visitor.array("taken", taken_.data(), taken_.size());
    scale_.visit(visitor);
  }

 private:
  static constexpr float kCountLimit = 1e9f;

  /// One step of true online TD(λ), the step size inside of the trace: `before` is the value that
  /// the previous step took this one to have.
  void move(const float* x, std::uint32_t arm, double target, double now, double before,
            float fade) {
    const float square = kernels_->dot(x, x, stride_);
    float* trace = traces_.data() + std::size_t{arm} * stride_;
    const float overlap = kernels_->dot(trace, x, stride_);
    float rate = static_cast<float>(options_.rate) / std::max(square, 1.0f);
    if (options_.settling > 0.0) {
      const float tries = square / std::max(rarity(x, arm), 1e-20f) - 1.0f;
      rate *= std::pow(1.0f + 0.1f * std::max(tries, 0.0f), -static_cast<float>(options_.settling));
    }
    for (float& e : traces_) e = std::fabs(e) < 1e-20f ? 0.0f : fade * e;
    for (std::uint32_t i = 0; i < stride_; ++i) trace[i] += rate * (1.0f - fade * overlap) * x[i];
    float* taken = taken_.data() + std::size_t{arm} * stride_;
    for (std::uint32_t i = 0; i < stride_; ++i)
      taken[i] = std::min(taken[i] + x[i] * x[i], kCountLimit);
    const auto error = static_cast<float>(target - before);
    const float back = rate * static_cast<float>(now - before);
    float* weights = weights_.data() + std::size_t{arm} * stride_;
    for (std::size_t i = 0; i < weights_.size(); ++i) weights_[i] += error * traces_[i];
    for (std::uint32_t i = 0; i < stride_; ++i) weights[i] -= back * x[i];
    for (float& w : weights_) w = std::clamp(w, -kRewardLimit, kRewardLimit);
  }

  /// values_[a] = Q(x, a).
  void look(const float* x) {
    kernels_->dots(weights_.data(), stride_, shape().arms, x, stride_, values_.data());
  }

  /// Root mean square of what values were moved towards. Their deviation would not do: it vanishes
  /// where one always goes the same way, and zero means something here, namely that nothing comes.
  double unit_of_values() const {
    return std::sqrt(scale_.variance() + scale_.average() * scale_.average());
  }

  /// ‖x‖² u²: ‖x‖² in contexts in which the arm was never taken, less with every time.
  float rarity(const float* x, std::uint32_t arm) const {
    const float* taken = taken_.data() + std::size_t{arm} * stride_;
    float rare = 0.0f;
    for (std::uint32_t i = 0; i < stride_; ++i) rare += x[i] * x[i] / (1.0f + taken[i]);
    return rare;
  }

  double best_value() const {
    return static_cast<double>(*std::max_element(values_.data(), values_.data() + shape().arms));
  }

  void favour_rare(const float* x, std::uint32_t count) {
    const float square = kernels_->dot(x, x, stride_);
    const auto unit = static_cast<float>(options_.bonus * unit_of_values());
    for (std::uint32_t a = 0; a < count; ++a) values_[a] += unit * std::sqrt(rarity(x, a) / square);
  }

  void soften(std::uint32_t count, float* probabilities) {
    const double sharpness = 1.0 / (options_.temperature * unit_of_values());
    softmax(*kernels_, values_.data(), count, static_cast<float>(std::min(sharpness, 1e30)),
            probabilities);
  }

  const DenseKernels* kernels_ = &dense_kernels();
  TemporalDifferenceOptions options_;
  std::uint32_t stride_;
  RewardScale scale_;
  AlignedArray<float> weights_, traces_, taken_, values_;
};

}  // namespace acumen
