// SlotColumn against a plain vector, across its three widths.
#include <cstdint>
#include <vector>

#include "acumen/caching/slot_column.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_slot_column {

using acumen::Random;
using acumen::caching::SlotColumn;

namespace {

void keeps_what_it_is_given() {
  Random random(1);
  for (const std::size_t limit : {1u, 0xfffeu, 0xffffu, 0x10000u, 0xffffffu, 0x1000000u, ~0u}) {
    SlotColumn column(300, limit);
    std::vector<std::uint32_t> plain(300, SlotColumn::kNone);
    for (int step = 0; step < 3'000; ++step) {
      const std::uint32_t at = random.below(300);
      const auto value = static_cast<std::uint32_t>(limit - 1 - (step % 3 ? 0 : limit / 2));
      column.set(at, step % 7 ? value : SlotColumn::kNone);
      plain[at] = step % 7 ? value : SlotColumn::kNone;
      const std::uint32_t other = random.below(300);
      EXPECT(column.get(other) == plain[other]);
    }
    for (std::uint32_t at = 0; at < 300; ++at) EXPECT(column.get(at) == plain[at]);
  }
}

void widens_and_grows() {
  SlotColumn column;
  std::vector<std::uint32_t> plain;
  for (const std::uint32_t limit : {10u, 0x20000u, 0x2000000u}) {
    for (std::uint32_t i = 0; i < 50; ++i) {
      const std::uint32_t value = i % 5 ? limit - 1 - i % 4 : SlotColumn::kNone;
      column.push_back(value, limit);
      plain.push_back(value);
    }
    column.resize(column.size() + 1, limit);
    plain.push_back(SlotColumn::kNone);
    EXPECT(column.size() == plain.size());
    for (std::size_t at = 0; at < plain.size(); ++at) EXPECT(column.get(at) == plain[at]);
  }
  EXPECT(SlotColumn::width(0xffff) == 2 && SlotColumn::width(0x10000) == 3);
  column.release();
  EXPECT(column.size() == 0);
}

}  // namespace

PROGRAM(test_slot_column) {
  keeps_what_it_is_given();
  widens_and_grows();
}

}  // namespace test_slot_column
