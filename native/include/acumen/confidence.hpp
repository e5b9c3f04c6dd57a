// An anytime-valid interval for "learned minus default", from the random holdback.
//
// Idea       Every decision is given to the learned policy with a known probability q and to the
//            default with 1 - q. Each feedback becomes one unbiased estimate of the difference
//            (augmented inverse-propensity weighting, with running means as the baseline); their
//            mean has a confidence sequence that holds at all times at once, so that one may look
//            at it after every decision and stop when one likes.
// Guarantee  Asymptotic confidence sequence: coverage at least 1 - alpha, uniformly over time, as
//            the first look moves out; before `kFirstLook` observations of each kind it is
//            infinite. The estimand is the mean difference so far: the learned policy may change.
// Paper      Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory
//            and asymptotic confidence sequences", Annals of Statistics 2024, eq. (14).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "acumen/learner.hpp"

namespace acumen {

struct Interval {
  double mean = 0.0;
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};

class HoldbackComparison {
 public:
  static constexpr std::uint64_t kFirstLook = 30;  ///< observations of each kind before any claim

  /// One feedback: was the learned policy in charge, with which probability would it have been,
  /// and the reward. Decisions without a coin toss (share 0 or 1) carry no comparison.
  void observe(bool learned, double learned_share, double reward) {
    if (!(learned_share > 0.0 && learned_share < 1.0)) return;
    // The baselines are those from before this observation: the estimate stays unbiased.
    const double baseline = learned ? mean_[1] : mean_[0];
    const double correction =
        learned ? (reward - baseline) / learned_share : -(reward - baseline) / (1 - learned_share);
    const double estimate = mean_[1] - mean_[0] + correction;
    seen_[learned] += 1;
    const double delta = estimate - estimate_mean_;
    estimate_mean_ += delta / static_cast<double>(seen_[0] + seen_[1]);
    squares_ += delta * (estimate - estimate_mean_);
    mean_[learned] += (reward - mean_[learned]) / static_cast<double>(seen_[learned]);
  }

  Interval interval(double alpha) const {
    Interval result;
    result.mean = estimate_mean_;
    if (seen_[0] < kFirstLook || seen_[1] < kFirstLook) return result;
    const double n = static_cast<double>(seen_[0] + seen_[1]);
    const double log_alpha = -2 * std::log(alpha);
    const double rho2 = (log_alpha + std::log(log_alpha + 1)) / kTightest;
    const double scaled = n * rho2 + 1;
    const double width = std::sqrt(squares_ / n) * std::sqrt(2 * scaled / (n * n * rho2) *
                                                             std::log(std::sqrt(scaled) / alpha));
    result.low = estimate_mean_ - width;
    result.high = estimate_mean_ + width;
    return result;
  }

  void visit(StateVisitor& visitor) {
    visitor.array("holdback.counts", seen_, 2);
    double values[] = {mean_[0], mean_[1], estimate_mean_, squares_};
    visitor.array("holdback.moments", values, 4);
    mean_[0] = values[0], mean_[1] = values[1], estimate_mean_ = values[2], squares_ = values[3];
  }

  bool valid() const {
    return std::isfinite(mean_[0]) && std::isfinite(mean_[1]) && std::isfinite(estimate_mean_) &&
           std::isfinite(squares_) && squares_ >= 0;
  }

  std::uint64_t seen(bool learned) const { return seen_[learned]; }
  double mean(bool learned) const { return mean_[learned]; }

 private:
  static constexpr double kTightest = 10'000;  ///< the number of observations it is tightest at

  std::uint64_t seen_[2] = {0, 0};  ///< default, learned
  double mean_[2] = {0.0, 0.0};
  double estimate_mean_ = 0.0;
  double squares_ = 0.0;
};

}  // namespace acumen
