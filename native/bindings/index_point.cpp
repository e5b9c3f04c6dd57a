// The point index: arrays that Python allocates are filled, checked and asked. Batches run without
// the interpreter's lock, on as many threads as are wanted; get() and `in` are plain C functions.
#include <nanobind/ndarray.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "acumen/index/point_lookup.hpp"
#include "bindings.hpp"
#include "python_type.hpp"
#include "shares.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace acumen::bindings {
namespace {

using namespace acumen::index;

using AnyColumn = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Counts = nb::ndarray<const std::uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Raw32 = nb::ndarray<std::uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

WordType type_of(nb::dlpack::dtype type) {
  const auto code = static_cast<nb::dlpack::dtype_code>(type.code);
  const auto size =
      static_cast<std::uint8_t>(std::countr_zero(static_cast<unsigned>(type.bits / 8)));
  if (type.lanes == 1 && code == nb::dlpack::dtype_code::Int) return static_cast<WordType>(size);
  if (type.lanes == 1 && code == nb::dlpack::dtype_code::UInt) {
    return static_cast<WordType>(static_cast<std::uint8_t>(WordType::kU8) + size);
  }
  if (type == nb::dtype<float>()) return WordType::kF32;
  if (type == nb::dtype<double>()) return WordType::kF64;
  throw nb::type_error("integers or float32 or float64 are needed");
}

WordColumn view(const AnyColumn& column) {
  return {column.data(), type_of(column.dtype())};
}

/// (data, offsets or None, width, trimmed, rows) as Python hands over strings.
struct Strings {
  ByteColumn column;
  std::uint64_t rows = 0;

