// Membership filters: keys as arrays, tables, the scorer, and look-ups in batches without the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <vector>

#include "acumen/index/binary_fuse_build.hpp"
#include "acumen/index/ngram_training.hpp"
#include "acumen/index/partitioned_filter.hpp"
#include "bindings.hpp"
#include "shares.hpp"
#include "state_arrays.hpp"

namespace nb = nanobind;

namespace acumen::bindings {
namespace {

using namespace nb::literals;
using namespace acumen::membership;

template <class T>
using Array = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Answers = nb::ndarray<bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Shapes = nb::ndarray<const std::uint64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

constexpr std::size_t kShapeWords = 6;

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

/// A batch of integers or of texts; keeps the arrays alive.
class FilterKeys {
 public:
  explicit FilterKeys(Array<std::uint64_t> values) : values_(std::move(values)) {}
  FilterKeys(Array<std::int64_t> offsets, Array<std::uint8_t> data)
      : offsets_(std::move(offsets)), data_(std::move(data)), is_text_(true) {
    require(offsets_.shape(0) > 0, "offsets has one more value than there are texts");
    require(validate(texts(), data_.shape(0)), "offsets must rise and end within data");
  }

  bool is_text() const { return is_text_; }
  std::size_t size() const { return is_text_ ? offsets_.shape(0) - 1 : values_.shape(0); }
  TextKeys texts() const { return {offsets_.data(), data_.data(), offsets_.shape(0) - 1}; }
  IntegerKeys integers() const { return {values_.data(), values_.shape(0)}; }

  template <class Visit>
  auto visit(Visit&& visit) const {
    return is_text_ ? visit(texts()) : visit(integers());
  }

 private:
  Array<std::uint64_t> values_;
  Array<std::int64_t> offsets_;
  Array<std::uint8_t> data_;
  bool is_text_ = false;
};

auto hashes(const FilterKeys& keys) {
  std::vector<std::uint64_t> out(keys.size());
  {
    const nb::gil_scoped_release others_may_run;
    keys.visit([&](const auto& source) {
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = source.hash(i);
    });
  }
  return column(std::move(out));
}

/// A table for these hashes: shape, bytes, and how many different ones there are.
auto fuse_build(const Array<std::uint64_t>& keys, double rate, std::size_t tries,
                std::uint64_t seed) {
  require(rate > 0.0, "rate must be positive");
  FuseTable table;
  bool good, all_inside = true;
  std::size_t distinct;
  {
    const nb::gil_scoped_release others_may_run;
    FuseBuilder builder(keys.data(), keys.shape(0), seed);
    good = builder.build(rate, tries, table);
    distinct = builder.size();
    if (good) {
      const auto inside = std::make_unique<bool[]>(keys.shape(0));
      contains_many(table.view(), keys.data(), keys.shape(0), inside.get());
      all_inside =
          std::all_of(inside.get(), inside.get() + keys.shape(0), [](bool b) { return b; });
    }
  }
  if (!good) throw std::runtime_error("no seed gave every key a slot");
  if (!all_inside) throw std::logic_error("a key is not in the table that was built for it");
  const FuseShape& s = table.shape;
  return std::make_tuple(column(std::vector<std::uint64_t>{s.seed, s.arity, s.segment_bits,
                                                           s.segments, s.width, s.cut}),
                         column(std::move(table.bytes)), distinct, rate_of(s));
}

auto ngram_train(const FilterKeys& keys, const FilterKeys& negatives, std::uint32_t bucket_bits,
                 std::uint32_t grams, std::uint32_t passes, std::uint64_t seed) {
  const PieceShape shape{bucket_bits, grams};
  require(keys.is_text() == negatives.is_text(), "keys and negatives are of different kinds");
  require(keys.is_text() == (grams != 0), "texts need lengths of runs, integers none");
  require(validate(shape, std::uint64_t{1} << std::min(bucket_bits, 63u)), "bad shape");
  require(keys.size() <= UINT32_MAX && negatives.size() <= UINT32_MAX, "too many samples");
  std::vector<std::int8_t> weights;
  {
    const nb::gil_scoped_release others_may_run;
    NgramTraining how;
    how.passes = passes;
    how.seed = seed;
    keys.visit([&](const auto& inside) {
      negatives.visit([&](const auto& outside) {
        weights = train(
            shape, how, keys.size(), [&](std::size_t i) { return inside.view(i); },
            negatives.size(), [&](std::size_t i) { return outside.view(i); });
      });
    });
  }
  return column(std::move(weights));
}

NgramScorer scorer_of(const Array<std::int8_t>& weights, std::uint32_t bucket_bits,
                      std::uint32_t grams) {
  const NgramScorer scorer{{bucket_bits, grams}, weights.data()};
  require(validate(scorer.shape, weights.shape(0)), "the scorer's shape does not fit its weights");
  return scorer;
}

auto ngram_scores(const FilterKeys& keys, const Array<std::int8_t>& weights,
                  std::uint32_t bucket_bits, std::uint32_t grams, std::size_t threads) {
  const NgramScorer scorer = scorer_of(weights, bucket_bits, grams);
  require(keys.is_text() == (grams != 0), "texts need lengths of runs, integers none");
  std::vector<double> out(keys.size());
  {
    const nb::gil_scoped_release others_may_run;
    keys.visit([&](const auto& source) {
      in_shares(out.size(), threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) out[i] = scorer.score(source.view(i));
      });
    });
  }
  return column(std::move(out));
}

