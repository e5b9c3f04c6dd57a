// How a LeafTree is written in place, one key at a time, and at its end.
//
// What is allocated is allocated before anything is changed, so that std::bad_alloc leaves a whole
// tree behind.
#include <utility>

#include "acumen/index/leaf_tree_nodes.hpp"

namespace acumen::index {

Root& LeafTree::own_root() {
  Root*& root = version_.root_;
  if (root == nullptr) root = new Root;
  if (is_own(root)) return *root;
  Root* copy = new Root;
  try {
    copy->reserve_one();
    copy->fence = root->fence;
    copy->branch = root->branch;
    copy->count = root->count;
  } catch (...) {
    delete copy;
    throw;
  }
  copy->keys = root->keys;
  for (Branch* branch : copy->branch) hold(branch);
  release(root, version_.keeper_);
  root = copy;
  return *root;
}

Branch& LeafTree::own_branch(std::size_t b) {
  Branch*& branch = version_.root_->branch[b];
  if (is_own(branch)) return *branch;
  Branch* copy = new Branch;
  copy->leaves = branch->leaves;
  for (std::size_t i = 0; i < branch->leaves; ++i)
    copy->put(i, branch->fence[i], hold(branch->leaf[i]), branch->count[i]);
  release(branch, version_.keeper_);
  branch = copy;
  return *branch;
}

namespace {

/// A leaf whose entries were copied elsewhere is not held by this tree any more.
void retire(Leaf* leaf, std::size_t count, ValueKeeper* keeper) {
  if (is_own(leaf)) {
    Leaf::free(leaf);  // its references are the copies'
    return;
  }
  if (keeper != nullptr) keeper->keep(leaf->values(), count);
  release(leaf, count, keeper);
}

/// A leaf takes the place of another, whose entries it has.
void supersede(Branch& branch, std::size_t i, Leaf* by, ValueKeeper* keeper) {
  branch.room[i] = static_cast<std::uint16_t>(by->room);
  retire(std::exchange(branch.leaf[i], by), branch.count[i], keeper);
}

void copy_entries(const Leaf& from, std::size_t start, std::size_t count, Leaf& to,
                  std::size_t at) {
  std::copy_n(from.keys() + start, count, to.keys() + at);
  std::copy_n(from.values() + start, count, to.values() + at);
}

}  // namespace

Leaf* LeafTree::own_leaf(Branch& branch, std::size_t i) {
  if (is_own(branch.leaf[i])) return branch.leaf[i];
  Leaf* copy = Leaf::make(branch.leaf[i]->room);
  copy_entries(*branch.leaf[i], 0, branch.count[i], *copy, 0);
  supersede(branch, i, copy, version_.keeper_);
  return copy;
}

/// Moves the entries from `at` on up by one; the place is to be filled.
void LeafTree::open_gap(Branch& branch, std::size_t i, std::size_t at) {
  Leaf* leaf = branch.leaf[i];
  const std::size_t count = branch.count[i], after = count - at;
  if (is_own(leaf) && count < leaf->room) {
    std::memmove(leaf->keys() + at + 1, leaf->keys() + at, after * sizeof(std::int64_t));
    std::memmove(leaf->values() + at + 1, leaf->values() + at, after * sizeof(std::uint64_t));
  } else {
    Leaf* larger = Leaf::make(room_for(count + 1));
    copy_entries(*leaf, 0, at, *larger, 0);
    copy_entries(*leaf, at, after, *larger, at + 1);
    supersede(branch, i, larger, version_.keeper_);
  }
  branch.count[i] = static_cast<std::uint16_t>(count + 1);
}

/// Takes out the entry at `at`, whose value is nobody's any more.
void LeafTree::close_gap(Branch& branch, std::size_t i, std::size_t at) {
  Leaf* leaf = branch.leaf[i];
  const std::size_t count = branch.count[i], after = count - at - 1;
  std::memmove(leaf->keys() + at, leaf->keys() + at + 1, after * sizeof(std::int64_t));
  std::memmove(leaf->values() + at, leaf->values() + at + 1, after * sizeof(std::uint64_t));
  branch.count[i] = static_cast<std::uint16_t>(count - 1);
  if (!is_loose(leaf->room, count - 1) || count == 1) return;
  try {
    Leaf* smaller = Leaf::make(room_for(count - 1));
    copy_entries(*leaf, 0, count - 1, *smaller, 0);
    supersede(branch, i, smaller, version_.keeper_);
  } catch (const std::bad_alloc&) {  // then it stays larger
  }
}

bool LeafTree::set(std::int64_t key, std::uint64_t value) {
  const std::size_t keys = version_.size();
  if (keys == 0) {
    append({&key, &value, 1});
    return true;
  }
  Root& root = own_root();
  const Place place = place_of(root, key);
  Branch& branch = own_branch(place.b);
  if (place.found) {
    std::uint64_t& there = own_leaf(branch, place.i)->values()[place.at];
    std::swap(there, value);
    if (version_.keeper_ != nullptr) version_.keeper_->drop(&value, 1);
    return false;
  }
  if (branch.count[place.i] == kLeafKeys) {
    const bool is_above =
        place.at == kLeafKeys && place.i + 1 == branch.leaves && place.b + 1 == root.branch.size();
    if (is_above) {
      append({&key, &value, 1});
      return true;
    }
    split(place.b, place.i);
    return set(key, value);
  }
  open_gap(branch, place.i, place.at);
  Leaf* leaf = branch.leaf[place.i];
  leaf->keys()[place.at] = key;
  leaf->values()[place.at] = value;
  if (key < branch.fence[place.i]) root.fence[place.b] = branch.fence[place.i] = key;
  root.count[place.b] += 1;
  root.keys += 1;
  return true;
}

void LeafTree::append(const Entries& entries) {
  std::size_t done = 0;
  if (version_.size() > 0 && entries.count > 0) {
    Root& root = own_root();
    const std::size_t b = root.branch.size() - 1;
    Branch& branch = own_branch(b);
    const std::size_t i = branch.leaves - 1, count = branch.count[i];
    done = std::min(kLeafKeys - count, entries.count);
    if (done > 0) {
      if (!is_own(branch.leaf[i]) || branch.leaf[i]->room < count + done) {
        Leaf* larger = Leaf::make(room_for(count + done));
        copy_entries(*branch.leaf[i], 0, count, *larger, 0);
        supersede(branch, i, larger, version_.keeper_);
      }
      std::copy_n(entries.keys, done, branch.leaf[i]->keys() + count);
      std::copy_n(entries.values, done, branch.leaf[i]->values() + count);
      branch.count[i] = static_cast<std::uint16_t>(count + done);
      root.count[b] += done;
      root.keys += done;
    }
  }
  while (done < entries.count) {
    const std::size_t part = std::min(kLeafKeys, entries.count - done);
    add_leaf({entries.keys + done, entries.values + done, part});
    done += part;
  }
}

/// A leaf behind all others.
void LeafTree::add_leaf(const Entries& entries) {
  Root& root = own_root();
  Leaf* leaf = Leaf::make(room_for(entries.count - 1));
  try {
    if (root.branch.empty() || root.branch.back()->leaves == kBranchLeaves) {
      root.reserve_one();
      root.insert(root.branch.size(), entries.keys[0], new Branch, 0);
    }
  } catch (...) {
    Leaf::free(leaf);
    throw;
  }
  std::copy_n(entries.keys, entries.count, leaf->keys());
  std::copy_n(entries.values, entries.count, leaf->values());
  Branch& branch = *root.branch.back();
  branch.put(branch.leaves, entries.keys[0], leaf, entries.count);
  branch.leaves += 1;
  root.count.back() += entries.count;
  root.keys += entries.count;
}

/// Makes two of a full leaf, or of its branch if that is full too.
void LeafTree::split(std::size_t b, std::size_t i) {
  Branch& branch = own_branch(b);
  if (branch.leaves == kBranchLeaves) return split_branch(b);
  constexpr std::size_t kHalf = kLeafKeys / 2;
  Leaf* upper = Leaf::make(room_for(kHalf));
  Leaf* lower;
  try {
    lower = Leaf::make(room_for(kHalf));
  } catch (...) {
    Leaf::free(upper);
    throw;
  }
  copy_entries(*branch.leaf[i], 0, kHalf, *lower, 0);
  copy_entries(*branch.leaf[i], kHalf, kHalf, *upper, 0);
  supersede(branch, i, lower, version_.keeper_);
  branch.move(i + 1, i + 2);
  branch.put(i, branch.fence[i], lower, kHalf);
  branch.put(i + 1, upper->keys()[0], upper, kHalf);
}

void LeafTree::split_branch(std::size_t b) {
  Root& root = *version_.root_;
  constexpr std::size_t kHalf = kBranchLeaves / 2;
  root.reserve_one();
  Branch* upper = new Branch;
  Branch& lower = *root.branch[b];
  for (std::size_t i = kHalf; i < kBranchLeaves; ++i)
    upper->put(i - kHalf, lower.fence[i], lower.leaf[i], lower.count[i]);
  lower.leaves = upper->leaves = kHalf;
  root.count[b] = lower.keys();
  root.insert(b + 1, upper->fence[0], upper, upper->keys());
}

bool LeafTree::erase(std::int64_t key) {
  std::uint64_t value;
  if (!version_.find(key, value)) return false;
  Root& root = own_root();
  const Place place = place_of(root, key);
  Branch& branch = own_branch(place.b);
  own_leaf(branch, place.i);
  close_gap(branch, place.i, place.at);
  root.count[place.b] -= 1;
  root.keys -= 1;
  if (version_.keeper_ != nullptr) version_.keeper_->drop(&value, 1);
  const std::size_t count = branch.count[place.i];
  if (count == 0) {
    remove_leaf(place.b, place.i);
  } else if (count < kLeastFill && branch.leaves > 1) {
    join_leaves(place.b, place.i);
  }
  return true;
}

namespace {

/// `count` entries from `start` on of two leaves that follow each other.
Leaf* joined(const Branch& branch, std::size_t i, std::size_t start, std::size_t count) {
  Leaf* leaf = Leaf::make(room_for(count));
  const std::size_t among = branch.count[i];
  const std::size_t first = start < among ? std::min(among - start, count) : 0;
  copy_entries(*branch.leaf[i], start, first, *leaf, 0);
  copy_entries(*branch.leaf[i + 1], start + first - among, count - first, *leaf, first);
  return leaf;
}

}  // namespace

/// A leaf that has become small and its neighbour become one, or two alike.
void LeafTree::join_leaves(std::size_t b, std::size_t i) {
  Branch& branch = *version_.root_->branch[b];
  i -= i + 1 == branch.leaves;
  const std::size_t keys = std::size_t{branch.count[i]} + branch.count[i + 1];
  const bool one = keys <= kLeafKeys * 3 / 4;
  const std::size_t half = one ? keys : keys / 2;
  Leaf *lower = nullptr, *upper = nullptr;
  try {
    lower = joined(branch, i, 0, half);
    if (!one) upper = joined(branch, i, half, keys - half);
  } catch (const std::bad_alloc&) {  // then they stay as they are
    if (lower != nullptr) Leaf::free(lower);
    return;
  }
  supersede(branch, i, lower, version_.keeper_);
  branch.count[i] = static_cast<std::uint16_t>(half);
  if (!one) {
    supersede(branch, i + 1, upper, version_.keeper_);
    branch.put(i + 1, upper->keys()[0], upper, keys - half);
    return;
  }
  retire(branch.leaf[i + 1], branch.count[i + 1], version_.keeper_);
  branch.move(i + 2, i + 1);
  if (branch.leaves < kLeastFill && version_.root_->branch.size() > 1) join_branches(b);
}

/// The same with branches.
void LeafTree::join_branches(std::size_t b) {
  Root& root = *version_.root_;
  b -= b + 1 == root.branch.size();
  try {
    own_branch(b);
    own_branch(b + 1);
  } catch (const std::bad_alloc&) {
    return;
  }
  Branch &lower = *root.branch[b], &upper = *root.branch[b + 1];
  const std::size_t leaves = std::size_t{lower.leaves} + upper.leaves;
  const std::size_t half = leaves <= kBranchLeaves * 3 / 4 ? leaves : leaves / 2;
  const auto carry = [](const Branch& from, std::size_t at, Branch& to, std::size_t put_at) {
    to.put(put_at, from.fence[at], from.leaf[at], from.count[at]);
  };
  const std::size_t before = lower.leaves;
  if (before < half) {
    for (std::size_t i = before; i < half; ++i) carry(upper, i - before, lower, i);
    upper.move(half - before, 0);
  } else {
    upper.move(0, before - half);
    for (std::size_t i = half; i < before; ++i) carry(lower, i, upper, i - half);
  }
  lower.leaves = static_cast<std::uint32_t>(half);
  root.count[b] = lower.keys();
  root.count[b + 1] = upper.keys();
  root.fence[b + 1] = upper.fence[0];
  if (upper.leaves > 0) return;
  delete &upper;
  root.remove(b + 1);
}

/// An empty leaf goes, and its branch if it was its last.
void LeafTree::remove_leaf(std::size_t b, std::size_t i) {
  Root& root = *version_.root_;
  Branch& branch = *root.branch[b];
  Leaf::free(branch.leaf[i]);
  branch.move(i + 1, i);
  if (branch.leaves == 0) {
    delete &branch;
    root.remove(b);
  } else {
    root.fence[b] = branch.fence[0];
    if (branch.leaves < kLeastFill && root.branch.size() > 1) join_branches(b);
  }
}

}  // namespace acumen::index
