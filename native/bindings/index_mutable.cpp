// Binds leaf_tree.hpp: batches. One key at a time: index_mutable_scalar.cpp.
#include "index_mutable.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>
#include <vector>

#include "acumen/index/ordered.hpp"
#include "bindings.hpp"
#include "python_type.hpp"
#include "shares.hpp"

namespace acumen::bindings {

using namespace nb::literals;
using index::Version;

namespace {

constexpr const char* kFrozen = "a snapshot does not change: write MutableRangeIndex(snapshot)";
/// With fewer the interpreter's lock is not worth letting go, and keys are put in one by one.
constexpr std::size_t kBatchLeast = 4096;
/// Keys are turned into the tree's so many at a time: what is appended fills whole leaves.
constexpr std::size_t kChunk = 4 * index::kLeafKeys;

class ObjectKeeper final : public index::ValueKeeper {
 public:
  void keep(const std::uint64_t* values, std::size_t count) noexcept override {
    for (std::size_t i = 0; i < count; ++i) Py_INCREF(reinterpret_cast<PyObject*>(values[i]));
  }
  void drop(const std::uint64_t* values, std::size_t count) noexcept override {
    try {
      dropped_.insert(dropped_.end(), values, values + count);
    } catch (const std::bad_alloc&) {  // rather lost than released in the middle of something
    }
  }
  void release() {
    while (!dropped_.empty()) {
      std::vector<std::uint64_t> now;
      now.swap(dropped_);
      for (const std::uint64_t value : now) Py_DECREF(reinterpret_cast<PyObject*>(value));
      if (dropped_.empty() && now.capacity() <= kChunk) {  // the usual one is kept
        now.clear();
        dropped_.swap(now);
      }
    }
  }

 private:
  std::vector<std::uint64_t> dropped_;
};

ObjectKeeper& keeper_of_objects() {
  static ObjectKeeper keeper;
  return keeper;
}

/// Lets the interpreter's lock go if there is much to do.
class Unlocked {
 public:
  explicit Unlocked(std::size_t count) {
    if (count >= kBatchLeast) released_.emplace();
  }

 private:
  std::optional<nb::gil_scoped_release> released_;
};

/// Calls visit(keys, done, count) for chunks of a column's keys from `begin` on as the tree has
/// them.
template <class Visit>
void each_chunk(index::KeyType type, const AnyColumn& column, std::size_t begin, std::size_t end,
                Visit visit) {
  std::array<std::int64_t, kChunk> keys;
  for (std::size_t done = begin; done < end; done += kChunk) {
    const std::size_t part = std::min(kChunk, end - done);
    index::with_key_type(type, [&]<typename T>(T) {
      const T* raw = static_cast<const T*>(column.data()) + done;
      for (std::size_t i = 0; i < part; ++i) keys[i] = index::wide_key(raw[i]);
    });
    visit(keys.data(), done, part);
  }
}

/// The keys of a column, ascending and each once, and the value of the last of equal ones.
struct Batch {
  std::vector<std::int64_t> keys;
  std::vector<std::uint64_t> values;

  void fill(index::KeyType type, const AnyColumn& column, const std::uint64_t* from,
            const std::int64_t* order) {
    const std::size_t count = column.shape(0);
    keys.resize(count);
    if (from != nullptr) values.resize(count);
    std::size_t to = 0, last = 0;
    bool falls = false;
    index::with_key_type(type, [&]<typename T>(T) {
      const T* raw = static_cast<const T*>(column.data());
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = order == nullptr ? i : static_cast<std::size_t>(order[i]);
        if (at >= count) throw std::invalid_argument("order");
        const std::int64_t key = index::wide_key(raw[at]);
        const bool again = to > 0 && key == keys[to - 1];
        falls |= to > 0 && key < keys[to - 1];
        if (again && at < last) continue;
        to -= again;
        keys[to] = key;
        if (from != nullptr) values[to] = from[at];
        last = at;
        ++to;
      }
    });
    if (falls) throw std::invalid_argument("keys do not ascend");
    keys.resize(to);
    if (from != nullptr) values.resize(to);
  }
};

}  // namespace

index::ValueKeeper& object_keeper() {
  return keeper_of_objects();
}

void release_dropped() {
  keeper_of_objects().release();
}

/// While one lives, other threads that want to write wait.
class LeafMap::Writing {
 public:
  explicit Writing(LeafMap& map) : map_(map) {
    map_.wait();
    map_.written_.lock();
    map_.writing_ = true;
    map_.writer_process_ = ::getpid();
  }
  ~Writing() {
    map_.writing_ = false;
    map_.written_.unlock();
  }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;

 private:
  LeafMap& map_;
};

