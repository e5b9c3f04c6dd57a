// The arguments of a call as a key of ObjectTable, without making an object of them.
//
// Idea       functools.lru_cache makes a tuple of the arguments for every call. Here the hash is
//            taken from the arguments where they lie, and compared with the tuple stored when the
//            result was: only a miss makes a tuple.
//
//            tuple   positional… [ mark, name, value, name, value… ] [ types of all values… ]
//                                  only with keywords                  only if typed
#pragma once

#include <Python.h>

#include "object_table.hpp"

namespace acumen::bindings {

/// What separates positional from keyword arguments in a stored tuple: an object of its own, made
/// with the module, that nobody can pass as an argument.
inline PyObject* keyword_mark = nullptr;

class CallKey {
 public:
  Py_hash_t hash = -1;

  CallKey(PyObject* const* values, Py_ssize_t positional, PyObject* names, bool typed)
      : values_(values), names_(names), positional_(positional), typed_(typed) {
    named_ = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  }

  /// A single int or str is its own key: cheaper, and the most common call.
  bool simple() const {
    return positional_ == 1 && named_ == 0 && !typed_ &&
           (PyLong_CheckExact(values_[0]) || PyUnicode_CheckExact(values_[0]));
  }

  /// False with an exception set: an argument is unhashable.
  bool read() {
    std::uint64_t sum = static_cast<std::uint64_t>(positional_);
    for (Py_ssize_t at = 0; at < positional_ + named_; ++at) {
      const Py_hash_t part = PyObject_Hash(values_[at]);
      if (part == -1) return false;
      sum = mix64(sum * 0x9e3779b97f4a7c15ULL + static_cast<std::uint64_t>(part));
    }
    for (Py_ssize_t at = 0; at < named_; ++at) {
      const Py_hash_t part = PyObject_Hash(PyTuple_GET_ITEM(names_, at));
      if (part == -1) return false;
      sum = mix64(sum + static_cast<std::uint64_t>(part));
    }
    hash = static_cast<Py_hash_t>(sum);
    if (hash == -1) hash = -2;  // -1 means failure, here as everywhere
    return true;
  }

  /// As ObjectKey::quick.
  int quick(PyObject* stored) const {
    if (!fits(stored)) return 0;
    int verdict = 1;
    for (Py_ssize_t at = 0; at < positional_ + 2 * named_; ++at) {
      const int equal = ObjectKey{given(at), hash}.quick(PyTuple_GET_ITEM(stored, place(at)));
      if (equal == 0) return 0;
      if (equal < 0) verdict = -1;
    }
    return verdict;
  }
  int ask(PyObject* stored) const {
    for (Py_ssize_t at = 0; at < positional_ + 2 * named_; ++at) {
      const int equal = ObjectKey{given(at), hash}.ask(PyTuple_GET_ITEM(stored, place(at)));
      if (equal <= 0) return equal;
    }
    return 1;
  }

  /// The tuple to be stored: a new reference, or nullptr with an exception set.
  PyObject* object() const {
    PyObject* tuple = PyTuple_New(length());
    if (tuple == nullptr) return nullptr;
    if (named_ > 0) PyTuple_SET_ITEM(tuple, positional_, Py_NewRef(keyword_mark));
    for (Py_ssize_t at = 0; at < positional_ + 2 * named_; ++at) {
      PyTuple_SET_ITEM(tuple, place(at), Py_NewRef(given(at)));
    }
    for (Py_ssize_t at = 0; typed_ && at < positional_ + named_; ++at) {
      PyTuple_SET_ITEM(tuple, types_from() + at, Py_NewRef(type(at)));
    }
    return tuple;
  }

 private:
  // Arguments are counted as positional…, name, value, name, value…
  PyObject* given(Py_ssize_t at) const {
    if (at < positional_) return values_[at];
    const Py_ssize_t pair = (at - positional_) / 2;
    const bool name = (at - positional_) % 2 == 0;
    return name ? PyTuple_GET_ITEM(names_, pair) : values_[positional_ + pair];
  }
  Py_ssize_t place(Py_ssize_t at) const { return at < positional_ ? at : at + 1; }
  Py_ssize_t types_from() const { return positional_ + (named_ > 0 ? 1 + 2 * named_ : 0); }
  Py_ssize_t length() const { return types_from() + (typed_ ? positional_ + named_ : 0); }
  PyObject* type(Py_ssize_t at) const { return reinterpret_cast<PyObject*>(Py_TYPE(values_[at])); }

  bool fits(PyObject* stored) const {
    if (!PyTuple_CheckExact(stored) || PyTuple_GET_SIZE(stored) != length()) return false;
    if (named_ > 0 && PyTuple_GET_ITEM(stored, positional_) != keyword_mark) return false;
    for (Py_ssize_t at = 0; typed_ && at < positional_ + named_; ++at) {
      if (PyTuple_GET_ITEM(stored, types_from() + at) != type(at)) return false;
    }
    return true;
  }

  PyObject* const* values_;  // positional, then those of the keywords
  PyObject* names_;
  Py_ssize_t positional_, named_;
  bool typed_;
};

}  // namespace acumen::bindings
