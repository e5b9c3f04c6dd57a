// Learned eviction: a cache policy that learns online from a cold start, and keeps its heuristic.
//
// Idea.  Two policies watch every request, each with contents of its own: the learner
// (class_eviction.hpp) and Clock2Q+ (shadow_fifo.hpp).  The cache follows one of them: it evicts
// what that one does not hold.  It starts with the heuristic, so the learner must prove itself
// first; it changes when the other's lead in misses exceeds what changing costs, which is at most
// one miss for every cached object that the other does not hold (rather less on the way to the
// learner: learner_price).  That is the rule of metrical task systems: a change is paid for by the
// misses that not changing would have cost.
//
// The owner keeps objects in slots, numbered from 0 as it likes, and says what happens to them:
//
//     hit:   hit(slot)
//     miss:  miss(hash); while there is no room { s = victim(); if (s == kBypass) stop; evict(s); }
//            insert(slot, hash)
//     user deletes: erase(slot)
//
// Guarantee.  Memory is bounded by metadata_bytes_per_object (caches of fewer than 100 objects may
// need up to three kilobytes more; below 56 bytes an object there is no guard); deterministic for a
// seed; O(classes + slots / 64) a miss and O(1) a hit, plus one pass over residents and ghosts
// every C/4 requests or more.  A wrong guess, a hash collision included, costs a miss and never a
// wrong answer.  Of what the shadow lacks, the objects are unknown that it took in while the cache
// had none of them, for it has not learned their slots: before the cache follows the shadow, all
// slots are asked for, which takes one miss O(slots), at most once in C/32 misses.
//
// Layout.  Beside the learner and the shadow, 9 to 14 bytes an object (slot_column.hpp):
//     hash_    uint32 by the owner's slot: the key's hash, 0 = free
//     link_    2 to 4 bytes by the learner's slot: the owner's slot, where it is cached
//     index_   2 to 4 bytes, 3/4 full: hash -> the learner's slot
//     learner_lacks_, shadow_lacks_  a bit by the owner's slot: it is cached, and they do not hold
//     it
// With sizes, or without the guard, the owner's slots are the learner's and none of this is held.
//
// Paper: Borodin, Linial and Saks, "An optimal on-line algorithm for metrical task system"
// (JACM 1992), for the rule; the rest in the headers named above.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "acumen/caching/class_eviction.hpp"
#include "acumen/caching/shadow_fifo.hpp"
#include "acumen/caching/slot_set.hpp"

namespace acumen::caching {

class LearnedEviction {
 public:
  using Options = EvictionOptions;
  static constexpr std::uint32_t kBypass = ClassEviction::kBypass;

  // capacity_hint: objects the full cache is expected to hold.  It may hold more or fewer: the
  // policy sets its scales anew when the hint proves wrong.
  LearnedEviction(std::uint32_t capacity_hint, std::uint64_t seed, Options options = {})
      : salt_(seed * 0x9e3779b97f4a7c15ull),
        guard_(affords_guard(options)),
        learner_(capacity_hint, seed, learner_options(options, capacity_hint)) {}

  // Forgets everything, lessons included.
  void clear() {
    learner_.clear();
    stop_guard();
    residents_ = 0;
    pending_ = Pending{};
  }

  // Brings near what a request for this key will look at; changes nothing.
  void prefetch(std::uint64_t key_hash) const {
    const std::uint32_t hash = fold(key_hash);
    learner_.prefetch(hash);
    if (!running_) return;
    shadow_.prefetch(hash);
    index_.prefetch(home(hash));
  }

  // A request for a resident object.
  void hit(std::uint32_t slot) {
    withdraw_pending();
    if (!running_) return learner_.hit(slot);
    request(hash_[slot], slot);
  }

  // A request for an absent object; true when the policy remembers it.
  bool miss(std::uint64_t key_hash, std::uint64_t size = 1) {
    withdraw_pending();
    pending_ = {true, false, fold(key_hash), kNone};
    if (!running_) return learner_.miss(pending_.hash, size);
    return request(pending_.hash, kNone);
  }

