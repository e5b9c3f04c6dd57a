// Class eviction: the learner.  It learns what is worth keeping, online and from a cold start.
//
// Idea.  Every object belongs to a class (object_classes.hpp); for every class the model learns
// from every request when its objects come back (eviction_model.hpp) and ranks a class at an age by
// its Gittins index: the hits per unit of space and time that keeping such an object earns.  A
// class is one list in order of requests, as in LRU, and the index rises and falls along it; the
// victim is the lowest among each class's oldest and newest member and one near the age where the
// index is least; a rank once found may be held for C/32 requests (class_ranking.hpp).  A newcomer
// that ranks below all of them need not enter (bypass).  Evicted objects leave a ghost
// (ghost_table.hpp).
//
// Guarantee.  Memory is bounded by metadata_bytes_per_object, or by the coarsest model and half a
// ghost an object where that is more; deterministic for a seed; O(classes) a victim and O(1) a hit,
// plus one pass over residents and ghosts every C/4 requests, in the long run every 32 C.  During
// that pass it borrows 8 bytes a class and age bin.
//
// Layout.  A resident object costs 14 to 18 bytes, in arrays by slot:
//     last_    uint32  time of its last request, in requests
//     hash_    uint32  of its key, for the ghost
//     older_, newer_  2 to 4 bytes (slot_column.hpp)  neighbours in its class's list
//     kind_    uint16  its class, or kFree
// and each class 12, its list's ends and probe, beside its ranks (class_ranking.hpp).
//
// Paper: LHD (Beckmann et al., NSDI 2018) for hazards by age; Gittins (JRSS B 1979) for the index.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "acumen/caching/class_ranking.hpp"
#include "acumen/caching/eviction_model.hpp"
#include "acumen/caching/ghost_table.hpp"
#include "acumen/caching/slot_column.hpp"

namespace acumen::caching {

struct EvictionOptions {
  bool guard = true;   // follow Clock2Q+ until the learner has proved better (not with sizes)
  bool bypass = true;  // victim() may answer kBypass: do not keep the newcomer at all
  bool sized = false;  // weigh objects by the sizes given to miss() and insert(); 2 more bytes each
  float metadata_bytes_per_object = 64;
  std::uint32_t first_request = 0;  // where the clock, which counts requests and wraps, starts
  EvictionTuning tuning = {};
};

class ClassEviction {
 public:
  using Options = EvictionOptions;
  static constexpr std::uint32_t kBypass = 0xffffffffu;

  // capacity_hint: objects the full cache is expected to hold.  It may hold more or fewer: the
  // policy sets its scales anew when the hint proves wrong by more than a factor of two.
  ClassEviction(std::uint32_t capacity_hint, std::uint64_t seed, Options options = {})
      : options_(options), hint_(std::max(capacity_hint, 1u)), seed_(seed) {
    clear();
  }

  // Forgets everything, lessons included.
  void clear() {
    random_ = seed_ * 2 + 1;
    now_ = options_.first_request;
    run_ = residents_ = 0;
    requests_ = 0;
    pending_ = Pending{};
    last_.clear();
    hash_.clear();
    older_.release();
    newer_.release();
    kind_.clear();
    size_.clear();
    rescale(hint_);
    const std::size_t reserved = std::min<std::size_t>(hint_, 1u << 20);
    for (auto* column : {&last_, &hash_}) column->reserve(reserved);
    for (auto* column : {&older_, &newer_}) column->reserve(reserved, reserved);
    kind_.reserve(reserved);
    if (options_.sized) size_.reserve(reserved);
  }

  // A request for a resident object.
  void hit(std::uint32_t slot) {
    advance();
    run_ = 0;
    const std::uint32_t age = now_ - last_[slot], kind = kind_[slot], bits = coin();
    last_gap_ = age;
    model_.learn_return(kind, age, bits);
    unlink(slot);
    last_[slot] = now_;
    link(slot, model_.classes().next(kind, age, bits));
  }

