// Look-ups without Python, for benchmarks/index.py: the machine's own speed, classical structures,
// and Acumen's kernels, in turns. Reads sorted uint64 keys from a file; writes rows of
// "structure operation ns_per_lookup bytes_per_key build_ns_per_key".
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "acumen/index/independent_reads.hpp"
#include "acumen/index/range_search.hpp"
#if __has_include(<absl/container/btree_map.h>)
#include <absl/container/btree_map.h>
#define HAS_ABSL 1
#endif
#if __has_include(<pgm/pgm_index.hpp>)
#include <pgm/pgm_index.hpp>
#define HAS_PGM 1
#endif

using namespace acumen::index;
using Key = std::uint64_t;

namespace {

constexpr std::size_t kQueries = 1 << 19, kRounds = 7;

/// Of this thread, in nanoseconds: what other programs take does not count.
double now() {
  timespec spent;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return static_cast<double>(spent.tv_sec) * 1e9 + static_cast<double>(spent.tv_nsec);
}

/// In huge pages, like NumPy's large arrays. (What the libraries allocate is as well: index.py asks
/// glibc for it.)
template <class T>
T* huge(std::size_t count) {
  const std::size_t bytes = (count * sizeof(T) / (2 << 20) + 1) * (2 << 20);
  void* data = std::aligned_alloc(2 << 20, bytes);
  ::madvise(data, bytes, MADV_HUGEPAGE);
  std::memset(data, 0, bytes);
  return static_cast<T*>(data);
}

struct Eytzinger {
  explicit Eytzinger(const Key* keys, std::size_t n) : n(n), key(huge<Key>(n + 9) + 7) {
    fill(keys, 0, 1);
  }
  std::size_t fill(const Key* keys, std::size_t i, std::size_t k) {
    if (k > n) return i;
    i = fill(keys, i, 2 * k);
    key[k] = keys[i++];
    return fill(keys, i, 2 * k + 1);
  }
  /// The value, not the rank: the array would have to keep ranks beside.
  Key find(Key query) const {
    std::size_t k = 1;
    while (k <= n) {
      __builtin_prefetch(key + 16 * k);
      k = 2 * k + (key[k] < query);
    }
    k >>= __builtin_ffsll(static_cast<long long>(~k));
    return key[k];
  }
  std::size_t n;
  Key* key;
};

struct Tables {
  std::vector<std::uint64_t> root;
  std::uint16_t* cell;
  unsigned char* node;
};

CellTable cells_of(const RangeSearch& search, Spread::Kind kind, Tables& tables) {
  const std::size_t roots =
      std::clamp<std::size_t>(search.keys().count / 1024, 16, std::size_t{1} << 13);
  CellTable table{};
  table.spread = search.kernels().fit_spread(search.keys(), kind, roots);
  table.roots = roots;
  tables.root.resize(2 * roots);
  table.cells = search.kernels().plan_cells(search.keys(), table.spread, roots, tables.root.data());
  tables.cell = huge<std::uint16_t>(table.cells);
  table.root = tables.root.data();
  table.cell = tables.cell;
  search.kernels().fill_cells(search.keys(), search.lines(), table, tables.cell);
  return table;
}

struct Contender {
  std::string structure, operation;
  bool absent;
  std::function<Key(const std::vector<Key>&)> run;
  double bytes_per_key = 0, build_ns = 0;
  std::vector<double> times;
};

/// All contenders of one set of keys.
struct Field {
  const Key* keys;
  std::size_t n;
  std::vector<std::uint64_t> places = std::vector<std::uint64_t>(kQueries);
  std::vector<std::uint64_t> ranks = std::vector<std::uint64_t>(kQueries);
  std::vector<Contender> contenders;

  double a_key(double all) const { return all / static_cast<double>(n); }

  void add(const std::string& structure, const std::string& operation, double bytes, double build,
           std::function<Key(const std::vector<Key>&)> run) {
    contenders.push_back({structure, operation, false, run, bytes, build, {}});
    contenders.push_back(
        {structure, operation + ", absent", true, std::move(run), bytes, build, {}});
  }

  /// One at a time, each query known beforehand; and each depending on the answer before.
  template <class LookUp>
  void one_at_a_time(const std::string& structure, double bytes, double build, LookUp look_up) {
    add(structure, "one at a time", bytes, build, [=](const std::vector<Key>& queries) {
      Key sum = 0;
      for (const Key query : queries) sum += look_up(query);
      return sum;
    });
    add(structure, "dependent", bytes, build, [=](const std::vector<Key>& queries) {
      Key sum = 0;
      for (const Key query : queries) sum += look_up(query + (sum == 1));
      return sum;
    });
  }