  // The slot to evict, or kBypass when the newcomer of the last miss() is not worth keeping (only
  // where options allow it) or there is no resident.
  std::uint32_t victim() {
    if (!guard_ || (!running_ && !pending_.waits)) return learner_.victim();
    if (residents_ == 0) return kBypass;
    if (!running_) start_guard();
    if (pending_.waits && follows_learner_ && learner_.options().bypass &&
        pending_place() == kNone) {
      pending_.bypassed = true;
      return kBypass;
    }
    while (leaving_count_ > 0) {
      const std::uint32_t slot = leaving_[--leaving_count_];
      if (followed_lacks().has(slot)) return slot;
    }
    return next_unwanted();
  }

  // The newcomer becomes resident in a free slot.
  void insert(std::uint32_t slot, std::uint64_t key_hash, std::uint64_t size = 1) {
    const std::uint32_t hash = fold(key_hash);
    if (!pending_.waits || pending_.hash != hash) miss(key_hash, size);
    pending_.waits = false;
    ++residents_;
    if (!running_) return learner_.insert(slot, hash, size);
    if (slot >= hash_.size()) number_slots(std::size_t{slot} + 1);
    hash_[slot] = hash;
    const std::uint32_t place = pending_place();
    if (place != kNone) link_.set(place, slot);
    shadow_.link_newest(slot);
    learner_lacks_.set(slot, place == kNone);
    shadow_lacks_.set(slot, !shadow_.holds(hash));
    if (followed_lacks().has(slot)) push_leaving(slot);
    if (residents_ > capacity_ + capacity_ / 2) restart();
  }

  // The object leaves the cache.
  void evict(std::uint32_t slot) {
    --residents_;
    if (!running_) return learner_.evict(slot);
    forget(slot);
  }

  // The object is deleted by the user: no ghost, no lesson.
  void erase(std::uint32_t slot) {
    --residents_;
    if (!running_) return learner_.erase(slot);
    const std::uint32_t place = find(hash_[slot]);
    if (place != kNone) {
      drop_index(place);
      learner_.erase(place);
      free_.push_back(place);
    }
    shadow_.remove(hash_[slot]);
    forget(slot);
  }

  std::uint32_t size() const { return residents_; }
  bool follows_learner() const { return !guard_ || follows_learner_; }

  // Every byte held, ghosts, tables, models and this object itself included.
  std::size_t metadata_bytes() const {
    return sizeof(*this) - sizeof(learner_) + learner_.metadata_bytes() + shadow_.bytes() +
           (hash_.capacity() + free_.capacity()) * 4 + learner_lacks_.bytes() +
           shadow_lacks_.bytes() + link_.bytes() + index_.bytes();
  }
  // The part of it that does not grow with the objects.
  std::size_t fixed_bytes() const {
    return sizeof(*this) - sizeof(learner_) + learner_.fixed_bytes();
  }

  // True when every invariant holds; walks everything, for tests and fuzzing.
  bool validate() const {
    if (!learner_.validate()) return false;
    if (!running_) return learner_.size() == residents_;
    const auto used = std::count_if(hash_.begin(), hash_.end(), [](auto h) { return h != 0; });
    if (static_cast<std::uint32_t>(used) != residents_ || !shadow_.validate()) return false;
    std::uint32_t indexed = 0;
    for (std::size_t at = 0; at < index_.size(); ++at) {
      if (index_.get(at) == kNone) continue;
      if (find(learner_.hash_of(index_.get(at))) == kNone) return false;
      ++indexed;
    }
    if (indexed != learner_.size()) return false;
    std::vector<std::uint32_t> hashes = hash_;
    std::sort(hashes.begin(), hashes.end());
    for (std::uint32_t slot = 0; slot < hash_.size(); ++slot) {
      const std::uint32_t hash = hash_[slot];
      if ((learner_lacks_.has(slot) || shadow_lacks_.has(slot)) && hash == 0) return false;
      // Of keys with the same hash, what happens to one is noted of one.
      const auto [first, last] = std::equal_range(hashes.begin(), hashes.end(), hash);
      const bool unique = hash != 0 && last - first == 1;
      if (unique && learner_lacks_.has(slot) != (find(hash) == kNone)) return false;
    }
    return learner_.size() <= capacity_ && learner_.size() + free_.size() == link_.size();
  }

 private:
  static constexpr std::uint32_t kNone = SlotColumn::kNone;
  static constexpr std::size_t kRoundingBytes = 64;  // of rings and buckets
  static constexpr float kGuardedBytesMin = 56;
  static constexpr std::uint32_t kLeadMin = 8;  // misses; below this a lead is chance
  static constexpr float kGhostSpan =
      1.55f;  // the heuristic's ghosts: seen within so many C misses
  static constexpr std::uint32_t kLeaving = 8;
  static constexpr std::uint32_t kSearchMax = 64;

