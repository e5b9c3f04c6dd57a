// LeafTree against std::map: single keys, batches, old versions, references, memory.
#include <algorithm>
#include <map>
#include <vector>

#include "acumen/index/leaf_tree.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_leaf_tree {

using namespace acumen;
using namespace acumen::index;

namespace {

using Map = std::map<std::int64_t, std::uint64_t>;

/// Counts references of values below its size; what is kept or dropped too often is an error.
class Counting final : public ValueKeeper {
 public:
  explicit Counting(std::size_t values) : held(values) {}
  void keep(const std::uint64_t* values, std::size_t count) noexcept override {
    for (std::size_t i = 0; i < count; ++i) held[values[i]] += 1;
  }
  void drop(const std::uint64_t* values, std::size_t count) noexcept override {
    for (std::size_t i = 0; i < count; ++i) EXPECT(held[values[i]]-- > 0);
  }
  std::uint64_t make() {
    held[made] = 1;
    return made++;
  }
  std::vector<std::int64_t> held;
  std::uint64_t made = 0;
};

void expect_same(const Version& version, const Map& map) {
  EXPECT(version.validate() && version.size() == map.size());
  std::vector<std::int64_t> keys(map.size());
  std::vector<std::uint64_t> values(map.size());
  version.read(0, map.size(), keys.data(), values.data());
  std::size_t at = 0;
  for (const auto& [key, value] : map) {
    EXPECT(keys[at] == key && values[at] == value);
    ++at;
  }
}

void expect_found(const Version& version, const Map& map, const std::vector<std::int64_t>& asked) {
  std::vector<std::uint64_t> values(asked.size()), ranks(asked.size()), after(asked.size());
  std::vector<unsigned char> found(asked.size());
  version.find_all(asked.data(), asked.size(), values.data(), found.data());
  version.ranks(asked.data(), asked.size(), false, ranks.data());
  version.ranks(asked.data(), asked.size(), true, after.data());
  std::vector<std::int64_t> keys;
  for (const auto& [key, value] : map) keys.push_back(key);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const auto there = map.find(asked[i]);
    EXPECT(found[i] == (there != map.end()));
    if (found[i]) EXPECT(values[i] == there->second);
    std::uint64_t value = 0;
    EXPECT(version.find(asked[i], value) == (found[i] != 0) && value == (found[i] ? values[i] : 0));
    const auto low = std::lower_bound(keys.begin(), keys.end(), asked[i]) - keys.begin();
    EXPECT(ranks[i] == static_cast<std::uint64_t>(low) && after[i] == ranks[i] + found[i]);
    EXPECT(version.rank(asked[i], false) == ranks[i] && version.rank(asked[i], true) == after[i]);
  }
}

constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();

