// What no step can be shorter than when data have to be copied: bounds between pairs of operators.
//
// Idea       together(u, v) is a lower bound of start(v) - end(u), for v behind u, if both are on
// one
//            device, whatever else runs where; apart(u, v) is one if they are on different devices.
//            Along edges p -> v, as p is where u is, or it is not,
//
//              together(u, v) >= s(p) + min(together(u, p), apart(u, p) + copy(p, v))
//              apart(u, v)    >= s(p) + min(together(u, p) + copy(p, v), apart(u, p))
//
//            and the same from the other end, and of any operator x between the two
//
//              together(u, v) >= s(x) + min(together + together, apart + apart)
//              apart(u, v)    >= s(x) + min(together + apart, apart + together, apart + apart)
//
//            of (u, x) and (x, v). All operators x between u and v run within the T seconds between
//            them. If u and v share a device, then x is there too, or apart(u, x) + s(x) +
//            apart(x, v) <= T; those that must be there take turns, so they are jobs of one machine
//            with heads together(u, x) and tails together(x, v), and all others fit onto the other
//            devices for as long as copies leave them. If u and v are apart, x is with u, with v or
//            elsewhere, each with the copies that this needs, and those that must be with one of
//            them are jobs of a machine too. The least T at which neither is a contradiction, found
//            by bisection, is a bound: forks and joins cost their branches' work, or copies.
// Guarantee  With s(x) at most the seconds of x on any device and copies at most what they take on
//            any channel, no timeline ends an operator before `ends()`, up to rounding.
// Layout     Of each operator a window: those behind it with the lowest numbers, with both bounds.
//            What lies between an operator and one in its window is in the window as well.
// Papers     The two-sided use of heads and tails is Carlier & Pinson's, "An algorithm for solving
//            the job-shop problem", Management Science 1989; copies in place of machines are ours.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "acumen/placement/one_machine.hpp"

