// The decisions of late, waiting for their feedback: a ring of fixed size.
//
// Idea       Ids count up, so the slot of a decision is its id modulo the capacity: joining
//            feedback to its decision is one index and one comparison, no hashing, no allocation.
//            Entries stay after their feedback, until the ring comes round: they are the recent
//            history from which a model can be taught anew when the objective or scales change.
// Guarantee  Memory is constant. Whatever is overwritten while still waiting is counted.
// Layout     id = replica (24 bits) | sequence number (40 bits). The replica is random, and so is,
//            with a journal, the number that a process begins with: an id of another process or an
//            earlier run is unknown here, never mistaken.
//            Arrays by slot: entries | rows (fields doubles) | metrics | features of the arm.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

namespace acumen {

enum class EntryState : std::uint8_t { kEmpty = 0, kWaiting = 1, kDone = 2, kExpired = 3 };

struct Entry {
  std::uint64_t id = 0;
  std::uint64_t version = 0;  ///< of the model that chose
  double time_s = 0.0;        ///< when, on the caller's clock; 0 where no time-out is set
  /// As the comparison counts it: NaN until known, and for good if it came too late.
  double reward = std::numeric_limits<double>::quiet_NaN();
  std::uint32_t arm = 0;
  float propensity = 1.0f;
  float learned_share = 0.0f;  ///< probability with which the learned policy was put in charge
  std::uint8_t reason = 0;
  EntryState state = EntryState::kEmpty;
  bool learned : 1 = false;  ///< the learned policy was in charge
  bool usable : 1 = false;   ///< the context was good: there is something to learn
  bool taught : 1 = false;   ///< by its episode, which has ended: its feedback is on the way
};

class DecisionRing {
 public:
  static constexpr std::uint64_t kSequenceMask = (1ULL << 40) - 1;

  DecisionRing(std::uint32_t capacity, std::uint32_t fields, std::uint32_t metrics,
               std::uint32_t features, std::uint64_t replica)
      : mask_(std::bit_ceil(capacity) - 1),
        fields_(fields),
        metrics_(metrics),
        features_(features),
        entries_(mask_ + 1),
        rows_((mask_ + 1) * fields),
        values_((mask_ + 1) * metrics, std::numeric_limits<double>::quiet_NaN()),
        arm_features_((mask_ + 1) * features) {
    restart(replica);
  }

  std::uint64_t capacity() const { return mask_ + 1; }

  /// A new slot, its previous entry overwritten; `lost` says whether that one was still waiting.
  std::size_t push(bool& lost) {
    const std::size_t slot = cursors_.next & mask_;
    lost = entries_[slot].state == EntryState::kWaiting;
    entries_[slot] = Entry{};
    entries_[slot].id = replica_ | (cursors_.next & kSequenceMask);
    cursors_.next += 1;
    prefetch(cursors_.next & mask_);
    return slot;
  }

  /// The slot of a decision that is still in the ring, or capacity() if it is not (or never was).
  std::size_t find(std::uint64_t id) const {
    const std::size_t slot = id & mask_;
    const Entry& entry = entries_[slot];
    return entry.id == id && entry.state != EntryState::kEmpty ? slot : capacity();
  }

  /// Oldest slot that may still be waiting since before `deadline`, or capacity().
  std::size_t overdue(double deadline_s) {
    std::uint64_t& oldest = cursors_.oldest;
    if (cursors_.next - oldest > capacity()) oldest = cursors_.next - capacity();
    for (; oldest < cursors_.next; ++oldest) {
      const Entry& entry = entries_[oldest & mask_];
      if (entry.state != EntryState::kWaiting) continue;
      return entry.time_s <= deadline_s ? oldest & mask_ : capacity();
    }
    return capacity();
  }

  /// The oldest decision not yet compared, or capacity() if there is none. Whoever reads the ring
  /// in order pass()es one after the other; where is_full(), the next push overwrites this one.
  std::size_t uncompared() const {
    const Cursors& c = cursors_;
    return c.compared < c.next ? static_cast<std::size_t>(c.compared & mask_) : capacity();
  }
  bool is_full() const { return cursors_.next - cursors_.compared == capacity(); }
  void pass() { cursors_.compared += 1; }
  void pass_all() { cursors_.compared = cursors_.next; }
  void compare_again() { cursors_.compared = first(); }

  /// Calls visit(slot) for every entry, oldest first.
  template <typename Visit>
  void each(Visit visit) {
    each_of_last(capacity(), visit);
  }

  /// The same for those that were made last, `count` at most. By place, not by id: a ring may hold
  /// decisions of many replicas.
  template <typename Visit>
  void each_of_last(std::uint64_t count, Visit visit) {
    const std::uint64_t held = cursors_.next - first();
    for (std::uint64_t i = cursors_.next - std::min(count, held); i < cursors_.next; ++i)
      if (entry(i & mask_).state != EntryState::kEmpty) visit(static_cast<std::size_t>(i & mask_));
  }