  // A request for an absent object; true when the policy remembers it.  When insert() of the same
  // key does not follow before the next request, the object becomes a ghost at once.
  bool miss(std::uint32_t hash, std::uint64_t size = 1) {
    advance();
    pending_.hash = hash;
    pending_.size = size_code(size);
    pending_.waits = true;
    GhostTable::Ghost ghost;
    const bool known = ghosts_.take(pending_.hash, now_tick(), ghost);
    if (known) {
      const std::uint32_t age = age_of(ghost), bits = coin();
      last_gap_ = age;
      model_.learn_return(ghost.kind, age, bits);
      pending_.kind = model_.classes().next(ghost.kind, age, bits);
      run_ = 0;
    } else {
      ++run_;
      pending_.kind =
          ghosts_.allocated() ? model_.classes().newcomer(run_) : ObjectClasses::kFounder;
      last_gap_ = ~0u;
    }
    return known;
  }

  // The slot to evict, or kBypass when the newcomer of the last miss() ranks below every resident
  // (or when there is no resident).
  std::uint32_t victim() {
    if (residents_ == 0) return kBypass;
    if (!ghosts_.allocated() && pending_.waits) start_ghosts();
    if (options_.sized) return victim_by_size();
    ranking_.refresh(now_, [this](std::uint32_t kind) { return rank(kind); });
    const std::uint32_t choice = ranking_.lowest();
    const auto lowest = static_cast<std::uint32_t>(ranking_.index(choice));
    if (options_.bypass && pending_.waits) {
      const auto newcomer = static_cast<float>(model_.newborn_index(pending_.kind));
      if (newcomer < static_cast<float>(lowest / 4) + options_.tuning.bypass_margin) return kBypass;
    }
    const List& list = lists_[choice];
    return (lowest & 3u) == 0 ? list.oldest : (lowest & 3u) == 1 ? list.newest : list.probe;
  }

  // The newcomer becomes resident.
  void insert(std::uint32_t slot, std::uint32_t hash, std::uint64_t size = 1) {
    if (!pending_.waits || pending_.hash != hash) miss(hash, size);
    pending_.waits = false;
    grow(slot);
    last_[slot] = now_;
    hash_[slot] = pending_.hash;
    if (options_.sized) size_[slot] = size_code(size);
    link(slot, pending_.kind);
    ++residents_;
    if (residents_ > 2 * capacity_) rescale(residents_);
  }

  // The object leaves and is kept as a ghost.
  void evict(std::uint32_t slot) {
    remember(hash_[slot], last_[slot], kind_[slot]);
    erase(slot);
  }

  // The object is deleted by the user: no ghost, no lesson.
  void erase(std::uint32_t slot) {
    unlink(slot);
    kind_[slot] = kFree;
    --residents_;
  }

  const Options& options() const { return options_; }
  void prefetch(std::uint32_t hash) const { ghosts_.prefetch(hash); }
  std::uint32_t size() const { return residents_; }
  // Requests between the last request and the one before for the same key; ~0 where unknown.
  std::uint32_t last_gap() const { return last_gap_; }
  // Of a resident; 32 bits.
  std::uint32_t hash_of(std::uint32_t slot) const { return hash_[slot]; }
  std::uint32_t slots() const { return static_cast<std::uint32_t>(kind_.size()); }
  bool holds_slot(std::uint32_t slot) const { return kind_[slot] != kFree; }
  // How often a resident was requested: 0 once, 1 twice, 2 more often.
  std::uint32_t seen_of(std::uint32_t slot) const {
    const ObjectClasses& classes = model_.classes();
    return (kind_[slot] >= classes.twice()) + (kind_[slot] >= classes.often());
  }

  // Every byte held: columns of residents, ghosts, tables, lists and this object itself.
  std::size_t metadata_bytes() const {
    return fixed_bytes() + ghosts_.bytes() + last_.capacity() * 4 + hash_.capacity() * 4 +
           older_.bytes() + newer_.bytes() + kind_.capacity() * 2 + size_.capacity() * 2;
  }
  // The part of it that does not grow with the objects.
  std::size_t fixed_bytes() const {
    return sizeof(*this) + model_.bytes() + lists_.capacity() * sizeof(List) + ranking_.bytes();
  }

