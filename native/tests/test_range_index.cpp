// Every structure against std::lower_bound, on hostile keys of every type, at every alignment.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "acumen/index/range_search.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_range_index {

using namespace acumen::index;

namespace {

template <class T>
constexpr KeyType key_type() {
  if constexpr (std::is_same_v<T, float>) return KeyType::kF32;
  if constexpr (std::is_same_v<T, double>) return KeyType::kF64;
  constexpr bool is_signed = std::is_signed_v<T>;
  if constexpr (sizeof(T) == 1) return is_signed ? KeyType::kI8 : KeyType::kU8;
  if constexpr (sizeof(T) == 2) return is_signed ? KeyType::kI16 : KeyType::kU16;
  if constexpr (sizeof(T) == 4) return is_signed ? KeyType::kI32 : KeyType::kU32;
  return is_signed ? KeyType::kI64 : KeyType::kU64;
}

/// The tables of one search, owned.
struct Tables {
  std::vector<std::uint64_t> root;
  std::vector<std::uint16_t> cell;
  std::vector<std::uint32_t> below;
  std::vector<unsigned char> node;
};

void use_cells(RangeSearch& search, Tables& tables, Spread::Kind kind, std::size_t roots) {
  const RangeKernels& kernels = search.kernels();
  CellTable table{};
  table.spread = kernels.fit_spread(search.keys(), kind, roots);
  table.roots = roots;
  tables.root.assign(2 * roots, 0);
  table.cells = kernels.plan_cells(search.keys(), table.spread, roots, tables.root.data());
  EXPECT(table.cells > 0);
  tables.cell.assign(table.cells, 0);
  table.root = tables.root.data();
  table.cell = tables.cell.data();
  kernels.fill_cells(search.keys(), search.lines(), table, tables.cell.data());
  EXPECT(validate(table, search.keys().count));
  search.use(table);
}

void use_tree(RangeSearch& search, Tables& tables) {
  SearchTree tree = tree_shape(search.lines().count, search.width());
  std::size_t nodes = 0;
  for (std::size_t s = 0; s < tree.levels; ++s) nodes += tree.nodes[s];
  tables.node.assign((nodes + 1) * kLineBytes, 0);
  const auto address = reinterpret_cast<std::uintptr_t>(tables.node.data());
  void* node = tables.node.data() + (kLineBytes - address % kLineBytes) % kLineBytes;
  search.kernels().fill_tree(search.lines(), tree, node);
  tree.node = node;
  search.use(tree);
}

template <class T>
void compare_in_order(const RangeSearch& search, const T* keys, std::size_t n,
                      const std::vector<T>& queries) {
  std::vector<std::uint64_t> left(queries.size()), right(queries.size()), found(queries.size());
  std::vector<unsigned char> inside(queries.size());
  search.ranks(queries.data(), queries.size(), false, left.data());
  search.ranks(queries.data(), queries.size(), true, right.data());
  search.find(queries.data(), queries.size(), found.data());
  search.contains(queries.data(), queries.size(), inside.data());
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const T q = queries[i];
    const bool nan = q != q;
    const auto low = nan ? n : static_cast<std::size_t>(std::lower_bound(keys, keys + n, q) - keys);
    const auto high =
        nan ? n : static_cast<std::size_t>(std::upper_bound(keys, keys + n, q) - keys);
    EXPECT(left[i] == low);
    EXPECT(right[i] == high);
    EXPECT(found[i] == (low < high ? low : ~std::uint64_t{0}));
    EXPECT(inside[i] == (low < high));
    std::uint64_t alone;
    search.ranks(&q, 1, false, &alone);
    EXPECT(alone == low);
  }
}

/// As they are, and ascending.
template <class T>
void compare(const RangeSearch& search, const T* keys, std::size_t n, std::vector<T> queries) {
  compare_in_order(search, keys, n, queries);
  std::sort(queries.begin(), queries.end(), [](T a, T b) { return a < b || (b != b && a == a); });
  compare_in_order(search, keys, n, queries);
}

