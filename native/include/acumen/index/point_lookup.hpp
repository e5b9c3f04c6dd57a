// A point index as its users see it: some structure over some keys, and one way to ask it.
//
// Idea       The builder keeps one of several structures. This says which one it is, where its
// arrays
//            lie, and hands batches in blocks to the kernel that fits.
// Guarantee  find() answers the position of each query's key or -1, for every structure the same.
//            verify() asks for every key that the index was built from: what passed it is right.
//            validate() must be true before anything else is called with arrays from outside.
#pragma once

#include "acumen/index/point_kernels.hpp"

namespace acumen::index {

enum class PointKind : std::uint8_t {
  kSequence,
  kBitmap,
  kDirect,
  kRanks,
  kWords,
  kLearned,
  kTags
};

struct PointLookup {
  PointKind kind = PointKind::kSequence;
  bool bytes = false;  ///< keys are byte strings; kind is kTags
  std::uint64_t rows = 0;
  bool last = false;  ///< of equal keys the last row is meant, and not the first

  WordColumn keys;  // kRanks, kTags, verify()
  ByteColumn byte_keys;
  Grid grid;                        // kSequence, kBitmap, kDirect
  BitmapCell* cells = nullptr;      // kBitmap
  std::uint32_t* direct = nullptr;  // kDirect
  PointModel model;                 // kRanks
  PointTable<WordLine> words;       // kWords, kLearned
  LearnedHome home;                 // kLearned
  PointTable<TagLine> tags;         // kTags

  /// `array` and `model_ranks` are how many elements the arrays have.
  bool validate(std::size_t array, std::size_t model_ranks) const {
    if (rows >= 0xffffffffu) return false;
    switch (kind) {
      case PointKind::kSequence:
        return grid.validate() && grid.count == rows;
      case PointKind::kBitmap:
        return grid.validate() && array == (grid.count + 63) / 64 &&
               validate_bitmap(cells, grid.count, rows);
      case PointKind::kDirect:
        return grid.validate() && array == grid.count && validate_direct(direct, array, rows);
      case PointKind::kRanks:
        return model.validate(model_ranks, rows);
      case PointKind::kWords:
        return array == words.count && words.validate(rows);
      case PointKind::kLearned:
        return array == words.count && words.validate(rows) &&
               home.model.validate(model_ranks, rows);
      case PointKind::kTags:
        return array == tags.count && tags.validate(rows);
    }
    return false;
  }

  /// The positions of queries first … first + n - 1 go to out[0 … n - 1].
  void find(const PointKernels& kernels, const WordColumn& queries, std::size_t first,
            std::size_t n, std::int64_t* out) const {
    if (kind == PointKind::kTags) {
      return kernels.tagged_words(tags, keys, queries, first, n, out);
    }
    if (queries.is_words()) return find_words(kernels, queries.words(first, n, nullptr), n, out);
    std::uint64_t scratch[kWordBlock];
    for (std::size_t done = 0; done < n; done += kWordBlock) {
      const std::size_t block = n - done < kWordBlock ? n - done : kWordBlock;
      find_words(kernels, queries.words(first + done, block, scratch), block, out + done);
    }
  }
  void find(const PointKernels& kernels, const ByteColumn& queries, std::size_t first,
            std::size_t n, std::int64_t* out) const {
    kernels.tagged_bytes(tags, byte_keys, queries, first, n, out);
  }

  /// One key, without what batches need.
  std::int64_t find_one(const PointKernels& kernels, std::uint64_t word) const {
    if (kind == PointKind::kWords) return find_word(RandomHome{}, word);
    if (kind == PointKind::kLearned) return find_word(home, word);
    if (kind == PointKind::kTags) return find_tag(keys, word);
    std::int64_t position;
    find_words(kernels, &word, 1, &position);
    return position;
  }
  std::int64_t find_one(const Bytes& key) const { return find_tag(byte_keys, key); }

  /// Fills the arrays, which are zeroed; those of a model, which says where keys are at home, are
  /// full already. kSequence and kRanks have nothing to be filled.
  BuildResult build(Duplicates duplicates) {
    last = duplicates == Duplicates::kLast;
    switch (kind) {
      case PointKind::kBitmap:
        build_bitmap(keys, rows, grid, cells);
        break;
      case PointKind::kDirect:
        return build_direct(keys, rows, grid, duplicates, direct);
      case PointKind::kWords:
        return fill(WordRows<RandomHome>{keys, {}}, words, duplicates);
      case PointKind::kLearned:
        return fill(WordRows<LearnedHome>{keys, home}, words, duplicates);
      case PointKind::kTags:
        return bytes ? fill(TagRows<ByteColumn>{byte_keys}, tags, duplicates)
                     : fill(TagRows<WordColumn>{keys}, tags, duplicates);
      default:
        break;
    }
    BuildResult result;
    result.keys = rows;
    return result;
  }

