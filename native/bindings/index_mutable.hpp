// A LeafTree as Python sees it, acumen._native.LeafMap: with keys of some type, and numbers or
// objects as values.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "acumen/index/leaf_tree.hpp"
#include "index_range.hpp"

namespace acumen::bindings {

enum class ValueKind : std::uint8_t { kInteger, kFloat, kObject };

/// References to objects in leaves. Whoever calls holds the interpreter's lock. What is dropped is
/// released by release_dropped(), when trees are whole again: that may run anybody's code.
index::ValueKeeper& object_keeper();
void release_dropped();

class LeafMap {
 public:
  LeafMap(index::KeyType type, ValueKind kind, bool frozen)
      : type_(type), kind_(kind), frozen_(frozen), tree_(keeper()) {}
  LeafMap(const LeafMap& other, bool frozen)
      : type_(other.type_), kind_(other.kind_), frozen_(frozen), tree_(other.version()) {}
  LeafMap(const LeafMap&) = delete;
  LeafMap& operator=(const LeafMap&) = delete;
  ~LeafMap() { reset(); }

  index::KeyType type() const { return type_; }
  ValueKind kind() const { return kind_; }
  bool frozen() const { return frozen_; }
  const index::Version& version() const { return tree_.version(); }

  /// The tree, to be written in one go: waits while another thread writes a batch. After that
  /// Python code must not run before the write is done.
  index::LeafTree& writable();
  /// Forgets everything, and releases what it referred to.
  void reset() {
    tree_ = index::LeafTree(keeper());
    if (kind_ == ValueKind::kObject) release_dropped();
  }

  // Columns have the keys' type; `order` says in which order they ascend, if not as they are.
  using Words = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
  using Order = std::optional<nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig>>;
  using Flags = nb::ndarray<bool, nb::ndim<1>, nb::c_contig>;
  /// How many keys are new. Of equal ones the last counts.
  std::size_t insert(const AnyColumn& keys, const Words& values, const Order& order);
  std::size_t insert_objects(const AnyColumn& keys, const nb::list& values, const Order& order);
  /// How many there were.
  std::size_t erase(const AnyColumn& keys, const Order& order);
  void find(const AnyColumn& queries, nb::ndarray<nb::ndim<1>, nb::c_contig> values, Flags found,
            unsigned threads) const;
  nb::list find_objects(const AnyColumn& queries, Flags found, nb::object otherwise) const;
  void contains(const AnyColumn& queries, Flags found, unsigned threads) const;
  void ranks(const AnyColumn& queries, nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig> out,
             bool right, unsigned threads) const;
  void read_keys(std::size_t start, nb::ndarray<nb::ndim<1>, nb::c_contig> out) const;
  void read_values(std::size_t start, nb::ndarray<nb::ndim<1>, nb::c_contig> out) const;
  nb::list read_objects(std::size_t start, std::size_t count) const;

 private:
  class Writing;
  index::ValueKeeper* keeper() const {
    return kind_ == ValueKind::kObject ? &object_keeper() : nullptr;
  }
  std::size_t insert(const AnyColumn& keys, const std::uint64_t* values, std::size_t count,
                     const Order& order);
  /// Whether keys ascend, strictly, and begin above the last one there is.
  bool is_above(const AnyColumn& keys) const;
  void wait();

  index::KeyType type_;
  ValueKind kind_;
  bool frozen_;
  index::LeafTree tree_;
  // A large batch is made without the interpreter's lock, out of a version, while others read.
  // They are changed under the interpreter's lock.
  bool writing_ = false;
  int writer_process_ = 0;
  std::mutex written_;  // while it is made
};

}  // namespace acumen::bindings
