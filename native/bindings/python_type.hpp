// Helpers for types written against the C API: hot paths that nanobind's dispatch would slow down.
#pragma once

#include <Python.h>

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
  PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd positional arguments but %zd were given",
               name, low, high, count);
  return false;
}

}  // namespace acumen::bindings
