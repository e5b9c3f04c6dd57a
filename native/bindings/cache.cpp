// acumen._native.CacheBase: the native half of acumen.Cache.
//
// Glue between Python's protocols and ObjectTable. Whatever a lookup or a set does lies in slots
// of the type or in METH_FASTCALL functions; what is rarer or better said in Python lies in
// cache.py. User code may run wherever object_table.hpp says so, and where a hook is called:
// __missing__, popitem (if overridden) and getsizeof.
#include "bindings.hpp"
#include "cache_operations.hpp"
#include "python_type.hpp"

namespace acumen::bindings {
namespace {

PyObject* missing_key(PyObject* key) {
  // A tuple given as the value of an exception would be taken for its arguments.
  PyObject* arguments = PyTuple_Pack(1, key);
  if (arguments != nullptr) PyErr_SetObject(PyExc_KeyError, arguments);
  Py_XDECREF(arguments);
  return nullptr;
}

PyObject* or_none(PyObject* object) {
  return Py_NewRef(object == nullptr ? Py_None : object);
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
  if (_PyType_Lookup(Py_TYPE(self), hooks.missing) == hooks.own_missing) return missing_key(key);
  return PyObject_CallMethodOneArg(self, hooks.missing, key);
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

PyObject* lookup(PyObject* self, const KeyAndDefault& given, bool counted) {
  PyObject* value = nullptr;
  switch (guarded(Outcome::kError, [&] { return request(self, given.key, counted, value); })) {
    case Outcome::kHit:
      return value;
    case Outcome::kError:
      return nullptr;
    case Outcome::kMiss:
      break;
  }
  return or_none(given.otherwise);
}

PyObject* cache_get(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
  KeyAndDefault given;
  return given.read("get", arguments, count, names) ? lookup(self, given, true) : nullptr;
}

PyObject* cache_peek(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                     PyObject* names) {
  KeyAndDefault given;
  return given.read("peek", arguments, count, names) ? lookup(self, given, false) : nullptr;
}

PyObject* cache_setdefault(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                           PyObject* names) {
  KeyAndDefault given;
  if (!given.read("setdefault", arguments, count, names)) return nullptr;
  return guarded(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    PyObject* value = nullptr;
    const Outcome outcome = request(self, given.key, true, value);
    if (outcome != Outcome::kMiss) return value;
    value = given.otherwise != nullptr ? given.otherwise : Py_None;
    return put(self, given.key, value) ? Py_NewRef(value) : nullptr;
  });
}

PyObject* cache_pop(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
  KeyAndDefault given;
  if (!given.read("pop", arguments, count, names)) return nullptr;
  return guarded(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    PyObject* value = nullptr;
    if (take(self, given.key, value) != Outcome::kMiss) return value;
    return given.otherwise != nullptr ? Py_NewRef(given.otherwise) : missing_key(given.key);
  });
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
    PyObject* key = Py_NewRef(table_of(self).key(slot));
    Py_XSETREF(as_cache(self)->nominated, Py_NewRef(key));
    return key;
  });
}

PyObject* cache_spare(PyObject* self, PyObject*) {
  Py_CLEAR(as_cache(self)->nominated);
  Py_RETURN_NONE;
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
  if ((kind == -1 && PyErr_Occurred()) || expire_all(self) < 0) return nullptr;
  if (!now(table_of(self), as_cache(self)->clock, seconds)) return nullptr;
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

/// _put(key, value, size, ttl, evicts)
PyObject* cache_put(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  if (!count_between("_put", count, 5, 5)) return nullptr;
  const double size = PyFloat_AsDouble(arguments[2]);
  const double ttl = PyFloat_AsDouble(arguments[3]);
  if (PyErr_Occurred()) return nullptr;
  if (!(size >= 0)) return PyErr_SetString(PyExc_ValueError, "a size must be >= 0"), nullptr;
  const int evicts = PyObject_IsTrue(arguments[4]);
  if (evicts < 0) return nullptr;
  return guarded(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    Put how{size, ttl};
    how.evicts = evicts != 0;
    if (!put(self, arguments[0], arguments[1], how)) return nullptr;
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
  Cache* cache = as_cache(self);
  cache->table.clear(true);
  if (cache->table.size() > 0) {
    PyErr_SetString(PyExc_RuntimeError, "the cache was filled while it was set up");
    return nullptr;
  }
  cache->table.configure(settings);
  cache->table.counters = {};
  Py_CLEAR(cache->nominated);
  Py_XSETREF(cache->maxsize, Py_NewRef(arguments[0]));
  Py_XSETREF(cache->ttl, Py_NewRef(arguments[2]));
  cache->clock.use(arguments[3] == Py_None ? nullptr : arguments[3]);
  Py_RETURN_NONE;
}

PyObject* get_currsize(PyObject* self, void*) {
  if (guarded(Py_ssize_t{-1}, [&] { return expire_all(self); }) < 0) return nullptr;
  return show_size(table_of(self).total());
}

PyObject* get_maxsize(PyObject* self, void*) {
  return or_none(as_cache(self)->maxsize);
}
PyObject* get_ttl(PyObject* self, void*) {
  return or_none(as_cache(self)->ttl);
}
PyObject* get_timer(PyObject* self, void*) {
  return or_none(as_cache(self)->clock.timer());
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
    new (&as_cache(self)->table) ObjectTable();
    new (&as_cache(self)->clock) Clock();
    return self;
  });
}

