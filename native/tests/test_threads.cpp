// Threads that choose, learn, switch and look on one choice: no lost lesson, and (under
// ThreadSanitizer, which is how `make test` builds this program) no data race.
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include "acumen/choice.hpp"
#include "expect.hpp"
#include "fixed_learner.hpp"

using namespace acumen;

int main() {
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
        double row[] = {1.0 * t, 1.0 * i};
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
