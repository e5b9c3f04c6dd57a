// Ghosts: what a cache remembers of objects that it no longer holds.
//
// Idea.  A ghost answers two questions when its key comes back: how long was it gone, and of which
// class was it?  Both bear being coarse, and a ghost that is lost or mistaken costs a little
// learning and never a wrong answer.  So a ghost is four bytes: a tag instead of the key, a tick
// instead of a time.  Buckets of 16 (one cache line) need neither links nor an index.
//
// Who is forgotten.  A full bucket gives up its oldest ghost, where age counts 1/2 for objects that
// were requested twice, 1/8 for those requested more often, and 1/8 for one key in eight whatever
// its class.  The frequent ones are worth remembering; the random eighth lets a small table see
// far back, which is how reuse at many times the cache's size is learnt at all.
//
// Guarantee.  Bounded memory, fixed by resize(); take() and put() touch one cache line.  A key that
// was never put is taken for a ghost with probability below 16 / 4095.
//
// Layout.  cells_[bucket * 16 + way], 0 = empty (tags are never 0):
//
//      31        20 19         9 8       0
//     +------------+------------+---------+
//     |  tag (12)  |  tick (11) | kind (9)|     tick = time of the last request / (C / 16)
//     +------------+------------+---------+
//
// Ticks wrap: sweep() must drop what is half of their range old before another half has passed.
//
// Paper: the set-associative, partial-tag table is the cuckoo filter's bucket (Fan et al., CoNEXT
// 2014) without relocation; sampling keys by hash is SHARDS (Waldspurger et al., FAST 2015).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace acumen::caching {

class GhostTable {
 public:
  static constexpr std::int32_t kWays = 16;
  static constexpr std::uint32_t kKindBits = 9;
  static constexpr std::uint32_t kTickBits = 11;
  static constexpr std::uint32_t kTagBits = 12;
  static constexpr std::uint32_t kKindMask = (1u << kKindBits) - 1;
  static constexpr std::uint32_t kTickMask = (1u << kTickBits) - 1;
  static constexpr std::uint32_t kTagShift = kKindBits + kTickBits;

  struct Ghost {
    std::uint32_t age_ticks = 0;
    std::uint32_t kind = 0;
  };

  // Kinds below `twice` are objects seen once, below `often` twice; the rest more often.
  void resize(std::size_t ghosts_max, std::uint32_t twice, std::uint32_t often) {
    buckets_ = std::max<std::size_t>(1, ghosts_max / kWays);
    cells_ = std::vector<std::uint32_t>(buckets_ * kWays, 0u);
    twice_ = twice;
    often_ = often;
  }
  void release() {
    buckets_ = 0;
    cells_ = std::vector<std::uint32_t>();
  }
  void clear() { std::fill(cells_.begin(), cells_.end(), 0u); }
  bool allocated() const { return buckets_ != 0; }
  std::size_t bytes() const { return cells_.capacity() * sizeof(std::uint32_t); }

  // Brings a key's bucket near before it is asked for; changes nothing.
  void prefetch(std::uint32_t hash) const {
    if (!allocated()) return;
    __builtin_prefetch(
        &cells_[static_cast<std::size_t>(std::uint64_t{hash} * buckets_ >> 32) * kWays]);
  }
  // Finds and removes the ghost of a key.
  bool take(std::uint32_t hash, std::uint32_t now_tick, Ghost& found) {
    if (!allocated()) return false;
    std::uint32_t* const bucket = bucket_of(hash);
    const std::uint32_t tag = tag_of(hash);
    std::int32_t way = kWays;
    for (std::int32_t i = 0; i < kWays; ++i)
      way = std::min(way, bucket[i] >> kTagShift == tag ? i : kWays);
    if (way == kWays) return false;
    std::uint32_t& cell = bucket[way];
    found = ghost_of(cell, now_tick);
    cell = 0;
    return true;
  }

  // Remembers a key; true, and `dropped` filled, when another ghost had to make room.
  bool put(std::uint32_t hash, std::uint32_t tick, std::uint32_t now_tick, std::uint32_t kind,
           Ghost& dropped) {
    if (!allocated()) return false;
    std::uint32_t* const bucket = bucket_of(hash);
    std::int32_t stalest = 0;  // of equals the first
    for (std::int32_t i = 0; i < kWays; ++i)
      stalest = std::max(stalest, staleness(bucket[i], now_tick) * kWays + (kWays - 1 - i));
    const std::int32_t way = kWays - 1 - stalest % kWays;
    const std::uint32_t before = bucket[way];
    bucket[way] = tag_of(hash) << kTagShift | (tick & kTickMask) << kKindBits | kind;
    if (before == 0) return false;
    dropped = ghost_of(before, now_tick);
    return true;
  }

  // Calls visit(ghost) -> bool for every ghost and drops those for which it says false.
  template <typename Visit>
  void sweep(std::uint32_t now_tick, Visit&& visit) {
    for (std::uint32_t& cell : cells_)
      if (cell != 0 && !visit(ghost_of(cell, now_tick))) cell = 0;
  }

  bool validate(std::uint32_t kinds) const {
    return std::all_of(cells_.begin(), cells_.end(), [&](std::uint32_t cell) {
      return cell == 0 || (cell >> kTagShift != 0 && (cell & kKindMask) < kinds);
    });
  }

 private:
  static Ghost ghost_of(std::uint32_t cell, std::uint32_t now_tick) {
    return {(now_tick - (cell >> kKindBits)) & kTickMask, cell & kKindMask};
  }
  // At least 1 for a ghost; more than any ghost's for an empty cell.
  std::int32_t staleness(std::uint32_t cell, std::uint32_t now_tick) const {
    const Ghost ghost = ghost_of(cell, now_tick);
    const auto kind = static_cast<std::int32_t>(ghost.kind);
    const auto rank = static_cast<std::int32_t>(ghost.age_ticks * 8 + 8);
    const bool sampled = (cell >> kTagShift & 7u) == 1u;
    const std::int32_t by_kind = kind >= often_ ? rank >> 3 : kind >= twice_ ? rank >> 1 : rank;
    const std::int32_t known = sampled ? rank >> 3 : by_kind;
    return cell == 0 ? std::int32_t{1} << 20 : known;
  }
  std::uint32_t* bucket_of(std::uint32_t hash) {
    return &cells_[static_cast<std::size_t>(std::uint64_t{hash} * buckets_ >> 32) * kWays];
  }
  // The bucket uses the hash's upper bits; a multiplication brings the lower ones up.
  static std::uint32_t tag_of(std::uint32_t hash) {
    return std::max(1u, hash * 0x9E3779B1u >> (32 - kTagBits));
  }

  std::size_t buckets_ = 0;
  std::int32_t twice_ = 0, often_ = 0;
  std::vector<std::uint32_t> cells_;
};

}  // namespace acumen::caching
