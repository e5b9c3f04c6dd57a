// Lessons on their way to a learner that lives outside the engine (one written in Python).
//
// Idea       The engine may not call it while it holds its lock, so lessons gather here until
//            somebody takes them, in order. Learning anew begins with a reset and makes all lessons
//            that wait void.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "acumen/learner.hpp"

namespace acumen {

/// A lesson that owns its arrays.
struct OwnedLesson {
  std::vector<float> x, features;
  std::uint32_t arm;
  float propensity, reward;
};

class Outbox {
 public:
  explicit Outbox(std::size_t room) { lessons_.reserve(room); }

  void add(const Lesson& lesson, std::uint32_t dimension, std::uint32_t features) {
    OwnedLesson owned{
        {lesson.x, lesson.x + dimension}, {}, lesson.arm, lesson.propensity, lesson.reward};
    if (lesson.features) owned.features.assign(lesson.features, lesson.features + features);
    lessons_.push_back(std::move(owned));
  }

  void start_anew() {
    lessons_.clear();
    reset_ = true;
  }

  bool empty() const { return !reset_ && lessons_.empty(); }

  /// `reset` says that the learner is to forget all before.
  std::vector<OwnedLesson> take(bool& reset) {
    reset = std::exchange(reset_, false);
    return std::exchange(lessons_, {});
  }

 private:
  std::vector<OwnedLesson> lessons_;
  bool reset_ = false;
};

}  // namespace acumen
