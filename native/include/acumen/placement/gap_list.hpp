// When a device or a channel is idle, and where something still fits in.
//
// Idea       The idle times, ascending, in blocks of at most 64. A block knows its longest one, so
//            that looking for a place passes over blocks in which nothing is long enough.
// Guarantee  What is taken is never taken again. At the end there is always the endless last one.
//            What takes no time takes no place.
// Layout     [ 0 … 3 | 5 … 6 | … ]  [ 90 … 91 | 95 … infinity ]
// Paper      The insertion-based policy of H. Topcuoglu, S. Hariri and M.-Y. Wu,
//            "Performance-effective and low-complexity task scheduling for heterogeneous
//            computing", IEEE Trans. Parallel Distrib. Syst. 13(3), 2002.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

namespace acumen::placement {

class GapList {
 public:
  GapList() : blocks_{{{{0.0, kEndless}}, kEndless}} {}

  /// The earliest time from `ready` on at which `duration` seconds are idle; `ready` is finite.
  double earliest(double ready, double duration) const {
    for (std::size_t b = block_of(ready); b < blocks_.size(); ++b) {
      if (blocks_[b].longest < duration) continue;
      for (const Gap& gap : blocks_[b].gaps) {
        const double start = std::max(gap.start, ready);
        if (fits(gap, start, duration)) return start;
      }
    }
    return kEndless;  // only if time itself has run over
  }

  /// Makes the time from `start` on busy, where earliest() has said that there is room.
  void take(double start, double duration) {
    const double end = start + duration;
    if (!(end > start)) return;
    for (std::size_t b = block_of(start); b < blocks_.size(); ++b) {
      auto& gaps = blocks_[b].gaps;
      for (std::size_t i = 0; i < gaps.size(); ++i) {
        if (!(gaps[i].start <= start && end <= gaps[i].end)) continue;
        split(b, i, start, end);
        return;
      }
    }
  }

 private:
  struct Gap {
    double start, end;
  };
  struct Block {
    std::vector<Gap> gaps;
    double longest;
  };
  static constexpr double kEndless = std::numeric_limits<double>::infinity();
  static constexpr std::size_t kGapsMax = 64;

  /// As take() will see it: what rounding makes of start + duration counts.
  static bool fits(const Gap& gap, double start, double duration) {
    return start <= gap.end && start + duration <= gap.end;
  }

  /// The first block of which something lies at `time` or later.
  std::size_t block_of(double time) const {
    const auto found =
        std::partition_point(blocks_.begin(), blocks_.end(),
                             [=](const Block& block) { return block.gaps.back().end < time; });
    return static_cast<std::size_t>(found - blocks_.begin());
  }

  void split(std::size_t b, std::size_t i, double start, double end) {
    auto& gaps = blocks_[b].gaps;
    const Gap before{gaps[i].start, start}, after{end, gaps[i].end};
    const bool first = before.end > before.start, second = after.end > after.start;
    if (first && second) {
      gaps[i] = before;
      gaps.insert(gaps.begin() + static_cast<std::ptrdiff_t>(i) + 1, after);
    } else if (first || second) {
      gaps[i] = first ? before : after;
    } else {
      gaps.erase(gaps.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (gaps.empty()) {
      blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(b));
      return;
    }
    if (gaps.size() > kGapsMax) {
      const auto middle = gaps.begin() + kGapsMax / 2;
      Block rest{{middle, gaps.end()}, 0.0};
      gaps.erase(middle, gaps.end());
      measure(rest);
      blocks_.insert(blocks_.begin() + static_cast<std::ptrdiff_t>(b) + 1, std::move(rest));
    }
    measure(blocks_[b]);
  }

  /// A little more than it is, lest a gap be missed that rounding makes just long enough.
  static void measure(Block& block) {
    block.longest = 0.0;
    for (const Gap& gap : block.gaps) {
      const double slack = gap.end < kEndless ? gap.end * 1e-15 : 0.0;
      block.longest = std::max(block.longest, gap.end - gap.start + slack);
    }
  }

  std::vector<Block> blocks_;
};

}  // namespace acumen::placement
