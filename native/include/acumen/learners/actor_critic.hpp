// Actor-critic: a softmax policy moved by how much better a sequence went than was expected.
//
// Idea       The critic, a ridge regression on the context, says what is still to come: V(x). The
//            actor is p(a) = softmax of linear scores, W += rate · ρ · advantage · ∂ log p(a) / ∂W,
//            with the advantage measured in deviations of the critic's error. An advantage is
//            G - V(x), where G, the λ-return, mixes what was seen with what the critic foresaw:
//                G[t] = r[t] + γ ((1 - λ) V(x[t+1]) + λ G[t+1]).
//            λ = 1 is REINFORCE with a baseline, λ = 0 the one-step actor-critic. With the whole
//            episode at hand, running it backwards does what eligibility traces would do forwards
//            (the forward view; Sutton & Barto 2018, ch. 12.1).
//            The advantages of one episode go together, so that its steps add up: each is taken
//            with rate / √steps. A cut-off episode begins with G = V of its last context, whose own
//            step is left out.
// Guarantee  Importance-safe: ρ = p_now(a) / propensity, cut off at 1. Advantages are cut off at ±4
//            and weights at ±20, so that no single lesson decides and no arm dies out; a uniform
//            mix keeps every propensity positive. Values are those of what was served, the
//            default's share included. The factor γ^t of the gradient is left out, as is usual:
//            late choices matter as much as early ones.
// Paper      Williams, "Simple statistical gradient-following algorithms for connectionist
//            reinforcement learning", Machine Learning 1992; Sutton & Barto, "Reinforcement
//            Learning", 2nd ed., 2018, ch. 13.
#pragma once

#include "acumen/learners/exploration.hpp"
#include "acumen/learners/reward_scale.hpp"
#include "acumen/learners/ridge.hpp"
#include "acumen/sequence_learner.hpp"

namespace acumen {

struct ActorCriticOptions {
  double rate = 0.15;
  double trace = 0.9;  ///< λ
  double exploration = 0.02;
  double half_life = 2000.0;  ///< of the critic, in steps: what it foresees changes with the actor
};

class ActorCritic final : public SequenceLearner {
 public:
  ActorCritic(LearnerShape shape, const ActorCriticOptions& options)
      : SequenceLearner(shape),
        options_(options),
        stride_(padded(shape.dimension)),
        critic_(1, shape.dimension, 1.0, options.half_life),
        scale_(options.half_life),
        weights_(static_cast<std::size_t>(shape.arms) * stride_),
        scores_(padded(shape.arms)),
        policy_(padded(shape.arms)) {}

  void distribution(const float* x, const ArmSet& arms, float* probabilities) override {
    softmax(x);
    std::copy_n(policy_.data(), arms.count, probabilities);
    blend_uniform(probabilities, arms.count, static_cast<float>(options_.exploration));
  }

  void begin_bulk() override { critic_.begin_bulk(); }
  void end_bulk() override { critic_.end_bulk(); }

  bool validate() override {
    return scale_.valid() && critic_.validate() &&
           within(weights_.data(), static_cast<std::uint32_t>(weights_.size()), kWeightLimit);
  }

  std::size_t memory_bytes() const override {
    return sizeof(*this) + critic_.bytes() + weights_.bytes() + scores_.bytes() + policy_.bytes();
  }

 protected:
  void update_episode(const EpisodeLesson& episode) override {
    std::uint32_t steps = episode.steps;
    if (steps == 0) return;
    const double discount = episode.discount, trace = options_.trace;
    double next_value = 0.0, next_return = 0.0;
    if (!episode.ended) {
      steps -= 1;
      next_value = next_return = value(episode.xs + std::size_t{steps} * stride_);
    }
    const double rate = options_.rate / std::sqrt(std::max(steps, 1u));
    for (std::uint32_t t = steps; t-- > 0;) {
      const float* x = episode.xs + std::size_t{t} * stride_;
      const double now = value(x);
      const double seen = bounded(static_cast<double>(episode.rewards[t]) +
                                  discount * ((1.0 - trace) * next_value + trace * next_return));
      const bool first = scale_.lessons() == 0.0;
      learn_value(x, seen);
      if (!first) move_policy(x, episode.arms[t], episode.propensities[t], rate, seen - now);
      next_value = now;
      next_return = seen;
    }
  }

  void clear() override {
    critic_.clear();
    scale_.clear();
    weights_.clear();
  }

  void visit_state(StateVisitor& visitor) override {
    visitor.array("policy_weights", weights_.data(), weights_.size());
    critic_.visit(visitor);
    scale_.visit(visitor);
  }

 private:
  static constexpr float kWeightLimit = 20.0f;

  double value(const float* x) { return bounded(static_cast<double>(critic_.mean(x))); }

  void learn_value(const float* x, double seen) {
    scale_.add(seen);
    critic_.set_prior_mean(scale_.average());
    scale_.add_error(critic_.learn(0, x, static_cast<float>(seen)).noise());
  }

  void move_policy(const float* x, std::uint32_t arm, float propensity, double rate,
                   double advantage) {
    softmax(x);
    const float square = kernels_->dot(x, x, stride_);
    const auto mix = static_cast<float>(options_.exploration);
    const float now = (1.0f - mix) * policy_[arm] + mix / static_cast<float>(shape().arms);
    const float weight = std::min(now / propensity, 1.0f) / (1.0f + square);
    const float step =
        weight * static_cast<float>(rate * std::clamp(advantage / scale_.noise(), -4.0, 4.0));
    for (std::uint32_t b = 0; b < shape().arms; ++b) {
      const float factor = step * ((b == arm ? 1.0f : 0.0f) - policy_[b]);
      float* row = weights_.data() + std::size_t{b} * stride_;
      for (std::uint32_t i = 0; i < stride_; ++i)
        row[i] = std::clamp(row[i] + factor * x[i], -kWeightLimit, kWeightLimit);
    }
  }

  void softmax(const float* x) {
    const std::uint32_t arms = shape().arms;
    kernels_->dots(weights_.data(), stride_, arms, x, stride_, scores_.data());
    acumen::softmax(*kernels_, scores_.data(), arms, 1.0f, policy_.data());
  }

  const DenseKernels* kernels_ = &dense_kernels();
  ActorCriticOptions options_;
  std::uint32_t stride_;
  RidgeModels critic_;
  RewardScale scale_;
  AlignedArray<float> weights_, scores_, policy_;
};

}  // namespace acumen
