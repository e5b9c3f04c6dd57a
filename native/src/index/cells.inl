// CellTable: how it predicts, how it is looked up, and how it is filled. See range.hpp.
#pragma once

#include "search.inl"

namespace acumen::ACUMEN_ISA {
namespace {

constexpr U32 kCellsBits = 26;  // of the second word of a root cell, above 32 of `first`
constexpr U64 kCellsMax = (U64{1} << kCellsBits) - 1;

ACUMEN_INLINE U64 bits_of(double value) {
  U64 bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits;
}

/// Rises with the query; 0 at the lowest key.
template <class T, Spread::Kind kKind>
ACUMEN_INLINE U64 coordinate(const Spread& spread, Ordered<T> query) {
  const Ordered<T> lowest = static_cast<Ordered<T>>(spread.lowest);
  const Ordered<T> highest = static_cast<Ordered<T>>(spread.highest);
  query = query < lowest ? lowest : query;
  query = query > highest ? highest : query;
  if constexpr (std::is_floating_point_v<T>) {
    const double away = static_cast<double>(unordered<T>(query)) * 0.5 - spread.origin;
    if constexpr (kKind == Spread::kLogarithmic) return bits_of(away + spread.offset) - spread.base;
    return static_cast<U64>(static_cast<I64>(away * spread.scale));
  } else {
    const U64 away = static_cast<U64>(static_cast<I64>(query)) - static_cast<U64>(spread.lowest);
    if constexpr (kKind == Spread::kLinear) return away;
    return bits_of(static_cast<double>(static_cast<I64>(away >> 1)) + spread.offset) - spread.base;
  }
}

/// Root cell in the upper half, fraction of it in the lower one.
template <class T, Spread::Kind kKind>
ACUMEN_INLINE U128 place(const Spread& spread, Ordered<T> query) {
  return static_cast<U128>(coordinate<T, kKind>(spread, query) << spread.shift) * spread.multiplier;
}

/// A query on its way: which cell, and how far into it.
struct Aim {
  U64 rank;                   // keys before the root cell
  const std::uint16_t* cell;  // keys of the root cell before the cell, and before the next
  U64 fraction;               // of the cell, in 2^-32
  U64 unit;
};

template <class T, Spread::Kind kKind>
ACUMEN_INLINE void take_aim(const CellTable& table, Ordered<T> query, Aim& aim) {
  const U128 where = place<T, kKind>(table.spread, query);
  const U64* root = table.root + 2 * static_cast<Size>(where >> 64);
  const U64 packed = root[1];
  const U128 inside = static_cast<U128>(static_cast<U64>(where)) * ((packed >> 32) & kCellsMax);
  aim.rank = root[0];
  aim.cell = table.cell + static_cast<U32>(packed) + static_cast<U64>(inside >> 64);
  aim.fraction = static_cast<U64>(inside) >> 32;
  aim.unit = packed >> (32 + kCellsBits);
}

/// The rank that the table believes in.
ACUMEN_INLINE U64 predicted(const Aim& aim) {
  const U64 before = aim.cell[0], inside = aim.cell[1] - before;
  return aim.rank + (before << aim.unit) + (((inside * aim.fraction) << aim.unit) >> 32);
}

template <class T, Spread::Kind kKind>
ACUMEN_INLINE U64 predict(const CellTable& table, Ordered<T> query) {
  Aim aim;
  take_aim<T, kKind>(table, query, aim);
  return predicted(aim);
}

template <class T>
ACUMEN_INLINE Size line_of(const Lines& lines, U64 rank) {
  const Size past = rank < lines.head ? 0 : (rank - lines.head) / kLineKeys<T>;
  return past < lines.count ? past : lines.count - 1;
}

template <class T>
ACUMEN_INLINE const unsigned char* line_at(const Lines& lines, Size line) {
  return lines.first + line * kLineBytes;
}

/// The rank of a query of which the keys of one line did not say enough: none of them was below it,
/// or all were. The next line in that direction mostly does.
template <class T>
U64 settle(SortedKeys keys, const Lines& lines, Size line, Size below, Ordered<T> query) {
  constexpr Size kKeys = kLineKeys<T>;
  const bool up = below == kKeys;
  const Size next = up ? line + 1 : line - 1;
  if (next < lines.count) {  // line − 1 of the first line wraps round
    const Size count = below_in_line<T>(line_at<T>(lines, next), query);
    if (up ? count < kKeys : count > 0) return lines.head + next * kKeys + count;
    line = next;
    below = count;
  }
  return gallop<T>(keys, lines.head + line * kKeys + below, query);
}

/// One look-up on its own would wait for its cell, and then for its line. The root cell alone knows
/// about where the line is: some lines there are on their way while the cell is.
template <class T, Spread::Kind kKind>
U64 one_by_cells(SortedKeys keys, const Lines& lines, bool unique, const CellTable& table,
                 Ordered<T> query) {
  const U128 where = place<T, kKind>(table.spread, query);
  const Size r = static_cast<Size>(where >> 64);
  const U64 before = table.root[2 * r];
  const U64 inside = (r + 1 < table.roots ? table.root[2 * r + 2] : keys.count) - before;
  const U128 past = static_cast<U128>(inside) * static_cast<U64>(where);
  const U64 guess = before + static_cast<U64>(past >> 64);
  const unsigned char* near = line_at<T>(lines, line_of<T>(lines, guess));
  for (int beside = -2; beside <= 2; ++beside) __builtin_prefetch(near + beside * 64);
  const Size line = line_of<T>(lines, predict<T, kKind>(table, query));
  const unsigned char* at = line_at<T>(lines, line);
  const Size below = below_in_line<T>(at, query);
  const bool exact = unique && key_at<T>(at, 0) == query;
  if (below == kLineKeys<T> || (below == 0 && !exact))
    return settle<T>(keys, lines, line, below, query);
  return lines.head + line * kLineKeys<T> + below;
}

/// Look-ups in a rolling pipeline: a query reads its root cell, kApart queries later its cell, and
/// as many later its line. What the line does not decide is settled at the end, when the line beside
/// it has had time to arrive. No branch depends on a key.
template <class T, Spread::Kind kKind>
class Pipeline {
 public:
  Pipeline(const Lines& lines, bool unique, const CellTable& table, const Ordered<T>* query,
           U64* ranks)
      : table_(table), lines_(lines), unique_(unique), query_(query), ranks_(ranks) {}