  struct Pending {
    bool waits = false, bypassed = false;
    std::uint32_t hash = 0;
    std::uint32_t place = kNone;  // the learner's slot, if it has admitted it
  };

  // Never 0, which marks a free slot.  Salted by the seed: which objects share a bucket is chance,
  // and chance that repeats would be mistaken for the workload.
  std::uint32_t fold(std::uint64_t hash) const {
    hash += salt_;
    hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93ull;
    hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93ull;
    return std::max(1u, static_cast<std::uint32_t>(hash >> 32));
  }
  // With less, the learner would be left without ghosts; with sizes, the shadow has no say.
  static bool affords_guard(const Options& options) {
    return options.guard && !options.sized && options.metadata_bytes_per_object >= kGuardedBytesMin;
  }
  // An object's, shadow included: a hash, a link, 4/3 cells of the index, two bits.
  static float guard_bytes_per_object(std::uint32_t objects) {
    const auto width = static_cast<float>(SlotColumn::width(objects));
    return 4.25f + width * 7 / 3 + ShadowFifo::bytes_per_object(objects);
  }
  static Options learner_options(Options options, std::uint32_t objects) {
    const float guard_bytes = affords_guard(options) ? guard_bytes_per_object(objects) : 0;
    const std::size_t fixed = sizeof(LearnedEviction) - sizeof(ClassEviction) + kRoundingBytes;
    const auto share = static_cast<float>(fixed) / static_cast<float>(std::max(objects, 1u));
    options.metadata_bytes_per_object -= guard_bytes + share;
    return options;
  }

  // A request as both policies see it; slot: the owner's, where it is cached.  True when known.
  bool request(std::uint32_t hash, std::uint32_t slot) {
    shadow_.prefetch(hash);
    if (slot == kNone) learner_.prefetch(hash);
    const std::uint32_t place = find(hash);
    bool known = true;
    pending_.place = place;
    if (place != kNone) {
      learner_.hit(place);
      if (slot != kNone) link_.set(place, slot);
    } else {
      known = learner_.miss(hash);
      pending_.place = admit_to_learner(hash, slot);
    }
    const bool shadow_missed = admit_to_shadow(hash, slot);
    compare(place == kNone, shadow_missed);
    return known;
  }
  // Where it lies now; kNone: the learner does not want it.
  std::uint32_t admit_to_learner(std::uint32_t hash, std::uint32_t slot) {
    std::uint32_t place = kNone;
    if (learner_.size() < capacity_) {
      if (free_.empty()) {
        place = static_cast<std::uint32_t>(link_.size());
        link_.push_back(kNone, std::max(hash_.size(), std::size_t{1}));
      } else {
        place = free_.back();
        free_.pop_back();
      }
    } else {
      place = learner_.victim();
      if (place == kBypass) return kNone;
      drop_index(place);
      learner_.evict(place);
      const std::uint32_t left = link_.get(place);
      if (left != kNone && hash_[left] == learner_.hash_of(place)) lack(true, left);
    }
    learner_.insert(place, hash);
    link_.set(place, slot);
    add_index(place);
    if (slot != kNone) learner_lacks_.set(slot, false);
    return place;
  }
  bool admit_to_shadow(std::uint32_t hash, std::uint32_t slot) {
    const std::uint32_t gap = learner_.last_gap();
    const bool known = gap != ~0u && static_cast<float>(gap) * miss_rate_ <
                                         kGhostSpan * static_cast<float>(capacity_);
    const bool hit = shadow_.access(hash, known, [&](std::uint32_t left, auto is_what_left) {
      if (left < hash_.size() && hash_[left] != 0 && is_what_left(hash_[left])) lack(false, left);
    });
    if (!hit && slot != kNone) shadow_lacks_.set(slot, !shadow_.link_newest(slot));
    miss_rate_ += ((hit ? 0.0f : 1.0f) - miss_rate_) / static_cast<float>(capacity_);
    return !hit;
  }

