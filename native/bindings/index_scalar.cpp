// The base of acumen.index.RangeIndex: one Python number at a time, without Python code on the way.
//
// Everything else (arrays, keyword arguments, numbers of another type than the keys) goes to the
// subclass's methods of the same names with an underscore before.
#include "bindings.hpp"
#include "holder.hpp"
#include "index_range.hpp"
#include "python_keys.hpp"

namespace acumen::bindings {
namespace range_numbers {  // files that are compiled as one unit use the same names
namespace {

using Range = Holder<RangeSearcher>;

struct Names {
  PyObject* searchsorted = nullptr;
  PyObject* get = nullptr;
  PyObject* contains = nullptr;
} names;

/// A number as a key; false: it, or what is asked of it, is for the subclass.
bool read_alone(PyObject* self, PyObject* number, std::uint64_t& key) {
  const RangeSearcher* opened = Range::of(self)->opened;
  return opened != nullptr && read_key(opened->type(), number, &key);
}

PyObject* call_subclass(PyObject* name, PyObject* self, PyObject* const* arguments,
                        Py_ssize_t count, PyObject* keywords) {
  // The argument before the first is self: vectorcall's callers leave room there only with a flag,
  // so they are put together anew.
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  PyObject* all[16];
  if (count + named + 1 > 16) {
    PyErr_SetString(PyExc_TypeError, "too many arguments");
    return nullptr;
  }
  all[0] = self;
  for (Py_ssize_t at = 0; at < count + named; ++at) all[at + 1] = arguments[at];
  return PyObject_VectorcallMethod(name, all, static_cast<std::size_t>(count + 1), keywords);
}

/// Which side is asked for, of one query alone with at most a side beside it; false: something
/// else.
bool read_side(PyObject* const* arguments, Py_ssize_t count, PyObject* keywords, bool& right) {
  right = false;
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  if (count == 1 && named == 0) return true;
  if (count < 1 || count + named != 2) return false;
  if (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), "side") != 0)
    return false;
  if (!PyUnicode_Check(arguments[1])) return false;
  right = PyUnicode_CompareWithASCIIString(arguments[1], "right") == 0;
  return right || PyUnicode_CompareWithASCIIString(arguments[1], "left") == 0;
}

PyObject* searchsorted(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                       PyObject* keywords) {
  std::uint64_t key;
  bool right;
  if (!read_side(arguments, count, keywords, right) || !read_alone(self, arguments[0], key))
    return call_subclass(names.searchsorted, self, arguments, count, keywords);
  return PyLong_FromUnsignedLongLong(Range::of(self)->opened->search().rank(&key, right));
}

PyObject* get(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  std::uint64_t key;
  if (count != 1 || keywords != nullptr || !read_alone(self, arguments[0], key))
    return call_subclass(names.get, self, arguments, count, keywords);
  const std::uint64_t place = Range::of(self)->opened->search().find(&key);
  return PyLong_FromLongLong(static_cast<long long>(place));
}

int contains(PyObject* self, PyObject* number) {
  std::uint64_t key;
  if (read_alone(self, number, key)) {
    return Range::of(self)->opened->search().find(&key) != ~std::uint64_t{0};
  }
  PyObject* all[] = {self, number};
  PyObject* answer = PyObject_VectorcallMethod(names.contains, all, 2, nullptr);
  if (answer == nullptr) return -1;
  const int inside = PyObject_IsTrue(answer);
  Py_DECREF(answer);
  return inside;
}

PyObject* range_open(PyObject* self, PyObject* searcher) {
  if (!Range::open(self, searcher, "RangeSearcher")) return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"searchsorted", method(searchsorted), METH_FASTCALL | METH_KEYWORDS,
     "searchsorted($self, v, side='left', out=None, *, threads=1)\n--\n\n"
     "The number of keys below each query (side='right': at most it), like numpy.searchsorted."},
    {"get", method(get), METH_FASTCALL | METH_KEYWORDS,
     "get($self, v, out=None, *, threads=1)\n--\n\n"
     "Where each query is among the keys, its first occurrence; -1 where it is not."},
    {"_open", range_open, METH_O, "Answer numbers from a RangeSearcher."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char*>("Base of acumen.index.RangeIndex; not for direct use.")},
    {Py_tp_new, slot(PyType_GenericNew)},
    {Py_tp_dealloc, slot(Range::dealloc)},
    {Py_tp_traverse, slot(Range::traverse)},
    {Py_tp_clear, slot(Range::clear)},
    {Py_tp_methods, methods},
    {Py_sq_contains, slot(contains)},
    {0, nullptr}};

PyType_Spec spec = {"acumen._native.RangeBase", sizeof(Range), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

}  // namespace
}  // namespace range_numbers

void bind_index_scalar(nb::module_& m) {
  using range_numbers::names;
  PyObject* type = PyType_FromModuleAndSpec(m.ptr(), &range_numbers::spec, nullptr);
  names.searchsorted = PyUnicode_InternFromString("_searchsorted");
  names.get = PyUnicode_InternFromString("_get");
  names.contains = PyUnicode_InternFromString("_contains");
  if (type == nullptr || names.searchsorted == nullptr || names.get == nullptr ||
      names.contains == nullptr || PyModule_AddObjectRef(m.ptr(), "RangeBase", type) < 0) {
    throw nb::python_error();
  }
  Py_DECREF(type);
}

}  // namespace acumen::bindings
