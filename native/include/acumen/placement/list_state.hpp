// What a list scheduler has placed so far: when devices and channels are busy, what devices hold.
//
// Idea       Operators are placed one by one, each behind all that it reads from. An offer says
//            when an operator would start and end on a device, and what it would need there; accept
//            makes it so.
// Guarantee  Nothing overlaps on a device, nor, with contention, on a channel. A tensor is copied
//            to a device once. Bytes are counted in the order of placing: a tensor and its copies
//            are held until the last of its readers is placed, and a unit's own bytes from its
//            first operator on. On machines that run operators in another order it may be more.
// Layout     The copies of a tensor are a list through `copies_`.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "acumen/placement/gap_list.hpp"
#include "acumen/placement/list_task.hpp"

namespace acumen::placement {

/// What placing an operator on a device would mean.
struct Offer {
  double ready, start, end;
  std::int64_t over_bytes;  // by how much the device is too small; at most 0: it fits
};

class ListState {
 public:
  /// `contention`: a channel carries one copy at a time; `insertion`: operators may start in idle
  /// times before others that were placed earlier.
  ListState(const ListTask& task, bool contention, bool insertion)
      : task_(task),
        contention_(contention),
        insertion_(insertion),
        inputs_(inputs_of(task)),
        outputs_(outputs_of(task)),
        may_(task.units() * task.devices(), 1),
        unit_device_(task.units(), -1),
        device_(task.operators(), -1),
        start_(task.operators()),
        end_(task.operators()),
        gaps_(insertion ? task.devices() : 0),
        free_(task.devices()),
        channels_(contention ? task.latency_seconds.size() : 0),
        tentative_(channels_.size()),
        first_copy_(task.tensors(), kNone),
        unread_(task.tensors()),
        level_(task.devices()),
        peak_(task.devices()) {
    const std::size_t n = task.operators(), d = task.devices();
    for (std::size_t b = 0; b < d; ++b)
      for (std::size_t op = 0; op < n; ++op)
        if (task.seconds[b * n + op] == std::numeric_limits<double>::infinity())
          may_[unit(op) * d + b] = 0;
    for (std::size_t t = 0; t < task.tensors(); ++t)
      unread_[t] = static_cast<std::uint32_t>(task.start[t + 1] - task.start[t]);
  }

  const ListTask& task() const { return task_; }
  const Rows& inputs() const { return inputs_; }
  const Rows& outputs() const { return outputs_; }
  bool placed(std::size_t op) const { return device_[op] >= 0; }
  /// Where the operator's unit already is; -1: nowhere.
  std::int32_t bound_to(std::size_t op) const { return unit_device_[unit(op)]; }
  /// Whether the operator's unit could be there.
  bool may(std::size_t op, std::size_t b) const {
    const std::int32_t bound = bound_to(op);
    return bound < 0 ? may_[unit(op) * task_.devices() + b] : static_cast<std::size_t>(bound) == b;
  }
  /// When the last operator there ends.
  double free_from(std::size_t b) const { return free_[b]; }
  double end(std::size_t op) const { return end_[op]; }
  const std::vector<std::int32_t>& devices() const { return device_; }
  const std::vector<double>& starts() const { return start_; }
  const std::vector<double>& ends() const { return end_; }
  const std::vector<std::int64_t>& peaks() const { return peak_; }

  /// For an operator behind all that it reads from, on a device where it may be.
  Offer offer(std::size_t op, std::size_t b) {
    ++round_;
    std::int64_t bytes = made_bytes(op);
    if (bound_to(op) < 0) bytes += task_.unit_bytes[unit(op)];
    double ready = 0.0;
    for (const std::uint32_t t : inputs_[op]) {
      const std::size_t maker = static_cast<std::size_t>(task_.producer[t]);
      double there = end_[maker];
      if (static_cast<std::size_t>(device_[maker]) != b) {
        const std::uint32_t copy = copy_on(t, b);
        if (copy == kNone) bytes += task_.size_bytes[t];
        there = copy == kNone ? look_ahead(t, maker, b) : copies_[copy].arrival;
      }
      ready = std::max(ready, there);
    }
    const double duration = task_.seconds[b * task_.operators() + op];
    const double start =
        insertion_ ? gaps_[b].earliest(ready, duration) : std::max(ready, free_[b]);
    return {ready, start, start + duration, level_[b] + bytes - task_.limit_bytes[b]};
  }

