// The shadow against the same rules on whole keys: misses within half a per cent.
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "acumen/caching/cache_simulator.hpp"
#include "acumen/caching/shadow_fifo.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_shadow_fifo {

using acumen::Random;
using namespace acumen::caching;

namespace {

using Keys = std::vector<std::uint64_t>;

// Clock2Q+ with a main queue that counts to three, and no ghosts.
class Exact {
 public:
  explicit Exact(std::uint32_t capacity) : capacity_(capacity), small_max_(capacity / 10) {}

  bool access(std::uint64_t key) {
    if (const auto found = held_.find(key); found != held_.end()) {
      Object& object = found->second;
      const bool young = object.small && entered_ - object.entered < small_max_ / 2;
      if (!young && object.frequency < 3) ++object.frequency;
      return true;
    }
    while (held_.size() >= capacity_) evict();
    const bool direct = !evicted_ && small_.size() >= small_max_;
    held_[key] = {0, !direct, direct ? 0 : ++entered_};
    (direct ? main_ : small_).push_back(key);
    return false;
  }

 private:
  struct Object {
    int frequency;
    bool small;
    std::uint64_t entered;  // into the small queue
  };
  void evict() {
    evicted_ = true;
    while (main_.size() <= capacity_ - small_max_ && !small_.empty()) {
      const std::uint64_t key = small_.front();
      small_.pop_front();
      if (held_[key].frequency == 0) {
        held_.erase(key);
        return;
      }
      held_[key] = {0, false, 0};
      main_.push_back(key);
    }
    for (;;) {
      const std::uint64_t key = main_.front();
      main_.pop_front();
      if (held_[key].frequency-- == 0) {
        held_.erase(key);
        return;
      }
      main_.push_back(key);
    }
  }

  std::uint32_t capacity_, small_max_;
  std::uint64_t entered_ = 0;
  bool evicted_ = false;
  std::unordered_map<std::uint64_t, Object> held_;
  std::deque<std::uint64_t> small_, main_;
};

// Bursts of related requests, a skewed popularity and a scan now and then.
Keys mixed(std::uint64_t seed, std::uint32_t count, std::uint32_t keys) {
  Random random(seed);
  Keys trace;
  std::uint64_t scan = 1u << 24;
  while (trace.size() < count) {
    const std::uint64_t key = random.below(1 + random.below(1 + random.below(keys)));
    for (std::uint32_t times = 1 + random.below(3); times-- > 0;) trace.push_back(key);
    if (random.below(40) == 0)
      for (int i = 0; i < 30; ++i) trace.push_back(scan++);
  }
  return trace;
}

void misses_as_the_rules_say() {
  for (const std::uint32_t capacity : {100u, 1'000u, 7'000u}) {
    const Keys trace = mixed(capacity, 400'000, 8 * capacity);
    Exact exact(capacity);
    ShadowFifo shadow;
    shadow.reset(capacity);
    double exact_misses = 0, shadow_misses = 0;
    for (const std::uint64_t key : trace) {
      exact_misses += !exact.access(key);
      const auto hash = static_cast<std::uint32_t>(SlotMap::hash(key) >> 32);
      shadow_misses += !shadow.access(hash, false, [](std::uint32_t, auto) {});
    }
    EXPECT(shadow.validate());
    EXPECT_NEAR(shadow_misses / exact_misses, 1.0, 0.005);
  }
}

void removes_and_goes_on() {
  ShadowFifo shadow;
  shadow.reset(300);
  Random random(2);
  for (int step = 0; step < 200'000; ++step) {
    const std::uint32_t hash = (1 + random.below(900)) * 0x9E3779B1u;
    if (random.below(10) == 0) {
      shadow.remove(hash);
      EXPECT(!shadow.holds(hash));
    } else {
      shadow.access(hash, random.below(20) == 0, [](std::uint32_t, auto) {});
    }
    if (step % 1'000 == 0) EXPECT(shadow.validate());
  }
}

}  // namespace

PROGRAM(test_shadow_fifo) {
  misses_as_the_rules_say();
  removes_and_goes_on();
}

}  // namespace test_shadow_fifo
