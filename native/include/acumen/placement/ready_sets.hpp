// The operators that could run next, a set for each device.
//
// Idea       What is looked for is always the member of the lowest rank, and ranks are known before
//            anything runs. So a set is a row of bits, one a rank, with a bit above every 64 that
//            says whether any of them is set. Insertion sets two bits, the lowest is found by
//            counting zeros twice; neither depends on how many members there are, and there is
//            nothing for a branch predictor to get wrong, unlike in a heap.
// Guarantee  take() gives the lowest member. Besides, it may step over upper words that are empty:
//            one for 4,096 ranks.
// Layout     upper |..1.....|........|    one bit for a lower word that is not 0
//            lower |000|010|000|          one bit a rank; every device starts with a new upper word
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace acumen::placement {

class ReadySets {
 public:
  /// Room for so many devices and ranks in all.
  ReadySets(std::size_t devices, std::size_t ranks)
      : upper_(ranks / kUpper + devices), lower_(upper_.size() * 64), sets_(devices) {}

  /// Empties all sets; device i gets counts[i] places. Their sum is what there is room for.
  void lay_out(std::span<const std::uint32_t> counts) {
    std::uint32_t first = 0;
    for (std::size_t device = 0; device < sets_.size(); ++device) {
      sets_[device] = {first, first, 0};
      first += (counts[device] + kUpper - 1) / kUpper;
    }
    // What was left over from a step that came to no end.
    for (std::uint32_t word = 0; left_over_ > 0 && word < upper_.size(); ++word) clear(word);
    left_over_ = 0;
  }

  bool empty(std::size_t device) const { return sets_[device].size == 0; }

  void insert(std::size_t device, std::uint32_t rank) {
    Set& set = sets_[device];
    const std::uint32_t lower = set.first * 64 + rank / 64, upper = lower / 64;
    lower_[lower] |= std::uint64_t{1} << rank % 64;
    upper_[upper] |= std::uint64_t{1} << lower % 64;
    set.lowest = upper < set.lowest ? upper : set.lowest;
    ++set.size;
    ++left_over_;
  }

  /// Takes the lowest rank out of a set that is not empty.
  std::uint32_t take(std::size_t device) {
    Set& set = sets_[device];
    while (upper_[set.lowest] == 0) ++set.lowest;
    std::uint64_t& upper = upper_[set.lowest];
    const std::uint32_t lower =
        set.lowest * 64 + static_cast<std::uint32_t>(std::countr_zero(upper));
    std::uint64_t& word = lower_[lower];
    const auto bit = static_cast<std::uint32_t>(std::countr_zero(word));
    word &= word - 1;
    upper &= word == 0 ? upper - 1 : ~std::uint64_t{0};
    --set.size;
    --left_over_;
    return (lower - set.first * 64) * 64 + bit;
  }

 private:
  static constexpr std::uint32_t kUpper = 64 * 64;
  struct Set {
    std::uint32_t first, lowest;  // upper words
    std::uint32_t size;
  };

  void clear(std::uint32_t word) {
    for (; upper_[word] != 0; upper_[word] &= upper_[word] - 1)
      lower_[word * 64 + static_cast<std::uint32_t>(std::countr_zero(upper_[word]))] = 0;
  }

  std::vector<std::uint64_t> upper_, lower_;
  std::vector<Set> sets_;
  std::size_t left_over_ = 0;
};

}  // namespace acumen::placement
