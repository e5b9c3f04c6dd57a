// Binds texts.hpp, fingerprint.hpp, and what a composite key's second column needs.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <stdexcept>

#include "acumen/index/fingerprint.hpp"
#include "acumen/index/texts.hpp"
#include "bindings.hpp"
#include "columns.hpp"
#include "index_range.hpp"

namespace acumen::bindings {
namespace {

using namespace nb::literals;
using index::TextColumn;
template <typename T>
using Output = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

/// A column of texts with the buffers that it lies in.
class Texts {
 public:
  Texts(Column<std::uint8_t> data, std::optional<Column<std::int64_t>> offsets, std::size_t width,
        bool padded)
      : data_(std::move(data)), offsets_(std::move(offsets)), texts_(column(width, padded)) {
    if (!texts_.valid()) throw std::invalid_argument("texts lie outside their buffer");
  }

  const TextColumn& texts() const { return texts_; }

 private:
  TextColumn column(std::size_t width, bool padded) const {
    const char* data = reinterpret_cast<const char*>(data_.data());
    if (!offsets_)
      return {data,  data_.shape(0), nullptr, width == 0 ? 0 : data_.shape(0) / width,
              width, padded};
    if (offsets_->shape(0) < 1) throw std::invalid_argument("no offsets");
    return {data, data_.shape(0), offsets_->data(), offsets_->shape(0) - 1, 0, false};
  }

  Column<std::uint8_t> data_;
  std::optional<Column<std::int64_t>> offsets_;
  TextColumn texts_;
};

bool ascend(const Texts& column) {
  const TextColumn& texts = column.texts();
  const nb::gil_scoped_release others_may_run;
  for (std::size_t i = 1; i < texts.size(); ++i)
    if (texts[i - 1].compare(texts[i]) > 0) return false;
  return true;
}

std::size_t common(const Texts& column) {
  return column.texts().common();
}

void numbers(const Texts& column, std::size_t skip, Output<std::uint64_t> out) {
  const TextColumn& texts = column.texts();
  if (out.shape(0) != (texts.size() + TextColumn::kStride - 1) / TextColumn::kStride)
    throw std::invalid_argument("out has another length");
  const nb::gil_scoped_release others_may_run;
  for (std::size_t i = 0; i < out.shape(0); ++i)
    out.data()[i] = index::text_number(texts[i * TextColumn::kStride], skip);
}

void query_numbers(const Texts& column, const Texts& queries, std::size_t skip,
                   Output<std::uint64_t> out) {
  const TextColumn& texts = column.texts();
  if (out.shape(0) != queries.texts().size()) throw std::invalid_argument("out has another length");
  const nb::gil_scoped_release others_may_run;
  const auto common = texts.size() == 0 ? std::string_view() : texts[0].substr(0, skip);
  for (std::size_t i = 0; i < out.shape(0); ++i)
    out.data()[i] = index::query_number(queries.texts()[i], common);
}

/// out: in, the strides that begin below each query's number; becomes the ranks of the queries.
/// upto: the strides that begin up to it.
void ranks(const Texts& column, const Texts& queries, Output<std::int64_t> out,
           Column<std::int64_t> upto, bool right) {
  const TextColumn& texts = column.texts();
  const std::size_t count = queries.texts().size();
  if (out.shape(0) != count || upto.shape(0) != count)
    throw std::invalid_argument("out has another length");
  const nb::gil_scoped_release others_may_run;
  for (std::size_t i = 0; i < count; ++i) {
    const auto below = static_cast<std::size_t>(std::max<std::int64_t>(out.data()[i], 0));
    const auto most = static_cast<std::size_t>(std::max<std::int64_t>(upto.data()[i], 0));
    const std::size_t high = std::min(texts.size(), most * TextColumn::kStride);
    const std::size_t low = below == 0 ? 0 : (below - 1) * TextColumn::kStride;
    out.data()[i] = static_cast<std::int64_t>(
        index::text_rank(texts, queries.texts()[i], right, std::min(low, high), high));
  }
}

void keep_found(const Texts& column, const Texts& queries, Output<std::int64_t> out) {
  const TextColumn& texts = column.texts();
  if (out.shape(0) != queries.texts().size()) throw std::invalid_argument("out has another length");
  const nb::gil_scoped_release others_may_run;
  for (std::size_t i = 0; i < out.shape(0); ++i) {
    const auto at = static_cast<std::size_t>(out.data()[i]);
    if (at >= texts.size() || texts[at] != queries.texts()[i]) out.data()[i] = -1;
  }
}

/// Ranks within [low, high) of a column that ascends there; out: in `low`.
template <typename T>
void rank_between(const T* keys, const T* queries, const std::int64_t* high, std::size_t count,
                  bool right, std::int64_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const T* first = keys + out[i];
    const T* last = keys + std::max(high[i], out[i]);
    const T* at = right ? std::upper_bound(first, last, queries[i])
                        : std::lower_bound(first, last, queries[i]);
    out[i] = at - keys;
  }
}

void ranks_between(const AnyColumn& keys, const AnyColumn& queries, Output<std::int64_t> out,
                   Column<std::int64_t> high, bool right) {
  const index::KeyType type = key_type_of(keys);
  const std::size_t count = queries.shape(0);
  if (key_type_of(queries) != type || out.shape(0) != count || high.shape(0) != count)
    throw std::invalid_argument("another type or length");
  for (std::size_t i = 0; i < count; ++i)
    if (out.data()[i] < 0 || high.data()[i] > static_cast<std::int64_t>(keys.shape(0)) ||
        out.data()[i] > static_cast<std::int64_t>(keys.shape(0)))
      throw std::invalid_argument("outside the keys");
  const auto run = [&]<typename T>(T) {
    const nb::gil_scoped_release others_may_run;
    rank_between(static_cast<const T*>(keys.data()), static_cast<const T*>(queries.data()),
                 high.data(), count, right, out.data());
  };
  index::with_key_type(type, run);
}

/// Whether every run of equal firsts has ascending seconds.
bool pairs_ascend(const AnyColumn& firsts, const AnyColumn& seconds) {
  if (firsts.shape(0) != seconds.shape(0)) throw std::invalid_argument("another length");
  const std::size_t count = firsts.shape(0);
  bool sorted = true;
  index::with_key_type(key_type_of(firsts), [&]<typename T>(T) {
    const auto* first = static_cast<const T*>(firsts.data());
    index::with_key_type(key_type_of(seconds), [&]<typename U>(U) {
      const auto* second = static_cast<const U*>(seconds.data());
      const nb::gil_scoped_release others_may_run;
      for (std::size_t i = 1; i < count; ++i)
        sorted &= first[i] != first[i - 1] || !(second[i] < second[i - 1]);
    });
  });
  return sorted;
}

}  // namespace

