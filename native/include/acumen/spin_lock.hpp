// A lock for critical sections of well under a microsecond.
//
// Idea       One atomic word. Choosing may give up waiting (a choice never blocks its program:
//            it falls back to the default); learning waits, because no lesson may be lost.
// Guarantee  Mutual exclusion with acquire/release ordering; ThreadSanitizer understands it.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace acumen {

class SpinLock {
 public:
  /// Tries for about `spins` pauses (tens of nanoseconds each); false: another thread holds it.
  bool try_lock(std::uint32_t spins) {
    for (std::uint32_t i = 0;; ++i) {
      if (!held_.load(std::memory_order_relaxed) &&
          !held_.exchange(true, std::memory_order_acquire))
        return true;
      if (i >= spins) return false;
      pause();
    }
  }

  /// Waits as long as it takes; gives the processor away now and then, in case the holder needs it.
  void lock() {
    while (!try_lock(128)) std::this_thread::yield();
  }

  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  static void pause() {
#if defined(__x86_64__)
    _mm_pause();
#endif
  }

  std::atomic<bool> held_{false};
};

}  // namespace acumen
