// Keys and positions in buckets of one cache line: most look-ups wait for memory once.
//
// Idea       Look-ups in a large table are bound by cache misses, so whatever one of them needs
// lies
//            in one line: keys, positions, and a filter of 32 bits that remembers who had to go to
//            its second line because this one, its home, was full (two lines a key: cuckoo
//            hashing). Looking for an absent key hardly ever reads the second line, and finding a
//            present one does for about one key in ten. Which line is a key's home is said by a
//            random hash or, where keys have regular gaps, by a learned model (point_model.hpp),
//            which spreads them more evenly: then lines can be fuller and fewer keys leave home.
//            The second line is always random.
// Guarantee  A look-up reads two lines at most. Keys are compared in full.
//
//            WordLine   [ key 64 ] x 5 | [ position + 1: 32, 0: free ] x 5 | [ passed 32 ]    64
//            bytes TagLine    [ tag 8 ] x 12 | [ passed 32 ] | [ position + 1: 32, 0: free ] x 12
//            64 bytes
//
//            A TagLine keeps 8 bits of each key's hash, and the key is compared where it lies, in
//            the user's array: a second miss, but any kind of key, and a third of the memory.
//
// Paper      Pagh & Rodler, "Cuckoo hashing", J. Algorithms 2004; Dietzfelbinger & Weidling,
// "Balanced
//            allocation and dictionaries with tightly packed constant size bins", TCS 2007; Kraska,
//            Beutel, Chi, Dean & Polyzotis, "The case for learned index structures", SIGMOD 2018.
#pragma once

#include <cstddef>
#include <cstdint>

#include "acumen/index/point_hash.hpp"
#include "acumen/index/point_keys.hpp"
#include "acumen/index/point_model.hpp"

namespace acumen::index {

struct alignas(64) WordLine {
  static constexpr std::uint32_t kSlots = 5;
  std::uint64_t keys[kSlots];
  std::uint32_t positions[kSlots];
  std::uint32_t passed;
};
struct alignas(64) TagLine {
  static constexpr std::uint32_t kSlots = 12;
  std::uint8_t tags[kSlots];
  std::uint32_t passed;
  std::uint32_t positions[kSlots];
};
static_assert(sizeof(WordLine) == 64 && sizeof(TagLine) == 64);

/// Zeroed lines are an empty table. `count` >= 2.
template <class Line>
struct PointTable {
  Line* lines = nullptr;
  std::uint64_t count = 0;
  std::uint64_t seed = 0;

  ACUMEN_POINT_INLINE std::uint64_t second(std::uint64_t hash, std::uint64_t home) const {
    return second_line(hash, home, count);
  }
  /// Positions are below n: nobody is sent outside the keys, whatever a file says.
  bool validate(std::uint64_t n) const {
    if (count < 2) return false;
    for (std::uint64_t line = 0; line < count; ++line) {
      for (const std::uint32_t position : lines[line].positions) {
        if (position > n) return false;
      }
    }
    return true;
  }
};

ACUMEN_POINT_INLINE std::uint8_t tag_of(std::uint64_t hash) {
  return static_cast<std::uint8_t>(hash >> 28);
}

/// Where a word is at home if its hash is random.
struct RandomHome {
  ACUMEN_POINT_INLINE std::uint64_t operator()(std::uint64_t, std::uint64_t hash,
                                               std::uint64_t count) const {
    return scaled(hash, count);
  }
};

/// Where a word is at home by a model of the keys. Words that no key can be are at home anywhere.
struct LearnedHome {
  PointModel model;
  std::uint64_t lines_per_key = 0;  ///< in units of 2^-32

  ACUMEN_POINT_INLINE std::uint64_t operator()(std::uint64_t word, std::uint64_t,
                                               std::uint64_t count) const {
    const std::uint64_t offset = word - model.origin;
    const std::uint64_t rank = model.rank(offset <= model.span ? offset : model.span);
    const std::uint64_t line = (rank * lines_per_key) >> 32;
    return line < count ? line : count - 1;
  }
};

}  // namespace acumen::index
