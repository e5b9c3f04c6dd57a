// What is running, by when it ends.
//
// Idea       A heap with four children a node: half as deep as one with two. Ends are as good as
//            random, so what costs is not comparing but guessing which way a comparison goes:
//            the least of four children is found without branches, and a place that became free is
//            moved down to a leaf before what is to fill it is moved up again, seldom far. Most of
//            what ends is followed at once by something that starts: it takes the free place.
// Guarantee  top() ends first; of several that end at the same time it is any.
// Layout     The children of node i are 4i + 1 … 4i + 4; behind the last node lie some that never
//            end, so that there are always four. Three unused ones before the root make the
//            children of a node share a cache line.
// Papers     D. B. Johnson, "Priority queues with update and finding minimum spanning trees",
//            Information Processing Letters 4(3), 1975; I. Wegener, "Bottom-up-heapsort, a new
//            variant of heapsort beating, on an average, quicksort", Theoretical Computer Science
//            118(1), 1993.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace acumen::placement {

class EndQueue {
 public:
  struct alignas(16) End {
    double time = std::numeric_limits<double>::infinity();
    std::uint32_t id = 0;
  };

  /// Room for so many.
  explicit EndQueue(std::size_t capacity) : ends_(kBefore + capacity + 4) {}

  void clear() {
    std::fill(ends_.begin(), ends_.begin() + static_cast<std::ptrdiff_t>(kBefore + size_), End{});
    size_ = 0;
    is_free_ = false;
  }

  bool empty() const { return size_ == (is_free_ ? 1 : 0); }

  /// Of a queue that is not empty.
  const End& top() {
    if (is_free_) close();
    return at(0);
  }

  void pop() {
    if (is_free_) close();
    is_free_ = true;
  }

  void push(double time, std::uint32_t id) {
    const std::size_t place = is_free_ ? descend() : size_++;
    is_free_ = false;
    rise(place, time, id);
  }

 private:
  static constexpr std::size_t kBefore = 3;

  End& at(std::size_t node) { return ends_[kBefore + node]; }

  /// Moves the free place from the root to a leaf.
  std::size_t descend() {
    std::size_t free = 0;
    for (std::size_t child = 1; child < size_; child = 4 * free + 1) {
      const End* four = &at(child);
      const std::size_t left = std::size_t{four[1].time < four[0].time};
      const std::size_t right = 2 + std::size_t{four[3].time < four[2].time};
      const std::size_t is_right = std::size_t{four[right].time < four[left].time};
      const std::size_t least = child + (left ^ ((left ^ right) & (0 - is_right)));
      at(free) = at(least);
      free = least;
    }
    return free;
  }

  void rise(std::size_t place, double time, std::uint32_t id) {
    while (place > 0 && time < at((place - 1) / 4).time) {
      at(place) = at((place - 1) / 4);
      place = (place - 1) / 4;
    }
    at(place) = {time, id};
  }

  /// Fills the free place with the last node.
  void close() {
    is_free_ = false;
    const End last = at(size_ - 1);
    const std::size_t free = descend();
    at(--size_) = End{};
    if (free < size_) rise(free, last.time, last.id);
    // Otherwise the last node itself went up, and its place was the free one.
  }

  std::vector<End> ends_;
  std::size_t size_ = 0;
  bool is_free_ = false;  // the root is
};

}  // namespace acumen::placement
