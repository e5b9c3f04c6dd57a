// Binary fuse filter with fingerprints of any, also fractional, width: look-ups.
//
// Idea       A key's fingerprint is the XOR of one slot in each of 3 or 4 adjacent segments of a
//            table; where the first segment lies, the hash says. Keys of a set find their
//            fingerprint by construction, others with the probability that so many bits agree.
//            Slots before `cut` are one bit wider than the others: a key whose slots all lie before
//            it is compared in width + 1 bits, another one in `width`. As keys are spread evenly,
//            the cut sets any false-positive rate between 2^-(width+1) and 2^-width, in one table
//            and with no more memory accesses than whole bits need.
// Guarantee  No false negatives. A look-up reads 3 or 4 words and touches nothing outside
//            table_bytes(); validate() says whether a shape from outside keeps to that.
// Layout     slots      0 … L-1 | L … 2L-1 | …                    segments + arity - 1 segments of
// L
//            key                 [ a     ] [  b   ] [ c    ]      a ^ b ^ c == fingerprint
//            bits       slot 0 | slot 1 | … | slot cut | …        without gaps, lowest bit first
//                       width+1  width+1      width
//            Slot i begins at bit i · width + min(i, cut). Eight spare bytes let the last slot be
//            read as a 64-bit word.
// Paper      Graf & Lemire, "Binary fuse filters: fast and smaller than xor filters", JEA 2022;
//            Walzer, "Peeling close to the orientability threshold: spatial coupling in
//            hashing-based data structures", SODA 2021. Two widths of slots in one table: as
//            Dillinger & Walzer have it for ribbon filters, 2021.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "acumen/index/filter_hash.hpp"

namespace acumen::membership {

inline constexpr std::uint32_t kSegmentBitsMax = 18;
inline constexpr std::uint32_t kWidthMax = 31;
inline constexpr std::uint64_t kSlotsMax = 0xffffffff;  // products of them fit in 64 bits
inline constexpr std::size_t kSpareBytes = 8;

/// What a table is like; `arity` 0: no table, every key is inside; 1: none is.
struct FuseShape {
  std::uint64_t seed = 0;
  std::uint64_t arity = 0;
  std::uint64_t segment_bits = 0;  // L = 2^segment_bits
  std::uint64_t segments = 1;      // in which a key's first slot may lie
  std::uint64_t width = 0;
  std::uint64_t cut = 0;

