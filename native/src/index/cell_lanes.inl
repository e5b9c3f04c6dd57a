// CellTable: four queries at a time on their way to their ranks. See range.hpp.
#pragma once

#include "cells.inl"

namespace acumen::ACUMEN_ISA {
namespace {

/// Queries that advance together.
constexpr Size kLanes = 4;

/// What is known of queries on their way.
struct alignas(32) InFlight {
  static constexpr Size kApart = 64, kRing = 128;
  U64 before[kRing];  // as in `predicted`
  U64 inside[kRing];
  U64 packed[kRing];  // plus the cell's number: the lower half is its place in the table
  U64 line[kRing];    // in bytes, from the one before the first
};

#if defined(__AVX2__)
ACUMEN_INLINE __m256i four(U64 value) {
  return _mm256_set1_epi64x(static_cast<I64>(value));
}

ACUMEN_INLINE __m256i load_four(const U64* from) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
}

ACUMEN_INLINE void store_four(U64* to, __m256i values) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(to), values);
}

ACUMEN_INLINE __m256i shifted_left(__m256i values, U64 by) {
  return _mm256_sll_epi64(values, _mm_cvtsi64_si128(static_cast<I64>(by)));
}

ACUMEN_INLINE __m256i shifted_right(__m256i values, U64 by) {
  return _mm256_srl_epi64(values, _mm_cvtsi64_si128(static_cast<I64>(by)));
}

/// Doubles of `ordered` floats.
template <class T>
ACUMEN_INLINE __m256d doubles(__m256i ordered) {
  const __m256i low = four(static_cast<U64>(kLargest<Ordered<T>>));
  const __m256i negative = _mm256_cmpgt_epi64(_mm256_setzero_si256(), ordered);
  const __m256i bits = _mm256_xor_si256(ordered, _mm256_and_si256(negative, low));
  if constexpr (sizeof(T) == 8) return _mm256_castsi256_pd(bits);
  const __m256i even = _mm256_permutevar8x32_epi32(bits, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
  return _mm256_cvtps_pd(_mm_castsi128_ps(_mm256_castsi256_si128(even)));
}

/// The doubles nearest to integers below 2^63: the halves' doubles are exact, the sum is rounded.
ACUMEN_INLINE __m256d doubles(__m256i wide) {
  const __m256d high_unit = _mm256_set1_pd(0x1p84), both = _mm256_set1_pd(0x1p84 + 0x1p52);
  const __m256i high = _mm256_or_si256(_mm256_srli_epi64(wide, 32), _mm256_castpd_si256(high_unit));
  const __m256i unit = _mm256_castpd_si256(_mm256_set1_pd(0x1p52));
  const __m256i low = _mm256_blend_epi32(wide, unit, 0xAA);
  return _mm256_add_pd(_mm256_sub_pd(_mm256_castsi256_pd(high), both), _mm256_castsi256_pd(low));
}

/// `coordinate` of four queries.
template <class T, Spread::Kind kKind>
ACUMEN_INLINE __m256i coordinates(const Spread& spread, const Ordered<T>* query) {
  __m256i q;
  if constexpr (sizeof(T) == 8)
    q = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query));
  else
    q = _mm256_cvtepi32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(query)));
  const __m256i lowest = four(static_cast<U64>(spread.lowest));
  const __m256i highest = four(static_cast<U64>(spread.highest));
  q = _mm256_blendv_epi8(q, lowest, _mm256_cmpgt_epi64(lowest, q));
  q = _mm256_blendv_epi8(q, highest, _mm256_cmpgt_epi64(q, highest));
  __m256d away;
  if constexpr (std::is_floating_point_v<T>) {
    away = _mm256_mul_pd(doubles<T>(q), _mm256_set1_pd(0.5));
    away = _mm256_sub_pd(away, _mm256_set1_pd(spread.origin));
    if constexpr (kKind == Spread::kLinear) {
      const __m256d whole = _mm256_set1_pd(kWhole);
      away = _mm256_add_pd(_mm256_mul_pd(away, _mm256_set1_pd(spread.scale)), whole);
      return _mm256_sub_epi64(_mm256_castpd_si256(away), _mm256_castpd_si256(whole));
    }
  } else {
    q = _mm256_sub_epi64(q, lowest);
    if constexpr (kKind == Spread::kLinear) return q;
    away = doubles(_mm256_srli_epi64(q, 1));
  }
  const __m256d shown = _mm256_add_pd(away, _mm256_set1_pd(spread.offset));
  return _mm256_sub_epi64(_mm256_castpd_si256(shown), four(spread.base));
}

