// Which events of late have taught something: what a model from elsewhere still has to learn.
//
// Idea       A follower exchanges its model for one that was trained elsewhere and contains this
//            process's own events up to some number. The lessons after it must be learned again,
//            from the ring of decisions; this says which, and in which order. An episode teaches
//            with the event that ends it: of each step the ring has all but the reward, which is
//            kept here. The feedback that follows is counted, and teaches nothing more.
// Guarantee  Constant memory. Before begin() lessons are only counted. What is no longer known, or
//            never was, is said to be.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace acumen {

class LessonMemory {
 public:
  enum class Kind : std::uint8_t {
    kFeedback,  ///< of one decision
    kTimedOut,  ///< the time-out taught, not feedback
    kStep,      ///< of an episode; the next one follows
    kEnd,       ///< its last step
    kCutOff,    ///< likewise; what came of it is not known
    kCounted,   ///< feedback of a step that an episode has taught
  };

  struct Lesson {
    std::uint64_t event = 0;  ///< its number in the journal
    std::uint64_t id = 0;     ///< of the decision
    Kind kind = Kind::kFeedback;
    float reward = 0.0f, discount = 1.0f;  ///< of a step
    std::uint32_t before = 0;              ///< how many taught something before it, modulo 2^32

    bool is_step() const {
      return kind == Kind::kStep || kind == Kind::kEnd || kind == Kind::kCutOff;
    }
  };

  /// From now on; `event` is the journal's last.
  void begin(std::uint64_t capacity, std::uint64_t event) {
    gone_ = unknown_ || count_ > 0 ? event : 0;
    lessons_.assign(std::bit_ceil(capacity), Lesson{});
    count_ = 0;
  }

  void add(const Lesson& lesson) {
    if (lessons_.empty()) {
      unknown_ = true;
      return;
    }
    Lesson& place = lessons_[count_ & (lessons_.size() - 1)];
    if (count_ >= lessons_.size()) gone_ = place.event;
    place = lesson;
    place.before = taught_;
    taught_ += lesson.kind != Kind::kCounted;
    count_ += 1;
  }

  /// Lessons ever: places are 0 … count() - 1.
  std::uint64_t count() const { return count_; }
  /// The oldest place that is still known.
  std::uint64_t oldest() const { return count_ > lessons_.size() ? count_ - lessons_.size() : 0; }
  const Lesson& at(std::uint64_t place) const { return lessons_[place & (lessons_.size() - 1)]; }
  /// Lessons before a known place, or before the next one to come, that taught something.
  std::uint32_t before(std::uint64_t place) const {
    return place < count_ ? at(place).before : taught_;
  }

  /// Whether there may be lessons behind `event` that are not known.
  bool forgot(std::uint64_t event) const { return event < gone_; }

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
  std::uint64_t count_ = 0;
  std::uint64_t gone_ = 0;  ///< the last event of a lesson that is not known
  std::uint32_t taught_ = 0;
  bool unknown_ = false;  ///< there were lessons before begin()
};

}  // namespace acumen
