// Cache simulator: misses of a cache of `capacity` objects over a sequence of keys, sizes ignored.
//
// Idea.  A policy is worth what it saves on a workload.  The learned policy is run exactly as a
// real cache would drive it; LRU and FIFO are the familiar floor, Belady's optimum the ceiling.
//
// Guarantee.  LRU, FIFO and Belady are exact.  Belady without bypass evicts the object whose next
// request is farthest; with bypass a newcomer may itself be the one that is not kept, which is
// optimal when it need not enter.  O(1) a request, Belady O(log requests).  At most 2^32 - 2 keys.
//
// Layout.  The map from key to slot (SlotMap: open addressing, linear probing, at most half full)
// is the simulator's own, so that the policy's metadata is counted apart: Simulation's
// metadata_bytes is everything that a policy keeps beyond a plain map from key to value.
//
// Paper: Belady, "A study of replacement algorithms for a virtual-storage computer" (IBM Systems
// Journal 1966); Mattson et al., "Evaluation techniques for storage hierarchies" (1970).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <queue>
#include <span>
#include <utility>
#include <vector>

#include "acumen/caching/learned_eviction.hpp"

namespace acumen::caching {

struct Simulation {
  std::uint64_t requests = 0;
  std::uint64_t misses = 0;
  std::size_t metadata_bytes = 0;  // of the policy, beyond a plain map from key to slot
};

inline constexpr std::size_t kAhead = 6;  // requests whose memory is on its way

class SlotMap {
 public:
  static constexpr std::uint32_t kAbsent = 0xffffffffu;

  explicit SlotMap(std::size_t capacity) {
    std::size_t size = 16;
    while (size < 2 * capacity + 2) size *= 2;
    cells_.resize(size);
    mask_ = size - 1;
  }

  static std::uint64_t hash(std::uint64_t key) {
    key = (key ^ key >> 32) * 0xd6e8feb86659fd93ull;
    key = (key ^ key >> 32) * 0xd6e8feb86659fd93ull;
    return key ^ key >> 32;
  }
  void prefetch(std::uint64_t hashed) const { __builtin_prefetch(&cells_[hashed & mask_]); }
  std::uint32_t find(std::uint64_t key, std::uint64_t hashed) const {
    for (std::size_t at = hashed & mask_;; at = (at + 1) & mask_)
      if (cells_[at].slot == kAbsent || cells_[at].key == key) return cells_[at].slot;
  }
  void insert(std::uint64_t key, std::uint64_t hashed, std::uint32_t slot) {
    std::size_t at = hashed & mask_;
    while (cells_[at].slot != kAbsent) at = (at + 1) & mask_;
    cells_[at] = {key, slot};
  }
  // The key must be there.
  void erase(std::uint64_t key) {
    std::size_t hole = hash(key) & mask_;
    while (cells_[hole].key != key) hole = (hole + 1) & mask_;
    for (std::size_t at = (hole + 1) & mask_; cells_[at].slot != kAbsent; at = (at + 1) & mask_) {
      const std::size_t home = hash(cells_[at].key) & mask_;
      if (((at - home) & mask_) < ((at - hole) & mask_)) continue;
      cells_[hole] = cells_[at];
      hole = at;
    }
    cells_[hole] = Cell{};
  }

 private:
  struct Cell {
    std::uint64_t key = 0;
    std::uint32_t slot = kAbsent;
  };
  std::size_t mask_ = 0;
  std::vector<Cell> cells_;
};

// Misses of a policy, which may have learnt before.
inline std::uint64_t simulate(std::span<const std::uint64_t> keys, std::uint32_t capacity,
                              LearnedEviction& policy) {
  if (capacity == 0) return keys.size();
  SlotMap map(capacity);
  std::vector<std::uint64_t> resident(capacity);
  std::uint32_t used = 0;
  std::uint64_t misses = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (i + kAhead < keys.size()) {
      const std::uint64_t coming = SlotMap::hash(keys[i + kAhead]);
      map.prefetch(coming);
      policy.prefetch(coming);
    }
    const std::uint64_t key = keys[i], hashed = SlotMap::hash(key);
    std::uint32_t slot = map.find(key, hashed);
    if (slot != SlotMap::kAbsent) {
      policy.hit(slot);
      continue;
    }
    ++misses;
    policy.miss(hashed);
    const bool full = used == capacity;
    slot = full ? policy.victim() : used++;
    if (slot == LearnedEviction::kBypass) continue;
    const std::uint64_t leaves = std::exchange(resident[slot], key);
    if (full) {
      map.prefetch(SlotMap::hash(leaves));
      policy.evict(slot);
    }
    policy.insert(slot, hashed);
    if (full) map.erase(leaves);
    map.insert(key, hashed, slot);
  }
  return misses;
}