  explicit Strings(const nb::tuple& parts) {
    const auto data = nb::cast<AnyColumn>(parts[0]);
    column.data = static_cast<const char*>(data.data());
    column.width = nb::cast<std::size_t>(parts[2]);
    column.trimmed = nb::cast<bool>(parts[3]);
    rows = nb::cast<std::uint64_t>(parts[4]);
    if (!parts[1].is_none()) {
      const auto offsets = nb::cast<AnyColumn>(parts[1]);
      column.offsets = offsets.data();
      const bool signed_offsets = offsets.dtype() == nb::dtype<std::int32_t>() ||
                                  offsets.dtype() == nb::dtype<std::int64_t>();
      if (!signed_offsets || offsets.size() < rows + 1) throw nb::value_error("bad offsets");
      column.width = offsets.dtype().bits / 8;
    }
    if (!column.validate(rows, data.nbytes())) throw nb::value_error("offsets leave the data");
  }
};

/// The key is a word, can be none of the index's, only Python can tell, or an exception is set.
enum class Read : std::uint8_t { kWord, kAbsent, kAsk, kFailed };

Read read_int(PyObject* key, bool wants_signed, std::uint64_t& word) {
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(key, &overflow);
  if (overflow == 0) {
    word = static_cast<std::uint64_t>(value);
    return value < 0 && !wants_signed ? Read::kAbsent : Read::kWord;
  }
  if (overflow < 0 || wants_signed) return Read::kAbsent;
  word = PyLong_AsUnsignedLongLong(key);
  if (PyErr_Occurred() == nullptr) return Read::kWord;
  PyErr_Clear();  // beyond 64 bits
  return Read::kAbsent;
}

/// An int as the double that equals it, if there is one.
Read read_double(PyObject* key, std::uint64_t& word) {
  const double value = PyLong_AsDouble(key);
  if (value == -1.0 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();  // beyond all doubles
    return Read::kAbsent;
  }
  PyObject* back = PyLong_FromDouble(value);
  if (back == nullptr) return Read::kFailed;
  const int equal = PyObject_RichCompareBool(key, back, Py_EQ);
  Py_DECREF(back);
  word = word_of(value);
  return equal < 0 ? Read::kFailed : equal == 0 ? Read::kAbsent : Read::kWord;
}

Read read_number(PyObject* key, const WordColumn& keys, std::uint64_t& word) {
  if (PyLong_Check(key)) {
    return keys.is_float() ? read_double(key, word) : read_int(key, keys.is_signed(), word);
  }
  if (PyFloat_Check(key)) {
    const double value = PyFloat_AS_DOUBLE(key);
    if (keys.is_float()) {
      word = word_of(value);
      return value == value ? Read::kWord : Read::kAbsent;
    }
    if (!std::isfinite(value) || value != std::floor(value)) return Read::kAbsent;
    PyObject* whole = PyLong_FromDouble(value);
    if (whole == nullptr) return Read::kFailed;
    const Read read = read_int(whole, keys.is_signed(), word);
    Py_DECREF(whole);
    return read;
  }
  return Read::kAsk;
}

/// What a PointCore is: a structure, once it was attached, and the arrays that it reads.
struct Core {
  PyObject_HEAD PointLookup* lookup;
  PyObject* arrays;
  const PointKernels* kernels;
  std::uint64_t keys;  // different ones
  bool built;
  bool ask;  // keys are no plain numbers or strings: _scalar() turns one into an int
};

PyTypeObject* core_type = nullptr;

Core& core_of(nb::handle object) {
  if (!PyObject_TypeCheck(object.ptr(), core_type)) throw nb::type_error("a PointCore is needed");
  return *reinterpret_cast<Core*>(object.ptr());
}

/// Of what is to be asked.
const Core& built(nb::handle object) {
  const Core& core = core_of(object);
  if (core.lookup == nullptr || !core.built) throw nb::value_error("the index is not built");
  return core;
}

/// A position, -1: absent, -2: an exception is set.
std::int64_t look_up(PyObject* self, PyObject* key) {
  auto& core = *reinterpret_cast<Core*>(self);
  if (core.lookup == nullptr || !core.built) {
    PyErr_SetString(PyExc_ValueError, "the index is not built");
    return -2;
  }
  const PointLookup& lookup = *core.lookup;
  if (lookup.bytes && PyBytes_Check(key)) {
    const Bytes bytes{PyBytes_AS_STRING(key), static_cast<std::size_t>(PyBytes_GET_SIZE(key))};
    return core.ask ? -1 : lookup.find_one(bytes);
  }
  if (lookup.bytes) {  // `ask`: keys are text
    if (!core.ask || !PyUnicode_Check(key)) return -1;
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(key, &size);
    if (text != nullptr) return lookup.find_one(Bytes{text, static_cast<std::size_t>(size)});
    PyErr_Clear();  // no UTF-8 has surrogates
    return -1;
  }
  std::uint64_t word = 0;
  Read read = core.ask ? Read::kAsk : read_number(key, lookup.keys, word);
  if (read == Read::kAsk) {
    PyObject* plain = PyObject_CallMethod(self, "_scalar", "O", key);
    if (plain == nullptr) return -2;
    read = plain == Py_None ? Read::kAbsent : read_number(plain, lookup.keys, word);
    Py_DECREF(plain);
  }
  if (read == Read::kFailed) return -2;
  return read == Read::kWord ? lookup.find_one(*core.kernels, word) : -1;
}

PyObject* core_get(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
  KeyAndDefault given;
  if (!given.read("get", arguments, count, names)) return nullptr;
  const std::int64_t position = look_up(self, given.key);
  if (position >= 0) return PyLong_FromLongLong(position);
  if (position == -2) return nullptr;
  return Py_NewRef(given.otherwise == nullptr ? Py_None : given.otherwise);
}

int core_contains(PyObject* self, PyObject* key) {
  const std::int64_t position = look_up(self, key);
  return position == -2 ? -1 : position >= 0;
}

Py_ssize_t core_length(PyObject* self) {
  const auto& core = *reinterpret_cast<Core*>(self);
  return static_cast<Py_ssize_t>(core.keys);
}

int core_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(reinterpret_cast<Core*>(self)->arrays);
  return 0;
}