  /// The first of rows first … first + n - 1 that is not found where it ought to be, or `rows`. Of
  /// equal keys, one stands for all.
  template <class Column>
  std::uint64_t verify(const PointKernels& kernels, const Column& column, std::size_t first,
                       std::size_t n) const {
    std::int64_t found[kWordBlock];
    for (std::size_t done = 0; done < n; done += kWordBlock) {
      const std::size_t block = n - done < kWordBlock ? n - done : kWordBlock;
      find(kernels, column, first + done, block, found);
      for (std::size_t i = 0; i < block; ++i) {
        const std::uint64_t row = first + done + i, at = static_cast<std::uint64_t>(found[i]);
        // Of equal keys all find one row, and none beyond it: it is the one that is meant.
        if (at == row) continue;
        if (at >= rows || (at > row) != last || !(column[at] == column[row])) return row;
      }
    }
    return rows;
  }

 private:
  template <class Rows, class Line>
  BuildResult fill(const Rows& from, PointTable<Line>& table, Duplicates duplicates) const {
    return PointBuilder<Rows>(from, table, duplicates).build(rows);
  }

  void find_words(const PointKernels& kernels, const std::uint64_t* queries, std::size_t n,
                  std::int64_t* out) const {
    switch (kind) {
      case PointKind::kSequence:
        return kernels.sequence(grid, queries, n, out);
      case PointKind::kBitmap:
        return kernels.bitmap(grid, cells, queries, n, out);
      case PointKind::kDirect:
        return kernels.direct(grid, direct, queries, n, out);
      case PointKind::kRanks:
        return kernels.ranks(model, keys, rows, queries, n, out);
      case PointKind::kLearned:
        return kernels.learned_words(words, home, queries, n, out);
      default:
        return kernels.random_words(words, queries, n, out);
    }
  }

  template <class Home>
  std::int64_t find_word(const Home& home_of, std::uint64_t word) const {
    const std::uint64_t hash = hash_word(word, words.seed);
    std::uint64_t line = home_of(word, hash, words.count);
    for (int lines = 0; lines < 2; ++lines) {
      const WordLine& here = words.lines[line];
      for (std::uint32_t slot = 0; slot < WordLine::kSlots; ++slot) {
        if (here.keys[slot] == word && here.positions[slot] != 0)
          return std::int64_t{here.positions[slot]} - 1;
      }
      if ((here.passed >> filter_bit(hash) & 1) == 0) break;
      line = words.second(hash, line);
    }
    return -1;
  }

  template <class Column, class Query>
  std::int64_t find_tag(const Column& column, const Query& query) const {
    const std::uint64_t hash = hash_of(query, tags.seed);
    std::uint64_t line = scaled(hash, tags.count);
    for (int lines = 0; lines < 2; ++lines) {
      const TagLine& here = tags.lines[line];
      for (std::uint32_t slot = 0; slot < TagLine::kSlots; ++slot) {
        const std::uint32_t position = here.positions[slot];
        if (here.tags[slot] != tag_of(hash) || position == 0) continue;
        if (column[position - 1] == query) return std::int64_t{position} - 1;
      }
      if ((here.passed >> filter_bit(hash) & 1) == 0) break;
      line = tags.second(hash, line);
    }
    return -1;
  }
};

/// How many keys find their home line, of `count`, full, among those that lie in every `every`th
/// cell of the model (a power of two). `used` has `count` zeros.
struct Crowd {
  std::uint64_t seen = 0, crowded_out = 0;
};
inline Crowd crowd_of(const LearnedHome& home, const WordColumn& keys, std::uint64_t n,
                      std::uint64_t count, std::uint64_t every, std::uint8_t* used) {
  Crowd crowd;
  for (std::uint64_t row = 0; row < n; ++row) {
    const std::uint64_t key = keys[row], cell = (key - home.model.origin) >> home.model.shift;
    if ((cell & (every - 1)) != 0) continue;
    std::uint8_t& there = used[home(key, 0, count)];
    ++crowd.seen;
    if (there < WordLine::kSlots) {
      ++there;
    } else {
      ++crowd.crowded_out;
    }
  }
  return crowd;
}

}  // namespace acumen::index
