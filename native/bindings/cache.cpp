// acumen._native.CacheBase: the native half of acumen.Cache.
//
// Glue between Python's protocols and ObjectTable. Whatever a lookup or a set does lies in slots
// of the type or in METH_FASTCALL functions; what is rarer or better said in Python lies in
// cache.py. User code may run wherever object_table.hpp says so, and where a hook is called:
// __missing__, popitem (if overridden) and getsizeof.
#include <cmath>

#include "bindings.hpp"
#include "object_table.hpp"
#include "python_type.hpp"

namespace acumen::bindings {
namespace {

constexpr std::size_t kExpirePerSet = 4;  // more than one, so that expired entries cannot pile up
constexpr std::size_t kHookCallsSpare = 1000;

struct Cache {
  PyObject_HEAD ObjectTable table;
  Clock clock;
  PyObject* maxsize;  // as the user gave it
  PyObject* ttl;      // likewise; None: entries do not expire
  Slot nominated;     // _victim() named it: its removal is an eviction, not a deletion
};

// The methods as this type defines them, to see whether a subclass has its own.
PyObject* own_missing = nullptr;
PyObject* own_popitem = nullptr;
PyObject* name_missing = nullptr;
PyObject* name_popitem = nullptr;
PyObject* name_getsizeof = nullptr;

Cache* cast(PyObject* self) {
  return reinterpret_cast<Cache*>(self);
}
ObjectTable& table_of(PyObject* self) {
  return cast(self)->table;
}

bool now(PyObject* self, double& seconds) {
  seconds = 0;
  return !table_of(self).settings().timed || cast(self)->clock.now(seconds);
}

PyObject* missing_key(PyObject* key) {
  // A tuple given as the value of an exception would be taken for its arguments.
  PyObject* arguments = PyTuple_Pack(1, key);
  if (arguments != nullptr) PyErr_SetObject(PyExc_KeyError, arguments);
  Py_XDECREF(arguments);
  return nullptr;
}

/// The slot of a key that has not expired; an expired one is removed.
Slot find_live(ObjectTable& table, const ObjectKey& key, double seconds, Trash& trash) {
  const Slot slot = table.find(key);
  if (slot >= kFailed || !table.expired(slot, seconds)) return slot;
  table.remove(slot, ObjectTable::Cause::kExpired, trash);
  return kAbsent;
}

/// Reads the key and the clock, then looks. kFailed with an exception set.
Slot look(PyObject* self, PyObject* object, Trash& trash) {
  ObjectKey key;
  double seconds;
  if (!key.read(object) || !now(self, seconds)) return kFailed;
  return find_live(table_of(self), key, seconds, trash);
}

enum class Outcome { kHit, kMiss, kError };

/// A lookup; the value is a new reference. Only a counted one is a request to the policy.
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

/// The size of a value, >= 0; -1 with an exception set.
double measure(PyObject* self, PyObject* value) {
  if (!table_of(self).settings().sized) return 1;
  PyObject* answer = PyObject_CallMethodOneArg(self, name_getsizeof, value);
  if (answer == nullptr) return -1;
  const double size = PyFloat_AsDouble(answer);
  Py_DECREF(answer);
  if (size == -1 && PyErr_Occurred()) return -1;
  if (size >= 0) return size;
  PyErr_SetString(PyExc_ValueError, "getsizeof must return a number >= 0");
  return -1;
}

/// Evicts until `size` fits; `slot` is that of the key, and follows it through user code.
bool make_room(PyObject* self, const ObjectKey& key, double size, double seconds, Slot& slot,
               Trash& trash) {
  ObjectTable& table = table_of(self);
  std::size_t calls_max = table.size() + kHookCallsSpare;
  while (!table.fits(slot, size)) {
    const bool hooked = _PyType_Lookup(Py_TYPE(self), name_popitem) != own_popitem;
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
      PyObject* item = PyObject_CallMethodNoArgs(self, name_popitem);
      if (item == nullptr) return false;
      Py_DECREF(item);
    }
    slot = table.find(key);
    if (slot == kFailed) return false;
  }
  return true;
}

/// Inserts or replaces. `ttl`: seconds from now on.
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
  Slot slot = find_live(table, key, seconds, trash);
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

/// Removes a key; its value is a new reference. No key: kMiss.
Outcome take(PyObject* self, PyObject* key, PyObject*& value) {
  Trash trash;
  const Slot slot = look(self, key, trash);
  if (slot == kFailed) return Outcome::kError;
  if (slot == kAbsent) return Outcome::kMiss;
  ObjectTable& table = table_of(self);
  value = Py_NewRef(table.value(slot));
  const bool evicted = slot == cast(self)->nominated;
  cast(self)->nominated = kAbsent;
  table.remove(slot, evicted ? ObjectTable::Cause::kEvicted : ObjectTable::Cause::kDeleted, trash);
  return Outcome::kHit;
}

/// Removes all that has expired; the number of entries, or -1 with an exception set.
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

// Protocols.

PyObject* cache_subscript(PyObject* self, PyObject* key) {
  PyObject* value = nullptr;
  switch (guarded(Outcome::kError, [&] { return request(self, key, true, value); })) {
    case Outcome::kHit:
      return value;
    case Outcome::kError:
      return nullptr;
    case Outcome::kMiss:
      break;
  }
  if (_PyType_Lookup(Py_TYPE(self), name_missing) == own_missing) return missing_key(key);
  return PyObject_CallMethodOneArg(self, name_missing, key);
}

int cache_assign(PyObject* self, PyObject* key, PyObject* value) {
  return guarded(-1, [&] {
    if (value != nullptr) return put(self, key, value) ? 0 : -1;
    PyObject* taken = nullptr;
    const Outcome outcome = take(self, key, taken);
    if (outcome == Outcome::kMiss) missing_key(key);
    Py_XDECREF(taken);
    return outcome == Outcome::kHit ? 0 : -1;
  });
}

int cache_contains(PyObject* self, PyObject* key) {
  return guarded(-1, [&] {
    Trash trash;
    const Slot slot = look(self, key, trash);
    return slot == kFailed ? -1 : static_cast<int>(slot != kAbsent);
  });
}

Py_ssize_t cache_length(PyObject* self) {
  return guarded(Py_ssize_t{-1}, [&] {
    return expire_all(self) < 0 ? -1 : static_cast<Py_ssize_t>(table_of(self).size());
  });
}

// Methods.

PyObject* lookup(PyObject* self, PyObject* const* arguments, Py_ssize_t count, bool counted) {
  PyObject* value = nullptr;
  switch (guarded(Outcome::kError, [&] { return request(self, arguments[0], counted, value); })) {
    case Outcome::kHit:
      return value;
    case Outcome::kError:
      return nullptr;
    case Outcome::kMiss:
      break;
  }
  return Py_NewRef(count > 1 ? arguments[1] : Py_None);
}

PyObject* cache_get(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  return count_between("get", count, 1, 2) ? lookup(self, arguments, count, true) : nullptr;
}

PyObject* cache_peek(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  return count_between("peek", count, 1, 2) ? lookup(self, arguments, count, false) : nullptr;
}

PyObject* cache_setdefault(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  if (!count_between("setdefault", count, 1, 2)) return nullptr;
  return guarded(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    PyObject* value = nullptr;
    const Outcome outcome = request(self, arguments[0], true, value);
    if (outcome != Outcome::kMiss) return value;
    value = count > 1 ? arguments[1] : Py_None;
    return put(self, arguments[0], value) ? Py_NewRef(value) : nullptr;
  });
}