  void run(SortedKeys keys, Size count) {
    Size i = 0;
    for (; i < 2 * kApart && i < count + 2 * kApart; ++i) step(i, count);
    for (; i < count; ++i) {
      aim(i);
      predict(i - kApart);
      rank(i - 2 * kApart);
    }
    for (; i < count + 2 * kApart; ++i) step(i, count);
    for (Size k = 0; k < opened_; ++k) {
      const Size j = open_[k], line = open_line_[k];
      const Size below = ranks_[j] - lines_.head - line * kLineKeys<T>;
      ranks_[j] = settle<T>(keys, lines_, line, below, query_[j]);
    }
  }

 private:
  static constexpr Size kApart = 16, kRing = 32;
  static_assert(kRing >= 2 * kApart && kBlock <= 1 << 16);

  /// At the ends not all stages have a query.
  void step(Size i, Size count) {
    if (i < count) aim(i);
    if (i >= kApart && i < count + kApart) predict(i - kApart);
    if (i >= 2 * kApart) rank(i - 2 * kApart);
  }

  ACUMEN_INLINE void aim(Size j) {
    Aim& next = aims_[j % kRing];  // written in place: copied, its parts would wait for each other
    take_aim<T, kKind>(table_, query_[j], next);
    __builtin_prefetch(next.cell);
  }

  ACUMEN_INLINE void predict(Size j) {
    const Size line = line_of<T>(lines_, predicted(aims_[j % kRing]));
    __builtin_prefetch(line_at<T>(lines_, line));
    line_[j % kRing] = static_cast<U32>(line);
  }

  ACUMEN_INLINE void rank(Size j) {
    const Size line = line_[j % kRing];
    const unsigned char* at = line_at<T>(lines_, line);
    const Size below = below_in_line<T>(at, query_[j]);
    const bool up = below == kLineKeys<T>;
    const bool exact = unique_ & (key_at<T>(at, 0) == query_[j]);
    const bool unsure = up | ((below == 0) & !exact);
    ranks_[j] = lines_.head + line * kLineKeys<T> + below;
    open_[opened_] = static_cast<std::uint16_t>(j);
    open_line_[opened_] = static_cast<U32>(line);
    opened_ += unsure;
    __builtin_prefetch(unsure ? (up ? at + kLineBytes : at - kLineBytes) : at);
  }

