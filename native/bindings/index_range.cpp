// Binds range.hpp: batches. One query at a time: index_scalar.cpp.
#include "index_range.hpp"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <vector>

#include "bindings.hpp"
#include "shares.hpp"

namespace acumen::bindings {

using namespace nb::literals;
using index::CellTable;
using index::KeyType;
using index::Spread;

namespace {

constexpr std::size_t kRootsMax = std::size_t{1} << 24;
constexpr std::size_t kKeysMax = std::size_t{1} << 34;  // lines have 32-bit numbers
constexpr const char* kCellNames[] = {"linear cells", "logarithmic cells"};

template <typename T>
nb::ndarray<nb::numpy, const T, nb::ndim<1>> view(const Pages& pages, std::size_t count,
                                                  nb::handle owner) {
  return nb::ndarray<nb::numpy, const T, nb::ndim<1>>(pages.as<T>(), {count}, owner);
}

template <typename T>
Pages copied(const nb::dict& tables, const char* name, std::size_t& count) {
  const auto array =
      nb::cast<nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>>(tables[name]);
  count = array.shape(0);
  Pages pages(count * sizeof(T));
  std::copy_n(array.data(), count, pages.as<T>());
  return pages;
}

}  // namespace

KeyType key_type_of(const AnyColumn& column) {
  const nb::dlpack::dtype type = column.dtype();
  const bool is_signed = type.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int);
  const bool is_float = type.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float);
  if (is_signed || type.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt)) {
    if (type.bits == 8) return is_signed ? KeyType::kI8 : KeyType::kU8;
    if (type.bits == 16) return is_signed ? KeyType::kI16 : KeyType::kU16;
    if (type.bits == 32) return is_signed ? KeyType::kI32 : KeyType::kU32;
    if (type.bits == 64) return is_signed ? KeyType::kI64 : KeyType::kU64;
  }
  if (is_float && type.bits == 32) return KeyType::kF32;
  if (is_float && type.bits == 64) return KeyType::kF64;
  throw std::invalid_argument("keys are integers of 8 to 64 bits, or floats of 32 or 64");
}

namespace {

index::RangeSearch searched(const AnyColumn& keys, KeyType type, bool portable) {
  if (keys.shape(0) > kKeysMax) throw std::invalid_argument("more than 2^34 keys");
  const nb::gil_scoped_release others_may_run;
  return index::RangeSearch(type, {keys.data(), keys.shape(0)}, portable);
}

}  // namespace

RangeSearcher::RangeSearcher(AnyColumn keys, bool portable)
    : keys_(std::move(keys)),
      type_(key_type_of(keys_)),
      search_(searched(keys_, type_, portable)) {}

double RangeSearcher::unevenness(const std::string& structure, std::size_t roots) const {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  if (!search_.facts().sorted || roots < 1 || roots > kRootsMax)
    throw std::invalid_argument("roots");
  if (search_.kernels().fit_spread == nullptr || search_.lines().count == 0) return kNever;
  const nb::gil_scoped_release others_may_run;
  const auto kind = structure == kCellNames[1] ? Spread::kLogarithmic : Spread::kLinear;
  const Spread spread = search_.kernels().fit_spread(search_.keys(), kind, roots);
  std::vector<std::uint64_t> root(2 * roots);
  if (search_.kernels().plan_cells(search_.keys(), spread, roots, root.data()) == 0) return kNever;
  const auto count = static_cast<double>(search_.keys().count);
  double squares = 0;
  for (std::size_t r = 0; r < roots; ++r) {
    const std::uint64_t end = r + 1 < roots ? root[2 * r + 2] : search_.keys().count;
    const auto inside = static_cast<double>(end - root[2 * r]);
    squares += inside * inside;
  }
  return squares / count / (count / static_cast<double>(roots));
}

bool RangeSearcher::build(const std::string& structure, std::size_t roots) {
  if (!search_.facts().sorted) throw std::invalid_argument("keys are not sorted");
  if (structure == used_) throw std::invalid_argument("that structure is in use");
  if (roots < 1 || roots > kRootsMax) throw std::invalid_argument("roots");
  if (structure == kCellNames[0]) return build_cells(cells_[0], Spread::kLinear, roots);
  if (structure == kCellNames[1]) return build_cells(cells_[1], Spread::kLogarithmic, roots);
  if (structure == "tree") return build_tree();
  if (structure == "values") return build_values();
  throw std::invalid_argument("no structure of that name");
}

bool RangeSearcher::build_cells(std::optional<Cells>& to, Spread::Kind kind, std::size_t roots) {
  if (search_.kernels().fit_spread == nullptr || search_.lines().count == 0) return false;
  const nb::gil_scoped_release others_may_run;
  CellTable table{};
  table.spread = search_.kernels().fit_spread(search_.keys(), kind, roots);
  table.roots = roots;
  Pages root(2 * roots * sizeof(std::uint64_t));
  table.cells =
      search_.kernels().plan_cells(search_.keys(), table.spread, roots, root.as<std::uint64_t>());
  if (table.cells == 0) return false;
  Pages cell(table.cells * sizeof(std::uint16_t));
  table.root = root.as<std::uint64_t>();
  table.cell = cell.as<std::uint16_t>();
  search_.kernels().fill_cells(search_.keys(), search_.lines(), table, cell.as<std::uint16_t>());
  to = Cells{table, std::move(root), std::move(cell)};
  return true;
}

