// Unit-size cache simulation.
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

// Open addressing, linear probing, backward-shift deletion, load <= 1/2.
class SlotMap {
 public:
  static constexpr std::uint32_t kAbsent = 0xffffffffu;
  explicit SlotMap(std::size_t capacity) {
    std::size_t size = 16;
    while (size < 2 * capacity + 2) size *= 2;
    keys_.assign(size, 0);
    slots_.assign(size, kAbsent);
    mask_ = size - 1;
  }
  static std::uint64_t hash(std::uint64_t x) {
    x ^= x >> 32; x *= 0xd6e8feb86659fd93ull; x ^= x >> 32; x *= 0xd6e8feb86659fd93ull; x ^= x >> 32;
    return x;
  }
  std::uint32_t find(std::uint64_t key, std::uint64_t h) const {
    for (std::size_t i = h & mask_;; i = (i + 1) & mask_) {
      if (slots_[i] == kAbsent) return kAbsent;
      if (keys_[i] == key) return slots_[i];
    }
  }
  void insert(std::uint64_t key, std::uint64_t h, std::uint32_t slot) {
    std::size_t i = h & mask_;
    while (slots_[i] != kAbsent) i = (i + 1) & mask_;
    keys_[i] = key;
    slots_[i] = slot;
  }
  void erase(std::uint64_t key) {
    std::size_t i = hash(key) & mask_;
    while (keys_[i] != key || slots_[i] == kAbsent) i = (i + 1) & mask_;
    for (std::size_t j = (i + 1) & mask_; slots_[j] != kAbsent; j = (j + 1) & mask_) {
      const std::size_t home = hash(keys_[j]) & mask_;
      if (((j - home) & mask_) >= ((j - i) & mask_)) {
        keys_[i] = keys_[j];
        slots_[i] = slots_[j];
        i = j;
      }
    }
    slots_[i] = kAbsent;
  }

 private:
  std::size_t mask_;
  std::vector<std::uint64_t> keys_;
  std::vector<std::uint32_t> slots_;
};

struct Simulation {
  std::uint64_t requests = 0;
  std::uint64_t misses = 0;
  std::size_t metadata_bytes = 0;  // of the policy, beyond a plain map from key to slot
};

inline std::uint64_t simulate(std::span<const std::uint64_t> keys, std::uint32_t capacity, LearnedEviction& policy) {
  SlotMap map(capacity);
  std::vector<std::uint64_t> resident(capacity);
  std::uint32_t used = 0;
  std::uint64_t misses = 0;
  for (const std::uint64_t key : keys) {
    const std::uint64_t h = SlotMap::hash(key);
    std::uint32_t slot = map.find(key, h);
    if (slot != SlotMap::kAbsent) { policy.hit(slot); continue; }
    ++misses;
    policy.miss(h);
    if (used < capacity) {
      slot = used++;
    } else {
      slot = policy.victim();
      if (slot == LearnedEviction::kBypass) continue;
      policy.evict(slot);
      map.erase(resident[slot]);
    }
    resident[slot] = key;
    map.insert(key, h, slot);
    policy.insert(slot, h);
  }
  return misses;
}

inline Simulation simulate_learned(std::span<const std::uint64_t> keys, std::uint32_t capacity,
                                   std::uint64_t seed, EvictionOptions options = {}) {
  LearnedEviction policy(capacity, seed, options);
  const std::uint64_t misses = simulate(keys, capacity, policy);
  return {keys.size(), misses, policy.metadata_bytes()};
}

inline std::uint64_t simulate_lru(std::span<const std::uint64_t> keys, std::uint32_t capacity, bool promote = true) {
  SlotMap map(capacity);
  std::vector<std::uint64_t> resident(capacity);
  std::vector<std::uint32_t> older(capacity + 1), newer(capacity + 1);
  const std::uint32_t ring = capacity;
  older[ring] = newer[ring] = ring;
  std::uint32_t used = 0;
  std::uint64_t misses = 0;
  for (const std::uint64_t key : keys) {
    const std::uint64_t h = SlotMap::hash(key);
    std::uint32_t slot = map.find(key, h);
    if (slot != SlotMap::kAbsent) {
      if (!promote) continue;
      newer[older[slot]] = newer[slot]; older[newer[slot]] = older[slot];
    } else {
      ++misses;
      if (used < capacity) slot = used++;
      else {
        slot = newer[ring];
        newer[ring] = newer[slot]; older[newer[slot]] = ring;
        map.erase(resident[slot]);
      }
      resident[slot] = key;
      map.insert(key, h, slot);
    }
    older[slot] = older[ring]; newer[slot] = ring;
    newer[older[ring]] = slot; older[ring] = slot;
  }
  return misses;
}

inline std::uint64_t simulate_fifo(std::span<const std::uint64_t> keys, std::uint32_t capacity) {
  return simulate_lru(keys, capacity, false);
}

inline std::uint64_t simulate_belady(std::span<const std::uint64_t> keys, std::uint32_t capacity, bool bypass) {
  const std::size_t n = keys.size();
  std::vector<std::uint32_t> next(n);
  constexpr std::uint32_t never = 0xffffffffu;
  // intern
  std::vector<std::uint64_t> sorted(keys.begin(), keys.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  SlotMap ids(sorted.size());
  for (std::size_t i = 0; i < sorted.size(); ++i) ids.insert(sorted[i], SlotMap::hash(sorted[i]), static_cast<std::uint32_t>(i));
  std::vector<std::uint32_t> id(n), seen(sorted.size(), never);
  for (std::size_t i = n; i-- > 0;) {
    id[i] = ids.find(keys[i], SlotMap::hash(keys[i]));
    next[i] = seen[id[i]];
    seen[id[i]] = static_cast<std::uint32_t>(i);
  }
  std::vector<std::uint32_t> held(sorted.size(), 0);  // 0 absent, else next+1.. store flag
  std::vector<std::uint32_t> due(sorted.size(), 0);
  std::priority_queue<std::pair<std::uint32_t, std::uint32_t>> heap;
  std::uint32_t used = 0;
  std::uint64_t misses = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t object = id[i];
    if (!held[object]) {
      ++misses;
      if (bypass && next[i] == never) continue;
      if (used == capacity) {
        while (!held[heap.top().second] || due[heap.top().second] != heap.top().first) heap.pop();
        if (bypass && heap.top().first <= next[i]) continue;
        held[heap.top().second] = 0;
        heap.pop();
      } else ++used;
      held[object] = 1;
    }
    due[object] = next[i];
    heap.emplace(next[i], object);
  }
  return misses;
}

}  // namespace acumen::caching
