// fork() while another thread is in an engine would copy a model that is half changed.
#pragma once

#include "acumen/choice.hpp"

namespace acumen::bindings {

/// While one lives, no process is forked in the middle of the engine's critical sections: fork()
/// itself takes the engines' locks, with nothing of Python in between. That cannot deadlock,
/// because whoever holds such a lock waits for nothing else.
class ForkGuard {
 public:
  explicit ForkGuard(ChoiceEngine& engine);
  ~ForkGuard();
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;

 private:
  ChoiceEngine& engine_;
};

}  // namespace acumen::bindings
