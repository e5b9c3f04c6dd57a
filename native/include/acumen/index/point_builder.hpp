// Filling a point table, at the speed of memory, and noticing every duplicate.
//
// Idea       Three passes. (1) Every key goes into its home line while there is room; the lines of
//            the keys ahead are being fetched meanwhile. (2) Who found no room goes into its second
//            line while there is room. (3) Each of the rest takes a place in its home line from
//            someone, who goes to his second line or, if that is full too, home again, and so on.
//            (To take places in second lines, too, would send twice as many keys away from home; it
//            is done when nothing else helps.) Whoever has no place waits in a queue until the line
//            that he goes to has been fetched, instead of walking through memory one miss after the
//            other.
// Guarantee  Equal keys share both lines. In passes 1 and 2 nobody moves, so the first of two equal
//            keys is met where it lies; the rest is sorted before pass 3, so that equal ones are
//            neighbours. Every key ends in one of its two lines, and if that is the second, then
//            the home's filter says so. A seed with which this takes too many steps is refused.
//
//            queue   [ who was pushed out | the line he goes to ]   line by line fetched ahead
//
// Paper      as point_buckets.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "acumen/index/point_buckets.hpp"

namespace acumen::index {

enum class Duplicates : std::uint8_t { kRefuse, kFirst, kLast };

struct BuildResult {
  enum class Status : std::uint8_t { kDone, kDuplicate, kCrowded } status = Status::kDone;
  std::uint64_t first = 0, second = 0;  ///< kDuplicate: two rows with the same key
  std::uint64_t keys = 0;               ///< different ones
  std::uint64_t away = 0;               ///< not in their home line
};

/// A column of words as a builder needs it.
template <class Home>
struct WordRows {
  using Line = WordLine;
  using Key = std::uint64_t;
  const WordColumn& column;
  Home home;

  Key key(std::uint64_t row) const { return column[row]; }
  Key key_at(const Line& line, std::uint32_t slot) const { return line.keys[slot]; }
  std::uint64_t hash(Key key, std::uint64_t seed) const { return hash_word(key, seed); }
  std::uint64_t home_of(Key key, std::uint64_t hash, std::uint64_t count) const {
    return home(key, hash, count);
  }
  void set(Line& line, std::uint32_t slot, Key key, std::uint64_t) const { line.keys[slot] = key; }
  /// Slots that may hold the key, as bits, and whether one of them does.
  std::uint32_t candidates(const Line& line, Key key, std::uint64_t) const {
    std::uint32_t mask = 0;
    for (std::uint32_t s = 0; s < Line::kSlots; ++s) mask |= (line.keys[s] == key ? 1u : 0u) << s;
    return mask;
  }
  bool equal(const Line&, std::uint32_t, Key) const { return true; }
  /// A total order in which equal keys are neighbours.
  bool less(std::uint64_t a, std::uint64_t b) const { return column[a] < column[b]; }
};

/// The same for keys that stay in their column, words or bytes, and of which a line has tags.
template <class Column>
struct TagRows {
  using Line = TagLine;
  using Key = std::uint64_t;  // the row
  const Column& column;

  Key key(std::uint64_t row) const { return row; }
  Key key_at(const Line& line, std::uint32_t slot) const { return line.positions[slot] - 1; }
  std::uint64_t hash(Key row, std::uint64_t seed) const { return hash_of(column[row], seed); }
  std::uint64_t home_of(Key, std::uint64_t hash, std::uint64_t count) const {
    return scaled(hash, count);
  }
  void set(Line& line, std::uint32_t slot, Key, std::uint64_t hash) const {
    line.tags[slot] = tag_of(hash);
  }
  std::uint32_t candidates(const Line& line, Key, std::uint64_t hash) const {
    std::uint32_t mask = 0;
    for (std::uint32_t s = 0; s < Line::kSlots; ++s) {
      mask |= (line.tags[s] == tag_of(hash) ? 1u : 0u) << s;
    }
    return mask;
  }
  bool equal(const Line& line, std::uint32_t slot, Key row) const {
    return column[line.positions[slot] - 1] == column[row];
  }
  bool less(std::uint64_t a, std::uint64_t b) const {
    if constexpr (std::is_same_v<Column, ByteColumn>) {
      const Bytes x = column[a], y = column[b];
      if (x.size != y.size) return x.size < y.size;
      return x.size > 0 && std::memcmp(x.data, y.data, x.size) < 0;
    } else {
      return column[a] < column[b];
    }
  }
};

template <class Rows>
class PointBuilder {
  using Line = typename Rows::Line;
  using Key = typename Rows::Key;

