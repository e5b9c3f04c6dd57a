// SearchTree and ValueTable. See range.hpp.
#pragma once

#include "cell_building.inl"
#include "cell_pipeline.inl"

namespace acumen::ACUMEN_ISA {
namespace {

/// The line that a query's rank lies in or at the end of.
template <class T>
ACUMEN_INLINE Size descend(const SearchTree& tree, Ordered<T> query) {
  constexpr Size kKeys = kLineKeys<T>;
  Size child = 0;
  for (Size s = 0; s < tree.levels; ++s) {
    const auto* level = static_cast<const unsigned char*>(tree.node) + tree.first[s] * kLineBytes;
    child = child * (kKeys + 1) + below_in_line<Ordered<T>>(level + child * kLineBytes, query);
  }
  return child;
}

/// Look-ups in a rolling pipeline: at any moment as many queries as there are levels advance by
/// one, and what each of them reads next has some look-ups' time to arrive.
template <class T>
void roll_down(const Lines& lines, const SearchTree& tree, const Ordered<T>* query, Size count,
               U64* ranks) {
  constexpr Size kKeys = kLineKeys<T>, kInFlight = 128, kRing = 256;
  const Size levels = tree.levels;
  const Size apart = levels == 0 ? 0 : (kInFlight + levels - 1) / levels;
  const unsigned char* level_at[kLevelsMax + 1];
  for (Size s = 0; s < levels; ++s)
    level_at[s] = static_cast<const unsigned char*>(tree.node) + tree.first[s] * kLineBytes;
  level_at[levels] = lines.first;
  U32 child[kRing] = {};
  for (Size i = 0; i < count + levels * apart; ++i) {
    // On the other levels no query has come yet, or none is left.
    Size begin = 0, end = levels;
    if (i >= count) begin = (i - count) / apart + 1;
    if (i < levels * apart) end = i / apart + 1;
    for (Size s = begin; s < end; ++s) {
      const Size j = i - s * apart;
      const U32 node = s == 0 ? 0 : child[j % kRing];
      const unsigned char* at = level_at[s] + Size{node} * kLineBytes;
      const Size below = below_in_line<Ordered<T>>(at, query[j]);
      const U32 next = node * static_cast<U32>(kKeys + 1) + static_cast<U32>(below);
      child[j % kRing] = next;
      fetch_ahead(level_at[s + 1] + Size{next} * kLineBytes);
    }
    if (i < levels * apart) continue;
    const Size j = i - levels * apart, line = levels == 0 ? 0 : child[j % kRing];
    const Size below = below_in_line<T>(line_at<T>(lines, line), query[j]);
    ranks[j] = lines.head + line * kKeys + below;
  }
}

template <class T>
void by_tree(SortedKeys keys, const Lines& lines, const SearchTree& tree, const void* ordered,
             Size count, U64* ranks) {
  constexpr Size kKeys = kLineKeys<T>;
  const Ordered<T>* query = static_cast<const Ordered<T>*>(ordered);
  if (count >= 8) {
    roll_down<T>(lines, tree, query, count, ranks);
  } else {
    for (Size j = 0; j < count; ++j) {
      const Size line = descend<T>(tree, query[j]);
      ranks[j] = lines.head + line * kKeys + below_in_line<T>(line_at<T>(lines, line), query[j]);
    }
  }
  // Beyond the whole lines lie less than a line's worth of keys on either side.
  const Size end = lines.head + lines.count * kKeys;
  for (Size j = 0; j < count; ++j)
    if (ranks[j] == lines.head || ranks[j] == end) ranks[j] = gallop<T>(keys, ranks[j], query[j]);
}

template <class T>
void fill_tree(const Lines& lines, const SearchTree& tree, void* node) {
  constexpr Size kKeys = kLineKeys<T>;
  Ordered<T>* to = static_cast<Ordered<T>*>(node);
  Size span = 1;  // lines below one child
  for (Size s = tree.levels; s-- > 0; span *= kKeys + 1) {
    for (Size i = 0; i < tree.nodes[s]; ++i) {
      for (Size k = 0; k < kKeys; ++k) {
        const Size line = (i * (kKeys + 1) + k + 1) * span;
        to[(tree.first[s] + i) * kKeys + k] =
            line < lines.count ? key_at<T>(line_at<T>(lines, line), 0) : kLargest<T>;
      }
    }
  }
}

template <class T>
void by_values(SortedKeys, const ValueTable& table, const void* ordered, Size count, U64* ranks) {
  constexpr Size kApart = 64;
  const Ordered<T>* query = static_cast<const Ordered<T>*>(ordered);
  const auto place = [&](Size i) {
    const U64 away = static_cast<U64>(static_cast<I64>(query[i])) - static_cast<U64>(table.lowest);
    const U64 inside = away < table.values ? away : table.values;
    return static_cast<I64>(query[i]) < table.lowest ? 0 : inside;
  };
  for (Size i = 0; i < count + kApart; ++i) {
    if (i < count) fetch_ahead(table.below + place(i));
    if (i >= kApart) ranks[i - kApart] = table.below[place(i - kApart)];
  }
}

template <class T>
void fill_values(SortedKeys keys, const ValueTable& table, U32* below) {
  Size value = 0;
  for (Size i = 0; i < keys.count; ++i) {
    const U64 key = static_cast<U64>(static_cast<I64>(key_at<T>(keys.data, i)));
    const Size place = static_cast<Size>(key - static_cast<U64>(table.lowest));
    while (value <= place) below[value++] = static_cast<U32>(i);
  }
  while (value <= table.values) below[value++] = static_cast<U32>(keys.count);
}

}  // namespace
}  // namespace acumen::ACUMEN_ISA
