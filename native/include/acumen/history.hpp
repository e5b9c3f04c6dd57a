// The engine's recent past as arrays: what save() adds to a model so that a replay can go on from
// there, bit for bit.
//
// Idea       A model alone does not say what comes next: new scales and other objectives are
// learned
//            from the ring of decisions, and feedback is joined to it. So a snapshot that a journal
//            is to be continued from holds the ring, too, the counts of clipped values and the
//            candidates of the first calibrations.
// Guarantee  A visitor may also write: valid() then says whether the result makes sense.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "acumen/choice.hpp"

namespace acumen {

class History {
 public:
  /// For who holds engine.lock().
  explicit History(ChoiceEngine& engine) : engine_(engine) {}

  /// No decision has been made, restored or replayed.
  bool empty() const { return engine_.newest_ == 0; }

  /// The model's state, as engine.visit() shows it.
  void visit_model(StateVisitor& visitor) {
    DecisionRing& ring = engine_.ring_;
    compare_in_order(ring, engine_.comparison_, ring.capacity());
    engine_.visit_state(visitor);
  }

  void visit(StateVisitor& visitor) {
    DecisionRing& ring = engine_.ring_;
    visit_entries(visitor);
    const std::size_t slots = ring.capacity();
    visitor.array("rows", ring.row(0), slots * engine_.schema_.fields());
    visitor.array("values", ring.values(0), slots * engine_.objective_.metrics());
    visitor.array("features", ring.features(0), slots * engine_.options_.shape.features);
    DecisionRing::Cursors& c = ring.cursors();
    std::uint64_t cursors[] = {c.next, c.begin, c.oldest, c.compared, engine_.newest_};
    visitor.array("cursors", cursors, 5);
    c = {cursors[0], cursors[1], cursors[2], cursors[3]};
    engine_.newest_ = cursors[4];
    engine_.clips_.visit(visitor);
    engine_.candidate_scales_.visit_first(visitor);
  }

  /// Asked after it was overwritten.
  bool valid() const { return engine_.ring_.valid(engine_.options_.shape.arms); }

  void forget() {
    engine_.ring_.restart(engine_.ring_.replica());
    engine_.newest_ = 0;
  }

  /// Forgets what was learned, but for the lessons of the `keep` youngest decisions. The comparison
  /// begins anew with the next one: those so far were made by a policy that is no more.
  void relearn(std::uint64_t keep) {
    engine_.relearn(keep);
    engine_.comparison_ = HoldbackComparison();
    engine_.ring_.pass_all();
  }

  /// The times of decisions on another clock.
  void shift_times(double seconds) {
    DecisionRing& ring = engine_.ring_;
    ring.each([&](std::size_t slot) { ring.entry(slot).time_s += seconds; });
  }

 private:
  void visit_entries(StateVisitor& visitor) {
    DecisionRing& ring = engine_.ring_;
    const std::size_t n = ring.capacity();
    std::vector<std::uint64_t> ids(n), versions(n), marks(n);
    std::vector<double> times(n), rewards(n);
    std::vector<float> propensities(n), shares(n);
    for (std::size_t i = 0; i < n; ++i) {
      const Entry& e = ring.entry(i);
      ids[i] = e.id, versions[i] = e.version, times[i] = e.time_s, rewards[i] = e.reward;
      propensities[i] = e.propensity, shares[i] = e.learned_share;
      marks[i] = std::uint64_t{e.arm} << 32 | std::uint64_t{e.reason} << 16 |
                 static_cast<std::uint64_t>(e.state) << 8 | std::uint64_t{e.taught} << 2 |
                 std::uint64_t{e.learned} << 1 | std::uint64_t{e.usable};
    }
    visitor.array("ids", ids.data(), n);
    visitor.array("versions", versions.data(), n);
    visitor.array("marks", marks.data(), n);
    visitor.array("times", times.data(), n);
    visitor.array("rewards", rewards.data(), n);
    visitor.array("propensities", propensities.data(), n);
    visitor.array("shares", shares.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      Entry& e = ring.entry(i);
      e.id = ids[i], e.version = versions[i], e.time_s = times[i], e.reward = rewards[i];
      e.propensity = propensities[i], e.learned_share = shares[i];
      e.arm = static_cast<std::uint32_t>(marks[i] >> 32);
      e.reason = static_cast<std::uint8_t>(marks[i] >> 16);
      e.state = static_cast<EntryState>(marks[i] >> 8 & 0xff);
      e.taught = (marks[i] >> 2 & 1) != 0;
      e.learned = (marks[i] >> 1 & 1) != 0;
      e.usable = (marks[i] & 1) != 0;
    }
  }

  ChoiceEngine& engine_;
};

}  // namespace acumen
