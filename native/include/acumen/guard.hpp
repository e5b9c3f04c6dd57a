// The guard: who is in charge of a decision, the learned policy or the default.
//
// Idea       Mode, canary share and kill switch live in one 64-bit word, so that switching is one
//            atomic store and looking is one atomic load: no decision sees half a switch.
// Guarantee  The holdback is permanent: in every mode the default keeps at least its share.
// Layout     bits 0-7 mode | 8 killed | 32-63 canary share as a float
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

namespace acumen {

enum class Mode : std::uint8_t { kOff = 0, kShadow = 1, kCanary = 2, kOn = 3 };

/// Why an arm was served. The names stand in reason_name(); the order is part of saved records.
enum class Reason : std::uint8_t {
  kLearned = 0,         ///< the learned policy was in charge
  kHoldback = 1,        ///< on, but this decision belongs to the default's permanent share
  kControl = 2,         ///< canary, and this decision stays with the default
  kShadow = 3,          ///< the learned policy decided in silence
  kOff = 4,             ///< switched off
  kKilled = 5,          ///< the kill switch is set
  kBadContext = 6,      ///< a value was missing, not finite, or of the wrong type
  kBusy = 7,            ///< another thread held the choice too long; not recorded
  kNoModel = 8,         ///< a model was to be loaded and could not be
  kLearnerFailed = 9,   ///< the learner raised, or its probabilities were unusable
  kDefaultFailed = 10,  ///< the heuristic raised or answered no arm: the first arm, for want of one
  kCount = 11,
};

/// Whether a decision with this reason is one to learn from.
constexpr bool teaches(Reason reason) {
  return reason != Reason::kOff && reason != Reason::kKilled && reason != Reason::kDefaultFailed;
}

/// Whether the arm is the default's by a mode or a coin: what the default does here, unselected.
constexpr bool demonstrates(Reason reason) {
  return reason == Reason::kHoldback || reason == Reason::kControl || reason == Reason::kShadow;
}

/// Why the default is served where the learned policy was asked and a coin fell otherwise.
constexpr Reason default_by_chance(Mode mode) {
  return mode == Mode::kOn       ? Reason::kHoldback
         : mode == Mode::kCanary ? Reason::kControl
                                 : Reason::kShadow;
}

constexpr const char* reason_name(Reason reason) {
  constexpr const char* names[] = {"learned",  "holdback",       "control",       "shadow",
                                   "off",      "killed",         "bad_context",   "busy",
                                   "no_model", "learner_failed", "default_failed"};
  return names[static_cast<std::uint8_t>(reason)];
}

class Guard {
 public:
  Guard(Mode mode, float canary_share, float holdback) : holdback_(holdback) {
    set(mode, canary_share);
  }

  void set(Mode mode, float canary_share) {
    std::uint64_t seen = word_.load(std::memory_order_relaxed);
    std::uint64_t wanted;
    do {
      wanted = (seen & kKilledBit) | static_cast<std::uint64_t>(mode) |
               static_cast<std::uint64_t>(std::bit_cast<std::uint32_t>(canary_share)) << 32;
    } while (!word_.compare_exchange_weak(seen, wanted, std::memory_order_acq_rel));
  }

  void kill() { word_.fetch_or(kKilledBit, std::memory_order_acq_rel); }
  void revive() { word_.fetch_and(~kKilledBit, std::memory_order_acq_rel); }

  struct View {
    Mode mode;
    bool killed;
    float canary_share;
    float learned_share;  ///< probability that the learned policy is in charge
  };

  View look() const {
    const std::uint64_t word = word_.load(std::memory_order_acquire);
    View view;
    view.mode = static_cast<Mode>(word & 0xff);
    view.killed = (word & kKilledBit) != 0;
    view.canary_share = std::bit_cast<float>(static_cast<std::uint32_t>(word >> 32));
    const float share = view.mode == Mode::kOn       ? 1.0f
                        : view.mode == Mode::kCanary ? view.canary_share
                                                     : 0.0f;
    view.learned_share = view.killed ? 0.0f : share * (1.0f - holdback_);
    return view;
  }

  float holdback() const { return holdback_; }

 private:
  static constexpr std::uint64_t kKilledBit = 1ULL << 8;

  std::atomic<std::uint64_t> word_{0};
  float holdback_;
};

}  // namespace acumen