namespace acumen::placement {

class IntervalBound {
 public:
  /// Edges lead from lower numbers to higher ones; `copy` is infinite where there is one device.
  /// Throws std::invalid_argument where an edge or a cost cannot be.
  IntervalBound(std::vector<double> seconds, const std::vector<std::uint32_t>& from,
                const std::vector<std::uint32_t>& to, const std::vector<double>& copy,
                std::size_t devices, std::size_t window)
      : seconds_(std::move(seconds)), devices_(double(devices)), window_(window) {
    if (devices == 0 || window == 0 || window > 10'000 || seconds_.size() >= UINT32_MAX)
      throw std::invalid_argument("there must be devices, and windows of 1 to 10,000");
    for (const double value : seconds_)
      if (!(value >= 0 && value <= kSecondsMax)) throw std::invalid_argument("no such seconds");
    list_edges(from, to, copy);
    windows_.resize(seconds_.size());
    index_.assign(seconds_.size(), kNone);
    for (std::size_t u = seconds_.size(); u-- > 0;) look_behind(std::uint32_t(u));
    find_ends();
  }

  /// Before when no operator can have ended, in seconds from the step's start.
  const std::vector<double>& ends() const { return ends_; }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  static constexpr double kSecondsMax = 1e100;
  static constexpr int kHalvings = 12;

  struct Edge {
    std::uint32_t other;
    double copy;
  };
  struct Far {  ///< below 0: not behind
    double together = -1.0, apart = -1.0;
    double any() const { return std::min(together, apart); }
  };
  struct Window {
    std::vector<std::uint32_t> ids;
    std::vector<Far> far;
  };
  struct Between {  ///< an operator between two: its seconds, and how far it is from both
    double seconds;
    Far before, behind;
  };

  void list_edges(const std::vector<std::uint32_t>& from, const std::vector<std::uint32_t>& to,
                  const std::vector<double>& copy) {
    if (from.size() != to.size() || from.size() != copy.size())
      throw std::invalid_argument("an edge has two ends and a copy");
    before_.resize(seconds_.size());
    behind_.resize(seconds_.size());
    for (std::size_t e = 0; e < from.size(); ++e) {
      if (from[e] >= to[e] || to[e] >= seconds_.size())
        throw std::invalid_argument("edges lead to higher numbers");
      if (!(copy[e] >= 0)) throw std::invalid_argument("copies take time");
      before_[to[e]].push_back({from[e], copy[e]});
      behind_[from[e]].push_back({to[e], copy[e]});
    }
  }

  /// The window of an operator; those of all with higher numbers are known.
  void look_behind(std::uint32_t u) {
    auto& [ids, far] = windows_[u];
    for (const Edge& edge : behind_[u]) {
      ids.push_back(edge.other);
      const auto& more = windows_[edge.other].ids;
      ids.insert(ids.end(), more.begin(), more.end());
    }
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    if (ids.size() > window_) ids.resize(window_);
    ids.shrink_to_fit();
    const std::size_t count = ids.size();
    far.assign(count, Far{});
    for (std::uint32_t k = 0; k < count; ++k) index_[ids[k]] = k;
    pairs_.assign(count * count, Far{});
    for (std::size_t k = 0; k < count; ++k) {
      const Window& own = windows_[ids[k]];
      for (std::size_t i = 0; i < own.ids.size(); ++i)
        if (const std::uint32_t at = index_[own.ids[i]]; at != kNone)
          pairs_[k * count + at] = own.far[i];
    }
    for (std::size_t k = 0; k < count; ++k) far[k] = bound(u, ids[k], k, count, far);
    for (const std::uint32_t id : ids) index_[id] = kNone;
  }

  /// How far v, number k of the window of u, is from u.
  Far bound(std::uint32_t u, std::uint32_t v, std::size_t k, std::size_t count,
            const std::vector<Far>& far) {
    Far best = along_edges(u, v, k, count, far);
    between_.clear();
    double work = 0.0;
    for (std::size_t x = 0; x < k; ++x) {
      const Far &before = far[x], &behind = pairs_[x * count + k];
      if (behind.together < 0) continue;
      const double s = seconds_[windows_[u].ids[x]];
      between_.push_back({s, before, behind});
      work += s;
      const double away = before.apart + behind.apart;
      const double one_is =
          std::min(before.together + behind.apart, before.apart + behind.together);
      best.together =
          std::max(best.together, s + std::min(before.together + behind.together, away));
      best.apart = std::max(best.apart, s + std::min(one_is, away));
    }
    // One device suffices for a chain.
    if (work > best.together * (1 + 1e-12))
      best.together = least(best.together, work, &IntervalBound::fits_together);
    if (work > best.apart * (1 + 1e-12))
      best.apart = least(best.apart, best.apart + work, &IntervalBound::fits_apart);
    return best;
  }

  /// The same, of the last and the first edge between them alone.
  Far along_edges(std::uint32_t u, std::uint32_t v, std::size_t k, std::size_t count,
                  const std::vector<Far>& far) const {
    Far best;
    const auto add = [&best](double s, double copy, const Far& there) {
      best.together = std::max(best.together, s + std::min(there.together, there.apart + copy));
      best.apart = std::max(best.apart, s + std::min(there.together + copy, there.apart));
    };
    for (const auto& [p, copy] : before_[v]) {
      if (p == u)
        best = {std::max(best.together, 0.0), std::max(best.apart, copy)};
      else if (index_[p] != kNone)
        add(seconds_[p], copy, far[index_[p]]);
    }
    for (const auto& [y, copy] : behind_[u]) {
      if (y == v || index_[y] == kNone) continue;
      if (const Far& there = pairs_[index_[y] * count + k]; there.together >= 0)
        add(seconds_[y], copy, there);
    }
    return best;
  }

  /// A T from `low` on below which `fits` says no; nearly the highest.
  double least(double low, double high, bool (IntervalBound::*fits)(double)) {
    if ((this->*fits)(low)) return low;
    for (int k = 0; k < kHalvings; ++k) {
      const double middle = (low + high) / 2;
      ((this->*fits)(middle) ? high : low) = middle;
    }
    return low;
  }

  /// Whether all that is between two on one device may fit into T seconds.
  bool fits_together(double t) {
    double all = 0.0, away_head = kSecondsMax, away_tail = kSecondsMax;
    first_.clear();
    for (const Between& x : between_) {
      all += x.seconds;
      if (x.before.apart + x.seconds + x.behind.apart <= t) {
        away_head = std::min(away_head, x.before.apart);
        away_tail = std::min(away_tail, x.behind.apart);
      } else {
        first_.push_back({x.before.together, x.seconds, x.behind.together});
      }
    }
    return all <= t + (devices_ - 1) * std::max(0.0, t - away_head - away_tail) &&
           machine_.fits(first_, t);
  }

  /// The same, of two on different devices.
  bool fits_apart(double t) {
    double either = 0.0, all = 0.0, head = kSecondsMax, tail = kSecondsMax;
    first_.clear();
    second_.clear();
    for (const Between& x : between_) {
      const bool at_first = x.before.together + x.seconds + x.behind.apart <= t;
      const bool at_second = x.before.apart + x.seconds + x.behind.together <= t;
      const bool elsewhere = devices_ > 2 && x.before.apart + x.seconds + x.behind.apart <= t;
      if (!at_first && !at_second && !elsewhere) return false;
      head = std::min(head, x.before.apart);
      tail = std::min(tail, x.behind.apart);
      all += x.seconds;
      if (elsewhere) continue;
      either += x.seconds;
      if (!at_second) first_.push_back({x.before.together, x.seconds, x.behind.apart});
      if (!at_first) second_.push_back({x.before.apart, x.seconds, x.behind.together});
    }
    const double two = std::max(0.0, t - head) + std::max(0.0, t - tail);
    return either <= two && all <= two + (devices_ - 2) * std::max(0.0, t - head - tail) &&
           machine_.fits(first_, t) && machine_.fits(second_, t);
  }

  void find_ends() {
    ends_.assign(seconds_.size(), 0.0);
    for (std::size_t u = 0; u < seconds_.size(); ++u) {
      ends_[u] += seconds_[u];
      for (const Edge& edge : behind_[u])  // which may be behind the window
        ends_[edge.other] = std::max(ends_[edge.other], ends_[u]);
      const Window& own = windows_[u];
      for (std::size_t k = 0; k < own.ids.size(); ++k)
        ends_[own.ids[k]] = std::max(ends_[own.ids[k]], ends_[u] + own.far[k].any());
    }
  }

  std::vector<double> seconds_;
  double devices_;
  std::size_t window_;
  std::vector<std::vector<Edge>> before_, behind_;
  std::vector<Window> windows_;
  std::vector<double> ends_;
  // The operator that is looked at: numbers in its window, and how far those are from each other.
  std::vector<std::uint32_t> index_;
  std::vector<Far> pairs_;
  std::vector<Between> between_;
  std::vector<Job> first_, second_;  ///< what must be on the one device, and on the other
  OneMachine machine_;
};

}  // namespace acumen::placement
