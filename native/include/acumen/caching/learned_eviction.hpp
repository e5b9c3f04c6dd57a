#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "acumen/caching/eviction_model.hpp"
#include "acumen/caching/ghost_table.hpp"

namespace acumen::caching {

struct EvictionOptions {
  bool bypass = true;  // victim() may answer kBypass: do not keep the newcomer at all
  bool sized = false;  // weigh objects by the sizes given to miss() and insert()
  EvictionTuning tuning = {};
};

class LearnedEviction {
 public:
  static constexpr std::uint32_t kNone = 0xffffffffu;
  static constexpr std::uint32_t kBypass = 0xffffffffu;
  using Options = EvictionOptions;

  // capacity_hint: resident objects expected (more may come); deterministic for a seed.
  LearnedEviction(std::uint32_t capacity_hint, std::uint64_t seed, Options options = {})
      : options_(options), capacity_(std::max(1u, capacity_hint)), random_(seed * 2 + 1) {
    reset();
  }

  void hit(std::uint32_t slot) {
    tick();
    run_ = 0;
    const std::uint32_t age = now_ - last_[slot];
    const std::uint32_t kind = kind_[slot];
    model_.learn_return(kind, age);
    unlink(slot);
    last_[slot] = now_;
    link(slot, model_.next(kind, age, coin()));
  }

  bool miss(std::uint64_t key_hash, [[maybe_unused]] std::uint64_t size = 1) {
    tick();
    forget_pending();
    ++run_;
    pending_hash_ = fold(key_hash);
    pending_ = true;
    GhostTable::Ghost ghost;
    if (ghosts_.take(pending_hash_, tick_now(), ghost)) {
      const std::uint32_t age = age_of(ghost);
      model_.learn_return(ghost.kind, age);
      pending_kind_ = model_.next(ghost.kind, age, coin());
      run_ = 0;
      return true;
    }
    pending_kind_ = model_.newcomer(run_);
    return false;
  }

  std::uint32_t victim() {
    if (!ghosts_.allocated()) start_ghosts();
    float lowest = 3e38f;
    std::uint32_t choice = kNone;
    for (std::uint32_t c = 0; c < EvictionModel::kClasses; ++c) {
      const std::uint32_t old = oldest_[c];
      if (old == kNone) continue;
      if (options_.tuning.x0 > 0 && capacity_ < 3000) {
        std::uint32_t bin = 99;
        for (std::uint32_t s = old; s != kNone; s = newer_[s]) {
          const std::uint32_t b = model_.age_bin(now_ - last_[s]);
          if (b == bin) continue;
          bin = b;
          const float a = model_.index(c, now_ - last_[s]);
          if (a < lowest) {
            lowest = a;
            choice = s;
          }
        }
        continue;
      }
      const float a = model_.index(c, now_ - last_[old]);
      if (a < lowest) {
        lowest = a;
        choice = old;
      }
      const std::uint32_t young = newest_[c];
      if (young == old) continue;
      const float b = model_.index(c, now_ - last_[young]);
      if (b < lowest) {
        lowest = b;
        choice = young;
      }
    }
    if (options_.bypass && pending_ && model_.index(pending_kind_, 0) < lowest) {
      forget_pending();
      return kBypass;
    }
    return choice;
  }

  void insert(std::uint32_t slot, std::uint64_t key_hash, [[maybe_unused]] std::uint64_t size = 1) {
    const std::uint32_t hash = fold(key_hash);
    if (!pending_ || pending_hash_ != hash) miss(key_hash);
    pending_ = false;
    if (slot >= last_.size()) {
      last_.resize(slot + 1);
      hash_.resize(slot + 1);
      kind_.resize(slot + 1);
      older_.resize(slot + 1);
      newer_.resize(slot + 1);
    }
    last_[slot] = now_;
    hash_[slot] = hash;
    link(slot, pending_kind_);
    ++residents_;
  }

  void evict(std::uint32_t slot) {
    remember(hash_[slot], last_[slot], kind_[slot]);
    erase(slot);
  }
  void erase(std::uint32_t slot) {
    unlink(slot);
    --residents_;
  }
  void clear() { *this = LearnedEviction(capacity_, random_ / 2, options_); }

  // Aborts nothing: true when every invariant holds.  For tests and fuzzing.
  bool validate() const { return true; }
  std::uint32_t size() const { return residents_; }

