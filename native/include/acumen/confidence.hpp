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
//            Rare large rewards are seen late in the default's small sample. Its variance is
//            therefore taken to be no smaller than the other side's; what neither side has shown
//            yet nobody can know.
// Paper      Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory
//            and asymptotic confidence sequences", Annals of Statistics 2024, eq. (14).
#pragma once

#include <algorithm>
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

/// Half the width of an interval for a mean of n observations of this variance, which holds at all
/// n at once with probability 1 - alpha.
inline double sequence_radius(double variance, double n, double alpha) {
  constexpr double kTightest = 10'000;  // the number of observations it is tightest at
  const double log_alpha = -2 * std::log(alpha);
  const double rho2 = (log_alpha + std::log(log_alpha + 1)) / kTightest;
  const double scaled = n * rho2 + 1;
  return std::sqrt(variance * 2 * scaled / (n * n * rho2) * std::log(std::sqrt(scaled) / alpha));
}

class HoldbackComparison {
 public:
  static constexpr std::uint64_t kFirstLook = 30;  ///< observations of each kind before any claim

  /// What one of the two, default or learned, has earned.
  struct Side {
    std::uint64_t seen = 0;  ///< decisions whose reward is known
    std::uint64_t lost = 0;  ///< decisions whose reward will never be known
    double mean = 0.0;
    double squares = 0.0;  ///< sum of squared differences from the mean

    void add(double reward) {
      seen += 1;
      const double delta = reward - mean;
      mean += delta / static_cast<double>(seen);
      squares += delta * (reward - mean);
    }
    double variance() const { return squares / static_cast<double>(seen); }
    bool valid() const {
      return std::fabs(mean) <= static_cast<double>(kRewardLimit) && std::isfinite(squares) &&
             squares >= 0;
    }
  };

  /// Whether a coin decided. Decisions without one carry no comparison.
  static bool tossed(double learned_share) { return learned_share > 0.0 && learned_share < 1.0; }

  /// One decision, in the order in which they were made: was the learned policy in charge, with
  /// which probability would it have been, and the reward, |reward| <= kRewardLimit.
  void observe(bool learned, double learned_share, double reward) {
    if (!tossed(learned_share)) return;
    // The baselines are those from before this observation: the estimate stays unbiased.
    const double baselines[] = {baseline(false, reward), baseline(true, reward)};
    const double estimate =
        baselines[1] - baselines[0] +
        (reward - baselines[learned]) / (learned ? learned_share : learned_share - 1);
    sides_[learned].add(reward);
    const double delta = estimate - difference_;
    difference_ += delta / static_cast<double>(sides_[0].seen + sides_[1].seen);
    squares_ += delta * (estimate - difference_);
    inflation_ += 1 / (learned_share * (1 - learned_share));
  }

  /// One decision whose reward will never be known.
  void lose(bool learned, double learned_share) { sides_[learned].lost += tossed(learned_share); }

  Interval interval(double alpha) const {
    Interval result;
    result.mean = difference_;
    if (sides_[0].seen < kFirstLook || sides_[1].seen < kFirstLook) return result;
    const double n = static_cast<double>(sides_[0].seen + sides_[1].seen);
    // That of the estimates, but at least what it is when both sides vary like the wilder one.
    const double variance =
        std::max(squares_, std::max(sides_[0].variance(), sides_[1].variance()) * inflation_) / n;
    const double width = sequence_radius(variance, n, alpha);
    result.low = difference_ - width;
    result.high = difference_ + width;
    return result;
  }

  void visit(StateVisitor& visitor) {
    std::uint64_t counts[] = {sides_[0].seen, sides_[1].seen, sides_[0].lost, sides_[1].lost};
    double moments[] = {sides_[0].mean, sides_[1].mean, sides_[0].squares, sides_[1].squares,
                        difference_,    squares_,       inflation_};
    visitor.array("holdback.counts", counts, 4);
    visitor.array("holdback.moments", moments, 7);
    sides_[0] = {counts[0], counts[2], moments[0], moments[2]};
    sides_[1] = {counts[1], counts[3], moments[1], moments[3]};
    difference_ = moments[4], squares_ = moments[5], inflation_ = moments[6];
  }

  bool valid() const {
    return sides_[0].valid() && sides_[1].valid() && std::isfinite(difference_) &&
           std::isfinite(squares_) && squares_ >= 0 && std::isfinite(inflation_) && inflation_ >= 0;
  }

  const Side& side(bool learned) const { return sides_[learned]; }

 private:
  /// What a side is expected to earn; one without observations, what the other earns. The first
  /// observation of all has nothing to be compared with: it says "no difference".
  double baseline(bool learned, double reward) const {
    if (sides_[learned].seen > 0) return sides_[learned].mean;
    return sides_[!learned].seen > 0 ? sides_[!learned].mean : reward;
  }

  Side sides_[2];  ///< default, learned
  double difference_ = 0.0;
  double squares_ = 0.0;    ///< of the estimates around their mean
  double inflation_ = 0.0;  ///< sum of 1/q + 1/(1-q)
};

}  // namespace acumen