  // True when every invariant holds; walks everything, for tests and fuzzing.
  bool validate() const {
    std::uint32_t found = 0;
    for (std::uint32_t kind = 0; kind < lists_.size(); ++kind) {
      std::uint32_t before = kNone;
      for (std::uint32_t slot = lists_[kind].oldest; slot != kNone; slot = newer_.get(slot)) {
        if (slot >= kind_.size() || kind_[slot] != kind || older_.get(slot) != before) return false;
        if (before != kNone && now_ - last_[before] < now_ - last_[slot]) return false;
        if (++found > residents_) return false;
        before = slot;
      }
      const List& list = lists_[kind];
      if (list.newest != before) return false;
      const bool ranked = ranking_.index(kind) != ClassRanking::kEmpty;
      if (!ranking_.is_due(kind) && ranked != (list.oldest != kNone)) return false;
    }
    const auto used = std::count_if(kind_.begin(), kind_.end(), [](auto k) { return k != kFree; });
    return ranking_.validate() && found == residents_ &&
           static_cast<std::uint32_t>(used) == found && ghosts_.validate(model_.classes().count());
  }

 private:
  static constexpr std::uint32_t kNone = SlotColumn::kNone;
  static constexpr std::uint16_t kFree = 0xffffu;
  static constexpr std::uint32_t kProbeSteps = 16;
  static constexpr std::uint32_t kSamples = 64;  // residents weighed for a victim by size

  struct List {
    std::uint32_t oldest = kNone, newest = kNone;
    std::uint32_t probe = kNone;  // a member near the age at which the index is lowest
  };
  struct Pending {
    bool waits = false;
    std::uint16_t size = 0;
    std::uint32_t hash = 0, kind = 0;
  };

  std::uint32_t coin() {
    random_ = random_ * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<std::uint32_t>(random_ >> 32);
  }
  // In 1/64 octaves, as indexes are: value per byte is a difference.
  static std::uint16_t size_code(std::uint64_t size) {
    if (size <= 1) return 0;
    return static_cast<std::uint16_t>(64.0f * std::log2(static_cast<float>(size)));
  }

  // Time: requests, and for ghosts ticks of C / 16 requests.
  void advance() {
    if (pending_.waits) remember(pending_.hash, now_, pending_.kind);
    pending_.waits = false;
    ++requests_;
    if (++now_ == 0) ghosts_.clear();  // ticks do not survive the wrap; residents' ages do
    if (now_ == refit_at_) refit();
  }
  std::uint32_t now_tick() const { return now_ / tick_; }
  std::uint32_t age_of(const GhostTable::Ghost& ghost) const {
    return ghost.age_ticks * tick_ + now_ % tick_;
  }

  // What is too old is dropped in time: a ghost's age would begin at 0 again.
  std::uint64_t sweep_within() const {
    return std::uint64_t{(GhostTable::kTickMask - kGhostTicksMax) / 2} * tick_;
  }

  void rescale(std::uint32_t objects) {
    capacity_ = objects;
    tick_ = std::max(1u, objects / 16);
    ghosts_.release();
    const std::size_t class_bytes =
        EvictionModel::bytes_per_class() + ClassRanking::bytes_per_class() + sizeof(List);
    const float share = std::max(options_.metadata_bytes_per_object * kModelShare, 0.0f);
    const auto budget = static_cast<std::size_t>(share * static_cast<float>(objects));
    model_.reset(objects, budget / class_bytes, options_.tuning);
    const std::uint32_t classes = model_.classes().count();
    lists_ = std::vector<List>(classes);
    ranking_.reset(classes);
    std::vector<std::uint32_t> slots;
    for (std::uint32_t slot = 0; slot < kind_.size(); ++slot)
      if (kind_[slot] != kFree) slots.push_back(slot);
    std::sort(slots.begin(), slots.end(),
              [&](std::uint32_t a, std::uint32_t b) { return now_ - last_[a] > now_ - last_[b]; });
    for (const std::uint32_t slot : slots) link(slot, 0);
    if (pending_.waits) pending_.kind = 0;
    refit_wait_ = 128;
    refit_at_ = now_ + refit_wait_;
  }

