// Idle times against a plain list of what is busy; ranks and a schedule that are known.
#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "acumen/placement/list_schedule.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_list_schedule {

using acumen::Random;
using namespace acumen::placement;

namespace {

/// The earliest start from `ready` on, looked for behind everything that is busy.
double plainly(const std::vector<std::pair<double, double>>& busy, double ready, double duration) {
  double start = ready;
  for (bool moved = true; moved;) {
    moved = false;
    for (const auto& [from, to] : busy) {
      const bool apart = start + duration <= from || start >= to;
      if (apart) continue;
      start = to;
      moved = true;
    }
  }
  return start;
}

void gaps_are_those_of_a_plain_list() {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    Random random(seed);
    GapList gaps;
    std::vector<std::pair<double, double>> busy;
    for (int step = 0; step < 600; ++step) {
      // Whole numbers, so that gaps of exactly the right length come up.
      const double ready = random.below(2000), duration = 1 + random.below(6);
      const double start = gaps.earliest(ready, duration);
      EXPECT(start == plainly(busy, ready, duration));
      if (random.below(8) == 0) continue;  // only asked
      gaps.take(start, duration);
      busy.emplace_back(start, start + duration);
    }
  }
}

void what_takes_no_time_takes_no_place() {
  GapList gaps;
  gaps.take(0.0, 5.0);
  EXPECT(gaps.earliest(2.0, 0.0) == 5.0);
  gaps.take(5.0, 0.0);
  EXPECT(gaps.earliest(0.0, 1.0) == 5.0);
  gaps.take(7.0, std::numeric_limits<double>::infinity());
  EXPECT(gaps.earliest(0.0, 2.0) == 5.0);
  EXPECT(gaps.earliest(0.0, 3.0) == std::numeric_limits<double>::infinity());
}

/// 0 → 1 → 3, 0 → 2 → 3 on two devices of the same kind; a copy takes 2.
ListTask diamond() {
  return {.seconds = {1, 4, 3, 1, 1, 4, 3, 1},
          .unit = {0, 1, 2, 3},
          .unit_bytes = {1, 1, 1, 1},
          .producer = {0, 1, 2},
          .size_bytes = {2, 2, 2},
          .start = {0, 2, 3, 4},
          .consumers = {1, 2, 3, 3},
          .copy_seconds = {},
          .latency_seconds = {0},
          .bytes_per_second = {1},
          .route = {0, 0, 0, 0},
          .limit_bytes = {100, 100}};
}

void a_diamond() {
  const ListTask task = diamond();
  EXPECT(validate(task));
  const std::vector<std::int32_t> order{0, 1, 2, 3};
  EXPECT(topological(task, order) && !topological(task, {0, 3, 1, 2}));
  const std::vector<double> ranks = upward_ranks(task, order, {1, 4, 3, 1}, {2, 2, 2});
  EXPECT((ranks == std::vector<double>{10, 7, 6, 1}));
  ListState state(task, true, true);
  in_order(state, order);
  EXPECT((state.devices() == std::vector<std::int32_t>{0, 0, 1, 1}));
  EXPECT((state.ends() == std::vector<double>{1, 5, 6, 8}));
  ListState other(task, true, false);
  EarliestFirst(other, order, {}).run();
  EXPECT((other.devices() == std::vector<std::int32_t>{0, 0, 1, 1}));
  EXPECT((other.ends() == std::vector<double>{1, 5, 6, 8}));
}

}  // namespace

PROGRAM(test_list_schedule) {
  gaps_are_those_of_a_plain_list();
  what_takes_no_time_takes_no_place();
  a_diamond();
}

}  // namespace test_list_schedule
