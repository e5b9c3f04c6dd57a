// Keys as signed integers in which their order is that of the integers; see range.hpp.
//
// Everything here is inlined always: kernels that are compiled for several instruction sets share
// it, and no copy that one of them compiled may serve the others.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#define ACUMEN_INLINE inline __attribute__((always_inline))

namespace acumen::index {

/// What queries of type T are compared as.
template <class T>
using Ordered = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;

template <class T>
constexpr Ordered<T> kLargest = std::numeric_limits<Ordered<T>>::max();

/// The bits of a float, those below zero turned round.
template <class T>
ACUMEN_INLINE Ordered<T> turned(T value) {
  Ordered<T> bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits ^ (bits < 0 ? kLargest<T> : 0);
}

template <class T>
ACUMEN_INLINE Ordered<T> order_key(T key) {
  using O = Ordered<T>;
  if constexpr (std::is_floating_point_v<T>) {
    return turned(key);
  } else if constexpr (std::is_signed_v<T> || sizeof(T) < sizeof(O)) {
    return static_cast<O>(key);
  } else {
    return static_cast<O>(key ^ (T{1} << (8 * sizeof(T) - 1)));
  }
}

/// The key that is ordered so.
template <class T>
ACUMEN_INLINE T unordered(Ordered<T> ordered) {
  if constexpr (std::is_floating_point_v<T>) {
    ordered ^= ordered < 0 ? kLargest<T> : 0;
    T key;
    __builtin_memcpy(&key, &ordered, sizeof(key));
    return key;
  } else if constexpr (std::is_signed_v<T> || sizeof(T) < sizeof(Ordered<T>)) {
    return static_cast<T>(ordered);
  } else {
    return static_cast<T>(ordered) ^ (T{1} << (8 * sizeof(T) - 1));
  }
}

/// One 64-bit integer for keys of every type; both zeros are the positive one, NaN is the largest.
template <class T>
ACUMEN_INLINE std::int64_t wide_key(T key) {
  if constexpr (std::is_floating_point_v<T>) {
    if (key != key) return kLargest<T>;
    return key == 0 ? 0 : turned(key);
  } else {
    return order_key(key);
  }
}

template <class T>
ACUMEN_INLINE T narrow_key(std::int64_t key) {
  return unordered<T>(static_cast<Ordered<T>>(key));
}

}  // namespace acumen::index
