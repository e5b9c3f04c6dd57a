// Binds independent_reads.hpp.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <stdexcept>

#include "acumen/index/independent_reads.hpp"
#include "bindings.hpp"
#include "columns.hpp"

namespace acumen::bindings {
namespace {

namespace nb = nanobind;
using namespace nb::literals;

template <typename T>
std::uint64_t sum_at(const Column<T>& values, const Column<std::uint64_t>& places) {
  const nb::gil_scoped_release others_may_run;
  const auto sum = index::sum_at(values.data(), values.shape(0), places.data(), places.shape(0));
  if (!sum) throw std::out_of_range("a place beyond the values");
  return *sum;
}

}  // namespace

void bind_index_reads(nb::module_& m) {
  m.def("sum_at", &sum_at<std::uint8_t>, "values"_a.noconvert(), "places"_a.noconvert());
  m.def("sum_at", &sum_at<std::uint16_t>, "values"_a.noconvert(), "places"_a.noconvert());
  m.def("sum_at", &sum_at<std::uint32_t>, "values"_a.noconvert(), "places"_a.noconvert());
  m.def("sum_at", &sum_at<std::uint64_t>, "values"_a.noconvert(), "places"_a.noconvert());
}

}  // namespace acumen::bindings