  // Copies, so that no store to ranks can be thought to change them.
  const CellTable table_;
  const Lines lines_;
  const bool unique_;
  const Ordered<T>* const query_;
  U64* const ranks_;
  Size opened_ = 0;
  Aim aims_[kRing];
  U32 line_[kRing];
  std::uint16_t open_[kBlock + 1];
  U32 open_line_[kBlock + 1];
};

template <class T>
void by_cells(SortedKeys keys, const Lines& lines, bool unique, const CellTable& table,
              const void* ordered, Size count, U64* ranks) {
  const Ordered<T>* query = static_cast<const Ordered<T>*>(ordered);
  const bool linear = table.spread.kind == Spread::kLinear;
  if (count >= 8) {
    if (linear)
      return Pipeline<T, Spread::kLinear>(lines, unique, table, query, ranks).run(keys, count);
    return Pipeline<T, Spread::kLogarithmic>(lines, unique, table, query, ranks).run(keys, count);
  }
  for (Size i = 0; i < count; ++i) {
    ranks[i] =
        linear ? one_by_cells<T, Spread::kLinear>(keys, lines, unique, table, query[i])
               : one_by_cells<T, Spread::kLogarithmic>(keys, lines, unique, table, query[i]);
  }
}

/// The coordinate of the highest key, spread over `roots` root cells.
template <class T>
void fit_roots(Spread& spread, Size roots) {
  const Ordered<T> highest = static_cast<Ordered<T>>(spread.highest);
  const U64 most = spread.kind == Spread::kLinear
                       ? coordinate<T, Spread::kLinear>(spread, highest)
                       : coordinate<T, Spread::kLogarithmic>(spread, highest);
  spread.shift = most == 0 ? 0 : static_cast<U64>(__builtin_clzll(most));
  const U128 beyond = (static_cast<U128>(most) + 1) << spread.shift;
  // roots · 2^64 / beyond, where `beyond` may be 2^64; rounded down, so that the last one is inside.
  spread.multiplier = most == 0 ? 0 : static_cast<U64>((static_cast<U128>(roots) << 64) / beyond);
}

template <class T>
Spread fit_spread(SortedKeys keys, Spread::Kind kind, Size roots) {
  Spread spread{};
  spread.kind = kind;
  Size first = 0, last = keys.count - 1;
  if constexpr (std::is_floating_point_v<T>) {  // infinities are looked up as if they were finite
    const T largest = std::numeric_limits<T>::max();
    first = gallop<T>(keys, 0, order_query(-largest));
    const Size end = gallop<T>(keys, last, order_after(largest));
    if (first >= end) first = end > 0 ? end - 1 : 0;
    last = end > first ? end - 1 : first;
    const T only = static_cast<const T*>(keys.data)[first];
    if (only - only != 0) return spread;  // infinities alone: everything is at coordinate 0
  }
  spread.lowest = key_at<T>(keys.data, first);
  spread.highest = key_at<T>(keys.data, last);
  // Where the smallest keys stop to lie evenly: below that the logarithm is nearly linear.
  const Ordered<T> low = key_at<T>(keys.data, first + (last - first) / 256);
  if constexpr (std::is_floating_point_v<T>) {
    const auto half = [&](I64 key) {
      return static_cast<double>(unordered<T>(static_cast<Ordered<T>>(key))) * 0.5;
    };
    spread.origin = half(spread.lowest);
    const double range = half(spread.highest) - spread.origin;
    const double scale = 0x1p62 / range;
    spread.scale = range > 0 && scale < 0x1p1000 ? scale : 0;
    const double near = half(low) - spread.origin, least = range * 0x1p-52;
    spread.offset = near > least ? near : (least > 0x1p-1000 ? least : 0x1p-1000);
  } else {
    const U64 near = static_cast<U64>(static_cast<I64>(low)) - static_cast<U64>(spread.lowest);
    spread.offset = static_cast<double>(near >> 1) + 1;
  }
  spread.base = bits_of(spread.offset);
  fit_roots<T>(spread, roots);
  return spread;
}

template <class T>
ACUMEN_INLINE U128 place_of(const Spread& spread, Ordered<T> query) {
  return spread.kind == Spread::kLinear ? place<T, Spread::kLinear>(spread, query)
                                        : place<T, Spread::kLogarithmic>(spread, query);
}

template <class T>
Size plan_cells(SortedKeys keys, const Spread& spread, Size roots, U64* root) {
  Size begin = 0, entries = 0;
  for (Size r = 0; r < roots; ++r) {
    Size end = begin, length = r + 1 == roots ? 0 : keys.count - begin;
    while (length > 0) {  // the first key of a later root cell
      const Size half = length / 2;
      const U128 where = place_of<T>(spread, key_at<T>(keys.data, end + half));
      const bool inside = static_cast<Size>(where >> 64) <= r;
      end = inside ? end + half + 1 : end;
      length = inside ? length - half - 1 : half;
    }
    if (r + 1 == roots) end = keys.count;
    const Size inside = end - begin;
    Size cells = (inside + kCellKeys - 1) / kCellKeys;
    cells = cells < 1 ? 1 : (cells > kCellsMax ? kCellsMax : cells);
    U64 unit = 0;
    while (inside >> unit > 65535) ++unit;
    if (unit > 15 || entries > std::numeric_limits<U32>::max() - cells) return 0;
    root[2 * r] = begin;
    root[2 * r + 1] = unit << (32 + kCellsBits) | cells << 32 | entries;
    entries += cells + 1;
    begin = end;
  }
  return entries;
}

/// The cells of the keys [begin, end), which are one root cell's.
template <class T, Spread::Kind kKind>
void fill_root(SortedKeys keys, const Spread& spread, Size begin, Size end, U64 packed,
               std::uint16_t* cell) {
  const U64 cells = (packed >> 32) & kCellsMax;
  const U32 unit = static_cast<U32>(packed >> (32 + kCellsBits));
  for (U64 j = 0; j <= cells; ++j) cell[j] = 0;
  for (Size i = begin; i < end; ++i) {
    const U64 inside = static_cast<U64>(place<T, kKind>(spread, key_at<T>(keys.data, i)));
    const Size j = static_cast<Size>((static_cast<U128>(inside) * cells) >> 64);
    cell[j + 1] = static_cast<std::uint16_t>((i + 1 - begin) >> unit);
  }
  for (U64 j = 1; j <= cells; ++j) cell[j] = cell[j] < cell[j - 1] ? cell[j - 1] : cell[j];
}

/// What a look-up of any query can be wrong by, and how often the line of a key is not the right one.
template <class T, Spread::Kind kKind>
void measure(SortedKeys keys, const Lines& lines, CellTable& table) {
  I64 low = 0, high = 0;
  U64 wrong = 0;
  Size start = 0;  // of the run of equal keys
  U64 before = 0;  // the prediction for the key before
  Ordered<T> previous = 0;
  for (Size i = 0; i < keys.count; ++i) {
    const Ordered<T> key = key_at<T>(keys.data, i);
    const bool fresh = i == 0 || key != previous;
    const U64 guess = predict<T, kKind>(table, key);
    start = fresh ? i : start;
    const I64 here = static_cast<I64>(start - guess);
    const I64 gap = fresh && i > 0 ? static_cast<I64>(i - before) : here;
    low = here < low ? here : low;
    high = here > high ? here : high;
    high = gap > high ? gap : high;
    wrong += line_of<T>(lines, guess) != line_of<T>(lines, start);
    previous = key;
    before = guess;
  }
  const I64 beyond = static_cast<I64>(keys.count - before);
  table.error_low = low;
  table.error_high = beyond > high ? beyond : high;
  table.wrong_lines = wrong;
}

template <class T, Spread::Kind kKind>
void fill_table(SortedKeys keys, const Lines& lines, CellTable& table, std::uint16_t* cell) {
  for (Size r = 0; r < table.roots; ++r) {
    const Size end = r + 1 < table.roots ? table.root[2 * r + 2] : keys.count;
    const U64 packed = table.root[2 * r + 1];
    fill_root<T, kKind>(keys, table.spread, table.root[2 * r], end, packed,
                        cell + static_cast<U32>(packed));
  }
  measure<T, kKind>(keys, lines, table);
}

template <class T>
void fill_cells(SortedKeys keys, const Lines& lines, CellTable& table, std::uint16_t* cell) {
  if (table.spread.kind == Spread::kLinear)
    fill_table<T, Spread::kLinear>(keys, lines, table, cell);
  else
    fill_table<T, Spread::kLogarithmic>(keys, lines, table, cell);
}

}  // namespace
}  // namespace acumen::ACUMEN_ISA