int cache_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(as_cache(self)->maxsize);
  Py_VISIT(as_cache(self)->ttl);
  Py_VISIT(as_cache(self)->nominated);
  Py_VISIT(as_cache(self)->clock.timer());
  return table_of(self).traverse(visit, arg);
}

int cache_clear_references(PyObject* self) {
  table_of(self).clear(true);
  Py_CLEAR(as_cache(self)->maxsize);
  Py_CLEAR(as_cache(self)->ttl);
  Py_CLEAR(as_cache(self)->nominated);
  as_cache(self)->clock.drop();
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

PyMethodDef cache_methods[] = {
    {"get", method(cache_get), METH_FASTCALL | METH_KEYWORDS,
     "get($self, key, default=None)\n--\n\nThe value of a key, or the default."},
    {"peek", method(cache_peek), METH_FASTCALL | METH_KEYWORDS,
     "peek($self, key, default=None)\n--\n\nLike get(), but not counted as a use of the key."},
    {"pop", method(cache_pop), METH_FASTCALL | METH_KEYWORDS,
     "pop($self, key, default=<unrepresentable>)\n--\n\n"
     "Remove a key and return its value, or the default; KeyError without one."},
    {"setdefault", method(cache_setdefault), METH_FASTCALL | METH_KEYWORDS,
     "setdefault($self, key, default=None)\n--\n\n"
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
    {"_victim", cache_victim, METH_NOARGS,
     "The key to be evicted next: its removal, until _spare(), is an eviction, not a deletion."},
    {"_spare", cache_spare, METH_NOARGS, "Whoever _victim() named is as others again."},
    {"_snapshot", cache_snapshot, METH_O,
     "A list of keys (0), values (1), items (2), or (key, value, size, seconds left) (3)."},
    {"_put", method(cache_put), METH_FASTCALL,
     "Set an item of known size and ttl; without evictions if it is a row of _snapshot(3)."},
    {"_counters", cache_counters, METH_NOARGS, "(hits, misses, evictions, expirations)"},
    {"_policy_bytes", cache_policy_bytes, METH_NOARGS, "Bytes that the learned policy takes."},
    {"_configure", method(cache_configure), METH_FASTCALL,
     "Empty the cache; set maxsize, sized, ttl, timer and seed."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef cache_properties[] = {
    {"maxsize", get_maxsize, nullptr, "The bound of currsize, as it was given.", nullptr},
    {"currsize", get_currsize, nullptr, "The sum of the sizes of all items.", nullptr},
    {"ttl", get_ttl, nullptr, "Seconds that an item lives after it was set, or None.", nullptr},
    {"_sized", get_sized, nullptr, "Whether getsizeof is asked.", nullptr},
    {"_timer", get_timer, nullptr, "The clock, None for time.monotonic.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot cache_slots[] = {
    {Py_tp_doc, const_cast<char*>("Base of acumen.Cache; not for direct use.")},
    {Py_tp_new, slot(cache_new)},
    {Py_tp_dealloc, slot(cache_dealloc)},
    {Py_tp_traverse, slot(cache_traverse)},
    {Py_tp_clear, slot(cache_clear_references)},
    {Py_tp_iter, slot(cache_iterate)},
    {Py_tp_methods, cache_methods},
    {Py_tp_getset, cache_properties},
    {Py_mp_subscript, slot(cache_subscript)},
    {Py_mp_ass_subscript, slot(cache_assign)},
    {Py_mp_length, slot(cache_length)},
    {Py_sq_contains, slot(cache_contains)},
    {0, nullptr}};

PyType_Spec cache_spec = {"acumen._native.CacheBase", sizeof(Cache), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                          cache_slots};

}  // namespace

void bind_cache(nanobind::module_& m) {
  PyObject* type = PyType_FromModuleAndSpec(m.ptr(), &cache_spec, nullptr);
  hooks.missing = PyUnicode_InternFromString("__missing__");
  hooks.popitem = PyUnicode_InternFromString("popitem");
  hooks.getsizeof_ = PyUnicode_InternFromString("getsizeof");
  if (type == nullptr || hooks.missing == nullptr || hooks.popitem == nullptr ||
      hooks.getsizeof_ == nullptr || PyModule_AddObjectRef(m.ptr(), "CacheBase", type) < 0) {
    throw nanobind::python_error();
  }
  // The type's dictionary, and so the module's, keeps both alive.
  hooks.own_missing = _PyType_Lookup(reinterpret_cast<PyTypeObject*>(type), hooks.missing);
  hooks.own_popitem = _PyType_Lookup(reinterpret_cast<PyTypeObject*>(type), hooks.popitem);
  Py_DECREF(type);
}

}  // namespace acumen::bindings
