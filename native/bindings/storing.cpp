#include "storing.hpp"

#include <cmath>

#include "cache_operations.hpp"

namespace acumen::bindings {
namespace {

constexpr std::size_t kExpirePerSet = 4;  // more than one, so that expired entries cannot pile up
constexpr std::size_t kHookCallsSpare = 1000;

bool is_hooked(PyObject* cache) {
  return cache != nullptr && _PyType_Lookup(Py_TYPE(cache), hooks.popitem) != hooks.own_popitem;
}

/// Evicts until the item fits. `slot` is that of the key, and follows it through user code, after
/// which everything is asked anew.
Stored make_room(ObjectTable& table, const ObjectKey& key, const Put& how, double seconds,
                 Slot& slot, Trash& trash) {
  std::size_t calls_max = table.size() + kHookCallsSpare;
  while (how.evicts && !table.fits(slot, how.size)) {
    if (table.size() == 0) return Stored::kTooLarge;  // a hook set the cache up anew
    const bool hooked = is_hooked(how.cache);
    if (!hooked && !trash.full()) {
      slot = table.make_room(slot, seconds, trash);
      continue;
    }
    trash.release();
    if (hooked) {
      if (calls_max-- == 0) {
        PyErr_SetString(PyExc_RuntimeError, "popitem() makes no room");
        return Stored::kError;
      }
      PyObject* item = PyObject_CallMethodNoArgs(how.cache, hooks.popitem);
      if (item == nullptr) return Stored::kError;
      Py_DECREF(item);
    }
    slot = table.find(key);
    if (slot == kFailed) return Stored::kError;
    if (slot != kAbsent && !how.replaces) return Stored::kDone;
  }
  return Stored::kDone;
}

}  // namespace

Stored put(ObjectTable& table, const Clock& clock, const ObjectKey& key, PyObject* value,
           const Put& how) {
  Trash trash;
  double seconds;
  if (how.size > table.settings().maxsize || std::isinf(how.size)) return Stored::kTooLarge;
  if (!now(table, clock, seconds)) return Stored::kError;
  Slot slot = kAbsent;
  if (table.epoch() != how.absent_at) slot = table.find_live(key, seconds, trash);
  if (slot == kFailed) return Stored::kError;
  if (slot != kAbsent && !how.replaces) return Stored::kDone;
  table.expire(seconds, kExpirePerSet, trash);
  if (slot != kAbsent && table.key(slot) == nullptr) slot = kAbsent;
  table.announce(slot, key.hash, how.size);
  const Stored room = make_room(table, key, how, seconds, slot, trash);
  if (room != Stored::kDone || (slot != kAbsent && !how.replaces)) return room;
  table.store(slot, key, value, how.size, seconds + how.ttl, trash);
  return Stored::kDone;
}

Py_ssize_t expire_all(ObjectTable& table, const Clock& clock) {
  double seconds;
  if (!now(table, clock, seconds)) return -1;
  Py_ssize_t total = 0;
  for (std::size_t count = 1; count > 0; total += static_cast<Py_ssize_t>(count)) {
    Trash trash;
    count = table.expire(seconds, SIZE_MAX, trash);
  }
  return total;
}

}  // namespace acumen::bindings
