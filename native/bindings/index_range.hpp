// A RangeSearch with its keys and tables held alive; as Python sees it,
// acumen._native.RangeSearcher.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "acumen/index/range_search.hpp"
#include "pages.hpp"

namespace acumen::bindings {

namespace nb = nanobind;
using AnyColumn = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

/// The type of a column's values; std::invalid_argument if it is none that keys have.
index::KeyType key_type_of(const AnyColumn& column);

class RangeSearcher {
 public:
  explicit RangeSearcher(AnyColumn keys, bool portable);

  const index::RangeSearch& search() const { return search_; }
  index::KeyType type() const { return type_; }

  /// How unevenly keys would lie in the root cells of a kind of cells: a key's root cell has on
  /// average so many times as many keys as if all had equally many. Infinity: it cannot be built.
  double unevenness(const std::string& structure, std::size_t roots) const;
  /// Builds one structure beside those there are; false if these keys can't have it.
  bool build(const std::string& structure, std::size_t roots);
  /// Answers by a structure that was built, or "search".
  void use(const std::string& structure);
  /// Frees what is not in use.
  void keep_used();
  std::size_t bytes(const std::string& structure) const;
  nb::dict facts(const std::string& structure) const;
  nb::dict tables() const;
  bool restore(const std::string& structure, const nb::dict& tables);

  void ranks(const AnyColumn& queries, nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig> out,
             bool right, unsigned threads) const;
  void find(const AnyColumn& queries, nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig> out,
            unsigned threads) const;
  void contains(const AnyColumn& queries, nb::ndarray<bool, nb::ndim<1>, nb::c_contig> out,
                unsigned threads) const;

 private:
  struct Cells {
    index::CellTable table;
    Pages root, cell;
  };
  struct Tree {
    index::SearchTree tree;
    Pages node;
  };
  struct Values {
    index::ValueTable table;
    Pages below;
  };

  bool build_cells(std::optional<Cells>& to, index::Spread::Kind kind, std::size_t roots);
  bool build_tree();
  bool build_values();
  /// Queries of the keys' type, and as many answers.
  void require(const AnyColumn& queries, std::size_t answers) const;
  std::int64_t lowest() const;

  AnyColumn keys_;
  index::KeyType type_;
  index::RangeSearch search_;
  std::string used_ = "search";
  std::array<std::optional<Cells>, 2> cells_;  // linear, logarithmic
  std::optional<Tree> tree_;
  std::optional<Values> values_;
};

}  // namespace acumen::bindings
