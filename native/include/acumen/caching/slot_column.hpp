// A column of slot numbers, no wider than the largest of them needs.
//
// Idea.  A cache's metadata is mostly numbers of slots, and few caches have 2^32 of them.  Two
// bytes a number are enough below 65,535 objects and three below 16,777,215: what is saved buys
// ghosts. The column widens by itself when it is asked to hold larger numbers.
//
// Guarantee.  get() and set() touch no more than four bytes, and no others where two are a number's
// width: a load that overlaps a neighbour's store would wait for it.  kNone is kept at every width.
// A number must be below the limit that was last given.
//
// Layout.  `width` bytes a number, low byte first, all ones = kNone; two bytes of padding at the
// end.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace acumen::caching {

class SlotColumn {
 public:
  static_assert(std::endian::native == std::endian::little);
  static constexpr std::uint32_t kNone = 0xffffffffu;

  SlotColumn() = default;
  /// `count` numbers below `limit`, all kNone.
  SlotColumn(std::size_t count, std::size_t limit) { resize(count, limit); }

  std::size_t size() const { return size_; }
  std::size_t bytes() const { return bytes_.capacity(); }

  void prefetch(std::size_t at) const { __builtin_prefetch(&bytes_[at * width_]); }
  std::uint32_t get(std::size_t at) const {
    if (width_ == 2) {
      std::uint16_t value;
      std::memcpy(&value, &bytes_[at * 2], sizeof value);
      return value == 0xffffu ? kNone : value;
    }
    const std::uint32_t value = load(at) & mask();
    return value == mask() ? kNone : value;
  }
  void set(std::size_t at, std::uint32_t value) {
    if (width_ == 2) {
      const auto cell = static_cast<std::uint16_t>(value);
      std::memcpy(&bytes_[at * 2], &cell, sizeof cell);
      return;
    }
    const std::uint32_t cell = (load(at) & ~mask()) | (value & mask());
    std::memcpy(&bytes_[at * width_], &cell, sizeof cell);
  }

  /// Bytes a number below `limit`.
  static constexpr std::uint32_t width(std::size_t limit) {
    return limit <= 0xffffu ? 2 : limit <= 0xffffffu ? 3 : 4;
  }
  /// New numbers are kNone.
  void resize(std::size_t count, std::size_t limit) {
    if (width(limit) > width_) widen(width(limit));
    bytes_.resize(count * width_ + kPadding, 0xff);
    size_ = static_cast<std::uint32_t>(count);
  }
  void reserve(std::size_t count, std::size_t limit) {
    resize(size_, limit);
    bytes_.reserve(count * width_ + kPadding);
  }
  void push_back(std::uint32_t value, std::size_t limit) {
    resize(size_ + 1, limit);
    set(size_ - 1, value);
  }
  void shrink_to_fit() { bytes_.shrink_to_fit(); }
  /// Gives the memory back too.
  void release() { *this = SlotColumn(); }

 private:
  static constexpr std::size_t kPadding = 2;

  std::uint32_t mask() const { return kNone >> (32 - 8 * width_); }
  std::uint32_t load(std::size_t at) const {
    std::uint32_t cell;
    std::memcpy(&cell, &bytes_[at * width_], sizeof cell);
    return cell;
  }
  void widen(std::uint32_t width) {
    SlotColumn wider;
    wider.width_ = width;
    wider.bytes_.resize(std::size_t{size_} * width + kPadding, 0xff);
    wider.size_ = size_;
    for (std::size_t i = 0; i < size_; ++i) wider.set(i, get(i));
    *this = std::move(wider);
  }

  std::vector<std::uint8_t> bytes_;
  std::uint32_t size_ = 0, width_ = 2;
};

}  // namespace acumen::caching
