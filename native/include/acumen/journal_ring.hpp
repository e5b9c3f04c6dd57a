// The journal's ring: events on their way from the choosing thread to whoever writes them down.
//
// Idea       One producer (whoever holds the engine's lock) and one consumer (the writer) share a
//            ring of 64-bit words. Pushing an event is a copy and two atomic stores; nobody waits
//            for anybody. When the ring is full, the newest event is left out, or the oldest ones
//            give way: then the producer moves the tail itself, and the consumer notices, when it
//            claims what it has copied, that some of it was taken from under its hands.
// Guarantee  Events come out in the order in which they went in, whole, each at most once. Every
//            event has a number, also one that is dropped: whatever is missing shows as a jump.
//            Memory is constant. push costs no system call and no allocation.
// Ordering   Words are stored with release and loaded with acquire (plain moves on x86). A consumer
//            that has read a word which the producer had already overwritten therefore also sees
//            the tail that was moved before, fails to claim, and drops it. (Boehm, "Can seqlocks
//            get along with programming language memory models?", MSPC 2012.)
// Layout     Event: words; the first holds the event's size in its upper half (see
//            journal_event.hpp). head and tail count words for ever; a word's place is its count
//            modulo the capacity.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

namespace acumen {

enum class WhenFull : std::uint8_t { kDropNewest = 0, kDropOldest = 1 };

class JournalRing {
 public:
  static constexpr std::uint64_t kWordsMin = 1 << 9;

  /// bytes: rounded up to a power of two.
  JournalRing(std::size_t bytes, WhenFull when_full)
      : capacity_(std::bit_ceil(std::max<std::uint64_t>(bytes / 8, kWordsMin))),
        mask_(capacity_ - 1),
        when_full_(when_full),
        words_(new std::atomic<std::uint64_t>[capacity_]()) {}

  std::uint64_t capacity_words() const { return capacity_; }
  std::size_t memory_bytes() const { return sizeof(*this) + capacity_ * 8; }

  // The producer's side.

  /// Numbers the next event and makes room for its words, which are then put() one by one and
  /// become visible with commit(). Returns its number, or 0: there is no room, it is dropped.
  std::uint64_t begin(std::uint64_t words) {
    sequence_ += 1;
    if (place_ + words - tail_seen_ > capacity_ && !make_room(words)) {
      drop(1);
      numbered_.store(sequence_, std::memory_order_release);
      return 0;
    }
    return sequence_;
  }

  void put(std::uint64_t word) {
    words_[place_ & mask_].store(word, std::memory_order_release);
    place_ += 1;
  }

  void commit() {
    head_.store(place_, std::memory_order_release);
    numbered_.store(sequence_, std::memory_order_release);
  }

  /// Number of the last event, dropped or not; 0 before the first.
  std::uint64_t sequence() const { return numbered_.load(std::memory_order_acquire); }

  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  // The consumer's side.

  /// What collect() saw: all numbers up to `sequence` are in what was collected, or were dropped,
  /// if `all`; otherwise more is waiting.
  struct Seen {
    std::uint64_t sequence = 0;
    bool all = false;
  };

  /// Appends whole events to `out`, until it has at least `words_max` words or nothing is left.
  Seen collect(std::vector<std::uint64_t>& out, std::size_t words_max) {
    // In this order: every event up to this number that was not dropped lies before head.
    const std::uint64_t sequence = numbered_.load(std::memory_order_acquire);
    const std::uint64_t head = head_.load(std::memory_order_acquire);
    std::uint64_t tail = tail_.load(std::memory_order_acquire);
    while (tail < head && out.size() < words_max) {
      const std::size_t before = out.size();
      const std::uint64_t size = size_at(tail);
      // A size out of range was overwritten while it was being read: the claim will fail.
      const std::uint64_t most = std::min(size, head - tail);
      for (std::uint64_t i = 0; i < most; ++i)
        out.push_back(words_[(tail + i) & mask_].load(std::memory_order_acquire));
      if (tail_.compare_exchange_strong(tail, tail + size, std::memory_order_acq_rel)) {
        tail += size;
      } else {
        out.resize(before);  // dropped under the reader's hands; `tail` is where to go on
      }
    }
    return {sequence, tail >= head};
  }

  /// Words that wait; for counters.
  std::uint64_t waiting_words() const {
    const std::uint64_t tail = tail_.load(std::memory_order_acquire);
    const std::uint64_t head = head_.load(std::memory_order_acquire);
    return head > tail ? head - tail : 0;
  }

 private:
  std::uint64_t size_at(std::uint64_t place) const {
    return words_[place & mask_].load(std::memory_order_acquire) >> 32;
  }

  bool make_room(std::uint64_t words) {
    tail_seen_ = tail_.load(std::memory_order_acquire);
    if (words > capacity_) return false;
    while (place_ + words - tail_seen_ > capacity_) {
      if (when_full_ == WhenFull::kDropNewest) return false;
      // Only this thread writes words, so the oldest event's size can be relied on.
      const std::uint64_t next = tail_seen_ + size_at(tail_seen_);
      if (tail_.compare_exchange_strong(tail_seen_, next, std::memory_order_acq_rel)) {
        tail_seen_ = next;
        drop(1);
      }
    }
    return true;
  }

  void drop(std::uint64_t events) {
    dropped_.store(dropped_.load(std::memory_order_relaxed) + events, std::memory_order_relaxed);
  }

  const std::uint64_t capacity_, mask_;
  const WhenFull when_full_;
  const std::unique_ptr<std::atomic<std::uint64_t>[]> words_;
  // The producer's own.
  alignas(64) std::uint64_t place_ = 0;
  std::uint64_t tail_seen_ = 0, sequence_ = 0;
  // What it tells the consumer.
  alignas(64) std::atomic<std::uint64_t> head_{0};
  std::atomic<std::uint64_t> numbered_{0}, dropped_{0};
  alignas(64) std::atomic<std::uint64_t> tail_{0};
};

}  // namespace acumen