/// Every key, what lies beside it, the ends of the type; shuffled.
template <class T>
std::vector<T> queries_for(const T* keys, std::size_t n, std::mt19937_64& random) {
  using Limits = std::numeric_limits<T>;
  std::vector<T> queries = {T{0}, Limits::max(), Limits::lowest(), Limits::min(), T{1}};
  if constexpr (std::is_floating_point_v<T>) {
    for (T q : {T(-0.0), Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN(),
                -Limits::quiet_NaN(), Limits::denorm_min(), -Limits::denorm_min()})
      queries.push_back(q);
  }
  for (std::size_t i = 0; i < n; ++i) {
    queries.push_back(keys[i]);
    if constexpr (std::is_floating_point_v<T>) {
      queries.push_back(std::nextafter(keys[i], Limits::infinity()));
      queries.push_back(std::nextafter(keys[i], -Limits::infinity()));
    } else {
      if (keys[i] < Limits::max()) queries.push_back(static_cast<T>(keys[i] + 1));
      if (keys[i] > Limits::lowest()) queries.push_back(static_cast<T>(keys[i] - 1));
    }
  }
  std::shuffle(queries.begin(), queries.end(), random);
  return queries;
}

template <class T>
void check(const std::vector<T>& sorted, std::mt19937_64& random) {
  for (const std::size_t offset : {0u, 1u, 3u}) {
    std::vector<T> storage(offset + sorted.size() + 1);
    T* keys = storage.data() + offset;
    std::copy(sorted.begin(), sorted.end(), keys);
    const std::size_t n = sorted.size();
    std::vector<T> queries = queries_for(keys, n, random);
    for (const bool portable : {false, true}) {
      RangeSearch search(key_type<T>(), {keys, n}, portable);
      EXPECT(search.facts().sorted && !search.facts().has_nan);
      EXPECT(search.facts().unique ==
             (std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end()));
      Tables tables;
      compare(search, keys, n, queries);
      if constexpr (sizeof(T) >= 4) {
        if (search.lines().count > 0) {
          for (const auto kind : {Spread::kLinear, Spread::kLogarithmic}) {
            for (const std::size_t roots : {1u, 7u, 64u}) {
              use_cells(search, tables, kind, roots);
              compare(search, keys, n, queries);
            }
          }
          use_tree(search, tables);
          compare(search, keys, n, queries);
        }
      }
      if constexpr (std::is_integral_v<T>) {
        const auto range =
            n == 0 ? 0.0 : static_cast<double>(keys[n - 1]) - static_cast<double>(keys[0]);
        if (n > 0 && range < 70000) {
          ValueTable table{};
          table.values = static_cast<std::size_t>(range) + 1;
          std::int64_t lowest = 0;
          std::int32_t narrow = 0;
          if (search.kernels().width == 8) {
            search.kernels().order(keys, 1, false, &lowest);
          } else {
            search.kernels().order(keys, 1, false, &narrow);
            lowest = narrow;
          }
          table.lowest = lowest;
          tables.below.assign(table.values + 1, 0);
          search.kernels().fill_values(search.keys(), table, tables.below.data());
          table.below = tables.below.data();
          EXPECT(validate(table, n));
          search.use(table);
          compare(search, keys, n, queries);
        }
      }
      std::sort(queries.begin(), queries.end(),
                [](T a, T b) { return a < b || (b != b && a == a); });
    }
  }
}

template <class T>
void check_type(std::mt19937_64& random) {
  using Limits = std::numeric_limits<T>;
  for (const std::size_t n : {0u, 1u, 2u, 9u, 64u, 400u}) {
    std::vector<std::vector<T>> kinds(6);
    for (std::size_t i = 0; i < n; ++i) {
      const double u = std::uniform_real_distribution<double>(0, 1)(random);
      const double wide = std::min(1e30, std::exp(40 * u)),
                   top = static_cast<double>(Limits::max());
      kinds[0].push_back(static_cast<T>(random()));
      kinds[1].push_back(static_cast<T>(i / 3));                      // runs of equal keys
      kinds[2].push_back(static_cast<T>(wide < top / 2 ? wide : 0));  // skewed
      kinds[3].push_back(i % 2 ? Limits::max() : Limits::lowest());   // both ends
      kinds[4].push_back(T{7});                                       // all equal
      kinds[5].push_back(static_cast<T>(i < n / 2 ? i % 100 : (random() & 0xFF)));
    }
    if constexpr (std::is_floating_point_v<T>) {
      for (std::size_t i = 0; i < n; ++i) {
        kinds[0][i] = static_cast<T>(std::normal_distribution<double>(0, 1)(random));
        kinds[3][i] = i % 3 == 0 ? Limits::infinity() : i % 3 == 1 ? -Limits::infinity() : T(-0.0);
        kinds[4][i] = i % 2 ? T(0.0) : T(-0.0);
        kinds[5][i] = i % 2 ? Limits::max() : -Limits::max();
      }
    }
    for (auto& keys : kinds) {
      std::sort(keys.begin(), keys.end());
      check(keys, random);
    }
  }
}

