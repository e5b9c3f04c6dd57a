// CellTable: how its root cells are laid out, and how its cells are filled. See range.hpp.
#pragma once

#include "cells.inl"

namespace acumen::ACUMEN_ISA {
namespace {

/// The coordinate of the highest key, spread over `roots` root cells.
template <class T>
void fit_roots(Spread& spread, Size roots) {
  const Ordered<T> highest = static_cast<Ordered<T>>(spread.highest);
  const U64 most = spread.kind == Spread::kLinear
                       ? coordinate<T, Spread::kLinear>(spread, highest)
                       : coordinate<T, Spread::kLogarithmic>(spread, highest);
  spread.shift = most == 0 ? 0 : static_cast<U64>(__builtin_clzll(most));
  spread.root_shift = 63;
  while (roots > U64{1} << (63 - spread.root_shift)) --spread.root_shift;
  // Rounded down, so that the last one is inside; less than 2^32.
  const U64 beyond = ((most << spread.shift) >> 32) + 1;
  const U128 all = static_cast<U128>(roots) << spread.root_shift;
  spread.multiplier = most == 0 ? 0 : static_cast<U64>(all / beyond);
}

template <class T>
Spread fit_spread(SortedKeys keys, Spread::Kind kind, Size roots) {
  Spread spread{};
  spread.kind = kind;
  spread.root_shift = 63;
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
    const double scale = 0x1p51 / range;
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
ACUMEN_INLINE U64 place_of(const Spread& spread, Ordered<T> query) {
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
      const U64 where = place_of<T>(spread, key_at<T>(keys.data, end + half));
      const bool inside = root_of(spread, where) <= r;
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
  const U64 cells = cells_in(packed);
  const U32 unit = static_cast<U32>(packed >> (32 + kCellsBits));
  for (U64 j = 0; j <= cells; ++j) cell[j] = 0;
  for (Size i = begin; i < end; ++i) {
    const U64 where = place<T, kKind>(spread, key_at<T>(keys.data, i));
    const Size j = (fraction_of(spread, where) * cells) >> 32;
    cell[j + 1] = static_cast<std::uint16_t>((i + 1 - begin) >> unit);
  }
  for (U64 j = 1; j <= cells; ++j) cell[j] = cell[j] < cell[j - 1] ? cell[j - 1] : cell[j];
}

/// What a look-up of any query can be wrong by, and how often the line of a key is not the right
/// one.
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
