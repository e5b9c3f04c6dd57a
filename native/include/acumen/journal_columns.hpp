// Events from the journal's ring as columns, ready to be written down.
//
// Idea       The consumer takes a batch of events out of the ring, counts rows and text, takes one
//            piece of memory and lays the columns out in it, the way Arrow wants them: a bitmap of
//            what is there, and the values. Jumps in the events' numbers become rows of kind kGap,
//            so that the numbers of rows in a journal have no holes that nobody speaks of.
// Guarantee  A batch's memory is a small multiple of its events' own. Values that are not there are
//            zero, NaN is "not there": equal events give equal bytes, and so an equal checksum.
// Layout     Columns in the order of kColumns, then the context's fields (double), the features
//            (float) and the metrics (double). Checksum: CRC-32 of four 64-bit words (first number,
//            last number, rows, 0), then column by column the bitmap, if something is missing, and
//            the values (text: offsets, bytes).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "acumen/crc32.hpp"
#include "acumen/decision_ring.hpp"
#include "acumen/guard.hpp"
#include "acumen/journal_event.hpp"
#include "acumen/journal_ring.hpp"

namespace acumen {

/// Where a column lies in its batch's memory. Text has its offsets in `data` and bytes in `text`.
struct ColumnPlace {
  std::size_t valid = 0, nulls = 0, data = 0, bytes = 0, text = 0, text_bytes = 0;
};

struct JournalBatch {
  std::vector<unsigned char> memory;
  std::vector<ColumnPlace> columns;
  std::uint64_t rows = 0, first = 0, last = 0;  ///< numbers of the events in it, gaps included
  std::uint32_t checksum = 0;
  bool all = false;  ///< nothing was waiting any more
};

class JournalColumns {
 public:
  /// The fixed columns; their order is part of the format.
  enum Column : std::uint8_t {
    kSequence,
    kTime,
    kKind,
    kReplica,
    kId,
    kArm,
    kSuggested,
    kDefaultArm,
    kPropensity,
    kLearnedShare,
    kReason,
    kModelVersion,
    kUsable,
    kFate,
    kEpisode,
    kStep,
    kField,
    kNumber,
    kText,
    kFixed
  };

  JournalColumns(std::uint32_t fields, std::uint32_t features, std::uint32_t metrics,
                 std::uint32_t replica)
      : fields_(fields), features_(features), metrics_(metrics), replica_(replica) {
    bits_.assign(kWidths.begin(), kWidths.end());
    bits_.insert(bits_.end(), fields, 64);
    bits_.insert(bits_.end(), features, 32);
    bits_.insert(bits_.end(), metrics, 64);
  }

  /// Takes at most about `words_max` words of events. No rows: there was nothing.
  JournalBatch take(JournalRing& ring, std::size_t words_max, std::uint64_t now_ns) {
    events_.clear();
    const JournalRing::Seen seen = ring.collect(events_, words_max);
    JournalBatch batch;
    batch.all = seen.all;
    batch.first = last_ + 1;
    const std::uint64_t newest = measure(batch);
    // Nothing is left, and yet there was something: dropped, with no event behind it so far.
    const bool trailing = seen.all && seen.sequence > newest;
    batch.rows += trailing;
    if (batch.rows == 0) return batch;
    lay_out(batch);
    fill(batch, now_ns);
    if (trailing) {
      gap(batch, seen.sequence, now_ns);
      last_ = seen.sequence;
    }
    batch.last = last_;
    finish(batch);
    return batch;
  }

 private:
  static constexpr std::array<std::uint8_t, kFixed> kWidths = {
      64, 64, 8, 32, 64, 32, 32, 32, 32, 32, 8, 64, 1, 8, 64, 32, 32, 64, 32};

  static bool has_text(EventKind kind) { return kind > EventKind::kCandidate; }

  /// Counts rows and bytes of text; returns the last event's number.
  std::uint64_t measure(JournalBatch& batch) {
    std::uint64_t last = last_;
    text_bytes_ = 0;
    for (std::size_t i = 0; i < events_.size();) {
      const EventHeader header = EventHeader::unpack(events_[i]);
      batch.rows += events_[i + 1] > last + 1 ? 2 : 1;
      last = events_[i + 1];
      if (has_text(header.kind)) text_bytes_ += events_[i + 6];
      i += header.words;
    }
    return last;
  }

  void lay_out(JournalBatch& batch) {
    std::size_t size = 0;
    const auto place = [&size](std::size_t bytes) {
      const std::size_t at = size;
      size += (bytes + 63) / 64 * 64;
      return at;
    };
    for (std::size_t c = 0; c < bits_.size(); ++c) {
      ColumnPlace column;
      column.nulls = batch.rows;
      column.valid = place((batch.rows + 7) / 8);
      column.bytes = c == kText ? 4 * (batch.rows + 1) : (batch.rows * bits_[c] + 7) / 8;
      column.data = place(column.bytes);
      column.text_bytes = c == kText ? text_bytes_ : 0;
      column.text = place(column.text_bytes);
      batch.columns.push_back(column);
    }
    batch.memory.assign(size, 0);
    row_ = 0;
    text_end_ = 0;
  }

