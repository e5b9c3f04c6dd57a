// The simulator's parts: sets of ranks, the queue of ends, orders, and what validate() refuses. The
// simulator itself is compared with a slow one in tests/placement.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include "acumen/placement/simulator.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_placement {

using namespace acumen::placement;

namespace {

struct Random {
  std::uint64_t state = 88172645463325252u;
  std::uint32_t below(std::uint32_t limit) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return static_cast<std::uint32_t>(state >> 32) % limit;
  }
};

void ready_sets_give_the_lowest_rank() {
  const std::vector<std::uint32_t> counts{5000, 0, 1, 64, 4096, 12'000};
  const std::uint32_t total = std::accumulate(counts.begin(), counts.end(), 0u);
  ReadySets sets(counts.size(), total);
  Random random;
  for (int round = 0; round < 3; ++round) {
    sets.lay_out(counts);
    std::vector<std::set<std::uint32_t>> slow(counts.size());
    for (int i = 0; i < 30'000; ++i) {
      const std::size_t device = random.below(6);
      EXPECT(sets.empty(device) == slow[device].empty());
      if (!slow[device].empty() && random.below(2) == 0) {
        EXPECT(sets.take(device) == *slow[device].begin());
        slow[device].erase(slow[device].begin());
      } else if (counts[device] > 0) {
        const std::uint32_t rank = random.below(counts[device]);
        if (slow[device].insert(rank).second) sets.insert(device, rank);
      }
    }  // what is left over is gone in the next round
  }
  sets.lay_out(counts);
  for (std::size_t device = 0; device < counts.size(); ++device) EXPECT(sets.empty(device));
}

void the_queue_gives_the_first_end() {
  EndQueue queue(100);
  Random random;
  std::multiset<double> slow;
  for (int i = 0; i < 20'000; ++i) {
    if (slow.size() < 100 && random.below(2) == 0) {
      const double time = random.below(20) == 0 ? std::numeric_limits<double>::infinity()
                                                : static_cast<double>(random.below(50));
      queue.push(time, 0);
      slow.insert(time);
    } else if (!slow.empty()) {
      EXPECT(queue.top().time == *slow.begin());
      queue.pop();
      slow.erase(slow.begin());
    }
    EXPECT(queue.empty() == slow.empty());
  }
}

void orders_are_stable() {
  constexpr std::int32_t kSome[] = {
      std::numeric_limits<std::int32_t>::min(), -70'000, -1, 0, 1, 4096,
      std::numeric_limits<std::int32_t>::max()};
  Random random;
  for (const std::uint32_t kinds : {1u, 2u, 7u}) {
    std::vector<std::int32_t> priority(3000);
    for (auto& one : priority) one = kSome[random.below(kinds)];
    std::vector<std::uint32_t> expected(priority.size());
    std::iota(expected.begin(), expected.end(), 0u);
    RunOrder order(priority.size());
    EXPECT(std::ranges::equal(order.of({}), expected));
    std::stable_sort(expected.begin(), expected.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return priority[a] < priority[b]; });
    for (int again = 0; again < 2; ++again)
      EXPECT(std::ranges::equal(order.of(priority), expected));
  }
}

/// Three operators in a row on two devices.
struct Row {
  std::vector<double> seconds{1.0, 2.0, 4.0}, copy_seconds, latency{0.5}, bandwidth{2.0};
  std::vector<std::int64_t> resident{1, 1, 1}, size{1, 3}, start{0, 1, 2};
  std::vector<std::int32_t> producer{0, 1}, consumers{1, 2}, kind{0, 0};
  std::vector<std::int16_t> route{-1, 0, 0, -1};
  StepGraph graph() const {
    return {seconds,      resident, producer, size,      start, consumers,
            copy_seconds, kind,     latency,  bandwidth, route};
  }
};

void a_row_takes_as_long_as_it_does() {
  const Row row;
  EXPECT(validate(row.graph()));
  StepSimulator simulator(row.graph(), true);
  const std::vector<std::int32_t> together{0, 0, 0}, apart{0, 1, 0}, nowhere{0, 2, 0};
  EXPECT(simulator.seconds(together, {}) == 7.0);
  EXPECT(simulator.timeline(apart, {}) == 7.0 + 1.0 + 2.0);
  EXPECT(simulator.copies() == 2 && simulator.copy_run(1).end == 6.0);
  EXPECT(simulator.peak_bytes()[0] == 2 + 3 && simulator.peak_bytes()[1] == 1 + 4);
  EXPECT(simulator.misplaced(apart) == kNowhere && simulator.misplaced(nowhere) == 1);
}

void operators_that_wait_for_each_other_never_end() {
  Row row;
  row.producer = {1, 2};
  row.consumers = {2, 1};
  EXPECT(validate(row.graph()));
  StepSimulator simulator(row.graph(), true);
  const std::vector<std::int32_t> apart{0, 1, 0};
  EXPECT(simulator.seconds(apart, {}) == std::numeric_limits<double>::infinity());
}

void what_does_not_fit_is_refused() {
  const auto refused = [](auto&& change) {
    Row row;
    change(row);
    return !validate(row.graph());
  };
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT(!refused([](Row& r) { r.copy_seconds = {0.0, 1.0}; }));
  EXPECT(refused([](Row& r) { r.copy_seconds = {0.0}; }));
  EXPECT(refused([](Row& r) { r.copy_seconds = {0.0, -1.0}; }));
  EXPECT(refused([](Row& r) { r.seconds[1] = NAN; }));
  EXPECT(refused([](Row& r) { r.seconds.push_back(1.0); }));
  EXPECT(refused([](Row& r) { r.seconds.clear(); }));
  EXPECT(refused([](Row& r) { r.resident[0] = -1; }));
  EXPECT(refused([](Row& r) { r.resident[0] = kMost, r.size[0] = 1; }));
  EXPECT(refused([](Row& r) { r.resident.clear(), r.seconds.clear(); }));
  EXPECT(refused([](Row& r) { r.producer[0] = 3; }));
  EXPECT(refused([](Row& r) { r.consumers[0] = -1; }));
  EXPECT(refused([](Row& r) { r.size.pop_back(); }));
  EXPECT(refused([](Row& r) { r.start = {0, 3, 2}; }));
  EXPECT(refused([](Row& r) { r.start = {1, 1, 2}; }));
  EXPECT(refused([](Row& r) { r.start = {0, 1, 1}; }));
  EXPECT(refused([](Row& r) { r.kind[1] = 1; }));
  EXPECT(refused([](Row& r) { r.kind.clear(), r.route.clear(); }));
  EXPECT(refused([](Row& r) { r.latency[0] = NAN; }));
  EXPECT(refused([](Row& r) { r.bandwidth[0] = 0.0; }));
  EXPECT(refused([](Row& r) { r.bandwidth.push_back(1.0); }));
  EXPECT(refused([](Row& r) { r.route[1] = 1; }));
  EXPECT(refused([](Row& r) { r.route[2] = -1; }));
  EXPECT(refused([](Row& r) { r.route.pop_back(); }));
}

}  // namespace

PROGRAM(test_placement) {
  ready_sets_give_the_lowest_rank();
  the_queue_gives_the_first_end();
  orders_are_stable();
  a_row_takes_as_long_as_it_does();
  operators_that_wait_for_each_other_never_end();
  what_does_not_fit_is_refused();
}

}  // namespace test_placement
