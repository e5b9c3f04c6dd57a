// Shadow FIFO: the contents that S3-FIFO would hold, without the objects.
//
// Idea.  The strongest simple heuristic is simulated beside the learner on every request, so that
// the cache can follow whichever of the two has missed less (learned_eviction.hpp).  Newcomers pass
// a small queue, 1/20 of the cache; those requested again there, or known from shortly before,
// enter the main queue, where an object gets another round for each request, up to three.  The
// first objects ever go straight to the main queue: in a loop too large they are the ones to keep.
//
// Guarantee.  Fixed memory, about 12 bytes an object; O(1) amortised a request.  An object may be
// taken for another with probability below 16 / 16383, or not be admitted when its bucket is full
// (1 in 200): the shadow's count of misses is right to a fraction of a per cent.
//
// Layout.  Two rings of {hash uint32, slot uint32}, and a table of buckets of 16 uint16 cells:
//
//      15           2 1    0
//     +--------------+------+     0 = empty (tags are never 0)
//     |   tag (14)   | freq |
//     +--------------+------+
//
// Paper: Yang et al., "FIFO queues are all you need for cache eviction" (SOSP 2023); ghosts are the
// learner's own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace acumen::caching {

class ShadowFifo {
 public:
  static constexpr std::uint32_t kNone = 0xffffffffu;

  void reset(std::uint32_t capacity) {
    capacity_ = std::max(capacity, 2u);
    small_max_ = std::max(1u, capacity_ / 20);
    small_ = Ring(small_max_ + 2);
    main_ = Ring(capacity_ - small_max_ + 2);
    buckets_ = std::max(1u, (capacity_ + 7) / 8);
    cells_ = std::vector<std::uint16_t>(std::size_t{buckets_} * kWays);
    evicted_before_ = false;
    newest_ = nullptr;
  }
  void release() { *this = ShadowFifo(); }

  // Brings a key's bucket near before it is asked for; changes nothing.
  void prefetch(std::uint32_t hash) const {
    if (!cells_.empty()) __builtin_prefetch(&cells_[bucket_of(hash)]);
  }
  bool holds(std::uint32_t hash) const { return find(hash) != nullptr; }

  // A request; true when it hits.  `known`: the key was seen shortly before (S3-FIFO's ghost).
  // Calls leave(slot) for the owner's slot of what it evicts, where it knows it.
  template <typename Leave>
  bool access(std::uint32_t hash, bool known, Leave&& leave) {
    newest_ = nullptr;
    if (std::uint16_t* const cell = find(hash)) {
      if ((*cell & kFreqMask) < kFreqMask) ++*cell;
      return true;
    }
    while (small_.size() + main_.size() >= capacity_) evict(leave);
    const bool direct = known || (!evicted_before_ && small_.size() >= small_max_);
    if (!add_cell(hash)) return false;
    newest_ = (direct || small_.full() ? main_ : small_).push({hash, kNone});
    return false;
  }

  // The owner's slot of the object that the last access() admitted.
  void link_newest(std::uint32_t slot) {
    if (newest_ != nullptr) newest_->slot = slot;
  }
  void raise(std::uint32_t hash, std::uint32_t frequency) {
    if (std::uint16_t* const cell = find(hash))
      *cell = static_cast<std::uint16_t>((*cell & ~kFreqMask) | std::min(frequency, kFreqMask));
  }
  // Its ring entry stays until its turn comes, and then finds no cell.
  void remove(std::uint32_t hash) {
    if (std::uint16_t* const cell = find(hash)) *cell = 0;
  }

  std::size_t bytes() const {
    return cells_.capacity() * sizeof(std::uint16_t) + small_.bytes() + main_.bytes();
  }

  bool validate() const {
    const auto used = std::count_if(cells_.begin(), cells_.end(), [](auto c) { return c != 0; });
    return static_cast<std::size_t>(used) <= std::size_t{small_.size()} + main_.size() &&
           small_.size() + main_.size() <= capacity_;
  }

 private:
  static constexpr std::uint32_t kWays = 16;
  static constexpr std::uint32_t kFreqMask = 3;
  static constexpr std::uint32_t kPromoted = 2;  // requests in the small queue that promote

  struct Entry {
    std::uint32_t hash, slot;
  };
  class Ring {
   public:
    Ring() = default;
    explicit Ring(std::uint32_t capacity) : entries_(capacity) {}
    std::uint32_t size() const { return size_; }
    bool full() const { return size_ == entries_.size(); }
    Entry* push(Entry entry) {
      Entry& place = entries_[(first_ + size_++) % entries_.size()];
      place = entry;
      return &place;
    }
    Entry pop() {
      const Entry entry = entries_[first_];
      first_ = first_ + 1 == entries_.size() ? 0 : first_ + 1;
      --size_;
      return entry;
    }
    std::size_t bytes() const { return entries_.capacity() * sizeof(Entry); }

   private:
    std::vector<Entry> entries_;
    std::uint32_t first_ = 0, size_ = 0;
  };

  // One entry leaves the rings; an object requested since goes around again.
  template <typename Leave>
  void evict(Leave&& leave) {
    evicted_before_ = true;
    const std::uint32_t main_max = capacity_ - small_max_;
    while (main_.size() <= main_max && small_.size() > 0) {
      const Entry entry = small_.pop();
      std::uint16_t* const cell = find(entry.hash);
      if (cell == nullptr) return;
      if ((*cell & kFreqMask) < kPromoted) {
        *cell = 0;
        leave(entry.slot);
        return;
      }
      *cell = static_cast<std::uint16_t>(*cell & ~kFreqMask);
      main_.push(entry);
    }
    for (;;) {
      const Entry entry = main_.pop();
      std::uint16_t* const cell = find(entry.hash);
      if (cell == nullptr) return;
      if ((*cell & kFreqMask) == 0) {
        *cell = 0;
        leave(entry.slot);
        return;
      }
      --*cell;
      main_.push(entry);
    }
  }

  std::size_t bucket_of(std::uint32_t hash) const {
    return static_cast<std::size_t>(std::uint64_t{hash} * buckets_ >> 32) * kWays;
  }
  static std::uint16_t tag_of(std::uint32_t hash) {
    return static_cast<std::uint16_t>(std::max(1u, hash * 0x9E3779B1u >> 18) << 2);
  }
  const std::uint16_t* find(std::uint32_t hash) const {
    if (cells_.empty()) return nullptr;
    const std::uint16_t* const bucket = &cells_[bucket_of(hash)];
    const std::uint32_t tag = tag_of(hash);
    for (std::uint32_t way = 0; way < kWays; ++way)
      if ((bucket[way] & ~kFreqMask) == tag) return bucket + way;
    return nullptr;
  }
  std::uint16_t* find(std::uint32_t hash) {
    return const_cast<std::uint16_t*>(static_cast<const ShadowFifo*>(this)->find(hash));
  }
  bool add_cell(std::uint32_t hash) {
    std::uint16_t* const bucket = &cells_[bucket_of(hash)];
    for (std::uint32_t way = 0; way < kWays; ++way) {
      if (bucket[way] != 0) continue;
      bucket[way] = tag_of(hash);
      return true;
    }
    return false;
  }

  std::uint32_t capacity_ = 0, small_max_ = 0, buckets_ = 0;
  bool evicted_before_ = false;
  Ring small_, main_;
  Entry* newest_ = nullptr;
  std::vector<std::uint16_t> cells_;
};

}  // namespace acumen::caching
