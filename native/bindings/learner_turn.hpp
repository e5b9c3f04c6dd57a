// Whose turn it is with a learner that is written in Python.
#pragma once

#include <nanobind/nanobind.h>

#include <mutex>

namespace acumen::bindings {

/// One thread at a time in a learner that is written in Python. Whoever waits gives up the GIL,
/// because the thread inside needs it; a learner that uses its own choice does not wait for itself.
class LearnerTurn {
 public:
  explicit LearnerTurn(std::recursive_mutex& mutex) : mutex_(mutex) {
    if (mutex_.try_lock()) return;
    const nanobind::gil_scoped_release others_may_run;
    mutex_.lock();
  }
  ~LearnerTurn() { mutex_.unlock(); }
  LearnerTurn(const LearnerTurn&) = delete;
  LearnerTurn& operator=(const LearnerTurn&) = delete;

 private:
  std::recursive_mutex& mutex_;
};

}  // namespace acumen::bindings
