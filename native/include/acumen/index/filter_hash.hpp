// Hashes of the membership filters: of 64-bit words, and of byte strings.
//
// Idea       A word is its own hash until a table mixes it with its seed, by steps that can each be
//            undone: different words never share all 64 bits. Strings are read sixteen bytes at a
//            time into a 128-bit product, whose halves are folded into the next one.
// Guarantee  The same results on every machine. No byte outside a string is read. Equal hashes of
//            different strings make the one a false positive of the other, nothing worse.
// Paper      Appleby's 64-bit finaliser; Lemire, "Fast random integer generation in an interval",
//            TOMACS 2019 (scaled); Steele & Vigna, "Computationally easy, spectrally good
//            multipliers", SPE 2022.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace acumen::membership {

__extension__ using Wide = unsigned __int128;

inline constexpr std::uint64_t kOdd1 = 0xd1342543de82ef95ULL;
inline constexpr std::uint64_t kOdd2 = 0xaf251af3b0f025b5ULL;
inline constexpr std::uint64_t kOdd3 = 0x9e3779b97f4a7c15ULL;

[[gnu::always_inline]] inline std::uint64_t mixed(std::uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

/// hash · count / 2^64: 0 … count - 1, by the upper bits; count < 2^32. In products of 32 bits,
/// which vector units have.
[[gnu::always_inline]] inline std::uint64_t scaled(std::uint64_t hash, std::uint64_t count) {
  return ((hash >> 32) * count + ((hash & 0xffffffff) * count >> 32)) >> 32;
}

inline std::uint64_t folded(std::uint64_t a, std::uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

[[gnu::always_inline]] inline std::uint64_t load64(const std::uint8_t* from) {
  std::uint64_t word;
  std::memcpy(&word, from, 8);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

inline void store64(std::uint8_t* to, std::uint64_t word) {
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  std::memcpy(to, &word, 8);
}

inline std::uint64_t load32(const std::uint8_t* from) {
  std::uint32_t word;
  std::memcpy(&word, from, 4);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap32(word);
  return word;
}

inline std::uint64_t hash_text(const std::uint8_t* text, std::size_t size) {
  std::uint64_t h = size * kOdd3 + kOdd1, a = 0, b = 0;
  const std::uint8_t* at = text;
  std::size_t left = size;
  for (; left > 16; left -= 16, at += 16) h = folded(load64(at) ^ kOdd2, load64(at + 8) ^ h);
  if (left >= 8) {  // the two words may overlap
    a = load64(at);
    b = load64(at + left - 8);
  } else if (left >= 4) {
    a = load32(at);
    b = load32(at + left - 4);
  } else if (left > 0) {
    a = std::uint64_t{at[0]} << 16 | std::uint64_t{at[left / 2]} << 8 | at[left - 1];
  }
  h = folded(a ^ kOdd2, b ^ h);
  return folded(h ^ kOdd3, size ^ kOdd1);
}

}  // namespace acumen::membership