bool RangeSearcher::build_tree() {
  if (search_.kernels().fill_tree == nullptr || search_.lines().count == 0) return false;
  const nb::gil_scoped_release others_may_run;
  index::SearchTree tree = index::tree_shape(search_.lines().count, search_.width());
  std::size_t nodes = 0;
  for (std::size_t s = 0; s < tree.levels; ++s) nodes += tree.nodes[s];
  Pages node(nodes * index::kLineBytes);
  search_.kernels().fill_tree(search_.lines(), tree, node.as<void>());
  tree.node = node.as<void>();
  tree_ = Tree{tree, std::move(node)};
  return true;
}

std::int64_t RangeSearcher::lowest() const {
  std::int64_t wide = 0;
  std::int32_t narrow = 0;
  const bool is_wide = search_.kernels().width == sizeof(wide);
  search_.kernels().order(keys_.data(), 1, false,
                          is_wide ? static_cast<void*>(&wide) : static_cast<void*>(&narrow));
  return is_wide ? wide : narrow;
}

bool RangeSearcher::build_values() {
  const std::size_t count = search_.keys().count;
  if (search_.kernels().fill_values == nullptr || count == 0 || count > 0xFFFFFFFF) return false;
  // The distance of the last key from the first: their `ordered` integers' difference.
  const auto* bytes = static_cast<const unsigned char*>(keys_.data());
  std::int64_t last = 0;
  std::int32_t narrow = 0;
  const bool is_wide = search_.kernels().width == sizeof(last);
  search_.kernels().order(bytes + (count - 1) * search_.width(), 1, false,
                          is_wide ? static_cast<void*>(&last) : static_cast<void*>(&narrow));
  if (!is_wide) last = narrow;
  index::ValueTable table{};
  table.lowest = lowest();
  const std::uint64_t range =
      static_cast<std::uint64_t>(last) - static_cast<std::uint64_t>(table.lowest);
  // As small as the other tables, or as small as the values of such keys allow.
  if (range > std::max<std::uint64_t>(count / 32, 1 << 16)) return false;
  const nb::gil_scoped_release others_may_run;
  table.values = range + 1;
  Pages below((table.values + 1) * sizeof(std::uint32_t));
  search_.kernels().fill_values(search_.keys(), table, below.as<std::uint32_t>());
  table.below = below.as<std::uint32_t>();
  values_ = Values{table, std::move(below)};
  return true;
}

void RangeSearcher::use(const std::string& structure) {
  if (structure == "search") {
    search_.use_search();
  } else if (structure == kCellNames[0] && cells_[0]) {
    search_.use(cells_[0]->table);
  } else if (structure == kCellNames[1] && cells_[1]) {
    search_.use(cells_[1]->table);
  } else if (structure == "tree" && tree_) {
    search_.use(tree_->tree);
  } else if (structure == "values" && values_) {
    search_.use(values_->table);
  } else {
    throw std::invalid_argument("that structure was not built");
  }
  used_ = structure;
}

void RangeSearcher::keep_used() {
  for (int k = 0; k < 2; ++k)
    if (used_ != kCellNames[k]) cells_[k].reset();
  if (used_ != "tree") tree_.reset();
  if (used_ != "values") values_.reset();
}

std::size_t RangeSearcher::bytes(const std::string& structure) const {
  for (int k = 0; k < 2; ++k)
    if (structure == kCellNames[k] && cells_[k])
      return cells_[k]->root.bytes() + cells_[k]->cell.bytes();
  if (structure == "tree" && tree_) return tree_->node.bytes();
  if (structure == "values" && values_) return values_->below.bytes();
  return 0;
}

nb::dict RangeSearcher::facts(const std::string& structure) const {
  nb::dict facts;
  for (int k = 0; k < 2; ++k) {
    if (structure != kCellNames[k] || !cells_[k]) continue;
    facts["roots"] = cells_[k]->table.roots;
    facts["error_low"] = cells_[k]->table.error_low;
    facts["error_high"] = cells_[k]->table.error_high;
    facts["wrong_lines"] = cells_[k]->table.wrong_lines;
  }
  if (structure == "tree" && tree_) facts["levels"] = tree_->tree.levels;
  return facts;
}

nb::dict RangeSearcher::tables() const {
  nb::dict arrays;
  const nb::object self = nb::find(this);
  for (int k = 0; k < 2; ++k) {
    if (used_ != kCellNames[k]) continue;
    arrays["root"] = view<std::uint64_t>(cells_[k]->root, 2 * cells_[k]->table.roots, self);
    arrays["cell"] = view<std::uint16_t>(cells_[k]->cell, cells_[k]->table.cells, self);
  }
  if (used_ == "values")
    arrays["below"] = view<std::uint32_t>(values_->below, values_->table.values + 1, self);
  return arrays;
}

