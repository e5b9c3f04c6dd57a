// Threads that choose, learn, switch, save, load and look on one choice: no lost lesson, and
// (under ThreadSanitizer, which is how `make test` builds this program) no data race.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "acumen/choice.hpp"
#include "expect.hpp"
#include "fixed_learner.hpp"
#include "learner_zoo.hpp"
#include "program.hpp"

namespace test_threads {

using namespace acumen;

namespace {

void no_lesson_is_lost() {
  FixedLearner learner({0.5f, 0.5f});
  ChoiceOptions options;
  options.shape.arms = 2;
  options.fields.resize(2);
  options.metrics.push_back({1.0, false});
  // A thread that is not scheduled for a while must find its decision again: all of them fit.
  options.pending_max = 1u << 17;
  ChoiceEngine engine(options, &learner);

  constexpr int kThreads = 4, kRounds = 20'000;
  std::atomic<std::uint64_t> learned{0}, busy{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        // One stable range: values that leave it bring new scales, under which a ring is relearned.
        double row[] = {1.0 * (i % 7), 1.0 * ((i + t) % 10)};
        Question question;
        question.row = row;
        const Answer answer = engine.decide(question);
        if (answer.reason == Reason::kBusy) {
          busy += 1;
          continue;
        }
        const double reward = 1.0;
        learned += engine.feedback(answer.id, &reward) == FeedbackResult::kLearned;
        if (i % 1000 == 0) {
          engine.guard().set(Mode::kOn, 0.0f);
          static_cast<void>(engine.comparison().interval(0.05));
          static_cast<void>(engine.counters());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT(learned + busy == std::uint64_t{kThreads} * kRounds);
  EXPECT(engine.lessons() == learned && learner.version() == learned);
  EXPECT_NEAR(learner.reward(0) + learner.reward(1), static_cast<double>(learned.load()), 0.5);
  std::printf("%llu lessons, %llu decisions fell back because the choice was busy\n",
              static_cast<unsigned long long>(learned.load()),
              static_cast<unsigned long long>(busy.load()));
}

ChoiceOptions all_field_kinds() {
  ChoiceOptions options;
  options.fields = {{}, {FieldKind::kNumber, true}, {FieldKind::kFlag}};
  options.fields.push_back({FieldKind::kCategory, false, 4});
  options.metrics.resize(2);
  options.metrics[0].weight = 1.0;
  options.shape = {Schema(options.fields).dimension(), 3, 0};
  options.pending_max = 1024;
  options.timeout_s = 1e-3;  // of the workers' own clocks: some decisions expire
  options.timeout_reward = 0.0;
  options.holdback = 0.1f;
  return options;
}

/// One choice over a real learner, and everything that threads may do to it at once.
class Crowd {
 public:
  explicit Crowd(Learner& learner) : learner_(learner), engine_(all_field_kinds(), &learner) {}

  void run(int rounds) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) threads.emplace_back([this, rounds, t] { choose(rounds, t); });
    threads.emplace_back([this] { report_late(); });
    threads.emplace_back([this] { operate(); });
    threads.emplace_back([this] { look(); });
    for (std::size_t t = 0; t < 2; ++t) threads[t].join();
    done_ = true;
    for (std::size_t t = 2; t < threads.size(); ++t) threads[t].join();
    check();
  }

 private:
  /// Chooses; tells half of the results at once, and leaves the others to report_late().
  void choose(int rounds, int thread) {
    Random random(static_cast<std::uint64_t>(thread));
    // On until the others had their turns, too.
    for (int i = 0; i < rounds || operations_ < 30 || looks_ < 10; ++i) {
      decisions_ += 1;
      double row[] = {random.uniform(), i % 5 ? random.uniform() : std::nan(""), 1.0 * (i % 2),
                      1.0 * random.below(4)};
      Question question;
      question.row = row;
      question.now_s = 1e-5 * i;
      const Answer answer = engine_.decide(question);
      EXPECT(answer.arm < 3 && answer.propensity > 0.0f && answer.propensity <= 1.0f);
      if (answer.reason == Reason::kBusy) continue;
      if (i % 2) {
        tell(answer.id, answer.arm);
      } else {
        const std::lock_guard<std::mutex> guard(mutex_);
        late_.push_back(answer);
      }
    }
  }

  void tell(std::uint64_t id, std::uint32_t arm) {
    const double values[] = {1.0 * arm, 2.0};
    const FeedbackResult result = engine_.feedback(id, values);
    results_[static_cast<std::size_t>(result)] += 1;
  }

  void report_late() {
    for (bool last = false; !last;) {
      last = done_;
      std::vector<Answer> answers;
      {
        const std::lock_guard<std::mutex> guard(mutex_);
        answers.swap(late_);
      }
      for (const Answer& answer : answers) tell(answer.id, answer.arm);
      std::this_thread::yield();
    }
  }

  /// Switches, changes the objective, saves and loads.
  void operate() {
    StateBuffer saved;
    saved.save(engine_);
    for (int i = 1; !done_; ++i) {
      engine_.guard().set(static_cast<Mode>(i % 4), 0.5f);
      i % 3 ? engine_.guard().revive() : engine_.guard().kill();
      if (i % 4 == 0) {
        std::vector<Metric> metrics(2);
        metrics[i / 4 % 2].weight = 1.0;
        engine_.set_objective(metrics);
      }
      if (i % 5 == 0) saved.save(engine_);
      if (i % 7 == 0) EXPECT(engine_.overwrite(saved.rewind()));
      operations_ += 1;
      std::this_thread::yield();
    }
    engine_.guard().revive();
  }

  /// Reads what records(), counters() and comparison() are made of.
  void look() {
    while (!done_) {
      std::uint64_t entries = 0, waiting = 0;
      {
        const std::lock_guard<SpinLock> guard(engine_.lock());
        engine_.ring().each([&](std::size_t slot) {
          const Entry& entry = engine_.ring().entry(slot);
          EXPECT(entry.state != EntryState::kEmpty && entry.arm < 3);
          EXPECT(std::isfinite(engine_.ring().row(slot)[0]));
          entries += 1;
          waiting += entry.state == EntryState::kWaiting;
        });
        EXPECT(learner_.validate());
      }
      EXPECT(entries <= 1024 && waiting <= entries);
      EXPECT(engine_.comparison().valid());
      EXPECT(engine_.counters().expired <= 1u << 20);
      looks_ += 1;
      std::this_thread::yield();
    }
  }

  void check() {
    const Counters seen = engine_.counters();
    std::uint64_t counted = 0;
    for (const std::uint64_t count : seen.reasons) counted += count;
    EXPECT(counted == decisions_);
    for (std::size_t i = 0; i < seen.feedback.size(); ++i) EXPECT(seen.feedback[i] == results_[i]);
    engine_.guard().set(Mode::kOn, 0.0f);
    double row[] = {0.5, 0.5, 1.0, 1.0};
    Question question;
    question.row = row;
    const Answer answer = engine_.decide(question);
    EXPECT(answer.reason == Reason::kLearned || answer.reason == Reason::kHoldback);
    const double values[] = {1.0, 1.0};
    EXPECT(engine_.feedback(answer.id, values) == FeedbackResult::kLearned);
    std::printf("%llu lessons, %d operations, %d looks\n",
                static_cast<unsigned long long>(seen.feedback[0]), operations_.load(),
                looks_.load());
  }

  Learner& learner_;
  ChoiceEngine engine_;
  std::atomic<bool> done_{false};
  std::atomic<std::uint64_t> decisions_{0};
  std::atomic<int> operations_{0}, looks_{0};
  std::array<std::atomic<std::uint64_t>, 5> results_{};
  std::mutex mutex_;
  std::vector<Answer> late_;
};

}  // namespace

PROGRAM(test_threads) {
  no_lesson_is_lost();
  const LearnerShape shape = all_field_kinds().shape;
  for (const LearnerKind& kind : learner_zoo()) {
    std::printf("%s: ", kind.name.c_str());
    const auto learner = kind.make(shape, 0.0);
    Crowd(*learner).run(5'000);
  }
}

}  // namespace test_threads
