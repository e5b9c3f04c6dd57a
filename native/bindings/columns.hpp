// Columns: one-dimensional arrays as bindings take them, and as vectors that outlive the call.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <vector>

namespace acumen::bindings {

template <typename T>
using Column =
    nanobind::ndarray<const T, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;

template <typename T>
std::vector<T> copied(const Column<T>& values) {
  return {values.data(), values.data() + values.shape(0)};
}

}  // namespace acumen::bindings
