// Ghosts: what a cache remembers of objects that it no longer holds.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace acumen::caching {

class GhostTable {
 public:
  static constexpr std::uint32_t kWays = 16;
  static constexpr std::uint32_t kTagBits = 13;
  static constexpr std::uint32_t kTickBits = 11;
  static constexpr std::uint32_t kTickMask = (1u << kTickBits) - 1;
  static constexpr std::uint32_t kTagMask = (1u << kTagBits) - 1;

  struct Ghost {
    std::uint32_t tick_age;
    std::uint16_t kind;
  };

  void resize(std::size_t ghosts_max) {
    bucket_count_ = std::max<std::size_t>(1, ghosts_max / kWays);
    cells_.assign(bucket_count_ * kWays, 0);
    cells_.shrink_to_fit();
  }
  bool allocated() const { return bucket_count_ != 0; }
  void clear() { std::fill(cells_.begin(), cells_.end(), 0u); }
  std::size_t bytes() const { return cells_.capacity() * 4; }

  // Finds and removes.
  bool take(std::uint32_t hash, std::uint32_t tick, Ghost& found) {
    if (!allocated()) return false;
    std::uint64_t* bucket = bucket_of(hash);
    const std::uint32_t tag = tag_of(hash);
    std::uint32_t way = kWays;
    for (std::uint32_t i = 0; i < kWays; ++i)
      if (bucket[i] >> 48 == tag) way = i;
    if (way == kWays) return false;
    found = {(tick - (static_cast<std::uint32_t>(bucket[way] >> 16))) & kTickMask,
             static_cast<std::uint16_t>(bucket[way] & 65535)};
    bucket[way] = 0;
    return true;
  }

  // Remembers; returns true and fills `dropped` when an older ghost had to make room.
  bool put(std::uint32_t hash, std::uint32_t start_tick, std::uint32_t now_tick, std::uint16_t kind,
           Ghost& dropped) {
    if (!allocated()) return false;
    std::uint64_t* bucket = bucket_of(hash);
    std::uint32_t way = 0, oldest = 0;
    for (std::uint32_t i = 0; i < kWays; ++i) {
      if (bucket[i] == 0) {
        way = i;
        oldest = ~0u;
        break;
      }
      const std::uint32_t age =
          (now_tick - (static_cast<std::uint32_t>(bucket[i] >> 16))) & kTickMask;
      if (age >= oldest) {
        oldest = age;
        way = i;
      }
    }
    const bool full = bucket[way] != 0;
    if (full) dropped = {oldest, static_cast<std::uint16_t>(bucket[way] & 65535)};
    bucket[way] = (static_cast<std::uint64_t>(tag_of(hash)) << 48) |
                  (static_cast<std::uint64_t>(start_tick & kTickMask) << 16) | kind;
    return full;
  }

  // visit(age, kind) -> keep
  template <typename Visit>
  void sweep(std::uint32_t tick, Visit&& visit) {
    for (std::uint64_t& cell : cells_) {
      if (cell == 0) continue;
      if (!visit((tick - (static_cast<std::uint32_t>(cell >> 16))) & kTickMask,
                 static_cast<std::uint16_t>(cell & 65535)))
        cell = 0;
    }
  }

 private:
  std::uint64_t* bucket_of(std::uint32_t hash) {
    return &cells_[static_cast<std::size_t>((static_cast<std::uint64_t>(hash) * bucket_count_) >>
                                            32) *
                   kWays];
  }
  // never 0, so that a cell of 0 is an empty one
  static std::uint32_t tag_of(std::uint32_t hash) {
    const std::uint32_t tag = (hash * 0x9E3779B1u) >> (32 - kTagBits);
    return tag ? tag : 1;
  }
  std::size_t bucket_count_ = 0;
  std::vector<std::uint64_t> cells_;
};

}  // namespace acumen::caching
