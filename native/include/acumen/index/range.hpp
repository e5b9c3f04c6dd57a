// Range indexes over a sorted array: rank(q), the number of keys below q, for many q at once.
//
// Idea       The rank of a key is its distribution function times n, so a model of the distribution
//            is an index: Kraska et al., "The case for learned index structures", SIGMOD 2018. What
//            a look-up costs today is not the model's arithmetic but the cache lines that it waits
//            for, so the structures here are laid out by lines, and a batch keeps many look-ups
//            in flight: while one waits for its line, the others compute (a rolling pipeline).
//
//            CellTable   learned. A root cuts the range of keys evenly; every root cell is cut
//                        evenly again, into a cell for each 16 of its keys, and a cell knows how
//                        many keys lie before it. Linear between cells. One line of the table, one
//                        of keys.
//            SearchTree  classical, the strongest rival: a static B+ tree of 64-byte nodes whose
//                        leaves are the lines of the array itself (one of the layouts of Khuong
//                        and Morin: "Array layouts for comparison-based searching", JEA 2017).
//            ValueTable  the rank of every possible value, where those are few: one access.
//            no table    a branchless binary search.
//
// Guarantee  Exact for every query, whatever the tables say: they propose a line of keys; that the
//            rank lies there is checked on the keys, and searched for outwards from there where it
//            does not. Nothing outside the arrays is read if validate() accepted the tables.
//            `error_low` and `error_high` of a CellTable bound rank − prediction for every possible
//            query: they are found by looking at every key and every gap between two when it is
//            built (predictions rise with the query, so a gap's are bounded by its ends').
//
// Layout     Keys are compared as signed integers of their own width, `ordered`, in which their
//            order is that of the integers:
//
//                unsigned   top bit flipped
//                signed     as it is
//                float      below zero all but the sign bit flipped; a query of ±0 becomes −0 and
//                           NaN the largest integer, so that NaN's rank is n, as NumPy has it
//
//            right rank(q), the number of keys ≤ q, is the rank of q + 1.
//
//            CellTable   root  u64 pairs {keys before the root cell, unit:6 | cells:26 | first:32}
//                        cell  u16 [first + 0 … cells] keys of the root cell before each cell, in
//                              units of 2^unit keys (unit > 0 only beyond 65,535 keys)
//
//                 key ─ coordinate ─► root cell, fraction ─► cell, fraction ─► rank ─► a line
//                       (below)        c·multiplier           fraction·cells    interpolated
//
//                        The coordinate of a key is its distance from the smallest one, or its
//                        logarithm as the bits of a float show it, which is what makes skewed keys
//                        even; `Spread` says which.
//            SearchTree  levels from the root down, each a row of 64-byte nodes; node i of a level
//                        has the smallest keys, `ordered`, of the children i·(w + 1) + 1 … + w of
//                        the level below, w = 64 / width; the last level's children are lines.
//            ValueTable  u32 [values + 1] keys below lo + i.
#pragma once

#include <cstddef>
#include <cstdint>

namespace acumen::index {

/// What a key is; the order is that of the tables of kernels.
enum class KeyType : std::uint8_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kU64, kI64, kF64 };
inline constexpr std::size_t kKeyTypes = 10;

/// Calls visit(T{}) with the C++ type of a type of key.
template <typename Visit>
void with_key_type(KeyType type, Visit visit) {
  switch (type) {
    case KeyType::kU8:
      return visit(std::uint8_t{});
    case KeyType::kI8:
      return visit(std::int8_t{});
    case KeyType::kU16:
      return visit(std::uint16_t{});
    case KeyType::kI16:
      return visit(std::int16_t{});
    case KeyType::kU32:
      return visit(std::uint32_t{});
    case KeyType::kI32:
      return visit(std::int32_t{});
    case KeyType::kF32:
      return visit(float{});
    case KeyType::kU64:
      return visit(std::uint64_t{});
    case KeyType::kI64:
      return visit(std::int64_t{});
    case KeyType::kF64:
      return visit(double{});
  }
}

/// Queries that are looked up together; see RangeKernels.
inline constexpr std::size_t kBlock = 1024;
inline constexpr std::size_t kLineBytes = 64;
/// Keys a cell of a CellTable has on average.
inline constexpr std::size_t kCellKeys = 16;

/// Sorted keys: count of them, each of the width of their type.
struct SortedKeys {
  const void* data;
  std::size_t count;
};

/// What one look over the keys tells.
struct KeyFacts {
  bool sorted;  // ascending, equal ones allowed
  bool unique;  // strictly
  bool has_nan;
};

/// How a key becomes a coordinate, an unsigned integer that rises with it.
struct Spread {
  enum Kind : std::uint64_t { kLinear, kLogarithmic };

