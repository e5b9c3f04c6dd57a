// CellTable: how its root cells are laid out, and how its cells are filled. See range.hpp.
#pragma once

#include "cell_lanes.inl"

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

/// The first key from `begin` on that lies in a later root cell than `root`; it is thought to be
/// about as far away as it would be among even keys.
template <class T>
Size past_root(SortedKeys keys, const Spread& spread, Size roots, Size root, Size begin) {
  const auto inside = [&](Size i) {
    return root_of(spread, place_of<T>(spread, key_at<T>(keys.data, i))) <= root;
  };
  Size low = begin, step = keys.count / roots + 1;
  while (keys.count - low > step && inside(low + step)) {
    low += step + 1;
    step *= 2;
  }
  Size length = keys.count - low > step ? step : keys.count - low;
  while (length > 0) {
    const Size half = length / 2;
    const bool below = inside(low + half);
    low = below ? low + half + 1 : low;
    length = below ? length - half - 1 : half;
  }
  return low;
}

template <class T>
Size plan_cells(SortedKeys keys, const Spread& spread, Size roots, U64* root) {
  Size begin = 0, entries = 0;
  for (Size r = 0; r < roots; ++r) {
    const Size end = r + 1 == roots ? keys.count : past_root<T>(keys, spread, roots, r, begin);
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

/// Calls visit(i, ordered, flight) for the keys [begin, end), four at a time: i … i + 3, ordered,
/// on their way to their cells. What is missing at the end is the last key once more.
template <class T, Spread::Kind kKind, class Visit>
ACUMEN_INLINE void each_four(SortedKeys keys, const CellTable& table, Size begin, Size end,
                             Visit visit) {
  constexpr Size kChunk = 512;
  Ordered<T> ordered[kChunk];
  InFlight flight;
  for (; begin < end; begin += kChunk) {
    const Size count = end - begin < kChunk ? end - begin : kChunk;
    for (Size i = 0; i < count; ++i) ordered[i] = key_at<T>(keys.data, begin + i);
    for (Size i = count; i % kLanes != 0; ++i) ordered[i] = ordered[count - 1];
    for (Size i = 0; i < count; i += kLanes) {
      take_aim<T, kKind>(table, ordered + i, flight, 0);
      visit(begin + i, ordered + i, flight);
    }
  }
}

/// The cells of the keys [begin, end), which are one root cell's.
template <class T, Spread::Kind kKind>
void fill_root(SortedKeys keys, const CellTable& table, Size begin, Size end, U64 packed,
               std::uint16_t* cell) {
  std::uint16_t* const first = cell + static_cast<U32>(packed);
  const U64 cells = cells_in(packed), unit = packed >> (32 + kCellsBits);
  for (U64 j = 0; j <= cells; ++j) first[j] = 0;
  each_four<T, kKind>(keys, table, begin, end,
                      [&](Size i, const Ordered<T>*, const InFlight& flight) {
                        for (Size k = 0; k < kLanes; ++k) {
                          const Size past = i + k < end ? i + k + 1 : end;
                          cell[static_cast<U32>(flight.packed[k]) + 1] =
                              static_cast<std::uint16_t>((past - begin) >> unit);
                        }
                      });
  for (U64 j = 1; j <= cells; ++j) first[j] = first[j] < first[j - 1] ? first[j - 1] : first[j];
}

/// What a look-up of any query can be wrong by, and how often the line of a key is not the right
/// one. Keys come in their order, root cell by root cell.
template <class T, Spread::Kind kKind>
class Errors {
 public:
  Errors(SortedKeys keys, const Lines& lines)
      : keys_(keys), lines_(lines), previous_(~key_at<T>(keys.data, 0)) {}

  void look(const CellTable& table, Size begin, Size end) {
    Errors now = *this;  // can lie in registers
    each_four<T, kKind>(keys_, table, begin, end,
                        [&](Size i, const Ordered<T>* ordered, InFlight& flight) {
                          predict_ranks(table, flight, 0);
                          now.add(i, end, ordered, flight);
                        });
    *this = now;
  }

  void end(CellTable& table) const {
    const I64 beyond = static_cast<I64>(keys_.count) - guess_[kLanes - 1];
    table.error_low = 0;
    table.error_high = beyond > 0 ? beyond : 0;
    table.wrong_lines = 0;
    for (Size k = 0; k < kLanes; ++k) {
      table.error_low = low_[k] < table.error_low ? low_[k] : table.error_low;
      table.error_high = high_[k] > table.error_high ? high_[k] : table.error_high;
      table.wrong_lines += static_cast<U64>(wrong_[k]);
    }
  }

 private:
  typedef I64 Four __attribute__((vector_size(32)));

  ACUMEN_INLINE void add(Size i, Size end, const Ordered<T>* key, InFlight& flight) {
    Size start[kLanes];  // of the run of equal keys
    for (Size k = 0; k < kLanes; ++k) {
      start_ = key[k] != previous_ ? i + k : start_;
      start[k] = start_;
      previous_ = key[k];
    }
    for (Size k = 0; k < kLanes; ++k) flight.before[kLanes + k] = start[k];
    find_lines<T>(lines_, flight, 0);
    find_lines<T>(lines_, flight, kLanes);
    const auto load = [](const U64* from) { return *reinterpret_cast<const Four*>(from); };
    const Four guess = load(flight.before), right = load(flight.before + kLanes);
    const Four before = {guess_[kLanes - 1], guess[0], guess[1], guess[2]};
    const Four here = right - guess, gap = right - before;  // gap: of what lies between two keys
    low_ = here < low_ ? here : low_;
    high_ = gap > high_ ? gap : high_;
    const Four wrong = load(flight.line) != load(flight.line + kLanes);
    const Four there = Four{0, 1, 2, 3} < static_cast<I64>(end - i);
    wrong_ -= wrong & there;
    guess_ = guess;
  }

  SortedKeys keys_;
  Lines lines_;
  Four low_ = {}, high_ = {}, wrong_ = {};
  Four guess_ = {};  // for the keys before
  Size start_ = 0;
  Ordered<T> previous_;
};

/// The errors of a root cell's keys are found right after its cells, while they are in the caches.
template <class T, Spread::Kind kKind>
void fill_table(SortedKeys keys, const Lines& lines, CellTable& table, std::uint16_t* cell) {
  Errors<T, kKind> errors(keys, lines);
  for (Size r = 0; r < table.roots; ++r) {
    const Size begin = table.root[2 * r];
    const Size end = r + 1 < table.roots ? table.root[2 * r + 2] : keys.count;
    fill_root<T, kKind>(keys, table, begin, end, table.root[2 * r + 1], cell);
    errors.look(table, begin, end);
  }
  errors.end(table);
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