  void accept(std::size_t op, std::size_t b) {
    for (const std::uint32_t t : inputs_[op]) {
      const std::size_t maker = static_cast<std::size_t>(task_.producer[t]);
      if (static_cast<std::size_t>(device_[maker]) != b && copy_on(t, b) == kNone)
        copy(t, maker, b);
    }
    const Offer offered = offer(op, b);  // all copies are made
    device_[op] = static_cast<std::int32_t>(b);
    start_[op] = offered.start;
    end_[op] = offered.end;
    free_[b] = std::max(free_[b], offered.end);
    if (insertion_) gaps_[b].take(offered.start, offered.end - offered.start);
    hold(op, b);
  }

 private:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  struct Copy {
    double arrival;
    std::uint32_t device, next;
  };
  struct Tentative {
    std::uint64_t round = 0;
    double until = 0.0;
  };

  std::size_t unit(std::size_t op) const { return static_cast<std::size_t>(task_.unit[op]); }

  std::int64_t made_bytes(std::size_t op) const {
    std::int64_t bytes = 0;
    for (const std::uint32_t t : outputs_[op]) bytes += task_.size_bytes[t];
    return bytes;
  }

  std::uint32_t copy_on(std::size_t t, std::size_t b) const {
    std::uint32_t copy = first_copy_[t];
    while (copy != kNone && copies_[copy].device != b) copy = copies_[copy].next;
    return copy;
  }

  std::size_t channel(std::size_t maker, std::size_t b) const {
    const auto from = static_cast<std::size_t>(device_[maker]);
    return static_cast<std::size_t>(task_.route[from * task_.devices() + b]);
  }

  /// When a copy would arrive, behind others that this offer has already looked at.
  double look_ahead(std::size_t t, std::size_t maker, std::size_t b) {
    const std::size_t through = channel(maker, b);
    const double duration = task_.copying(t, through);
    if (!contention_) return end_[maker] + duration;
    Tentative& mine = tentative_[through];
    const double from = mine.round == round_ ? std::max(mine.until, end_[maker]) : end_[maker];
    const double arrival = channels_[through].earliest(from, duration) + duration;
    mine = {round_, arrival};
    return arrival;
  }

  void copy(std::size_t t, std::size_t maker, std::size_t b) {
    const std::size_t through = channel(maker, b);
    const double duration = task_.copying(t, through);
    double begin = end_[maker];
    if (contention_) {
      begin = channels_[through].earliest(begin, duration);
      channels_[through].take(begin, duration);
    }
    copies_.push_back({begin + duration, static_cast<std::uint32_t>(b), first_copy_[t]});
    first_copy_[t] = static_cast<std::uint32_t>(copies_.size() - 1);
    level_[b] += task_.size_bytes[t];
  }

  void hold(std::size_t op, std::size_t b) {
    if (bound_to(op) < 0) {
      unit_device_[unit(op)] = static_cast<std::int32_t>(b);
      level_[b] += task_.unit_bytes[unit(op)];
    }
    level_[b] += made_bytes(op);
    peak_[b] = std::max(peak_[b], level_[b]);
    for (const std::uint32_t t : outputs_[op])
      if (!unread_[t]) level_[b] -= task_.size_bytes[t];
    for (const std::uint32_t t : inputs_[op]) {
      if (--unread_[t]) continue;
      level_[static_cast<std::size_t>(device_[static_cast<std::size_t>(task_.producer[t])])] -=
          task_.size_bytes[t];
      for (std::uint32_t copy = first_copy_[t]; copy != kNone; copy = copies_[copy].next)
        level_[copies_[copy].device] -= task_.size_bytes[t];
    }
  }

  const ListTask& task_;
  bool contention_, insertion_;
  Rows inputs_, outputs_;
  std::vector<std::uint8_t> may_;          // u · d
  std::vector<std::int32_t> unit_device_;  // u
  std::vector<std::int32_t> device_;       // n
  std::vector<double> start_, end_;        // n
  std::vector<GapList> gaps_;              // d
  std::vector<double> free_;               // d
  std::vector<GapList> channels_;          // c
  std::vector<Tentative> tentative_;       // c
  std::uint64_t round_ = 0;
  std::vector<Copy> copies_;
  std::vector<std::uint32_t> first_copy_, unread_;  // m
  std::vector<std::int64_t> level_, peak_;          // d
};

}  // namespace acumen::placement
