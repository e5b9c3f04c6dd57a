// Keys as ordered integers, one at a time and a line at a time. Compiled once for each instruction
// set, in a namespace of its own: lanes.inl says why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "acumen/index/ordered.hpp"
#include "acumen/index/range.hpp"

namespace acumen::ACUMEN_ISA {
namespace {

using namespace acumen::index;
using Size = std::size_t;
using U64 = std::uint64_t;
using I64 = std::int64_t;
using U32 = std::uint32_t;
__extension__ typedef unsigned __int128 U128;

template <class T>
constexpr Size kLineKeys = kLineBytes / sizeof(T);

/// A query's integer: of −0 for both zeros, so that no key of ±0 is below it, the largest for NaN.
template <class T>
ACUMEN_INLINE Ordered<T> order_query(T query) {
  if constexpr (std::is_floating_point_v<T>) {
    if (query != query) return kLargest<T>;
    return query == 0 ? -1 : turned(query);
  } else {
    return order_key(query);
  }
}

/// The integer of the smallest key above a query: the rank of one is the right rank of the other.
template <class T>
ACUMEN_INLINE Ordered<T> order_after(T query) {
  if constexpr (std::is_floating_point_v<T>) {
    if (query != query) return kLargest<T>;
    return query == 0 ? 1 : turned(query) + 1;
  } else {
    const Ordered<T> ordered = order_key(query);
    return ordered + (ordered < kLargest<T>);
  }
}

template <class T>
bool order(const void* raw, Size count, bool right, void* ordered) {
  const T* from = static_cast<const T*>(raw);
  Ordered<T>* to = static_cast<Ordered<T>*>(ordered);
  if (!right) {
    for (Size i = 0; i < count; ++i) to[i] = order_query(from[i]);
    return false;
  }
  bool last = false;
  for (Size i = 0; i < count; ++i) {
    to[i] = order_after(from[i]);
    last |= std::is_integral_v<T> && order_key(from[i]) == kLargest<T>;
  }
  return last;
}

template <class T>
void past_last(SortedKeys keys, const void* raw, Size count, U64* ranks) {
  const T* query = static_cast<const T*>(raw);
  for (Size i = 0; i < count; ++i)
    if (order_key(query[i]) == kLargest<T>) ranks[i] = keys.count;
}

template <class T>
ACUMEN_INLINE Ordered<T> key_at(const void* keys, Size i) {
  return order_key(static_cast<const T*>(keys)[i]);
}

#if defined(__AVX2__)
/// One register of keys, ordered.
template <class T>
ACUMEN_INLINE __m256i load_ordered(const void* keys) {
  const __m256i raw = _mm256_loadu_si256(static_cast<const __m256i*>(keys));
  if constexpr (std::is_floating_point_v<T>) {
    const __m256i zero = _mm256_setzero_si256();
    if constexpr (sizeof(T) == 8) {
      const __m256i low = _mm256_set1_epi64x(std::numeric_limits<I64>::max());
      return _mm256_xor_si256(raw, _mm256_and_si256(_mm256_cmpgt_epi64(zero, raw), low));
    } else {
      const __m256i low = _mm256_set1_epi32(std::numeric_limits<std::int32_t>::max());
      return _mm256_xor_si256(raw, _mm256_and_si256(_mm256_cmpgt_epi32(zero, raw), low));
    }
  } else if constexpr (std::is_signed_v<T>) {
    return raw;
  } else if constexpr (sizeof(T) == 8) {
    return _mm256_xor_si256(raw, _mm256_set1_epi64x(std::numeric_limits<I64>::min()));
  } else {
    return _mm256_xor_si256(raw, _mm256_set1_epi32(std::numeric_limits<std::int32_t>::min()));
  }
}

/// The keys of two registers below a query.
template <class T>
ACUMEN_INLINE Size below_in_registers(const void* line, Ordered<T> query) {
  const unsigned char* bytes = static_cast<const unsigned char*>(line);
  const __m256i a = load_ordered<T>(bytes), b = load_ordered<T>(bytes + 32);
  if constexpr (sizeof(T) == 8) {
    const __m256i q = _mm256_set1_epi64x(query);
    const __m256i both = _mm256_packs_epi32(_mm256_cmpgt_epi64(q, a), _mm256_cmpgt_epi64(q, b));
    return static_cast<Size>(__builtin_popcount(_mm256_movemask_epi8(both))) / 4;
  } else {
    const __m256i q = _mm256_set1_epi32(query);
    const __m256i both = _mm256_packs_epi32(_mm256_cmpgt_epi32(q, a), _mm256_cmpgt_epi32(q, b));
    return static_cast<Size>(__builtin_popcount(_mm256_movemask_epi8(both))) / 2;
  }
}
#endif

/// Keys below a query in a line's worth of them; `line` need not be aligned.
template <class T>
ACUMEN_INLINE Size below_in_line(const void* line, Ordered<T> query) {
#if defined(__AVX2__)
  if constexpr (sizeof(T) >= 4) return below_in_registers<T>(line, query);
#endif
  Size below = 0;
  for (Size i = 0; i < kLineKeys<T>; ++i) below += key_at<T>(line, i) < query;
  return below;
}

template <class T>
KeyFacts look(SortedKeys keys) {
  const T* key = static_cast<const T*>(keys.data);
  if (keys.count == 0) return {true, true, false};
  bool falls = false, repeats = false, nan = key[0] != key[0];
  for (Size i = 1; i < keys.count; ++i) {
    falls |= key[i] < key[i - 1];
    repeats |= key[i] == key[i - 1];
    nan |= key[i] != key[i];
  }
  return {!falls && !nan, !falls && !nan && !repeats, nan};
}

template <class T>
void keep_found(SortedKeys keys, const void* raw, Size count, U64* ranks) {
  const T* key = static_cast<const T*>(keys.data);
  const T* query = static_cast<const T*>(raw);
  for (Size i = 0; i < count; ++i)
    if (ranks[i] >= keys.count || key[ranks[i]] != query[i]) ranks[i] = ~U64{0};
}

template <class T>
void found(SortedKeys keys, const void* raw, Size count, const U64* ranks, unsigned char* out) {
  const T* key = static_cast<const T*>(keys.data);
  const T* query = static_cast<const T*>(raw);
  for (Size i = 0; i < count; ++i) out[i] = ranks[i] < keys.count && key[ranks[i]] == query[i];
}

}  // namespace
}  // namespace acumen::ACUMEN_ISA
