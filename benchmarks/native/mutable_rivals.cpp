// Sorted maps beside each other: LeafTree, absl::btree_map where it is installed, std::map. For
// benchmarks/index_mutable.py, which passes a file of distinct uint64 keys in the order in which
// they are to be put in; prints rows of: structure, operation, nanoseconds, bytes a key.
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <random>
#include <vector>

#if __has_include(<absl/container/btree_map.h>)
#include <absl/container/btree_map.h>
#endif

#include "acumen/index/leaf_tree.hpp"

namespace {

using Keys = std::vector<std::int64_t>;
using acumen::index::LeafTree;

/// Bytes that the allocator has given out.
std::size_t allocated_bytes() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

double processor_ns() {
  timespec now;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

/// Nanoseconds of the processor for each of `count`.
template <class Body>
double timed(std::size_t count, Body body) {
  const double start = processor_ns();
  body();
  return (processor_ns() - start) / static_cast<double>(count);
}

void row(const char* structure, const char* operation, double nanoseconds, double bytes) {
  std::printf("%s\t%s\t%.2f\t%.2f\n", structure, operation, nanoseconds, bytes);
}

volatile std::uint64_t sink;

struct Tree {
  LeafTree map{nullptr};
  void put(std::int64_t key, std::uint64_t value) { map.set(key, value); }
  std::uint64_t get(std::int64_t key) const {
    std::uint64_t value = 0;
    map.version().find(key, value);
    return value;
  }
  void erase(std::int64_t key) { map.erase(key); }
  std::uint64_t scan() const {
    std::uint64_t sum = 0, values[1024];
    const std::size_t keys = map.version().size();
    for (std::size_t done = 0; done < keys; done += 1024) {
      const std::size_t part = std::min<std::size_t>(1024, keys - done);
      map.version().read(done, part, nullptr, values);
      for (std::size_t i = 0; i < part; ++i) sum += values[i];
    }
    return sum;
  }
};

template <class Map>
struct Other {
  Map map;
  void put(std::int64_t key, std::uint64_t value) { map[key] = value; }
  std::uint64_t get(std::int64_t key) const { return map.find(key)->second; }
  void erase(std::int64_t key) { map.erase(key); }
  std::uint64_t scan() const {
    std::uint64_t sum = 0;
    for (const auto& [key, value] : map) sum += value;
    return sum;
  }
};

template <class Contender>
void measure(const char* name, const Keys& keys, const Keys& asked) {
  const std::size_t before = allocated_bytes();
  auto* contender = new Contender;
  const double put = timed(keys.size(), [&] {
    for (std::size_t i = 0; i < keys.size(); ++i) contender->put(keys[i], i);
  });
  const double bytes =
      static_cast<double>(allocated_bytes() - before) / static_cast<double>(keys.size());
  row(name, "insert", put, bytes);
  row(name, "get",
      timed(asked.size(),
            [&] {
              std::uint64_t sum = 0;
              for (const std::int64_t key : asked) sum += contender->get(key);
              sink = sum;
            }),
      bytes);
  row(name, "get, dependent",
      timed(asked.size(),
            [&] {
              std::uint64_t last = 0;
              for (const std::int64_t key : asked) last = contender->get(key + (last == ~0ull));
              sink = last;
            }),
      bytes);
  row(name, "iterate", timed(keys.size(), [&] { sink = contender->scan(); }), bytes);
  if constexpr (std::is_same_v<Contender, Tree>) {
    std::vector<std::uint64_t> values(asked.size());
    std::vector<unsigned char> found(asked.size());
    row(name, "get, batch",
        timed(asked.size(),
              [&] {
                contender->map.version().find_all(asked.data(), asked.size(), values.data(),
                                                  found.data());
              }),
        bytes);
    row(name, "searchsorted, batch",
        timed(asked.size(),
              [&] {
                contender->map.version().ranks(asked.data(), asked.size(), false, values.data());
              }),
        bytes);
  }
  row(name, "delete",
      timed(keys.size() / 2,
            [&] {
              for (std::size_t i = 0; i < keys.size() / 2; ++i) contender->erase(keys[i]);
            }),
      bytes);
  delete contender;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) return 2;
  std::ifstream file(arguments[1], std::ios::binary | std::ios::ate);
  std::vector<std::uint64_t> raw(static_cast<std::size_t>(file.tellg()) / 8);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(raw.data()), static_cast<std::streamsize>(8 * raw.size()));
  Keys keys;
  for (const std::uint64_t key : raw)
    keys.push_back(static_cast<std::int64_t>(key ^ std::uint64_t{1} << 63));
  std::mt19937_64 random(1);
  Keys asked(std::min<std::size_t>(keys.size(), 1 << 19));
  for (std::int64_t& key : asked) key = keys[random() % keys.size()];
  measure<Tree>("LeafTree", keys, asked);
#if __has_include(<absl/container/btree_map.h>)
  measure<Other<absl::btree_map<std::int64_t, std::uint64_t>>>("absl::btree_map", keys, asked);
#endif
  measure<Other<std::map<std::int64_t, std::uint64_t>>>("std::map", keys, asked);
}
