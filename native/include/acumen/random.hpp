// Random numbers: xoshiro256++.
//
// Idea       256 bits of state, four words, a rotation and an addition a draw: fast enough to be
//            drawn on every choice, good enough for every test that matters here.
// Guarantee  The same seed gives the same sequence on every platform. Not for secrets.
// Paper      Blackman & Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 2021.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace acumen {

/// Mixes 64 bits so that close inputs give unrelated outputs (the finaliser of splitmix64).
constexpr std::uint64_t mix64(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

class Random {
 public:
  using State = std::array<std::uint64_t, 4>;

  explicit Random(std::uint64_t seed = 0) { reseed(seed); }

  void reseed(std::uint64_t seed) {
    for (auto& word : state_) word = mix64(seed += 0x9e3779b97f4a7c15ULL);
  }

  std::uint64_t next() {
    const std::uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  /// Uniform on [0, 1), 53 random bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  /// Uniform on {0, …, n-1}; n > 0. The bias is below n / 2^32.
  std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>(((next() >> 32) * n) >> 32);
  }

  const State& state() const { return state_; }
  /// All-zero states are refused: the generator would stay there for ever.
  bool restore(const State& state) {
    if ((state[0] | state[1] | state[2] | state[3]) == 0) return false;
    state_ = state;
    return true;
  }

 private:
  State state_{};
};

}  // namespace acumen
