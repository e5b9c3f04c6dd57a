// What off-policy evaluation asks of the core: vectors and rewards of many rows, and cross-fitting.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <limits>
#include <stdexcept>
#include <vector>

#include "acumen/aligned.hpp"
#include "acumen/cross_fit.hpp"
#include "acumen/drift.hpp"
#include "acumen/objective.hpp"
#include "acumen/schema.hpp"
#include "bindings.hpp"
#include "choice_core.hpp"
#include "learner_handle.hpp"
#include "state_arrays.hpp"

namespace acumen::bindings {
namespace {

using namespace nb::literals;

using DoubleRows = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Rewards = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Values = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const std::uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

/// One reward a row of metrics; NaN where the objective has none.
auto rewards(const nb::tuple& terms, const DoubleRows& values) {
  const Objective objective(read_objective(terms));
  require(values.shape(1) == objective.metrics(), "one column a metric");
  std::vector<double> out(values.shape(0));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = objective.reward(values.data() + i * values.shape(1));
  return column(std::move(out));
}

/// The vectors of all rows under scales chosen from these rows; NaN in a row that is bad.
FloatMatrix encode(const nb::tuple& fields, const DoubleRows& rows) {
  Schema schema(read_fields(fields));
  const std::size_t n = rows.shape(0), width = rows.shape(1), dimension = schema.dimension();
  require(width == schema.fields(), "one column a field");
  std::vector<float> out(n * dimension);
  {
    const nb::gil_scoped_release others_may_run;
    schema.calibrate(std::vector<double>(rows.data(), rows.data() + n * width));
    AlignedArray<float> x(padded(schema.dimension()));
    for (std::size_t i = 0; i < n; ++i) {
      if (schema.encode(rows.data() + i * width, x.data()) != Schema::kGood)
        std::fill_n(x.data(), dimension, std::numeric_limits<float>::quiet_NaN());
      std::copy_n(x.data(), dimension, out.data() + i * dimension);
    }
  }
  return matrix(std::move(out), n, dimension);
}

/// What `learner` expects of every arm in every row, taught with the rows of other folds only.
FloatMatrix cross_fitted(LearnerHandle& handle, const Floats& x, const Indices& arm,
                         const Rewards& reward, const Indices& fold, std::uint32_t folds,
                         const Values& weight) {
  Learner& learner = *handle.learner;
  const LearnerShape shape = learner.shape();
  const std::size_t n = x.shape(0);
  require(shape.features == 0, "arms with features are not supported");
  require(x.shape(1) == shape.dimension, "x does not have the learner's dimension");
  require(arm.shape(0) == n && reward.shape(0) == n && fold.shape(0) == n && weight.shape(0) == n,
          "x, arm, reward, fold and weight have one row a record");
  std::vector<float> out(n * shape.arms);
  bool good;
  {
    const nb::gil_scoped_release others_may_run;
    const std::size_t stride = padded(shape.dimension);
    AlignedArray<float> rows(n * stride);
    for (std::size_t i = 0; i < n; ++i)
      std::copy_n(x.data() + i * shape.dimension, shape.dimension, rows.data() + i * stride);
    const LoggedRows logged{n, rows.data(), arm.data(), reward.data(), fold.data(), weight.data()};
    good = folds ? cross_fit(learner, logged, folds, out.data())
                 : fit_in_order(learner, logged, out.data());
  }
  require(good, "the learner models no rewards, or a record is unusable");
  return matrix(std::move(out), n, shape.arms);
}

/// Takes values up to the first alarm, and says where that was; -1: none.
std::int64_t see_all(DriftDetector& detector, const Values& values) {
  for (std::size_t i = 0; i < values.shape(0); ++i)
    if (detector.see(values.data()[i])) return static_cast<std::int64_t>(i);
  return -1;
}

void bind_drift(nb::module_& m) {
  nb::class_<DriftDetector>(m, "DriftDetector")
      .def(
          "__init__",
          [](DriftDetector* self, double records_per_alarm, bool categories, bool falls,
             std::uint64_t seed) {
            require(!(categories && falls), "categories have no order to fall in");
            const DriftStream stream = categories ? DriftStream::kCategories
                                       : falls    ? DriftStream::kFallingNumbers
                                                  : DriftStream::kNumbers;
            new (self) DriftDetector(records_per_alarm, stream, seed);
          },
          "records_per_alarm"_a, "categories"_a, "falls"_a, "seed"_a)
      .def("see_all", see_all, "values"_a)
      .def("restart", &DriftDetector::restart)
      .def_prop_ro("records", &DriftDetector::records)
      .def_prop_ro("since", &DriftDetector::since)
      .def_prop_ro("is_watching", &DriftDetector::is_watching)
      .def_prop_ro("evidence", &DriftDetector::evidence)
      .def_prop_ro("kind", [](const DriftDetector& d) { return static_cast<int>(d.kind()); });
}

}  // namespace

void bind_evaluation(nb::module_& m) {
  bind_drift(m);
  m.def("rewards", rewards, "objective"_a, "values"_a);
  m.def("encode", encode, "fields"_a, "rows"_a);
  m.def("cross_fit", cross_fitted, "learner"_a, "x"_a, "arm"_a, "reward"_a, "fold"_a, "folds"_a,
        "weight"_a);
}

}  // namespace acumen::bindings
