// What is asked of a version of a LeafTree.
#include "acumen/index/leaf_tree_nodes.hpp"

namespace acumen::index {

void release(Leaf* leaf, std::size_t count, ValueKeeper* keeper) noexcept {
  if (leaf->holders.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (keeper != nullptr) keeper->drop(leaf->values(), count);
  Leaf::free(leaf);
}

void release(Branch* branch, ValueKeeper* keeper) noexcept {
  if (branch->holders.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  for (std::size_t i = 0; i < branch->leaves; ++i)
    release(branch->leaf[i], branch->count[i], keeper);
  delete branch;
}

void release(Root* root, ValueKeeper* keeper) noexcept {
  if (root->holders.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  for (Branch* branch : root->branch) release(branch, keeper);
  delete root;
}

Version::Version(const Version& other) noexcept : root_(other.root_), keeper_(other.keeper_) {
  if (root_ != nullptr) hold(root_);
}

Version::~Version() {
  if (root_ != nullptr) release(root_, keeper_);
}

std::size_t Version::size() const {
  return root_ == nullptr ? 0 : root_->keys;
}

bool Version::find(std::int64_t key, std::uint64_t& value) const {
  if (size() == 0) return false;
  const Place place = place_of(*root_, key);
  if (place.found) value = root_->branch[place.b]->values_of(place.i)[place.at];
  return place.found;
}

std::size_t Version::rank(std::int64_t key, bool right) const {
  if (size() == 0) return 0;
  const Place place = place_of(*root_, key);
  std::size_t before = place.at + (right && place.found);
  for (std::size_t b = 0; b < place.b; ++b) before += root_->count[b];
  const Branch& branch = *root_->branch[place.b];
  if (place.i <= branch.leaves / 2) return before + branch.keys_between(0, place.i);
  return before + root_->count[place.b] - branch.keys_between(place.i, branch.leaves);
}

namespace {

/// Look-ups side by side: all of them go down one level, then all the next, so that they wait for
/// their lines together. finish(query, b, i, at, leaf, count).
constexpr std::size_t kSide = 16;

template <class Finish>
void side_by_side(const Root& root, const std::int64_t* keys, std::size_t count, Finish finish) {
  std::size_t b[kSide], i[kSide], near[kSide];
  const Leaf* leaf[kSide];
  for (std::size_t j = 0; j < count; ++j) {
    b[j] = child_of(root.fence.data(), root.fence.size(), keys[j]);
    const Branch& branch = *root.branch[b[j]];
    i[j] = child_of(branch.fence, branch.leaves, keys[j]);
    leaf[j] = branch.leaf[i[j]];
    const std::int64_t high = fence_after(root, b[j], i[j]);
    near[j] = guess(keys[j], branch.fence[i[j]], high, branch.count[i[j]]);
    prefetch_around(leaf[j]->keys() + near[j]);
  }
  for (std::size_t j = 0; j < count; ++j) {
    const std::size_t among = root.branch[b[j]]->count[i[j]];
    near[j] = below_near(leaf[j]->keys(), among, near[j], keys[j]);
    __builtin_prefetch(root.branch[b[j]]->values_of(i[j]) + near[j]);
  }
  for (std::size_t j = 0; j < count; ++j)
    finish(j, b[j], i[j], near[j], *leaf[j], std::size_t{root.branch[b[j]]->count[i[j]]});
}

}  // namespace

void Version::find_all(const std::int64_t* keys, std::size_t count, std::uint64_t* values,
                       unsigned char* found) const {
  if (size() == 0) {
    std::memset(found, 0, count);
    return;
  }
  for (std::size_t done = 0; done < count; done += kSide) {
    const auto finish = [&](std::size_t j, std::size_t b, std::size_t i, std::size_t at,
                            const Leaf& leaf, std::size_t among) {
      const bool is = at < among && leaf.keys()[at] == keys[done + j];
      found[done + j] = is;
      if (is && values != nullptr) values[done + j] = root_->branch[b]->values_of(i)[at];
    };
    side_by_side(*root_, keys + done, std::min(kSide, count - done), finish);
  }
}

void Version::ranks(const std::int64_t* keys, std::size_t count, bool right,
                    std::uint64_t* ranks) const {
  if (size() == 0) {
    std::fill_n(ranks, count, 0);
    return;
  }
  const Root& root = *root_;
  // Adding up the counts before every leaf once pays when there are many queries.
  if (count < root.branch.size() * (kBranchLeaves / 16)) {
    for (std::size_t j = 0; j < count; ++j) ranks[j] = rank(keys[j], right);
    return;
  }
  std::vector<std::uint64_t> before(root.branch.size() * kBranchLeaves);
  std::uint64_t sum = 0;
  for (std::size_t b = 0; b < root.branch.size(); ++b) {
    for (std::size_t i = 0; i < root.branch[b]->leaves; ++i) {
      before[b * kBranchLeaves + i] = sum;
      sum += root.branch[b]->count[i];
    }
  }
  for (std::size_t done = 0; done < count; done += kSide) {
    const auto finish = [&](std::size_t j, std::size_t b, std::size_t i, std::size_t at,
                            const Leaf& leaf, std::size_t among) {
      const bool is = right && at < among && leaf.keys()[at] == keys[done + j];
      ranks[done + j] = before[b * kBranchLeaves + i] + at + is;
    };
    side_by_side(root, keys + done, std::min(kSide, count - done), finish);
  }
}

void Version::read(std::size_t start, std::size_t count, std::int64_t* keys,
                   std::uint64_t* values) const {
  if (count == 0) return;
  std::size_t b = 0, i = 0;
  while (start >= root_->count[b]) start -= root_->count[b++];
  const Branch* branch = root_->branch[b];
  while (start >= branch->count[i]) start -= branch->count[i++];
  while (true) {
    const Leaf& leaf = *branch->leaf[i];
    const std::size_t part = std::min(count, branch->count[i] - start);
    if (keys != nullptr) keys = std::copy_n(leaf.keys() + start, part, keys);
    if (values != nullptr) values = std::copy_n(leaf.values() + start, part, values);
    count -= part;
    start = 0;
    if (count == 0) return;
    if (++i == branch->leaves) {
      branch = root_->branch[++b];
      i = 0;
    }
  }
}

std::size_t Version::bytes() const {
  if (root_ == nullptr) return 0;
  constexpr std::size_t kOfBranch = sizeof(std::int64_t) + sizeof(Branch*) + sizeof(std::size_t);
  std::size_t bytes = sizeof(Root) + root_->branch.capacity() * kOfBranch;
  for (const Branch* branch : root_->branch) {
    bytes += sizeof(Branch);
    for (std::size_t i = 0; i < branch->leaves; ++i) bytes += branch->leaf[i]->bytes();
  }
  return bytes;
}

namespace {

/// Whether a leaf's keys ascend from its fence to below the next.
bool is_leaf_valid(const Branch& branch, std::size_t i, bool is_last, const std::int64_t* end) {
  const Leaf& leaf = *branch.leaf[i];
  const std::size_t count = branch.count[i];
  if (count == 0 || count > leaf.room || leaf.room > kLeafKeys) return false;
  if (!is_last && count < kLeastFill) return false;
  if (is_loose(leaf.room, count) && leaf.room > room_for(count)) return false;
  if (leaf.keys()[0] < branch.fence[i]) return false;
  for (std::size_t at = 1; at < count; ++at)
    if (leaf.keys()[at - 1] >= leaf.keys()[at]) return false;
  return end == nullptr || leaf.keys()[count - 1] < *end;
}

}  // namespace

bool Version::validate() const {
  if (size() == 0) return root_ == nullptr || root_->branch.empty();
  const Root& root = *root_;
  const std::size_t branches = root.branch.size();
  if (branches == 0 || root.fence.size() != branches || root.count.size() != branches) return false;
  std::size_t sum = 0;
  for (std::size_t b = 0; b < branches; ++b) {
    const Branch& branch = *root.branch[b];
    const bool is_last = b + 1 == branches;
    if (branch.leaves == 0 || branch.leaves > kBranchLeaves) return false;
    if (!is_last && branch.leaves < kLeastFill) return false;
    if (root.fence[b] != branch.fence[0] || root.count[b] != branch.keys()) return false;
    for (std::size_t i = 0; i < branch.leaves; ++i) {
      const bool leads = i + 1 < branch.leaves;
      const std::int64_t* end =
          leads ? &branch.fence[i + 1] : (is_last ? nullptr : &root.fence[b + 1]);
      if (!is_leaf_valid(branch, i, is_last && !leads, end)) return false;
    }
    sum += root.count[b];
  }
  return sum == root.keys;
}

const Leaf* Version::own_leaf(std::size_t& at) const {
  if (root_ == nullptr || !is_own(root_)) return nullptr;
  while (at / kBranchLeaves < root_->branch.size()) {
    const Branch* branch = root_->branch[at / kBranchLeaves];
    const std::size_t i = at % kBranchLeaves;
    if (!is_own(branch) || i >= branch->leaves) {
      at += kBranchLeaves - i;
    } else if (is_own(branch->leaf[i])) {
      return branch->leaf[i];
    } else {
      ++at;
    }
  }
  return nullptr;
}

std::pair<const std::uint64_t*, std::size_t> Version::values_of(const Leaf* leaf,
                                                                std::size_t at) const {
  const Branch* branch = root_->branch[at / kBranchLeaves];
  return {leaf->values(), branch->count[at % kBranchLeaves]};
}

}  // namespace acumen::index
