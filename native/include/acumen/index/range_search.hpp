// A sorted array and what finds ranks in it: one of the structures of range.hpp.
//
// Idea       Queries are taken a block at a time: made `ordered`, looked up, put right at the ends.
//            A block that ascends, and whose ranks lie close together, is merged with the keys.
// Guarantee  Exact ranks. Const after it is built: any number of threads may look up at once.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "acumen/index/range.hpp"

namespace acumen::index {

class RangeSearch {
 public:
  enum class Method : std::uint8_t { kSearch, kCells, kTree, kValues };

  RangeSearch(KeyType type, SortedKeys keys, bool portable)
      : keys_(keys),
        width_(key_width(type)),
        kernels_(&range_kernels(type, portable)),
        lines_(lines_of(keys, width_)),
        facts_(kernels_->look(keys)) {}

  const RangeKernels& kernels() const { return *kernels_; }
  const SortedKeys& keys() const { return keys_; }
  const Lines& lines() const { return lines_; }
  const KeyFacts& facts() const { return facts_; }
  std::size_t width() const { return width_; }
  const CellTable& cells() const { return cells_; }
  const SearchTree& tree() const { return tree_; }
  const ValueTable& values() const { return values_; }

  void use_search() { method_ = Method::kSearch; }
  void use(const CellTable& table) { cells_ = table, method_ = Method::kCells; }
  void use(const SearchTree& tree) { tree_ = tree, method_ = Method::kTree; }
  void use(const ValueTable& table) { values_ = table, method_ = Method::kValues; }

  /// The ranks of `count` raw queries of the keys' own type.
  void ranks(const void* raw, std::size_t count, bool right, std::uint64_t* out) const {
    const unsigned char* queries = static_cast<const unsigned char*>(raw);
    for (std::size_t done = 0; done < count; done += kBlock)
      block(queries + done * width_, std::min(kBlock, count - done), right, out + done);
  }

  /// The rank of one raw query.
  std::uint64_t rank(const void* raw, bool right) const {
    if (method_ == Method::kCells)
      return kernels_->rank_by_cells(keys_, lines_, facts_.unique, cells_, raw, right);
    std::uint64_t rank;
    ranks(raw, 1, right, &rank);
    return rank;
  }

  /// Where one raw query is, its first occurrence; all ones where it is not.
  std::uint64_t find(const void* raw) const {
    std::uint64_t place = rank(raw, false);
    kernels_->keep_found(keys_, raw, 1, &place);
    return place;
  }

  /// Where each query is, its first occurrence; all ones where it is not.
  void find(const void* raw, std::size_t count, std::uint64_t* out) const {
    const unsigned char* queries = static_cast<const unsigned char*>(raw);
    for (std::size_t done = 0; done < count; done += kBlock) {
      const std::size_t size = std::min(kBlock, count - done);
      block(queries + done * width_, size, false, out + done);
      kernels_->keep_found(keys_, queries + done * width_, size, out + done);
    }
  }

  /// Whether each query is among the keys; 0 or 1.
  void contains(const void* raw, std::size_t count, unsigned char* out) const {
    const unsigned char* queries = static_cast<const unsigned char*>(raw);
    std::array<std::uint64_t, kBlock> ranks;
    for (std::size_t done = 0; done < count; done += kBlock) {
      const std::size_t size = std::min(kBlock, count - done);
      block(queries + done * width_, size, false, ranks.data());
      kernels_->found(keys_, queries + done * width_, size, ranks.data(), out + done);
    }
  }

 private:
  /// Ascending queries whose ranks are at most this far apart on average are merged.
  static constexpr std::size_t kMergeApart = 4;
  static constexpr std::size_t kMergeLeast = 32;

  void block(const void* raw, std::size_t count, bool right, std::uint64_t* ranks) const {
    alignas(64) std::array<std::int64_t, kBlock> ordered;
    const bool beyond = kernels_->order(raw, count, right, ordered.data());
    if (count < kMergeLeast || !merged(ordered.data(), count, ranks))
      look_up(ordered.data(), count, ranks);
    if (beyond) kernels_->past_last(keys_, raw, count, ranks);
  }

  bool merged(const void* ordered, std::size_t count, std::uint64_t* ranks) const {
    if (!kernels_->ascend(ordered, count)) return false;
    const unsigned char* queries = static_cast<const unsigned char*>(ordered);
    std::uint64_t low, high;
    look_up(queries, 1, &low);
    look_up(queries + (count - 1) * kernels_->width, 1, &high);
    if (high - low > kMergeApart * count) return false;
    kernels_->by_merge(keys_, low, ordered, count, ranks);
    return true;
  }

  void look_up(const void* ordered, std::size_t count, std::uint64_t* ranks) const {
    switch (method_) {
      case Method::kSearch:
        return kernels_->by_search(keys_, ordered, count, ranks);
      case Method::kCells:
        return kernels_->by_cells(keys_, lines_, facts_.unique, cells_, ordered, count, ranks);
      case Method::kTree:
        return kernels_->by_tree(keys_, lines_, tree_, ordered, count, ranks);
      case Method::kValues:
        return kernels_->by_values(keys_, values_, ordered, count, ranks);
    }
  }

  SortedKeys keys_;
  std::size_t width_;
  const RangeKernels* kernels_;
  Lines lines_;
  KeyFacts facts_;
  Method method_ = Method::kSearch;
  CellTable cells_{};
  SearchTree tree_{};
  ValueTable values_{};
};

}  // namespace acumen::index
