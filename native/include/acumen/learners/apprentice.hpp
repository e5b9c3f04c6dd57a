// Apprentice: imitate the default until the model reproduces it, then improve on it.
//
// Idea       While the default is in charge, every lesson is also a demonstration: this is what the
//            heuristic does here. A model of its own (multinomial.hpp) learns from them which arm
//            it takes, and is examined on every demonstration before it learns from it. The policy
//            is (1 - h) · imitation + h · own. h is 0 until the imitation is proven to agree with
//            the default; then a small trial share; and it doubles each time the learner's own
//            policy is proven better than the imitation, and is halved when it is proven worse.
//            What is compared are unbiased estimates from the decisions served (doubly robust, with
//            the propensities on record), each policy as it was before the lesson.
// Guarantee  Until its own policy is proven better, at most the trial share of the decisions that
//            the learner is in charge of goes to it, and the rest to a model that differs from the
//            default in at most 1 - agreement of the contexts. Each proof errs with a probability
//            of at most `error` over the learner's life, since its tests share it: the agreement
//            by a Chernoff bound over blocks of fresh demonstrations, the comparison by an
//            asymptotic confidence sequence (confidence.hpp), which may be looked at always.
//            An apprenticeship begins with a log: when the first lesson is a demonstration that
//            no coin decided. Without one it is the own learner alone, and where arms have
//            features, too: what else was on offer is not known afterwards. Unless it is always the
//            same, like the grid of a range: then it is told so, and imitates by index.
// Layout     The own learner's state is shown under the prefix "own.".
// Paper      Zhang, Agarwal, Daumé, Langford & Negahban, "Warm-starting contextual bandits:
//            robustly combining supervised and bandit feedback", ICML 2019. Wu, Shariff,
//            Lattimore & Szepesvári, "Conservative bandits", ICML 2016. Chernoff, "A measure of
//            asymptotic efficiency for tests of a hypothesis", 1952.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numbers>
#include <string>
#include <utility>

#include "acumen/aligned.hpp"
#include "acumen/confidence.hpp"
#include "acumen/learner.hpp"
#include "acumen/learners/multinomial.hpp"

namespace acumen {

struct ApprenticeOptions {
  double agreement = 0.9;  ///< share of contexts in which the imitation has to be the default
  double trial = 0.1;      ///< share of the own policy before it is proven better
  double error = 0.05;     ///< of each of the two proofs
};

class Apprentice final : public Learner {
 public:
  /// `table`: where every call brings the same arms, their features, shape.arms · shape.features.
  Apprentice(std::shared_ptr<Learner> own, const ApprenticeOptions& options,
             const float* table = nullptr)
      : Learner(own->shape()),
        options_(options),
        own_(std::move(own)),
        table_(table ? shape().arms * std::size_t{padded(shape().features)} : 0),
        imitation_(shape().dimension, can_imitate() ? shape().arms : 1),
        policy_(padded(shape().arms)),
        rewards_(padded(shape().arms)) {
    const std::uint32_t n = shape().features;
    for (std::size_t arm = 0; table && arm < shape().arms; ++arm)
      std::copy_n(table + arm * n, n, table_.data() + arm * padded(n));
  }

  void distribution(const float* x, const ArmSet& arms, float* probabilities) override {
    own_->distribution(x, arms, probabilities);
    if (!bound() || share_ >= 1.0) return;
    const auto own = static_cast<float>(share_);
    for (std::uint32_t a = 0; a < arms.count; ++a) probabilities[a] *= own;
    probabilities[imitation_.likeliest(x)] += 1.0f - own;
  }

  bool expected(const float* x, const ArmSet& arms, float* rewards) override {
    return own_->expected(x, arms, rewards);
  }

