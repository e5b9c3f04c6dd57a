// Arbitrary keys, with duplicates: each is found. Arbitrary arrays, as from a file: what validate()
// lets pass is asked without leaving any array.
#include <cstdlib>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "acumen/aligned.hpp"
#include "acumen/index/point_lookup.hpp"
#include "fuzz_input.hpp"
#include "program.hpp"

namespace fuzz_point_index {

using namespace acumen;
using namespace acumen::index;

namespace {

std::uint64_t word(Input& input) {
  std::uint64_t word = input.byte();
  if (input.byte() % 2 == 0) return word << input.below(64);
  for (int i = 0; i < 7; ++i) word = word << 8 | input.byte();
  return word;
}

template <class T>
AlignedArray<T> bytes_as(Input& input, std::size_t count) {
  AlignedArray<T> array(count);
  auto* raw = reinterpret_cast<std::uint8_t*>(array.data());
  for (std::size_t i = 0; i < array.bytes() && !input.empty(); ++i) raw[i] = input.byte();
  return array;
}

void build(Input& input, PointKind kind) {
  std::vector<std::uint64_t> keys(input.below(120));
  for (std::uint64_t& key : keys) key = word(input);
  std::unordered_map<std::uint64_t, std::int64_t> first;
  for (std::size_t i = 0; i < keys.size(); ++i) first.emplace(keys[i], i);
  const std::size_t lines = keys.size() / 3 + 2;
  AlignedArray<WordLine> words(lines);
  AlignedArray<TagLine> tags(lines);
  PointLookup lookup;
  lookup.kind = kind;
  lookup.rows = keys.size();
  lookup.keys = {keys.data(), WordType::kU64};
  lookup.words = {words.data(), lines, word(input)};
  lookup.tags = {tags.data(), lines, lookup.words.seed};
  const BuildResult built = lookup.build(Duplicates::kFirst);
  if (built.status != BuildResult::Status::kDone) return;  // crowded: another seed would do
  if (built.keys != first.size() || !lookup.validate(lines, 0)) std::abort();
  for (const std::uint64_t key : keys) {
    for (const std::uint64_t query : {key, key + 1}) {
      const auto found = first.find(query);
      const std::int64_t right = found == first.end() ? -1 : found->second;
      if (lookup.find_one(point_kernels(), query) != right) std::abort();
    }
  }
}

void foreign(Input& input) {
  PointLookup lookup;
  lookup.kind = static_cast<PointKind>(input.below(7));
  lookup.rows = input.below(40);
  std::vector<std::uint64_t> keys(lookup.rows), queries(50);
  for (std::uint64_t& key : keys) key = word(input);
  for (std::uint64_t& query : queries) query = word(input);
  lookup.keys = {keys.data(), WordType::kU64};
  lookup.grid = Grid(word(input), word(input), input.below(64));
  lookup.model = {word(input), word(input), 1 + input.below(63), nullptr};
  if (lookup.model.cells() > 64) return;
  AlignedArray<std::uint32_t> ranks = bytes_as<std::uint32_t>(input, lookup.model.cells() + 1);
  if (input.below(2) != 0) {  // likely to be valid
    ranks.fill(0);
    ranks[ranks.size() - 1] = static_cast<std::uint32_t>(lookup.rows);
  }
  lookup.model.ranks = ranks.data();
  lookup.home = {lookup.model, word(input)};
  std::size_t size = input.below(8);
  if (lookup.kind == PointKind::kBitmap) size = (lookup.grid.count + 63) / 64;
  if (lookup.kind == PointKind::kDirect) size = lookup.grid.count;
  AlignedArray<TagLine> memory = bytes_as<TagLine>(input, size + 1);
  void* data = memory.data();
  lookup.cells = static_cast<BitmapCell*>(data);
  lookup.direct = static_cast<std::uint32_t*>(data);
  lookup.words = {static_cast<WordLine*>(data), size, word(input)};
  lookup.tags = {static_cast<TagLine*>(data), size, word(input)};
  if (!lookup.validate(size, ranks.size())) return;
  std::vector<std::int64_t> out(queries.size());
  lookup.find(point_kernels(), {queries.data(), WordType::kU64}, 0, queries.size(), out.data());
  for (const std::int64_t at : out) {
    if (at < -1 || at >= static_cast<std::int64_t>(lookup.rows)) std::abort();
  }
}

}  // namespace

FUZZ_TARGET(fuzz_point_index, data, size) {
  Input input(data, size);
  switch (input.below(3)) {
    case 0:
      build(input, PointKind::kWords);
      break;
    case 1:
      build(input, PointKind::kTags);
      break;
    default:
      foreign(input);
  }
  return 0;
}

}  // namespace fuzz_point_index
