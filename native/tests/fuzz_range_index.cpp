// Arbitrary sorted keys, and tables of arbitrary content that validate() accepts: ranks are exact,
// and nothing outside the arrays is read.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "acumen/index/range_search.hpp"
#include "fuzz_input.hpp"
#include "program.hpp"

namespace fuzz_range_index {

using namespace acumen::index;

namespace {

template <class T>
T value_of(acumen::Input& input) {
  if constexpr (std::is_floating_point_v<T>) {
    const auto value = static_cast<T>(input.wide_value());
    return value == value ? value : T{0};
  } else {
    // Clusters, and now and then raw bits.
    if (input.below(4) != 0) return static_cast<T>(input.byte() * (1 + input.below(3)));
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) bits = bits << 8 | input.byte();
    return static_cast<T>(bits);
  }
}

template <class T>
void expect_exact(const RangeSearch& search, const std::vector<T>& keys,
                  const std::vector<T>& queries) {
  std::vector<std::uint64_t> ranks(queries.size());
  for (const bool right : {false, true}) {
    search.ranks(queries.data(), queries.size(), right, ranks.data());
    for (std::size_t i = 0; i < queries.size(); ++i) {
      const auto at = right ? std::upper_bound(keys.begin(), keys.end(), queries[i])
                            : std::lower_bound(keys.begin(), keys.end(), queries[i]);
      if (ranks[i] != static_cast<std::uint64_t>(at - keys.begin())) std::abort();
    }
  }
}

template <class T>
void run(KeyType type, acumen::Input& input) {
  std::vector<T> keys(40 + 4 * input.byte());
  for (T& key : keys) key = value_of<T>(input);
  std::sort(keys.begin(), keys.end());
  std::vector<T> queries(keys.begin(), keys.begin() + 30);
  for (int i = 0; i < 30; ++i) queries.push_back(value_of<T>(input));
  RangeSearch search(type, {keys.data(), keys.size()}, input.below(2) != 0);
  expect_exact(search, keys, queries);

  const auto kind = input.below(2) ? Spread::kLinear : Spread::kLogarithmic;
  const std::size_t roots = 1 + input.below(20);
  CellTable table{};
  table.spread = search.kernels().fit_spread(search.keys(), kind, roots);
  table.roots = roots;
  std::vector<std::uint64_t> root(2 * roots);
  table.cells = search.kernels().plan_cells(search.keys(), table.spread, roots, root.data());
  std::vector<std::uint16_t> cell(table.cells);
  table.root = root.data();
  table.cell = cell.data();
  search.kernels().fill_cells(search.keys(), search.lines(), table, cell.data());
  search.use(table);
  expect_exact(search, keys, queries);

  for (int changes = 1 + static_cast<int>(input.below(8)); changes > 0; --changes) {
    cell[(input.byte() << 8 | input.byte()) % cell.size()] =
        static_cast<std::uint16_t>(input.byte() << 8 | input.byte());
    if (input.below(4) == 0)
      root[input.byte() % root.size()] ^= std::uint64_t{1} << input.below(64);
  }
  if (!validate(table, keys.size())) return;
  search.use(table);
  expect_exact(search, keys, queries);
}

}  // namespace

FUZZ_TARGET(fuzz_range_index, data, size) {
  acumen::Input input(data, size);
  switch (input.below(6)) {
    case 0:
      run<std::uint32_t>(KeyType::kU32, input);
      break;
    case 1:
      run<std::int32_t>(KeyType::kI32, input);
      break;
    case 2:
      run<float>(KeyType::kF32, input);
      break;
    case 3:
      run<std::uint64_t>(KeyType::kU64, input);
      break;
    case 4:
      run<std::int64_t>(KeyType::kI64, input);
      break;
    default:
      run<double>(KeyType::kF64, input);
  }
  return 0;
}

}  // namespace fuzz_range_index