PyObject* cache_pop(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  if (!count_between("pop", count, 1, 2)) return nullptr;
  return guarded(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    PyObject* value = nullptr;
    if (take(self, arguments[0], value) != Outcome::kMiss) return value;
    return count > 1 ? Py_NewRef(arguments[1]) : missing_key(arguments[0]);
  });
}

/// Names whom to evict: removes what has expired first. kFailed with an exception set.
Slot nominate(PyObject* self) {
  if (expire_all(self) < 0) return kFailed;
  if (table_of(self).size() > 0) return table_of(self).victim();
  PyErr_Format(PyExc_KeyError, "%s is empty", Py_TYPE(self)->tp_name);
  return kFailed;
}

PyObject* cache_popitem(PyObject* self, PyObject*) {
  return guarded(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    Trash trash;
    const Slot slot = nominate(self);
    if (slot == kFailed) return nullptr;
    ObjectTable& table = table_of(self);
    PyObject* key = Py_NewRef(table.key(slot));
    PyObject* value = Py_NewRef(table.value(slot));
    table.remove(slot, ObjectTable::Cause::kEvicted, trash);
    PyObject* item = PyTuple_Pack(2, key, value);
    Py_DECREF(key);
    Py_DECREF(value);
    return item;
  });
}

PyObject* cache_victim(PyObject* self, PyObject*) {
  return guarded(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    const Slot slot = nominate(self);
    if (slot == kFailed) return nullptr;
    cast(self)->nominated = slot;
    return Py_NewRef(table_of(self).key(slot));
  });
}

