// A 64-bit fingerprint of a buffer, as fast as memory is read: ties an index file to its keys.
//
// Idea       Four lanes of xor and multiply, so that none waits for another's product; each byte's
//            place matters because a lane is multiplied between two words. Folded at the end.
// Guarantee  The same on every little-endian machine. Not cryptographic: it notices other keys, not
//            an adversary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace acumen::index {

inline std::uint64_t fingerprint(const void* data, std::size_t bytes) {
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio
  const auto* at = static_cast<const unsigned char*>(data);
  std::uint64_t lane[4] = {bytes, ~std::uint64_t{bytes}, kOdd, ~kOdd};
  std::size_t left = bytes;
  const auto turn = [&](std::uint64_t state, std::uint64_t word) {
    state = (state ^ word) * kOdd;
    return state ^ state >> 29;
  };
  for (; left >= 32; left -= 32, at += 32) {
    std::uint64_t word[4];
    std::memcpy(word, at, 32);
    for (int k = 0; k < 4; ++k) lane[k] = turn(lane[k], word[k]);
  }
  for (int k = 0; left > 0; ++k) {
    std::uint64_t word = 0;
    const std::size_t part = left < 8 ? left : 8;
    std::memcpy(&word, at, part);
    lane[k] = turn(lane[k], word);
    at += part;
    left -= part;
  }
  std::uint64_t folded = 0;
  for (const std::uint64_t part : lane) folded = turn(folded, part);
  return turn(folded, folded >> 32);
}

}  // namespace acumen::index
