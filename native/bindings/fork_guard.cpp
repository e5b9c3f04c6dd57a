#include "fork_guard.hpp"

#include <mutex>
#include <unordered_set>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace acumen::bindings {
namespace {

struct Registry {
  std::mutex mutex;
  std::unordered_set<ChoiceEngine*> engines;
};

/// Never destroyed: processes are forked at exit, too.
Registry& registry() {
  static Registry* all = new Registry;
  return *all;
}

#if defined(__unix__) || defined(__APPLE__)
void before_fork() {
  registry().mutex.lock();
  for (ChoiceEngine* engine : registry().engines) engine->lock().lock();
}

void after_fork() {
  for (ChoiceEngine* engine : registry().engines) engine->lock().unlock();
  registry().mutex.unlock();
}

void watch_forks() {
  static const int once = pthread_atfork(before_fork, after_fork, after_fork);
  static_cast<void>(once);
}
#else
void watch_forks() {}
#endif

}  // namespace

ForkGuard::ForkGuard(ChoiceEngine& engine) : engine_(engine) {
  watch_forks();
  const std::lock_guard<std::mutex> lock(registry().mutex);
  registry().engines.insert(&engine);
}

ForkGuard::~ForkGuard() {
  const std::lock_guard<std::mutex> lock(registry().mutex);
  registry().engines.erase(&engine_);
}

}  // namespace acumen::bindings