PyObject* cache_clear(PyObject* self, PyObject*) {
  table_of(self).clear(false);
  Py_RETURN_NONE;
}

PyObject* cache_expire(PyObject* self, PyObject*) {
  const Py_ssize_t count = guarded(Py_ssize_t{-1}, [&] { return expire_all(self); });
  return count < 0 ? nullptr : PyLong_FromSsize_t(count);
}

enum Kind : long { kKeys, kValues, kItems, kStates };

/// Fills one place of a snapshot; the tuples exist already, so nothing here runs user code.
bool fill(PyObject* list, Py_ssize_t at, const ObjectTable& table, Slot slot, long kind,
          double seconds) {
  if (kind <= kValues) {
    PyList_SET_ITEM(list, at, Py_NewRef(kind == kKeys ? table.key(slot) : table.value(slot)));
    return true;
  }
  PyObject* row = PyList_GET_ITEM(list, at);
  PyTuple_SET_ITEM(row, 0, Py_NewRef(table.key(slot)));
  PyTuple_SET_ITEM(row, 1, Py_NewRef(table.value(slot)));
  if (kind == kItems) return true;
  const double left = table.settings().timed ? table.deadline(slot) - seconds : 0;
  PyObject* size = PyFloat_FromDouble(table.size_of(slot));
  PyObject* remaining = PyFloat_FromDouble(left);
  PyTuple_SET_ITEM(row, 2, size);
  PyTuple_SET_ITEM(row, 3, remaining);
  return size != nullptr && remaining != nullptr;
}

PyObject* cache_snapshot(PyObject* self, PyObject* kind_object) {
  const long kind = PyLong_AsLong(kind_object);
  double seconds;
  if ((kind == -1 && PyErr_Occurred()) || !now(self, seconds) || expire_all(self) < 0) {
    return nullptr;
  }
  const ObjectTable& table = table_of(self);
  for (;;) {
    // Making containers may collect garbage, which may run anything: make all of them first.
    const auto count = static_cast<Py_ssize_t>(table.size());
    PyObject* list = PyList_New(count);
    if (list == nullptr) return nullptr;
    for (Py_ssize_t at = 0; kind > kValues && at < count; ++at) {
      PyObject* row = PyTuple_New(kind == kItems ? 2 : 4);
      if (row == nullptr) return Py_DECREF(list), nullptr;
      PyList_SET_ITEM(list, at, row);
    }
    if (static_cast<Py_ssize_t>(table.size()) == count) {
      bool filled = true;
      Py_ssize_t at = 0;
      for (Slot slot = table.first(); filled && slot != kAbsent; slot = table.after(slot)) {
        filled = fill(list, at++, table, slot, kind, seconds);
      }
      if (filled) return list;
    }
    Py_DECREF(list);
    if (PyErr_Occurred()) return nullptr;
  }
}

PyObject* cache_iterate(PyObject* self) {
  PyObject* kind = PyLong_FromLong(kKeys);
  PyObject* keys = kind == nullptr ? nullptr : cache_snapshot(self, kind);
  Py_XDECREF(kind);
  if (keys == nullptr) return nullptr;
  PyObject* iterator = PyObject_GetIter(keys);
  Py_DECREF(keys);
  return iterator;
}

PyObject* cache_restore(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  if (!count_between("_restore", count, 4, 4)) return nullptr;
  const double size = PyFloat_AsDouble(arguments[2]);
  const double ttl = PyFloat_AsDouble(arguments[3]);
  if (PyErr_Occurred()) return nullptr;
  if (!(size >= 0)) return PyErr_SetString(PyExc_ValueError, "a size must be >= 0"), nullptr;
  return guarded(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    if (!put(self, arguments[0], arguments[1], size, ttl)) return nullptr;
    Py_RETURN_NONE;
  });
}