/// A filter over arrays that it keeps alive: built ones, or those of a file.
class MembershipCore {
 public:
  MembershipCore(const Shapes& shapes, Array<std::uint8_t> tables, const Array<double>& thresholds,
                 Array<std::int8_t> weights, std::uint32_t bucket_bits, std::uint32_t grams)
      : tables_(std::move(tables)), weights_(std::move(weights)) {
    require(shapes.shape(1) == kShapeWords && shapes.shape(0) >= 2, "bad shapes");
    require(shapes.shape(0) <= kRegionsMax + 1, "too many regions");
    if (weights_.shape(0) > 0) filter_.scorer = scorer_of(weights_, bucket_bits, grams);
    filter_.thresholds.assign(thresholds.data(), thresholds.data() + thresholds.shape(0));
    std::uint64_t at = 0;
    for (std::size_t i = 0; i < shapes.shape(0); ++i) {
      const std::uint64_t* words = shapes.data() + i * kShapeWords;
      const FuseShape shape{words[0], words[1], words[2], words[3], words[4], words[5]};
      require(validate(shape, tables_.shape(0) - at), "a table's shape does not fit its bytes");
      const FuseView view{shape, tables_.data() + at};
      i == 0 ? void(filter_.front = view) : filter_.regions.push_back(view);
      at += shape.table_bytes();
    }
    require(at == tables_.shape(0), "there are bytes of no table");
    require(validate(filter_), "thresholds must rise, one fewer than there are regions");
  }

  void contains(const FilterKeys& keys, const Answers& out, std::size_t threads,
                const std::optional<Array<double>>& scores) const {
    const std::size_t count = keys.size();
    require(out.shape(0) == count, "out has one value a key");
    require(!scores || scores->shape(0) == count, "scores has one value a key");
    require(
        filter_.scorer.weights == nullptr || keys.is_text() == (filter_.scorer.shape.grams != 0),
        "the filter was built for keys of another kind");
    const double* given = scores ? scores->data() : nullptr;
    const nb::gil_scoped_release others_may_run;
    const bool is_plain = filter_.regions.size() == 1 && !filter_.front.shape.is_table();
    keys.visit([&](const auto& source) {
      in_shares(count, threads, [&](std::size_t begin, std::size_t end) {
        if constexpr (std::is_same_v<std::decay_t<decltype(source)>, IntegerKeys>) {
          if (is_plain)
            return contains_many(filter_.regions[0], source.values + begin, end - begin,
                                 out.data() + begin);
        }
        contains_range(filter_, source, given, begin, end, out.data() + begin);
      });
    });
  }

  bool contains_integer(std::uint64_t value) const {
    return filter_.contains({reinterpret_cast<const std::uint8_t*>(&value), 8}, value);
  }

  bool contains_text(const nb::bytes& text) const {
    const auto* data = reinterpret_cast<const std::uint8_t*>(text.data());
    return filter_.contains({data, text.size()}, hash_text(data, text.size()));
  }

 private:
  Array<std::uint8_t> tables_;
  Array<std::int8_t> weights_;
  PartitionedFilter filter_;
};

}  // namespace

void bind_index_membership(nb::module_& m) {
  nb::class_<FilterKeys>(m, "FilterKeys")
      .def(nb::init<Array<std::uint64_t>>(), "values"_a)
      .def(nb::init<Array<std::int64_t>, Array<std::uint8_t>>(), "offsets"_a, "data"_a)
      .def_prop_ro("is_text", &FilterKeys::is_text)
      .def("__len__", &FilterKeys::size)
      .def("hashes", hashes);
  nb::class_<MembershipCore>(m, "MembershipCore")
      .def(nb::init<const Shapes&, Array<std::uint8_t>, const Array<double>&, Array<std::int8_t>,
                    std::uint32_t, std::uint32_t>(),
           "shapes"_a, "tables"_a, "thresholds"_a, "weights"_a, "bucket_bits"_a, "grams"_a)
      .def("contains", &MembershipCore::contains, "keys"_a, "out"_a, "threads"_a = 1,
           "scores"_a.none() = nb::none())
      .def("contains_integer", &MembershipCore::contains_integer, "value"_a)
      .def("contains_text", &MembershipCore::contains_text, "text"_a);
  m.def("fuse_build", fuse_build, "keys"_a, "rate"_a, "tries"_a, "seed"_a);
  m.def("ngram_train", ngram_train, "keys"_a, "negatives"_a, "bucket_bits"_a, "grams"_a, "passes"_a,
        "seed"_a);
  m.def("ngram_scores", ngram_scores, "keys"_a, "weights"_a, "bucket_bits"_a, "grams"_a,
        "threads"_a = 1);
}

}  // namespace acumen::bindings
