// Hashes of the point index: of 64-bit words, and of byte strings.
//
// Idea       A word is multiplied, folded and multiplied again. Lines of a table are taken from the
//            product's upper bits by a second multiplication instead of a division, so that a table
//            may have any number of lines. Strings are read sixteen bytes at a time into a 128-bit
//            product, whose halves are folded into the next one.
// Guarantee  Words: different words never share all 64 bits (each step can be undone). The seed
// says
//            which keys share a line: who has bad luck draws another one. Strings: nothing is
//            promised about equal hashes, callers compare the bytes. No byte outside a string is
//            read. The same results on every machine.
// Paper      Lemire, "Fast random integer generation in an interval", TOMACS 2019 (lines); Steele &
//            Vigna, "Computationally easy, spectrally good multipliers", SPE 2022 (multipliers).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Kernels are compiled for several instruction sets, and what they share must not be left to the
// linker, which would keep one copy for all of them.
#define ACUMEN_POINT_INLINE [[gnu::always_inline]] inline

namespace acumen::index {

__extension__ using U128 = unsigned __int128;

inline constexpr std::uint64_t kPointMultiplier = 0xd1342543de82ef95ULL;
inline constexpr std::uint64_t kPointMultiplier2 = 0xaf251af3b0f025b5ULL;

ACUMEN_POINT_INLINE std::uint64_t hash_word(std::uint64_t word, std::uint64_t seed) {
  std::uint64_t h = (word ^ seed) * kPointMultiplier;
  h ^= h >> 32;
  return h * kPointMultiplier2;
}

/// 0 … count - 1, by the upper bits.
ACUMEN_POINT_INLINE std::uint64_t scaled(std::uint64_t hash, std::uint64_t count) {
  return static_cast<std::uint64_t>((static_cast<U128>(hash) * count) >> 64);
}

/// A line of `count` >= 2 that is not `home`, by what scaled(hash, count) does not use.
ACUMEN_POINT_INLINE std::uint64_t second_line(std::uint64_t hash, std::uint64_t home,
                                              std::uint64_t count) {
  const std::uint64_t line = scaled((hash ^ (hash >> 29)) * kPointMultiplier, count - 1);
  return line + (line >= home ? 1 : 0);
}

/// One of 32 bits, which says little about the line.
ACUMEN_POINT_INLINE std::uint32_t filter_bit(std::uint64_t hash) {
  return static_cast<std::uint32_t>(hash >> 20) & 31u;
}

namespace detail {

ACUMEN_POINT_INLINE std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const U128 product = static_cast<U128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

ACUMEN_POINT_INLINE std::uint64_t read64(const char* from) {
  std::uint64_t word;
  std::memcpy(&word, from, 8);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

ACUMEN_POINT_INLINE std::uint64_t read32(const char* from) {
  std::uint32_t word;
  std::memcpy(&word, from, 4);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap32(word);
  return word;
}

}  // namespace detail

ACUMEN_POINT_INLINE std::uint64_t hash_bytes(const char* bytes, std::size_t size,
                                             std::uint64_t seed) {
  constexpr std::uint64_t kA = kPointMultiplier, kB = kPointMultiplier2;
  std::uint64_t h = detail::fold(seed ^ kA, size ^ kB), a = 0, b = 0;
  const char* at = bytes;
  for (std::size_t left = size; left > 16; left -= 16, at += 16) {
    h = detail::fold(detail::read64(at) ^ h ^ kA, detail::read64(at + 8) ^ (h >> 32) ^ kB);
  }
  if (size >= 8) {  // the last sixteen, or the first and the last eight; they may overlap
    a = detail::read64(size >= 16 ? bytes + size - 16 : bytes);
    b = detail::read64(bytes + size - 8);
  } else if (size >= 4) {
    a = detail::read32(bytes);
    b = detail::read32(bytes + size - 4);
  } else {
    for (std::size_t i = 0; i < size; ++i) a = a << 8 | static_cast<unsigned char>(bytes[i]);
  }
  h = detail::fold(a ^ h ^ kA, b ^ (h >> 32) ^ kB) ^ h;
  return hash_word(h, seed);
}

}  // namespace acumen::index
