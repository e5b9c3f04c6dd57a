// Drafts: a model from elsewhere takes the place of an engine's, and no lesson is lost or doubled.
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "acumen/draft.hpp"
#include "expect.hpp"
#include "learner_zoo.hpp"
#include "program.hpp"
#include "replayed.hpp"

namespace test_draft {

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

  Answer choose(Random& random) {
    double row[] = {random.uniform() * 10.0, static_cast<double>(random.below(4))};
    Question question;
    question.row = row;
    return engine.decide(question);
  }

  void live(int rounds, Random& random) {
    for (int i = 0; i < rounds; ++i) {
      const Answer answer = choose(random);
      const double reward = random.uniform() + answer.arm;
      engine.feedback(answer.id, &reward);
    }
  }

  void end(const std::vector<std::uint64_t>& ids, bool ended, Random& random) {
    std::vector<double> rewards(ids.size());
    for (double& reward : rewards) reward = random.uniform();
    const std::lock_guard<SpinLock> lock(engine.lock());
    hook.text(EventKind::kEpisode, "{}");
    end_episode(engine, {ids.data(), rewards.data(), ids.size(), 0.9f, ended},
                ended ? rewards.data() : nullptr, 0.0);
  }

  /// Two episodes side by side, and what belongs to none; some steps have feedback of their own.
  void live_episodes(int rounds, Random& random) {
    for (int i = 0; i < rounds; ++i) {
      std::vector<std::uint64_t> ids[2];
      for (std::uint32_t step = random.below(8); step > 0; --step)
        ids[random.below(2)].push_back(choose(random).id);
      live(1, random);
      if (i % 5 == 0 && !ids[0].empty()) {
        const double reward = 7.0;
        engine.feedback(ids[0][0], &reward);
      }
      for (int k = 0; k < 2; ++k) end(ids[k], i % 3 > k, random);
    }
  }

  /// One that is as long as a thread may not hold the lock for.
  void live_long_episode(int steps, Random& random) {
    std::vector<std::uint64_t> ids;
    for (int i = 0; i < steps; ++i) ids.push_back(choose(random).id);
    end(ids, true, random);
  }

  std::shared_ptr<Learner> learner;
  ChoiceEngine engine;
  std::shared_ptr<JournalRing> ring;
  JournalHook hook;
};