void LeafMap::wait() {
  while (writing_) {
    if (writer_process_ != ::getpid()) {  // forked meanwhile: here nobody writes, and the tree
      writing_ = false;                   // is what it was before
      new (&written_) std::mutex;
      return;
    }
    const nb::gil_scoped_release others_may_run;
    const std::lock_guard<std::mutex> until_it_is_made(written_);
  }
}

index::LeafTree& LeafMap::writable() {
  if (frozen_) throw nb::type_error(kFrozen);
  wait();
  return tree_;
}

std::size_t LeafMap::insert(const AnyColumn& keys, const Words& values, const Order& order) {
  if (values.itemsize() != sizeof(std::uint64_t) || kind_ == ValueKind::kObject)
    throw std::invalid_argument("values of another type");
  return insert(keys, static_cast<const std::uint64_t*>(values.data()), values.shape(0), order);
}

std::size_t LeafMap::insert_objects(const AnyColumn& keys, const nb::list& values,
                                    const Order& order) {
  if (kind_ != ValueKind::kObject) throw std::invalid_argument("values of another type");
  // References of their own: other code may run, and change the list, before they are in.
  std::vector<std::uint64_t> words(values.size());
  for (std::size_t i = 0; i < words.size(); ++i)
    words[i] = reinterpret_cast<std::uint64_t>(PyList_GET_ITEM(values.ptr(), i));
  object_keeper().keep(words.data(), words.size());
  std::size_t added = 0;
  try {
    added = insert(keys, words.data(), words.size(), order);
  } catch (...) {
    object_keeper().drop(words.data(), words.size());
    throw;
  }
  object_keeper().drop(words.data(), words.size());
  release_dropped();
  return added;
}

std::size_t LeafMap::insert(const AnyColumn& keys, const std::uint64_t* values, std::size_t count,
                            const Order& order) {
  if (key_type_of(keys) != type_) throw std::invalid_argument("keys of another type");
  if (keys.shape(0) != count || (order && order->shape(0) != count))
    throw std::invalid_argument("keys, values and order differ in length");
  if (frozen_) throw nb::type_error(kFrozen);
  const Writing others_wait(*this);
  const bool objects = kind_ == ValueKind::kObject;
  const std::size_t before = version().size();
  // Made beside the tree, so that it is there in whole or not at all; small ones in place.
  const bool small = count < kBatchLeast && count < before / 128;
  index::LeafTree made(small ? Version() : version());
  index::LeafTree& to = small ? tree_ : made;
  {
    const Unlocked others_may_read(objects ? 0 : count);
    if (!order && is_above(keys)) {
      if (objects) object_keeper().keep(values, count);
      each_chunk(type_, keys, 0, count,
                 [&](const std::int64_t* part, std::size_t done, std::size_t size) {
                   to.append({part, values + done, size});
                 });
    } else {
      Batch batch;
      batch.fill(type_, keys, values, order ? order->data() : nullptr);
      const index::Entries entries{batch.keys.data(), batch.values.data(), batch.keys.size()};
      if (!small) {
        made.replace(Version(made.version()).with(entries));
      } else {
        if (objects) object_keeper().keep(entries.values, entries.count);
        for (std::size_t i = 0; i < entries.count; ++i) to.set(entries.keys[i], entries.values[i]);
      }
    }
  }
  if (!small) tree_.replace(made.version());
  return version().size() - before;
}

bool LeafMap::is_above(const AnyColumn& keys) const {
  const std::size_t count = keys.shape(0), before = version().size();
  if (count == 0) return false;
  std::int64_t last = 0;
  if (before > 0) version().read(before - 1, 1, &last, nullptr);
  bool above = true;
  index::with_key_type(type_, [&]<typename T>(T) {
    const T* raw = static_cast<const T*>(keys.data());
    above = before == 0 || index::wide_key(raw[0]) > last;
    for (std::size_t i = 1; i < count; ++i) above &= raw[i - 1] < raw[i];
  });
  return above;
}

std::size_t LeafMap::erase(const AnyColumn& keys, const Order& order) {
  if (key_type_of(keys) != type_) throw std::invalid_argument("keys of another type");
  if (order && order->shape(0) != keys.shape(0))
    throw std::invalid_argument("keys and order differ in length");
  if (frozen_) throw nb::type_error(kFrozen);
  std::size_t gone = 0;
  {
    const Writing others_wait(*this);
    const std::size_t before = version().size(), count = keys.shape(0);
    const bool small = count < kBatchLeast && count < before / 128;
    Version made;
    {
      const Unlocked others_may_read(kind_ == ValueKind::kObject ? 0 : count);
      Batch batch;
      batch.fill(type_, keys, nullptr, order ? order->data() : nullptr);
      if (small) {
        for (const std::int64_t key : batch.keys) tree_.erase(key);
      } else {
        made = version().without(batch.keys.data(), batch.keys.size());
      }
    }
    if (!small) tree_.replace(std::move(made));
    gone = before - version().size();
  }
  release_dropped();
  return gone;
}