/// Root cells of more than 65,535 keys count in larger units.
void check_dense_roots(std::mt19937_64& random) {
  std::vector<std::uint64_t> keys(300'000);
  for (auto& key : keys) key = 1'000'000 + random() % 1'000'000'000;
  keys.back() = ~std::uint64_t{0};
  std::sort(keys.begin(), keys.end());
  RangeSearch search(KeyType::kU64, {keys.data(), keys.size()}, false);
  Tables tables;
  use_cells(search, tables, Spread::kLinear, 4);
  std::vector<std::uint64_t> queries(20'000);
  for (auto& query : queries) query = keys[random() % keys.size()] + random() % 2;
  compare(search, keys.data(), keys.size(), queries);
}

/// The table's own bounds hold for queries that it was not built from.
void check_errors(std::mt19937_64& random) {
  std::vector<double> keys(5000);
  for (auto& key : keys) key = std::exp(std::normal_distribution<double>(0, 3)(random));
  std::sort(keys.begin(), keys.end());
  RangeSearch search(KeyType::kF64, {keys.data(), keys.size()}, false);
  Tables tables;
  use_cells(search, tables, Spread::kLogarithmic, 16);
  EXPECT(search.cells().error_low <= 0 && search.cells().error_high >= 0);
  EXPECT(search.cells().error_high - search.cells().error_low < 200);
  EXPECT(search.cells().wrong_lines < keys.size() / 2);
}

/// Tables are the same from every set of kernels: what one lane computes, a register computes too.
template <class T>
void check_sets_agree(std::mt19937_64& random) {
  std::vector<T> keys(3001);
  for (auto& key : keys)
    key = static_cast<T>(1e9 * std::exp(std::normal_distribution<double>(0, 0.4)(random)));
  std::sort(keys.begin(), keys.end());
  for (const auto kind : {Spread::kLinear, Spread::kLogarithmic}) {
    RangeSearch fast(key_type<T>(), {keys.data(), keys.size()}, false);
    RangeSearch plain(key_type<T>(), {keys.data(), keys.size()}, true);
    Tables by_fast, by_plain;
    use_cells(fast, by_fast, kind, 13);
    use_cells(plain, by_plain, kind, 13);
    EXPECT(by_fast.root == by_plain.root && by_fast.cell == by_plain.cell);
    EXPECT(fast.cells().error_low == plain.cells().error_low);
    EXPECT(fast.cells().error_high == plain.cells().error_high);
    EXPECT(fast.cells().wrong_lines == plain.cells().wrong_lines);
    EXPECT(fast.cells().wrong_lines > 0 && fast.cells().error_high < 200);
  }
}

/// What a file may say is refused where it would lead out of the arrays.
void check_validation() {
  std::vector<std::uint32_t> keys(1000);
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<std::uint32_t>(i * i);
  RangeSearch search(KeyType::kU32, {keys.data(), keys.size()}, false);
  Tables tables;
  use_cells(search, tables, Spread::kLinear, 8);
  CellTable table = search.cells();
  --table.cells;
  EXPECT(!validate(table, keys.size()));
  table = search.cells();
  EXPECT(!validate(table, 0));
  tables.root[5] += std::uint64_t{1} << 32;
  EXPECT(!validate(table, keys.size()));
  tables.root[5] -= std::uint64_t{1} << 32;
  tables.root[6] = 1001;
  EXPECT(!validate(table, keys.size()));
  const std::uint32_t below[] = {0, 3, 2, 5};
  EXPECT(!validate(ValueTable{0, 3, below}, 5));
  EXPECT(!validate(ValueTable{0, 1, below}, 4));
  EXPECT(validate(ValueTable{0, 1, below}, 3));
}

}  // namespace

PROGRAM(test_range_index) {
  std::mt19937_64 random(1);
  check_type<std::uint8_t>(random);
  check_type<std::int8_t>(random);
  check_type<std::uint16_t>(random);
  check_type<std::int16_t>(random);
  check_type<std::uint32_t>(random);
  check_type<std::int32_t>(random);
  check_type<float>(random);
  check_type<std::uint64_t>(random);
  check_type<std::int64_t>(random);
  check_type<double>(random);
  check_dense_roots(random);
  check_errors(random);
  check_sets_agree<std::uint32_t>(random);
  check_sets_agree<float>(random);
  check_sets_agree<std::int64_t>(random);
  check_sets_agree<std::uint64_t>(random);
  check_sets_agree<double>(random);
  check_validation();
}

}  // namespace test_range_index
