// Which events of late have taught something: what a model from elsewhere still has to learn.
//
// Idea       A follower exchanges its model for one that was trained elsewhere and contains this
//            process's own events up to some number. The lessons after it must be learned again,
//            from the ring of decisions; this says which, and in which order.
// Guarantee  Constant memory. Before begin() lessons are only counted. What is no longer known, or
//            never was, is said to be.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace acumen {

class LessonMemory {
 public:
  struct Lesson {
    std::uint64_t event = 0;  ///< its number in the journal
    std::uint64_t id = 0;     ///< of the decision
    bool timed_out = false;   ///< the time-out taught, not feedback
  };

  /// From now on; `event` is the journal's last.
  void begin(std::uint64_t capacity, std::uint64_t event) {
    begun_ = unknown_ || count_ > 0 ? event : 0;
    lessons_.assign(std::bit_ceil(capacity), Lesson{});
    count_ = 0;
  }

  void add(std::uint64_t event, std::uint64_t id, bool timed_out) {
    if (lessons_.empty()) {
      unknown_ = true;
    } else {
      lessons_[count_++ & (lessons_.size() - 1)] = {event, id, timed_out};
    }
  }

  /// Lessons ever: places are 0 … count() - 1.
  std::uint64_t count() const { return count_; }
  /// The oldest place that is still known.
  std::uint64_t oldest() const { return count_ > lessons_.size() ? count_ - lessons_.size() : 0; }
  const Lesson& at(std::uint64_t place) const { return lessons_[place & (lessons_.size() - 1)]; }

  /// Whether there may be lessons behind `event` that are not known.
  bool forgot(std::uint64_t event) const {
    return event < begun_ || (oldest() > 0 && event + 1 < at(oldest()).event);
  }

  /// The first known place whose event lies behind `event`.
  std::uint64_t after(std::uint64_t event) const {
    std::uint64_t low = oldest(), high = count_;
    while (low < high) {
      const std::uint64_t middle = low + (high - low) / 2;
      if (at(middle).event > event) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

 private:
  std::vector<Lesson> lessons_;
  std::uint64_t count_ = 0, begun_ = 0;
  bool unknown_ = false;  ///< there were lessons before begin()
};

}  // namespace acumen
