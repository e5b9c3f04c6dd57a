// Batches: a new version out of an old one and what ascends, with every leaf that nothing falls
// into shared by both.
#include "acumen/index/leaf_tree_nodes.hpp"

namespace acumen::index {

/// Puts a version together from left to right.
class Builder {
 public:
  explicit Builder(ValueKeeper* keeper) : version_(new Root, keeper) {}
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;
  ~Builder() {
    for (std::size_t i = 0; i < leaves_.size(); ++i)
      release(leaves_[i].leaf, leaves_[i].count, version_.keeper_);
  }

  void add(const std::int64_t* keys, const std::uint64_t* values, std::size_t count) {
    while (count > 0) {
      const std::size_t part = std::min(count, kPending - pending_);
      std::copy_n(keys, part, keys_ + pending_);
      std::copy_n(values, part, values_ + pending_);
      pending_ += part;
      keys += part;
      values += part;
      count -= part;
      if (pending_ == kPending) emit(kPacked);
    }
  }

  void share(const Branch& branch, std::size_t i) {
    const Leaf& leaf = *branch.leaf[i];
    if (pending_ > 0 && pending_ < kLeastFill)
      return add(leaf.keys(), leaf.values(), branch.count[i]);
    flush();
    push({branch.fence[i], branch.leaf[i], branch.count[i]});
    hold(branch.leaf[i]);
  }

  void share(Branch* branch) {
    const bool few_keys = pending_ > 0 && pending_ < kLeastFill;
    if (!few_keys) flush();
    if (few_keys || (leaves_.size() > 0 && leaves_.size() < kLeastFill)) {
      for (std::size_t i = 0; i < branch->leaves; ++i) share(*branch, i);
      return;
    }
    flush_leaves();
    put(branch);
    hold(branch);
  }

  Version finish() {
    flush();
    flush_leaves();
    return std::move(version_);
  }

 private:
  /// A leaf gets so many: the next keys that fall between them would split a full one.
  static constexpr std::size_t kPacked = kLeafKeys * 7 / 8;
  /// So many are waiting before one is made: what is left is never too little for another.
  static constexpr std::size_t kPending = kPacked + kLeastFill;
  struct Ready {
    std::int64_t fence;
    Leaf* leaf;
    std::size_t count;
  };

  void flush() {
    if (pending_ > kLeafKeys) emit(pending_ / 2);
    if (pending_ > 0) emit(pending_);
  }

  /// A leaf of the first entries that are waiting.
  void emit(std::size_t count) {
    Leaf* leaf = Leaf::make(room_for(count));
    try {
      push({keys_[0], leaf, count});
    } catch (...) {
      Leaf::free(leaf);
      throw;
    }
    std::copy_n(keys_, count, leaf->keys());
    std::copy_n(values_, count, leaf->values());
    if (version_.keeper_ != nullptr) version_.keeper_->keep(leaf->values(), count);
    pending_ -= count;
    std::copy_n(keys_ + count, pending_, keys_);
    std::copy_n(values_ + count, pending_, values_);
  }

  void push(const Ready& ready) {
    if (leaves_.size() == kBranchLeaves + kLeastFill) emit_branch(kBranchLeaves);
    leaves_.push_back(ready);
  }

  void flush_leaves() {
    if (leaves_.size() > kBranchLeaves) emit_branch(leaves_.size() / 2);
    if (!leaves_.empty()) emit_branch(leaves_.size());
  }

  void emit_branch(std::size_t count) {
    version_.root_->reserve_one();
    Branch* branch = new Branch;
    for (std::size_t i = 0; i < count; ++i)
      branch->put(i, leaves_[i].fence, leaves_[i].leaf, leaves_[i].count);
    branch->leaves = static_cast<std::uint32_t>(count);
    leaves_.erase(leaves_.begin(), leaves_.begin() + static_cast<std::ptrdiff_t>(count));
    put(branch);
  }

  void put(Branch* branch) {
    Root& root = *version_.root_;
    const std::size_t keys = branch->keys();
    root.reserve_one();
    root.insert(root.branch.size(), branch->fence[0], branch, keys);
    root.keys += keys;
  }

  Version version_;
  std::vector<Ready> leaves_;  // of no branch yet
  std::size_t pending_ = 0;    // entries of no leaf yet
  std::int64_t keys_[kPending];
  std::uint64_t values_[kPending];
};

namespace {

/// Shares what no key of a batch falls into; touch(leaf, count, begin, end) is called for each leaf
/// that keys [begin, end) fall into.
template <class Touch>
void walk(const Root& root, const std::int64_t* keys, std::size_t count, Builder& builder,
          Touch touch) {
  std::size_t done = 0;
  const auto until = [&](std::int64_t fence, std::size_t most) {
    return done < most ? below_from(keys, most, done, fence) : most;
  };
  for (std::size_t b = 0; b < root.branch.size(); ++b) {
    Branch& branch = *root.branch[b];
    const bool is_last = b + 1 == root.branch.size();
    const std::size_t branch_end = is_last ? count : until(root.fence[b + 1], count);
    if (branch_end == done) {
      builder.share(&branch);
      continue;
    }
    for (std::size_t i = 0; i < branch.leaves; ++i) {
      const std::size_t end =
          i + 1 < branch.leaves ? until(branch.fence[i + 1], branch_end) : branch_end;
      if (end == done) {
        builder.share(branch, i);
      } else {
        touch(*branch.leaf[i], std::size_t{branch.count[i]}, done, end);
      }
      done = end;
    }
  }
}

}  // namespace

Version Version::with(const Entries& entries) const {
  Builder builder(keeper_);
  if (size() == 0) {
    builder.add(entries.keys, entries.values, entries.count);
    return builder.finish();
  }
  const auto merge = [&](const Leaf& leaf, std::size_t count, std::size_t begin, std::size_t end) {
    std::size_t at = 0;
    for (std::size_t k = begin; k < end; ++k) {
      const std::int64_t key = entries.keys[k];
      const std::size_t from = at;
      if (at < count) at = below_from(leaf.keys(), count, at, key);
      builder.add(leaf.keys() + from, leaf.values() + from, at - from);
      builder.add(&key, entries.values + k, 1);
      at += at < count && leaf.keys()[at] == key;
    }
    builder.add(leaf.keys() + at, leaf.values() + at, count - at);
  };
  walk(*root_, entries.keys, entries.count, builder, merge);
  return builder.finish();
}

Version Version::without(const std::int64_t* keys, std::size_t count) const {
  if (size() == 0) return *this;
  Builder builder(keeper_);
  const auto thin = [&](const Leaf& leaf, std::size_t of, std::size_t begin, std::size_t end) {
    std::size_t at = 0;
    for (std::size_t k = begin; k < end; ++k) {
      const std::size_t from = at;
      if (at < of) at = std::max(at, below_from(leaf.keys(), of, at, keys[k]));
      builder.add(leaf.keys() + from, leaf.values() + from, at - from);
      at += at < of && leaf.keys()[at] == keys[k];
    }
    builder.add(leaf.keys() + at, leaf.values() + at, of - at);
  };
  walk(*root_, keys, count, builder, thin);
  return builder.finish();
}

}  // namespace acumen::index
