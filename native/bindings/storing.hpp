// What acumen.Cache and acumen.cached do alike with a table and its clock.
#pragma once

#include "object_table.hpp"

namespace acumen::bindings {

/// How to put an item.
struct Put {
  double size;
  double ttl;                   // seconds from now on
  bool replaces = true;         // else an item that is there stays
  bool evicts = true;           // else the items were together before, and rounding is forgiven
  std::uint64_t absent_at = 0;  // the table's epoch when the key was absent; 0: not known
  PyObject* cache = nullptr;    // an acumen.Cache: its popitem is called, if a subclass has its own
};

enum class Stored { kDone, kTooLarge, kError };  // kError: a Python exception is set

/// The time, 0 if entries do not expire; false with an exception set.
inline bool now(const ObjectTable& table, const Clock& clock, double& seconds) {
  return clock.now_if(table.settings().timed, seconds);
}
/// Inserts or replaces. User code that runs meanwhile may change the table in any way.
Stored put(ObjectTable& table, const Clock& clock, const ObjectKey& key, PyObject* value,
           const Put& how);
/// Removes all that has expired; the number of entries, or -1 with an exception set.
Py_ssize_t expire_all(ObjectTable& table, const Clock& clock);

}  // namespace acumen::bindings
