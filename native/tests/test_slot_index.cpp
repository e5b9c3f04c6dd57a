// The index of a cache against std::multimap, in a table so small that every probe collides.
#include <map>
#include <set>
#include <vector>

#include "acumen/caching/slot_index.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_slot_index {

using acumen::Random;
using acumen::caching::SlotIndex;

namespace {

std::set<std::uint32_t> candidates(const SlotIndex& index, std::uint64_t hash) {
  std::set<std::uint32_t> found;
  for (auto walk = index.walk(hash); walk.next();) EXPECT(found.insert(walk.slot()).second);
  return found;
}

void agrees_with_a_multimap(std::uint64_t seed, std::uint32_t hashes) {
  Random random(seed);
  SlotIndex index;
  std::map<std::uint32_t, std::uint64_t> hash_of;  // slot -> hash
  // Multiples of 2^30: in a small table, all of them are at home in the same cell.
  const auto draw = [&] { return static_cast<std::uint64_t>(random.below(hashes)) << 30; };
  for (int step = 0; step < 4'000; ++step) {
    const std::uint32_t slot = random.below(48);
    const auto known = hash_of.find(slot);
    if (known == hash_of.end()) {
      const std::uint64_t hash = random.below(2) ? draw() : random.next();
      index.reserve_one();
      index.insert(hash, slot);
      hash_of[slot] = hash;
    } else {
      EXPECT(index.erase(known->second, slot));
      EXPECT(!index.erase(known->second, slot));
      hash_of.erase(known);
    }
    EXPECT(index.size() == hash_of.size());
    for (const auto& [there, hash] : hash_of) EXPECT(candidates(index, hash).contains(there));
  }
}

void a_walk_sees_only_slots_of_its_tag() {
  SlotIndex index;
  for (std::uint32_t slot = 0; slot < 1000; ++slot) {
    index.reserve_one();
    index.insert(slot % 10, slot);
  }
  for (std::uint32_t hash = 0; hash < 10; ++hash) {
    const auto found = candidates(index, hash);
    EXPECT(found.size() == 100);
    for (const std::uint32_t slot : found) EXPECT(slot % 10 == hash);
  }
  EXPECT(candidates(index, 10).empty());
}

void clearing_gives_memory_back() {
  SlotIndex index;
  const std::size_t empty = index.bytes();
  for (std::uint32_t slot = 0; slot < 1000; ++slot) {
    index.reserve_one();
    index.insert(slot * 0x9e3779b97f4a7c15ULL, slot);
  }
  EXPECT(index.bytes() <= 4096 * 8);
  index.clear();
  EXPECT(index.size() == 0);
  EXPECT(index.bytes() == empty);
  EXPECT(candidates(index, 0).empty());
  index.reserve_one();
  index.insert(7, 3);
  EXPECT(candidates(index, 7) == std::set<std::uint32_t>{3});
}

}  // namespace

PROGRAM(test_slot_index) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    agrees_with_a_multimap(seed, 1);
    agrees_with_a_multimap(seed, 4);
  }
  a_walk_sees_only_slots_of_its_tag();
  clearing_gives_memory_back();
}

}  // namespace test_slot_index
