#include "cache_operations.hpp"

#include "python_type.hpp"

namespace acumen::bindings {
namespace {

/// The size of a value, >= 0; -1 with an exception set.
double measure(PyObject* self, PyObject* value) {
  if (!table_of(self).settings().sized) return 1;
  return read_size(PyObject_CallMethodOneArg(self, hooks.getsizeof_, value));
}

}  // namespace

Slot look(PyObject* self, PyObject* object, Trash& trash) {
  ObjectKey key;
  double seconds;
  if (!key.read(object) || !now(table_of(self), as_cache(self)->clock, seconds)) return kFailed;
  return table_of(self).find_live(key, seconds, trash);
}

Outcome request(PyObject* self, PyObject* key, bool counted, PyObject*& value) {
  Trash trash;
  const Slot slot = look(self, key, trash);
  if (slot == kFailed) return Outcome::kError;
  ObjectTable& table = table_of(self);
  if (slot == kAbsent) {
    table.counters.misses += counted;
    return Outcome::kMiss;
  }
  if (counted) table.hit(slot);
  value = Py_NewRef(table.value(slot));
  return Outcome::kHit;
}

bool put(PyObject* self, PyObject* object, PyObject* value, Put how) {
  ObjectKey key;
  if (!key.read(object)) return false;
  how.cache = self;
  const Stored stored = put(table_of(self), as_cache(self)->clock, key, value, how);
  if (stored == Stored::kTooLarge) PyErr_SetString(PyExc_ValueError, "value too large");
  return stored == Stored::kDone;
}

bool put(PyObject* self, PyObject* key, PyObject* value) {
  const double size = measure(self, value);
  return size >= 0 && put(self, key, value, Put{size, table_of(self).settings().ttl});
}

Outcome take(PyObject* self, PyObject* key, PyObject*& value) {
  Trash trash;
  const Slot slot = look(self, key, trash);
  if (slot == kFailed) return Outcome::kError;
  if (slot == kAbsent) return Outcome::kMiss;
  ObjectTable& table = table_of(self);
  value = Py_NewRef(table.value(slot));
  const bool evicted = table.key(slot) == as_cache(self)->nominated;
  table.remove(slot, evicted ? ObjectTable::Cause::kEvicted : ObjectTable::Cause::kDeleted, trash);
  if (evicted) Py_CLEAR(as_cache(self)->nominated);
  return Outcome::kHit;
}

Py_ssize_t expire_all(PyObject* self) {
  return expire_all(table_of(self), as_cache(self)->clock);
}

Slot nominate(PyObject* self) {
  if (expire_all(self) < 0) return kFailed;
  if (table_of(self).size() > 0) return table_of(self).victim();
  PyErr_Format(PyExc_KeyError, "%s is empty", Py_TYPE(self)->tp_name);
  return kFailed;
}

}  // namespace acumen::bindings