/// Keys of one kind: dense, wide, skewed, or ends of the range.
std::int64_t draw(Random& random, std::uint32_t kind) {
  const auto wide = static_cast<std::int64_t>(random.next());
  if (kind == 0) return static_cast<std::int64_t>(random.below(20'000));
  if (kind == 1) return wide;
  if (kind == 2) return wide >> random.below(60);
  const std::int64_t ends[] = {kLowest, kLowest + 1, 0, kHighest - 1, kHighest};
  return random.below(8) == 0 ? ends[random.below(5)] : wide >> 40;
}

struct Tried {
  Counting keeper{400'000};
  LeafTree tree{&keeper};
  Map map;
  std::vector<std::pair<Version, Map>> old;

  void set(std::int64_t key) {
    const std::uint64_t value = keeper.make();
    EXPECT(tree.set(key, value) == map.insert_or_assign(key, value).second);
  }
  void erase(std::int64_t key) { EXPECT(tree.erase(key) == (map.erase(key) > 0)); }
  void set_many(Random& random, std::uint32_t kind, std::size_t count) {
    Map more;
    for (std::size_t i = 0; i < count; ++i) more[draw(random, kind)] = keeper.make();
    std::vector<std::int64_t> keys;
    std::vector<std::uint64_t> values;
    for (const auto& [key, value] : more) keys.push_back(key), values.push_back(value);
    tree.replace(tree.version().with({keys.data(), values.data(), keys.size()}));
    for (const auto& [key, value] : more) map[key] = value;
    for (std::uint64_t v = keeper.made - count; v < keeper.made; ++v) keeper.drop(&v, 1);
  }
  void erase_many(Random& random, std::uint32_t kind, std::size_t count) {
    std::vector<std::int64_t> keys;
    for (std::size_t i = 0; i < count; ++i) keys.push_back(draw(random, kind));
    for (const auto& [key, value] : map)
      if (random.below(3) == 0) keys.push_back(key);
    std::sort(keys.begin(), keys.end());
    tree.replace(tree.version().without(keys.data(), keys.size()));
    for (const std::int64_t key : keys) map.erase(key);
  }
};

void everything_is_a_map() {
  for (std::uint32_t kind = 0; kind < 4; ++kind) {
    Random random(kind);
    Tried tried;
    for (int round = 0; round < 8; ++round) {
      const bool grows = round % 5 < 3;
      for (int i = 0; i < 2'000; ++i) {
        if (random.below(10) < (grows ? 8u : 3u)) {
          tried.set(draw(random, kind));
        } else if (!tried.map.empty()) {
          auto there = tried.map.lower_bound(draw(random, kind));
          if (there == tried.map.end()) there = tried.map.begin();
          tried.erase(there->first);
        }
        if (i % 1'301 == 0) tried.old.emplace_back(tried.tree.version(), tried.map);
      }
      if (round % 4 == 1) tried.set_many(random, kind, 1 + random.below(2'500));
      if (round % 7 == 3) tried.erase_many(random, kind, random.below(50));
      expect_same(tried.tree.version(), tried.map);
      std::vector<std::int64_t> asked;
      for (int i = 0; i < 100; ++i) asked.push_back(draw(random, kind));
      for (const auto& [key, value] : tried.map)
        if (random.below(40) == 0) asked.push_back(key);
      expect_found(tried.tree.version(), tried.map, asked);
      while (tried.old.size() > 4) {
        const std::size_t gone = random.below(static_cast<std::uint32_t>(tried.old.size()));
        expect_same(tried.old[gone].first, tried.old[gone].second);
        tried.old.erase(tried.old.begin() + static_cast<std::ptrdiff_t>(gone));
      }
    }
    tried.old.clear();
    std::vector<std::int64_t> held(tried.keeper.held.size());
    for (const auto& [key, value] : tried.map) held[value] = 1;
    EXPECT(held == tried.keeper.held);
    while (!tried.map.empty()) tried.erase(tried.map.begin()->first);
    expect_same(tried.tree.version(), tried.map);
  }
}

/// Many keys; then most of them go, in several orders.
void memory_follows_the_keys() {
  for (int order = 0; order < 3; ++order) {
    const std::int64_t keys = order == 2 ? 200'000 : 60'000;  // in disorder: two branches
    LeafTree tree(nullptr);
    for (std::int64_t i = 0; i < keys; ++i)
      tree.set(order == 2 ? (i * 7'919) % keys : i, static_cast<std::uint64_t>(i));
    EXPECT(tree.version().validate() && tree.version().size() == static_cast<std::size_t>(keys));
    EXPECT(tree.version().bytes() < 24 * static_cast<std::size_t>(keys));
    for (std::int64_t i = 0; i < keys; ++i) {
      const std::int64_t key = order == 1 ? keys - 1 - i : (i * 7'919) % keys;
      if (key % 50 != 0) EXPECT(tree.erase(key));
      if (i % 40'000 == 0) EXPECT(tree.version().validate());
    }
    EXPECT(tree.version().validate() &&
           tree.version().size() == static_cast<std::size_t>(keys / 50));
    EXPECT(tree.version().bytes() < 25 * tree.version().size() + 24'000);
    for (std::int64_t key = 0; key < keys; key += 50) EXPECT(tree.erase(key));
    EXPECT(tree.version().size() == 0 && tree.version().bytes() < 1'000);
  }
}

void what_ascends_is_packed() {
  Counting keeper(300'000);
  LeafTree tree(&keeper);
  Map map;
  Random random(5);
  std::int64_t key = kLowest;
  for (std::size_t count : {1u, 100u, 511u, 512u, 513u, 5'000u, 1u, 270'000u}) {
    std::vector<std::int64_t> keys;
    std::vector<std::uint64_t> values;
    for (std::size_t i = 0; i < count; ++i) {
      keys.push_back(key += 1 + random.below(100));
      values.push_back(keeper.make());
      map[keys.back()] = values.back();
    }
    const Version before = tree.version();
    tree.append({keys.data(), values.data(), count});
    EXPECT(before.validate() && before.size() + count == map.size());
    expect_same(tree.version(), map);
  }
  EXPECT(tree.version().bytes() < 17 * map.size());
  for (std::uint64_t v = 0; v < keeper.made; ++v) EXPECT(keeper.held[v] == 1);
}

}  // namespace

PROGRAM(test_leaf_tree) {
  everything_is_a_map();
  memory_follows_the_keys();
  what_ascends_is_packed();
}

}  // namespace test_leaf_tree
