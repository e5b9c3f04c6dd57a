// A sorted map from 64-bit keys to 64-bit values that changes while others read old versions of it.
//
// Idea       A B+ tree of three levels, whatever its size: a root, branches of up to 512 leaves,
//            leaves of up to 512 keys (at 10^9 keys the root has some 6,000 branches). Fences are
//            bisected: they lie in the caches. What has to come from memory, the leaf, is learned:
//            between its fence and the next one keys lie nearly evenly, so that linear
//            interpolation proposes a place, and the lines around it arrive together (Ding et al.,
//            "ALEX: an updatable adaptive learned index", SIGMOD 2020, keeps a line for every node;
//            here it is drawn from what the parent holds anyway, and is never out of date).
//
//            Ranks are sums of the leaves' counts, a row of 16-bit numbers: adding them up takes
//            some 20 ns longer than walking a Fenwick tree would, and they cost nothing to keep.
//
//            A version is a root that is held. Whoever writes owns what nobody else holds and
//            copies the rest, at most one node of each level, on the way down. Batches are merged
//            leaf by leaf; what they do not touch is held by both versions.
//
// Guarantee  Proposals cost time, never an answer. A Version never changes. Any number of threads
//            may read, copy and drop versions; a LeafTree is for one thread at a time, and may be
//            written while versions of it are read elsewhere. with() and without() are there in
//            whole or not at all.
//
//            Every leaf but the last has at least 128 keys, and unused room for at most an eighth
//            and 16 more (a quarter and 32 after deletions); every branch but the last has 128
//            leaves. A tree takes at most 25 bytes a key, mostly 18, and 24 KB; a version takes
//            what it does not share.
//
// Layout     Root     holders | keys | [fence, branch, keys] of each branch
//            Branch   holders | leaves | fence[512] | leaf[512] | count[512] | room[512]: 10 KB
//            Leaf     holders | room | key[room] | value[room]
//
//            fence f of a child: f ≤ its keys < the next child's fence; keys below the very first
//            fence would go to the first leaf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace acumen::index {

inline constexpr std::size_t kLeafKeys = 512;
inline constexpr std::size_t kBranchLeaves = 512;
/// With less a node is joined with its neighbour.
inline constexpr std::size_t kLeastFill = 128;

struct Leaf;
struct Branch;
struct Root;

/// Whoever counts references, where values refer to something. Called by threads that write or drop
/// versions.
class ValueKeeper {
 public:
  virtual void keep(const std::uint64_t* values, std::size_t count) noexcept = 0;
  virtual void drop(const std::uint64_t* values, std::size_t count) noexcept = 0;

 protected:
  ~ValueKeeper() = default;
};

/// Entries that ascend by key, strictly.
struct Entries {
  const std::int64_t* keys;
  const std::uint64_t* values;
  std::size_t count;
};

/// What a tree held at some moment.
class Version {
 public:
  Version() = default;
  Version(const Version& other) noexcept;
  Version(Version&& other) noexcept
      : root_(std::exchange(other.root_, nullptr)), keeper_(other.keeper_) {}
  Version& operator=(Version other) noexcept {
    std::swap(root_, other.root_);
    std::swap(keeper_, other.keeper_);
    return *this;
  }
  ~Version();

  std::size_t size() const;
  /// The value of a key; false: there is no such key.
  bool find(std::int64_t key, std::uint64_t& value) const;
  /// The number of keys below `key`; `right`: up to it.
  std::size_t rank(std::int64_t key, bool right) const;
  /// The same for many; found[i] is 0 or 1, values[i] stays as it is where it is 0. `values` may
  /// be nullptr.
  void find_all(const std::int64_t* keys, std::size_t count, std::uint64_t* values,
                unsigned char* found) const;
  void ranks(const std::int64_t* keys, std::size_t count, bool right, std::uint64_t* ranks) const;
  /// The entries from rank `start` on, start + count <= size(); either array may be nullptr.
  void read(std::size_t start, std::size_t count, std::int64_t* keys, std::uint64_t* values) const;

  /// This version with entries added, those of the same keys replaced; all values are kept again.
  Version with(const Entries& entries) const;
  /// This version without some keys, which ascend.
  Version without(const std::int64_t* keys, std::size_t count) const;

  /// Bytes of memory; shared ones count too.
  std::size_t bytes() const;
  /// Whether all that this page guarantees about nodes is so.
  bool validate() const;
  /// Calls visit(values, count) for every leaf that no other version holds.
  template <class Visit>
  void each_own_leaf(Visit visit) const {
    for (std::size_t at = 0; const Leaf* leaf = own_leaf(at);) {
      const auto [values, count] = values_of(leaf, at);
      visit(values, count);
      ++at;
    }
  }

 private:
  friend class LeafTree;
  friend class Builder;
  Version(Root* root, ValueKeeper* keeper) : root_(root), keeper_(keeper) {}
  /// The first leaf at a place from `at` on, a branch times kBranchLeaves, that is held once.
  const Leaf* own_leaf(std::size_t& at) const;
  std::pair<const std::uint64_t*, std::size_t> values_of(const Leaf* leaf, std::size_t at) const;

  Root* root_ = nullptr;  // nullptr: no keys
  ValueKeeper* keeper_ = nullptr;
};

/// The newest version, which is written in place where nobody else holds it.
class LeafTree {
 public:
  /// `keeper` outlives the tree and all of its versions.
  explicit LeafTree(ValueKeeper* keeper) : version_(nullptr, keeper) {}
  explicit LeafTree(Version version) : version_(std::move(version)) {}

  const Version& version() const { return version_; }
  void replace(Version version) { version_ = std::move(version); }

  // The reference that a value may be is the caller's before, and the tree's after; values that
  // were there are dropped.

  /// Puts a value; true: the key is new. std::bad_alloc: nothing changed.
  bool set(std::int64_t key, std::uint64_t value);
  /// Puts entries whose keys are above all that there are.
  void append(const Entries& entries);
  /// False: there is no such key.
  bool erase(std::int64_t key);

 private:
  Root& own_root();
  Branch& own_branch(std::size_t b);
  Leaf* own_leaf(Branch& branch, std::size_t i);
  void open_gap(Branch& branch, std::size_t i, std::size_t at);
  void close_gap(Branch& branch, std::size_t i, std::size_t at);
  void split(std::size_t b, std::size_t i);
  void split_branch(std::size_t b);
  void add_leaf(const Entries& entries);
  void join_leaves(std::size_t b, std::size_t i);
  void join_branches(std::size_t b);
  void remove_leaf(std::size_t b, std::size_t i);

  Version version_;
};

}  // namespace acumen::index
