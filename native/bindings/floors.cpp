// What a call from Python costs at the least: the floor under the overhead of a choice, measured
// beside it by benchmarks/choice_overhead.py. Nothing else uses these.
#include <nanobind/nanobind.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <numpy/ndarraytypes.h>

#include "bindings.hpp"
#include "python_type.hpp"
#include "row_readers.hpp"

namespace acumen::bindings {
namespace {

PyObject* floor_empty(PyObject*, PyObject*) {
  Py_RETURN_NONE;
}

PyObject* floor_keywords(PyObject*, PyObject* const*, Py_ssize_t, PyObject*) {
  Py_RETURN_NONE;
}

/// Reads a contiguous float64 array: the sum, so that the values are needed.
PyObject* floor_row(PyObject*, PyObject* row) {
  if (!is_numpy_array(row) || PyArray_TYPE(reinterpret_cast<PyArrayObject*>(row)) != NPY_DOUBLE ||
      PyArray_NDIM(reinterpret_cast<PyArrayObject*>(row)) != 1 ||
      !PyArray_IS_C_CONTIGUOUS(reinterpret_cast<PyArrayObject*>(row))) {
    PyErr_SetString(PyExc_TypeError, "a contiguous float64 vector is needed");
    return nullptr;
  }
  auto* array = reinterpret_cast<PyArrayObject*>(row);
  const auto* values = reinterpret_cast<const double*>(PyArray_BYTES(array));
  double sum = 0.0;
  for (npy_intp i = 0; i < PyArray_DIM(array, 0); ++i) sum += values[i];
  return PyFloat_FromDouble(sum);
}

PyMethodDef functions[] = {
    {"_floor_empty", floor_empty, METH_O, "_floor_empty($module, row, /)\n--\n\nDoes nothing."},
    {"_floor_keywords", method(floor_keywords), METH_FASTCALL | METH_KEYWORDS,
     "_floor_keywords($module, /, **context)\n--\n\nDoes nothing."},
    {"_floor_row", floor_row, METH_O, "_floor_row($module, row, /)\n--\n\nSums a float64 array."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

void bind_floors(nanobind::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), functions) != 0) nanobind::raise_python_error();
}

}  // namespace acumen::bindings