  /// Whether there is, or was, a default to imitate.
  bool bound() const { return phase_ == kBound; }
  /// h, the own policy's share of the decisions that the learner is in charge of.
  double share() const { return bound() ? share_ : 1.0; }
  std::uint64_t demonstrations() const { return demonstrations_; }
  /// Share of demonstrations foreseen, in the last whole block or, before there is one, so far.
  double agreement() const { return examined_ || seen_ == 0 ? agreement_ : foreseen_ / seen_; }
  /// Demonstrations that this share is of, and whole blocks so far.
  std::uint64_t examined() const {
    return static_cast<std::uint64_t>(block_ ? block_length(block_ - 1) : seen_);
  }
  std::uint64_t examinations() const { return block_; }
  const ApprenticeOptions& options() const { return options_; }

  void begin_bulk() override {
    own_->begin_bulk();
    bulk_ = true;
  }
  void end_bulk() override {
    if (bulk_) own_->end_bulk();
    bulk_ = false;
  }

  bool validate() override {
    return own_->validate() && imitation_.validate() && phase_ <= kBound && share_ >= 0.0 &&
           share_ <= 1.0 && agreement_ >= 0.0 && agreement_ <= 1.0 && seen_ >= 0.0 &&
           seen_ <= 1e18 && foreseen_ >= 0.0 && foreseen_ <= seen_ && std::isfinite(mean_) &&
           std::isfinite(squares_) && squares_ >= 0.0 && level_ >= 1;
  }

  std::size_t memory_bytes() const override {
    return sizeof(*this) + own_->memory_bytes() + imitation_.bytes() + policy_.bytes() +
           rewards_.bytes() + table_.bytes();
  }

 protected:
  void update(const Lesson& lesson) override {
    const bool demonstrated = lesson.demonstrated && can_imitate();
    if (phase_ == kNew) phase_ = demonstrated && lesson.propensity > kCertain ? kBound : kFree;
    if (bound() && demonstrated) examine(lesson);
    if (bound() && share_ > 0.0 && share_ < 1.0 && lesson.propensity < kCertain) weigh(lesson);
    own_->learn(lesson);
  }

  void clear() override {
    own_->reset();
    imitation_.clear();
    phase_ = kNew;
    demonstrations_ = 0, block_ = 0, examined_ = 0;
    seen_ = 0.0, foreseen_ = 0.0, agreement_ = 0.0, share_ = 0.0;
    level_ = 1;
    weigh_anew();
  }

  void visit_state(StateVisitor& visitor) override {
    std::uint64_t counts[] = {phase_, demonstrations_, block_, examined_, level_, weighed_};
    double sums[] = {seen_, foreseen_, agreement_, share_, mean_, squares_};
    visitor.array("apprentice.counts", counts, 6);
    visitor.array("apprentice.sums", sums, 6);
    phase_ = counts[0], demonstrations_ = counts[1], block_ = counts[2];
    examined_ = counts[3], level_ = counts[4], weighed_ = counts[5];
    seen_ = sums[0], foreseen_ = sums[1], agreement_ = sums[2];
    share_ = sums[3], mean_ = sums[4], squares_ = sums[5];
    imitation_.visit(visitor);
    Prefixed own("own.", visitor);
    own_->visit(own);
  }

 private:
  enum Phase : std::uint64_t { kNew = 0, kFree = 1, kBound = 2 };
  static constexpr float kCertain = 0.999f;   ///< a propensity above it: no coin decided
  static constexpr double kFirstBlock = 128;  ///< demonstrations; every next block is twice as long
  static constexpr std::uint64_t kBlocksMax = 6;  ///< up to 64 times as long
  static constexpr std::uint64_t kFirstLook = 200;
  static constexpr std::uint64_t kStretch =
      4096;  ///< decisions that are weighed together, at first

  /// Shows another's state under names of its own.
  class Prefixed final : public StateVisitor {
   public:
    Prefixed(std::string prefix, StateVisitor& to) : prefix_(std::move(prefix)), to_(to) {}
    void array(std::string_view name, float* v, std::size_t n) override { pass(name, v, n); }
    void array(std::string_view name, double* v, std::size_t n) override { pass(name, v, n); }
    void array(std::string_view name, std::uint64_t* v, std::size_t n) override {
      pass(name, v, n);
    }