/// Four queries and their root cells.
template <class T, Spread::Kind kKind>
ACUMEN_INLINE void take_aim(const CellTable& table, const Ordered<T>* query, InFlight& flight,
                            Size at) {
  const Spread& spread = table.spread;
  const __m256i filled = shifted_left(coordinates<T, kKind>(spread, query), spread.shift);
  const __m256i where = _mm256_mul_epu32(_mm256_srli_epi64(filled, 32), four(spread.multiplier));
  const __m256i fraction = shifted_right(where, spread.root_shift - 32);
  const __m256i root = shifted_right(where, spread.root_shift);
  const auto pair = [&](I64 r) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(table.root) + r);
  };
  const __m128i high = _mm256_extracti128_si256(root, 1);
  const __m256i even =
      _mm256_set_m128i(pair(_mm_cvtsi128_si64(high)), pair(_mm256_extract_epi64(root, 0)));
  const __m256i odd =
      _mm256_set_m128i(pair(_mm_extract_epi64(high, 1)), pair(_mm256_extract_epi64(root, 1)));
  const __m256i packed = _mm256_unpackhi_epi64(even, odd);
  const __m256i cells = _mm256_and_si256(_mm256_srli_epi64(packed, 32), four(kCellsMax));
  const __m256i inside = _mm256_mul_epu32(fraction, cells);
  store_four(flight.before + at, _mm256_unpacklo_epi64(even, odd));
  store_four(flight.inside + at, inside);
  store_four(flight.packed + at, _mm256_add_epi64(packed, _mm256_srli_epi64(inside, 32)));
}

/// Four queries and their cells: `before` becomes the rank that the table believes in.
ACUMEN_INLINE void predict_ranks(const CellTable& table, InFlight& flight, Size at) {
  const auto pair = [&](Size k) {
    std::uint32_t both;
    __builtin_memcpy(&both, table.cell + static_cast<U32>(flight.packed[at + k]), sizeof(both));
    return static_cast<I64>(both);
  };
  const __m256i pairs = _mm256_setr_epi64x(pair(0), pair(1), pair(2), pair(3));
  const __m256i low = _mm256_and_si256(pairs, four(0xFFFF));
  const __m256i within = _mm256_sub_epi64(_mm256_srli_epi64(pairs, 16), low);
  const __m256i share = _mm256_mul_epu32(within, load_four(flight.inside + at));
  const __m256i unit = _mm256_srli_epi64(load_four(flight.packed + at), 32 + kCellsBits);
  const __m256i units = _mm256_add_epi64(_mm256_slli_epi64(low, 32), share);
  const __m256i keys = _mm256_srli_epi64(_mm256_sllv_epi64(units, unit), 32);
  store_four(flight.before + at, _mm256_add_epi64(keys, load_four(flight.before + at)));
}

/// Four believed ranks and their lines.
template <class T>
ACUMEN_INLINE void find_lines(const Lines& lines, InFlight& flight, Size at) {
  const __m256i rank = load_four(flight.before + at);
  constexpr int kKeyBits = sizeof(T) == 8 ? 3 : 4;
  const __m256i from_before = _mm256_add_epi64(rank, four(kLineKeys<T> - lines.head));
  const __m256i line = _mm256_srli_epi64(from_before, kKeyBits);
  const __m256i inner = _mm256_min_epu32(_mm256_max_epu32(line, four(1)), four(lines.count));
  store_four(flight.line + at, _mm256_slli_epi64(inner, 6));
}

/// The lanes of four vectors summed, negated.
ACUMEN_INLINE __m256i negated_sums(const __m256i* v) {
  const __m256i a =
      _mm256_add_epi64(_mm256_unpacklo_epi64(v[0], v[1]), _mm256_unpackhi_epi64(v[0], v[1]));
  const __m256i b =
      _mm256_add_epi64(_mm256_unpacklo_epi64(v[2], v[3]), _mm256_unpackhi_epi64(v[2], v[3]));
  const __m256i sums = _mm256_add_epi64(_mm256_permute2x128_si256(a, b, 0x20),
                                        _mm256_permute2x128_si256(a, b, 0x31));
  return _mm256_sub_epi64(_mm256_setzero_si256(), sums);
}

/// The first lanes of four vectors.
ACUMEN_INLINE __m256i firsts(const __m256i* v) {
  return _mm256_permute2x128_si256(_mm256_unpacklo_epi64(v[0], v[1]),
                                   _mm256_unpacklo_epi64(v[2], v[3]), 0x20);
}

