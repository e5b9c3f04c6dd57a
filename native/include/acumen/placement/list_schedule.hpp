// List scheduling: operators are placed one by one, each where it ends or starts first.
//
// Idea       Two policies over the same state.
//            in_order: the operators in a given order, each on the device where it ends first
//            (HEFT, where the order is that of descending upward ranks).
//            earliest_first: of all operators that are ready and all devices, the pair that starts
//            first (ETF). An operator may have a favourite among its readers: its device is then
//            kept for that one until the favourite could as well run elsewhere, except for what
//            could start on any device by then (SCT).
//            Devices that are too small are passed over. If an operator fits nowhere, it goes where
//            the excess is smallest.
// Guarantee  Each unit is on one device, where all of it can run. The result depends on the input
//            alone. in_order takes reads · devices steps, and a search of idle times for each;
//            earliest_first (operators + reads) · devices · log operators.
// Layout     earliest_first: for each device a heap of operators whose data are not yet there when
//            the device is free (by when they are), and one of those whose data are (by rank); for
//            all devices together one by when an operator could start anywhere. Entries are looked
//            at again when they come up, not taken out before.
// Papers     H. Topcuoglu, S. Hariri and M.-Y. Wu, "Performance-effective and low-complexity task
//            scheduling for heterogeneous computing", IEEE TPDS 13(3), 2002.
//            J.-J. Hwang et al., "Scheduling precedence graphs in systems with interprocessor
//            communication times", SIAM J. Comput. 18(2), 1989.
//            C. Hanen and A. Munier, "An approximation algorithm for scheduling dependent tasks on
//            m processors with small communication delays", ETFA 1995.
//            B. Jeon et al., "Baechi: fast device placement of machine learning graphs", SoCC 2020.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <vector>

#include "acumen/placement/list_state.hpp"

namespace acumen::placement {

/// The device where the operator ends first among those where the excess is smallest.
inline std::size_t earliest_end(ListState& state, std::size_t op) {
  std::size_t best = 0;
  Offer least{0.0, 0.0, 0.0, std::numeric_limits<std::int64_t>::max()};
  bool any = false;
  for (std::size_t b = 0; b < state.task().devices(); ++b) {
    if (!state.may(op, b)) continue;
    Offer offer = state.offer(op, b);
    offer.over_bytes = std::max<std::int64_t>(offer.over_bytes, 0);
    if (any && (offer.over_bytes > least.over_bytes ||
                (offer.over_bytes == least.over_bytes && !(offer.end < least.end))))
      continue;
    best = b;
    least = offer;
    any = true;
  }
  return best;
}

/// For an order that topological() lets through.
inline void in_order(ListState& state, const std::vector<std::int32_t>& order) {
  for (const std::int32_t op : order) {
    const auto it = static_cast<std::size_t>(op);
    state.accept(it, earliest_end(state, it));
  }
}

class EarliestFirst {
 public:
  /// `order` breaks ties; `favourite` has a reader of each operator, -1 for none, or is empty.
  EarliestFirst(ListState& state, const std::vector<std::int32_t>& order,
                const std::vector<std::int32_t>& favourite)
      : state_(state),
        favourite_(favourite),
        rank_(order.size()),
        missing_(order.size()),
        coming_(state.task().devices()),
        there_(state.task().devices()),
        last_(state.task().devices(), kNobody) {
    for (std::size_t i = 0; i < order.size(); ++i)
      rank_[static_cast<std::size_t>(order[i])] = static_cast<std::uint32_t>(i);
    for (std::size_t op = 0; op < missing_.size(); ++op)
      missing_[op] = static_cast<std::uint32_t>(state.inputs()[op].size());
    for (const std::int32_t op : order)
      if (!missing_[static_cast<std::size_t>(op)]) make_ready(static_cast<std::size_t>(op));
  }

  void run() {
    for (std::size_t left = rank_.size(); left; --left) {
      Choice choice = choose();
      if (choice.op == kNobody) {  // each one that is ready was refused everywhere at some time
        clean(anywhere_);
        choice.op = anywhere_.top().op;
        choice.device = earliest_end(state_, choice.op);
      }
      place(choice.op, choice.device);
    }
  }

 private:
  static constexpr std::size_t kNobody = std::numeric_limits<std::size_t>::max();
  struct Entry {
    double at;
    std::uint32_t rank, op;
    bool operator>(const Entry& other) const {
      return at != other.at ? at > other.at : rank > other.rank;
    }
  };
  using Heap = std::priority_queue<Entry, std::vector<Entry>, std::greater<>>;
  struct Choice {
    std::size_t op = kNobody, device = 0;
    double start = std::numeric_limits<double>::infinity();
    std::uint32_t rank = 0;
  };

