// A journal's events, straight from the ring, applied to another engine.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "acumen/history.hpp"
#include "acumen/journal_event.hpp"
#include "acumen/replay.hpp"
#include "learner_zoo.hpp"

namespace acumen {

inline std::uint64_t stopped_clock() {
  return 1'700'000'000'000'000'000;
}

/// All that a snapshot has of an engine, but for the times of its decisions.
inline std::vector<unsigned char> whole_state(ChoiceEngine& engine) {
  StateBuffer buffer;
  History history(engine);
  history.visit_model(buffer);
  std::vector<double> times;
  engine.ring().each([&](std::size_t slot) {
    times.push_back(engine.ring().entry(slot).time_s);
    engine.ring().entry(slot).time_s = 0.0;
  });
  // Only time-outs look for the oldest that waits, and a replay has none of its own.
  const std::uint64_t oldest = std::exchange(engine.ring().cursors().oldest, 1);
  // Until its feedback comes, a slot holds the metrics of the decision that it had before.
  history.visit(buffer);
  engine.ring().cursors().oldest = oldest;
  std::size_t i = 0;
  engine.ring().each([&](std::size_t slot) { engine.ring().entry(slot).time_s = times[i++]; });
  return buffer.bytes();
}

/// Applies events as collect() gives them; `on_objective` gets the text of changed objectives.
inline void replay_words(const std::vector<std::uint64_t>& words, ChoiceEngine& engine,
                         const std::function<void(const std::string&)>& on_objective) {
  const std::uint32_t fields = engine.schema().fields();
  const std::uint32_t features = engine.options().shape.features;
  for (std::size_t at = 0; at < words.size();) {
    const std::uint64_t* event = words.data() + at;
    const EventHeader header = EventHeader::unpack(event[0]);
    at += header.words;
    if (header.kind == EventKind::kObjective) {
      on_objective(std::string(reinterpret_cast<const char*>(event + 7), event[6]));
      continue;
    }
    Replay replay(engine);
    std::vector<double> values;
    std::vector<float> floats;
    const auto take_floats = [&](std::size_t first) {
      for (std::uint32_t i = 0; i < features; ++i) {
        const std::uint64_t word = event[first + i / 2];
        floats.push_back(std::bit_cast<float>(i % 2 ? high_half(word) : low_half(word)));
      }
    };
    if (header.kind == EventKind::kDecision) {
      PastDecision past;
      past.id = event[3], past.version = event[4], past.arm = low_half(event[5]);
      past.propensity = std::bit_cast<float>(low_half(event[6]));
      past.learned_share = std::bit_cast<float>(high_half(event[6]));
      past.reason = header.mark, past.usable = header.usable;
      for (std::uint32_t i = 0; i < fields; ++i)
        values.push_back(std::bit_cast<double>(event[kDecisionWords + i]));
      past.row = values.data();
      if (header.words > kDecisionWords + fields) {
        take_floats(kDecisionWords + fields);
        past.features = floats.data();
      }
      EXPECT(replay.decision(past));
    } else if (header.kind == EventKind::kFeedback) {
      for (std::uint32_t i = EventHeader::kWords; i < header.words; ++i)
        values.push_back(std::bit_cast<double>(event[i]));
      EXPECT(static_cast<std::uint8_t>(replay.feedback(event[3], values.data())) == header.mark);
    } else if (header.kind == EventKind::kTimeout) {
      EXPECT(replay.timed_out(event[3]));
    } else if (header.kind == EventKind::kCandidate) {
      take_floats(EventHeader::kWords);
      replay.candidate(floats.data());
    } else if (header.kind == EventKind::kSeen) {
      replay.seen(low_half(event[4]), event[5]);
    }
  }
}

}  // namespace acumen
