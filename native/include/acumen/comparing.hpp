// Feeding the holdback's comparison from the ring, in the order in which decisions were made.
//
// Idea       Were decisions compared as their feedback arrives, the side that hears later would lag
//            behind its time, and a change of level in the world would pass for a difference
//            between the two. So a cursor goes through the ring and waits at the first decision
//            whose fate is open; one that is pushed out or timed out without a reward is counted as
//            lost on its side.
// Guarantee  Every decision with a coin toss is compared once, or counted as lost once.
#pragma once

#include <cmath>
#include <cstdint>

#include "acumen/confidence.hpp"
#include "acumen/decision_ring.hpp"

namespace acumen {

/// Takes the oldest decision that was not compared yet, whatever its fate.
inline void compare_oldest(DecisionRing& ring, HoldbackComparison& comparison) {
  const Entry& entry = ring.entry(ring.uncompared());
  const double share = static_cast<double>(entry.learned_share);
  if (std::isnan(entry.reward)) {
    comparison.lose(entry.learned, share);
  } else {
    comparison.observe(entry.learned, share, entry.reward);
  }
  ring.pass();
}

/// Takes at most `most` decisions, up to the first that still waits for its feedback.
inline void compare_in_order(DecisionRing& ring, HoldbackComparison& comparison,
                             std::uint64_t most) {
  for (; most > 0; --most) {
    const std::size_t slot = ring.uncompared();
    if (slot == ring.capacity()) return;
    const Entry& entry = ring.entry(slot);
    if (entry.state == EntryState::kWaiting &&
        HoldbackComparison::tossed(static_cast<double>(entry.learned_share)))
      return;
    compare_oldest(ring, comparison);
  }
}

}  // namespace acumen
