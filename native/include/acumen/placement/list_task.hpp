// What list schedulers place: operators, the tensors between them, devices and channels.
//
// Idea       As the simulator's input, but with a row of times for each device, with units
//            (operators that must share a device) and with how much each device holds.
// Guarantee  What validate() lets through, together with an order that topological() lets through,
//            can be scheduled without reading outside any array.
// Layout     Compressed rows: what an operator reads, and what it makes, as lists of tensors.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace acumen::placement {

/// n operators in u units, m tensors, k reads, d devices, c channels. The vectors are its own.
struct ListTask {
  std::vector<double> seconds;            // d · n, a row a device; infinite: it cannot run there
  std::vector<std::int32_t> unit;         // n
  std::vector<std::int64_t> unit_bytes;   // u: what the unit keeps on its device
  std::vector<std::int32_t> producer;     // m
  std::vector<std::int64_t> size_bytes;   // m
  std::vector<std::int64_t> start;        // m + 1
  std::vector<std::int32_t> consumers;    // k
  std::vector<double> copy_seconds;       // m, or none
  std::vector<double> latency_seconds;    // c
  std::vector<double> bytes_per_second;   // c
  std::vector<std::int16_t> route;        // d · d; the diagonal is not looked at
  std::vector<std::int64_t> limit_bytes;  // d

  std::size_t operators() const { return unit.size(); }
  std::size_t units() const { return unit_bytes.size(); }
  std::size_t tensors() const { return producer.size(); }
  std::size_t devices() const { return limit_bytes.size(); }

  /// How long copying tensor t over a channel takes.
  double copying(std::size_t t, std::size_t channel) const {
    if (!copy_seconds.empty()) return copy_seconds[t];
    return latency_seconds[channel] +
           static_cast<double>(size_bytes[t]) / bytes_per_second[channel];
  }
};

/// Rows of numbers, one after the other.
struct Rows {
  std::vector<std::uint32_t> start, value;

  struct Row {
    const std::uint32_t *first, *last;
    const std::uint32_t* begin() const { return first; }
    const std::uint32_t* end() const { return last; }
    std::size_t size() const { return static_cast<std::size_t>(last - first); }
  };
  Row operator[](std::size_t i) const {
    return {value.data() + start[i], value.data() + start[i + 1]};
  }

  /// Row key(i) holds value(i), in the order of i.
  template <typename Key, typename Value>
  static Rows sorted(std::size_t rows, std::size_t count, Key key, Value value) {
    Rows out{std::vector<std::uint32_t>(rows + 1), std::vector<std::uint32_t>(count)};
    for (std::size_t i = 0; i < count; ++i) ++out.start[key(i) + 1];
    for (std::size_t r = 0; r < rows; ++r) out.start[r + 1] += out.start[r];
    std::vector<std::uint32_t> next(out.start.begin(), out.start.end() - 1);
    for (std::size_t i = 0; i < count; ++i) out.value[next[key(i)]++] = value(i);
    return out;
  }
};

/// The tensors that each operator makes.
inline Rows outputs_of(const ListTask& task) {
  return Rows::sorted(
      task.operators(), task.tensors(),
      [&](std::size_t t) { return static_cast<std::size_t>(task.producer[t]); },
      [](std::size_t t) { return static_cast<std::uint32_t>(t); });
}

/// The tensors that each operator reads.
inline Rows inputs_of(const ListTask& task) {
  std::vector<std::uint32_t> tensor(task.consumers.size());
  for (std::size_t t = 0; t < task.tensors(); ++t)
    for (auto k = task.start[t]; k < task.start[t + 1]; ++k)
      tensor[static_cast<std::size_t>(k)] = static_cast<std::uint32_t>(t);
  return Rows::sorted(
      task.operators(), task.consumers.size(),
      [&](std::size_t k) { return static_cast<std::size_t>(task.consumers[k]); },
      [&](std::size_t k) { return tensor[k]; });
}