PyObject* cache_counters(PyObject* self, PyObject*) {
  const auto& counters = table_of(self).counters;
  return Py_BuildValue("KKKK", static_cast<unsigned long long>(counters.hits),
                       static_cast<unsigned long long>(counters.misses),
                       static_cast<unsigned long long>(counters.evictions),
                       static_cast<unsigned long long>(counters.expirations));
}

PyObject* cache_policy_bytes(PyObject* self, PyObject*) {
  return PyLong_FromSize_t(table_of(self).policy_bytes());
}

PyObject* cache_sizeof(PyObject* self, PyObject*) {
  const auto basic = static_cast<std::size_t>(Py_TYPE(self)->tp_basicsize);
  return PyLong_FromSize_t(basic + table_of(self).bytes());
}

/// _configure(maxsize, sized, ttl or None, timer or None, seed)
PyObject* cache_configure(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  if (!count_between("_configure", count, 5, 5)) return nullptr;
  TableSettings settings;
  settings.maxsize = PyFloat_AsDouble(arguments[0]);
  settings.sized = arguments[1] == Py_True;
  settings.timed = arguments[2] != Py_None;
  if (settings.timed) settings.ttl = PyFloat_AsDouble(arguments[2]);
  settings.seed = PyLong_AsUnsignedLongLongMask(arguments[4]);
  if (PyErr_Occurred()) return nullptr;
  Cache* cache = cast(self);
  cache->table.clear(true);
  if (cache->table.size() > 0) {
    PyErr_SetString(PyExc_RuntimeError, "the cache was filled while it was set up");
    return nullptr;
  }
  cache->table.configure(settings);
  cache->table.counters = {};
  cache->nominated = kAbsent;
  Py_XSETREF(cache->maxsize, Py_NewRef(arguments[0]));
  Py_XSETREF(cache->ttl, Py_NewRef(arguments[2]));
  cache->clock.use(arguments[3] == Py_None ? nullptr : arguments[3]);
  Py_RETURN_NONE;
}

PyObject* get_currsize(PyObject* self, void*) {
  if (guarded(Py_ssize_t{-1}, [&] { return expire_all(self); }) < 0) return nullptr;
  const double total = table_of(self).total();
  // Whole sizes, the usual ones, are shown as the ints they were.
  const bool whole = total == std::floor(total) && std::isfinite(total);
  return whole ? PyLong_FromDouble(total) : PyFloat_FromDouble(total);
}

PyObject* or_none(PyObject* object) {
  return Py_NewRef(object == nullptr ? Py_None : object);
}
PyObject* get_maxsize(PyObject* self, void*) {
  return or_none(cast(self)->maxsize);
}
PyObject* get_ttl(PyObject* self, void*) {
  return or_none(cast(self)->ttl);
}
PyObject* get_timer(PyObject* self, void*) {
  return or_none(cast(self)->clock.timer());
}

PyObject* get_sized(PyObject* self, void*) {
  return PyBool_FromLong(table_of(self).settings().sized);
}

PyObject* cache_missing(PyObject*, PyObject* key) {
  return missing_key(key);
}

// Life of an object.

PyObject* cache_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  return guarded(static_cast<PyObject*>(nullptr), [&] {
    new (&cast(self)->table) ObjectTable();
    new (&cast(self)->clock) Clock();
    cast(self)->nominated = kAbsent;
    return self;
  });
}

int cache_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(cast(self)->maxsize);
  Py_VISIT(cast(self)->ttl);
  Py_VISIT(cast(self)->clock.timer());
  return table_of(self).traverse(visit, arg);
}

int cache_clear_references(PyObject* self) {
  table_of(self).clear(true);
  Py_CLEAR(cast(self)->maxsize);
  Py_CLEAR(cast(self)->ttl);
  cast(self)->clock.drop();
  return 0;
}

void cache_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Py_TRASHCAN_BEGIN(self, cache_dealloc) cache_clear_references(self);
  table_of(self).~ObjectTable();
  type->tp_free(self);
  Py_DECREF(type);
  Py_TRASHCAN_END
}

