// A Python object that answers from a native one: a type against the C API beside nanobind's.
#pragma once

#include <nanobind/nanobind.h>

#include "python_type.hpp"

namespace acumen::bindings {

/// `Native` is a class that nanobind binds; an instance of it is kept alive.
template <typename Native>
struct Holder {
  PyObject_HEAD PyObject* kept;
  Native* opened;  // inside `kept`; nullptr before open()

  static Holder* of(PyObject* self) { return reinterpret_cast<Holder*>(self); }

  /// False with an exception set: it is no `wanted`.
  static bool open(PyObject* self, PyObject* object, const char* wanted) {
    Native* opened = nullptr;
    if (!nanobind::try_cast(nanobind::handle(object), opened) || opened == nullptr) {
      PyErr_Format(PyExc_TypeError, "_open() takes a %s", wanted);
      return false;
    }
    of(self)->opened = opened;  // first: letting the old one go may run anything
    Py_XSETREF(of(self)->kept, Py_NewRef(object));
    return true;
  }

  static int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(of(self)->kept);
    return 0;
  }

  static int clear(PyObject* self) {
    of(self)->opened = nullptr;
    Py_CLEAR(of(self)->kept);
    return 0;
  }

  static void dealloc(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear(self);
    type->tp_free(self);
    Py_DECREF(type);
  }
};

}  // namespace acumen::bindings
