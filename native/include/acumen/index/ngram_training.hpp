// Training of the scorer: logistic regression by Adagrad, then rounding to bytes.
//
// Idea       Each step shows one key and one negative, so that both count the same however many
// there
//            are. The last of several passes are the calmest (Adagrad's steps shrink by
//            themselves). Then the largest weights are clipped to what keeps the rounding of the
//            others fine.
// Guarantee  Bounded: passes · samples · pieces steps of constant size. The same samples, seed and
// machine
//            give the same weights; what a filter promises does not depend on them.
// Paper      Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and
// stochastic
//            optimization", JMLR 2011.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "acumen/index/ngram_scorer.hpp"
#include "acumen/random.hpp"

namespace acumen::membership {

struct NgramTraining {
  std::uint32_t passes = 8;
  float rate = 0.3f;
  float decay = 1e-7f;  // towards zero, a step
  std::uint64_t seed = 1;
};

namespace detail {

/// The weights before they are rounded.
class LogisticModel {
 public:
  explicit LogisticModel(const PieceShape& shape)
      : shape_(shape), weight_(shape.buckets(), 0.0f), square_(shape.buckets(), 1e-6f) {}

  void learn(const KeyView& key, bool inside, const NgramTraining& how) {
    pieces_.clear();
    float sum = bias_;
    visit_pieces(shape_, key, [&](std::uint64_t bucket) { pieces_.push_back(bucket); });
    const float scale = 1.0f / std::sqrt(static_cast<float>(pieces_.size()));
    for (const std::uint64_t bucket : pieces_) sum += weight_[bucket] * scale;
    const float target = inside ? 1.0f : 0.0f;
    const float error = 1.0f / (1.0f + std::exp(-sum)) - target;
    if (std::fabs(error) < 1e-3f) return;  // nothing left to learn here
    bias_square_ += error * error;
    bias_ -= how.rate * error / std::sqrt(bias_square_);
    const float slope = error * scale;
    for (const std::uint64_t bucket : pieces_) {
      float& weight = weight_[bucket];
      const float gradient = slope + how.decay * weight;
      square_[bucket] += gradient * gradient;
      weight -= how.rate * gradient / std::sqrt(square_[bucket]);
    }
  }

  std::vector<std::int8_t> rounded() const {
    std::vector<float> size(weight_.size());
    std::transform(weight_.begin(), weight_.end(), size.begin(),
                   [](float w) { return std::fabs(w); });
    const std::size_t rank = size.size() - 1 - size.size() / 200;
    std::nth_element(size.begin(), size.begin() + static_cast<std::ptrdiff_t>(rank), size.end());
    const float limit = std::max(size[rank], 1e-6f);
    std::vector<std::int8_t> out(weight_.size());
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<std::int8_t>(
          std::lround(std::clamp(weight_[i] / limit, -1.0f, 1.0f) * 127.0f));
    return out;
  }

 private:
  PieceShape shape_;
  std::vector<float> weight_, square_;
  float bias_ = 0.0f, bias_square_ = 1e-6f;
  std::vector<std::uint64_t> pieces_;
};

}  // namespace detail

/// Weights that give keys high scores and negatives low ones; key(i) and negative(i) are views.
template <class KeyOf, class NegativeOf>
std::vector<std::int8_t> train(const PieceShape& shape, const NgramTraining& how, std::size_t keys,
                               KeyOf&& key, std::size_t negatives, NegativeOf&& negative) {
  detail::LogisticModel model(shape);
  if (keys == 0 || negatives == 0) return model.rounded();
  Random random(how.seed);
  const std::size_t steps = std::max(keys, negatives);
  for (std::uint32_t pass = 0; pass < how.passes; ++pass) {
    for (std::size_t i = 0; i < steps; ++i) {
      model.learn(key(random.below(static_cast<std::uint32_t>(keys))), true, how);
      model.learn(negative(random.below(static_cast<std::uint32_t>(negatives))), false, how);
    }
  }
  return model.rounded();
}

}  // namespace acumen::membership