   private:
    template <class T>
    void pass(std::string_view name, T* values, std::size_t count) {
      to_.array(prefix_ + std::string(name), values, count);
    }
    std::string prefix_;
    StateVisitor& to_;
  };

  /// What test number `turn`, from 1, may spend of an error that has to last for ever.
  double spent(double turn) const {
    return options_.error * 6 / (std::numbers::pi * std::numbers::pi * turn * turn);
  }

  bool can_imitate() const { return shape().features == 0 || table_.size() > 0; }

  static double block_length(std::uint64_t block) {
    return kFirstBlock * static_cast<double>(1u << std::min(block, kBlocksMax));
  }

  /// First foresee what the default does, then learn it.
  void examine(const Lesson& lesson) {
    seen_ += 1.0;
    foreseen_ += imitation_.likeliest(lesson.x) == lesson.arm;
    demonstrations_ += 1;
    imitation_.learn(lesson.x, lesson.arm);
    if (seen_ < block_length(block_)) return;
    block_ += 1;
    examined_ = 1;
    agreement_ = foreseen_ / seen_;
    if (share_ == 0.0 && proven(agreement_, seen_)) share_ = options_.trial;
    seen_ = foreseen_ = 0.0;
  }

  /// Chernoff: n coins of at most the agreement asked for come out like this with probability
  /// exp(-n · KL) at most.
  bool proven(double p, double n) const {
    const double q = options_.agreement;
    if (p <= q) return false;
    const double rest = p < 1.0 ? (1 - p) * std::log((1 - p) / (1 - q)) : 0.0;
    return n * (p * std::log(p / q) + rest) >= -std::log(spent(static_cast<double>(block_)));
  }

  /// One estimate of what the own policy earns more than the imitation, before it learns from it.
  void weigh(const Lesson& lesson) {
    const ArmSet all{shape().arms, table_.size() ? table_.data() : nullptr};
    end_bulk();  // it is asked between the lessons
    own_->distribution(lesson.x, all, policy_.data());
    policy_[imitation_.likeliest(lesson.x)] -= 1.0f;
    double estimate = 0.0, expected = 0.0;
    if (own_->expected(lesson.x, all, rewards_.data())) {
      for (std::uint32_t a = 0; a < all.count; ++a)
        estimate += static_cast<double>(policy_[a]) * static_cast<double>(rewards_[a]);
      expected = static_cast<double>(rewards_[lesson.arm]);
    }
    estimate += static_cast<double>(policy_[lesson.arm]) / static_cast<double>(lesson.propensity) *
                (static_cast<double>(lesson.reward) - expected);
    weighed_ += 1;
    const double n = static_cast<double>(weighed_), delta = estimate - mean_;
    mean_ += delta / n;
    squares_ += delta * (estimate - mean_);
    if (weighed_ < kFirstLook) return;
    const double radius = sequence_radius(squares_ / n, n, spent(static_cast<double>(level_)));
    const bool decided = std::fabs(mean_) > radius;
    // What the own policy was long ago does not speak against what it is now.
    if (!decided && weighed_ < kStretch * level_) return;
    if (decided)
      share_ = mean_ > 0.0 ? std::min(2 * share_, 1.0) : std::max(share_ / 2, options_.trial);
    level_ += 1;
    weigh_anew();
  }

  void weigh_anew() { weighed_ = 0, mean_ = 0.0, squares_ = 0.0; }

  ApprenticeOptions options_;
  std::shared_ptr<Learner> own_;
  AlignedArray<float> table_;  ///< features of the arms, where they are always the same
  Multinomial imitation_;
  bool bulk_ = false;
  std::uint64_t phase_ = kNew;
  std::uint64_t demonstrations_ = 0, block_ = 0, examined_ = 0;  ///< blocks; whether there was one
  double seen_ = 0.0, foreseen_ = 0.0;                           ///< in this block
  double agreement_ = 0.0, share_ = 0.0;
  std::uint64_t level_ = 1, weighed_ = 0;
  double mean_ = 0.0, squares_ = 0.0;  ///< of the estimates since the share's last change
  AlignedArray<float> policy_, rewards_;
};

}  // namespace acumen
