// A bounded hash table from Python objects to Python objects.
//
// Idea       Slots hold keys and values, caching::SlotIndex finds them, Eviction says who goes.
//            Sizes and deadlines have arrays of their own, empty where nobody asked for them.
// Guarantee  Everything runs under the interpreter's lock, so whatever runs no user code is
//            atomic. User code runs in exactly three places: find() may call __eq__, Trash drops
//            references when it is released or destroyed, and Clock::now() may call the user's
//            timer. After each of them the table may have changed, and a slot found before is void.
//
//            entries   [ key | value | hash ]           key == nullptr: free, hash: the next free
//            sizes     [ double ]                       only with getsizeof
//            timed     [ deadline | older | newer ]     only with a ttl: a list in order of setting
#pragma once

#include <Python.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <vector>

#include "acumen/caching/slot_index.hpp"
#include "acumen/random.hpp"
#include "eviction.hpp"

namespace acumen::bindings {

using Slot = std::uint32_t;
inline constexpr Slot kAbsent = 0xffffffffu;
inline constexpr Slot kFailed = 0xfffffffeu;  // a Python exception is set

/// Python hashes ints to themselves; index and policy want bits that look random.
inline std::uint64_t mixed(Py_hash_t hash) {
  return mix64(static_cast<std::uint64_t>(hash) + 0x9e3779b97f4a7c15ULL);
}

/// References to drop once the table is whole again: dropping them may run any code.
class Trash {
 public:
  Trash() = default;
  Trash(const Trash&) = delete;
  Trash& operator=(const Trash&) = delete;
  ~Trash() { release(); }

  /// No room for one more entry, key and value, and one more value?
  bool full() const { return count_ + 3 > objects_.size(); }
  void add(PyObject* object) { objects_[count_++] = object; }
  void release() {
    while (count_ > 0) {
      PyObject* object = objects_[--count_];
      Py_DECREF(object);
    }
  }

 private:
  std::array<PyObject*, 32> objects_;
  std::size_t count_ = 0;
};

/// A key to be looked up, with its hash computed once.
struct ObjectKey {
  PyObject* object = nullptr;
  Py_hash_t hash = -1;

  /// False with an exception set: unhashable.
  bool read(PyObject* key) {
    object = key;
    hash = PyUnicode_CheckExact(key) ? reinterpret_cast<PyASCIIObject*>(key)->hash : -1;
    if (hash == -1) hash = PyObject_Hash(key);
    return hash != -1;
  }
  /// 1: equal, 0: different, -1: only code that may be the user's can tell.
  int quick(PyObject* stored) const {
    if (stored == object) return 1;
    if (Py_TYPE(stored) != Py_TYPE(object)) return -1;
    if (!PyLong_CheckExact(object) && !PyUnicode_CheckExact(object)) return -1;
    PyObject* equal = Py_TYPE(object)->tp_richcompare(stored, object, Py_EQ);
    const int answer = equal == Py_True;
    Py_XDECREF(equal);
    return answer;
  }
  /// 1, 0, or -1 with an exception set.
  int ask(PyObject* stored) const { return PyObject_RichCompareBool(stored, object, Py_EQ); }
};

/// Seconds on the clock that deadlines refer to.
class Clock {
 public:
  /// nullptr: the machine's monotonic clock, without a call into Python. Keeps a reference.
  void use(PyObject* timer) { Py_XSETREF(timer_, Py_XNewRef(timer)); }
  PyObject* timer() const { return timer_; }
  void drop() { Py_CLEAR(timer_); }

  /// 0 without a look at the clock if nobody needs to know.
  bool now_if(bool needed, double& seconds) const {
    seconds = 0;
    return !needed || now(seconds);
  }
  bool now(double& seconds) const {
    if (timer_ == nullptr) {
      const auto since = std::chrono::steady_clock::now().time_since_epoch();
      seconds = std::chrono::duration<double>(since).count();
      return true;
    }
    PyObject* timer = Py_NewRef(timer_);  // the call may replace it
    PyObject* answer = PyObject_CallNoArgs(timer);
    Py_DECREF(timer);
    if (answer == nullptr) return false;
    seconds = PyFloat_AsDouble(answer);
    Py_DECREF(answer);
    return !(seconds == -1.0 && PyErr_Occurred());
  }

 private:
  PyObject* timer_ = nullptr;
};

/// A sum with the rounding errors of its additions beside it, so that it does not drift (Neumaier).
class Sum {
 public:
  double value() const { return sum_ + error_; }
  void add(double term) {
    const double sum = sum_ + term;
    const double error = std::fabs(sum_) >= std::fabs(term) ? sum_ - sum + term : term - sum + sum_;
    if (std::isfinite(sum)) error_ += error;
    sum_ = sum;
  }

 private:
  double sum_ = 0, error_ = 0;
};

struct TableSettings {
  double maxsize = 0;  // infinity: no bound
  double ttl = std::numeric_limits<double>::infinity();
  bool timed = false;
  bool sized = false;
  std::uint64_t seed = 0;
};

class ObjectTable {
 public:
  struct Counters {
    std::uint64_t hits = 0, misses = 0, evictions = 0, expirations = 0;
  };
  enum class Cause { kDeleted, kEvicted, kExpired };
  static constexpr int kAttemptsMax = 1000;

