// A set of slots, and how many they are.
//
// Idea.  A bit a slot, and a count beside: whoever asks how many there are need not look at them,
// and the next one around is found 64 slots at a time.
//
// Guarantee.  set() and has() are O(1), next() O(slots / 64).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace acumen::caching {

class SlotSet {
 public:
  static constexpr std::uint32_t kNone = 0xffffffffu;

  SlotSet() = default;
  explicit SlotSet(std::size_t slots) : words_(slots / 64 + 1) {}

  // Slots below `slots`; those there were before stay.
  void resize(std::size_t slots) { words_.resize(slots / 64 + 1); }
  std::size_t bytes() const { return words_.capacity() * sizeof(std::uint64_t); }
  std::uint32_t count() const { return count_; }

  bool has(std::uint32_t slot) const { return (words_[slot / 64] >> slot % 64 & 1) != 0; }
  void set(std::uint32_t slot, bool inside) {
    count_ += static_cast<std::uint32_t>(inside) - static_cast<std::uint32_t>(has(slot));
    const std::uint64_t bit = std::uint64_t{1} << slot % 64;
    words_[slot / 64] = inside ? words_[slot / 64] | bit : words_[slot / 64] & ~bit;
  }
  // The first behind this one, around the end if need be (the one itself last); kNone: it is empty.
  std::uint32_t next(std::uint32_t slot) const {
    if (count_ == 0) return kNone;
    std::size_t at = slot / 64;
    std::uint64_t bits = slot % 64 == 63 ? 0 : words_[at] & ~std::uint64_t{0} << (slot % 64 + 1);
    while (bits == 0) {
      at = at + 1 < words_.size() ? at + 1 : 0;
      bits = words_[at];
    }
    return static_cast<std::uint32_t>(at * 64) + static_cast<std::uint32_t>(std::countr_zero(bits));
  }

 private:
  std::vector<std::uint64_t> words_;
  std::uint32_t count_ = 0;
};

}  // namespace acumen::caching