inline Simulation simulate_learned(std::span<const std::uint64_t> keys, std::uint32_t capacity,
                                   std::uint64_t seed, EvictionOptions options = {}) {
  LearnedEviction policy(capacity, seed, options);
  const std::uint64_t misses = simulate(keys, capacity, policy);
  return {keys.size(), misses, policy.metadata_bytes()};
}

// LRU, or FIFO where a hit does not promote.
inline std::uint64_t simulate_lru(std::span<const std::uint64_t> keys, std::uint32_t capacity,
                                  bool promote = true) {
  if (capacity == 0) return keys.size();
  SlotMap map(capacity);
  std::vector<std::uint64_t> resident(capacity);
  std::vector<std::uint32_t> older(std::size_t{capacity} + 1), newer(std::size_t{capacity} + 1);
  const std::uint32_t ends = capacity;  // newer[ends] is the oldest, older[ends] the newest
  older[ends] = newer[ends] = ends;
  const auto unlink = [&](std::uint32_t slot) {
    newer[older[slot]] = newer[slot];
    older[newer[slot]] = older[slot];
  };
  std::uint32_t used = 0;
  std::uint64_t misses = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::uint64_t key = keys[i], hashed = SlotMap::hash(key);
    std::uint32_t slot = map.find(key, hashed);
    if (slot != SlotMap::kAbsent) {
      if (!promote) continue;
      unlink(slot);
    } else {
      ++misses;
      if (used < capacity) {
        slot = used++;
      } else {
        slot = newer[ends];
        unlink(slot);
        map.erase(resident[slot]);
      }
      resident[slot] = key;
      map.insert(key, hashed, slot);
    }
    older[slot] = older[ends];
    newer[slot] = ends;
    newer[older[ends]] = slot;
    older[ends] = slot;
  }
  return misses;
}

inline std::uint64_t simulate_fifo(std::span<const std::uint64_t> keys, std::uint32_t capacity) {
  return simulate_lru(keys, capacity, false);
}

// The future, for Belady: each request's object and when that object is requested next.
struct Foresight {
  static constexpr std::uint32_t kNever = 0xffffffffu;
  std::vector<std::uint32_t> object, next;
  std::size_t objects = 0;

  explicit Foresight(std::span<const std::uint64_t> keys) : object(keys.size()), next(keys.size()) {
    std::vector<std::uint64_t> distinct(keys.begin(), keys.end());
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    objects = distinct.size();
    SlotMap ids(objects);
    for (std::uint32_t i = 0; i < objects; ++i)
      ids.insert(distinct[i], SlotMap::hash(distinct[i]), i);
    std::vector<std::uint32_t> seen(objects, kNever);
    for (std::size_t i = keys.size(); i-- > 0;) {
      object[i] = ids.find(keys[i], SlotMap::hash(keys[i]));
      next[i] = std::exchange(seen[object[i]], static_cast<std::uint32_t>(i));
    }
  }
};

inline std::uint64_t simulate_belady(std::span<const std::uint64_t> keys, std::uint32_t capacity,
                                     bool bypass) {
  if (capacity == 0) return keys.size();
  const Foresight future(keys);
  std::vector<std::uint32_t> due(future.objects);  // the next request of what is held
  std::vector<bool> held(future.objects);
  std::priority_queue<std::pair<std::uint32_t, std::uint32_t>> farthest;  // (due, object)
  std::uint32_t used = 0;
  std::uint64_t misses = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::uint32_t object = future.object[i], next = future.next[i];
    if (!held[object]) {
      ++misses;
      if (used < capacity) {
        ++used;
      } else {
        const auto stale = [&](const auto& top) {
          return !held[top.second] || due[top.second] != top.first;
        };
        while (stale(farthest.top())) farthest.pop();
        if (bypass && farthest.top().first <= next) continue;
        held[farthest.top().second] = false;
        farthest.pop();
      }
      held[object] = true;
    }
    due[object] = next;
    farthest.emplace(next, object);
  }
  return misses;
}

}  // namespace acumen::caching