PyMethodDef methods[] = {
    {"get", method(cache_get), METH_FASTCALL,
     "get($self, key, default=None, /)\n--\n\nThe value of a key, or the default."},
    {"peek", method(cache_peek), METH_FASTCALL,
     "peek($self, key, default=None, /)\n--\n\nLike get(), but not counted as a use of the key."},
    {"pop", method(cache_pop), METH_FASTCALL,
     "pop($self, key, default=<unrepresentable>, /)\n--\n\n"
     "Remove a key and return its value, or the default; KeyError without one."},
    {"setdefault", method(cache_setdefault), METH_FASTCALL,
     "setdefault($self, key, default=None, /)\n--\n\n"
     "The value of a key, which is set to the default if it is absent."},
    {"popitem", cache_popitem, METH_NOARGS,
     "popitem($self, /)\n--\n\n"
     "Remove and return the (key, value) that is least worth keeping; KeyError if empty."},
    {"clear", cache_clear, METH_NOARGS,
     "clear($self, /)\n--\n\nRemove all items; what was learned about the workload stays."},
    {"expire", cache_expire, METH_NOARGS,
     "expire($self, /)\n--\n\nRemove all items past their ttl; how many they were."},
    {"__missing__", cache_missing, METH_O,
     "__missing__($self, key, /)\n--\n\nCalled by self[key] for an absent key: raises KeyError."},
    {"__sizeof__", cache_sizeof, METH_NOARGS,
     "__sizeof__($self, /)\n--\n\nBytes of the cache itself, without keys and values."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "For annotations: Cache[K, V]."},
    {"_victim", cache_victim, METH_NOARGS, "The key to be evicted next."},
    {"_snapshot", cache_snapshot, METH_O,
     "A list of keys (0), values (1), items (2), or (key, value, size, seconds left) (3)."},
    {"_restore", method(cache_restore), METH_FASTCALL, "Set one row of _snapshot(3)."},
    {"_counters", cache_counters, METH_NOARGS, "(hits, misses, evictions, expirations)"},
    {"_policy_bytes", cache_policy_bytes, METH_NOARGS, "Bytes that the learned policy takes."},
    {"_configure", method(cache_configure), METH_FASTCALL,
     "Empty the cache; set maxsize, sized, ttl, timer and seed."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef properties[] = {
    {"maxsize", get_maxsize, nullptr, "The bound of currsize, as it was given.", nullptr},
    {"currsize", get_currsize, nullptr, "The sum of the sizes of all items.", nullptr},
    {"ttl", get_ttl, nullptr, "Seconds that an item lives after it was set, or None.", nullptr},
    {"_sized", get_sized, nullptr, "Whether getsizeof is asked.", nullptr},
    {"_timer", get_timer, nullptr, "The clock, None for time.monotonic.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

template <typename Function>
void* slot(Function* function) {
  return reinterpret_cast<void*>(function);
}

PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>("Base of acumen.Cache; not for direct use.")},
                       {Py_tp_new, slot(cache_new)},
                       {Py_tp_dealloc, slot(cache_dealloc)},
                       {Py_tp_traverse, slot(cache_traverse)},
                       {Py_tp_clear, slot(cache_clear_references)},
                       {Py_tp_iter, slot(cache_iterate)},
                       {Py_tp_methods, methods},
                       {Py_tp_getset, properties},
                       {Py_mp_subscript, slot(cache_subscript)},
                       {Py_mp_ass_subscript, slot(cache_assign)},
                       {Py_mp_length, slot(cache_length)},
                       {Py_sq_contains, slot(cache_contains)},
                       {0, nullptr}};

PyType_Spec spec = {"acumen._native.CacheBase", sizeof(Cache), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

}  // namespace

void bind_cache(nanobind::module_& m) {
  PyObject* type = PyType_FromModuleAndSpec(m.ptr(), &spec, nullptr);
  name_missing = PyUnicode_InternFromString("__missing__");
  name_popitem = PyUnicode_InternFromString("popitem");
  name_getsizeof = PyUnicode_InternFromString("getsizeof");
  if (type == nullptr || name_missing == nullptr || name_popitem == nullptr ||
      name_getsizeof == nullptr || PyModule_AddObjectRef(m.ptr(), "CacheBase", type) < 0) {
    throw nanobind::python_error();
  }
  // The type's dictionary, and so the module's, keeps both alive.
  own_missing = _PyType_Lookup(reinterpret_cast<PyTypeObject*>(type), name_missing);
  own_popitem = _PyType_Lookup(reinterpret_cast<PyTypeObject*>(type), name_popitem);
  Py_DECREF(type);
}

}  // namespace acumen::bindings
