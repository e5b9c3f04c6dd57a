// Helpers for types written against the C API: hot paths that nanobind's dispatch would slow down.
#pragma once

#include <Python.h>

#include <cmath>
#include <new>

namespace acumen::bindings {

/// Runs `body`; C++ exceptions become Python ones, and `failure` is returned.
template <typename Body, typename Result>
Result guarded(Result failure, Body&& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (...) {
    PyErr_SetString(PyExc_SystemError, "unexpected C++ exception");
  }
  return failure;
}

using FastCall = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t);

/// The table of methods is one of PyCFunction, whatever the calling convention.
inline PyCFunction method(FastCall function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

inline bool count_between(const char* name, Py_ssize_t count, Py_ssize_t low, Py_ssize_t high) {
  if (count >= low && count <= high) return true;
  PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments but %zd were given", name, low,
               high, count);
  return false;
}

using NamedFastCall = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);

inline PyCFunction method(NamedFastCall function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

/// The table of slots is one of void*.
template <typename Function>
void* slot(Function* function) {
  return reinterpret_cast<void*>(function);
}

/// The arguments of a mapping's method(key, default), by position or by name; borrowed.
struct KeyAndDefault {
  PyObject* key = nullptr;
  PyObject* otherwise = nullptr;  // nullptr: not given

  /// False with an exception set.
  bool read(const char* name, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
    if (!count_between(name, count + named, 1, 2)) return false;
    if (count > 0) key = arguments[0];
    if (count > 1) otherwise = arguments[1];
    for (Py_ssize_t at = 0; at < named; ++at) {
      PyObject* given = PyTuple_GET_ITEM(names, at);
      PyObject** place = nullptr;
      if (PyUnicode_CompareWithASCIIString(given, "key") == 0) place = &key;
      if (PyUnicode_CompareWithASCIIString(given, "default") == 0) place = &otherwise;
      if (place == nullptr || *place != nullptr) {
        PyErr_Format(PyExc_TypeError, "%s() got %s argument '%U'", name,
                     place == nullptr ? "an unexpected" : "multiple values for", given);
        return false;
      }
      *place = arguments[count + at];
    }
    if (key != nullptr) return true;
    PyErr_Format(PyExc_TypeError, "%s() misses the argument 'key'", name);
    return false;
  }
};

/// The size that getsizeof answered, >= 0; -1 with an exception set. Takes the reference, or the
/// failure of the call.
inline double read_size(PyObject* answer) {
  if (answer == nullptr) return -1;
  const double size = PyFloat_AsDouble(answer);
  Py_DECREF(answer);
  if (size == -1 && PyErr_Occurred()) return -1;
  if (size >= 0) return size;
  PyErr_SetString(PyExc_ValueError, "getsizeof must return a number >= 0");
  return -1;
}

/// A sum of sizes for the user: whole ones, the usual ones, as the ints they were.
inline PyObject* show_size(double size) {
  const bool whole = size == std::floor(size) && std::isfinite(size);
  return whole ? PyLong_FromDouble(size) : PyFloat_FromDouble(size);
}

}  // namespace acumen::bindings