  /// Forgets all entries; ids go on under the new replica, with the number that the last begin_at()
  /// has said.
  void restart(std::uint64_t replica) {
    restart(replica, origin_);
    base_ = origin_;
  }
  void restart(std::uint64_t replica, std::uint64_t next) {
    rename(replica);
    cursors_ = {next, next, next, next};
    for (Entry& entry : entries_) entry = Entry{};
  }

  /// Ids go on with a number near this one, so far away that nobody takes them for others'. Entries
  /// stay in their slots, and are found by their ids.
  void begin_at(std::uint64_t number) {
    origin_ = (number & ~mask_ & (kSequenceMask >> 1)) + 2 * capacity() + 1;
    found_ = cursors_.next;
    move_to(origin_ + ((found_ - 1) & mask_));
    base_ = cursors_.next;
  }
  /// Back to the numbers from before begin_at(), if nothing was decided since: what is put in now
  /// was decided then.
  void go_back() {
    if (cursors_.next == base_) move_to(found_);
  }

  /// A sequence number in the process's own count: from 1; up to 0 where begin_at() found it here.
  std::int64_t own(std::uint64_t number) const {
    return static_cast<std::int64_t>(number - base_) + 1;
  }
  /// The first sequence number behind one in that count; at least 0.
  std::uint64_t behind(std::int64_t own) const {
    const auto base = static_cast<std::int64_t>(base_);
    return own < -base ? 0 : static_cast<std::uint64_t>(base + own);
  }

  // For who puts decisions in that were made before (replay.hpp, history.hpp).

  /// Ids go on under another replica; entries stay.
  void rename(std::uint64_t replica) { replica_ = (replica & 0xffffff) << 40; }
  std::uint64_t replica() const { return replica_ >> 40; }

  /// How many decisions lie between the last one and the one with this id. (From another replica,
  /// or from before: very many.)
  std::uint64_t missing_before(std::uint64_t id) const {
    return (id - cursors_.next) & kSequenceMask;
  }
  /// Whether a process that held what is held here may have gone on with this id: its number is
  /// another, and its slot the next; see begin_at().
  bool may_move_to(std::uint64_t id) const {
    const std::uint64_t number = id & kSequenceMask;
    return ((number - cursors_.next) & mask_) == 0 && number > cursors_.next - first();
  }
  /// Goes on with another number, where it may.
  void move_to(std::uint64_t number) {
    Cursors& c = cursors_;
    const std::uint64_t by = number - c.next;
    c = {number, first() + by, std::max(c.oldest, first()) + by, c.compared + by};
  }
  /// Leaves one slot empty, as if its decision had come and gone.
  void skip() { entries_[cursors_.next++ & mask_] = Entry{}; }

  /// Sequence numbers: of the next entry; of the first since restart(); of the oldest that may
  /// wait; of the first not yet compared.
  struct Cursors {
    std::uint64_t next = 1, begin = 1, oldest = 1, compared = 1;
  };
  Cursors& cursors() { return cursors_; }

  /// True if cursors and entries make sense; asked after they were overwritten.
  bool valid(std::uint32_t arms) const {
    const Cursors& c = cursors_;
    if (!(1 <= c.begin && c.begin <= c.next && c.next <= kSequenceMask && c.oldest <= c.next &&
          c.begin <= c.compared && c.compared <= c.next && c.next - c.compared <= capacity()))
      return false;
    for (std::size_t slot = 0; slot < entries_.size(); ++slot) {
      const Entry& e = entries_[slot];
      if (e.state == EntryState::kEmpty) continue;
      if ((e.id & mask_) != slot || e.state > EntryState::kExpired || (e.usable && e.arm >= arms))
        return false;
    }
    return true;
  }

  Entry& entry(std::size_t slot) { return entries_[slot]; }
  double* row(std::size_t slot) { return rows_.data() + slot * fields_; }
  double* values(std::size_t slot) { return values_.data() + slot * metrics_; }
  float* features(std::size_t slot) { return arm_features_.data() + slot * features_; }

  std::size_t memory_bytes() const {
    return entries_.size() * sizeof(Entry) + rows_.size() * 8 + values_.size() * 8 +
           arm_features_.size() * 4;
  }

 private:
  /// The next decision's memory was last touched a whole ring ago.
  void prefetch(std::size_t slot) const {
    __builtin_prefetch(&entries_[slot], 1);
    const auto* const row = reinterpret_cast<const char*>(rows_.data() + slot * fields_);
    for (std::size_t byte = 0; byte < fields_ * sizeof(double); byte += 64)
      __builtin_prefetch(row + byte, 1);
  }
  /// Sequence number of the oldest entry.
  std::uint64_t first() const {
    const auto& [next, begin, oldest, compared] = cursors_;
    return next > begin + capacity() ? next - capacity() : begin;
  }

  std::uint64_t mask_;
  std::uint32_t fields_, metrics_, features_;
  std::uint64_t replica_ = 0;
  std::uint64_t origin_ = 1, found_ = 1, base_ = 1;  ///< 1 at least: no id is ever 0
  Cursors cursors_;
  std::vector<Entry> entries_;
  std::vector<double> rows_, values_;
  std::vector<float> arm_features_;
};

}  // namespace acumen
