// Scorer of keys for learned filters: a linear model over hashed pieces of the key, in a few KB.
//
// Idea       A key is a bag of pieces: of a text all runs of 1 to 8 bytes of chosen lengths, with
// marks
//            for its beginning and end, and its length; of an integer its prefixes, every 4 bits. A
//            piece's hash names one of 2^k weights of one byte, and the score is their sum divided
//            by the square root of their number, so that long and short texts compare. The model
//            need not be good: what it gets wrong costs a few bits a key in the filters behind it,
//            and its own bytes are counted.
// Guarantee  Integers only: the same score for the same key on every machine and in every build,
// which
//            is what the absence of false negatives rests on. |score| <= 2^23. At most
//            kTextBytesMax bytes of a text are looked at.
// Layout     text     ^ e x a m p l e . c o m $        ^ and $ mark the ends
//            3-grams  ^ex exa xam … com om$            hash → weight[2^k] (int8)
//            integer  x >> 60, x >> 56, … x >> 0       each with its depth
// Paper      Kraska, Beutel, Chi, Dean & Polyzotis, "The case for learned index structures", SIGMOD
//            2018 (filters with a classifier); Weinberger et al., "Feature hashing for large scale
//            multitask learning", ICML 2009.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "acumen/index/filter_hash.hpp"

namespace acumen::membership {

inline constexpr std::size_t kTextBytesMax = 1024;
inline constexpr std::uint32_t kBucketBitsMin = 6;
inline constexpr std::uint32_t kBucketBitsMax = 20;
inline constexpr std::size_t kGramMax = 8;

/// A text; or an integer, whose eight bytes `text` points to.
struct KeyView {
  const std::uint8_t* text;
  std::size_t size;
};

/// Which pieces are looked at, and how many weights there are.
struct PieceShape {
  std::uint32_t bucket_bits = 10;
  std::uint32_t grams = 0;  // bit n: runs of n bytes; 0: keys are integers

  std::size_t buckets() const { return std::size_t{1} << bucket_bits; }
};

inline bool validate(const PieceShape& shape, std::uint64_t weights) {
  return shape.bucket_bits >= kBucketBitsMin && shape.bucket_bits <= kBucketBitsMax &&
         weights == shape.buckets() && (shape.grams & ~0x1feu) == 0;
}

/// Calls visit(bucket) for every piece of a text.
template <class Visit>
inline void visit_text(const PieceShape& shape, const KeyView& key, Visit&& visit) {
  const int shift = 64 - static_cast<int>(shape.bucket_bits);
  const std::size_t size = std::min(key.size, kTextBytesMax);
  const auto length = std::min<std::uint64_t>(size < 64 ? size / 4 : 12 + size / 16, 63);
  visit((length * 2 + 1) * kOdd3 >> shift);
  for (std::size_t n = 1; n <= kGramMax; ++n) {
    if (!(shape.grams >> n & 1)) continue;
    const std::uint64_t mask = ~std::uint64_t{0} >> (64 - 8 * n), odd = kOdd1 + 2 * n * kOdd2;
    std::uint64_t window = 2;  // the beginning
    for (std::size_t i = 0; i < size; ++i) {
      window = window << 8 | key.text[i];
      if (i + 2 >= n) visit(((window & mask) * odd) >> shift);
    }
    window = window << 8 | 3;  // the end
    if (size + 2 >= n) visit(((window & mask) * odd) >> shift);
  }
}

/// Calls visit(bucket) for every prefix of an integer.
template <class Visit>
inline void visit_integer(const PieceShape& shape, std::uint64_t value, Visit&& visit) {
  const int shift = 64 - static_cast<int>(shape.bucket_bits);
  for (std::uint64_t depth = 0; depth < 64; depth += 4)
    visit(mixed((value >> depth) * kOdd3 + depth) >> shift);
}

template <class Visit>
inline void visit_pieces(const PieceShape& shape, const KeyView& key, Visit&& visit) {
  if (shape.grams) return visit_text(shape, key, visit);
  std::uint64_t value;
  std::memcpy(&value, key.text, 8);
  visit_integer(shape, value, visit);
}

/// round(2^16 / sqrt(n)), in integers.
inline std::int64_t inverse_root(std::uint64_t n) {
  // floor(2^16 / sqrt(n)) is the largest r with r² n <= 2^32; rounding needs no more precision.
  auto r = static_cast<std::int64_t>(65536.0 / std::sqrt(static_cast<double>(n)));
  while (r * r * static_cast<std::int64_t>(n) > std::int64_t{1} << 32) --r;
  while ((r + 1) * (r + 1) * static_cast<std::int64_t>(n) <= std::int64_t{1} << 32) ++r;
  return r;
}

struct NgramScorer {
  PieceShape shape;
  const std::int8_t* weights = nullptr;

  std::int32_t score(const KeyView& key) const {
    std::int64_t sum = 0;
    std::uint64_t pieces = 0;
    visit_pieces(shape, key, [&](std::uint64_t bucket) {
      sum += weights[bucket];
      ++pieces;
    });
    // The sum has at most 127 · 8 · 1026, its product 37 bits.
    return static_cast<std::int32_t>((sum * inverse_root(pieces)) >> 12);
  }
};

}  // namespace acumen::membership
