// The events of a journal, as words in its ring.
//
// Idea       Everything that changes a model, or tells what a model was asked, is an event: whoever
//            applies the events in order has the model again, bit for bit (replay.hpp).
// Layout     word 0   kind (8 bits) | mark (8) | usable (8) | 0 (8) | size in words (32)
//            word 1   the event's number
//            word 2   time, nanoseconds since 1970
//            word 3   the decision's id, or 0
//            decision   4 model version | 5 arm, suggested | 6 propensity, learned share (floats)
//                       7 default arm, step | 8 episode | row (doubles) | features of the arm
//                       (floats, two a word); mark is the reason
//            feedback   metrics (doubles); mark is its fate (FeedbackResult)
//            candidate  features (floats, two a word)
//            others     4 field, 0 | 5 number | 6 length of the text | the text, padded with zeros
//            Two 32-bit values in a word: the first in the lower half.
#pragma once

#include <bit>
#include <cstdint>

namespace acumen {

/// The order is part of journals on disk; see KINDS in core/journal_format.py.
enum class EventKind : std::uint8_t {
  kDecision = 0,
  kFeedback = 1,
  kTimeout = 2,    ///< the decision counts as lost from here on
  kCandidate = 3,  ///< an arm's features that the first scales are chosen from
  kSeen = 4,       ///< a category's code (number) appears for the first time in a field
  kName = 5,       ///< the text behind a code
  kObjective = 6,  ///< another objective, or old lessons forgotten; the text describes it
  kMode = 7,       ///< another mode; the text describes it
  kStart = 8,      ///< a stream begins; the text says what the model holds already
  kLoad = 9,       ///< a model file was loaded, likewise
  kReplay = 10,    ///< a journal was replayed, likewise
  kNote = 11,      ///< whatever somebody wanted to be on record
  kGap = 12,       ///< `number` events up to this one are missing; written by the consumer
  kEpisode = 13,   ///< a sequence of decisions is over; the text has ids and rewards
  kCount = 14,
};

/// What the first words of an event say.
struct EventHeader {
  static constexpr std::uint32_t kWords = 4;

  EventKind kind = EventKind::kNote;
  std::uint8_t mark = 0;
  bool usable = false;
  std::uint32_t words = kWords;

  std::uint64_t pack() const {
    return static_cast<std::uint64_t>(kind) | std::uint64_t{mark} << 8 |
           std::uint64_t{usable} << 16 | std::uint64_t{words} << 32;
  }
  static EventHeader unpack(std::uint64_t word) {
    return {static_cast<EventKind>(word & 0xff), static_cast<std::uint8_t>(word >> 8),
            (word >> 16 & 1) != 0, static_cast<std::uint32_t>(word >> 32)};
  }
};

/// Words of a decision before its row, and of an event with text before the text.
inline constexpr std::uint32_t kDecisionWords = 9, kTextWords = 7;

constexpr std::uint64_t pair_of(std::uint32_t low, std::uint32_t high) {
  return low | std::uint64_t{high} << 32;
}
constexpr std::uint64_t pair_of(float low, float high) {
  return pair_of(std::bit_cast<std::uint32_t>(low), std::bit_cast<std::uint32_t>(high));
}
constexpr std::uint32_t low_half(std::uint64_t word) {
  return static_cast<std::uint32_t>(word);
}
constexpr std::uint32_t high_half(std::uint64_t word) {
  return static_cast<std::uint32_t>(word >> 32);
}

}  // namespace acumen