  // Whom to follow.
  void compare(bool learner_missed, bool shadow_missed) {
    if (learner_missed == shadow_missed) return;
    const bool followed_missed = follows_learner_ ? learner_missed : shadow_missed;
    if (!followed_missed) {
      lead_ -= lead_ > 0;
      return;
    }
    if (++lead_ < price()) return;
    if (follows_learner_) {
      ask_what_shadow_lacks();
      if (lead_ < price()) {
        lead_ -= lead_min_;  // not asked again at once
        return;
      }
    }
    follows_learner_ = !follows_learner_;
    lead_ = leaving_count_ = hand_ = 0;
  }
  // Cached objects that the other one does not hold are what changing would cost, in misses.
  std::uint32_t price() const {
    const EvictionTuning& tuning = learner_.options().tuning;
    const float price = follows_learner_
                            ? tuning.heuristic_price * static_cast<float>(shadow_lacks_.count())
                            : tuning.learner_price * static_cast<float>(learner_lacks_.count());
    return std::max(lead_min_, static_cast<std::uint32_t>(price));
  }
  void ask_what_shadow_lacks() {
    for (std::uint32_t slot = 0; slot < hash_.size(); ++slot)
      shadow_lacks_.set(slot, hash_[slot] != 0 && !shadow_.holds(hash_[slot]));
  }
  bool followed_holds(std::uint32_t hash) const {
    return follows_learner_ ? find(hash) != kNone : shadow_.holds(hash);
  }

  // The learner's slot of the newcomer; its namesake's deletion may have taken it away.
  std::uint32_t pending_place() const {
    const std::uint32_t place = pending_.place;
    const bool held =
        place != kNone && learner_.holds_slot(place) && learner_.hash_of(place) == pending_.hash;
    return held ? place : kNone;
  }

  // A policy has evicted what lies in this slot; if the followed one did, it is to leave next.
  void lack(bool learner, std::uint32_t slot) {
    (learner ? learner_lacks_ : shadow_lacks_).set(slot, true);
    if (learner == follows_learner_) push_leaving(slot);
  }
  void push_leaving(std::uint32_t slot) {
    if (leaving_count_ == kLeaving) {
      std::move(leaving_.begin() + 1, leaving_.end(), leaving_.begin());
      --leaving_count_;
    }
    leaving_[leaving_count_++] = slot;
  }
  void forget(std::uint32_t slot) {
    hash_[slot] = 0;
    learner_lacks_.set(slot, false);
    shadow_lacks_.set(slot, false);
  }
  const SlotSet& followed_lacks() const {
    return follows_learner_ ? learner_lacks_ : shadow_lacks_;
  }
  std::uint32_t next_unwanted() {
    const std::uint32_t slot = followed_lacks().next(hand_);
    if (slot == SlotSet::kNone) return search_unwanted();
    return hand_ = slot;
  }
  // The shadow does not know the slots of all that it holds, and so not of all that it evicts: some
  // slots are asked for.  Where that finds nothing, one that is wanted has to go; always the same
  // slot's, so that newcomers take each other's place and not that of all others.
  std::uint32_t search_unwanted() {
    const auto slots = static_cast<std::uint32_t>(hash_.size());
    for (std::uint32_t i = 0; i < std::min(slots, kSearchMax); ++i) {
      hand_ = hand_ + 1 < slots ? hand_ + 1 : 0;
      if (hash_[hand_] != 0 && !followed_holds(hash_[hand_])) return hand_;
    }
    while (hash_[given_up_] == 0) given_up_ = given_up_ + 1 < slots ? given_up_ + 1 : 0;
    return given_up_;
  }

  // A newcomer that the owner asked for and never brought: neither policy may hold it.
  void withdraw_pending() {
    if (!pending_.waits) return;
    pending_.waits = false;
    if (!running_ || pending_.bypassed) return;
    const std::uint32_t place = pending_place();
    if (place != kNone) {
      drop_index(place);
      learner_.evict(place);
      free_.push_back(place);
    }
    shadow_.remove(pending_.hash);
  }

