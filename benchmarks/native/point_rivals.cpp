// What index_point.py compares with and has no Python for: absl::flat_hash_map, and the memory
// itself, read at random as fast as it goes. Built as a shared library and called through ctypes.
#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <cstdint>

using Map = absl::flat_hash_map<std::uint64_t, std::uint32_t>;

extern "C" {

void* absl_build(const std::uint64_t* keys, std::size_t n) {
  auto* map = new Map;
  for (std::size_t i = 0; i < n; ++i) map->emplace(keys[i], static_cast<std::uint32_t>(i));
  return map;
}

void absl_free(void* map) {
  delete static_cast<Map*>(map);
}

/// A slot of 16 bytes and a byte of control for each place, used or not.
std::size_t absl_bytes(const void* map) {
  return static_cast<const Map*>(map)->capacity() * (sizeof(Map::value_type) + 1);
}

void absl_find(const void* map, const std::uint64_t* queries, std::size_t n, std::int64_t* out) {
  const Map& positions = *static_cast<const Map*>(map);
  for (std::size_t i = 0; i < n; ++i) {
    const auto found = positions.find(queries[i]);
    out[i] = found == positions.end() ? -1 : static_cast<std::int64_t>(found->second);
  }
}

/// Reads a line for each query, at an address that nothing but the query decides.
void read_lines(const char* memory, std::size_t lines, const std::uint64_t* queries, std::size_t n,
                std::int64_t* out) {
  __extension__ using Wide = unsigned __int128;
  const auto address = [&](std::size_t i) {
    const std::uint64_t hash = queries[i] * 0x9e3779b97f4a7c15ULL;
    return memory + static_cast<std::size_t>((static_cast<Wide>(hash) * lines) >> 64) * 64;
  };
  constexpr std::size_t kAhead = 16;
  for (std::size_t i = 0; i < n; ++i) {
    if (i + kAhead < n) __builtin_prefetch(address(i + kAhead));
    out[i] = *reinterpret_cast<const std::int64_t*>(address(i));
  }
}
}
