// The nodes of a LeafTree, and how a key is searched for among a node's fences or keys.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

#include "acumen/index/leaf_tree.hpp"

namespace acumen::index {

using Holders = std::atomic<std::uint32_t>;

struct Leaf {
  Holders holders{1};
  std::uint32_t room;

  std::int64_t* keys() { return reinterpret_cast<std::int64_t*>(this + 1); }
  const std::int64_t* keys() const { return reinterpret_cast<const std::int64_t*>(this + 1); }
  std::uint64_t* values() { return reinterpret_cast<std::uint64_t*>(keys() + room); }
  const std::uint64_t* values() const {
    return reinterpret_cast<const std::uint64_t*>(keys() + room);
  }
  std::size_t bytes() const { return sizeof(Leaf) + 16 * std::size_t{room}; }

  static Leaf* make(std::size_t room) {
    Leaf* leaf = new (::operator new(sizeof(Leaf) + 16 * room)) Leaf;
    leaf->room = static_cast<std::uint32_t>(room);
    return leaf;
  }
  static void free(Leaf* leaf) { ::operator delete(leaf); }
};
static_assert(sizeof(Leaf) == 8);

struct Branch {
  Holders holders{1};
  std::uint32_t leaves = 0;
  std::int64_t fence[kBranchLeaves];
  Leaf* leaf[kBranchLeaves];
  std::uint16_t count[kBranchLeaves];
  std::uint16_t room[kBranchLeaves];

  const std::uint64_t* values_of(std::size_t i) const {
    return reinterpret_cast<const std::uint64_t*>(leaf[i]->keys() + room[i]);
  }
  std::size_t keys() const { return keys_between(0, leaves); }
  std::size_t keys_between(std::size_t i, std::size_t end) const {
    std::uint32_t sum = 0;
    for (std::size_t j = i; j < end; ++j) sum += count[j];
    return sum;
  }
  void put(std::size_t i, std::int64_t first, Leaf* of, std::size_t keys_of) {
    fence[i] = first;
    leaf[i] = of;
    count[i] = static_cast<std::uint16_t>(keys_of);
    room[i] = static_cast<std::uint16_t>(of->room);
  }
  /// Moves the leaves from `from` on to `to` on; those in between are to be put, or are gone.
  void move(std::size_t from, std::size_t to) {
    const std::size_t moved = leaves - from;
    std::memmove(fence + to, fence + from, moved * sizeof(*fence));
    std::memmove(leaf + to, leaf + from, moved * sizeof(*leaf));
    std::memmove(count + to, count + from, moved * sizeof(*count));
    std::memmove(room + to, room + from, moved * sizeof(*room));
    leaves = static_cast<std::uint32_t>(leaves + to - from);
  }
};

struct Root {
  Holders holders{1};
  std::size_t keys = 0;
  std::vector<std::int64_t> fence;
  std::vector<Branch*> branch;
  std::vector<std::size_t> count;