  /// Only while the table is empty.
  void configure(const TableSettings& settings) noexcept {
    settings_ = settings;
    eviction_.configure(settings.sized, settings.seed);
  }

  // What is inside.
  const TableSettings& settings() const { return settings_; }
  std::size_t size() const { return index_.size(); }
  double total() const { return settings_.sized ? total_.value() : static_cast<double>(size()); }
  std::uint64_t epoch() const { return epoch_; }
  PyObject* key(Slot slot) const { return entries_[slot].key; }
  PyObject* value(Slot slot) const { return entries_[slot].value; }
  double size_of(Slot slot) const { return settings_.sized ? sizes_[slot] : 1.0; }
  double deadline(Slot slot) const { return timed_[slot].deadline; }
  bool expired(Slot slot, double now) const {
    return settings_.timed && !(now < timed_[slot].deadline);
  }
  /// for (Slot slot = first(); slot != kAbsent; slot = after(slot)): all entries, with a ttl in
  /// the order of their deadlines.
  Slot first() const { return settings_.timed ? oldest_ : next_used(0); }
  Slot after(Slot slot) const { return settings_.timed ? timed_[slot].newer : next_used(slot + 1); }

  /// The slot of a key, kAbsent, or kFailed. Expired entries are found like others.
  template <typename Key>
  Slot find(const Key& key);

  /// The same, but an expired entry is removed and counts as absent.
  template <typename Key>
  Slot find_live(const Key& key, double now, Trash& trash) {
    const Slot slot = find(key);
    if (slot >= kFailed || !expired(slot, now)) return slot;
    remove(slot, Cause::kExpired, trash);
    return kAbsent;
  }

  /// One request that found its key.
  void hit(Slot slot) {
    ++counters.hits;
    eviction_.hit(slot);
  }

  // Putting: announce(), then while (!fits()) make_room(), then store().
  bool fits(Slot found, double size) const {
    if (found == kAbsent) return total() + size <= settings_.maxsize;
    return !settings_.sized || total_.value() - sizes_[found] + size <= settings_.maxsize;
  }
  void announce(Slot found, Py_hash_t hash, double size) {
    if (found != kAbsent) return;
    start_policy(size);
    eviction_.miss(mixed(hash), size);
  }
  /// Removes one entry, an expired one if there is any; gives `found` back if it survived.
  Slot make_room(Slot found, double now, Trash& trash);
  void store(Slot found, const ObjectKey& key, PyObject* value, double size, double deadline,
             Trash& trash);

  /// Whom to evict next. Needs size() > 0.
  Slot victim();
  void remove(Slot slot, Cause cause, Trash& trash);
  /// Removes what has expired, at most `count_max` entries; how many it was.
  std::size_t expire(double now, std::size_t count_max, Trash& trash);
  /// Empties the table; what was learned about the workload stays unless `forget`.
  void clear(bool forget);

  int traverse(visitproc visit, void* arg) const;
  std::size_t bytes() const;
  std::size_t policy_bytes() const { return eviction_.bytes(); }

  Counters counters;

 private:
  struct Entry {
    PyObject* key;
    PyObject* value;
    Py_hash_t hash;
  };
  struct Timed {
    double deadline;
    Slot older, newer;
  };

  /// A policy that starts later, because there is no bound or it was dropped, starts in victim().
  void start_policy(double size) {
    if (eviction_.started() || this->size() > 0) return;
    const double objects = settings_.maxsize / (settings_.sized && size > 0 ? size : 1);
    if (objects < Eviction::kObjectsMax) eviction_.start(objects);
  }
  void reserve_slot();
  Slot next_used(Slot slot) const {
    for (; slot < entries_.size(); ++slot) {
      if (entries_[slot].key != nullptr) return slot;
    }
    return kAbsent;
  }
  void queue(Slot slot, double deadline);
  void unqueue(Slot slot);

  TableSettings settings_;
  std::vector<Entry> entries_;
  std::vector<double> sizes_;
  std::vector<Timed> timed_;
  caching::SlotIndex index_;
  Eviction eviction_;
  Slot free_ = kAbsent;
  Slot oldest_ = kAbsent, newest_ = kAbsent;
  Sum total_;
  std::uint64_t epoch_ = 1;  // counts whatever moves cells of the index
};

template <typename Key>
Slot ObjectTable::find(const Key& key) {
  const std::uint64_t hash = mixed(key.hash);
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const std::uint64_t epoch = epoch_;
    bool moved = false;
    for (auto walk = index_.walk(hash); !moved && walk.next();) {
      const Slot slot = walk.slot();
      if (entries_[slot].hash != key.hash) continue;
      PyObject* stored = entries_[slot].key;
      int equal = key.quick(stored);
      if (equal < 0) {
        Py_INCREF(stored);
        equal = key.ask(stored);
        const bool kept = slot < entries_.size() && entries_[slot].key == stored;
        moved = !kept || (equal == 0 && epoch_ != epoch);
        Py_DECREF(stored);
        if (equal < 0) return kFailed;
      }
      if (equal > 0 && !moved) return slot;
    }
    if (!moved) return kAbsent;
  }
  PyErr_SetString(PyExc_RuntimeError, "the cache changed during every comparison of its keys");
  return kFailed;
}

}  // namespace acumen::bindings