 public:
  /// `table` is empty; n < 2^32 - 1 rows.
  PointBuilder(const Rows& rows, PointTable<Line>& table, Duplicates duplicates)
      : rows_(rows), table_(table), duplicates_(duplicates) {}

  BuildResult build(std::uint64_t n) {
    if (fill_homes(n) && fill_seconds() && sort_rest()) push(n);
    return result_;
  }

 private:
  static constexpr std::size_t kAhead = 24;
  /// Rounds after which someone's place in a second line is taken: all who are at home in a line
  /// may have full second lines. Odd, because home and second lines alternate.
  static constexpr std::uint32_t kPatience = 11;

  /// A row on its way to a line, `home` or not.
  struct Visitor {
    Key key;
    std::uint64_t hash, line;
    std::uint32_t row;
    std::uint32_t round;  // how often someone was pushed in this chain
    bool home;
  };

  /// A row that found no room yet.
  struct Homeless {
    std::uint64_t hash;
    Key key;
    std::uint32_t row;
  };

  Visitor at_home(Key key, std::uint64_t hash, std::uint32_t row) const {
    return {key, hash, rows_.home_of(key, hash, table_.count), row, 0, true};
  }
  Visitor at_second(Key key, std::uint64_t hash, std::uint32_t row) const {
    Visitor it = at_home(key, hash, row);
    it.line = table_.second(hash, it.line);
    it.home = false;
    return it;
  }

  void write(Line& line, std::uint32_t slot, const Visitor& it) {
    rows_.set(line, slot, it.key, it.hash);
    line.positions[slot] = it.row + 1;
    result_.away += it.home ? 0 : 1;
  }

  /// False if duplicates are refused.
  bool meet(std::uint32_t& position, std::uint32_t row) {
    if (duplicates_ == Duplicates::kLast) position = row + 1;
    if (duplicates_ != Duplicates::kRefuse) return true;
    result_.status = BuildResult::Status::kDuplicate;
    result_.first = position - 1;
    result_.second = row;
    return false;
  }

  /// Slots are used from the first one on. Counted without a branch, which nobody could predict.
  static std::uint32_t used_slots(const Line& line) {
    std::uint32_t used = 0;
    for (const std::uint32_t position : line.positions) used += position != 0 ? 1 : 0;
    return used;
  }

  /// What came of a visit by someone who pushes nobody out.
  enum class Visit : std::uint8_t { kSettled, kFull, kRefused };
  Visit visit(const Visitor& it) {
    Line& line = table_.lines[it.line];
    const std::uint32_t used = used_slots(line);
    for (std::uint32_t same = rows_.candidates(line, it.key, it.hash) & ((1u << used) - 1);
         same != 0; same &= same - 1) {
      const auto slot = static_cast<std::uint32_t>(std::countr_zero(same));
      if (!rows_.equal(line, slot, it.key)) continue;
      return meet(line.positions[slot], it.row) ? Visit::kSettled : Visit::kRefused;
    }
    if (used < Line::kSlots) {
      write(line, used, it);
      ++result_.keys;
      return Visit::kSettled;
    }
    if (it.home) line.passed |= 1u << filter_bit(it.hash);
    return Visit::kFull;
  }

  /// Visits of `n` rows, whose lines are fetched ahead; those without room stay in rest_.
  template <class Prepare>
  bool visit_all(std::uint64_t n, Prepare prepare) {
    Visitor ahead[kAhead];
    std::vector<Homeless> full;
    for (std::uint64_t i = 0; i < n + kAhead; ++i) {
      Visitor& it = ahead[i % kAhead];
      if (i >= kAhead) {
        const Visit came = visit(it);
        if (came == Visit::kRefused) return false;
        if (came == Visit::kFull) full.push_back({it.hash, it.key, it.row});
      }
      if (i >= n) continue;
      it = prepare(i);
      __builtin_prefetch(&table_.lines[it.line], 1);
    }
    rest_.swap(full);
    return true;
  }

