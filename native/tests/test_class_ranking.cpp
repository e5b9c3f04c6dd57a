// ClassRanking against asking every class each time.
#include <cstdint>
#include <vector>

#include "acumen/caching/class_ranking.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_class_ranking {

using acumen::Random;
using acumen::caching::ClassRanking;

namespace {

/// Classes whose index changes with time at moments that they know beforehand.
struct World {
  Random random{3};
  std::uint32_t now;
  std::vector<std::int16_t> index;
  std::vector<std::uint32_t> until;

  World(std::uint32_t classes, std::uint32_t start) : now(start), index(classes), until(classes) {
    for (std::uint32_t kind = 0; kind < classes; ++kind) change(kind);
  }
  void change(std::uint32_t kind) {
    const bool empty = random.below(4) == 0;
    index[kind] = empty ? ClassRanking::kEmpty : static_cast<std::int16_t>(random.below(50));
    until[kind] = now + (empty ? ClassRanking::kLongAfter : 1 + random.below(300));
  }
  void pass() {
    ++now;
    for (std::uint32_t kind = 0; kind < index.size(); ++kind)
      if (until[kind] == now) change(kind);
  }
  std::uint32_t first_lowest() const {
    std::uint32_t lowest = 0;
    for (std::uint32_t kind = 1; kind < index.size(); ++kind)
      if (index[kind] < index[lowest]) lowest = kind;
    return lowest;
  }
};

void knows_the_lowest_and_asks_few() {
  // The clock wraps in the second world.
  for (const std::uint32_t start : {0u, 0xffffff00u}) {
    for (const std::uint32_t classes : {1u, 64u, 130u, 500u}) {
      World world(classes, start);
      ClassRanking ranking;
      ranking.reset(classes);
      std::uint64_t asked = 0;
      constexpr int kSteps = 2'000;
      for (int step = 0; step < kSteps; ++step) {
        world.pass();
        if (step % 3 == 0) {
          const std::uint32_t kind = world.random.below(classes);
          world.change(kind);
          ranking.make_due(kind);
        }
        if (step == kSteps / 2) ranking.make_all_due();
        ranking.refresh(world.now, [&](std::uint32_t kind) {
          ++asked;
          return ClassRanking::Rank{world.index[kind], world.until[kind]};
        });
        EXPECT(ranking.lowest() == world.first_lowest());
        EXPECT(ranking.validate());
      }
      EXPECT(asked < std::uint64_t{kSteps} * (1 + classes / 50));
    }
  }
}

}  // namespace

PROGRAM(test_class_ranking) {
  knows_the_lowest_and_asks_few();
}

}  // namespace test_class_ranking
