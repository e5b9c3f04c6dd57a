// Where the engine tells its journal what happens.
//
// Idea       The engine calls these while it holds its own lock, so that the ring gets events in
//            the engine's order, from one producer at a time. What time it is comes from a function
//            that the program hands in, because kernels have no clocks.
// Guarantee  A call copies a few hundred bytes and never fails: what finds no room is dropped and
//            counted by the ring.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "acumen/choice_types.hpp"
#include "acumen/journal_event.hpp"
#include "acumen/journal_ring.hpp"
#include "acumen/lesson_memory.hpp"

namespace acumen {

class JournalHook {
 public:
  using Clock = std::uint64_t (*)();  ///< nanoseconds since 1970
  static constexpr std::size_t kTextMax = 1 << 16;

  /// features: of a candidate; 0 where arms are fixed.
  JournalHook(const std::vector<Field>& fields, std::uint32_t metrics, std::uint32_t features,
              std::shared_ptr<JournalRing> ring, Clock clock)
      : ring_(std::move(ring)),
        clock_(clock),
        fields_(static_cast<std::uint32_t>(fields.size())),
        metrics_(metrics),
        features_(features),
        codes_(fields.size()) {
    for (std::uint32_t i = 0; i < fields_; ++i)
      if (fields[i].kind == FieldKind::kCategory) categories_.push_back(i);
  }

  JournalRing& ring() { return *ring_; }
  std::uint64_t sequence() const { return ring_->sequence(); }
  LessonMemory& lessons() { return lessons_; }

  /// Around Schema::meet, which marks in the row what was never seen before.
  void before_meeting(const double* row) {
    for (const std::uint32_t i : categories_) codes_[i] = row[i];
  }
  void met(const double* row) {
    for (const std::uint32_t i : categories_)
      if (row[i] > codes_[i]) text(EventKind::kSeen, {}, i, static_cast<std::uint64_t>(codes_[i]));
  }

  void decision(const Question& question, bool usable, float share, const Answer& answer) {
    // A bad set of candidates has no arm, and the ring of decisions may hold another's features.
    const bool taken = question.candidates && answer.arm < question.candidate_count;
    const std::uint32_t features = taken ? features_ : 0;
    const std::uint32_t words = kDecisionWords + fields_ + (features + 1) / 2;
    const auto mark = static_cast<std::uint8_t>(answer.reason);
    if (!begin({EventKind::kDecision, mark, usable, words}, answer.id)) return;
    ring_->put(answer.version);
    ring_->put(pair_of(answer.arm, answer.suggested));
    ring_->put(pair_of(answer.propensity, share));
    ring_->put(pair_of(question.default_arm, question.step));
    ring_->put(question.episode);
    put(question.row, fields_);
    if (taken) put(question.candidates + answer.arm * features, features);
    ring_->commit();
  }

  /// `taught`: by an episode, before it.
  void feedback(std::uint64_t id, const double* values, FeedbackResult fate, bool taught = false) {
    const auto mark = static_cast<std::uint8_t>(fate);
    if (begin({EventKind::kFeedback, mark, false, EventHeader::kWords + metrics_}, id)) {
      put(values, metrics_);
      ring_->commit();
    }
    const auto kind = taught ? LessonMemory::Kind::kCounted : LessonMemory::Kind::kFeedback;
    if (fate == FeedbackResult::kLearned) lessons_.add({ring_->sequence(), id, kind});
  }

  void timed_out(std::uint64_t id) {
    if (begin({EventKind::kTimeout}, id)) ring_->commit();
    lessons_.add({ring_->sequence(), id, LessonMemory::Kind::kTimedOut});
  }

  void candidates(const float* rows, std::size_t count) {
    const std::uint32_t words = EventHeader::kWords + (features_ + 1) / 2;
    for (std::size_t i = 0; i < count; ++i) {
      if (!begin({EventKind::kCandidate, 0, false, words}, 0)) continue;
      put(rows + i * features_, features_);
      ring_->commit();
    }
  }

  /// Everything else: a text (of at most kTextMax bytes; more is cut off), a field, a number.
  void text(EventKind kind, std::string_view text, std::uint32_t field = 0,
            std::uint64_t number = 0) {
    text = text.substr(0, kTextMax);
    const auto size = static_cast<std::uint32_t>(text.size());
    if (!begin({kind, 0, false, kTextWords + (size + 7) / 8}, 0)) return;
    ring_->put(field);
    ring_->put(number);
    ring_->put(size);
    for (std::size_t i = 0; i < text.size(); i += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, text.data() + i, std::min<std::size_t>(8, text.size() - i));
      ring_->put(word);
    }
    ring_->commit();
  }

 private:
  bool begin(const EventHeader& header, std::uint64_t id) {
    const std::uint64_t number = ring_->begin(header.words);
    if (number == 0) return false;
    ring_->put(header.pack());
    ring_->put(number);
    ring_->put(clock_());
    ring_->put(id);
    return true;
  }

  void put(const double* values, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) ring_->put(std::bit_cast<std::uint64_t>(values[i]));
  }
  void put(const float* values, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; i += 2)
      ring_->put(pair_of(values[i], i + 1 < count ? values[i + 1] : 0.0f));
  }

  std::shared_ptr<JournalRing> ring_;
  Clock clock_;
  std::uint32_t fields_, metrics_, features_;
  std::vector<std::uint32_t> categories_;
  std::vector<double> codes_;
  LessonMemory lessons_;
};

}  // namespace acumen
