// Drafts: a model from elsewhere takes the place of an engine's, and no lesson is lost or doubled.
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "acumen/draft.hpp"
#include "expect.hpp"
#include "learner_zoo.hpp"
#include "replayed.hpp"

using namespace acumen;

namespace {

ChoiceOptions options() {
  ChoiceOptions result;
  result.fields = {{FieldKind::kNumber}, {FieldKind::kCategory, false, 4}};
  result.metrics = {Metric{1.0}};
  result.shape = {Schema(result.fields).dimension(), 3, 0};
  result.pending_max = 512;
  result.seed = 7;
  return result;
}

/// An engine with a journal that remembers its lessons.
struct Journaled {
  explicit Journaled(const LearnerKind& kind, std::uint64_t memory = 512)
      : learner(kind.make(options().shape, 0.0)),
        engine(options(), learner.get()),
        ring(std::make_shared<JournalRing>(1 << 22, WhenFull::kDropNewest)),
        hook(options().fields, 1, 0, ring, stopped_clock) {
    hook.lessons().begin(memory, 0);
    engine.journal() = &hook;
  }

  void live(int rounds, Random& random) {
    for (int i = 0; i < rounds; ++i) {
      double row[] = {random.uniform() * 10.0, static_cast<double>(random.below(4))};
      Question question;
      question.row = row;
      const Answer answer = engine.decide(question);
      const double reward = random.uniform() + answer.arm;
      engine.feedback(answer.id, &reward);
    }
  }

  std::shared_ptr<Learner> learner;
  ChoiceEngine engine;
  std::shared_ptr<JournalRing> ring;
  JournalHook hook;
};

/// With nobody else's lessons, the model from elsewhere and the later lessons are the own model.
void own_lessons_come_again(const LearnerKind& kind) {
  Random random(3);
  Journaled own(kind);
  own.live(600, random);
  StateBuffer published;
  own.engine.visit(published);
  const std::uint64_t event = own.hook.sequence();
  own.live(100, random);

  Draft draft(own.engine, kind.make(options().shape, 0.0), event);
  draft.visit(published.rewind());
  EXPECT(draft.valid());
  int rounds = 0;
  while (draft.exchange(own.engine, "{}") != Draft::Exchange::kDone) {
    draft.learn();
    EXPECT(++rounds < 20);
  }
  EXPECT(rounds == 6);  // of sixteen each, and the last four while it changes places
  EXPECT(draft.caught_up() == 100 && draft.missed() == 0);
  // The draft has the model that was there, and both are the same by a bit.
  StateBuffer now, before;
  own.engine.learner()->visit(now);
  own.learner->visit(before);
  EXPECT(now.bytes() == before.bytes());
  EXPECT(own.engine.learner() != own.learner.get() && own.engine.lessons() == draft.lessons());
  own.live(50, random);
  EXPECT(own.engine.counters().feedback[0] == 750);
}

/// What the ring has let go of is counted, and another objective is noticed.
void what_cannot_be_learned_again_is_counted(const LearnerKind& kind) {
  Random random(4);
  Journaled own(kind);
  StateBuffer published;
  own.engine.visit(published);
  own.live(700, random);
  Draft draft(own.engine, kind.make(options().shape, 0.0), 0);
  draft.visit(published.rewind());
  EXPECT(draft.valid());
  while (draft.gather(own.engine) > 0) draft.learn();
  draft.learn();
  EXPECT(draft.caught_up() == 512 && draft.missed() >= 1);
  own.engine.set_objective({Metric{-1.0}});
  EXPECT(draft.exchange(own.engine, "{}") == Draft::Exchange::kOtherObjective);
}

/// What was learned before anybody took note is counted, too: as one, for how much it was is not
/// known.
void what_was_never_noted_is_counted(const LearnerKind& kind) {
  Random random(4);
  Journaled own(kind);
  own.live(100, random);
  StateBuffer published;
  own.engine.visit(published);
  const std::uint64_t event = own.hook.sequence();
  for (const std::uint64_t after : {event - 10, event}) {
    own.hook.lessons().begin(512, own.hook.sequence());
    Draft draft(own.engine, kind.make(options().shape, 0.0), after);
    draft.visit(published.rewind());
    EXPECT(draft.valid());
    EXPECT(draft.exchange(own.engine, "{}") == Draft::Exchange::kDone);
    EXPECT(draft.missed() == (after < event ? 1 : 0));
    own.learner = draft.learner();
  }
}

/// Another thread chooses and learns all the while.
void others_go_on_choosing(const LearnerKind& kind) {
  Random random(5);
  Journaled own(kind, 1 << 14);
  own.live(600, random);
  StateBuffer published;
  own.engine.visit(published);
  const std::uint64_t event = own.hook.sequence();
  std::vector<std::shared_ptr<Learner>> kept;  // the engine's owner keeps its learner alive
  std::thread busy([&] {
    Random other(6);
    own.live(4000, other);
  });
  std::uint64_t caught_up = 0;
  for (int i = 0; i < 10; ++i) {
    own.engine.lock().lock();
    Draft draft(own.engine, kind.make(options().shape, 0.0), event);
    own.engine.lock().unlock();
    draft.visit(published.rewind());
    EXPECT(draft.valid());
    for (bool done = false; !done; draft.learn()) {
      const std::lock_guard<SpinLock> lock(own.engine.lock());
      done = draft.exchange(own.engine, "{}") == Draft::Exchange::kDone;
    }
    kept.push_back(draft.learner());
    caught_up += draft.caught_up();
  }
  busy.join();
  const Counters counters = own.engine.counters();
  const std::uint64_t busy_ones = counters.reasons[static_cast<std::size_t>(Reason::kBusy)];
  EXPECT(counters.feedback[0] + busy_ones == 4600 && counters.feedback[3] == busy_ones);
  EXPECT(caught_up <= 10 * 4000);
}

}  // namespace

int main() {
  for (const LearnerKind& kind : learner_zoo()) {
    own_lessons_come_again(kind);
    what_cannot_be_learned_again_is_counted(kind);
    what_was_never_noted_is_counted(kind);
    others_go_on_choosing(kind);
  }
  std::puts("ok");
}
