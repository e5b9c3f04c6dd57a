// The base of acumen.index.MutableRangeIndex and its snapshots: one Python number at a time,
// without Python code on the way.
//
// Keys that are no Python numbers of the keys' own type go to the subclass's methods _getitem,
// _setitem, _delitem, _get, _contains and _bisect, which find out what number is meant, if any, and
// come back with _at, _put, _take and _rank.
#include "acumen/index/ordered.hpp"
#include "bindings.hpp"
#include "holder.hpp"
#include "index_mutable.hpp"
#include "python_keys.hpp"

namespace acumen::bindings {
namespace {

struct Base : Holder<LeafMap> {
  bool plain;  // keys are numbers to the user, not times
};

enum Name { kGetItem, kSetItem, kDelItem, kContains, kGet, kBisect, kNames };
constexpr const char* kSpelled[kNames] = {"_getitem",  "_setitem", "_delitem",
                                          "_contains", "_get",     "_bisect"};
PyObject* names[kNames];

Base* as_base(PyObject* self) {
  return static_cast<Base*>(Base::of(self));
}

LeafMap* opened(PyObject* self) {
  LeafMap* map = as_base(self)->opened;
  if (map == nullptr) PyErr_SetString(PyExc_RuntimeError, "call super().__init__() first");
  return map;
}

/// The number as the tree has it, if it is exactly a key of this type.
bool read_wide(const LeafMap& map, PyObject* number, std::int64_t& key) {
  bool read = false;
  index::with_key_type(map.type(), [&]<typename T>(T) {
    T value;
    if constexpr (std::is_floating_point_v<T>)
      read = read_float(number, value);
    else
      read = read_integer(number, value);
    if (read) key = index::wide_key(value);
  });
  return read;
}

bool read_plain(PyObject* self, PyObject* number, std::int64_t& key) {
  const Base* base = as_base(self);
  return base->opened != nullptr && base->plain && read_wide(*base->opened, number, key);
}

/// For _at and its like: false with an exception set.
bool read_exact(PyObject* self, PyObject* number, std::int64_t& key) {
  const LeafMap* map = opened(self);
  if (map == nullptr) return false;
  if (read_wide(*map, number, key)) return true;
  PyErr_SetString(PyExc_ValueError, "no key of the index's type");
  return false;
}

PyObject* key_to_python(const LeafMap& map, std::int64_t key) {
  PyObject* number = nullptr;
  index::with_key_type(map.type(), [&]<typename T>(T) {
    const T value = index::narrow_key<T>(key);
    if constexpr (std::is_floating_point_v<T>)
      number = PyFloat_FromDouble(static_cast<double>(value));
    else if constexpr (std::is_signed_v<T>)
      number = PyLong_FromLongLong(value);
    else
      number = PyLong_FromUnsignedLongLong(value);
  });
  return number;
}

PyObject* value_to_python(const LeafMap& map, std::uint64_t word) {
  if (map.kind() == ValueKind::kObject) return Py_NewRef(reinterpret_cast<PyObject*>(word));
  if (map.kind() == ValueKind::kInteger) return PyLong_FromLongLong(static_cast<long long>(word));
  double value;
  __builtin_memcpy(&value, &word, sizeof(value));
  return PyFloat_FromDouble(value);
}

/// Needs the reference of an object for the tree; false with an exception set.
bool value_of_python(const LeafMap& map, PyObject* value, std::uint64_t& word) {
  if (map.kind() == ValueKind::kObject) {
    word = reinterpret_cast<std::uint64_t>(Py_NewRef(value));
    return true;
  }
  if (map.kind() == ValueKind::kInteger) {
    if (!PyIndex_Check(value)) {
      PyErr_Format(PyExc_TypeError,
                   "values of this index are int64, not %.80s: make it with value_dtype=object",
                   Py_TYPE(value)->tp_name);
      return false;
    }
    PyObject* whole = PyNumber_Index(value);
    if (whole == nullptr) return false;
    const long long number = PyLong_AsLongLong(whole);
    Py_DECREF(whole);
    word = static_cast<std::uint64_t>(number);
    return !(number == -1 && PyErr_Occurred());
  }
  const double number = PyFloat_AsDouble(value);
  __builtin_memcpy(&word, &number, sizeof(word));
  return !(number == -1.0 && PyErr_Occurred());
}

/// Runs `body`, which may wait for a writer or be short of memory.
template <typename Body>
int written(Body body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const nb::builtin_exception& error) {
    PyErr_SetString(PyExc_TypeError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return -1;
}

int put(LeafMap& map, std::int64_t key, PyObject* value) {
  return written([&] {
    index::LeafTree& tree = map.writable();
    std::uint64_t word;
    if (!value_of_python(map, value, word)) return -1;  // it may have run anything, and changed it
    try {
      map.writable();
      tree.set(key, word);
    } catch (...) {
      if (map.kind() == ValueKind::kObject) object_keeper().drop(&word, 1);
      throw;
    }
    if (map.kind() == ValueKind::kObject) release_dropped();
    return 0;
  });
}

/// 1: it was there; 0: it was not; -1 with an exception set.
int take(LeafMap& map, std::int64_t key) {
  return written([&] {
    const bool was = map.writable().erase(key);
    if (map.kind() == ValueKind::kObject) release_dropped();
    return static_cast<int>(was);
  });
}

Py_ssize_t length(PyObject* self) {
  const LeafMap* map = opened(self);
  return map == nullptr ? -1 : static_cast<Py_ssize_t>(map->version().size());
}

PyObject* subscript(PyObject* self, PyObject* number) {
  std::int64_t key;
  std::uint64_t word;
  if (!read_plain(self, number, key)) {
    PyObject* all[] = {self, number};
    return PyObject_VectorcallMethod(names[kGetItem], all, 2, nullptr);
  }
  const LeafMap& map = *as_base(self)->opened;
  if (map.version().find(key, word)) return value_to_python(map, word);
  PyErr_SetObject(PyExc_KeyError, number);
  return nullptr;
}

int assign(PyObject* self, PyObject* number, PyObject* value) {
  std::int64_t key;
  if (!read_plain(self, number, key)) {
    PyObject* all[] = {self, number, value};
    PyObject* name = names[value == nullptr ? kDelItem : kSetItem];
    PyObject* done = PyObject_VectorcallMethod(name, all, value == nullptr ? 2 : 3, nullptr);
    Py_XDECREF(done);
    return done == nullptr ? -1 : 0;
  }
  LeafMap& map = *as_base(self)->opened;
  if (value != nullptr) return put(map, key, value);
  const int was = take(map, key);
  if (was == 0) PyErr_SetObject(PyExc_KeyError, number);
  return was == 1 ? 0 : -1;
}

int contains(PyObject* self, PyObject* number) {
  std::int64_t key;
  std::uint64_t word;
  if (read_plain(self, number, key)) return as_base(self)->opened->version().find(key, word);
  PyObject* all[] = {self, number};
  PyObject* answer = PyObject_VectorcallMethod(names[kContains], all, 2, nullptr);
  if (answer == nullptr) return -1;
  const int inside = PyObject_IsTrue(answer);
  Py_DECREF(answer);
  return inside;
}

PyObject* get(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  std::int64_t key;
  std::uint64_t word;
  const bool simple = keywords == nullptr && (count == 1 || count == 2);
  if (simple && read_plain(self, arguments[0], key)) {
    const LeafMap& map = *as_base(self)->opened;
    if (map.version().find(key, word)) return value_to_python(map, word);
    return Py_NewRef(count == 2 ? arguments[1] : Py_None);
  }
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  if (!count_between("get", count + named, 1, 3)) return nullptr;
  PyObject* all[] = {self, nullptr, nullptr, nullptr};
  for (Py_ssize_t at = 0; at < count + named; ++at) all[at + 1] = arguments[at];
  return PyObject_VectorcallMethod(names[kGet], all, static_cast<std::size_t>(count + 1), keywords);
}

template <bool kRight>
PyObject* bisect(PyObject* self, PyObject* number) {
  std::int64_t key;
  if (read_plain(self, number, key))
    return PyLong_FromSize_t(as_base(self)->opened->version().rank(key, kRight));
  PyObject* all[] = {self, number, kRight ? Py_True : Py_False};
  return PyObject_VectorcallMethod(names[kBisect], all, 3, nullptr);
}

PyObject* at(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  std::int64_t key;
  std::uint64_t word;
  if (!count_between("_at", count, 2, 2) || !read_exact(self, arguments[0], key)) return nullptr;
  const LeafMap& map = *as_base(self)->opened;
  if (map.version().find(key, word)) return value_to_python(map, word);
  return Py_NewRef(arguments[1]);
}

PyObject* put_exact(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  std::int64_t key;
  if (!count_between("_put", count, 2, 2) || !read_exact(self, arguments[0], key)) return nullptr;
  if (put(*as_base(self)->opened, key, arguments[1]) < 0) return nullptr;
  Py_RETURN_NONE;
}

PyObject* take_exact(PyObject* self, PyObject* number) {
  std::int64_t key;
  if (!read_exact(self, number, key)) return nullptr;
  const int was = take(*as_base(self)->opened, key);
  return was < 0 ? nullptr : PyBool_FromLong(was);
}

/// (key, value) at a rank.
PyObject* item(PyObject* self, PyObject* rank) {
  const LeafMap* map = opened(self);
  if (map == nullptr) return nullptr;
  const std::size_t wanted = PyLong_AsSize_t(rank);
  if (wanted == static_cast<std::size_t>(-1) && PyErr_Occurred()) return nullptr;
  if (wanted >= map->version().size()) {
    PyErr_SetString(PyExc_IndexError, "list index out of range");
    return nullptr;
  }
  std::int64_t key;
  std::uint64_t word;
  map->version().read(wanted, 1, &key, &word);
  PyObject* value = value_to_python(*map, word);
  PyObject* number = value == nullptr ? nullptr : key_to_python(*map, key);
  PyObject* both = number == nullptr ? nullptr : PyTuple_Pack(2, number, value);
  Py_XDECREF(number);
  Py_XDECREF(value);
  return both;
}

PyObject* open(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  if (!count_between("_open", count, 2, 2)) return nullptr;
  const bool was_plain = as_base(self)->plain;
  as_base(self)->plain = arguments[1] == Py_True;  // first: letting the old one go may run anything
  if (Base::open(self, arguments[0], "LeafMap")) Py_RETURN_NONE;
  as_base(self)->plain = was_plain;
  return nullptr;
}

PyMethodDef methods[] = {
    {"get", method(get), METH_FASTCALL | METH_KEYWORDS,
     "get($self, key, default=None, *, threads=1)\n--\n\n"
     "The value of a key, or of many: an array, `default` where there is none. `threads` share\n"
     "the work on many, unless values are objects."},
    {"bisect_left", bisect<false>, METH_O,
     "bisect_left($self, key, /)\n--\n\nThe number of keys below `key`."},
    {"bisect_right", bisect<true>, METH_O,
     "bisect_right($self, key, /)\n--\n\nThe number of keys up to `key`."},
    {"_at", method(at), METH_FASTCALL, "The value of a number, or the second argument."},
    {"_put", method(put_exact), METH_FASTCALL, "Puts the value of a number."},
    {"_take", take_exact, METH_O, "Removes a number; whether it was there."},
    {"_item", item, METH_O, "The key, as a number, and the value at a rank."},
    {"_open", method(open), METH_FASTCALL, "Answer from a LeafMap; whether keys are numbers."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char*>("Base of acumen.index.MutableRangeIndex; not for direct use.")},
    {Py_tp_new, slot(PyType_GenericNew)},
    {Py_tp_dealloc, slot(Base::dealloc)},
    {Py_tp_traverse, slot(Base::traverse)},
    {Py_tp_clear, slot(Base::clear)},
    {Py_tp_methods, methods},
    {Py_mp_length, slot(length)},
    {Py_mp_subscript, slot(subscript)},
    {Py_mp_ass_subscript, slot(assign)},
    {Py_sq_contains, slot(contains)},
    {0, nullptr}};

PyType_Spec spec = {"acumen._native.LeafMapBase", sizeof(Base), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

}  // namespace

void bind_index_mutable_scalar(nb::module_& m) {
  for (int n = 0; n < kNames; ++n) {
    names[n] = PyUnicode_InternFromString(kSpelled[n]);
    if (names[n] == nullptr) throw nb::python_error();
  }
  PyObject* type = PyType_FromModuleAndSpec(m.ptr(), &spec, nullptr);
  if (type == nullptr || PyModule_AddObjectRef(m.ptr(), "LeafMapBase", type) < 0)
    throw nb::python_error();
  Py_DECREF(type);
}

}  // namespace acumen::bindings
