// Graphs and clusters from arbitrary bytes: what validate() lets through is scheduled by every
// policy without a fault; units stay together and nothing starts before its data are made.
#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "acumen/placement/list_schedule.hpp"
#include "fuzz_input.hpp"
#include "placement_input.hpp"
#include "program.hpp"

namespace fuzz_list_schedule {

using namespace acumen::placement;

namespace {

void check(const ListTask& task, const ListState& state) {
  std::vector<std::int32_t> place(task.units(), -1);
  for (std::size_t op = 0; op < task.operators(); ++op) {
    const std::int32_t device = state.devices()[op];
    if (device < 0 || static_cast<std::size_t>(device) >= task.devices()) std::abort();
    std::int32_t& mine = place[static_cast<std::size_t>(task.unit[op])];
    if (mine >= 0 && mine != device) std::abort();
    mine = device;
    for (const std::uint32_t t : state.inputs()[op])
      if (!(state.starts()[op] >= state.ends()[static_cast<std::size_t>(task.producer[t])]))
        std::abort();
  }
  for (const std::int64_t bytes : state.peaks())
    if (bytes < 0) std::abort();
}

}  // namespace

FUZZ_TARGET(fuzz_list_schedule, data, size) {
  acumen::Input in(data, size);
  const std::size_t n = in.below(12), d = in.below(5), c = in.below(4), m = in.below(16);
  const std::uint32_t range = std::max(1u, static_cast<std::uint32_t>(n) + (in.below(16) == 0));
  ListTask task;
  task.unit = numbers<std::int32_t>(in, n, range);
  task.unit_bytes = numbers<std::int64_t>(in, n, 9);
  task.seconds = times(in, d * n, 0.0);
  task.producer = numbers<std::int32_t>(in, m, range);
  task.size_bytes = numbers<std::int64_t>(in, m, 9);
  task.start.push_back(0);
  for (std::size_t t = 0; t < m; ++t) {
    for (std::uint32_t left = in.below(4); left > 0; --left) {
      const auto behind = static_cast<std::size_t>(task.producer[t]) + 1 + in.below(4);
      task.consumers.push_back(static_cast<std::int32_t>(behind < n ? behind : in.below(range)));
    }
    task.start.push_back(static_cast<std::int64_t>(task.consumers.size()));
  }
  task.copy_seconds = times(in, in.below(2) * m, 0.0);
  task.latency_seconds = times(in, c, 0.0);
  task.bytes_per_second = times(in, c, 0.3);
  const auto channels = std::max(1u, static_cast<std::uint32_t>(c) + (in.below(16) == 0));
  task.route = numbers<std::int16_t>(in, d * d, channels);
  task.limit_bytes = numbers<std::int64_t>(in, d, 40);
  if (!validate(task)) return 0;
  // Readers are mostly behind producers; what is not is dropped with the whole task.
  std::vector<std::int32_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  if (!topological(task, order)) return 0;
  const bool contention = in.below(2) != 0;
  ListState placed(task, contention, true);
  in_order(placed, order);
  check(task, placed);
  std::vector<std::int32_t> favourite(in.below(2) * n);
  for (auto& one : favourite) one = static_cast<std::int32_t>(in.below(range)) - 1;
  ListState started(task, contention, false);
  EarliestFirst(started, order, favourite).run();
  check(task, started);
  return 0;
}

}  // namespace fuzz_list_schedule