  std::uint64_t kind;
  std::int64_t lowest, highest;  // the smallest and largest finite key, `ordered`
  double origin, scale;          // floats: x/2 − origin is 0 or more; linear: times scale
  double offset;                 // logarithmic: added before the logarithm is taken
  std::uint64_t base;            // logarithmic: the bits of `offset`
  std::uint64_t shift;       // of the coordinate, so that it fills 64 bits, of which 32 are used
  std::uint64_t multiplier;  // they times this = root cell · 2^root_shift + fraction
  std::uint64_t root_shift;
};

struct CellTable {
  Spread spread;
  std::size_t roots;
  const std::uint64_t* root;  // 2 · roots
  std::size_t cells;          // entries of `cell`
  const std::uint16_t* cell;
  std::int64_t error_low, error_high;
  std::uint64_t wrong_lines;  // keys of which the predicted line is not the right one
};

inline constexpr std::size_t kLevelsMax = 24;

struct SearchTree {
  std::size_t levels;             // above the lines
  std::size_t nodes[kLevelsMax];  // from the root down
  std::size_t first[kLevelsMax];  // of its level, in nodes
  const void* node;               // 64-byte aligned, `ordered`
};

struct ValueTable {
  std::int64_t lowest;  // `ordered`
  std::size_t values;
  const std::uint32_t* below;  // values + 1
};

/// What is known about the array beside the tables: where its lines lie.
struct Lines {
  const unsigned char* first;  // the first whole line, 64-byte aligned
  std::size_t head;            // keys before it
  std::size_t count;           // whole lines
};

/// The kernels of one type of key. Queries are `ordered`, int32 or int64 as the keys are wide (8
/// and 16 bits: int32), at most kBlock of them; ranks come out as uint64.
struct RangeKernels {
  std::size_t width;  // bytes of an `ordered` query
  /// `ordered` queries of raw ones; right: of their successors. True: some have none, and their
  /// ranks are to be put right by past_last.
  bool (*order)(const void* raw, std::size_t count, bool right, void* ordered);
  void (*past_last)(SortedKeys keys, const void* raw, std::size_t count, std::uint64_t* ranks);
  KeyFacts (*look)(SortedKeys keys);
  void (*by_search)(SortedKeys keys, const void* ordered, std::size_t count, std::uint64_t* ranks);
  void (*by_cells)(SortedKeys keys, const Lines& lines, bool unique, const CellTable& table,
                   const void* ordered, std::size_t count, std::uint64_t* ranks);
  /// The rank of one raw query: what a batch prepares and puts right costs as much as the look-up.
  std::uint64_t (*rank_by_cells)(SortedKeys keys, const Lines& lines, bool unique,
                                 const CellTable& table, const void* raw, bool right);
  void (*by_tree)(SortedKeys keys, const Lines& lines, const SearchTree& tree, const void* ordered,
                  std::size_t count, std::uint64_t* ranks);
  void (*by_values)(SortedKeys keys, const ValueTable& table, const void* ordered,
                    std::size_t count, std::uint64_t* ranks);
  /// Queries that ascend, with ranks from `low` on that lie close together: merged with the keys.
  void (*by_merge)(SortedKeys keys, std::uint64_t low, const void* ordered, std::size_t count,
                   std::uint64_t* ranks);
  /// Whether queries ascend.
  bool (*ascend)(const void* ordered, std::size_t count);
  /// ranks[i] becomes −1 where the key there is not the raw query.
  void (*keep_found)(SortedKeys keys, const void* raw, std::size_t count, std::uint64_t* ranks);
  /// The same as booleans.
  void (*found)(SortedKeys keys, const void* raw, std::size_t count, const std::uint64_t* ranks,
                unsigned char* out);

  /// Spreads fitted to the keys, over `roots` root cells.
  Spread (*fit_spread)(SortedKeys keys, Spread::Kind kind, std::size_t roots);
  /// Where each root cell begins, and how many cells it gets: fills root (2 · roots); returns the
  /// number of entries that the cells will have.
  std::size_t (*plan_cells)(SortedKeys keys, const Spread& spread, std::size_t roots,
                            std::uint64_t* root);
  /// Fills the cells of a planned table and its errors, over every key.
  void (*fill_cells)(SortedKeys keys, const Lines& lines, CellTable& table, std::uint16_t* cell);
  /// Fills the nodes of a tree; their number is tree_shape's.
  void (*fill_tree)(const Lines& lines, const SearchTree& tree, void* node);
  void (*fill_values)(SortedKeys keys, const ValueTable& table, std::uint32_t* below);
};

/// The kernels for this processor; `portable`: those without special instructions.
const RangeKernels& range_kernels(KeyType type, bool portable = false);

std::size_t key_width(KeyType type);
Lines lines_of(SortedKeys keys, std::size_t width);
/// The levels over so many lines of keys; `node` is left null.
SearchTree tree_shape(std::size_t lines, std::size_t width);

/// Whether no look-up among `count` keys would read outside these arrays, if the spread is
/// fit_spread's.
bool validate(const CellTable& table, std::size_t count);
bool validate(const ValueTable& table, std::size_t count);

}  // namespace acumen::index