  bool is_table() const { return arity >= 3; }
  std::uint64_t slots() const { return (segments + arity - 1) << segment_bits; }
  std::uint64_t table_bytes() const {
    return is_table() ? (slots() * width + cut + 7) / 8 + kSpareBytes : 0;
  }
};

/// Whether look-ups in `bytes` bytes may follow this shape.
inline bool validate(const FuseShape& shape, std::uint64_t bytes) {
  if (shape.arity == 0 || shape.arity == 1) return true;
  if (shape.arity != 3 && shape.arity != 4) return false;
  if (shape.segment_bits > kSegmentBitsMax || shape.segments < 1) return false;
  if (shape.segments > (kSlotsMax >> shape.segment_bits) - 4) return false;
  if (shape.width > kWidthMax) return false;
  return shape.cut <= shape.slots() && shape.table_bytes() <= bytes;
}

/// Where a key's slots are, and what their XOR is compared with.
template <int kArity>
struct FuseProbe {
  std::array<std::uint64_t, kArity> slot;
  std::uint64_t hash;
};

template <int kArity>
[[gnu::always_inline]] inline FuseProbe<kArity> probe_at(const FuseShape& shape,
                                                         std::uint64_t hash) {
  FuseProbe<kArity> probe;
  const std::uint64_t mask = (std::uint64_t{1} << shape.segment_bits) - 1;
  probe.hash = hash;
  // The upper bits place the key, the lower ones are its fingerprint, and a second product says
  // where in the other segments it goes.
  const std::uint64_t more = probe.hash * kOdd1;
  probe.slot[0] = scaled(probe.hash, shape.segments << shape.segment_bits);
  for (int i = 1; i < kArity; ++i)
    probe.slot[i] = (probe.slot[i - 1] | mask) + 1 + ((more >> (64 - 18 * i)) & mask);
  return probe;
}

template <int kArity>
[[gnu::always_inline]] inline FuseProbe<kArity> probe_of(const FuseShape& shape,
                                                         std::uint64_t key) {
  return probe_at<kArity>(shape, mixed(key + shape.seed));
}

[[gnu::always_inline]] inline std::uint64_t bit_of(const FuseShape& shape, std::uint64_t slot) {
  // Both factors are below 2^32, and no value's sign bit is set: cheap for vector units.
  const std::uint64_t bits =
      std::uint64_t{static_cast<std::uint32_t>(slot)} * static_cast<std::uint32_t>(shape.width);
  const auto here = static_cast<std::int64_t>(slot), cut = static_cast<std::int64_t>(shape.cut);
  return bits + static_cast<std::uint64_t>(here < cut ? here : cut);
}

/// The slot's bits, and above them those of its neighbours.
inline std::uint64_t read_slot(const FuseShape& shape, const std::uint8_t* table,
                               std::uint64_t slot) {
  const std::uint64_t bit = bit_of(shape, slot);
  return load64(table + (bit >> 3)) >> (bit & 7);
}

/// The bits in which a key with these slots is compared.
template <int kArity>
[[gnu::always_inline]] inline std::uint64_t mask_of(const FuseShape& shape,
                                                    const FuseProbe<kArity>& probe) {
  const std::uint64_t bits = shape.width + (probe.slot[kArity - 1] < shape.cut ? 1 : 0);
  return (std::uint64_t{1} << bits) - 1;
}

template <int kArity>
inline bool agrees(const FuseShape& shape, const std::uint8_t* table,
                   const FuseProbe<kArity>& probe) {
  std::uint64_t difference = probe.hash;
  for (int i = 0; i < kArity; ++i) difference ^= read_slot(shape, table, probe.slot[i]);
  return (difference & mask_of<kArity>(shape, probe)) == 0;
}

/// A table that lies elsewhere.
struct FuseView {
  FuseShape shape;
  const std::uint8_t* table = nullptr;

  bool contains(std::uint64_t key) const {
    if (!shape.is_table()) return shape.arity == 0;
    return shape.arity == 3 ? agrees<3>(shape, table, probe_of<3>(shape, key))
                            : agrees<4>(shape, table, probe_of<4>(shape, key));
  }
};

/// Keys are looked up in blocks: what of one needs no memory is worked out for the next block,
/// several keys at a time where the machine can, while the lines that it named travel.
inline constexpr std::size_t kFuseBlock = 32;

/// out[i] = contains(keys[i]) for `blocks` whole blocks; `fetches`: the table is larger than a
/// cache.
using FuseBlocks = void (*)(const FuseView& view, const std::uint64_t* keys, std::size_t blocks,
                            bool fetches, bool* out);

/// The best that this machine has, by arity - 3; native/src/fuse_blocks.inl.
FuseBlocks fuse_blocks(std::uint64_t arity);

/// out[i] = contains(keys[i])
inline void contains_many(const FuseView& view, const std::uint64_t* keys, std::size_t n,
                          bool* out) {
  if (!view.shape.is_table()) return void(std::fill_n(out, n, view.shape.arity == 0));
  const std::size_t blocks = n / kFuseBlock;
  const bool fetches = view.shape.table_bytes() > 512 * 1024;
  fuse_blocks(view.shape.arity)(view, keys, blocks, fetches, out);
  for (std::size_t i = blocks * kFuseBlock; i < n; ++i) out[i] = view.contains(keys[i]);
}

/// Fetches what contains(key) will read.
inline void prefetch(const FuseView& view, std::uint64_t key) {
  const auto fetch = [&](const auto& probe) {
    for (const std::uint64_t slot : probe.slot)
      __builtin_prefetch(view.table + (bit_of(view.shape, slot) >> 3));
  };
  if (view.shape.arity == 3) fetch(probe_of<3>(view.shape, key));
  if (view.shape.arity == 4) fetch(probe_of<4>(view.shape, key));
}

}  // namespace acumen::membership