  bool fill_homes(std::uint64_t n) {
    return visit_all(n, [&](std::uint64_t row) {
      const Key key = rows_.key(row);
      return at_home(key, rows_.hash(key, table_.seed), static_cast<std::uint32_t>(row));
    });
  }
  bool fill_seconds() {
    return visit_all(rest_.size(), [&](std::uint64_t i) {
      return at_second(rest_[i].key, rest_[i].hash, rest_[i].row);
    });
  }

  /// Leaves one of equal keys in rest_. Equal keys have equal hashes; different ones hardly ever.
  bool sort_rest() {
    std::sort(rest_.begin(), rest_.end(), [](const Homeless& a, const Homeless& b) {
      return a.hash != b.hash ? a.hash < b.hash : a.row < b.row;
    });
    std::size_t left = 0;
    for (std::size_t begin = 0, end = 0; begin < rest_.size(); begin = end) {
      while (end < rest_.size() && rest_[end].hash == rest_[begin].hash) ++end;
      if (end - begin > 1) sort_equal_hashes(begin, end);
      for (std::size_t i = begin; i < end; ++i) {
        if (i == begin || rows_.less(rest_[left - 1].row, rest_[i].row)) {
          rest_[left++] = rest_[i];
          continue;
        }
        std::uint32_t position = rest_[left - 1].row + 1;
        if (!meet(position, rest_[i].row)) return false;
        if (position != rest_[left - 1].row + 1) rest_[left - 1] = rest_[i];
      }
    }
    rest_.resize(left);
    result_.keys += left;
    return true;
  }
  void sort_equal_hashes(std::size_t begin, std::size_t end) {
    const auto first = rest_.begin() + static_cast<std::ptrdiff_t>(begin);
    std::sort(first, rest_.begin() + static_cast<std::ptrdiff_t>(end),
              [&](const Homeless& a, const Homeless& b) {
                if (rows_.less(a.row, b.row)) return true;
                return !rows_.less(b.row, a.row) && a.row < b.row;
              });
  }

  void push(std::uint64_t n) {
    std::vector<Visitor> queue;
    queue.reserve(rest_.size());
    for (const Homeless& it : rest_) queue.push_back(at_second(it.key, it.hash, it.row));
    for (std::uint64_t steps = 0; !queue.empty(); steps += queue.size()) {
      if (steps > 16 * n + 4096) {
        result_.status = BuildResult::Status::kCrowded;
        return;
      }
      serve(queue);
    }
  }

  /// One turn of everyone in the queue; who has no place yet is left in it, or who was pushed out.
  void serve(std::vector<Visitor>& queue) {
    std::size_t left = 0;
    for (std::size_t i = 0; i < queue.size(); ++i) {
      if (i + kAhead < queue.size()) __builtin_prefetch(&table_.lines[queue[i + kAhead].line], 1);
      Visitor it = queue[i];
      Line& line = table_.lines[it.line];
      std::uint32_t slot = used_slots(line);
      if (slot < Line::kSlots) {
        write(line, slot, it);
        continue;
      }
      const std::uint32_t round = it.round + 1;
      if (it.home || it.round % kPatience == kPatience - 1) {
        slot = static_cast<std::uint32_t>(scaled(hash_word(it.row, it.round), Line::kSlots));
        it = push_out(line, slot, it);
      } else {
        it = at_home(it.key, it.hash, it.row);
      }
      it.round = round;
      queue[left++] = it;
    }
    queue.resize(left);
  }

  /// `it` takes the place of someone, who goes to his second line, or home if he was not.
  Visitor push_out(Line& line, std::uint32_t slot, const Visitor& it) {
    const std::uint32_t row = line.positions[slot] - 1;
    const Key key = rows_.key_at(line, slot);
    Visitor pushed = at_home(key, rows_.hash(key, table_.seed), row);
    if (pushed.line == it.line) {
      line.passed |= 1u << filter_bit(pushed.hash);
      pushed = at_second(key, pushed.hash, row);
    } else {
      --result_.away;
    }
    write(line, slot, it);
    return pushed;
  }

  const Rows& rows_;
  PointTable<Line>& table_;
  Duplicates duplicates_;
  BuildResult result_;
  std::vector<Homeless> rest_;
};

}  // namespace acumen::index
