// Searches that need no table: from scratch, outwards from a guess, and beside ascending queries.
#pragma once

#include "keys.inl"

namespace acumen::ACUMEN_ISA {
namespace {

/// The rank of a query that lies in [low, low + length].
template <class T>
ACUMEN_INLINE Size bisect(const void* keys, Size low, Size length, Ordered<T> query) {
  while (length > 0) {
    const Size half = length / 2;
    const bool below = key_at<T>(keys, low + half) < query;
    low = below ? low + half + 1 : low;
    length = below ? length - half - 1 : half;
  }
  return low;
}

/// The rank of a query that is thought to be near `guess`, at most the number of keys.
template <class T>
Size gallop(SortedKeys keys, Size guess, Ordered<T> query) {
  Size step = 1;
  if (guess < keys.count && key_at<T>(keys.data, guess) < query) {
    Size low = guess + 1;
    while (keys.count - low > step && key_at<T>(keys.data, low + step) < query) {
      low += step + 1;
      step *= 2;
    }
    return bisect<T>(keys.data, low, keys.count - low > step ? step : keys.count - low, query);
  }
  Size high = guess;
  while (high > step && key_at<T>(keys.data, high - step - 1) >= query) {
    high -= step + 1;
    step *= 2;
  }
  const Size low = high > step ? high - step - 1 : 0;
  return bisect<T>(keys.data, low, high - low, query);
}

/// Look-ups side by side, a step of each in turn.
template <class T>
void by_search(SortedKeys keys, const void* ordered, Size count, U64* ranks) {
  constexpr Size kTogether = 16;
  const Ordered<T>* query = static_cast<const Ordered<T>*>(ordered);
  Size i = 0;
  for (; i + kTogether <= count; i += kTogether) {
    Size low[kTogether] = {};
    // Until one key is left: the rank is low or low + 1.
    for (Size length = keys.count; length > 1; length -= length / 2) {
      const Size half = length / 2;
      for (Size j = 0; j < kTogether; ++j)
        low[j] += key_at<T>(keys.data, low[j] + half - 1) < query[i + j] ? half : 0;
    }
    for (Size j = 0; j < kTogether; ++j)
      ranks[i + j] = low[j] + (keys.count > 0 && key_at<T>(keys.data, low[j]) < query[i + j]);
  }
  for (; i < count; ++i) ranks[i] = bisect<T>(keys.data, 0, keys.count, query[i]);
}

template <class T>
void by_merge(SortedKeys keys, U64 low, const void* ordered, Size count, U64* ranks) {
  constexpr Size kKeys = kLineKeys<T>;
  const Ordered<T>* query = static_cast<const Ordered<T>*>(ordered);
  const T* key = static_cast<const T*>(keys.data);
  Size at = low;
  for (Size i = 0; i < count; ++i) {
    if (i > 0 && query[i] == query[i - 1]) {
      ranks[i] = at;
      continue;
    }
    while (at + kKeys <= keys.count && order_key(key[at + kKeys - 1]) < query[i]) at += kKeys;
    if (at + kKeys <= keys.count) {
      at += below_in_line<T>(key + at, query[i]);
    } else {
      while (at < keys.count && order_key(key[at]) < query[i]) ++at;
    }
    ranks[i] = at;
  }
}

template <class T>
bool ascend(const void* ordered, Size count) {
  const Ordered<T>* query = static_cast<const Ordered<T>*>(ordered);
  bool falls = false;
  for (Size i = 1; i < count; ++i) falls |= query[i] < query[i - 1];
  return !falls;
}

}  // namespace
}  // namespace acumen::ACUMEN_ISA
