// What acumen._native.CacheBase can do with a key, below Python's protocols (cache.cpp).
//
// User code may run wherever object_table.hpp says, and where a hook is called: popitem, if a
// subclass has its own, and getsizeof.
#pragma once

#include "storing.hpp"

namespace acumen::bindings {

struct Cache {
  PyObject_HEAD ObjectTable table;
  Clock clock;
  PyObject* maxsize;    // as the user gave it
  PyObject* ttl;        // likewise; None: entries do not expire
  PyObject* nominated;  // the key that is to leave: its removal is an eviction, not a deletion
};

/// Names of the hooks, and popitem as the type itself defines it; set with the module.
struct CacheHooks {
  PyObject* missing = nullptr;
  PyObject* popitem = nullptr;
  PyObject* getsizeof_ = nullptr;
  PyObject* own_missing = nullptr;
  PyObject* own_popitem = nullptr;
};
inline CacheHooks hooks;

inline Cache* as_cache(PyObject* self) {
  return reinterpret_cast<Cache*>(self);
}
inline ObjectTable& table_of(PyObject* self) {
  return as_cache(self)->table;
}

enum class Outcome { kHit, kMiss, kError };  // kError: a Python exception is set

/// Reads the key and the clock, then looks; what has expired is removed.
Slot look(PyObject* self, PyObject* key, Trash& trash);
/// A lookup; the value is a new reference. Only a counted one is a request to the policy.
Outcome request(PyObject* self, PyObject* key, bool counted, PyObject*& value);
/// Inserts or replaces; false with an exception set.
bool put(PyObject* self, PyObject* key, PyObject* value);
/// The same, with the size known and a ttl of its own.
bool put(PyObject* self, PyObject* key, PyObject* value, Put how);
/// Removes a key; its value is a new reference.
Outcome take(PyObject* self, PyObject* key, PyObject*& value);
/// Removes all that has expired; the number of entries, or -1 with an exception set.
Py_ssize_t expire_all(PyObject* self);
/// Names whom to evict, after removing what has expired; kFailed with an exception set.
Slot nominate(PyObject* self);

}  // namespace acumen::bindings
