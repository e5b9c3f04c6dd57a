// Batches of look-ups: the only code of the point index that is compiled per processor.
//
// Idea       While one key's line is compared, the lines of the next keys are on their way: a ring
//            holds what is known of those. There is no group of keys that all wait for the slowest
//            one. Keys that must look into a second line are set aside, without a branch, and are
//            answered when that line has come. Compiled twice, for AVX2 and portably; see
//            dense.hpp.
// Guarantee  Both sets answer the same: the position of each query's key, or -1.
//
//            query   i + ahead           i                    set aside
//                    hash, ask for home  compare home         compare the second line
//                                        └ full? ask for the second line, set aside
//
// Paper      Chen, Ailamaki, Gibbons & Mowry, "Improving hash join performance through
// prefetching",
//            ICDE 2004; Kocberber, Falsafi & Grot, "Asynchronous memory access chaining", VLDB
//            2015.
#pragma once

#include <cstddef>
#include <cstdint>

#include "acumen/index/point_buckets.hpp"
#include "acumen/index/point_dense.hpp"
#include "acumen/index/point_keys.hpp"
#include "acumen/index/point_ranks.hpp"

namespace acumen::index {

struct PointKernels {
  const char* name;

  using Words = const std::uint64_t*;

  // Keys in the lines.
  void (*random_words)(const PointTable<WordLine>& table, Words queries, std::size_t n,
                       std::int64_t* out);
  void (*learned_words)(const PointTable<WordLine>& table, const LearnedHome& home, Words queries,
                        std::size_t n, std::int64_t* out);

  // Tags in the lines, keys in their column. Queries first … first + n - 1 of theirs.
  void (*tagged_words)(const PointTable<TagLine>& table, const WordColumn& keys,
                       const WordColumn& queries, std::size_t first, std::size_t n,
                       std::int64_t* out);
  void (*tagged_bytes)(const PointTable<TagLine>& table, const ByteColumn& keys,
                       const ByteColumn& queries, std::size_t first, std::size_t n,
                       std::int64_t* out);

  // By arithmetic.
  void (*sequence)(const Grid& grid, Words queries, std::size_t n, std::int64_t* out);
  void (*bitmap)(const Grid& grid, const BitmapCell* cells, Words queries, std::size_t n,
                 std::int64_t* out);
  void (*direct)(const Grid& grid, const std::uint32_t* table, Words queries, std::size_t n,
                 std::int64_t* out);

  /// `keys` are `rows` sorted ones.
  void (*ranks)(const PointModel& model, const WordColumn& keys, std::size_t rows, Words queries,
                std::size_t n, std::int64_t* out);
};

/// The set for this processor, or the portable one.
const PointKernels& point_kernels(bool portable = false);

}  // namespace acumen::index
