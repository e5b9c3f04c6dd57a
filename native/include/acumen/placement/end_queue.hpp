// What is running, by when it ends.
//
// Idea       A heap with four children a node: half as deep as one with two, and the four lie in
//            one or two cache lines. A device and a channel are in it once at most, so it is small.
// Guarantee  top() ends first; of several that end at the same time it is any.
// Paper      D. B. Johnson, "Priority queues with update and finding minimum spanning trees",
//            Information Processing Letters 4(3), 1975.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace acumen::placement {

class EndQueue {
 public:
  struct End {
    double time;
    std::uint32_t id;
  };

  explicit EndQueue(std::size_t capacity) { ends_.reserve(capacity); }

  void clear() { ends_.clear(); }
  bool empty() const { return ends_.empty(); }
  const End& top() const { return ends_.front(); }

  void push(double time, std::uint32_t id) {
    std::size_t at = ends_.size();
    ends_.push_back({time, id});
    while (at > 0 && time < ends_[(at - 1) / 4].time) {
      ends_[at] = ends_[(at - 1) / 4];
      at = (at - 1) / 4;
    }
    ends_[at] = {time, id};
  }

  void pop() {
    const End last = ends_.back();
    ends_.pop_back();
    const std::size_t size = ends_.size();
    if (size == 0) return;
    std::size_t at = 0;
    for (std::size_t child = 1; child < size; child = 4 * at + 1) {
      std::size_t least = child;
      const std::size_t beyond = child + 4 < size ? child + 4 : size;
      for (std::size_t other = child + 1; other < beyond; ++other)
        least = ends_[other].time < ends_[least].time ? other : least;
      if (!(ends_[least].time < last.time)) break;
      ends_[at] = ends_[least];
      at = least;
    }
    ends_[at] = last;
  }

 private:
  std::vector<End> ends_;
};

}  // namespace acumen::placement
