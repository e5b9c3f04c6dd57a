// CellTable: batches of look-ups. See range.hpp.
#pragma once

#include "acumen/index/fetch_ahead.hpp"
#include "cell_lanes.inl"

namespace acumen::ACUMEN_ISA {
namespace {

/// Four 16-bit numbers: those of the bits that are set.
constexpr U64 kBitsSet[1 << kLanes] = {
    0x0, 0x0,     0x1,     0x10000,     0x2,     0x20000,     0x20001,     0x200010000,
    0x3, 0x30000, 0x30001, 0x300010000, 0x30002, 0x300020000, 0x300020001, 0x3000200010000};

/// Look-ups in a rolling pipeline: queries read their root cells, kApart queries later their cells,
/// and as many later their lines. What the line does not decide is settled at the end, when the
/// line beside it has had time to arrive. No branch depends on a key.
template <class T, Spread::Kind kKind>
class Pipeline {
 public:
  Pipeline(const Lines& lines, bool unique, const CellTable& table, const Ordered<T>* query,
           U64* ranks)
      : table_(table), lines_(lines), unique_(unique), query_(query), ranks_(ranks) {}

  /// `count` is a multiple of kLanes.
  void run(SortedKeys keys, Size count) {
    constexpr Size kApart = InFlight::kApart;
    for (Size i = 0; i < count + 2 * kApart; i += kLanes) {
      if (i < count) aim(i);
      if (i >= kApart && i < count + kApart) predict(i - kApart);
      if (i >= 2 * kApart) rank(i - 2 * kApart);
    }
    for (Size k = 0; k < opened_; ++k) {
      const Size j = open_[k];
      ranks_[j] = settle<T>(keys, lines_, ranks_[j], query_[j]);
    }
  }

 private:
  static_assert(kBlock <= 1 << 16 && InFlight::kRing % kLanes == 0);

  ACUMEN_INLINE void aim(Size j) {
    const Size at = j % InFlight::kRing;
    take_aim<T, kKind>(table_, query_ + j, flight_, at);
    for (Size k = 0; k < kLanes; ++k)
      fetch_ahead(table_.cell + static_cast<U32>(flight_.packed[at + k]));
  }

  ACUMEN_INLINE void predict(Size j) {
    const Size at = j % InFlight::kRing;
    predict_ranks(table_, flight_, at);
    find_lines<T>(lines_, flight_, at);
    for (Size k = 0; k < kLanes; ++k) fetch_ahead(lines_.first - kLineBytes + flight_.line[at + k]);
  }

  ACUMEN_INLINE void rank(Size j) {
    const Size at = j % InFlight::kRing;
    const U32 unsure = read_lines<T>(lines_, unique_, query_ + j, flight_, at, ranks_ + j);
    const U64 opened = kBitsSet[unsure] + j * 0x1000100010001;
    __builtin_memcpy(open_ + opened_, &opened, sizeof(opened));
    opened_ += static_cast<Size>(__builtin_popcount(unsure));
    for (Size k = 0; k < kLanes; ++k) fetch_ahead(lines_.first - kLineBytes + flight_.line[at + k]);
  }

  // Copies, so that no store to ranks can be thought to change them.
  const CellTable table_;
  const Lines lines_;
  const bool unique_;
  const Ordered<T>* const query_;
  U64* const ranks_;
  Size opened_ = 0;
  InFlight flight_;
  std::uint16_t open_[kBlock + kLanes];
};

template <class T>
void by_cells(SortedKeys keys, const Lines& lines, bool unique, const CellTable& table,
              const void* ordered, Size count, U64* ranks) {
  const Ordered<T>* query = static_cast<const Ordered<T>*>(ordered);
  const bool linear = table.spread.kind == Spread::kLinear;
  const Size together = count < 2 * kLanes ? 0 : count / kLanes * kLanes;
  if (together > 0) {
    if (linear)
      Pipeline<T, Spread::kLinear>(lines, unique, table, query, ranks).run(keys, together);
    else
      Pipeline<T, Spread::kLogarithmic>(lines, unique, table, query, ranks).run(keys, together);
  }
  for (Size i = together; i < count; ++i) {
    ranks[i] = linear ? one_by_cells<T, Spread::kLinear>(keys, lines, unique, table, query[i])
                      : one_by_cells<T, Spread::kLogarithmic>(keys, lines, unique, table, query[i]);
  }
}

/// One raw query.
template <class T>
U64 rank_by_cells(SortedKeys keys, const Lines& lines, bool unique, const CellTable& table,
                  const void* raw, bool right) {
  const T query = *static_cast<const T*>(raw);
  if (right && std::is_integral_v<T> && order_key(query) == kLargest<T>) return keys.count;
  const Ordered<T> ordered = right ? order_after(query) : order_query(query);
  return table.spread.kind == Spread::kLinear
             ? one_by_cells<T, Spread::kLinear>(keys, lines, unique, table, ordered)
             : one_by_cells<T, Spread::kLogarithmic>(keys, lines, unique, table, ordered);
}

}  // namespace
}  // namespace acumen::ACUMEN_ISA
