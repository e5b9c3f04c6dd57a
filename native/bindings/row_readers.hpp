// Rows of floats from NumPy arrays and from other buffers.
#pragma once

#include <Python.h>

#include <cstdint>

namespace acumen::bindings {

/// Whether it is a NumPy array (or of a subclass).
bool is_numpy_array(PyObject* object);

/// Copies n values of a one-dimensional NumPy array; false: it is not one of n floats.
bool read_numpy(PyObject* object, std::uint32_t n, double* row);

/// The same from anything with the buffer protocol ('d' or 'f').
bool read_buffer(PyObject* object, std::uint32_t n, double* row);

}  // namespace acumen::bindings
