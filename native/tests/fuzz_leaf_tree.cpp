// Arbitrary writes of a LeafTree, in place and in batches, while old versions of it are held: it
// holds what std::map holds, and so does every version.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

#include "acumen/index/leaf_tree.hpp"
#include "fuzz_input.hpp"
#include "program.hpp"

namespace fuzz_leaf_tree {

using namespace acumen::index;

namespace {

using Map = std::map<std::int64_t, std::uint64_t>;

std::int64_t key_of(acumen::Input& input) {
  const auto key = static_cast<std::int64_t>(input.byte() << 8 | input.byte());
  const std::uint32_t kind = input.below(8);
  if (kind == 0) return key << 48;  // all over the range, its ends too
  return kind == 1 ? ~(key << 47) : key;
}

void expect_same(const Version& version, const Map& map) {
  if (!version.validate() || version.size() != map.size()) std::abort();
  std::vector<std::int64_t> keys(map.size());
  std::vector<std::uint64_t> values(map.size());
  version.read(0, map.size(), keys.data(), values.data());
  std::size_t at = 0;
  for (const auto& [key, value] : map) {
    if (keys[at] != key || values[at] != value) std::abort();
    ++at;
  }
}

/// So many keys from one on, this far apart.
void many(LeafTree& tree, Map& map, acumen::Input& input, bool added) {
  const std::int64_t first = key_of(input), apart = 1 + input.below(40);
  const std::int64_t count = first < 1 << 30 ? 64 * input.below(16) : 0;
  Map batch;
  for (std::int64_t k = 0; k < count; ++k) batch[first + k * apart] = static_cast<std::uint64_t>(k);
  std::vector<std::int64_t> keys;
  std::vector<std::uint64_t> values;
  for (const auto& [key, value] : batch) {
    keys.push_back(key);
    values.push_back(value);
    if (added) {
      map[key] = value;
    } else {
      map.erase(key);
    }
  }
  tree.replace(added ? tree.version().with({keys.data(), values.data(), keys.size()})
                     : tree.version().without(keys.data(), keys.size()));
}

}  // namespace

FUZZ_TARGET(fuzz_leaf_tree, data, size) {
  acumen::Input input(data, size);
  LeafTree tree(nullptr);
  Map map;
  std::vector<std::pair<Version, Map>> old;
  for (std::size_t step = 0; step < std::min<std::size_t>(size / 4, 120); ++step) {
    const std::int64_t key = key_of(input);
    const auto there = map.lower_bound(key);
    switch (input.below(8)) {
      case 0:
        many(tree, map, input, true);
        break;
      case 1:
        many(tree, map, input, false);
        break;
      case 2:
        old.emplace_back(tree.version(), map);
        break;
      case 3:
      case 4:
        if (there == map.end()) break;
        if (!tree.erase(there->first)) std::abort();
        map.erase(there);
        break;
      default:
        if (tree.set(key, step) != map.insert_or_assign(key, step).second) std::abort();
    }
    if (old.size() > 3) old.erase(old.begin() + input.below(4));
    if (tree.version().rank(key, false) !=
        static_cast<std::size_t>(std::distance(map.begin(), map.lower_bound(key))))
      std::abort();
  }
  expect_same(tree.version(), map);
  for (const auto& [version, was] : old) expect_same(version, was);
  return 0;
}

}  // namespace fuzz_leaf_tree
