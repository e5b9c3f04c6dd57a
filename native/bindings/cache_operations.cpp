#include "cache_operations.hpp"

#include "python_type.hpp"

namespace acumen::bindings {
namespace {

constexpr std::size_t kExpirePerSet = 4;  // more than one, so that expired entries cannot pile up
constexpr std::size_t kHookCallsSpare = 1000;

bool now(PyObject* self, double& seconds) {
  return as_cache(self)->clock.now_if(table_of(self).settings().timed, seconds);
}

/// The size of a value, >= 0; -1 with an exception set.
double measure(PyObject* self, PyObject* value) {
  if (!table_of(self).settings().sized) return 1;
  return read_size(PyObject_CallMethodOneArg(self, hooks.getsizeof_, value));
}

/// Evicts until `size` fits; `slot` is that of the key, and follows it through user code.
bool make_room(PyObject* self, const ObjectKey& key, double size, double seconds, Slot& slot,
               Trash& trash) {
  ObjectTable& table = table_of(self);
  std::size_t calls_max = table.size() + kHookCallsSpare;
  while (!table.fits(slot, size)) {
    if (table.size() == 0) {  // maxsize has shrunk: a hook set the cache up anew
      PyErr_SetString(PyExc_ValueError, "value too large");
      return false;
    }
    const bool hooked = _PyType_Lookup(Py_TYPE(self), hooks.popitem) != hooks.own_popitem;
    if (!hooked && !trash.full()) {
      slot = table.make_room(slot, seconds, trash);
      continue;
    }
    trash.release();
    if (hooked) {
      if (calls_max-- == 0) {
        PyErr_SetString(PyExc_RuntimeError, "popitem() makes no room");
        return false;
      }
      PyObject* item = PyObject_CallMethodNoArgs(self, hooks.popitem);
      if (item == nullptr) return false;
      Py_DECREF(item);
    }
    slot = table.find(key);
    if (slot == kFailed) return false;
  }
  return true;
}

}  // namespace

Slot look(PyObject* self, PyObject* object, Trash& trash) {
  ObjectKey key;
  double seconds;
  if (!key.read(object) || !now(self, seconds)) return kFailed;
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

bool put(PyObject* self, PyObject* object, PyObject* value, double size, double ttl) {
  ObjectTable& table = table_of(self);
  Trash trash;
  ObjectKey key;
  double seconds;
  if (!key.read(object)) return false;
  if (size > table.settings().maxsize) {
    PyErr_SetString(PyExc_ValueError, "value too large");
    return false;
  }
  if (!now(self, seconds)) return false;
  Slot slot = table.find_live(key, seconds, trash);
  if (slot == kFailed) return false;
  if (table.settings().timed) {
    table.expire(seconds, kExpirePerSet, trash);
    if (slot != kAbsent && table.key(slot) == nullptr) slot = kAbsent;
  }
  table.announce(slot, key.hash, size);
  if (!make_room(self, key, size, seconds, slot, trash)) return false;
  table.store(slot, key, value, size, seconds + ttl, trash);
  return true;
}

bool put(PyObject* self, PyObject* key, PyObject* value) {
  const double size = measure(self, value);
  return size >= 0 && put(self, key, value, size, table_of(self).settings().ttl);
}

Outcome take(PyObject* self, PyObject* key, PyObject*& value) {
  Trash trash;
  const Slot slot = look(self, key, trash);
  if (slot == kFailed) return Outcome::kError;
  if (slot == kAbsent) return Outcome::kMiss;
  ObjectTable& table = table_of(self);
  value = Py_NewRef(table.value(slot));
  const bool evicted = slot == as_cache(self)->nominated;
  as_cache(self)->nominated = kAbsent;
  table.remove(slot, evicted ? ObjectTable::Cause::kEvicted : ObjectTable::Cause::kDeleted, trash);
  return Outcome::kHit;
}

Py_ssize_t expire_all(PyObject* self) {
  double seconds;
  if (!now(self, seconds)) return -1;
  Py_ssize_t total = 0;
  for (std::size_t count = 1; count > 0; total += static_cast<Py_ssize_t>(count)) {
    Trash trash;
    count = table_of(self).expire(seconds, SIZE_MAX, trash);
  }
  return total;
}

Slot nominate(PyObject* self) {
  if (expire_all(self) < 0) return kFailed;
  if (table_of(self).size() > 0) return table_of(self).victim();
  PyErr_Format(PyExc_KeyError, "%s is empty", Py_TYPE(self)->tp_name);
  return kFailed;
}

}  // namespace acumen::bindings
