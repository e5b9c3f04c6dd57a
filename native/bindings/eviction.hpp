// The learned policy as a mapping needs it.
//
// Idea       The kernel wants to know how many objects the cache will hold and hears of every
//            request exactly once. A mapping knows neither: sizes are the user's, and a request
//            may be a lookup, a lookup and a set, or a set alone. This class stands between them.
//            Requests   A hit counts at once. A miss counts when the key is set, not when it is
//                       looked up: lookups that nobody follows up cost nothing, and between a
//                       lookup and its set other threads or recursive calls may miss as well.
//                       A set straight after a hit of the same key is the same request.
//            Objects    The scale starts from maxsize, and the policy starts anew, with the
//                       residents as its only memory, when experience is off by a factor of 4.
// Guarantee  No Python. Only functions not marked noexcept may throw (std::bad_alloc).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "acumen/caching/learned_eviction.hpp"

namespace acumen::bindings {

class Eviction {
 public:
  using Policy = caching::LearnedEviction;
  static constexpr std::uint32_t kNone = 0xffffffffu;
  static constexpr double kObjectsMax = 1u << 24;

  /// objects: how many the cache may hold; infinite or unknown: the scale is found later.
  void configure(double objects, bool exact, std::uint64_t seed) noexcept {
    policy_.reset();
    objects_ = static_cast<std::uint32_t>(std::clamp(objects, 1.0, kObjectsMax));
    exact_ = exact && objects <= kObjectsMax;
    seed_ = seed;
    latest_ = kNone;
    full_count_ = 0;
    full_sum_ = 0;
    wait_ = 1;
  }

  bool started() const noexcept { return policy_ != nullptr; }
  void start() { policy_ = make(objects_); }

  void hit(std::uint32_t slot) {
    latest_ = slot;
    if (policy_) policy_->hit(slot);
  }
  /// A present key was given a new value.
  void set(std::uint32_t slot) {
    if (latest_ != slot) hit(slot);
  }
  /// An absent key is about to be inserted: one request.
  void miss(std::uint64_t hash) {
    latest_ = kNone;
    if (policy_) policy_->miss(hash);
  }
  void insert(std::uint32_t slot, std::uint64_t hash) {
    if (policy_) policy_->insert(slot, hash);
    latest_ = slot;
  }
  void evict(std::uint32_t slot) {
    forget(slot);
    if (policy_) policy_->evict(slot);
  }
  void erase(std::uint32_t slot) {
    forget(slot);
    if (policy_) policy_->erase(slot);
  }
  /// Needs started() and at least one resident.
  std::uint32_t victim() { return policy_->victim(); }

  /// To be asked whenever the cache is full: is the scale so far off that it pays to start anew?
  bool misjudged(std::size_t residents) noexcept {
    if (exact_) return false;
    full_sum_ += static_cast<double>(residents);
    if (++full_count_ < wait_) return false;
    const double mean = full_sum_ / static_cast<double>(full_count_);
    wait_ = std::max<std::uint64_t>(16, 8 * static_cast<std::uint64_t>(mean));
    full_count_ = 0;
    full_sum_ = 0;
    const double known = std::clamp(mean, 1.0, kObjectsMax);
    if (known > 0.25 * objects_ && known < 4.0 * objects_) return false;
    suggestion_ = static_cast<std::uint32_t>(known);
    return true;
  }
  /// each(visit) calls visit(slot, hash) for every resident. All or nothing.
  template <typename Each>
  void start_anew(std::uint32_t objects, Each&& each) {
    auto fresh = make(objects);
    each([&](std::uint32_t slot, std::uint64_t hash) {
      fresh->miss(hash);
      fresh->insert(slot, hash);
    });
    policy_ = std::move(fresh);
    objects_ = objects;
  }
  std::uint32_t suggestion() const noexcept { return suggestion_; }
  std::size_t bytes() const { return policy_ ? policy_->metadata_bytes() : 0; }

 private:
  std::unique_ptr<Policy> make(std::uint32_t objects) const {
    Policy::Options options;
    options.bypass = false;  // what was just set must be found
    return std::make_unique<Policy>(objects, seed_, options);
  }
  void forget(std::uint32_t slot) noexcept {
    if (latest_ == slot) latest_ = kNone;
  }

  std::unique_ptr<Policy> policy_;
  std::uint32_t objects_ = 1;
  bool exact_ = true;
  std::uint64_t seed_ = 0;
  std::uint32_t latest_ = kNone;
  std::uint32_t suggestion_ = 1;
  std::uint64_t full_count_ = 0;
  std::uint64_t wait_ = 1;
  double full_sum_ = 0;
};

}  // namespace acumen::bindings
