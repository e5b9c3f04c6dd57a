// Look-ups of many keys in a binary fuse table, written once and compiled for several instruction
// sets: the including file defines ACUMEN_ISA, the namespace. Nothing is called here that is not
// inlined, since the linker keeps one copy of a function for all sets.
#include "acumen/index/binary_fuse.hpp"
#include "acumen/index/fetch_ahead.hpp"
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace acumen::membership::ACUMEN_ISA {

template <int kArity>
struct Block {
  std::uint64_t hash[kFuseBlock], mask[kFuseBlock], bit[kArity][kFuseBlock];
};

/// As probe_of(), in loops of plain arithmetic that compilers turn into vector code.
template <int kArity>
[[gnu::always_inline]] inline void begin(const FuseShape& shape, const std::uint64_t* keys,
                                         Block<kArity>& block) {
  const std::uint64_t low = (std::uint64_t{1} << shape.segment_bits) - 1;
  const std::uint64_t places = shape.segments << shape.segment_bits;
  std::uint64_t next[kFuseBlock], more[kFuseBlock];
  for (std::size_t j = 0; j < kFuseBlock; ++j) block.hash[j] = mixed(keys[j] + shape.seed);
  for (std::size_t j = 0; j < kFuseBlock; ++j) more[j] = block.hash[j] * kOdd1;
  for (std::size_t j = 0; j < kFuseBlock; ++j) next[j] = scaled(block.hash[j], places);
  for (int i = 0; i < kArity; ++i) {
    std::uint64_t* bit = block.bit[i];
    if (i > 0) {
      const int shift = 64 - 18 * i;
      for (std::size_t j = 0; j < kFuseBlock; ++j) next[j] |= low;
      for (std::size_t j = 0; j < kFuseBlock; ++j) next[j] += 1 + ((more[j] >> shift) & low);
    }
    for (std::size_t j = 0; j < kFuseBlock; ++j) bit[j] = bit_of(shape, next[j]);
  }
  const std::uint64_t narrow = (std::uint64_t{1} << shape.width) - 1, wide = 2 * narrow + 1;
  const auto cut = static_cast<std::int64_t>(shape.cut);
  for (std::size_t j = 0; j < kFuseBlock; ++j)
    block.mask[j] = static_cast<std::int64_t>(next[j]) < cut ? wide : narrow;
}

template <int kArity>
[[gnu::always_inline]] inline void fetch(const std::uint8_t* table, const Block<kArity>& block,
                                         std::size_t j) {
  for (int i = 0; i < kArity; ++i) index::fetch_ahead(table + (block.bit[i][j] >> 3));
}

/// Answers keys j … j + 3.
template <int kArity>
[[gnu::always_inline]] inline void finish(const std::uint8_t* table, const Block<kArity>& block,
                                          std::size_t j, bool* out) {
#if defined(__AVX2__)
  const auto* words = reinterpret_cast<const long long*>(table);
  const auto at = [](const std::uint64_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  };
  __m256i difference = at(block.hash + j);
  for (int i = 0; i < kArity; ++i) {
    const __m256i bit = at(block.bit[i] + j), shift = _mm256_and_si256(bit, _mm256_set1_epi64x(7));
    const __m256i word = _mm256_i64gather_epi64(words, _mm256_srli_epi64(bit, 3), 1);
    difference = _mm256_xor_si256(difference, _mm256_srlv_epi64(word, shift));
  }
  difference = _mm256_and_si256(difference, at(block.mask + j));
  const __m256i same = _mm256_cmpeq_epi64(difference, _mm256_setzero_si256());
  // Four bits become four bytes.
  const auto bits = static_cast<std::uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(same)));
  const std::uint32_t bytes = (bits * 0x00204081u) & 0x01010101u;
  __builtin_memcpy(out + j, &bytes, 4);
#else
  for (std::size_t k = j; k < j + 4; ++k) {
    std::uint64_t difference = block.hash[k];
    for (int i = 0; i < kArity; ++i)
      difference ^= load64(table + (block.bit[i][k] >> 3)) >> (block.bit[i][k] & 7);
    out[k] = (difference & block.mask[k]) == 0;
  }
#endif
}

template <int kArity>
void contains_blocks(const FuseView& view, const std::uint64_t* keys, std::size_t blocks,
                     bool fetches, bool* out) {
  const FuseShape shape = view.shape;
  const std::uint8_t* table = view.table;
  Block<kArity> ring[2];
  if (blocks > 0) begin(shape, keys, ring[0]);
  for (std::size_t b = 0; b < blocks; ++b) {
    const bool has_next = b + 1 < blocks;
    const Block<kArity>& block = ring[b % 2];
    Block<kArity>& next = ring[(b + 1) % 2];
    if (has_next) begin(shape, keys + (b + 1) * kFuseBlock, next);
    for (std::size_t j = 0; j < kFuseBlock; j += 4) {
      for (std::size_t k = j; fetches && has_next && k < j + 4; ++k) fetch(table, next, k);
      finish(table, block, j, out + b * kFuseBlock);
    }
  }
}

inline constexpr FuseBlocks kBlocks[] = {contains_blocks<3>, contains_blocks<4>};

}  // namespace acumen::membership::ACUMEN_ISA
