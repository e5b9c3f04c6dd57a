// The Python type of a decision: a small record, made on every choice, recycled when dropped.
#pragma once

#include <Python.h>

#include "acumen/choice.hpp"

namespace acumen::bindings {

/// Makes the type `_native.Decision`; a new reference, or null with an exception set.
PyObject* make_decision_type();

/// A new decision. `choice` and `arm` are borrowed; null with an exception set if memory is short.
PyObject* make_decision(PyObject* choice, PyObject* arm, const Answer& answer);

/// Feedback by keyword or position, defined beside the choice (choice.cpp). The choice is one that
/// is initialised, as that of a decision always is.
PyObject* give_feedback(PyObject* choice, std::uint64_t id, PyObject* const* args,
                        Py_ssize_t positional, PyObject* names);

}  // namespace acumen::bindings
