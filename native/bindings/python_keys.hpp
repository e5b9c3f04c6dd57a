// A Python number as a key of an index, where it is exactly one.
#pragma once

#include <Python.h>

#include <cstdint>
#include <limits>
#include <type_traits>

#include "acumen/index/range.hpp"

namespace acumen::bindings {

/// The digits of an int of at most 64 bits, as they lie there: Python's own conversion to unsigned
/// ones goes byte by byte. False: it has more.
inline bool read_digits(PyObject* number, std::uint64_t& magnitude, bool& negative) {
  const PyLongObject* whole = reinterpret_cast<const PyLongObject*>(number);
#if PY_VERSION_HEX >= 0x030C0000
  const std::uintptr_t tag = whole->long_value.lv_tag;  // digits · 8 + 1 − sign
  const digit* digits = whole->long_value.ob_digit;
  std::size_t left = tag >> 3;
  negative = (tag & 3) == 2;
#else
  const digit* digits = whole->ob_digit;
  const Py_ssize_t size = Py_SIZE(number);
  std::size_t left = static_cast<std::size_t>(size < 0 ? -size : size);
  negative = size < 0;
#endif
  magnitude = 0;
  while (left > 0) {
    if (magnitude >> (64 - PyLong_SHIFT) != 0) return false;
    magnitude = magnitude << PyLong_SHIFT | digits[--left];
  }
  return true;
}

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
  std::uint64_t magnitude;
  bool negative;
  if (!read_digits(number, magnitude, negative)) return false;
  constexpr std::uint64_t most = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
  if (magnitude > most + (negative && std::is_signed_v<T>) || (negative && !std::is_signed_v<T>))
    return false;
  to = static_cast<T>(negative ? ~magnitude + 1 : magnitude);
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