int core_clear(PyObject* self) {
  reinterpret_cast<Core*>(self)->built = false;
  Py_CLEAR(reinterpret_cast<Core*>(self)->arrays);
  return 0;
}

void core_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  core_clear(self);
  delete reinterpret_cast<Core*>(self)->lookup;
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef core_methods[] = {
    {"get", method(core_get), METH_FASTCALL | METH_KEYWORDS,
     "get($self, /, key, default=None)\n--\n\nThe position of a key, or the default."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot core_slots[] = {{Py_tp_doc, const_cast<char*>("A point index: key to position.")},
                            {Py_tp_new, slot(PyType_GenericNew)},
                            {Py_tp_traverse, slot(core_traverse)},
                            {Py_tp_clear, slot(core_clear)},
                            {Py_tp_dealloc, slot(core_dealloc)},
                            {Py_tp_methods, core_methods},
                            {Py_sq_contains, slot(core_contains)},
                            {Py_mp_length, slot(core_length)},
                            {0, nullptr}};

PyType_Spec core_spec = {"acumen._native.PointCore", sizeof(Core), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, core_slots};

std::uint64_t number(const nb::dict& numbers, const char* name) {
  return nb::cast<std::uint64_t>(numbers[name]);
}

template <class Ranks>
PointModel model_of(const nb::dict& numbers, const Ranks& ranks) {
  PointModel model;
  model.origin = number(numbers, "origin");
  model.span = number(numbers, "span");
  model.shift = nb::cast<std::uint32_t>(numbers["shift"]);
  model.ranks = ranks.data();
  if (model.shift < 1 || model.shift > 63 || ranks.size() != model.cells() + 1) {
    throw nb::value_error("the model's ranks do not fit its range");
  }
  return model;
}

/// Arrays come as they are in memory; how many elements of the structure's own are in them.
std::size_t use_array(PointLookup& lookup, const nb::dict& numbers, const AnyColumn& array) {
  void* data = const_cast<void*>(array.data());
  const std::size_t bytes = array.nbytes();
  if (reinterpret_cast<std::uintptr_t>(data) % 64 != 0) throw nb::value_error("misaligned array");
  switch (lookup.kind) {
    case PointKind::kBitmap:
      lookup.cells = static_cast<BitmapCell*>(data);
      return bytes / sizeof(BitmapCell);
    case PointKind::kDirect:
      lookup.direct = static_cast<std::uint32_t*>(data);
      return bytes / sizeof(std::uint32_t);
    case PointKind::kWords:
    case PointKind::kLearned:
      lookup.words = {static_cast<WordLine*>(data), bytes / 64, number(numbers, "seed")};
      return bytes / 64;
    case PointKind::kTags:
      lookup.tags = {static_cast<TagLine*>(data), bytes / 64, number(numbers, "seed")};
      return bytes / 64;
    default:
      return 0;
  }
}

void use_keys(PointLookup& lookup, const nb::object& keys) {
  if (keys.is_none()) return;
  if (nb::isinstance<nb::tuple>(keys) != lookup.bytes) throw nb::value_error("other keys");
  if (lookup.bytes) {
    const Strings strings(nb::cast<nb::tuple>(keys));
    if (strings.rows != lookup.rows) throw nb::value_error("another number of keys");
    lookup.byte_keys = strings.column;
    return;
  }
  const auto column = nb::cast<AnyColumn>(keys);
  if (column.size() != lookup.rows) throw nb::value_error("another number of keys");
  lookup.keys = view(column);
}

/// Makes `self` an index over these arrays, which live as long as it does. A structure that is not
/// `built` must be; one that is `foreign` is checked first.
void attach(nb::handle self, unsigned kind, const nb::dict& numbers, const nb::object& keys,
            const nb::object& array, const nb::object& ranks, bool is_built, bool foreign) {
  Core& core = core_of(self);
  if (kind > static_cast<unsigned>(PointKind::kTags)) throw nb::value_error("no such kind");
  auto fresh = std::make_unique<PointLookup>();
  PointLookup& lookup = *fresh;
  lookup.kind = static_cast<PointKind>(kind);
  lookup.rows = number(numbers, "rows");
  lookup.last = number(numbers, "last") != 0;
  lookup.bytes = number(numbers, "bytes") != 0;
  const std::uint64_t type = number(numbers, "type");
  if (type > static_cast<std::uint64_t>(WordType::kF64)) throw nb::value_error("no such type");
  lookup.keys.type = static_cast<WordType>(type);
  use_keys(lookup, keys);
  const bool reads_keys = lookup.kind == PointKind::kRanks || lookup.kind == PointKind::kTags;
  if (reads_keys && keys.is_none()) throw nb::value_error("this kind needs the keys");
  if (lookup.bytes && lookup.kind != PointKind::kTags) throw nb::value_error("no such structure");
  if (lookup.kind <= PointKind::kDirect) {
    lookup.grid =
        Grid(number(numbers, "origin"), number(numbers, "stride"), number(numbers, "count"));
  }
  std::size_t cells = 0;
  if (lookup.kind == PointKind::kRanks || lookup.kind == PointKind::kLearned) {
    if (ranks.is_none()) throw nb::value_error("the model has no ranks");
    const auto counts = nb::cast<Counts>(ranks);
    cells = counts.size();
    lookup.model = model_of(numbers, counts);
    if (lookup.kind == PointKind::kLearned) {
      lookup.home = {lookup.model, number(numbers, "lines_per_key")};
    }
  }
  const std::size_t size =
      array.is_none() ? 0 : use_array(lookup, numbers, nb::cast<AnyColumn>(array));
  if (foreign && !lookup.validate(size, cells)) {
    throw nb::value_error("the arrays are damaged");
  }
  delete std::exchange(core.lookup, fresh.release());
  Py_XSETREF(core.arrays, nb::make_tuple(keys, array, ranks).release().ptr());
  core.kernels = &point_kernels(number(numbers, "portable") != 0);
  core.ask = number(numbers, "ask") != 0;
  core.keys = number(numbers, "keys");
  core.built = is_built;
}

/// (status, first, second, keys, away); status 0: done, 1: `first` and `second` are equal, 2:
/// crowded.
nb::tuple build(nb::handle self, unsigned duplicates) {
  Core& core = core_of(self);
  if (core.lookup == nullptr || core.built) throw nb::value_error("nothing is to be built");
  BuildResult result;
  {
    nb::gil_scoped_release free;
    result = core.lookup->build(static_cast<Duplicates>(std::min(duplicates, 2u)));
  }
  core.built = result.status == BuildResult::Status::kDone;
  core.keys = result.keys;
  return nb::make_tuple(static_cast<int>(result.status), result.first, result.second, result.keys,
                        result.away);
}

std::uint64_t verify(nb::handle self, unsigned threads) {
  const Core& core = built(self);
  const PointLookup& lookup = *core.lookup;
  if (lookup.rows > 0 && !lookup.bytes && lookup.keys.data == nullptr) {
    throw nb::value_error("the keys are not there");
  }
  std::atomic<std::uint64_t> bad = lookup.rows;
  nb::gil_scoped_release free;
  in_shares(lookup.rows, threads, [&](std::size_t first, std::size_t end) {
    const std::size_t n = end - first;
    const std::uint64_t row = lookup.bytes
                                  ? lookup.verify(*core.kernels, lookup.byte_keys, first, n)
                                  : lookup.verify(*core.kernels, lookup.keys, first, n);
    if (row != lookup.rows) bad = row;
  });
  return bad;
}

template <class Column>
void find_all(const Core& core, const Column& queries, std::size_t rows, std::int64_t* out,
              unsigned threads) {
  nb::gil_scoped_release free;
  in_shares(rows, threads, [&](std::size_t first, std::size_t end) {
    core.lookup->find(*core.kernels, queries, first, end - first, out + first);
  });
}

void find(nb::handle self, const nb::object& queries, const Out& out, unsigned threads) {
  const Core& core = built(self);
  if (nb::isinstance<nb::tuple>(queries)) {
    const Strings strings(nb::cast<nb::tuple>(queries));
    if (!core.lookup->bytes || strings.rows != out.size()) throw nb::value_error("other queries");
    return find_all(core, strings.column, strings.rows, out.data(), threads);
  }
  const auto column = nb::cast<AnyColumn>(queries);
  const WordColumn words = view(column);
  if (core.lookup->bytes || words.is_float() != core.lookup->keys.is_float() ||
      column.size() != out.size()) {
    throw nb::value_error("other queries");
  }
  find_all(core, words, column.size(), out.data(), threads);
}

nb::tuple shape(const AnyColumn& keys) {
  const WordColumn column = view(keys);
  KeyShape found;
  {
    nb::gil_scoped_release free;
    found = shape_of(column, keys.size());
  }
  return nb::make_tuple(found.least, found.span, found.stride, column[0], found.step, found.rising,
                        found.sequence);
}

void count(const AnyColumn& keys, const nb::dict& numbers, const Raw32& ranks) {
  const PointModel model = model_of(numbers, ranks);
  const WordColumn column = view(keys);
  nb::gil_scoped_release free;
  std::uint64_t scratch[kWordBlock];
  for (std::size_t done = 0; done < keys.size(); done += kWordBlock) {
    const std::size_t block = std::min(kWordBlock, keys.size() - done);
    count_ranks(model, column.words(done, block, scratch), block, ranks.data());
  }
  sum_ranks(model, ranks.data());
}

nb::tuple crowded(const AnyColumn& keys, const nb::dict& numbers, const Counts& ranks,
                  std::uint64_t lines, std::uint64_t every) {
  const LearnedHome home{model_of(numbers, ranks), number(numbers, "lines_per_key")};
  const WordColumn column = view(keys);
  if (every == 0 || !std::has_single_bit(every)) throw nb::value_error("every: a power of two");
  Crowd crowd;
  {
    nb::gil_scoped_release free;
    std::vector<std::uint8_t> used(lines);
    crowd = crowd_of(home, column, keys.size(), lines, every, used.data());
  }
  return nb::make_tuple(crowd.seen, crowd.crowded_out);
}

}  // namespace

void bind_index_point(nb::module_& m) {
  core_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&core_spec));
  if (core_type == nullptr) nb::raise_python_error();
  m.attr("PointCore") = nb::handle(reinterpret_cast<PyObject*>(core_type));
  m.def("point_shape", &shape, "keys"_a.noconvert(),
        "(smallest, span, common stride, first, step, rising, a sequence) of at least one key.");
  m.def("point_count", &count, "keys"_a.noconvert(), "numbers"_a, "ranks"_a.noconvert(),
        "Fills the zeroed ranks of a model.");
  m.def("point_crowded", &crowded, "keys"_a.noconvert(), "numbers"_a, "ranks"_a.noconvert(),
        "lines"_a, "every"_a,
        "Keys in every so many cells of the model, and how many of them have no room at home.");
  m.def("point_attach", &attach, "core"_a, "kind"_a, "numbers"_a, "keys"_a.none(), "array"_a.none(),
        "ranks"_a.none(), nb::kw_only(), "built"_a, "foreign"_a,
        "Makes a PointCore an index over these arrays.");
  m.def("point_build", &build, "core"_a, "duplicates"_a, "Fills the arrays.");
  m.def("point_verify", &verify, "core"_a, "threads"_a,
        "The first row that is not found, or the number of rows.");
  m.def("point_find", &find, "core"_a, "queries"_a, "out"_a.noconvert(), "threads"_a,
        "Positions of the queries, -1 where absent.");
}

}  // namespace acumen::bindings
