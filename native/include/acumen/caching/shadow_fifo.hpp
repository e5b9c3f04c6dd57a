// Shadow FIFO: the contents that Clock2Q+ would hold, without the objects.
//
// Idea.  The strongest simple heuristic is simulated beside the learner on every request, so that
// the cache can follow whichever of the two has missed less (learned_eviction.hpp).  Newcomers pass
// a small queue, a tenth of the cache.  In its younger half requests do not count, for requests
// that come together say nothing about later ones; requested again in its older half, or known from
// shortly before, an object enters the main queue, where it gets another round for each request, up
// to three.  While nothing has been evicted yet, objects for which the small queue has no room go
// straight to the main queue: in a loop too large the first ones are the ones to keep.
//
// Guarantee.  Fixed memory, 8 to 12 bytes an object; O(1) amortised a request.  An object may be
// taken for another with probability below 16 / 8191, or not be admitted when its bucket is full
// (1 in 200): the shadow's count of misses is right to a fraction of a per cent.
//
// Layout.  Two rings of {place of the cell, owner's slot} in 2 to 4 bytes each (slot_column.hpp),
// and a table of buckets of 16 uint16 cells:
//
//      15         3    2    1    0
//     +------------+-------+------+     0 = empty; tag 0 = removed, its ring entry still waits
//     |  tag (13)  | young | freq |     young: in the younger half of the small queue
//     +------------+-------+------+
//
// Paper: Zhai et al., "Clock2Q+: a simple and efficient replacement algorithm for metadata cache in
// VMware vSAN" (arXiv 2511.21958, 2025), after S3-FIFO (Yang et al., SOSP 2023).  Here ghosts are
// the learner's own, and the main queue counts to three.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "acumen/caching/slot_column.hpp"

namespace acumen::caching {

class ShadowFifo {
 public:
  static constexpr std::uint32_t kNone = SlotColumn::kNone;

  void reset(std::uint32_t capacity) {
    capacity_ = std::max(capacity, 2u);
    small_max_ = std::max(1u, capacity_ / 10);
    buckets_ = buckets(capacity_);
    cells_ = std::vector<std::uint16_t>(std::size_t{buckets_} * kWays);
    small_ = Ring(small_max_ + 2, cells_.size(), capacity_);
    main_ = Ring(capacity_ - small_max_ + 2, cells_.size(), capacity_);
    evicted_before_ = false;
    newest_ = Queue::kNeither;
  }
  void release() { *this = ShadowFifo(); }
  static float bytes_per_object(std::uint32_t capacity) {
    const std::size_t cells = std::size_t{buckets(capacity)} * kWays;
    return 4 + static_cast<float>(SlotColumn::width(cells) + SlotColumn::width(capacity));
  }

  // Brings a key's bucket near before it is asked for; changes nothing.
  void prefetch(std::uint32_t hash) const {
    if (!cells_.empty()) __builtin_prefetch(&cells_[bucket_of(hash)]);
  }
  bool holds(std::uint32_t hash) const { return find(hash) != nullptr; }

  // A request; true when it hits.  `known`: the key was seen shortly before (a ghost).
  // Calls leave(slot, is_what_left) for the owner's slot of what it evicts.  The slot may be kNone,
  // or hold something else by now: is_what_left(hash) says whether that is what was evicted.
  template <typename Leave>
  bool access(std::uint32_t hash, bool known, Leave&& leave) {
    newest_ = Queue::kNeither;
    if (std::uint16_t* const cell = find(hash)) {
      if ((*cell & kYoung) == 0 && (*cell & kFreqMask) < kFreqMask) ++*cell;
      return true;
    }
    while (small_.size() + main_.size() >= capacity_) evict(leave);
    const bool direct = known || (!evicted_before_ && small_.size() >= small_max_);
    const std::uint32_t cell = add_cell(hash);
    if (cell == kNone) return false;
    newest_ = direct || small_.full() ? Queue::kMain : Queue::kSmall;
    if (newest_ == Queue::kMain) {
      main_.push({cell, kNone});
    } else {
      small_.push({cell, kNone});
      enter_small(cell);
    }
    return false;
  }

  // The owner's slot of the object that the last access() admitted; false if it admitted none.
  bool link_newest(std::uint32_t slot) {
    if (newest_ == Queue::kSmall) small_.link_newest(slot);
    if (newest_ == Queue::kMain) main_.link_newest(slot);
    return newest_ != Queue::kNeither;
  }
  // As if it had left the younger half and been requested so often since.
  void raise(std::uint32_t hash, std::uint32_t frequency) {
    if (std::uint16_t* const cell = find(hash))
      *cell = static_cast<std::uint16_t>((*cell & kTagMask) | std::min(frequency, kFreqMask));
  }
  // Its cell stays taken until its turn in the ring comes.
  void remove(std::uint32_t hash) {
    if (std::uint16_t* const cell = find(hash)) *cell = kRemoved;
  }

  // The owner numbers its slots below `slots` from now on.
  void number_slots(std::size_t slots) {
    small_.number_slots(slots);
    main_.number_slots(slots);
  }
  std::size_t bytes() const {
    return cells_.capacity() * sizeof(std::uint16_t) + small_.bytes() + main_.bytes();
  }

  bool validate() const {
    const auto used = std::count_if(cells_.begin(), cells_.end(), [](auto c) { return c != 0; });
    return static_cast<std::size_t>(used) == std::size_t{small_.size()} + main_.size() &&
           small_.size() + main_.size() <= capacity_;
  }

 private:
  static constexpr std::int16_t kWays = 16;
  static constexpr std::uint32_t kFreqMask = 3, kYoung = 4;
  static constexpr std::uint16_t kTagMask = 0xfff8;
  static constexpr std::uint16_t kRemoved = 1;