  /// A search of ours; it and its tables live as long as the program.
  void add_search(const std::string& name, const RangeSearch& search, double bytes, double build) {
    add(name, "batch", bytes, build, [this, &search](const std::vector<Key>& queries) {
      search.ranks(queries.data(), queries.size(), false, ranks.data());
      return ranks[7];
    });
    one_at_a_time(name, bytes, build, [&search](Key query) {
      std::uint64_t rank;
      search.ranks(&query, 1, false, &rank);
      return rank;
    });
  }
};

template <class Build>
double built_in(std::size_t n, Build build) {
  const double start = now();
  build();
  return (now() - start) / static_cast<double>(n);
}

void add_classical(Field& field) {
  const Key* keys = field.keys;
  const std::size_t n = field.n;
  field.add("memory", "independent reads", 0, 0, [&field](const std::vector<Key>&) {
    return *sum_at(field.keys, field.n, field.places.data(), kQueries);
  });
  field.one_at_a_time("std::lower_bound", 0, 0, [=](Key query) {
    return static_cast<Key>(std::lower_bound(keys, keys + n, query) - keys);
  });
  Eytzinger* eytzinger = nullptr;
  const double build = built_in(n, [&] { eytzinger = new Eytzinger(keys, n); });
  field.one_at_a_time("Eytzinger", 8, build, [=](Key query) { return eytzinger->find(query); });
}

void add_libraries([[maybe_unused]] Field& field) {
  [[maybe_unused]] const Key* keys = field.keys;
  [[maybe_unused]] const std::size_t n = field.n;
#if defined(HAS_ABSL)
  static absl::btree_map<Key, std::uint32_t> btree;
  const double btree_build = built_in(n, [&] {
    for (std::size_t i = 0; i < n; ++i) btree.emplace_hint(btree.end(), keys[i], i);
  });
  field.one_at_a_time("absl::btree_map", 19, btree_build, [=](Key query) {
    const auto at = btree.lower_bound(query);
    return at == btree.end() ? Key{n} : Key{at->second};
  });
#endif
#if defined(HAS_PGM)
  const std::vector<Key> copy(keys, keys + n);
  const pgm::PGMIndex<Key, 16>* index = nullptr;
  const double pgm_build = built_in(n, [&] { index = new pgm::PGMIndex<Key, 16>(copy); });
  const double bytes = field.a_key(static_cast<double>(index->size_in_bytes()));
  field.one_at_a_time("PGM-index (16)", bytes, pgm_build, [=](Key query) {
    const auto range = index->search(query);
    return static_cast<Key>(std::lower_bound(keys + range.lo, keys + range.hi, query) - keys);
  });
#endif
}

void add_ours(Field& field) {
  const SortedKeys keys = {field.keys, field.n};
  const std::pair<const char*, Spread::Kind> kinds[] = {
      {"Acumen linear cells", Spread::kLinear}, {"Acumen logarithmic cells", Spread::kLogarithmic}};
  for (const auto& [name, kind] : kinds) {
    auto* search = new RangeSearch(KeyType::kU64, keys, false);
    auto* tables = new Tables();
    const double build = built_in(field.n, [&] { search->use(cells_of(*search, kind, *tables)); });
    const CellTable& table = search->cells();
    const double bytes =
        16.0 * static_cast<double>(table.roots) + 2.0 * static_cast<double>(table.cells);
    field.add_search(name, *search, field.a_key(bytes), build);
  }
  auto* tree = new RangeSearch(KeyType::kU64, keys, false);
  SearchTree shape = tree_shape(tree->lines().count, sizeof(Key));
  std::size_t nodes = 0;
  for (std::size_t s = 0; s < shape.levels; ++s) nodes += shape.nodes[s];
  const double build = built_in(field.n, [&] {
    auto* node = huge<unsigned char>(nodes * kLineBytes);
    tree->kernels().fill_tree(tree->lines(), shape, node);
    shape.node = node;
    tree->use(shape);
  });
  field.add_search("Acumen tree", *tree, field.a_key(static_cast<double>(nodes) * 64), build);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) return 2;
  std::ifstream file(arguments[1], std::ios::binary | std::ios::ate);
  const auto n = static_cast<std::size_t>(file.tellg()) / sizeof(Key);
  Key* keys = huge<Key>(n);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(keys), static_cast<std::streamsize>(n * sizeof(Key)));
  Field field{keys, n};
  add_classical(field);
  add_libraries(field);
  add_ours(field);
  std::mt19937_64 random(1);
  Key sum = 0;
  for (std::size_t round = 0; round < kRounds; ++round) {
    std::vector<Key> queries(kQueries);
    for (std::size_t i = 0; i < kQueries; ++i) queries[i] = keys[field.places[i] = random() % n];
    std::vector<Key> absent = queries;
    for (Key& query : absent) ++query;  // mostly no key
    std::shuffle(field.contenders.begin(), field.contenders.end(), random);
    for (Contender& one : field.contenders) {
      const double start = now();
      sum += one.run(one.absent ? absent : queries);
      one.times.push_back((now() - start) / kQueries);
    }
  }
  for (Contender& one : field.contenders) {
    std::sort(one.times.begin(), one.times.end());
    std::printf("%s\t%s\t%.2f\t%.4f\t%.2f\n", one.structure.c_str(), one.operation.c_str(),
                one.times[kRounds / 2], one.bytes_per_key, one.build_ns);
  }
  std::fprintf(stderr, "checksum %llx\n", static_cast<unsigned long long>(sum));
  return 0;
}
