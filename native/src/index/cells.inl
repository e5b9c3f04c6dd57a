// CellTable: how it predicts, and one look-up on its own. See range.hpp.
#pragma once

#include "search.inl"

namespace acumen::ACUMEN_ISA {
namespace {

constexpr U32 kCellsBits = 26;  // of the second word of a root cell, above 32 of `first`
constexpr U64 kCellsMax = (U64{1} << kCellsBits) - 1;

constexpr double kWhole = 0x1p52;  // what is added to it is rounded to its lowest bits

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
    return bits_of(away * spread.scale + kWhole) - bits_of(kWhole);
  } else {
    const U64 away = static_cast<U64>(static_cast<I64>(query)) - static_cast<U64>(spread.lowest);
    if constexpr (kKind == Spread::kLinear) return away;
    return bits_of(static_cast<double>(static_cast<I64>(away >> 1)) + spread.offset) - spread.base;
  }
}

/// Where a query lies among the root cells: root cell · 2^root_shift and a fraction of it.
template <class T, Spread::Kind kKind>
ACUMEN_INLINE U64 place(const Spread& spread, Ordered<T> query) {
  return ((coordinate<T, kKind>(spread, query) << spread.shift) >> 32) * spread.multiplier;
}

ACUMEN_INLINE Size root_of(const Spread& spread, U64 place) {
  return static_cast<Size>(place >> spread.root_shift);
}

/// How far into its root cell that is, in 2^-32.
ACUMEN_INLINE U64 fraction_of(const Spread& spread, U64 place) {
  return static_cast<U32>(place >> (spread.root_shift - 32));
}

ACUMEN_INLINE U64 cells_in(U64 packed) {
  return (packed >> 32) & kCellsMax;
}

/// The rank that the table believes in: keys before the root cell and `packed` are that one's,
/// `inside` is cell · 2^32 and a fraction of it, `pair` holds two entries of `cell`.
ACUMEN_INLINE U64 predicted(U64 before, U64 packed, U64 inside, const std::uint16_t* pair) {
  const U64 low = pair[0], share = static_cast<U32>(pair[1] - low) * U64{static_cast<U32>(inside)};
  return before + ((((low << 32) + share) << (packed >> (32 + kCellsBits))) >> 32);
}

template <class T, Spread::Kind kKind>
ACUMEN_INLINE U64 predict(const CellTable& table, Ordered<T> query) {
  const U64 where = place<T, kKind>(table.spread, query);
  const U64* root = table.root + 2 * root_of(table.spread, where);
  const U64 packed = root[1], inside = fraction_of(table.spread, where) * cells_in(packed);
  return predicted(root[0], packed, inside, table.cell + static_cast<U32>(packed) + (inside >> 32));
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

/// The rank of a query that is thought to be at the edge of two lines: it mostly lies in one of
/// them.
template <class T>
ACUMEN_INLINE U64 settle(SortedKeys keys, const Lines& lines, Size edge, Ordered<T> query) {
  constexpr Size kKeys = kLineKeys<T>;
  const Size line = (edge - lines.head) / kKeys;  // the second one
  if (line > 0 && line < lines.count) {
    const unsigned char* at = line_at<T>(lines, line);
    const Size first = below_in_line<T>(at - kLineBytes, query),
               second = below_in_line<T>(at, query);
    if (first > 0 && second < kKeys) return edge - kKeys + first + second;
  }
  return gallop<T>(keys, edge, query);
}

/// One look-up on its own would wait for its cell, and then for its line. The root cell alone knows
/// about where the line is: some lines there are on their way while the cell is.
template <class T, Spread::Kind kKind>
U64 one_by_cells(SortedKeys keys, const Lines& lines, bool unique, const CellTable& table,
                 Ordered<T> query) {
  const U64 where = place<T, kKind>(table.spread, query);
  const Size r = root_of(table.spread, where);
  const U64 before = table.root[2 * r];
  const U64 inside = (r + 1 < table.roots ? table.root[2 * r + 2] : keys.count) - before;
  const U64 guess = before + ((inside * fraction_of(table.spread, where)) >> 32);
  const unsigned char* near = line_at<T>(lines, line_of<T>(lines, guess));
  for (int beside = -3; beside <= 3; ++beside) __builtin_prefetch(near + beside * 64);
  const Size line = line_of<T>(lines, predict<T, kKind>(table, query));
  const unsigned char* at = line_at<T>(lines, line);
  const Size below = below_in_line<T>(at, query);
  const bool exact = unique && key_at<T>(at, 0) == query;
  if (below == kLineKeys<T> || (below == 0 && !exact))
    return settle<T>(keys, lines, lines.head + line * kLineKeys<T> + below, query);
  return lines.head + line * kLineKeys<T> + below;
}

}  // namespace
}  // namespace acumen::ACUMEN_ISA