  enum class Queue : std::uint8_t { kNeither, kSmall, kMain };
  struct Entry {
    std::uint32_t cell, slot;
  };
  class Ring {
   public:
    Ring() = default;
    Ring(std::uint32_t capacity, std::size_t cells, std::uint32_t slots)
        : cells_(capacity, cells), slots_(capacity, slots) {}
    std::uint32_t size() const { return size_; }
    bool full() const { return size_ == cells_.size(); }
    void push(Entry entry) {
      const std::size_t at = place(size_++);
      cells_.set(at, entry.cell);
      slots_.set(at, entry.slot);
    }
    void link_newest(std::uint32_t slot) { slots_.set(place(size_ - 1), slot); }
    // The cell of the entry that came `later` entries before the newest.
    std::uint32_t cell_before_newest(std::uint32_t later) const {
      return cells_.get(place(size_ - 1 - later));
    }
    Entry pop() {
      const Entry entry = {cells_.get(first_), slots_.get(first_)};
      first_ = first_ + 1 == cells_.size() ? 0 : first_ + 1;
      --size_;
      return entry;
    }
    void number_slots(std::size_t slots) { slots_.resize(slots_.size(), slots); }
    std::size_t bytes() const { return cells_.bytes() + slots_.bytes(); }

   private:
    // Of the entry that came `nth` after the oldest, at most as many as there is room for.
    std::size_t place(std::size_t nth) const {
      const std::size_t at = first_ + nth;
      return at < cells_.size() ? at : at - cells_.size();
    }

    SlotColumn cells_, slots_;
    std::uint32_t first_ = 0, size_ = 0;
  };

  // One entry leaves the rings; an object requested since goes around again.
  template <typename Leave>
  void evict(Leave&& leave) {
    evicted_before_ = true;
    const std::uint32_t main_max = capacity_ - small_max_;
    while (main_.size() <= main_max && small_.size() > 0) {
      const Entry entry = small_.pop();
      std::uint16_t& cell = cells_[entry.cell];
      if (cell == kRemoved || (cell & kFreqMask) == 0) return drop(entry, leave);
      cell = static_cast<std::uint16_t>(cell & kTagMask);
      main_.push(entry);
    }
    for (;;) {
      const Entry entry = main_.pop();
      std::uint16_t& cell = cells_[entry.cell];
      if (cell == kRemoved || (cell & kFreqMask) == 0) return drop(entry, leave);
      --cell;
      main_.push(entry);
    }
  }
  template <typename Leave>
  void drop(const Entry& entry, Leave&& leave) {
    const std::uint16_t left = cells_[entry.cell];
    cells_[entry.cell] = 0;
    if (left == kRemoved) return;
    leave(entry.slot, [&](std::uint32_t hash) {
      return bucket_of(hash) == entry.cell / kWays * kWays && tag_of(hash) == (left & kTagMask);
    });
  }

  // A newcomer is young; whoever it pushes into the older half is young no more.
  void enter_small(std::uint32_t cell) {
    const std::uint32_t young = small_max_ / 2;
    if (young == 0) return;
    cells_[cell] |= kYoung;
    if (small_.size() <= young) return;
    std::uint16_t& older = cells_[small_.cell_before_newest(young)];
    if (older != kRemoved) older = static_cast<std::uint16_t>(older & ~kYoung);
  }

  static std::uint32_t buckets(std::uint32_t capacity) { return std::max(1u, (capacity + 7) / 8); }
  std::size_t bucket_of(std::uint32_t hash) const {
    return static_cast<std::size_t>(std::uint64_t{hash} * buckets_ >> 32) * kWays;
  }
  static std::uint16_t tag_of(std::uint32_t hash) {
    return static_cast<std::uint16_t>(std::max(1u, hash * 0x9E3779B1u >> 19) << 3);
  }
  const std::uint16_t* find(std::uint32_t hash) const {
    if (cells_.empty()) return nullptr;
    const std::size_t bucket = bucket_of(hash);
    const std::int16_t way = first_way(bucket, kTagMask, tag_of(hash));
    return way == kWays ? nullptr : &cells_[bucket + static_cast<std::size_t>(way)];
  }
  // The first cell of a bucket that has these bits, or kWays.  Written to be vectorised.
  std::int16_t first_way(std::size_t bucket, std::uint16_t mask, std::uint16_t bits) const {
    std::int16_t way = kWays;
    for (std::int16_t i = 0; i < kWays; ++i) {
      const bool found = (cells_[bucket + static_cast<std::size_t>(i)] & mask) == bits;
      way = std::min(way, found ? i : std::int16_t{kWays});
    }
    return way;
  }
  std::uint16_t* find(std::uint32_t hash) {
    return const_cast<std::uint16_t*>(static_cast<const ShadowFifo*>(this)->find(hash));
  }
  // The place of a new cell, or kNone: the bucket is full.
  std::uint32_t add_cell(std::uint32_t hash) {
    const std::size_t bucket = bucket_of(hash);
    const std::int16_t way = first_way(bucket, 0xffff, 0);
    if (way == kWays) return kNone;
    const std::size_t at = bucket + static_cast<std::size_t>(way);
    cells_[at] = tag_of(hash);
    return static_cast<std::uint32_t>(at);
  }

  std::uint32_t capacity_ = 0, small_max_ = 0, buckets_ = 0;
  bool evicted_before_ = false;
  Ring small_, main_;
  Queue newest_ = Queue::kNeither;
  std::vector<std::uint16_t> cells_;
};

}  // namespace acumen::caching
