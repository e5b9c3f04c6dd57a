// A Python number as a key of an index, where it is exactly one.
#pragma once

#include <Python.h>

#include <cstdint>
#include <limits>
#include <type_traits>

#include "acumen/index/range.hpp"

namespace acumen::bindings {

template <class T>
bool read_integer(PyObject* number, T& to) {
  if (!PyLong_CheckExact(number)) {
    // NumPy's own integers, which are no sequences; a bool is left to Python, whatever it means.
    if (!PyIndex_Check(number) || PyBool_Check(number) || PySequence_Check(number)) return false;
    PyObject* whole = PyNumber_Index(number);
    if (whole == nullptr) {
      PyErr_Clear();
      return false;
    }
    const bool read = PyLong_CheckExact(whole) && read_integer(whole, to);
    Py_DECREF(whole);
    return read;
  }
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
  if constexpr (std::is_same_v<T, std::uint64_t>) {
    if (overflow > 0) {
      to = PyLong_AsUnsignedLongLong(number);
      if (!PyErr_Occurred()) return true;
      PyErr_Clear();
      return false;
    }
    if (overflow < 0 || value < 0) return false;
  } else if (overflow != 0 || value < std::numeric_limits<T>::min() ||
             value > static_cast<long long>(std::numeric_limits<T>::max())) {
    return false;
  }
  to = static_cast<T>(value);
  return true;
}

template <class T>
bool read_float(PyObject* number, T& to) {
  if (!PyFloat_Check(number)) return false;
  const double value = PyFloat_AS_DOUBLE(number);
  to = static_cast<T>(value);
  return static_cast<double>(to) == value;  // NaN goes the long way too
}

/// The key that a Python number is, if it is exactly one.
inline bool read_key(index::KeyType type, PyObject* number, void* to) {
  bool read = false;
  index::with_key_type(type, [&]<typename T>(T) {
    if constexpr (std::is_floating_point_v<T>)
      read = read_float(number, *static_cast<T*>(to));
    else
      read = read_integer(number, *static_cast<T*>(to));
  });
  return read;
}

}  // namespace acumen::bindings
