// Where keys and queries lie: columns of numbers of every width, and of byte strings, read in
// place.
//
// Idea       A point index compares keys for equality, so every number becomes a 64-bit word that
// is
//            equal exactly if the numbers are: integers are widened; floating-point numbers become
//            doubles, whose bits are turned so that they are ordered like unsigned integers, -0.0
//            becoming 0.0. Queries are turned in blocks that stay in the first cache; 64-bit
//            integers are words already and read where they lie. NaN is equal to nothing: it
//            becomes a word that no number has, and whoever builds an index refuses it.
// Guarantee  word_of() is the same for a key and for a query of the same value, whatever their
// widths. Layout     Strings: offsets[i] … offsets[i + 1] of `data` (32- or 64-bit offsets, as
// Arrow has them),
//            or `width` bytes each, from which zeros at the end are taken if `trimmed` (as NumPy
//            does).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "acumen/index/fetch_ahead.hpp"
#include "acumen/index/point_hash.hpp"

namespace acumen::index {

enum class WordType : std::uint8_t { kI8, kI16, kI32, kI64, kU8, kU16, kU32, kU64, kF32, kF64 };

ACUMEN_POINT_INLINE std::uint64_t word_of(double value) {
  if (value == 0) return 0x8000000000000000ULL;
  if (value != value) return ~std::uint64_t{0};
  const auto bits = std::bit_cast<std::uint64_t>(value);
  return bits >> 63 ? ~bits : bits | 0x8000000000000000ULL;
}

template <class T>
ACUMEN_POINT_INLINE std::uint64_t word_of_integer(T value) {
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
}

/// A column of numbers. `data` is aligned to the type.
struct WordColumn {
  const void* data = nullptr;
  WordType type = WordType::kU64;

  bool is_signed() const { return type <= WordType::kI64; }
  bool is_float() const { return type >= WordType::kF32; }
  bool is_words() const { return type == WordType::kI64 || type == WordType::kU64; }
  std::size_t width() const {
    constexpr std::size_t kWidths[] = {1, 2, 4, 8, 1, 2, 4, 8, 4, 8};
    return kWidths[static_cast<std::size_t>(type)];
  }

  ACUMEN_POINT_INLINE std::uint64_t operator[](std::size_t i) const {
    switch (type) {
      case WordType::kI8:
        return word_of_integer(at<std::int8_t>(i));
      case WordType::kI16:
        return word_of_integer(at<std::int16_t>(i));
      case WordType::kI32:
        return word_of_integer(at<std::int32_t>(i));
      case WordType::kU8:
        return at<std::uint8_t>(i);
      case WordType::kU16:
        return at<std::uint16_t>(i);
      case WordType::kU32:
        return at<std::uint32_t>(i);
      case WordType::kF32:
        return word_of(static_cast<double>(at<float>(i)));
      case WordType::kF64:
        return word_of(at<double>(i));
      default:
        return at<std::uint64_t>(i);
    }
  }

  ACUMEN_POINT_INLINE void prefetch(std::size_t i) const {
    fetch_ahead(static_cast<const char*>(data) + i * width());
  }
  ACUMEN_POINT_INLINE void prefetch_target(std::size_t) const {}

  /// The words of rows first … first + n - 1: where they lie, or turned into `scratch`.
  const std::uint64_t* words(std::size_t first, std::size_t n, std::uint64_t* scratch) const {
    if (is_words()) return static_cast<const std::uint64_t*>(data) + first;
    for (std::size_t i = 0; i < n; ++i) scratch[i] = (*this)[first + i];
    return scratch;
  }

 private:
  template <class T>
  ACUMEN_POINT_INLINE T at(std::size_t i) const {
    return static_cast<const T*>(data)[i];
  }
};

/// Rows that are turned at once.
inline constexpr std::size_t kWordBlock = 2048;

struct Bytes {
  const char* data = nullptr;
  std::size_t size = 0;

  ACUMEN_POINT_INLINE bool operator==(const Bytes& other) const {
    return size == other.size && (size == 0 || std::memcmp(data, other.data, size) == 0);
  }
};

ACUMEN_POINT_INLINE std::uint64_t hash_of(std::uint64_t word, std::uint64_t seed) {
  return hash_word(word, seed);
}
ACUMEN_POINT_INLINE std::uint64_t hash_of(const Bytes& key, std::uint64_t seed) {
  return hash_bytes(key.data, key.size, seed);
}

struct ByteColumn {
  const char* data = nullptr;
  const void* offsets = nullptr;  // nullptr: fixed width
  std::size_t width = 0;          // of an offset (4 or 8), or of a row
  bool trimmed = false;

  ACUMEN_POINT_INLINE Bytes operator[](std::size_t i) const {
    if (offsets == nullptr) {
      Bytes row{data + i * width, width};
      while (trimmed && row.size > 0 && row.data[row.size - 1] == 0) --row.size;
      return row;
    }
    if (width == 4) return between(static_cast<const std::int32_t*>(offsets) + i);
    return between(static_cast<const std::int64_t*>(offsets) + i);
  }

  /// Of what says where the row is; prefetch_target() reads that, and asks for the row itself.
  ACUMEN_POINT_INLINE void prefetch(std::size_t i) const {
    fetch_ahead((offsets == nullptr ? data : static_cast<const char*>(offsets)) + i * width);
  }
  ACUMEN_POINT_INLINE void prefetch_target(std::size_t i) const {
    if (offsets != nullptr) fetch_ahead((*this)[i].data);
  }

  /// Offsets from a foreign buffer rise and stay within `size` bytes.
  bool validate(std::size_t rows, std::size_t size) const {
    if (offsets == nullptr) return width == 0 || rows <= size / width;
    return width == 4 ? rises(static_cast<const std::int32_t*>(offsets), rows, size)
                      : rises(static_cast<const std::int64_t*>(offsets), rows, size);
  }

 private:
  template <class T>
  ACUMEN_POINT_INLINE Bytes between(const T* offset) const {
    return {data + offset[0], static_cast<std::size_t>(offset[1] - offset[0])};
  }
  template <class T>
  static bool rises(const T* offset, std::size_t rows, std::size_t size) {
    if (offset[0] < 0) return false;
    for (std::size_t i = 0; i < rows; ++i) {
      if (offset[i] > offset[i + 1]) return false;
    }
    return static_cast<std::uint64_t>(offset[rows]) <= size;
  }
};

}  // namespace acumen::index