/// Four queries and their lines: their ranks if those decide, as a bit for each says that does not;
/// then `line` is the one beside.
template <class T>
ACUMEN_INLINE U32 read_lines(const Lines& lines, bool unique, const Ordered<T>* query,
                             InFlight& flight, Size at, U64* ranks) {
  __m256i below[kLanes], same[kLanes];
  for (Size k = 0; k < kLanes; ++k) {
    const unsigned char* line = lines.first - kLineBytes + flight.line[at + k];
    const __m256i low = load_ordered<T>(line), high = load_ordered<T>(line + 32);
    if constexpr (sizeof(T) == 8) {
      const __m256i q = _mm256_set1_epi64x(query[k]);
      below[k] = _mm256_add_epi64(_mm256_cmpgt_epi64(q, low), _mm256_cmpgt_epi64(q, high));
      same[k] = _mm256_cmpeq_epi64(q, low);
    } else {
      const __m256i q = _mm256_set1_epi32(query[k]);
      const __m256i both =
          _mm256_add_epi32(_mm256_cmpgt_epi32(q, low), _mm256_cmpgt_epi32(q, high));
      const __m256i counts = _mm256_sub_epi32(_mm256_setzero_si256(), both);
      const __m256i pairs = _mm256_add_epi64(counts, _mm256_srli_epi64(counts, 32));
      below[k] =
          _mm256_sub_epi64(_mm256_setzero_si256(), _mm256_and_si256(pairs, four(0xFFFFFFFF)));
      same[k] = _mm256_shuffle_epi32(_mm256_cmpeq_epi32(q, low), 0);
    }
  }
  const __m256i count = negated_sums(below), line = load_four(flight.line + at);
  const __m256i exact = _mm256_and_si256(firsts(same), four(U64{0} - U64{unique}));
  const __m256i up = _mm256_cmpeq_epi64(count, four(kLineKeys<T>));
  const __m256i none = _mm256_cmpeq_epi64(count, _mm256_setzero_si256());
  const __m256i down = _mm256_andnot_si256(exact, none);
  const __m256i first = _mm256_add_epi64(_mm256_srli_epi64(line, sizeof(T) == 8 ? 3 : 2),
                                         four(lines.head - kLineKeys<T>));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(ranks), _mm256_add_epi64(first, count));
  store_four(flight.line + at,
             _mm256_add_epi64(line, _mm256_slli_epi64(_mm256_sub_epi64(down, up), 6)));
  const __m256i unsure = _mm256_or_si256(up, down);
  return static_cast<U32>(_mm256_movemask_pd(_mm256_castsi256_pd(unsure)));
}
#else
template <class T, Spread::Kind kKind>
ACUMEN_INLINE void take_aim(const CellTable& table, const Ordered<T>* query, InFlight& flight,
                            Size at) {
  for (Size k = 0; k < kLanes; ++k) {
    const U64 where = place<T, kKind>(table.spread, query[k]);
    const U64* root = table.root + 2 * root_of(table.spread, where);
    const U64 inside = fraction_of(table.spread, where) * cells_in(root[1]);
    flight.before[at + k] = root[0];
    flight.inside[at + k] = inside;
    flight.packed[at + k] = root[1] + (inside >> 32);
  }
}

ACUMEN_INLINE void predict_ranks(const CellTable& table, InFlight& flight, Size at) {
  for (Size k = at; k < at + kLanes; ++k) {
    const std::uint16_t* pair = table.cell + static_cast<U32>(flight.packed[k]);
    flight.before[k] = predicted(flight.before[k], flight.packed[k], flight.inside[k], pair);
  }
}

template <class T>
ACUMEN_INLINE void find_lines(const Lines& lines, InFlight& flight, Size at) {
  for (Size k = at; k < at + kLanes; ++k)
    flight.line[k] = (line_of<T>(lines, flight.before[k]) + 1) * kLineBytes;
}

template <class T>
ACUMEN_INLINE U32 read_lines(const Lines& lines, bool unique, const Ordered<T>* query,
                             InFlight& flight, Size at, U64* ranks) {
  U32 unsure = 0;
  for (Size k = 0; k < kLanes; ++k) {
    U64& line = flight.line[at + k];
    const unsigned char* keys = lines.first - kLineBytes + line;
    const Size below = below_in_line<T>(keys, query[k]);
    const bool up = below == kLineKeys<T>;
    const bool down = (below == 0) & !(unique & (key_at<T>(keys, 0) == query[k]));
    ranks[k] = lines.head - kLineKeys<T> + line / sizeof(T) + below;
    line += (Size{up} - Size{down}) * kLineBytes;
    unsure |= static_cast<U32>(up | down) << k;
  }
  return unsure;
}
#endif

}  // namespace
}  // namespace acumen::ACUMEN_ISA
