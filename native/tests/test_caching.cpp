// The simulator against brute force, and what a LearnedEviction promises its owner.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "acumen/caching/cache_simulator.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_caching {

using acumen::Random;
using namespace acumen::caching;

namespace {

using Keys = std::vector<std::uint64_t>;

// Small numbers often, large ones seldom.
Keys skewed(std::uint64_t seed, std::size_t count, std::uint32_t keys) {
  Random random(seed);
  Keys trace(count);
  for (auto& key : trace) {
    const std::uint32_t bound = 1 + random.below(1 + random.below(keys));
    key = random.below(bound) * 0x100000001ull;  // keys are not hashes
  }
  return trace;
}
Keys loop(std::size_t count, std::uint32_t length) {
  Keys trace(count);
  for (std::size_t i = 0; i < count; ++i) trace[i] = i % length;
  return trace;
}

std::uint64_t plain_queue(const Keys& trace, std::size_t capacity, bool promote) {
  Keys queue;  // oldest first
  std::uint64_t misses = 0;
  for (const std::uint64_t key : trace) {
    const auto found = std::find(queue.begin(), queue.end(), key);
    if (found != queue.end()) {
      if (promote) std::rotate(found, found + 1, queue.end());
      continue;
    }
    ++misses;
    if (queue.size() == capacity) queue.erase(queue.begin());
    queue.push_back(key);
  }
  return misses;
}

// The fewest misses possible, by trying everything: after each request, every set of at most
// `capacity` keys (bit masks) that can be held, with the fewest misses on the way there.
std::uint64_t fewest_misses(const Keys& trace, int capacity, bool bypass) {
  std::map<std::uint32_t, std::uint64_t> reachable{{0u, 0u}};
  for (const std::uint64_t key : trace) {
    const std::uint32_t bit = 1u << key;
    std::map<std::uint32_t, std::uint64_t> next;
    const auto offer = [&](std::uint32_t held, std::uint64_t misses) {
      const auto [at, fresh] = next.try_emplace(held, misses);
      if (!fresh) at->second = std::min(at->second, misses);
    };
    for (const auto& [held, misses] : reachable) {
      if (held & bit) offer(held, misses);
      if (held & bit) continue;
      if (bypass) offer(held, misses + 1);
      if (__builtin_popcount(held) < capacity) offer(held | bit, misses + 1);
      if (__builtin_popcount(held) < capacity) continue;
      for (std::uint32_t left = held; left; left &= left - 1)
        offer((held & ~(left & -left)) | bit, misses + 1);
    }
    reachable = std::move(next);
  }
  std::uint64_t fewest = trace.size();
  for (const auto& [held, misses] : reachable) fewest = std::min(fewest, misses);
  return fewest;
}

void simulator_agrees_with_brute_force() {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const Keys trace = skewed(seed, 3'000, 200);
    for (const std::uint32_t capacity : {1u, 2u, 17u, 199u, 500u}) {
      EXPECT(simulate_lru(trace, capacity) == plain_queue(trace, capacity, true));
      EXPECT(simulate_fifo(trace, capacity) == plain_queue(trace, capacity, false));
    }
    Random random(seed);
    Keys tiny(40);
    for (auto& key : tiny) key = random.below(7);
    for (const std::uint32_t capacity : {1u, 2u, 3u, 5u})
      for (const bool bypass : {false, true})
        EXPECT(simulate_belady(tiny, capacity, bypass) ==
               fewest_misses(tiny, static_cast<int>(capacity), bypass));
  }
  EXPECT(simulate_lru({}, 3) == 0 && simulate_belady({}, 3, true) == 0);
}

void bound_holds_and_learning_helps() {
  for (const std::uint32_t capacity : {100u, 400u}) {
    const Keys round = loop(60'000, capacity * 3);
    EXPECT(simulate_lru(round, capacity) == round.size());
    const std::uint64_t learned = simulate_learned(round, capacity, 1).misses;
    EXPECT(learned >= simulate_belady(round, capacity, true));
    EXPECT(learned < round.size() * 8 / 10);  // the best possible is 2/3

    Keys mixed = skewed(5, 60'000, capacity * 8);  // a skewed stream interleaved with a scan
    for (std::size_t i = 0; i < mixed.size(); i += 2) mixed[i] = (1ull << 40) + i;
    const std::uint64_t kept = simulate_learned(mixed, capacity, 1).misses;
    EXPECT(kept >= simulate_belady(mixed, capacity, true));
    EXPECT(kept < simulate_lru(mixed, capacity));
  }
}

void same_seed_same_choices() {
  const Keys trace = skewed(3, 50'000, 4'000);
  const auto first = simulate_learned(trace, 300, 11), second = simulate_learned(trace, 300, 11);
  EXPECT(first.misses == second.misses && first.metadata_bytes == second.metadata_bytes);

  LearnedEviction policy(300, 11);
  const std::uint64_t fresh = simulate(trace, 300, policy);
  policy.clear();
  EXPECT(policy.size() == 0 && policy.validate());
  EXPECT(simulate(trace, 300, policy) == fresh);  // clear() forgets the lessons too
}

void metadata_stays_within_its_budget() {
  for (const std::uint32_t capacity : {100u, 122u, 200u, 300u, 1'000u, 10'000u}) {
    const Keys trace = skewed(9, in_full(150'000, 50'000), 40 * capacity);
    for (const float bytes : {48.0f, 64.0f}) {
      if (capacity < 1'000 && bytes < 64) continue;  // below the smallest model's own size
      EvictionOptions options;
      options.metadata_bytes_per_object = bytes;
      const auto run = simulate_learned(trace, capacity, 1, options);
      EXPECT(static_cast<double>(run.metadata_bytes) <= static_cast<double>(bytes) * capacity);
    }
  }
}

void bypasses_only_where_it_may() {
  EvictionOptions options;
  options.bypass = false;
  LearnedEviction policy(100, 1, options);
  EXPECT(policy.victim() == LearnedEviction::kBypass);  // nobody is there
  std::vector<bool> held(100, false);
  std::uint32_t used = 0;
  for (std::uint64_t key = 0; key < 20'000; ++key) {
    policy.miss(SlotMap::hash(key));
    std::uint32_t slot = used < 100 ? used++ : policy.victim();
    EXPECT(slot < 100);
    if (held[slot]) policy.evict(slot);
    held[slot] = true;
    policy.insert(slot, SlotMap::hash(key));
  }
  EXPECT(policy.size() == 100 && policy.validate());
}

// The hint says nothing true, and the room changes on the way.
void survives_wrong_hints_growth_and_deletion() {
  for (const std::uint32_t hint : {0u, 1u, 50u, 100'000u}) {
    LearnedEviction policy(hint, 2);
    Random random(hint + 1);
    std::map<std::uint64_t, std::uint32_t> slot_of;
    std::vector<std::uint32_t> vacant;
    std::vector<std::uint64_t> key_in(3'000);
    for (std::uint32_t slot = 3'000; slot-- > 0;) vacant.push_back(slot);
    const auto leave = [&](std::uint32_t slot) {
      slot_of.erase(key_in[slot]);
      vacant.push_back(slot);
    };
    for (std::uint32_t step = 0; step < 60'000; ++step) {
      const std::size_t room = step < 20'000 ? 200 : step < 40'000 ? 2'500 : 20;
      const std::uint64_t key = random.below(1 + random.below(8'000));
      const std::uint64_t hash = SlotMap::hash(key);
      const auto found = slot_of.find(key);
      if (found != slot_of.end() && random.below(50) == 0) {
        const std::uint32_t slot = found->second;
        policy.erase(slot);
        leave(slot);
      } else if (found != slot_of.end()) {
        policy.hit(found->second);
      } else {
        policy.miss(hash);
        bool enter = true;
        while (enter && slot_of.size() >= room) {
          const std::uint32_t slot = policy.victim();
          enter = slot != LearnedEviction::kBypass;
          if (!enter) break;
          EXPECT(slot < 3'000 && slot_of.count(key_in[slot]) && slot_of[key_in[slot]] == slot);
          policy.evict(slot);
          leave(slot);
        }
        if (enter) {
          const std::uint32_t slot = vacant.back();
          vacant.pop_back();
          policy.insert(slot, hash);
          slot_of[key] = slot;
          key_in[slot] = key;
        }
      }
      EXPECT(policy.size() == slot_of.size());
      if (step % 1'000 == 0) EXPECT(policy.validate());
    }
    while (!slot_of.empty()) {
      const std::uint32_t slot = slot_of.begin()->second;
      policy.erase(slot);
      leave(slot);
    }
    EXPECT(policy.size() == 0 && policy.validate());
  }
}

// The clock of requests wraps in the middle of a run; the learner, alone, has learned by then and
// goes on learning: it stays better than the heuristic that a loop defeats.
void survives_the_clocks_wrap() {
  const Keys trace = loop(120'000, 300);
  EvictionOptions options;
  options.guard = false;
  for (const std::uint32_t before : {50'000u, 150u, 60u}) {
    options.first_request = 0u - before;
    LearnedEviction wrapped(200, 5, options);
    options.first_request = 0;
    LearnedEviction unwrapped(200, 5, options);
    const auto misses = static_cast<double>(simulate(trace, 200, wrapped));
    EXPECT(wrapped.validate());
    EXPECT(misses < 0.6 * static_cast<double>(simulate_lru(trace, 200)));
    EXPECT_NEAR(misses / static_cast<double>(simulate(trace, 200, unwrapped)), 1, 0.05);
  }
}

// In a cache that hardly misses, passes over the ghosts are rare, and must come before the ghosts'
// clock, of 128 C requests, is around: who was gone for 140 C must not seem to be back after 12 C.
void old_ghosts_stay_old() {
  constexpr std::uint32_t kCapacity = 100, kGone = 140 * kCapacity;
  EvictionOptions options;
  options.bypass = false;
  ClassEviction policy(kCapacity, 1, options);
  for (std::uint32_t slot = 0; slot < kCapacity; ++slot) policy.insert(slot, slot + 1);
  const auto hits = [&](std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) policy.hit(i % kCapacity);
  };
  std::uint32_t next = kCapacity, believed = 0;
  const auto replace = [&](std::uint32_t hash) {
    const bool known = policy.miss(hash);
    if (known && policy.last_gap() < kGone / 2) ++believed;
    const std::uint32_t slot = policy.victim();
    const std::uint32_t left = policy.hash_of(slot);
    policy.evict(slot);
    policy.insert(slot, hash);
    return left;
  };
  hits(1'000'000);
  for (int turn = 0; turn < 20; ++turn) {
    const std::uint32_t left = replace(++next * 0x9e3779b9u);
    hits(kGone);
    replace(left);
  }
  EXPECT(believed == 0);
}

// The cache begins with the heuristic, follows the learner once that has proved better, and goes
// back when what was learned has become wrong.
void guard_follows_whoever_leads() {
  constexpr std::uint32_t kCapacity = 200;
  LearnedEviction policy(kCapacity, 3);
  SlotMap slots(kCapacity);
  Keys held;
  const auto follows_at_some_time = [&](const Keys& trace, bool learner) {
    bool followed = false;
    for (const std::uint64_t key : trace) {
      const std::uint64_t hash = SlotMap::hash(key);
      std::uint32_t slot = slots.find(key, hash);
      if (slot != SlotMap::kAbsent) {
        policy.hit(slot);
      } else {
        policy.miss(hash);
        const bool full = held.size() == kCapacity;
        slot = full ? policy.victim() : static_cast<std::uint32_t>(held.size());
        if (slot == LearnedEviction::kBypass) continue;
        if (full) policy.evict(slot);
        if (full) slots.erase(std::exchange(held[slot], key));
        if (!full) held.push_back(key);
        policy.insert(slot, hash);
        slots.insert(key, hash, slot);
      }
      followed |= policy.follows_learner() == learner;
    }
    return followed;
  };
  EXPECT(!policy.follows_learner());
  Keys scanned = skewed(5, 60'000, kCapacity * 8);
  for (std::size_t i = 0; i < scanned.size(); i += 2) scanned[i] = (1ull << 40) + i;
  EXPECT(follows_at_some_time(scanned, true) && policy.follows_learner());
  Random random(3);
  Keys drifting(60'000);  // over a window that moves on: the newest are the ones to keep
  for (std::size_t i = 0; i < drifting.size(); ++i)
    drifting[i] = (1ull << 52) + i / 20 + random.below(kCapacity * 9 / 10);
  EXPECT(follows_at_some_time(drifting, false));
  EXPECT(policy.validate());
}

// More slots than the narrow columns can number: they widen on the way, with and without the guard.
void outgrows_narrow_columns() {
  for (const std::uint32_t first : {1'000u, 60'000u}) {
    LearnedEviction policy(first, 3);
    std::uint32_t slot = 0;
    for (; slot < first; ++slot) policy.insert(slot, SlotMap::hash(slot));
    policy.miss(SlotMap::hash(1u << 30));  // full for the first time: the guard starts
    const std::uint32_t left = policy.victim();
    if (left != LearnedEviction::kBypass) policy.evict(left);
    if (left != LearnedEviction::kBypass) policy.insert(left, SlotMap::hash(1u << 30));
    for (; slot < 80'000; ++slot) policy.insert(slot, SlotMap::hash(slot));
    EXPECT(policy.size() == 80'000 && policy.validate());
    for (std::uint32_t held = 0; held < 80'000; held += 7) policy.hit(held);
    EXPECT(policy.validate());
  }
}

// Seeds salt the hashes: chance differs from seed to seed, also where no coin is tossed.
void seeds_differ() {
  const Keys trace = skewed(6, 30'000, 4'000);
  std::vector<std::uint64_t> misses;
  for (std::uint64_t seed = 0; seed < 4; ++seed)
    misses.push_back(simulate_learned(trace, 150, seed).misses);
  EXPECT(std::adjacent_find(misses.begin(), misses.end(), std::not_equal_to<>()) != misses.end());
}

// What was reserved does not suffice, so that columns grow in leaps; the budget holds all the same.
// (Of a million; how they grow is looked at with sanitizers where hints are wrong.)
void budget_holds_beyond_what_is_reserved() {
  const auto capacity = static_cast<std::uint32_t>(in_full((1 << 20) + 1, 1 << 16));
  Keys trace(capacity + 1000);
  for (std::size_t i = 0; i < trace.size(); ++i) trace[i] = i;
  const auto run = simulate_learned(trace, capacity, 1);
  EXPECT(static_cast<double>(run.metadata_bytes) <= 64.0 * capacity);
}

// One large object costs the room of hundreds of small ones: it must not stay for one hit more.
void sizes_weigh() {
  EvictionOptions options;
  options.sized = true;
  LearnedEviction policy(200, 4, options);
  Random random(6);
  std::map<std::uint64_t, std::uint32_t> slot_of;
  std::vector<std::uint64_t> key_in(4'000);
  std::vector<std::uint32_t> vacant;
  for (std::uint32_t slot = 4'000; slot-- > 0;) vacant.push_back(slot);
  const auto size_of = [](std::uint64_t key) -> std::uint64_t { return key % 4 == 0 ? 400 : 1; };
  std::uint64_t used = 0, small_hits = 0, large_hits = 0;
  for (int step = 0; step < 60'000; ++step) {
    const std::uint64_t key = random.below(2'000), size = size_of(key);
    const auto found = slot_of.find(key);
    if (found != slot_of.end()) {
      policy.hit(found->second);
      ++(size == 1 ? small_hits : large_hits);
      continue;
    }
    policy.miss(SlotMap::hash(key), size);
    bool enter = true;
    while (enter && used + size > 2'000) {
      const std::uint32_t slot = policy.victim();
      enter = slot != LearnedEviction::kBypass;
      if (!enter) break;
      policy.evict(slot);
      used -= size_of(key_in[slot]);
      slot_of.erase(key_in[slot]);
      vacant.push_back(slot);
    }
    if (!enter) continue;
    const std::uint32_t slot = vacant.back();
    vacant.pop_back();
    policy.insert(slot, SlotMap::hash(key), size);
    slot_of[key] = slot;
    key_in[slot] = key;
    used += size;
  }
  EXPECT(policy.validate());
  EXPECT(small_hits > 20'000);  // all 1,500 small ones fit: 45,000 requests
  EXPECT(small_hits > 10 * large_hits);
}

}  // namespace

PROGRAM(test_caching) {
  simulator_agrees_with_brute_force();
  bound_holds_and_learning_helps();
  same_seed_same_choices();
  metadata_stays_within_its_budget();
  bypasses_only_where_it_may();
  survives_wrong_hints_growth_and_deletion();
  survives_the_clocks_wrap();
  old_ghosts_stay_old();
  guard_follows_whoever_leads();
  outgrows_narrow_columns();
  seeds_differ();
  budget_holds_beyond_what_is_reserved();
  sizes_weigh();
}

}  // namespace test_caching