  // The cache is full for the first time: until here both policies held the same.
  void start_guard() {
    running_ = true;
    follows_learner_ = false;
    capacity_ = residents_;
    lead_ = leaving_count_ = hand_ = given_up_ = 0;
    lead_min_ = std::max(kLeadMin, capacity_ / 32);
    miss_rate_ = 1;
    const std::uint32_t slots = learner_.slots();
    shadow_.reset(capacity_);
    shadow_.number_slots(slots);
    hash_ = std::vector<std::uint32_t>(slots);
    learner_lacks_ = shadow_lacks_ = SlotSet(slots);
    link_.reserve(slots, slots);
    link_.resize(slots, slots);
    index_ = SlotColumn(capacity_ + capacity_ / 3 + 2, slots);
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
      if (!learner_.holds_slot(slot)) {
        free_.push_back(slot);
        continue;
      }
      const std::uint32_t hash = learner_.hash_of(slot);
      hash_[slot] = hash;
      link_.set(slot, slot);
      add_index(slot);
      shadow_.access(hash, false, [](std::uint32_t, auto) {});
      shadow_.link_newest(slot);
      shadow_.raise(hash, learner_.seen_of(slot));
    }
    pending_.place = admit_to_learner(pending_.hash, kNone);
    admit_to_shadow(pending_.hash, kNone);
  }
  // The owner uses a higher slot than ever before: whoever holds slots must be able to number it.
  void number_slots(std::size_t slots) {
    hash_.resize(slots);
    learner_lacks_.resize(slots);
    shadow_lacks_.resize(slots);
    link_.resize(link_.size(), slots);
    shadow_.number_slots(slots);
  }
  void stop_guard() {
    running_ = follows_learner_ = false;
    shadow_.release();
    for (auto* column : {&hash_, &free_}) *column = std::vector<std::uint32_t>();
    learner_lacks_ = shadow_lacks_ = SlotSet();
    for (auto* column : {&link_, &index_}) column->release();
  }
  // The cache has outgrown what was its size: learn anew, from the objects that it holds.
  void restart() {
    const std::vector<std::uint32_t> hashes = std::move(hash_);
    stop_guard();
    learner_.clear();
    for (std::uint32_t slot = 0; slot < hashes.size(); ++slot)
      if (hashes[slot] != 0) learner_.insert(slot, hashes[slot]);
  }

  // hash -> the learner's slot: open addressing, linear probing.  Who is farther from home comes
  // first (Robin Hood; Celis, Larson and Munro, FOCS 1985), so that a search for what is absent
  // ends early; deletion by shifting back.
  std::size_t home(std::uint32_t hash) const {
    return static_cast<std::size_t>(std::uint64_t{hash * 0x85EBCA6Bu} * index_.size() >> 32);
  }
  std::size_t after(std::size_t at) const { return at + 1 == index_.size() ? 0 : at + 1; }
  std::size_t from_home(std::uint32_t hash, std::size_t at) const {
    const std::size_t start = home(hash);
    return at >= start ? at - start : at + index_.size() - start;
  }
  std::uint32_t find(std::uint32_t hash) const {
    std::size_t at = home(hash);
    for (std::size_t steps = 0;; ++steps, at = after(at)) {
      const std::uint32_t place = index_.get(at);
      if (place == kNone) return kNone;
      const std::uint32_t there = learner_.hash_of(place);
      if (there == hash) return place;
      if (from_home(there, at) < steps) return kNone;
    }
  }
  void add_index(std::uint32_t place) {
    std::size_t at = home(learner_.hash_of(place));
    for (std::size_t steps = 0; index_.get(at) != kNone; ++steps, at = after(at))
      if (from_home(learner_.hash_of(index_.get(at)), at) < steps) break;
    for (; place != kNone; at = after(at)) {
      const std::uint32_t there = index_.get(at);
      index_.set(at, std::exchange(place, there));
    }
  }
  void drop_index(std::uint32_t place) {
    std::size_t hole = home(learner_.hash_of(place));
    while (index_.get(hole) != place) hole = after(hole);
    for (;;) {
      const std::size_t next = after(hole);
      const std::uint32_t there = index_.get(next);
      if (there == kNone || from_home(learner_.hash_of(there), next) == 0) break;
      index_.set(hole, there);
      hole = next;
    }
    index_.set(hole, kNone);
  }

  std::uint64_t salt_;
  bool guard_, running_ = false, follows_learner_ = false;
  std::uint32_t capacity_ = 0, residents_ = 0;
  std::uint32_t lead_ = 0, lead_min_ = 0, hand_ = 0, given_up_ = 0;
  float miss_rate_ = 1;
  Pending pending_;
  std::uint32_t leaving_count_ = 0;
  std::array<std::uint32_t, kLeaving> leaving_{};
  ClassEviction learner_;
  ShadowFifo shadow_;
  std::vector<std::uint32_t> hash_, free_;
  SlotSet learner_lacks_, shadow_lacks_;  // owner's slots of what is cached and they do not hold
  SlotColumn link_, index_;
};

}  // namespace acumen::caching