void bind_index_texts(nb::module_& m) {
  nb::class_<Texts>(m, "TextColumn", "Strings or bytes in the buffers that they lie in.")
      .def(nb::init<Column<std::uint8_t>, std::optional<Column<std::int64_t>>, std::size_t, bool>(),
           "data"_a.noconvert(), "offsets"_a.none(), "width"_a, "padded"_a)
      .def("__len__", [](const Texts& column) { return column.texts().size(); })
      .def("ascend", ascend)
      .def("common", common)
      .def("numbers", numbers, "skip"_a, "out"_a.noconvert())
      .def("query_numbers", query_numbers, "queries"_a, "skip"_a, "out"_a.noconvert())
      .def("ranks", ranks, "queries"_a, "out"_a.noconvert(), "upto"_a.noconvert(), "right"_a)
      .def("keep_found", keep_found, "queries"_a, "out"_a.noconvert());
  m.def(
      "fingerprint",
      [](Column<std::uint8_t> data) {
        const nb::gil_scoped_release others_may_run;
        return index::fingerprint(data.data(), data.shape(0));
      },
      "data"_a.noconvert());
  m.def("ranks_between", ranks_between, "keys"_a.noconvert(), "queries"_a.noconvert(),
        "out"_a.noconvert(), "high"_a.noconvert(), "right"_a);
  m.def("pairs_ascend", pairs_ascend, "firsts"_a.noconvert(), "seconds"_a.noconvert());
}

}  // namespace acumen::bindings