  void fill(JournalBatch& batch, std::uint64_t now_ns) {
    for (std::size_t i = 0; i < events_.size();) {
      const std::uint64_t* event = events_.data() + i;
      if (event[1] > last_ + 1) gap(batch, event[1] - 1, now_ns);
      last_ = event[1];
      const EventHeader header = EventHeader::unpack(event[0]);
      start(batch, event[1], event[2], header.kind);
      switch (header.kind) {
        case EventKind::kDecision:
          decision(batch, header, event);
          break;
        case EventKind::kFeedback:
          set(batch, kId, event[3]);
          set(batch, kFate, header.mark);
          doubles(batch, kFixed + fields_ + features_, event + EventHeader::kWords, metrics_);
          break;
        case EventKind::kTimeout:
          set(batch, kId, event[3]);
          break;
        case EventKind::kCandidate:
          floats(batch, event + EventHeader::kWords);
          break;
        default:
          side(batch, event);
      }
      end(batch);
      i += header.words;
    }
  }

  void decision(JournalBatch& batch, const EventHeader& header, const std::uint64_t* event) {
    set(batch, kId, event[3]);
    set(batch, kModelVersion, event[4]);
    set_arm(batch, kArm, low_half(event[5]));
    set_arm(batch, kSuggested, high_half(event[5]));
    set(batch, kPropensity, low_half(event[6]));
    set(batch, kLearnedShare, high_half(event[6]));
    set_arm(batch, kDefaultArm, low_half(event[7]));
    if (event[8] != 0) {
      set(batch, kEpisode, event[8]);
      set(batch, kStep, high_half(event[7]));
    }
    set(batch, kReason, header.mark);
    set_bit(batch, kUsable, header.usable);
    doubles(batch, kFixed, event + kDecisionWords, fields_);
    if (header.words > kDecisionWords + fields_) floats(batch, event + kDecisionWords + fields_);
  }

  void side(JournalBatch& batch, const std::uint64_t* event) {
    set(batch, kField, low_half(event[4]));
    set(batch, kNumber, event[5]);
    const std::size_t size = event[6];
    if (size == 0) return;
    std::memcpy(batch.memory.data() + batch.columns[kText].text + text_end_, event + 7, size);
    text_end_ += size;
    there(batch, kText);
  }

  /// The events up to number `last` are missing.
  void gap(JournalBatch& batch, std::uint64_t last, std::uint64_t now_ns) {
    start(batch, last, now_ns, EventKind::kGap);
    set(batch, kNumber, last - last_);
    end(batch);
  }

  void start(JournalBatch& batch, std::uint64_t number, std::uint64_t time_ns, EventKind kind) {
    set(batch, kSequence, number);
    set(batch, kTime, time_ns / 1000);  // other programs know microseconds
    set(batch, kKind, static_cast<std::uint8_t>(kind));
    set(batch, kReplica, replica_);
  }

  void end(JournalBatch& batch) {
    row_ += 1;
    const auto offset = static_cast<std::uint32_t>(text_end_);
    std::memcpy(batch.memory.data() + batch.columns[kText].data + 4 * row_, &offset, 4);
  }

  void there(JournalBatch& batch, std::size_t column) {
    ColumnPlace& place = batch.columns[column];
    batch.memory[place.valid + row_ / 8] |= static_cast<unsigned char>(1u << row_ % 8);
    place.nulls -= 1;
  }

  /// The lower bytes of `value`, as many as the column is wide.
  void set(JournalBatch& batch, std::size_t column, std::uint64_t value) {
    const std::size_t bytes = bits_[column] / 8;
    std::memcpy(batch.memory.data() + batch.columns[column].data + row_ * bytes, &value, bytes);
    there(batch, column);
  }

  void set_arm(JournalBatch& batch, std::size_t column, std::uint32_t arm) {
    if (arm <= 0x7fffffff) set(batch, column, arm);
  }

  void set_bit(JournalBatch& batch, std::size_t column, bool value) {
    unsigned char& byte = batch.memory[batch.columns[column].data + row_ / 8];
    byte = static_cast<unsigned char>(byte | unsigned{value} << row_ % 8);
    there(batch, column);
  }

  void doubles(JournalBatch& batch, std::size_t column, const std::uint64_t* words,
               std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i)
      if (!std::isnan(std::bit_cast<double>(words[i]))) set(batch, column + i, words[i]);
  }

  void floats(JournalBatch& batch, const std::uint64_t* words) {
    for (std::uint32_t i = 0; i < features_; ++i) {
      const std::uint32_t bits = i % 2 ? high_half(words[i / 2]) : low_half(words[i / 2]);
      if (!std::isnan(std::bit_cast<float>(bits))) set(batch, kFixed + fields_ + i, bits);
    }
  }

  void finish(JournalBatch& batch) {
    const std::uint64_t head[] = {batch.first, batch.last, batch.rows, 0};
    Crc32 crc;
    crc.add(head, sizeof head);
    const unsigned char* memory = batch.memory.data();
    for (const ColumnPlace& column : batch.columns) {
      if (column.nulls > 0) crc.add_bits(memory + column.valid, batch.rows);
      crc.add(memory + column.data, column.bytes);
      crc.add(memory + column.text, column.text_bytes);
    }
    batch.checksum = crc.value();
  }

  std::uint32_t fields_, features_, metrics_, replica_;
  std::vector<std::uint8_t> bits_;  ///< width of every column's values
  std::vector<std::uint64_t> events_;
  std::uint64_t last_ = 0;  ///< number of the last event that was taken
  std::size_t row_ = 0, text_bytes_ = 0, text_end_ = 0;
};

}  // namespace acumen
