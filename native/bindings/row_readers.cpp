#include "row_readers.hpp"

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cstring>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <numpy/ndarraytypes.h>

namespace acumen::bindings {
namespace {

namespace nb = nanobind;

PyTypeObject* numpy_array_type() {
  static PyTypeObject* type = [] {
    const nb::object numpy = nb::module_::import_("numpy");
    return reinterpret_cast<PyTypeObject*>(nb::object(numpy.attr("ndarray")).release().ptr());
  }();
  return type;
}

/// Whether it has n values that can be read as they are, wherever they lie.
bool is_row(PyArrayObject* array, std::uint32_t n) {
  return PyArray_NDIM(array) == 1 && PyArray_DIM(array, 0) == static_cast<npy_intp>(n) &&
         PyArray_ISNBO(PyArray_DESCR(array)->byteorder) && PyArray_ISALIGNED(array);
}

}  // namespace

bool is_numpy_array(PyObject* object) {
  return PyObject_TypeCheck(object, numpy_array_type());
}

bool read_numpy(PyObject* object, std::uint32_t n, double* row) {
  auto* array = reinterpret_cast<PyArrayObject*>(object);
  if (!is_row(array, n)) return false;
  const char* data = PyArray_BYTES(array);
  const npy_intp stride = PyArray_STRIDE(array, 0);
  if (PyArray_TYPE(array) == NPY_DOUBLE) {
    if (stride == sizeof(double)) {
      std::memcpy(row, data, n * sizeof(double));
    } else {
      for (std::uint32_t i = 0; i < n; ++i)
        row[i] = *reinterpret_cast<const double*>(data + i * stride);
    }
    return true;
  }
  if (PyArray_TYPE(array) == NPY_FLOAT) {
    for (std::uint32_t i = 0; i < n; ++i)
      row[i] = static_cast<double>(*reinterpret_cast<const float*>(data + i * stride));
    return true;
  }
  return false;
}

bool read_buffer(PyObject* object, std::uint32_t n, double* row) {
  Py_buffer view;
  if (PyObject_GetBuffer(object, &view, PyBUF_FORMAT | PyBUF_ND) != 0) {
    PyErr_Clear();
    return false;
  }
  const char* format = view.format ? view.format : "B";
  bool good = view.ndim == 1 && view.shape[0] == static_cast<Py_ssize_t>(n);
  if (good && std::strcmp(format, "d") == 0) {
    std::memcpy(row, view.buf, n * sizeof(double));
  } else if (good && std::strcmp(format, "f") == 0) {
    const auto* values = static_cast<const float*>(view.buf);
    std::copy_n(values, n, row);
  } else {
    good = false;
  }
  PyBuffer_Release(&view);
  return good;
}

}  // namespace acumen::bindings