void LeafMap::find(const AnyColumn& queries, nb::ndarray<nb::ndim<1>, nb::c_contig> values,
                   Flags found, unsigned threads) const {
  const std::size_t count = queries.shape(0);
  if (key_type_of(queries) != type_ || kind_ == ValueKind::kObject || values.itemsize() != 8 ||
      values.shape(0) != count || found.shape(0) != count)
    throw std::invalid_argument("queries, values or found");
  const Version now = version();
  const Unlocked others_may_run(count);
  auto* to = static_cast<std::uint64_t*>(values.data());
  auto* is = reinterpret_cast<unsigned char*>(found.data());
  in_shares(count, threads, [&](std::size_t begin, std::size_t end) {
    each_chunk(type_, queries, begin, end,
               [&](const std::int64_t* keys, std::size_t done, std::size_t part) {
                 now.find_all(keys, part, to + done, is + done);
               });
  });
}

nb::list LeafMap::find_objects(const AnyColumn& queries, Flags found, nb::object otherwise) const {
  const std::size_t count = queries.shape(0);
  if (key_type_of(queries) != type_ || kind_ != ValueKind::kObject || found.shape(0) != count)
    throw std::invalid_argument("queries or found");
  nb::list answers = nb::steal<nb::list>(PyList_New(static_cast<Py_ssize_t>(count)));
  if (!answers.is_valid()) throw nb::python_error();
  const Version now = version();  // nothing below runs Python code
  std::array<std::uint64_t, kChunk> values;
  auto* is = reinterpret_cast<unsigned char*>(found.data());
  const auto each = [&](const std::int64_t* keys, std::size_t done, std::size_t part) {
    now.find_all(keys, part, values.data(), is + done);
    for (std::size_t i = 0; i < part; ++i) {
      PyObject* value = is[done + i] ? reinterpret_cast<PyObject*>(values[i]) : otherwise.ptr();
      PyList_SET_ITEM(answers.ptr(), static_cast<Py_ssize_t>(done + i), Py_NewRef(value));
    }
  };
  each_chunk(type_, queries, 0, count, each);
  return answers;
}

void LeafMap::contains(const AnyColumn& queries, Flags found, unsigned threads) const {
  const std::size_t count = queries.shape(0);
  if (key_type_of(queries) != type_ || found.shape(0) != count)
    throw std::invalid_argument("queries or found");
  const Version now = version();
  const Unlocked others_may_run(count);
  auto* is = reinterpret_cast<unsigned char*>(found.data());
  in_shares(count, threads, [&](std::size_t begin, std::size_t end) {
    each_chunk(type_, queries, begin, end,
               [&](const std::int64_t* keys, std::size_t done, std::size_t part) {
                 now.find_all(keys, part, nullptr, is + done);
               });
  });
}

void LeafMap::ranks(const AnyColumn& queries,
                    nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig> out, bool right,
                    unsigned threads) const {
  const std::size_t count = queries.shape(0);
  if (key_type_of(queries) != type_ || out.shape(0) != count)
    throw std::invalid_argument("queries or out");
  const Version now = version();
  const Unlocked others_may_run(count);
  in_shares(count, threads, [&](std::size_t begin, std::size_t end) {
    std::vector<std::int64_t> all(end - begin);
    each_chunk(type_, queries, begin, end,
               [&](const std::int64_t* keys, std::size_t done, std::size_t part) {
                 std::copy_n(keys, part, all.data() + (done - begin));
               });
    auto* to = reinterpret_cast<std::uint64_t*>(out.data()) + begin;
    now.ranks(all.data(), end - begin, right, to);
  });
}

void LeafMap::read_keys(std::size_t start, nb::ndarray<nb::ndim<1>, nb::c_contig> out) const {
  const std::size_t count = out.shape(0);
  if (out.itemsize() != index::key_width(type_) || start > version().size() ||
      count > version().size() - start)
    throw std::invalid_argument("start or out");
  const Version now = version();
  const Unlocked others_may_run(count);
  std::array<std::int64_t, kChunk> keys;
  for (std::size_t done = 0; done < count; done += kChunk) {
    const std::size_t part = std::min(kChunk, count - done);
    now.read(start + done, part, keys.data(), nullptr);
    index::with_key_type(type_, [&]<typename T>(T) {
      T* to = static_cast<T*>(out.data()) + done;
      for (std::size_t i = 0; i < part; ++i) to[i] = index::narrow_key<T>(keys[i]);
    });
  }
}

