// What of the tables of range.hpp is no hot path: shapes, and what may be read from a file.
#include "acumen/index/range.hpp"

namespace acumen::index {

const RangeKernels* portable_range_kernels();
const RangeKernels* avx2_range_kernels();

const RangeKernels& range_kernels(KeyType type, bool portable) {
  const RangeKernels* kernels = portable_range_kernels();
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
  if (has_avx2 && !portable) kernels = avx2_range_kernels();
#endif
  return kernels[static_cast<std::size_t>(type)];
}

std::size_t key_width(KeyType type) {
  constexpr std::size_t kWidths[kKeyTypes] = {1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
  return kWidths[static_cast<std::size_t>(type)];
}

Lines lines_of(SortedKeys keys, std::size_t width) {
  const auto address = reinterpret_cast<std::uintptr_t>(keys.data);
  const std::size_t head = (kLineBytes - address % kLineBytes) % kLineBytes / width;
  const std::size_t per_line = kLineBytes / width;
  const std::size_t count = keys.count > head ? (keys.count - head) / per_line : 0;
  return {static_cast<const unsigned char*>(keys.data) + head * width, head, count};
}

SearchTree tree_shape(std::size_t lines, std::size_t width) {
  const std::size_t fan = kLineBytes / width + 1;
  SearchTree tree{};
  std::size_t upwards[kLevelsMax] = {};
  for (std::size_t below = lines; below > 1; ++tree.levels)
    below = upwards[tree.levels] = (below + fan - 1) / fan;
  std::size_t first = 0;
  for (std::size_t s = 0; s < tree.levels; ++s) {
    tree.nodes[s] = upwards[tree.levels - 1 - s];
    tree.first[s] = first;
    first += tree.nodes[s];
  }
  return tree;
}

bool validate(const CellTable& table, std::size_t count) {
  const Spread& spread = table.spread;
  if (spread.kind > Spread::kLogarithmic || spread.lowest > spread.highest || spread.shift > 63)
    return false;
  if (table.roots == 0 || count == 0) return false;
  std::size_t entries = 0;
  std::uint64_t rank = 0;
  for (std::size_t r = 0; r < table.roots; ++r) {
    const std::uint64_t packed = table.root[2 * r + 1];
    const std::uint64_t cells = packed >> 32 & ((1u << 26) - 1);
    if (table.root[2 * r] < rank || table.root[2 * r] > count) return false;
    if (static_cast<std::uint32_t>(packed) != entries || cells == 0) return false;
    rank = table.root[2 * r];
    entries += cells + 1;
  }
  return entries == table.cells;
}

bool validate(const ValueTable& table, std::size_t count) {
  if (table.below[0] != 0 || table.below[table.values] != count) return false;
  for (std::size_t i = 0; i < table.values; ++i)
    if (table.below[i] > table.below[i + 1]) return false;
  return true;
}

}  // namespace acumen::index
