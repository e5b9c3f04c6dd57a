// Nanoseconds a look-up of absent keys: our binary fuse tables beside a plain one, as the paper has
// it (3-wise, a byte a slot), with and without keys fetched ahead. Thread time, the least of
// rounds.
//
// Build and run, from the repository's root after `make .venv/.installed`:
//   g++ -std=c++20 -O3 -Inative/include benchmarks/native/membership_speed.cpp
//       build/*/libacumen_kernels.a -o build/membership_speed && build/membership_speed
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "acumen/index/binary_fuse_build.hpp"

using namespace acumen::membership;

namespace {

/// One byte a slot; only its look-ups matter here.
struct PlainFuse {
  std::uint64_t seed = 1;
  std::uint32_t length, places;
  std::vector<std::uint8_t> table;

  explicit PlainFuse(std::uint64_t n) {
    const FuseShape shape = usual_shape(n, 3);
    length = 1u << shape.segment_bits;
    places = static_cast<std::uint32_t>(shape.segments << shape.segment_bits);
    table.resize(shape.slots());
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<std::uint8_t>(mixed(i));
  }

  struct Probe {
    std::uint32_t a, b, c;
    std::uint8_t print;
  };

  Probe probe(std::uint64_t key) const {
    const std::uint64_t hash = mixed(key + seed);
    Probe p;
    p.print = static_cast<std::uint8_t>(hash ^ (hash >> 32));
    p.a = static_cast<std::uint32_t>((static_cast<Wide>(hash) * places) >> 64);
    p.b = (p.a + length) ^ (static_cast<std::uint32_t>(hash >> 18) & (length - 1));
    p.c = (p.a + 2 * length) ^ (static_cast<std::uint32_t>(hash) & (length - 1));
    return p;
  }

  bool check(const Probe& p) const { return (p.print ^ table[p.a] ^ table[p.b] ^ table[p.c]) == 0; }

  void one_by_one(const std::vector<std::uint64_t>& keys, bool* out) const {
    for (std::size_t i = 0; i < keys.size(); ++i) out[i] = check(probe(keys[i]));
  }

  void fetching(const std::vector<std::uint64_t>& keys, bool* out) const {
    constexpr std::size_t kAhead = 16;
    Probe ring[kAhead];
    const auto start = [&](std::size_t i) {
      Probe& p = ring[i % kAhead];
      p = probe(keys[i]);
      __builtin_prefetch(&table[p.a]);
      __builtin_prefetch(&table[p.b]);
      __builtin_prefetch(&table[p.c]);
    };
    for (std::size_t i = 0; i < kAhead; ++i) start(i);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      out[i] = check(ring[i % kAhead]);
      if (i + kAhead < keys.size()) start(i + kAhead);
    }
  }
};

double thread_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

int main() {
  constexpr std::size_t kAsked = 300'000;
  constexpr int kRounds = 40;
  std::vector<std::uint64_t> absent(kAsked);
  for (std::size_t i = 0; i < kAsked; ++i) absent[i] = mixed(i + 1'000'003);
  const auto out = std::make_unique<bool[]>(kAsked);
  std::printf("%10s %10s %10s %12s %12s %12s %12s\n", "keys", "plain", "fetching", "3-wise 1%",
              "4-wise 1%", "3-wise 1/256", "4-wise 1/256");
  for (const std::size_t n : {30'000u, 1'000'000u, 10'000'000u}) {
    const PlainFuse plain(n);
    std::vector<FuseTable> ours;
    for (const double rate : {0.01, 1.0 / 256}) {
      for (const std::uint64_t arity : {3, 4}) {
        FuseTable& table = ours.emplace_back();
        table.shape = usual_shape(n, arity);
        set_rate(table.shape, rate);
        table.bytes.resize(table.shape.table_bytes());
        for (std::size_t i = 0; i < table.bytes.size(); ++i)
          table.bytes[i] = static_cast<std::uint8_t>(mixed(i));
      }
    }
    std::vector<double> least(2 + ours.size(), 1e9);
    for (int round = 0; round < kRounds; ++round) {
      for (std::size_t c = 0; c < least.size(); ++c) {
        const double start = thread_seconds();
        if (c == 0) plain.one_by_one(absent, out.get());
        if (c == 1) plain.fetching(absent, out.get());
        if (c > 1) contains_many(ours[c - 2].view(), absent.data(), kAsked, out.get());
        least[c] = std::min(least[c], (thread_seconds() - start) * 1e9 / kAsked);
      }
    }
    std::printf("%10zu %10.2f %10.2f %12.2f %12.2f %12.2f %12.2f\n", n, least[0], least[1],
                least[2], least[3], least[4], least[5]);
  }
}