  /// Makes room for one more branch, so that adding it cannot fail.
  void reserve_one() {
    const std::size_t wanted = branch.size() + 1;
    if (fence.capacity() >= wanted && branch.capacity() >= wanted && count.capacity() >= wanted)
      return;
    fence.reserve(2 * wanted);
    branch.reserve(2 * wanted);
    count.reserve(2 * wanted);
  }
  void insert(std::size_t b, std::int64_t first, Branch* of, std::size_t keys_of) {
    const auto at = static_cast<std::ptrdiff_t>(b);
    fence.insert(fence.begin() + at, first);
    branch.insert(branch.begin() + at, of);
    count.insert(count.begin() + at, keys_of);
  }
  void remove(std::size_t b) {
    const auto at = static_cast<std::ptrdiff_t>(b);
    fence.erase(fence.begin() + at);
    branch.erase(branch.begin() + at);
    count.erase(count.begin() + at);
  }
};

template <class Node>
Node* hold(Node* node) {
  node->holders.fetch_add(1, std::memory_order_relaxed);
  return node;
}

template <class Node>
bool is_own(const Node* node) {
  return node->holders.load(std::memory_order_acquire) == 1;
}

void release(Leaf* leaf, std::size_t count, ValueKeeper* keeper) noexcept;
void release(Branch* branch, ValueKeeper* keeper) noexcept;
void release(Root* root, ValueKeeper* keeper) noexcept;

/// The room for a leaf of so many keys that may grow.
inline std::size_t room_for(std::size_t keys) {
  return std::min(kLeafKeys, (keys + keys / 8 + 16) / 16 * 16);
}
/// Whether deletions have left so much room that it is given back.
inline bool is_loose(std::size_t room, std::size_t keys) {
  return room - keys > keys / 4 + 32;
}

/// Where a key would lie among `count` that are spread evenly over [low, high); less than count.
inline std::size_t guess(std::int64_t key, std::int64_t low, std::int64_t high, std::size_t count) {
  if (key <= low || high <= low) return 0;
  // Halved, so that the distance of any two fits into what converts quickly.
  const auto half = [low](std::int64_t to) {
    const auto away = static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(low);
    return static_cast<double>(static_cast<std::int64_t>(away >> 1));
  };
  const double place = half(key) * static_cast<double>(count) / (half(high) + 1.0);
  const auto at = static_cast<std::size_t>(std::min(place, static_cast<double>(count)));
  return at < count ? at : count - 1;
}

/// The number of sorted keys below `key`, searched for from `at` < count outwards.
inline std::size_t below_from(const std::int64_t* keys, std::size_t count, std::size_t at,
                              std::int64_t key) {
  std::size_t low, high;  // the answer is in [low, high]
  std::size_t step = 8;
  if (keys[at] < key) {
    low = at + 1;
    high = count;
    for (std::size_t next = at + step; next < count; step *= 2, next = at + step) {
      if (keys[next] >= key) {
        high = next;
        break;
      }
      low = next + 1;
    }
  } else {
    high = at;
    low = 0;
    for (; step <= at; step *= 2) {
      if (keys[at - step] < key) {
        low = at - step + 1;
        break;
      }
      high = at - step;
    }
  }
  for (std::size_t left = high - low; left > 0;) {
    const std::size_t half = left / 2;
    const bool below = keys[low + half] < key;
    low += below ? half + 1 : 0;
    left = below ? left - half - 1 : half;
  }
  return low;
}

/// The same where `at` is mostly at most kReach away: no branch depends on the key then.
inline constexpr std::size_t kReach = 16;

inline std::size_t below_near(const std::int64_t* keys, std::size_t count, std::size_t at,
                              std::int64_t key) {
  if (count < 2 * kReach) return below_from(keys, count, at, key);
  const std::size_t start = std::min(at > kReach ? at - kReach : 0, count - 2 * kReach);
  std::size_t low = start;
  for (std::size_t half = kReach; half > 0; half /= 2)
    low += half & (std::size_t{0} - std::size_t{keys[low + half - 1] < key});
  low += keys[low] < key;
  if (low == start && start > 0) return below_from(keys, count, start - 1, key);
  if (low == start + 2 * kReach && low < count) return below_from(keys, count, low, key);
  return low;
}

/// The last child whose fence is not above the key; the first one if there is none.
inline std::size_t child_of(const std::int64_t* fence, std::size_t count, std::int64_t key) {
  std::size_t child = 0;
  while (count > 1) {
    const std::size_t half = count / 2;
    child += fence[child + half] <= key ? half : 0;
    count -= half;
  }
  return child;
}
/// What lies beyond the keys of a leaf: its model's upper end.
inline std::int64_t fence_after(const Root& root, std::size_t b, std::size_t i) {
  const Branch& branch = *root.branch[b];
  if (i + 1 < branch.leaves) return branch.fence[i + 1];
  if (b + 1 < root.branch.size()) return root.fence[b + 1];
  return branch.leaf[i]->keys()[branch.count[i] - 1];
}
/// A proposal is mostly wrong by a few places: the lines on both sides arrive with its own.
template <class Word>
inline void prefetch_around(const Word* at) {
  __builtin_prefetch(at - 8);
  __builtin_prefetch(at);
  __builtin_prefetch(at + 8);
}

/// Where a key is, or would be inserted.
struct Place {
  std::size_t b, i, at;
  bool found;
};

inline Place place_of(const Root& root, std::int64_t key) {
  Place place;
  place.b = child_of(root.fence.data(), root.fence.size(), key);
  const Branch& branch = *root.branch[place.b];
  place.i = child_of(branch.fence, branch.leaves, key);
  const std::int64_t* keys = branch.leaf[place.i]->keys();
  const std::size_t count = branch.count[place.i];
  const std::size_t near =
      guess(key, branch.fence[place.i], fence_after(root, place.b, place.i), count);
  prefetch_around(keys + near);
  prefetch_around(branch.values_of(place.i) + near);
  place.at = below_from(keys, count, near, key);
  place.found = place.at < count && keys[place.at] == key;
  return place;
}

}  // namespace acumen::index
