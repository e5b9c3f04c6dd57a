// The learned policy as a mapping needs it.
//
// Idea       The kernel hears of every request exactly once. A mapping's requests are lookups,
// sets,
//            or a lookup and a set. This class stands between them:
//            - A hit counts at once. A miss counts when the key is set, not when it is looked up:
//              lookups that nobody follows up cost nothing, and between a lookup and its set other
//              threads or recursive calls may miss as well.
//            - A set straight after a hit or a set of the same key is the same request.
// Guarantee  No Python. A policy that runs out of memory is dropped, not the cache's operation: it
//            starts anew, with the residents as its only memory, when a victim is needed. Only
//            functions not marked noexcept may throw (std::bad_alloc).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "acumen/caching/learned_eviction.hpp"

namespace acumen::bindings {

class Eviction {
 public:
  using Policy = caching::LearnedEviction;
  static constexpr std::uint32_t kNone = 0xffffffffu;
  /// A cache that may hold more than this may never be full: nobody needs to learn before it is.
  static constexpr double kObjectsMax = 1u << 24;

  void configure(bool sized, std::uint64_t seed) noexcept {
    policy_.reset();
    sized_ = sized;
    seed_ = seed;
    latest_ = kNone;
  }

  bool started() const noexcept { return policy_ != nullptr; }
  /// objects: how many the cache may hold; the policy corrects a wrong guess by itself.
  void start(double objects) noexcept {
    const double known = std::clamp(objects, 1.0, kObjectsMax);
    try {
      policy_ = make(static_cast<std::uint32_t>(known));
    } catch (...) {
      policy_.reset();
    }
  }
  /// each(visit) calls visit(slot, hash, size) for every resident. All or nothing.
  template <typename Each>
  void start_with(std::size_t objects, Each&& each) {
    const auto known = std::min(objects, static_cast<std::size_t>(kObjectsMax));
    auto fresh = make(static_cast<std::uint32_t>(known));
    each([&](std::uint32_t slot, std::uint64_t hash, double size) {
      fresh->insert(slot, hash, units(size));
    });
    policy_ = std::move(fresh);
  }

  void hit(std::uint32_t slot) noexcept {
    latest_ = slot;
    guard([&] { policy_->hit(slot); });
  }
  /// A present key was given a new value.
  void set(std::uint32_t slot) noexcept {
    if (latest_ != slot) hit(slot);
  }
  /// The same, and the size has changed: to leave as a ghost and come back is to be requested.
  void resize(std::uint32_t slot, std::uint64_t hash, double size) noexcept {
    guard([&] {
      policy_->evict(slot);
      policy_->insert(slot, hash, units(size));
    });
    latest_ = slot;
  }
  /// An absent key is about to be inserted: one request.
  void miss(std::uint64_t hash, double size) noexcept {
    latest_ = kNone;
    guard([&] { policy_->miss(hash, units(size)); });
  }
  void insert(std::uint32_t slot, std::uint64_t hash, double size) noexcept {
    latest_ = slot;
    guard([&] { policy_->insert(slot, hash, units(size)); });
  }
  void evict(std::uint32_t slot) noexcept {
    forget(slot);
    guard([&] { policy_->evict(slot); });
  }
  void erase(std::uint32_t slot) noexcept {
    forget(slot);
    guard([&] { policy_->erase(slot); });
  }
  /// Needs started() and at least one resident.
  std::uint32_t victim() {
    try {
      return policy_->victim();
    } catch (...) {
      policy_.reset();
      throw;
    }
  }
  std::size_t bytes() const noexcept { return policy_ ? policy_->metadata_bytes() : 0; }

 private:
  template <typename Body>
  void guard(Body&& body) noexcept {
    if (!policy_) return;
    try {
      body();
    } catch (...) {
      policy_.reset();
    }
  }
  std::unique_ptr<Policy> make(std::uint32_t objects) const {
    Policy::Options options;
    options.bypass = false;  // what was just set must be found
    options.sized = sized_;
    return std::make_unique<Policy>(objects, seed_, options);
  }
  static std::uint64_t units(double size) {
    return size < 1 ? 1 : size > 1e18 ? std::uint64_t{1} << 60 : static_cast<std::uint64_t>(size);
  }
  void forget(std::uint32_t slot) noexcept {
    if (latest_ == slot) latest_ = kNone;
  }

  std::unique_ptr<Policy> policy_;
  bool sized_ = false;
  std::uint64_t seed_ = 0;
  std::uint32_t latest_ = kNone;  // the slot of the latest request
};

}  // namespace acumen::bindings
