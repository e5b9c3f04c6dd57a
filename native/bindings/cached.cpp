// acumen._native.CachedFunction: the callable behind @acumen.cached.
//
// The protocol is that of functools.lru_cache's wrapper: no lock is held while the function runs,
// so that it may recurse and threads may compute the same result twice (the first one stays); an
// exception is not cached. User code runs wherever object_table.hpp says, and in the function, in
// `key` and in `getsizeof`.
#include <Python.h>
#include <structmember.h>

#include <algorithm>

#include "bindings.hpp"
#include "call_key.hpp"
#include "python_type.hpp"
#include "storing.hpp"

namespace acumen::bindings {
namespace {

/// What the interpreter finds by its offset.
struct FunctionHead {
  PyObject_HEAD vectorcallfunc vectorcall;
  PyObject* dictionary;
  PyObject* weak_references;
};

struct Function : FunctionHead {
  ObjectTable table;
  Clock clock;
  PyObject* function;
  PyObject* make_key;    // nullptr: from the arguments
  PyObject* getsizeof_;  // nullptr: every result has size 1
  PyObject* maxsize;     // as cache_info() shows it
  PyObject* info;        // what cache_info() makes
  bool typed;
  bool off;  // maxsize 0: nothing is kept
};

Function* cast(PyObject* self) {
  return reinterpret_cast<Function*>(self);
}

/// What a call was made with.
struct Call {
  PyObject* const* arguments;
  std::size_t flagged_count;
  PyObject* names;
};

PyObject* compute(PyObject* callable, const Call& call) {
  return PyObject_Vectorcall(callable, call.arguments, call.flagged_count, call.names);
}

/// The size of a result, >= 0; -1 with an exception set.
double measure(Function* self, PyObject* value) {
  if (self->getsizeof_ == nullptr) return 1;
  return read_size(PyObject_CallOneArg(self->getsizeof_, value));
}

/// Keeps a result, unless it is too large or somebody else was quicker. `epoch`: the table's when
/// the key was absent.
bool keep(Function* self, const ObjectKey& key, PyObject* value, std::uint64_t epoch) {
  Put how{measure(self, value), self->table.settings().ttl};
  if (how.size < 0) return false;
  how.replaces = false;
  how.absent_at = epoch;
  return put(self->table, self->clock, key, value, how) != Stored::kError;
}

/// The kept result (a new reference), or nullptr, with an exception or without; then `epoch` is
/// the table's when the key was absent, before what has expired is dropped and may run any code.
template <typename Key>
PyObject* look(Function* self, const Key& key, std::uint64_t& epoch) {
  Trash trash;
  double seconds;
  if (!now(self->table, self->clock, seconds)) return nullptr;
  const Slot slot = self->table.find_live(key, seconds, trash);
  if (slot == kFailed) return nullptr;
  if (slot == kAbsent) {
    ++self->table.counters.misses;
    epoch = self->table.epoch();
    return nullptr;
  }
  self->table.hit(slot);
  return Py_NewRef(self->table.value(slot));
}

template <typename Key>
PyObject* answer(Function* self, const Key& key, const Call& call) {
  std::uint64_t epoch = 0;
  PyObject* value = look(self, key, epoch);
  if (value != nullptr || PyErr_Occurred()) return value;
  value = compute(self->function, call);
  if (value == nullptr) return nullptr;
  ObjectKey stored;
  stored.object = key.object();
  stored.hash = key.hash;
  const bool kept = stored.object != nullptr && keep(self, stored, value, epoch);
  Py_XDECREF(stored.object);
  if (!kept) Py_CLEAR(value);
  return value;
}

/// A key that exists as an object already.
struct GivenKey : ObjectKey {
  PyObject* object() const { return Py_NewRef(ObjectKey::object); }
};

PyObject* answer_given(Function* self, PyObject* object, const Call& call) {
  GivenKey key;
  return key.read(object) ? answer(self, key, call) : nullptr;
}

PyObject* function_call(PyObject* object, PyObject* const* arguments, std::size_t flagged_count,
                        PyObject* names) {
  Function* self = cast(object);
  const Call call{arguments, flagged_count, names};
  if (self->off) {
    ++self->table.counters.misses;
    return compute(self->function, call);
  }
  return guarded(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    if (self->make_key != nullptr) {
      PyObject* made = compute(self->make_key, call);
      if (made == nullptr) return nullptr;
      PyObject* value = answer_given(self, made, call);
      Py_DECREF(made);
      return value;
    }
    CallKey key(arguments, PyVectorcall_NARGS(flagged_count), names, self->typed);
    if (key.simple()) return answer_given(self, arguments[0], call);
    return key.read() ? answer(self, key, call) : nullptr;
  });
}

PyObject* function_cache_info(PyObject* object, PyObject*) {
  Function* self = cast(object);
  return guarded(static_cast<PyObject*>(nullptr), [&]() -> PyObject* {
    if (expire_all(self->table, self->clock) < 0) return nullptr;
    const auto& counters = self->table.counters;
    PyObject* size = show_size(self->table.total());
    if (size == nullptr) return nullptr;
    return PyObject_CallFunction(self->info, "KKON", static_cast<unsigned long long>(counters.hits),
                                 static_cast<unsigned long long>(counters.misses), self->maxsize,
                                 size);
  });
}

PyObject* function_cache_clear(PyObject* object, PyObject*) {
  cast(object)->table.counters = {};
  cast(object)->table.clear(true);
  Py_RETURN_NONE;
}

PyObject* function_get(PyObject* self, PyObject* instance, PyObject*) {
  if (instance == nullptr || instance == Py_None) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

PyObject* function_reduce(PyObject* self, PyObject*) {
  return PyObject_GetAttrString(self, "__qualname__");
}

PyObject* function_copy(PyObject* self, PyObject*) {
  return Py_NewRef(self);
}

PyObject* function_sizeof(PyObject* self, PyObject*) {
  return PyLong_FromSize_t(sizeof(Function) + cast(self)->table.bytes());
}

PyObject* given(PyObject* object) {
  return object == Py_None ? nullptr : Py_NewRef(object);
}

/// CachedFunction(function, maxsize or None, typed, ttl or None, timer or None, key or None,
///                getsizeof or None, seed, info)
PyObject* function_new(PyTypeObject* type, PyObject* arguments, PyObject* names) {
  PyObject *function, *maxsize, *ttl, *timer, *key, *getsizeof, *info;
  int typed;
  unsigned long long seed;
  if (names != nullptr && PyDict_GET_SIZE(names) > 0) {
    PyErr_SetString(PyExc_TypeError, "CachedFunction() takes no keyword arguments");
    return nullptr;
  }
  if (!PyArg_ParseTuple(arguments, "OOpOOOOKO", &function, &maxsize, &typed, &ttl, &timer, &key,
                        &getsizeof, &seed, &info)) {
    return nullptr;
  }
  TableSettings settings;
  settings.maxsize = std::numeric_limits<double>::infinity();
  if (maxsize != Py_None) settings.maxsize = std::max(0.0, PyFloat_AsDouble(maxsize));
  settings.timed = ttl != Py_None;
  if (settings.timed) settings.ttl = PyFloat_AsDouble(ttl);
  settings.sized = getsizeof != Py_None;
  settings.seed = seed;
  if (PyErr_Occurred()) return nullptr;
  PyObject* object = type->tp_alloc(type, 0);
  if (object == nullptr) return nullptr;
  Function* self = cast(object);
  return guarded(static_cast<PyObject*>(nullptr), [&] {
    new (&self->table) ObjectTable();
    new (&self->clock) Clock();
    self->table.configure(settings);
    self->clock.use(timer == Py_None ? nullptr : timer);
    self->vectorcall = function_call;
    self->function = Py_NewRef(function);
    self->make_key = given(key);
    self->getsizeof_ = given(getsizeof);
    self->maxsize = Py_NewRef(maxsize);
    self->info = Py_NewRef(info);
    self->typed = typed != 0;
    self->off = settings.maxsize == 0;
    return object;
  });
}

int function_traverse(PyObject* object, visitproc visit, void* arg) {
  Function* self = cast(object);
  Py_VISIT(Py_TYPE(object));
  for (PyObject* part : {self->function, self->make_key, self->getsizeof_, self->maxsize,
                         self->info, self->dictionary, self->clock.timer()}) {
    Py_VISIT(part);
  }
  return self->table.traverse(visit, arg);
}

int function_clear(PyObject* object) {
  Function* self = cast(object);
  self->table.clear(true);
  Py_CLEAR(self->dictionary);
  return 0;
}

void function_dealloc(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  Function* self = cast(object);
  PyObject_GC_UnTrack(object);
  Py_TRASHCAN_BEGIN(object, function_dealloc) if (self->weak_references != nullptr)
      PyObject_ClearWeakRefs(object);
  function_clear(object);
  self->clock.drop();
  Py_CLEAR(self->function);
  Py_CLEAR(self->make_key);
  Py_CLEAR(self->getsizeof_);
  Py_CLEAR(self->maxsize);
  Py_CLEAR(self->info);
  self->table.~ObjectTable();
  type->tp_free(object);
  Py_DECREF(type);
  Py_TRASHCAN_END
}

PyMethodDef function_methods[] = {
    {"cache_info", function_cache_info, METH_NOARGS,
     "cache_info($self, /)\n--\n\nHits, misses, maxsize and currsize as a named tuple."},
    {"cache_clear", function_cache_clear, METH_NOARGS,
     "cache_clear($self, /)\n--\n\nForget all results, all counts and all that was learned."},
    {"__reduce__", function_reduce, METH_NOARGS, "Pickled by name, as functions are."},
    {"__copy__", function_copy, METH_NOARGS, "Itself, as functions are."},
    {"__deepcopy__", function_copy, METH_O, "Itself, as functions are."},
    {"__sizeof__", function_sizeof, METH_NOARGS, "Bytes, without keys and results."},
    {nullptr, nullptr, 0, nullptr}};

PyMemberDef function_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FunctionHead, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(FunctionHead, dictionary), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(FunctionHead, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

PyGetSetDef function_properties[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot function_slots[] = {
    {Py_tp_doc, const_cast<char*>("What @acumen.cached makes of a function.")},
    {Py_tp_new, slot(function_new)},
    {Py_tp_dealloc, slot(function_dealloc)},
    {Py_tp_call, slot(PyVectorcall_Call)},
    {Py_tp_traverse, slot(function_traverse)},
    {Py_tp_clear, slot(function_clear)},
    {Py_tp_descr_get, slot(function_get)},
    {Py_tp_methods, function_methods},
    {Py_tp_members, function_members},
    {Py_tp_getset, function_properties},
    {0, nullptr}};

// METHOD_DESCRIPTOR: obj.method(…) needs no bound method.
PyType_Spec function_spec = {"acumen._native.CachedFunction", sizeof(Function), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                                 Py_TPFLAGS_METHOD_DESCRIPTOR,
                             function_slots};

}  // namespace

void bind_cached(nanobind::module_& m) {
  keyword_mark = PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyBaseObject_Type));
  PyObject* type = PyType_FromModuleAndSpec(m.ptr(), &function_spec, nullptr);
  if (keyword_mark == nullptr || type == nullptr ||
      PyModule_AddObjectRef(m.ptr(), "CachedFunction", type) < 0) {
    throw nanobind::python_error();
  }
  Py_DECREF(type);
}

}  // namespace acumen::bindings