/// With nobody else's lessons, the model from elsewhere and the later lessons are the own model.
void own_lessons_come_again(const LearnerKind& kind, Mode mode) {
  Random random(3);
  Journaled own(kind);
  own.engine.guard().set(mode, 0.0f);
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

/// Exchanges, and counts how often the engine was ahead.
int exchange(Draft& draft, Journaled& own) {
  int rounds = 0;
  while (draft.exchange(own.engine, "{}") != Draft::Exchange::kDone) {
    draft.learn();
    EXPECT(++rounds < 1000);
  }
  return rounds;
}

bool learns_sequences(const LearnerKind& kind) {
  return dynamic_cast<SequenceLearner*>(kind.make(options().shape, 0.0).get()) != nullptr;
}

/// The same for episodes: of both kinds, interleaved, and longer than what is learned at once.
void own_episodes_come_again(const LearnerKind& kind) {
  Random random(8);
  Journaled own(kind, 1024);
  own.live(600, random);
  own.live_episodes(40, random);
  StateBuffer published;
  own.engine.visit(published);
  const std::uint64_t event = own.hook.sequence();
  own.live_episodes(20, random);
  own.live_long_episode(100, random);
  own.live_episodes(10, random);

  Draft draft(own.engine, kind.make(options().shape, 0.0), event);
  draft.visit(published.rewind());
  EXPECT(draft.valid());
  EXPECT(exchange(draft, own) > 6);
  EXPECT(draft.caught_up() > 150 && draft.missed() == 0);
  StateBuffer now, before;
  own.engine.learner()->visit(now);
  own.learner->visit(before);
  EXPECT(now.bytes() == before.bytes());
  EXPECT(own.engine.learner() != own.learner.get() && own.engine.lessons() == draft.lessons());
}

/// A model that has an episode, and not yet the feedback after it: that is only counted.
void feedback_of_an_episode_teaches_no_more(const LearnerKind& kind) {
  Random random(9);
  Journaled own(kind, 1024);
  own.live(600, random);
  const std::uint64_t lessons = own.engine.lessons();
  own.live_long_episode(30, random);
  StateBuffer published;
  own.engine.visit(published);
  EXPECT(own.engine.lessons() == lessons + 30);
  Draft draft(own.engine, kind.make(options().shape, 0.0), own.hook.sequence() - 20);
  draft.visit(published.rewind());
  EXPECT(draft.valid() && draft.lessons() == lessons + 30);
  exchange(draft, own);
  EXPECT(draft.caught_up() == 0 && draft.missed() == 0);
  EXPECT(own.engine.lessons() == lessons + 50);
  EXPECT(own.engine.learner()->version() == own.learner->version());
}

/// The first steps have left the ring: the others are an episode all the same.
void steps_that_are_gone_are_counted(const LearnerKind& kind) {
  Random random(10);
  Journaled own(kind, 2048);
  own.live(600, random);
  StateBuffer published;
  own.engine.visit(published);
  const std::uint64_t event = own.hook.sequence(), version = own.learner->version();
  own.live_long_episode(300, random);
  own.live(400, random);
  Draft draft(own.engine, kind.make(options().shape, 0.0), event);
  draft.visit(published.rewind());
  EXPECT(draft.valid());
  exchange(draft, own);
  EXPECT(draft.missed() == 188 && draft.caught_up() == 512);
  EXPECT(own.engine.learner()->version() == version + 512 && own.engine.learner()->validate());
}

/// They have left the memory of lessons while the draft was at them: what it has of their episode
/// does not become part of another.
void an_episode_whose_end_is_gone_is_left(const LearnerKind& kind) {
  Random random(11);
  Journaled own(kind, 64);
  own.live(100, random);
  StateBuffer published;
  own.engine.visit(published);
  const std::uint64_t event = own.hook.sequence(), version = own.learner->version();
  own.live_long_episode(20, random);
  Draft draft(own.engine, kind.make(options().shape, 0.0), event);
  draft.visit(published.rewind());
  EXPECT(draft.valid());
  EXPECT(draft.gather(own.engine, 5) == 35);
  draft.learn();
  own.live(70, random);
  exchange(draft, own);
  // All that were gathered, the other steps, and six more. Their feedback would teach nothing.
  EXPECT(draft.missed() == 5 + 15 + 6 && draft.caught_up() == 64);
  EXPECT(own.engine.learner()->version() == version + 64);
}

/// Another thread chooses and learns all the while.
void others_go_on_choosing(const LearnerKind& kind) {
  Random random(5);
  Journaled own(kind, 1 << 14);
  own.live(600, random);
  StateBuffer published;
  own.engine.visit(published);
  const std::uint64_t event = own.hook.sequence();
  const bool sequences = learns_sequences(kind);
  std::vector<std::shared_ptr<Learner>> kept;  // the engine's owner keeps its learner alive
  std::thread busy([&] {
    Random other(6);
    own.live(4000, other);
    if (sequences) own.live_episodes(300, other);
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
  EXPECT(counters.feedback[3] <= busy_ones);
  EXPECT(sequences || (counters.feedback[0] + busy_ones == 4600 && caught_up <= 10 * 4000));
  EXPECT(own.engine.learner()->validate());
}

}  // namespace

PROGRAM(test_draft) {
  for (const LearnerKind& kind : learner_zoo()) {
    own_lessons_come_again(kind, Mode::kOn);
    own_lessons_come_again(kind, Mode::kShadow);  // an apprentice learns from demonstrations
    what_cannot_be_learned_again_is_counted(kind);
    what_was_never_noted_is_counted(kind);
    others_go_on_choosing(kind);
    if (!learns_sequences(kind)) continue;
    own_episodes_come_again(kind);
    feedback_of_an_episode_teaches_no_more(kind);
    steps_that_are_gone_are_counted(kind);
    an_episode_whose_end_is_gone_is_left(kind);
  }
  std::puts("ok");
}

}  // namespace test_draft