namespace detail {

template <typename T>
bool numbers_below(const std::vector<T>& values, std::size_t limit) {
  return std::all_of(values.begin(), values.end(), [=](T value) {
    return value >= 0 && static_cast<std::size_t>(value) < limit;
  });
}

/// Whether all are at least 0 and finite, or with `endless` infinite.
inline bool times(const std::vector<double>& values, bool endless) {
  return std::all_of(values.begin(), values.end(),
                     [=](double v) { return v >= 0.0 && (endless || std::isfinite(v)); });
}

inline bool bytes_add_up(const std::vector<std::int64_t>& values, std::int64_t& total) {
  for (const std::int64_t value : values) {
    if (value < 0 || value > std::numeric_limits<std::int64_t>::max() / 2 - total) return false;
    total += value;
  }
  return true;
}

inline bool list_sizes_fit(const ListTask& task) {
  const std::size_t n = task.operators(), m = task.tensors(), d = task.devices();
  return n > 0 && d > 0 && n < (std::size_t{1} << 31) && task.seconds.size() == d * n &&
         task.size_bytes.size() == m && task.start.size() == m + 1 &&
         task.consumers.size() < (std::size_t{1} << 31) &&
         (task.copy_seconds.empty() || task.copy_seconds.size() == m) &&
         task.bytes_per_second.size() == task.latency_seconds.size() && task.route.size() == d * d;
}

inline bool routes_exist(const ListTask& task) {
  const std::size_t d = task.devices(), channels = task.latency_seconds.size();
  for (std::size_t i = 0; i < d * d; ++i) {
    const auto channel = task.route[i];
    const bool exists = channel >= 0 && static_cast<std::size_t>(channel) < channels;
    if (i / d != i % d && !exists) return false;
  }
  return true;
}

}  // namespace detail

/// Whether sizes fit, indices are in range, and numbers are what they must be.
inline bool validate(const ListTask& task) {
  if (!detail::list_sizes_fit(task)) return false;
  if (task.start.front() != 0 || !std::is_sorted(task.start.begin(), task.start.end()) ||
      static_cast<std::size_t>(task.start.back()) != task.consumers.size())
    return false;
  std::int64_t total = 0;
  return detail::numbers_below(task.unit, task.units()) &&
         detail::numbers_below(task.producer, task.operators()) &&
         detail::numbers_below(task.consumers, task.operators()) &&
         detail::times(task.seconds, true) && detail::times(task.copy_seconds, false) &&
         detail::times(task.latency_seconds, false) &&
         std::all_of(task.bytes_per_second.begin(), task.bytes_per_second.end(),
                     [](double value) { return value > 0.0; }) &&
         detail::bytes_add_up(task.unit_bytes, total) &&
         detail::bytes_add_up(task.size_bytes, total) && detail::routes_exist(task) &&
         std::all_of(task.limit_bytes.begin(), task.limit_bytes.end(),
                     [](std::int64_t value) { return value >= 0; });
}

/// Whether every operator is there once, and behind all that it reads from.
inline bool topological(const ListTask& task, const std::vector<std::int32_t>& order) {
  const std::size_t n = task.operators();
  if (order.size() != n || !detail::numbers_below(order, n)) return false;
  std::vector<std::size_t> place(n, n);
  for (std::size_t i = 0; i < n; ++i) place[static_cast<std::size_t>(order[i])] = i;
  if (std::find(place.begin(), place.end(), n) != place.end()) return false;
  for (std::size_t t = 0; t < task.tensors(); ++t)
    for (auto k = task.start[t]; k < task.start[t + 1]; ++k)
      if (place[static_cast<std::size_t>(task.producer[t])] >=
          place[static_cast<std::size_t>(task.consumers[static_cast<std::size_t>(k)])])
        return false;
  return true;
}

/// How long it takes from each operator's start to the end of all that depends on it, at the
/// operators' `seconds` and the tensors' `copies`: the upward rank of HEFT. For an order that
/// topological() lets through.
inline std::vector<double> upward_ranks(const ListTask& task,
                                        const std::vector<std::int32_t>& order,
                                        const std::vector<double>& seconds,
                                        const std::vector<double>& copies) {
  const Rows outputs = outputs_of(task);
  std::vector<double> rank(task.operators());
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    const auto op = static_cast<std::size_t>(*at);
    double after = 0.0;
    for (const std::uint32_t t : outputs[op])
      for (auto k = task.start[t]; k < task.start[t + 1]; ++k)
        after = std::max(
            after, copies[t] +
                       rank[static_cast<std::size_t>(task.consumers[static_cast<std::size_t>(k)])]);
    rank[op] = seconds[op] + after;
  }
  return rank;
}

}  // namespace acumen::placement