bool RangeSearcher::restore(const std::string& structure, const nb::dict& tables) {
  const bool logarithmic = structure == kCellNames[1];
  if (!logarithmic && structure != kCellNames[0]) {
    // A tree's nodes are copies of keys, and the values' ranks are as quickly counted as checked.
    if (structure != "search" && !build(structure, 1)) return false;
    use(structure);
    return true;
  }
  if (search_.kernels().fit_spread == nullptr || search_.lines().count == 0) return false;
  std::size_t roots, cells;
  Pages root = copied<std::uint64_t>(tables, "root", roots);
  Pages cell = copied<std::uint16_t>(tables, "cell", cells);
  if (roots < 2 || roots % 2 || roots / 2 > kRootsMax) return false;
  CellTable table{};
  // Not read from the file: what is out of the arrays' bounds depends on it.
  table.spread = search_.kernels().fit_spread(
      search_.keys(), logarithmic ? Spread::kLogarithmic : Spread::kLinear, roots / 2);
  table.roots = roots / 2;
  table.cells = cells;
  table.root = root.as<std::uint64_t>();
  table.cell = cell.as<std::uint16_t>();
  if (!index::validate(table, search_.keys().count)) return false;
  table.error_low = nb::cast<std::int64_t>(tables["error_low"]);
  table.error_high = nb::cast<std::int64_t>(tables["error_high"]);
  table.wrong_lines = nb::cast<std::uint64_t>(tables["wrong_lines"]);
  cells_[logarithmic] = Cells{table, std::move(root), std::move(cell)};
  use(structure);
  return true;
}

void RangeSearcher::require(const AnyColumn& queries, std::size_t answers) const {
  if (key_type_of(queries) != type_) throw std::invalid_argument("queries are of another type");
  if (answers != queries.shape(0)) throw std::invalid_argument("out has another length");
}

void RangeSearcher::ranks(const AnyColumn& queries,
                          nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig> out, bool right,
                          unsigned threads) const {
  require(queries, out.shape(0));
  const auto* raw = static_cast<const unsigned char*>(queries.data());
  auto* to = reinterpret_cast<std::uint64_t*>(out.data());
  const nb::gil_scoped_release others_may_run;
  in_shares(queries.shape(0), threads, [=, this](std::size_t begin, std::size_t end) {
    search_.ranks(raw + begin * search_.width(), end - begin, right, to + begin);
  });
}

void RangeSearcher::find(const AnyColumn& queries,
                         nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig> out,
                         unsigned threads) const {
  require(queries, out.shape(0));
  const auto* raw = static_cast<const unsigned char*>(queries.data());
  auto* to = reinterpret_cast<std::uint64_t*>(out.data());
  const nb::gil_scoped_release others_may_run;
  in_shares(queries.shape(0), threads, [=, this](std::size_t begin, std::size_t end) {
    search_.find(raw + begin * search_.width(), end - begin, to + begin);
  });
}

void RangeSearcher::contains(const AnyColumn& queries,
                             nb::ndarray<bool, nb::ndim<1>, nb::c_contig> out,
                             unsigned threads) const {
  require(queries, out.shape(0));
  const auto* raw = static_cast<const unsigned char*>(queries.data());
  auto* to = reinterpret_cast<unsigned char*>(out.data());
  const nb::gil_scoped_release others_may_run;
  in_shares(queries.shape(0), threads, [=, this](std::size_t begin, std::size_t end) {
    search_.contains(raw + begin * search_.width(), end - begin, to + begin);
  });
}

void bind_range_index(nb::module_& m) {
  nb::class_<RangeSearcher>(m, "RangeSearcher",
                            "Sorted keys and the structures that find ranks in them.")
      .def(nb::init<AnyColumn, bool>(), "keys"_a.noconvert(), "portable"_a = false)
      .def_prop_ro("sorted", [](const RangeSearcher& s) { return s.search().facts().sorted; })
      .def_prop_ro("has_nan", [](const RangeSearcher& s) { return s.search().facts().has_nan; })
      .def("unevenness", &RangeSearcher::unevenness, "structure"_a, "roots"_a)
      .def("build", &RangeSearcher::build, "structure"_a, "roots"_a = 1)
      .def("use", &RangeSearcher::use, "structure"_a)
      .def("keep_used", &RangeSearcher::keep_used)
      .def("bytes", &RangeSearcher::bytes, "structure"_a)
      .def("facts", &RangeSearcher::facts, "structure"_a)
      .def("tables", &RangeSearcher::tables)
      .def("restore", &RangeSearcher::restore, "structure"_a, "tables"_a)
      .def("ranks", &RangeSearcher::ranks, "queries"_a.noconvert(), "out"_a.noconvert(), "right"_a,
           "threads"_a = 1)
      .def("find", &RangeSearcher::find, "queries"_a.noconvert(), "out"_a.noconvert(),
           "threads"_a = 1)
      .def("contains", &RangeSearcher::contains, "queries"_a.noconvert(), "out"_a.noconvert(),
           "threads"_a = 1);
}

}  // namespace acumen::bindings
