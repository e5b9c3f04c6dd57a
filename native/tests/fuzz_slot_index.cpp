// Each byte inserts a slot under a hash or, if the slot is inside, erases it; then all must be
// found.
#include <array>
#include <cstdlib>

#include "acumen/caching/slot_index.hpp"
#include "program.hpp"

namespace fuzz_slot_index {

using acumen::caching::SlotIndex;

FUZZ_TARGET(fuzz_slot_index, data, size) {
  SlotIndex index;
  std::array<std::int64_t, 64> hash_of;  // -1: the slot is not inside
  hash_of.fill(-1);
  std::size_t inside = 0;
  for (std::size_t at = 0; at + 1 < size; at += 2) {
    const std::uint32_t slot = data[at] % hash_of.size();
    if (hash_of[slot] >= 0) {
      if (!index.erase(static_cast<std::uint64_t>(hash_of[slot]), slot)) std::abort();
      hash_of[slot] = -1;
      --inside;
    } else {
      // Few homes, some of them at the end of the table, so that probes wrap around.
      hash_of[slot] = static_cast<std::int64_t>(data[at + 1]) * 0x1000003F;
      index.reserve_one();
      index.insert(static_cast<std::uint64_t>(hash_of[slot]), slot);
      ++inside;
    }
    if (index.size() != inside) std::abort();
    for (std::uint32_t other = 0; other < hash_of.size(); ++other) {
      if (hash_of[other] < 0) continue;
      auto walk = index.walk(static_cast<std::uint64_t>(hash_of[other]));
      do {
        if (!walk.next()) std::abort();
      } while (walk.slot() != other);
    }
  }
  return 0;
}

}  // namespace fuzz_slot_index
