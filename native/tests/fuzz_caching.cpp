// Arbitrary sequences of what an owner may tell a LearnedEviction: misses that no insert follows,
// inserts that no miss precedes, evictions of slots it did not choose, deletions, clear; with a
// right or wrong capacity hint, with and without sizes. Its invariants must hold throughout.
#include <array>
#include <cstdint>
#include <cstdlib>

#include "acumen/caching/learned_eviction.hpp"
#include "program.hpp"

namespace fuzz_caching {

using acumen::caching::EvictionOptions;
using acumen::caching::LearnedEviction;

namespace {

constexpr std::uint32_t kSlots = 256;

// The owner's side: which key each slot holds; keys are 0..511, spread over the hash's bits.
struct Owner {
  LearnedEviction policy;
  bool bypass;
  std::array<std::int32_t, kSlots> key_of;
  std::array<std::int32_t, 512> slot_of;
  std::uint32_t residents = 0;

  Owner(std::uint32_t hint, EvictionOptions options)
      : policy(hint, 7, options), bypass(options.bypass) {
    forget();
  }
  void forget() {
    key_of.fill(-1);
    slot_of.fill(-1);
    residents = 0;
  }
  static std::uint64_t hash(std::uint32_t key) { return (key + 1) * 0x9e3779b97f4a7c15ull; }
  std::uint32_t free_slot(std::uint32_t from) const {
    while (key_of[from % kSlots] >= 0) ++from;
    return from % kSlots;
  }
  void hold(std::uint32_t slot, std::uint32_t key, std::uint64_t size) {
    policy.insert(slot, hash(key), size);
    key_of[slot] = static_cast<std::int32_t>(key);
    slot_of[key] = static_cast<std::int32_t>(slot);
    ++residents;
  }
  void drop(std::uint32_t slot, bool deleted) {
    if (deleted)
      policy.erase(slot);
    else
      policy.evict(slot);
    slot_of[static_cast<std::uint32_t>(key_of[slot])] = -1;
    key_of[slot] = -1;
    --residents;
  }
  // An ordinary request with room for `room` objects.
  void request(std::uint32_t key, std::uint32_t room, std::uint64_t size) {
    if (slot_of[key] >= 0) return policy.hit(static_cast<std::uint32_t>(slot_of[key]));
    policy.miss(hash(key), size);
    while (residents >= room) {
      const std::uint32_t slot = policy.victim();
      if (slot == LearnedEviction::kBypass) {
        if (!bypass && residents > 0) std::abort();
        return;
      }
      if (slot >= kSlots || key_of[slot] < 0) std::abort();  // not a resident
      drop(slot, false);
    }
    hold(free_slot(key), key, size);
  }
  void check() const {
    if (!policy.validate() || policy.size() != residents) std::abort();
  }
};

void step(Owner& owner, std::uint8_t operation, std::uint8_t argument, std::uint32_t room) {
  const std::uint32_t key = argument | (operation & 1u) << 8;
  const std::uint64_t size = std::uint64_t{1} << (argument % 64);
  const bool resident = owner.slot_of[key] >= 0;
  switch (operation >> 1 & 15) {
    case 8:  // a miss whose object is not kept
      if (!resident) owner.policy.miss(Owner::hash(key), size);
      break;
    case 9:  // an insert out of the blue, beyond the room
      if (!resident && owner.residents < kSlots) owner.hold(owner.free_slot(argument), key, size);
      break;
    case 10:  // the owner's own choice of a victim
      if (owner.key_of[argument] >= 0) owner.drop(argument, false);
      break;
    case 11:
      if (owner.key_of[argument] >= 0) owner.drop(argument, true);
      break;
    case 12: {  // asked without need, and not obeyed
      const std::uint32_t slot = owner.policy.victim();
      if (slot != LearnedEviction::kBypass && (slot >= kSlots || owner.key_of[slot] < 0))
        std::abort();
      break;
    }
    case 13:  // rarely: or nothing would ever be learned
      if (argument < 4) {
        owner.policy.clear();
        owner.forget();
      }
      break;
    case 14:  // a loop longer than the room
      for (std::uint32_t i = 0; i < 64; ++i) owner.request((key + i * 5) % 512, room, size);
      break;
    default:
      owner.request(key, room, size);
  }
}

}  // namespace

FUZZ_TARGET(fuzz_caching, data, size) {
  if (size < 4) return 0;
  EvictionOptions options;
  options.bypass = data[0] & 1;
  options.sized = data[0] & 2;
  options.metadata_bytes_per_object = static_cast<float>(data[0] >> 2);
  const std::uint32_t room = 1 + data[1] % (kSlots - 1);
  Owner owner(data[2] * (data[2] & 1 ? 1u : 37u), options);
  for (std::size_t at = 3; at + 1 < size; at += 2) {
    step(owner, data[at], data[at + 1], room);
    if (at % 16 == 3) owner.check();
  }
  owner.check();
  if (owner.policy.metadata_bytes() > (std::size_t{1} << 24)) std::abort();
  return 0;
}

}  // namespace fuzz_caching
