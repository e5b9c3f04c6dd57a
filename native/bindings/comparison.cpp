// The holdback's comparison by itself, for who reads decisions from elsewhere: from a journal.
#include "comparison.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>

#include <cmath>
#include <stdexcept>

#include "bindings.hpp"

namespace acumen::bindings {
namespace {

namespace nb = nanobind;
using namespace nb::literals;

using Flags = nb::ndarray<const bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Numbers = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

/// Decisions in the order in which they were made; a reward that is NaN will never be known.
void observe(HoldbackComparison& comparison, const Flags& learned, const Numbers& share,
             const Numbers& reward) {
  const std::size_t n = learned.shape(0);
  if (share.shape(0) != n || reward.shape(0) != n)
    throw std::invalid_argument("learned, share and reward have one value a decision");
  for (std::size_t i = 0; i < n; ++i) {
    const bool side = learned.data()[i];
    const double q = share.data()[i], r = reward.data()[i];
    if (std::isnan(r)) {
      comparison.lose(side, q);
    } else if (std::fabs(r) <= static_cast<double>(kRewardLimit)) {
      comparison.observe(side, q, r);
    } else {
      throw std::invalid_argument("a reward is out of range");
    }
  }
}

}  // namespace

void bind_comparison(nb::module_& m) {
  nb::class_<HoldbackComparison>(m, "HoldbackComparison", nb::is_final())
      .def(nb::init<>())
      .def("observe", observe, "learned"_a, "share"_a, "reward"_a)
      .def("interval", compared, "alpha"_a);
}

}  // namespace acumen::bindings
