// Graphs, clusters and plans from arbitrary bytes: what validate() lets through is simulated
// without a fault, three times with the same answer, and no device is busy for longer than the
// step.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "acumen/placement/simulator.hpp"
#include "fuzz_input.hpp"
#include "placement_input.hpp"
#include "program.hpp"

namespace fuzz_placement {

using namespace acumen::placement;

namespace {

void check(StepSimulator& simulator, const std::vector<std::int32_t>& device,
           const std::vector<std::int32_t>& priority) {
  if (simulator.misplaced(device) != kNowhere) std::abort();
  const double seconds = simulator.timeline(device, priority);
  for (const double busy : simulator.busy_seconds())
    if (!(busy <= seconds)) std::abort();
  for (const std::int64_t bytes : simulator.peak_bytes())
    if (bytes < 0) std::abort();
  for (std::size_t op = 0; op < simulator.operators(); ++op)
    if (!(simulator.starts()[op] <= simulator.ends()[op])) std::abort();
  for (std::size_t i = 0; i < simulator.copies(); ++i)
    if (!(simulator.copy_run(i).start <= simulator.copy_run(i).end)) std::abort();
  if (simulator.simulate(device, priority) != seconds) std::abort();
  if (simulator.seconds(device, priority) != seconds) std::abort();
}

}  // namespace

FUZZ_TARGET(fuzz_placement, data, size) {
  acumen::Input in(data, size);
  const std::size_t n = in.below(12), d = in.below(5), kinds = in.below(3), c = in.below(5);
  const std::size_t m = in.below(16);
  const auto seconds = times(in, kinds * n, 0.0);
  const auto copy_seconds = times(in, in.below(2) * m, 0.0);
  const auto latency = times(in, c, 0.0), bandwidth = times(in, c, 0.3);
  auto resident = numbers<std::int64_t>(in, n, 9), bytes = numbers<std::int64_t>(in, m, 9);
  if (n > 0 && in.below(8) == 0) resident[0] = INT64_MAX - in.below(200);
  if (m > 0 && in.below(8) == 0) bytes[0] = in.below(2) ? INT64_MAX / 2 : -1;
  // Mostly in range, and readers mostly behind producers.
  const auto about = [&](std::size_t count) {
    return std::max(1u, static_cast<std::uint32_t>(count) + (in.below(16) == 0));
  };
  const std::uint32_t limit = about(n);
  const auto producer = numbers<std::int32_t>(in, m, limit);
  std::vector<std::int64_t> start{0};
  std::vector<std::int32_t> consumers;
  for (std::size_t t = 0; t < m; ++t) {
    for (std::uint32_t left = in.below(5); left > 0; --left) {
      const auto behind = static_cast<std::size_t>(producer[t]) + 1 + in.below(4);
      consumers.push_back(static_cast<std::int32_t>(behind < n ? behind : in.below(limit)));
    }
    start.push_back(static_cast<std::int64_t>(consumers.size()));
  }
  const auto kind = numbers<std::int32_t>(in, d, about(kinds));
  const auto route = numbers<std::int16_t>(in, d * d, about(c));
  const StepGraph graph{seconds,      resident, producer, bytes,     start, consumers,
                        copy_seconds, kind,     latency,  bandwidth, route};
  if (!validate(graph)) return 0;
  StepSimulator simulator(graph, in.below(2) == 0);
  for (int plan = 0; plan < 3; ++plan) {
    const auto device = numbers<std::int32_t>(in, n, static_cast<std::uint32_t>(d));
    check(simulator, device, numbers<std::int32_t>(in, in.below(2) * n, 3));
  }
  return 0;
}

}  // namespace fuzz_placement
