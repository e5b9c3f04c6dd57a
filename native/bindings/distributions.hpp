// What a choice's learned policy would do, for many rows, without choosing anything.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "choice_core.hpp"
#include "state_arrays.hpp"

namespace acumen::bindings {

/// float32[n, arms]; NaN where a row is bad or a learner written in Python fails.
FloatMatrix distributions(
    ChoiceCore& core, nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu> rows);

}  // namespace acumen::bindings