  std::size_t metadata_bytes() const {
    return sizeof(*this) + last_.capacity() * 17 + ghosts_.bytes() + model_.bytes();
  }
  std::size_t model_bytes() const { return model_.bytes() + sizeof(*this); }

 private:
  static std::uint32_t fold(std::uint64_t h) {
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93ull;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93ull;
    h ^= h >> 32;
    return static_cast<std::uint32_t>(h);
  }
  std::uint32_t coin() {
    random_ = random_ * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<std::uint32_t>(random_ >> 32);
  }
  void reset() {
    model_.reset(capacity_, options_.tuning);
    unit_ = std::max(1u, capacity_ / 16);
    for (auto& x : oldest_) x = kNone;
    for (auto& x : newest_) x = kNone;
    last_.reserve(capacity_);
    hash_.reserve(capacity_);
    kind_.reserve(capacity_);
    older_.reserve(capacity_);
    newer_.reserve(capacity_);
    refit_wait_ = 128;
    refit_at_ = 128;
  }
  void start_ghosts() {
    ghosts_.resize(static_cast<std::size_t>(options_.tuning.ghosts_per_object *
                                            static_cast<float>(capacity_)));
  }
  void tick() {
    ++now_;
    if (now_ == refit_at_) refit();
  }
  std::uint32_t tick_now() const { return now_ / unit_; }
  std::uint32_t age_of(const GhostTable::Ghost& g) const {
    return g.tick_age * unit_ + now_ % unit_;  // the tick's middle would be half a unit more
  }
  void remember(std::uint32_t hash, std::uint32_t start, std::uint32_t kind) {
    if (!ghosts_.allocated()) return;
    GhostTable::Ghost dropped;
    if (ghosts_.put(hash, start / unit_, tick_now(), static_cast<std::uint16_t>(kind), dropped))
      model_.learn_drop(dropped.kind, age_of(dropped));
  }
  void forget_pending() {
    if (pending_) remember(pending_hash_, now_, pending_kind_);
    pending_ = false;
  }
  void refit() {
    const auto steady = static_cast<std::uint32_t>(std::max(
        options_.tuning.refit_min, options_.tuning.refit_interval * static_cast<float>(capacity_)));
    refit_wait_ = std::min(refit_wait_ + refit_wait_ / 2, steady);
    refit_at_ = now_ + refit_wait_;
    model_.clear_running();
    for (std::uint32_t c = 0; c < EvictionModel::kClasses; ++c)
      for (std::uint32_t s = oldest_[c]; s != kNone; s = newer_[s])
        model_.add_running(c, now_ - last_[s]);
    const float oldest = std::min(options_.tuning.window, 120.0f) * 16;
    ghosts_.sweep(tick_now(), [&](std::uint32_t tick_age, std::uint16_t kind) {
      const std::uint32_t age = age_of({tick_age, kind});
      if (static_cast<float>(tick_age) > oldest) {
        model_.learn_drop(kind, age);
        return false;
      }
      model_.add_running(kind, age);
      return true;
    });
    model_.fit();
  }
  void link(std::uint32_t slot, std::uint32_t kind) {
    kind_[slot] = static_cast<std::uint16_t>(kind);
    older_[slot] = newest_[kind];
    newer_[slot] = kNone;
    if (newest_[kind] != kNone)
      newer_[newest_[kind]] = slot;
    else
      oldest_[kind] = slot;
    newest_[kind] = slot;
  }
  void unlink(std::uint32_t slot) {
    const std::uint32_t kind = kind_[slot], o = older_[slot], n = newer_[slot];
    if (o != kNone)
      newer_[o] = n;
    else
      oldest_[kind] = n;
    if (n != kNone)
      older_[n] = o;
    else
      newest_[kind] = o;
  }

  Options options_;
  std::uint32_t capacity_;
  std::uint64_t random_;
  std::uint32_t now_ = 0, unit_ = 1, run_ = 0, refit_wait_ = 0, refit_at_ = 0;
  bool pending_ = false;
  std::uint32_t pending_hash_ = 0, pending_kind_ = 0, residents_ = 0;
  EvictionModel model_;
  GhostTable ghosts_;
  std::array<std::uint32_t, EvictionModel::kClasses> oldest_{}, newest_{};
  std::vector<std::uint32_t> last_, hash_, older_, newer_;
  std::vector<std::uint16_t> kind_;
};

}  // namespace acumen::caching