void LeafMap::read_values(std::size_t start, nb::ndarray<nb::ndim<1>, nb::c_contig> out) const {
  const std::size_t count = out.shape(0);
  if (out.itemsize() != 8 || kind_ == ValueKind::kObject || start > version().size() ||
      count > version().size() - start)
    throw std::invalid_argument("start or out");
  const Version now = version();
  const Unlocked others_may_run(count);
  now.read(start, count, nullptr, static_cast<std::uint64_t*>(out.data()));
}

nb::list LeafMap::read_objects(std::size_t start, std::size_t count) const {
  if (kind_ != ValueKind::kObject || start > version().size() || count > version().size() - start)
    throw std::invalid_argument("start or count");
  nb::list answers = nb::steal<nb::list>(PyList_New(static_cast<Py_ssize_t>(count)));
  if (!answers.is_valid()) throw nb::python_error();
  std::vector<std::uint64_t> values(count);
  version().read(start, count, nullptr, values.data());
  for (std::size_t i = 0; i < count; ++i) {
    auto* value = reinterpret_cast<PyObject*>(values[i]);
    PyList_SET_ITEM(answers.ptr(), static_cast<Py_ssize_t>(i), Py_NewRef(value));
  }
  return answers;
}

namespace {

ValueKind kind_named(const std::string& name) {
  if (name == "int64") return ValueKind::kInteger;
  if (name == "float64") return ValueKind::kFloat;
  if (name == "object") return ValueKind::kObject;
  throw std::invalid_argument("values are int64, float64 or object");
}

/// Only leaves that no other version holds: their references are this map's alone.
int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  const LeafMap* map = nb::inst_ptr<LeafMap>(self);
  if (map->kind() != ValueKind::kObject) return 0;
  int stopped = 0;
  map->version().each_own_leaf([&](const std::uint64_t* values, std::size_t count) {
    for (std::size_t i = 0; i < count && stopped == 0; ++i)
      stopped = visit(reinterpret_cast<PyObject*>(values[i]), arg);
  });
  return stopped;
}

int clear_map(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<LeafMap>(self)->reset();
  return 0;
}

PyType_Slot type_slots[] = {
    {Py_tp_traverse, slot(traverse)}, {Py_tp_clear, slot(clear_map)}, {0, nullptr}};

}  // namespace

void bind_index_mutable(nb::module_& m) {
  nb::class_<LeafMap>(m, "LeafMap", nb::type_slots(type_slots),
                      "A sorted map with batches and old versions.")
      .def(
          "__init__",
          [](LeafMap* at, const AnyColumn& keys, const std::string& values) {
            new (at) LeafMap(key_type_of(keys), kind_named(values), false);
          },
          "keys"_a.noconvert(), "values"_a)
      .def("__len__", [](const LeafMap& map) { return map.version().size(); })
      .def(
          "copy", [](const LeafMap& map, bool frozen) { return new LeafMap(map, frozen); },
          "frozen"_a)
      .def("clear",
           [](LeafMap& map) {
             map.writable();
             map.reset();
           })
      .def_prop_ro("nbytes", [](const LeafMap& map) { return map.version().bytes(); })
      .def("validate", [](const LeafMap& map) { return map.version().validate(); })
      .def("insert",
           nb::overload_cast<const AnyColumn&, const LeafMap::Words&, const LeafMap::Order&>(
               &LeafMap::insert),
           "keys"_a.noconvert(), "values"_a.noconvert(), "order"_a.none() = nb::none())
      .def("insert_objects", &LeafMap::insert_objects, "keys"_a.noconvert(), "values"_a,
           "order"_a.none() = nb::none())
      .def("erase", &LeafMap::erase, "keys"_a.noconvert(), "order"_a.none() = nb::none())
      .def("find", &LeafMap::find, "queries"_a.noconvert(), "values"_a.noconvert(),
           "found"_a.noconvert(), "threads"_a)
      .def("find_objects", &LeafMap::find_objects, "queries"_a.noconvert(), "found"_a.noconvert(),
           "otherwise"_a.none())
      .def("contains", &LeafMap::contains, "queries"_a.noconvert(), "found"_a.noconvert(),
           "threads"_a)
      .def("ranks", &LeafMap::ranks, "queries"_a.noconvert(), "out"_a.noconvert(), "right"_a,
           "threads"_a)
      .def("read_keys", &LeafMap::read_keys, "start"_a, "out"_a.noconvert())
      .def("read_values", &LeafMap::read_values, "start"_a, "out"_a.noconvert())
      .def("read_objects", &LeafMap::read_objects, "start"_a, "count"_a);
}

}  // namespace acumen::bindings
