// From hashes to slots: the index of a cache.
//
// Idea       Linear probing over 8-byte cells, at most half of them used. A cell keeps the low
//            32 bits of the hash beside the slot, so that walking past strangers touches nothing
//            but the cells, and a deletion can close its gap by itself (backward shift): a cache
//            deletes as often as it inserts, and tombstones would pile up.
// Guarantee  The index never calls back and knows no keys. A caller walks the candidates and
//            compares; any insertion, deletion or clearing may move cells and ends the walk.
//
//            cells   [ tag 32 | slot 32 ] x 2^k,  slot == kEmpty: free
//            home    tag & (2^k - 1)
//
// Paper      Knuth, "The Art of Computer Programming", vol. 3, 6.4, algorithm R.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace acumen::caching {

class SlotIndex {
 public:
  static constexpr std::uint32_t kEmpty = 0xffffffffu;

  /// Walks the slots whose tag equals that of `hash`:
  ///   for (auto walk = index.walk(hash); walk.next();) use(walk.slot());
  class Walk {
   public:
    Walk(const SlotIndex& index, std::uint64_t hash)
        : index_(&index), tag_(tag_of(hash)), at_(tag_ & index.mask_) {}

    bool next() {
      for (;; at_ = (at_ + 1) & index_->mask_) {
        const Cell& cell = index_->cells_[at_];
        if (cell.slot == kEmpty) return false;
        if (cell.tag != tag_) continue;
        slot_ = cell.slot;
        at_ = (at_ + 1) & index_->mask_;
        return true;
      }
    }
    std::uint32_t slot() const { return slot_; }

   private:
    const SlotIndex* index_;
    std::uint32_t tag_;
    std::size_t at_;
    std::uint32_t slot_ = kEmpty;
  };

  SlotIndex() : cells_(kSmallest), mask_(kSmallest - 1) {}

  Walk walk(std::uint64_t hash) const { return Walk(*this, hash); }
  std::size_t size() const { return used_; }
  std::size_t bytes() const { return cells_.capacity() * sizeof(Cell); }

  /// Makes the next insert() unable to fail. Throws std::bad_alloc, and then nothing has changed.
  void reserve_one() {
    if ((used_ + 1) * 2 > cells_.size()) grow();
  }

  /// Needs reserve_one() first. The same slot must not be inside yet.
  void insert(std::uint64_t hash, std::uint32_t slot) noexcept {
    place(tag_of(hash), slot);
    ++used_;
  }

  /// `hash` must be what the slot was inserted with. False: it was not inside.
  bool erase(std::uint64_t hash, std::uint32_t slot) noexcept {
    std::size_t gap = tag_of(hash) & mask_;
    for (; cells_[gap].slot != slot; gap = (gap + 1) & mask_) {
      if (cells_[gap].slot == kEmpty) return false;
    }
    // Whatever follows and would be cut off from its home by the gap moves into it.
    for (std::size_t at = (gap + 1) & mask_; cells_[at].slot != kEmpty; at = (at + 1) & mask_) {
      const std::size_t from_home = (at - (cells_[at].tag & mask_)) & mask_;
      if (from_home < ((at - gap) & mask_)) continue;
      cells_[gap] = cells_[at];
      gap = at;
    }
    cells_[gap].slot = kEmpty;
    --used_;
    return true;
  }

  /// Gives the memory back too.
  void clear() noexcept {
    cells_.resize(kSmallest);
    cells_.shrink_to_fit();
    for (Cell& cell : cells_) cell = Cell{};
    mask_ = kSmallest - 1;
    used_ = 0;
  }

 private:
  struct Cell {
    std::uint32_t tag = 0;
    std::uint32_t slot = kEmpty;
  };
  static constexpr std::size_t kSmallest = 8;

  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash); }

  void place(std::uint32_t tag, std::uint32_t slot) noexcept {
    std::size_t at = tag & mask_;
    while (cells_[at].slot != kEmpty) at = (at + 1) & mask_;
    cells_[at] = {tag, slot};
  }

  void grow() {
    std::vector<Cell> old(cells_.size() * 2);
    old.swap(cells_);
    mask_ = cells_.size() - 1;
    for (const Cell& cell : old) {
      if (cell.slot != kEmpty) place(cell.tag, cell.slot);
    }
  }

  std::vector<Cell> cells_;
  std::size_t mask_ = 0;
  std::size_t used_ = 0;
};

}  // namespace acumen::caching