  void make_ready(std::size_t op) {
    double last = 0.0;
    for (std::size_t b = 0; b < coming_.size(); ++b) {
      if (!state_.may(op, b)) continue;
      const double ready = state_.offer(op, b).ready;
      coming_[b].push({ready, rank_[op], static_cast<std::uint32_t>(op)});
      last = std::max(last, ready);
    }
    anywhere_.push({last, rank_[op], static_cast<std::uint32_t>(op)});
  }

  void clean(Heap& heap) {
    while (!heap.empty() && state_.placed(heap.top().op)) heap.pop();
  }

  bool fits(std::size_t op, std::size_t b) {
    return state_.may(op, b) && (state_.bound_to(op) >= 0 || state_.offer(op, b).over_bytes <= 0);
  }

  /// Takes out, from the top, what is not to be placed here.
  void refuse(Heap& heap, std::size_t b) {
    while (!heap.empty() && (state_.placed(heap.top().op) || !fits(heap.top().op, b))) heap.pop();
  }

  /// The favourite that device b waits for, if it does.
  std::size_t awaited(std::size_t b) const {
    if (favourite_.empty() || last_[b] == kNobody) return kNobody;
    const std::int32_t one = favourite_[last_[b]];
    if (one < 0 || state_.placed(static_cast<std::size_t>(one))) return kNobody;
    return state_.may(static_cast<std::size_t>(one), b) ? static_cast<std::size_t>(one) : kNobody;
  }

  /// When the favourite could as well run elsewhere: what its reading the last operator's tensors
  /// takes over the slowest of the device's channels.
  double asleep_from(std::size_t b, std::size_t favourite) const {
    const ListTask& task = state_.task();
    double longest = 0.0;
    for (const std::uint32_t t : state_.inputs()[favourite]) {
      if (static_cast<std::size_t>(task.producer[t]) != last_[b]) continue;
      for (std::size_t to = 0; to < task.devices(); ++to) {
        if (to == b) continue;
        const auto channel = static_cast<std::size_t>(task.route[b * task.devices() + to]);
        longest = std::max(longest, task.copying(t, channel));
      }
    }
    return state_.end(last_[b]) + longest;
  }

  void consider(Choice& best, std::size_t op, std::size_t b, double start) const {
    const bool first =
        best.op == kNobody || start < best.start || (start == best.start && rank_[op] < best.rank);
    if (first) best = {op, b, start, rank_[op]};
  }

  Choice choose() {
    Choice best;
    clean(anywhere_);
    for (std::size_t b = 0; b < coming_.size(); ++b) {
      const double free = state_.free_from(b);
      double open = free;
      if (const std::size_t favourite = awaited(b); favourite != kNobody) {
        open = std::max(open, asleep_from(b, favourite));
        if (!missing_[favourite] && fits(favourite, b))
          consider(best, favourite, b, std::max(free, state_.offer(favourite, b).ready));
        if (!anywhere_.empty() && fits(anywhere_.top().op, b))
          consider(best, anywhere_.top().op, b, std::max(free, anywhere_.top().at));
      }
      refuse(coming_[b], b);
      while (!coming_[b].empty() && coming_[b].top().at <= open) {
        const Entry entry = coming_[b].top();
        there_[b].push({0.0, entry.rank, entry.op});
        coming_[b].pop();
        refuse(coming_[b], b);
      }
      refuse(there_[b], b);
      if (!there_[b].empty())
        consider(best, there_[b].top().op, b, open);
      else if (!coming_[b].empty())
        consider(best, coming_[b].top().op, b, coming_[b].top().at);
    }
    return best;
  }

  void place(std::size_t op, std::size_t b) {
    state_.accept(op, b);
    last_[b] = op;
    const ListTask& task = state_.task();
    for (const std::uint32_t t : state_.outputs()[op])
      for (auto k = task.start[t]; k < task.start[t + 1]; ++k) {
        const auto reader = static_cast<std::size_t>(task.consumers[static_cast<std::size_t>(k)]);
        if (!--missing_[reader]) make_ready(reader);
      }
  }

  ListState& state_;
  const std::vector<std::int32_t>& favourite_;
  std::vector<std::uint32_t> rank_, missing_;
  std::vector<Heap> coming_, there_;  // d
  Heap anywhere_;
  std::vector<std::size_t> last_;  // d
};

}  // namespace acumen::placement
