// Drift: notices that a stream of numbers is no longer what it was, with a bound on false alarms.
//
// Idea       The first values choose bins; from then on a value is its bin, and the place of each
//            new one among all so far, ties broken at random, is a p-value: exactly uniform, and
//            independent of the earlier ones, while the stream is stationary, whatever its
//            distribution, tails included. Bets against uniformity grow when values move up or
//            down (on p, and on its outermost 1/16 and 1/64, for what is rare) or spread or narrow
//            (on |2p - 1|). Every moment is a possible beginning of the drift: R ← (R + 1) · bet,
//            the Shiryaev-Roberts sum of bets that began at each, averaged over all bets.
// Guarantee  On independent, identically distributed values R - n is a martingale: the mean run to
//            a false alarm is at least `records_per_alarm` values, and P(alarm within N) is at most
//            N / records_per_alarm, for every N. Memory is constant, and so is the time for a
//            value.
// Falls      Asked for falls alone, only the bets that win from low values are made. They decrease
//            with p, so that values which rise over time, one stochastically larger than the next,
//            make every one of them smaller than a stationary stream would: the guarantee holds for
//            all that does not fall, as the rewards of a policy that gets better.
// Categories Codes have no order of their own: three random ones are watched, each with a third
//            of the allowance.
// Layout     Counts of 64 bins (numbers: 32 intervals, categories: codes modulo 63), the last for
//            what is missing; R for each order and bet.
// Paper      Vovk, Nouretdinov & Gammerman, "Testing exchangeability on-line", ICML 2003; Vovk et
//            al., "Retrain or not retrain: conformal test martingales for change-point detection",
//            COPA 2021; Shiryaev 1963 and Roberts 1966; Shin, Ramdas & Rinaldo, "E-detectors",
//            2023.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

#include "acumen/random.hpp"

namespace acumen {

enum class DriftKind : std::uint8_t { kHigher, kLower, kWider, kNarrower, kOther };

/// What a stream consists of, and what counts as drift in it.
enum class DriftStream : std::uint8_t { kNumbers, kFallingNumbers, kCategories };

class DriftDetector {
 public:
  static constexpr std::uint32_t kBins = 64, kIntervals = 32, kWarmUp = 256, kOrders = 3;

  DriftDetector(double records_per_alarm, DriftStream stream, std::uint64_t seed)
      : categories_(stream == DriftStream::kCategories),
        falls_(stream == DriftStream::kFallingNumbers),
        threshold_(records_per_alarm * (categories_ ? kOrders : 1)),
        random_(seed) {
    for (auto& order : places_) {
      for (std::uint32_t b = 0; b < kBins; ++b) order[b] = b;
      // Fisher-Yates; numbers keep their own order.
      for (std::uint32_t b = kBins; categories_ && b > 1; --b)
        std::swap(order[b - 1], order[random_.below(b)]);
    }
    restart();
  }

  /// Takes one value; NaN and infinity count as missing. True: drift. Call restart() then.
  bool see(double value) {
    if (!categories_ && edges_ == 0) return warm_up(value);
    const std::uint32_t bin = bin_of(value);
    counts_[bin] += 1;
    records_ += 1;
    bool alarm = false;
    for (std::uint32_t o = 0; o < orders(); ++o) alarm |= bet(o, place_among(o, bin));
    return alarm;
  }

  /// Forgets the stream: the next values are the new reference.
  void restart() {
    counts_.fill(0);
    for (auto& order : sums_) order.fill(0.0);
    for (auto& order : runs_) order.fill(Run{});
    held_ = edges_ = 0;
    records_ = 0;
  }

  /// Values since the bins were chosen.
  std::uint64_t records() const { return records_; }
  /// Whether values are compared already, or still choose the bins.
  bool is_watching() const { return categories_ || edges_ > 0; }
  /// How many of the latest values the drift, if it is one, seems to consist of: those since the
  /// strongest bet last had nothing to show.
  std::uint64_t since() const {
    std::uint32_t best = 0;
    for (std::uint32_t o = 1; o < orders(); ++o) best = average(o) > average(best) ? o : best;
    return static_cast<std::uint64_t>(runs_[best][strongest(best)].count);
  }
  /// From 0 to 1, where the alarm is.
  double evidence() const {
    double most = 0.0;
    for (std::uint32_t o = 0; o < orders(); ++o) most = std::max(most, average(o));
    return std::min(most / threshold_, 1.0);
  }

  /// What the strongest bet was on. A bet on an end has been won at this end alone, or at both;
  /// and values far beyond what was have spread, too: then the direction is the better word.
  DriftKind kind() const {
    if (categories_) return DriftKind::kOther;
    if (falls_) return DriftKind::kLower;
    const std::size_t best = strongest(0);
    const Run& run = runs_[0][best];
    const auto direction = [](double up, double down) {
      return up >= down ? DriftKind::kHigher : DriftKind::kLower;
    };
    switch (kViews[best]) {
      case View::kPlace:
        return direction(run.place, -run.place);
      case View::kSpread:
        if (std::fabs(run.place) >= 0.75 * std::fabs(run.spread))
          return direction(run.place, -run.place);
        return run.spread >= 0.0 ? DriftKind::kWider : DriftKind::kNarrower;
      default: {
        const double up = run.top - run.count * tail_of(best);
        const double down = run.bottom - run.count * tail_of(best);
        const bool one_sided = 4.0 * std::min(up, down) <= std::max(up, down);
        return one_sided ? direction(up, down) : DriftKind::kWider;
      }
    }
  }

