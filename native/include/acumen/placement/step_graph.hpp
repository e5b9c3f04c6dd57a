// What one step of a program consists of, and what it runs on: the simulator's input.
//
// Idea       An operator runs once, on one device. It makes tensors; others read them. Devices are
//            of kinds, and a kind says how long each operator takes. Pairs of devices share
//            channels.
// Guarantee  What validate() lets through can be simulated without reading outside any array,
//            without an integer running over, and to an end, cycles included.
// Layout     Compressed rows: tensor t is read by consumers[start[t]] … consumers[start[t + 1] -
// 1].
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace acumen::placement {

constexpr std::size_t kOperatorsMax = 10'000'000;
constexpr std::size_t kReadsMax = std::size_t{1} << 30;
constexpr std::size_t kDevicesMax = 4096;
constexpr std::size_t kChannelsMax = 32'767;

/// n operators, m tensors, k reads, d devices of some kinds, c channels.
struct StepGraph {
  std::span<const double> seconds;  // kinds · n, a row a kind; infinite: it cannot run there
  std::span<const std::int64_t> resident_bytes;  // n
  std::span<const std::int32_t> producer;        // m
  std::span<const std::int64_t> size_bytes;      // m
  std::span<const std::int64_t> start;           // m + 1
  std::span<const std::int32_t> consumers;       // k
  std::span<const double> copy_seconds;          // m, or none
  std::span<const std::int32_t> kind;            // d
  std::span<const double> latency_seconds;       // c
  std::span<const double> bytes_per_second;      // c
  std::span<const std::int16_t> route;           // d · d; the diagonal is not looked at

  std::size_t operators() const { return resident_bytes.size(); }
  std::size_t tensors() const { return producer.size(); }
  std::size_t devices() const { return kind.size(); }
  std::size_t kinds() const { return operators() ? seconds.size() / operators() : 0; }
};

namespace detail {

template <typename T>
bool all_below(std::span<const T> values, std::size_t limit) {
  return std::all_of(values.begin(), values.end(), [=](T value) {
    return value >= 0 && static_cast<std::size_t>(value) < limit;
  });
}

/// Whether all are at least 0 and not "not a number".
inline bool durations(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return value >= 0.0; });
}

/// Whether the values, each at least 0, and `total` add up to a number; `total` is their sum.
inline bool add_up(std::span<const std::int64_t> values, std::int64_t& total) {
  for (const std::int64_t value : values) {
    if (value < 0 || value > std::numeric_limits<std::int64_t>::max() - total) return false;
    total += value;
  }
  return true;
}

inline bool sizes_fit(const StepGraph& graph) {
  const std::size_t n = graph.operators(), m = graph.tensors(), d = graph.devices();
  return n > 0 && n <= kOperatorsMax && m <= kReadsMax && d > 0 && d <= kDevicesMax &&
         graph.consumers.size() <= kReadsMax && graph.seconds.size() == graph.kinds() * n &&
         graph.size_bytes.size() == m && graph.start.size() == m + 1 &&
         (graph.copy_seconds.empty() || graph.copy_seconds.size() == m) &&
         graph.latency_seconds.size() <= kChannelsMax &&
         graph.bytes_per_second.size() == graph.latency_seconds.size() &&
         graph.route.size() == d * d;
}

inline bool routes_lead_somewhere(const StepGraph& graph) {
  const std::size_t d = graph.devices();
  for (std::size_t a = 0; a < d; ++a) {
    for (std::size_t b = 0; b < d; ++b) {
      const std::int16_t channel = graph.route[a * d + b];
      if (a != b && !(channel >= 0 && std::size_t(channel) < graph.latency_seconds.size()))
        return false;
    }
  }
  return true;
}

}  // namespace detail

/// Whether sizes fit, indices are in range, and numbers are what they must be.
inline bool validate(const StepGraph& graph) {
  if (!detail::sizes_fit(graph)) return false;
  const auto reads = static_cast<std::int64_t>(graph.consumers.size());
  if (graph.start.front() != 0 || graph.start.back() != reads) return false;
  if (!std::is_sorted(graph.start.begin(), graph.start.end())) return false;
  // A device holds every tensor at most once, so no device can ever hold more than this.
  std::int64_t total = 0;
  return detail::all_below(graph.producer, graph.operators()) &&
         detail::all_below(graph.consumers, graph.operators()) &&
         detail::all_below(graph.kind, graph.kinds()) && detail::durations(graph.seconds) &&
         detail::durations(graph.copy_seconds) && detail::durations(graph.latency_seconds) &&
         std::all_of(graph.bytes_per_second.begin(), graph.bytes_per_second.end(),
                     [](double value) { return value > 0.0; }) &&
         detail::add_up(graph.resident_bytes, total) && detail::add_up(graph.size_bytes, total) &&
         detail::routes_lead_somewhere(graph);
}

}  // namespace acumen::placement
