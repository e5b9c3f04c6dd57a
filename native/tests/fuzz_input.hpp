// Arbitrary bytes as a stream of operations and values, for the fuzz targets.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace acumen {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  bool empty() const { return at_ >= size_; }
  std::uint8_t byte() { return empty() ? 0 : data_[at_++]; }
  std::uint32_t below(std::uint32_t limit) { return byte() % limit; }

  float value() {
    // Ordinary values, zeros and ones, the limits, what lies beyond them, and raw bits.
    constexpr float kSpecial[] = {0.0f,   -0.0f, 1.0f,   -1.0f,  8.0f,    1e4f,     -1e4f, 1e-40f,
                                  1e-30f, 1e18f, -1e18f, 1.1e4f, 1.1e18f, INFINITY, NAN,   1e-4f};
    const std::uint8_t kind = byte();
    if (kind < 128) return ordinary(kind);
    if (kind < 240) return kSpecial[kind % 16];
    std::uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits = bits << 8 | byte();
    return std::bit_cast<float>(bits);
  }

  /// As value(), and also what only a double can hold.
  double wide_value() {
    constexpr double kSpecial[] = {1e200, -1e200, 1.7e308, -1.7e308, 1e-310, 1e77, 4e9, -5e-324};
    const std::uint8_t kind = byte();
    if (kind < 160) return static_cast<double>(ordinary(kind));
    return kind < 192 ? kSpecial[kind % 8] : static_cast<double>(value());
  }

  /// An ordinary number: small, finite, a multiple of 1/16.
  float plain_value() { return ordinary(byte()); }

 private:
  static float ordinary(std::uint8_t byte) { return (static_cast<float>(byte) - 64.0f) / 16.0f; }

  const std::uint8_t* data_;
  std::size_t size_, at_ = 0;
};

}  // namespace acumen