  // The cache is full for the first time: now its size in objects is known.
  void start_ghosts() {
    // Beyond what was reserved, columns have grown in leaps.
    for (auto* column : {&last_, &hash_}) column->shrink_to_fit();
    for (auto* column : {&older_, &newer_}) column->shrink_to_fit();
    kind_.shrink_to_fit();
    size_.shrink_to_fit();
    if (residents_ > capacity_ + capacity_ / 2 || residents_ < capacity_ - capacity_ / 3)
      rescale(residents_);
    const float objects = static_cast<float>(capacity_);
    const auto resident_bytes =
        static_cast<float>(2 * SlotColumn::width(capacity_) + (options_.sized ? 12 : 10));
    const float spent = static_cast<float>(fixed_bytes()) + objects * resident_bytes;
    const float left = options_.metadata_bytes_per_object * objects - spent;
    const auto ghosts = static_cast<std::size_t>(std::max(left / 4, objects / 2));
    ghosts_.resize(ghosts, model_.classes().twice(), model_.classes().often());
  }
  void remember(std::uint32_t hash, std::uint32_t time, std::uint32_t kind) {
    GhostTable::Ghost dropped;
    const std::uint32_t tick = now_tick() - (now_ - time) / tick_;  // also where the clock wrapped
    if (ghosts_.put(hash, tick, now_tick(), kind, dropped))
      model_.learn_end(dropped.kind, age_of(dropped), coin());
  }

  void refit() {
    const EvictionTuning& tuning = options_.tuning;
    const float steady = tuning.refit_interval * static_cast<float>(capacity_);
    refit_wait_ = std::min(refit_wait_ + refit_wait_ / 2,
                           static_cast<std::uint32_t>(std::max(steady, tuning.refit_requests_min)));
    const std::uint64_t slowly = std::max<std::uint64_t>(refit_wait_, requests_ / kRefitSlowdown);
    refit_at_ = now_ + static_cast<std::uint32_t>(std::min(slowly, sweep_within()));
    std::vector<EvictionModel::LifeTable> tables(model_.classes().count());
    for (std::uint32_t slot = 0; slot < kind_.size(); ++slot)
      if (kind_[slot] != kFree) model_.add_waiting(tables[kind_[slot]], now_ - last_[slot]);
    const std::uint32_t tick = tick_, into_tick = now_ % tick_;
    ghosts_.sweep(now_tick(), [&](const GhostTable::Ghost& ghost) {
      const std::uint32_t age = ghost.age_ticks * tick + into_tick;
      const bool keep = ghost.age_ticks < kGhostTicksMax;
      if (keep)
        model_.add_waiting(tables[ghost.kind], age);
      else
        model_.learn_end(ghost.kind, age, coin());
      return keep;
    });
    model_.fit(tables, tuning);
    ranking_.make_all_due();
  }

  // 4 * the lowest index in a class + whose it is: 0 the oldest's, 1 the newest's, 2 the probe's.
  ClassRanking::Rank rank(std::uint32_t kind) {
    List& list = lists_[kind];
    if (list.oldest == kNone) return {ClassRanking::kEmpty, now_ + ClassRanking::kLongAfter};
    const std::uint32_t old_age = now_ - last_[list.oldest], new_age = now_ - last_[list.newest];
    const auto old_value = model_.value(kind, old_age), new_value = model_.value(kind, new_age);
    std::uint32_t lowest = std::min(4 * old_value.index, 4 * new_value.index + 1);
    std::uint32_t holds = std::min(old_value.until_age - old_age, new_value.until_age - new_age);
    holds = std::max(capacity_ / 32, std::min(holds, ClassRanking::kLongAfter));
    const std::uint32_t young = model_.age_bin(new_age), old = model_.age_bin(old_age);
    const std::uint32_t target = old > young + 1 ? model_.valley(kind, young, old) : young;
    if (target != young && target != old) {
      const bool arrived = walk_probe(list, target);
      const std::uint32_t age = now_ - last_[list.probe];
      const auto value = model_.value(kind, age);
      lowest = std::min(lowest, 4 * value.index + 2);
      holds = arrived ? std::min(holds, std::max(capacity_ / 32, value.until_age - age)) : 1;
    }
    return {static_cast<std::int16_t>(lowest), now_ + holds};
  }