 private:
  static constexpr std::array<double, 4> kStakes = {0.125, 0.25, 0.5, 1.0};
  static constexpr std::array<double, 2> kTails = {1.0 / 16, 1.0 / 64};
  static constexpr std::array<double, 3> kTailStakes = {0.01, 0.05, 0.25};
  static constexpr std::size_t kBets = 28;
  enum class View : std::uint8_t { kPlace, kSpread, kEnd };
  /// What each bet is on, in the order of bet().
  static constexpr std::array<View, kBets> kViews = [] {
    std::array<View, kBets> views{};
    for (std::size_t i = 0; i < kBets; ++i)
      views[i] = i < 8 ? View::kPlace : i < 16 ? View::kSpread : View::kEnd;
    return views;
  }();
  /// Which of them win from low values alone: every second one on the place, three of six on ends.
  static constexpr std::array<bool, kBets> kOnFalls = [] {
    std::array<bool, kBets> on{};
    for (std::size_t i = 0; i < kBets; ++i)
      on[i] = (i < 8 && i % 2 == 1) || (i >= 16 && (i - 16) % 6 >= 3);
    return on;
  }();
  static constexpr std::size_t kFallBets = 10;
  static_assert(std::count(kOnFalls.begin(), kOnFalls.end(), true) == kFallBets);
  static constexpr double tail_of(std::size_t bet) { return bet < 22 ? kTails[0] : kTails[1]; }

  /// What came since a bet last had nothing to show: what the drift, if it is one, consists of.
  struct Run {
    double won = 1.0, count = 0.0, place = 0.0, spread = 0.0, top = 0.0, bottom = 0.0;
  };

  std::uint32_t orders() const { return categories_ ? kOrders : 1; }

  std::size_t strongest(std::uint32_t order) const {
    const auto& sums = sums_[order];
    return static_cast<std::size_t>(std::max_element(sums.begin(), sums.end()) - sums.begin());
  }

  double average(std::uint32_t order) const {
    double sum = 0.0;
    for (const double r : sums_[order]) sum += r;
    return sum / (falls_ ? kFallBets : kBets);
  }

  /// Gathers values until there are enough; then their quantiles bound the bins. They are not
  /// counted: given the bins, what follows is exchangeable.
  bool warm_up(double value) {
    if (std::isfinite(value)) sample_[held_++] = value;
    if (held_ < kWarmUp) return false;
    std::sort(sample_.begin(), sample_.end());
    for (std::uint32_t k = 1; k < kIntervals; ++k) {
      const double edge = sample_[k * kWarmUp / kIntervals];
      if (edges_ == 0 || edge > sample_[edges_ - 1]) sample_[edges_++] = edge;
    }
    return false;
  }

  std::uint32_t bin_of(double value) const {
    if (!std::isfinite(value)) return kBins - 1;
    if (categories_) {
      const double code = std::fmod(std::fabs(std::floor(value)), kBins - 1);
      return static_cast<std::uint32_t>(code);
    }
    // Two bins an edge: below it, and exactly on it or above: what is often exactly one value is
    // told apart from what lies beyond.
    const double* end = sample_.data() + edges_;
    return static_cast<std::uint32_t>(std::lower_bound(sample_.data(), end, value) -
                                      sample_.data()) +
           static_cast<std::uint32_t>(std::upper_bound(sample_.data(), end, value) -
                                      sample_.data());
  }

  /// The newest value's place among all, in (0, 1): uniform.
  double place_among(std::uint32_t order, std::uint32_t bin) {
    const auto& place = places_[order];
    std::uint64_t below = 0;
    for (std::uint32_t b = 0; b < kBins; ++b) below += place[b] < place[bin] ? counts_[b] : 0;
    const double ties = static_cast<double>(counts_[bin]) * random_.uniform();
    return (static_cast<double>(below) + ties) / static_cast<double>(records_);
  }

  bool bet(std::uint32_t order, double p) {
    const double place = 2.0 * p - 1.0, spread = 2.0 * std::fabs(place) - 1.0;
    std::size_t i = 0;
    const auto grow = [&](double factor) {
      if (falls_ && !kOnFalls[i]) return static_cast<void>(++i);
      double& sum = sums_[order][i];
      sum = (sum + 1.0) * factor;
      follow(runs_[order][i], factor, p, tail_of(i));
      ++i;
    };
    for (const double view : {place, spread})
      for (const double stake : kStakes) {
        grow(std::max(1.0 + stake * view, 0.0));
        grow(std::max(1.0 - stake * view, 0.0));
      }
    for (const double tail : kTails)
      for (const double end : {1.0 - p, p})
        for (const double stake : kTailStakes)
          grow(1.0 - stake + (end < tail ? stake / tail : 0.0));
    return average(order) >= threshold_;
  }

  static void follow(Run& run, double factor, double p, double tail) {
    run.won *= factor;
    if (run.won <= 1.0) {
      run = Run{};
      return;
    }
    run.won = std::min(run.won, 1e100);
    run.count += 1.0;
    run.place += 2.0 * p - 1.0;
    run.spread += 2.0 * std::fabs(2.0 * p - 1.0) - 1.0;
    run.top += 1.0 - p < tail ? 1.0 : 0.0;
    run.bottom += p < tail ? 1.0 : 0.0;
  }

  bool categories_, falls_;
  double threshold_;
  Random random_;
  std::array<std::array<std::uint32_t, kBins>, kOrders> places_;
  std::array<std::uint64_t, kBins> counts_;
  std::array<std::array<double, kBets>, kOrders> sums_;
  std::array<std::array<Run, kBets>, kOrders> runs_;
  std::array<double, kWarmUp> sample_;  ///< then, in its beginning, the edges
  std::uint32_t held_ = 0, edges_ = 0;
  std::uint64_t records_ = 0;
};

}  // namespace acumen
