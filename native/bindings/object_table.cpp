#include "object_table.hpp"

#include <algorithm>
#include <utility>

namespace acumen::bindings {

Slot ObjectTable::victim() {
  if (!eviction_.started()) {
    eviction_.start_with(size(), [this](auto&& visit) {
      for (Slot slot = first(); slot != kAbsent; slot = after(slot)) {
        visit(slot, mixed(entries_[slot].hash), size_of(slot));
      }
    });
  }
  return eviction_.victim();
}

Slot ObjectTable::make_room(Slot found, double now, Trash& trash) {
  if (settings_.timed && expire(now, 1, trash) > 0) {
    return found != kAbsent && entries_[found].key == nullptr ? kAbsent : found;
  }
  const Slot slot = victim();
  remove(slot, Cause::kEvicted, trash);
  return slot == found ? kAbsent : found;
}

void ObjectTable::store(Slot found, const ObjectKey& key, PyObject* value, double size,
                        double deadline, Trash& trash) {
  if (found != kAbsent) {
    if (settings_.sized && sizes_[found] != size) {
      eviction_.resize(found, mixed(key.hash), size);
    } else {
      eviction_.set(found);
    }
    trash.add(std::exchange(entries_[found].value, Py_NewRef(value)));
    if (settings_.sized) {
      total_.add(-std::exchange(sizes_[found], size));
      total_.add(size);
    }
    if (settings_.timed) {
      unqueue(found);
      queue(found, deadline);
    }
    return;
  }
  // Whatever may throw comes first; then nothing is half done.
  reserve_slot();
  index_.reserve_one();
  const Slot slot = free_;
  start_policy(size);
  eviction_.insert(slot, mixed(key.hash), size);
  free_ = static_cast<Slot>(entries_[slot].hash);
  entries_[slot] = {Py_NewRef(key.object), Py_NewRef(value), key.hash};
  index_.insert(mixed(key.hash), slot);
  ++epoch_;
  if (settings_.sized) total_.add(sizes_[slot] = size);
  if (settings_.timed) queue(slot, deadline);
}

void ObjectTable::remove(Slot slot, Cause cause, Trash& trash) {
  if (cause == Cause::kEvicted) {
    eviction_.evict(slot);
    ++counters.evictions;
  } else {
    eviction_.erase(slot);
    counters.expirations += cause == Cause::kExpired;
  }
  Entry& entry = entries_[slot];
  index_.erase(mixed(entry.hash), slot);
  ++epoch_;
  trash.add(std::exchange(entry.key, nullptr));
  trash.add(std::exchange(entry.value, nullptr));
  entry.hash = static_cast<Py_hash_t>(std::exchange(free_, slot));
  if (settings_.timed) unqueue(slot);
  if (settings_.sized) total_.add(-sizes_[slot]);
  if (size() == 0) total_ = {};  // exactly
}

std::size_t ObjectTable::expire(double now, std::size_t count_max, Trash& trash) {
  std::size_t count = 0;
  while (settings_.timed && oldest_ != kAbsent && expired(oldest_, now) && count < count_max &&
         !trash.full()) {
    remove(oldest_, Cause::kExpired, trash);
    ++count;
  }
  return count;
}

void ObjectTable::clear(bool forget) {
  if (!forget) {
    for (Slot slot = first(); slot != kAbsent; slot = after(slot)) eviction_.erase(slot);
  } else {
    configure(settings_);
  }
  std::vector<Entry> entries;
  entries.swap(entries_);
  std::vector<double>().swap(sizes_);
  std::vector<Timed>().swap(timed_);
  index_.clear();
  ++epoch_;
  free_ = oldest_ = newest_ = kAbsent;
  total_ = {};
  for (const Entry& entry : entries) {
    Py_XDECREF(entry.key);
    Py_XDECREF(entry.value);
  }
}

int ObjectTable::traverse(visitproc visit, void* arg) const {
  for (const Entry& entry : entries_) {
    Py_VISIT(entry.key);
    Py_VISIT(entry.value);
  }
  return 0;
}

std::size_t ObjectTable::bytes() const {
  return index_.bytes() + eviction_.bytes() + entries_.capacity() * sizeof(Entry) +
         sizes_.capacity() * sizeof(double) + timed_.capacity() * sizeof(Timed);
}

void ObjectTable::reserve_slot() {
  if (free_ != kAbsent) return;
  const std::size_t slot = entries_.size();
  if (slot >= kFailed) throw std::bad_alloc();
  // The side arrays first: entries_ decides what exists.
  if (settings_.sized) sizes_.resize(slot + 1);
  if (settings_.timed) timed_.resize(slot + 1);
  entries_.push_back({nullptr, nullptr, static_cast<Py_hash_t>(kAbsent)});
  free_ = static_cast<Slot>(slot);
}

void ObjectTable::queue(Slot slot, double deadline) {
  timed_[slot] = {deadline, newest_, kAbsent};
  (newest_ != kAbsent ? timed_[newest_].newer : oldest_) = slot;
  newest_ = slot;
}

void ObjectTable::unqueue(Slot slot) {
  const Timed& timed = timed_[slot];
  (timed.older != kAbsent ? timed_[timed.older].newer : oldest_) = timed.newer;
  (timed.newer != kAbsent ? timed_[timed.newer].older : newest_) = timed.older;
}

}  // namespace acumen::bindings