  // Moves a list's probe some steps towards the members whose age lies in a bin; false: it has
  // farther to go.
  bool walk_probe(List& list, std::uint32_t bin) {
    if (list.probe == kNone) list.probe = list.oldest;
    std::int32_t direction = 0;
    for (std::uint32_t step = 0; step < kProbeSteps; ++step) {
      const std::uint32_t at = model_.age_bin(now_ - last_[list.probe]);
      const std::int32_t wish = at < bin ? -1 : at > bin ? 1 : 0;
      if (wish == 0 || wish == -direction) return true;
      const std::uint32_t next = (wish < 0 ? older_ : newer_).get(list.probe);
      if (next == kNone) return true;
      list.probe = next;
      direction = wish;
    }
    return false;
  }

  // Worth per byte decides, so no list is in order: the ends of all lists and a random sample.
  std::uint32_t victim_by_size() {
    std::int32_t lowest = INT32_MAX;
    std::uint32_t choice = kBypass;
    const auto weigh = [&](std::uint32_t slot) {
      const auto index = model_.value(kind_[slot], now_ - last_[slot]).index;
      const std::int32_t worth = static_cast<std::int32_t>(index) - size_[slot];
      if (worth < lowest) {
        lowest = worth;
        choice = slot;
      }
    };
    for (const List& list : lists_) {
      if (list.oldest == kNone) continue;
      weigh(list.oldest);
      weigh(list.newest);
    }
    for (std::uint32_t i = 0; i < kSamples; ++i) {
      const std::uint64_t slot = std::uint64_t{coin()} * kind_.size() >> 32;
      if (kind_[slot] != kFree) weigh(static_cast<std::uint32_t>(slot));
    }
    if (options_.bypass && pending_.waits &&
        static_cast<std::int32_t>(model_.newborn_index(pending_.kind)) - pending_.size < lowest)
      return kBypass;
    return choice;
  }

  void grow(std::uint32_t slot) {
    if (slot < kind_.size()) return;
    const std::size_t count = std::size_t{slot} + 1;
    for (auto* column : {&last_, &hash_}) column->resize(count);
    for (auto* column : {&older_, &newer_}) column->resize(count, count);
    kind_.resize(count, kFree);
    if (options_.sized) size_.resize(count);
  }
  void link(std::uint32_t slot, std::uint32_t kind) {
    List& list = lists_[kind];
    kind_[slot] = static_cast<std::uint16_t>(kind);
    older_.set(slot, list.newest);
    newer_.set(slot, kNone);
    if (list.newest == kNone)
      list.oldest = slot;
    else
      newer_.set(list.newest, slot);
    list.newest = slot;
    ranking_.make_due(kind);
  }
  void unlink(std::uint32_t slot) {
    List& list = lists_[kind_[slot]];
    const std::uint32_t older = older_.get(slot), newer = newer_.get(slot);
    if (older == kNone)
      list.oldest = newer;
    else
      newer_.set(older, newer);
    if (newer == kNone)
      list.newest = older;
    else
      older_.set(newer, older);
    if (list.probe == slot) list.probe = newer != kNone ? newer : older;
    const bool by_probe = (ranking_.index(kind_[slot]) & 3) == 2;
    if (older == kNone || newer == kNone || by_probe) ranking_.make_due(kind_[slot]);
  }

  static constexpr std::uint32_t kRefitSlowdown = 64;  // at least every 1/64 of the time so far
  static constexpr float kModelShare = 0.30f;          // of the metadata, at most (where C allows)
  static constexpr std::uint32_t kGhostTicksMax = 64 * 16;  // 64 C requests

  Options options_;
  std::uint32_t hint_;
  std::uint64_t seed_;
  std::uint64_t random_ = 0, requests_ = 0;
  std::uint32_t capacity_ = 1, tick_ = 1;
  std::uint32_t now_ = 0, run_ = 0, residents_ = 0;
  std::uint32_t refit_wait_ = 0, refit_at_ = 0, last_gap_ = 0;
  Pending pending_;
  EvictionModel model_;
  GhostTable ghosts_;
  std::vector<List> lists_;
  ClassRanking ranking_;
  std::vector<std::uint32_t> last_, hash_;
  SlotColumn older_, newer_;
  std::vector<std::uint16_t> kind_, size_;
};

}  // namespace acumen::caching
