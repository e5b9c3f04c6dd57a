// SlotSet against std::set.
#include <cstdint>
#include <set>

#include "acumen/caching/slot_set.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_slot_set {

using acumen::Random;
using acumen::caching::SlotSet;

namespace {

void agrees_with_a_plain_set() {
  Random random(2);
  for (const std::uint32_t slots : {1u, 63u, 64u, 65u, 200u}) {
    SlotSet set(slots);
    std::set<std::uint32_t> plain;
    for (int step = 0; step < 4'000; ++step) {
      const std::uint32_t slot = random.below(slots);
      // Nearly empty half of the time, so that next() has to go around.
      const bool inside = random.below(step / 500 % 2 ? 20 : 2) == 0;
      set.set(slot, inside);
      inside ? void(plain.insert(slot)) : void(plain.erase(slot));
      EXPECT(set.count() == plain.size());
      EXPECT(set.has(slot) == inside);
      const std::uint32_t from = random.below(slots);
      auto next = plain.upper_bound(from);
      if (next == plain.end()) next = plain.begin();
      EXPECT(set.next(from) == (plain.empty() ? SlotSet::kNone : *next));
    }
  }
}

void grows() {
  SlotSet set(10);
  set.set(9, true);
  set.resize(1000);
  EXPECT(set.has(9) && !set.has(999) && set.count() == 1);
  set.set(999, true);
  EXPECT(set.next(9) == 999 && set.next(999) == 9);
}

}  // namespace

PROGRAM(test_slot_set) {
  agrees_with_a_plain_set();
  grows();
}

}  // namespace test_slot_set
