// Operators by priority: those of the same priority by number.
//
// Idea       A radix sort of 32-bit keys, three passes of 11 bits each, of which one is left out
//            where all keys have the same digit. Who evaluates many plans often gives all of them
//            the same priorities, so the last order is kept, and comparing is cheaper than sorting.
// Guarantee  A stable order, whatever the priorities are.
// Paper      H. H. Seward, "Information sorting in the application of electronic digital computers
//            to business operations", MIT Digital Computer Laboratory report R-232, 1954.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace acumen::placement {

class RunOrder {
 public:
  explicit RunOrder(std::size_t operators)
      : by_number_(operators), by_priority_(operators), others_(operators) {
    std::iota(by_number_.begin(), by_number_.end(), 0u);
  }

  /// All operators, those that run first first; no priorities: by number. Valid until the next
  /// call.
  std::span<const std::uint32_t> of(std::span<const std::int32_t> priority) {
    if (priority.empty()) return by_number_;
    if (!std::equal(priority.begin(), priority.end(), last_.begin(), last_.end())) {
      last_.assign(priority.begin(), priority.end());
      by_priority_ = by_number_;
      for (unsigned shift = 0; shift < 32; shift += kBits) pass(shift);
    }
    return by_priority_;
  }

 private:
  static constexpr unsigned kBits = 11;

  std::uint32_t digit(std::uint32_t op, unsigned shift) const {
    const std::uint32_t key = static_cast<std::uint32_t>(last_[op]) ^ 0x8000'0000u;
    return (key >> shift) & ((1u << kBits) - 1);
  }

  void pass(unsigned shift) {
    std::array<std::uint32_t, 1u << kBits> first{};
    for (const std::uint32_t op : by_priority_) ++first[digit(op, shift)];
    if (first[digit(by_priority_[0], shift)] == by_priority_.size()) return;
    std::exclusive_scan(first.begin(), first.end(), first.begin(), 0u);
    for (const std::uint32_t op : by_priority_) others_[first[digit(op, shift)]++] = op;
    by_priority_.swap(others_);
  }

  std::vector<std::uint32_t> by_number_, by_priority_, others_;
  std::vector<std::int32_t> last_;
};

}  // namespace acumen::placement
