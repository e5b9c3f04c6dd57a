// Notices inputs that have left the range which their scales were chosen for.
//
// Idea       Scales come from a sample. When the program moves on (small files yesterday, large
//            ones today), values pile up at the clipping limit, where a model cannot tell them
//            apart. So clipped values are counted for every input, and once a window somebody
//            looks whether more than a twentieth of an input's values were. Scales chosen then see
//            both what was and what is, so that a window later they are due once more.
// Guarantee  Of values with the mean and deviation that their scale was chosen for, at most 1/64
//            lie beyond ±8 (Chebyshev): a stationary stream alarms no more.
// Layout     One 32-bit count an input.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "acumen/schema.hpp"

namespace acumen {

class ClipWatch {
 public:
  ClipWatch(std::uint32_t inputs, std::uint64_t window) : window_(window), counts_(inputs) {}

  /// Counts the clipped ones among `count` standardised values; input `first` is the first's.
  void see(const float* values, std::uint32_t count, std::uint32_t first) {
    constexpr float limit = static_cast<float>(Schema::kLimit);
    std::uint32_t any = 0;
    for (std::uint32_t i = 0; i < count; ++i) any |= std::fabs(values[i]) >= limit ? 1u : 0u;
    if (any == 0) return;  // nearly always
    std::uint32_t* counts = counts_.data() + first;
    for (std::uint32_t i = 0; i < count; ++i) counts[i] += std::fabs(values[i]) >= limit;
  }

  /// Ends a row. True, once a window at most: some input is clipped too often, or was in the
  /// window before.
  bool alarms() {
    if (++seen_ < window_) return false;
    const bool any = std::any_of(counts_.begin(), counts_.end(),
                                 [this](std::uint64_t count) { return 20 * count > window_; });
    const bool due = any || again_;
    clear();
    again_ = any;
    return due;
  }

  void clear() {
    seen_ = 0;
    again_ = false;
    std::fill(counts_.begin(), counts_.end(), 0u);
  }

  void visit(StateVisitor& visitor) {
    std::vector<std::uint64_t> counts(counts_.begin(), counts_.end());
    counts.insert(counts.end(), {seen_, again_ ? 1u : 0u});
    visitor.array("clips", counts.data(), counts.size());
    again_ = counts.back() != 0;
    seen_ = counts[counts_.size()];
    for (std::size_t i = 0; i < counts_.size(); ++i)
      counts_[i] = static_cast<std::uint32_t>(counts[i]);
  }

  std::size_t memory_bytes() const { return counts_.size() * sizeof(std::uint32_t); }

 private:
  std::uint64_t window_, seen_ = 0;
  bool again_ = false;
  std::vector<std::uint32_t> counts_;
};

}  // namespace acumen
