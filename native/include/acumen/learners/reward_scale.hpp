// The reward's own scale: running mean and deviation, and the noise that no model explains.
//
// Idea       Rewards come in seconds, bytes or dollars. Every learner here measures gaps and
//            bonuses against the spread of the rewards seen so far, so that its parameters mean
//            the same in every unit.
// Guarantee  All results are finite and the scales positive. Statistics of two worlds add up
//            (merge), and with a half-life old lessons fade.
// Layout     Five doubles: weight, mean and squared deviations of rewards (Welford, West 1979);
//            weight and sum of the squared prediction errors.
#pragma once

#include <algorithm>
#include <cmath>

#include "acumen/learner.hpp"

namespace acumen {

class RewardScale {
 public:
  /// half_life in lessons; 0: never forget.
  explicit RewardScale(double half_life = 0.0)
      : decay_(half_life > 0.0 ? std::exp2(-1.0 / half_life) : 1.0) {}

  void add(double reward) {
    weight() = weight() * decay_ + 1.0;
    const double change = reward - mean();
    mean() += change / weight();
    squares() = squares() * decay_ + change * (reward - values_[1]);
  }

  /// error²: already divided by the part that is the model's own uncertainty.
  void add_error(double squared) {
    values_[3] = values_[3] * decay_ + 1.0;
    values_[4] = values_[4] * decay_ + squared;
  }

  double lessons() const { return values_[0]; }
  double average() const { return values_[1]; }

  /// Standard deviation of the rewards. While all have been equal, their magnitude stands in; and
  /// it is never below what a float can tell apart.
  double deviation() const { return std::sqrt(variance()); }
  double variance() const {
    const double square = values_[1] * values_[1];
    if (!(values_[2] > 0.0)) return std::max(square > 0.0 ? square : 1.0, 1e-60);
    return std::max({values_[2] / values_[0], 1e-12 * square, 1e-60});
  }

  /// Standard deviation of what the model did not foresee, at least a quarter of the reward's: an
  /// arm never tried must stay uncertain even when the others are predicted without error.
  double noise() const {
    const double variance = values_[3] > 0.0 ? values_[4] / values_[3] : 0.0;
    return std::max(std::sqrt(std::max(variance, 0.0)), 0.25 * deviation());
  }

  void merge(const RewardScale& other) {
    const double total = values_[0] + other.values_[0];
    if (total > 0.0) {
      const double gap = other.values_[1] - values_[1];
      values_[2] += other.values_[2] + gap * gap * values_[0] * other.values_[0] / total;
      values_[1] += gap * other.values_[0] / total;
    }
    values_[0] = total;
    values_[3] += other.values_[3];
    values_[4] += other.values_[4];
  }

  void clear() { std::fill(values_, values_ + 5, 0.0); }
  void visit(StateVisitor& visitor) { visitor.array("reward_scale", values_, 5); }
  bool valid() const {
    for (const double v : values_) {
      if (!std::isfinite(v) || std::fabs(v) > 1e60) return false;
    }
    return values_[0] >= 0.0 && values_[2] >= 0.0 && values_[3] >= 0.0 && values_[4] >= 0.0 &&
           std::fabs(values_[1]) <= kRewardLimit;
  }

 private:
  double& weight() { return values_[0]; }
  double& mean() { return values_[1]; }
  double& squares() { return values_[2]; }

  double decay_;
  double values_[5] = {};
};

}  // namespace acumen
