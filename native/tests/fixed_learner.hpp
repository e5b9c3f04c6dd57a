// A learner for the engine's own tests: answers one distribution, and remembers its lessons.
#pragma once

#include <algorithm>
#include <vector>

#include "acumen/learner.hpp"

namespace acumen {

class FixedLearner final : public Learner {
 public:
  explicit FixedLearner(std::vector<float> probabilities, std::uint32_t dimension = 1,
                        std::uint32_t features = 0)
      : Learner({dimension, static_cast<std::uint32_t>(probabilities.size()), features}),
        probabilities_(std::move(probabilities)),
        rewards_(probabilities_.size()) {}

  void distribution(const float*, const ArmSet& arms, float* p) override {
    std::copy_n(probabilities_.data(), arms.count, p);
  }
  bool validate() override { return true; }
  std::size_t memory_bytes() const override { return sizeof(*this); }

  double reward(std::uint32_t arm) const { return rewards_[arm]; }
  std::vector<float>& probabilities() { return probabilities_; }

 protected:
  void update(const Lesson& lesson) override {
    rewards_[lesson.arm] += static_cast<double>(lesson.reward);
  }
  void clear() override { std::fill(rewards_.begin(), rewards_.end(), 0.0); }
  void visit_state(StateVisitor& visitor) override {
    visitor.array("rewards", rewards_.data(), rewards_.size());
  }

 private:
  std::vector<float> probabilities_;
  std::vector<double> rewards_;
};

}  // namespace acumen
