// CRC-32 as in zlib and Ethernet, eight bytes a step.
//
// Idea       A byte-wise CRC waits for a table lookup a byte; with eight tables, eight bytes are
//            looked up at once and their results combined.
// Guarantee  Equals zlib's crc32() for the same bytes and start.
// Paper      Kounavis & Berry, "A systematic approach to building high performance software-based
//            CRC generators", ISCC 2005.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace acumen {

using Crc32Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Crc32Tables make_crc32_tables() {
  Crc32Tables tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
    tables[0][i] = crc;
  }
  for (std::uint32_t i = 0; i < 256; ++i)
    for (std::size_t k = 1; k < 8; ++k)
      tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 0xff];
  return tables;
}

class Crc32 {
 public:
  explicit Crc32(std::uint32_t start = 0) : state_(~start) {}

  void add(const void* data, std::size_t size) {
    static constexpr Crc32Tables tables = make_crc32_tables();
    const auto* p = static_cast<const unsigned char*>(data);
    std::uint32_t crc = state_;
    if constexpr (std::endian::native == std::endian::little) {
      for (; size >= 8; size -= 8, p += 8) {
        std::uint64_t word;
        std::memcpy(&word, p, 8);
        word ^= crc;
        crc = 0;
        for (unsigned k = 0; k < 8; ++k) crc ^= tables[7 - k][word >> (8 * k) & 0xff];
      }
    }
    for (; size > 0; --size, ++p) crc = tables[0][(crc ^ *p) & 0xff] ^ crc >> 8;
    state_ = crc;
  }

  /// The first `bits` bits, lowest first in every byte; those behind in the last byte do not count.
  void add_bits(const unsigned char* data, std::size_t bits) {
    add(data, bits / 8);
    if (bits % 8 == 0) return;
    const auto last = static_cast<unsigned char>(data[bits / 8] & ((1u << bits % 8) - 1));
    add(&last, 1);
  }

  std::uint32_t value() const { return ~state_; }

 private:
  std::uint32_t state_;
};

}  // namespace acumen
