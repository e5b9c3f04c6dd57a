// Learned against default: coverage on the rewards that systems have, late and lost feedback, and
// numbers that nothing may be ruined by.
#include <cstdio>
#include <deque>
#include <limits>
#include <numbers>

#include "acumen/choice.hpp"
#include "expect.hpp"
#include "fixed_learner.hpp"
#include "program.hpp"

namespace test_comparison {

using namespace acumen;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

ChoiceOptions options(float holdback, std::uint64_t seed = 3) {
  ChoiceOptions o;
  o.shape.arms = 1;
  o.fields.resize(1);
  o.metrics.push_back({1.0, false});
  o.holdback = holdback;
  o.seed = seed;
  return o;
}

Answer ask(ChoiceEngine& engine, double now_s = 0.0) {
  double value = 1.0;
  Question question;
  question.row = &value;
  question.now_s = now_s;
  return engine.decide(question);
}

FeedbackResult tell(ChoiceEngine& engine, const Answer& answer, double reward, double now_s = 0.0) {
  return engine.feedback(answer.id, &reward, now_s);
}

double normal(Random& random) {
  const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));
  return radius * std::cos(2 * std::numbers::pi * random.uniform());
}

bool excludes(const Interval& interval, double difference) {
  return interval.low > difference || interval.high < difference;
}

/// Share of worlds in which the interval ever misses the true difference.
template <typename Reward>
double misses(double share, double gain, Reward reward) {
  constexpr int kWorlds = 200, kDecisions = 10'000, kLook = 20;
  int missed = 0;
  for (int world = 0; world < kWorlds; ++world) {
    Random random(1000 + static_cast<std::uint64_t>(world));
    HoldbackComparison comparison;
    for (int i = 1; i <= kDecisions; ++i) {
      const bool learned = random.uniform() < share;
      comparison.observe(learned, share, reward(random) + (learned ? gain : 0.0));
      if (i % kLook == 0 && excludes(comparison.interval(0.05), gain)) {
        missed += 1;
        break;
      }
    }
  }
  return missed / double{kWorlds};
}

void the_interval_holds_at_all_times_at_once() {
  const auto lognormal = [](Random& r) { return -std::exp(1.5 * normal(r)); };
  const auto rare = [](Random& r) { return r.uniform() < 0.01 ? -100.0 : -1.0; };
  for (const double share : {0.98, 0.8}) {
    EXPECT(misses(share, 0.3, normal) <= 0.05);
    EXPECT(misses(share, 0.0, lognormal) <= 0.05);
    EXPECT(misses(share, 0.0, rare) <= 0.05);
  }
  const auto shifted = [](Random& r) { return 1e6 + normal(r); };
  EXPECT(misses(0.98, 0.0, shifted) <= 0.05);
}

void it_finds_what_there_is_to_find() {
  for (const double level : {0.0, 1e6}) {
    Random random(5);
    HoldbackComparison comparison;
    for (int i = 0; i < 10'000; ++i) {
      const bool learned = random.uniform() < 0.98;
      comparison.observe(learned, 0.98, level + normal(random) + (learned ? 1.0 : 0.0));
    }
    const Interval interval = comparison.interval(0.05);
    EXPECT(interval.low > 0.0 && interval.high < 2.0);
  }
}

/// Equals, of which one hears late, in a world that changes half-way.
void late_feedback_on_one_side_is_no_difference() {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    FixedLearner learner({1.0f});
    ChoiceOptions o = options(0.2f, seed);
    o.pending_max = 1 << 12;
    ChoiceEngine engine(o, &learner);
    Random random(1000 + seed);
    std::deque<std::pair<Answer, double>> late;
    for (int i = 0; i < 8000; ++i) {
      const Answer answer = ask(engine);
      const double reward = normal(random) + (i < 4000 ? 0.0 : 2.0);
      if (answer.reason == Reason::kLearned) {
        tell(engine, answer, reward);
      } else {
        late.emplace_back(answer, reward);
      }
      if (late.size() > 300) {  // some 1,500 decisions ago
        tell(engine, late.front().first, late.front().second);
        late.pop_front();
      }
      if (i % 50 == 49) EXPECT(!excludes(engine.comparison().interval(0.05), 0.0));
    }
    EXPECT(engine.comparison().side(false).lost == 0);
  }
}

void what_is_lost_counts_for_its_side() {
  FixedLearner learner({1.0f});
  ChoiceOptions o = options(0.25f);
  ChoiceEngine engine(o, &learner);
  const int ring = static_cast<int>(engine.ring().capacity());
  std::uint64_t counts[2][2] = {};  // by side: all, lost
  for (int i = 0; i < 4000; ++i) {
    const Answer answer = ask(engine);
    const bool learned = answer.reason == Reason::kLearned, lost = learned && i % 3 == 0;
    if (!lost) tell(engine, answer, 1.0);
    counts[learned][0] += 1;
    counts[learned][1] += lost;
  }
  for (int i = 0; i < ring; ++i) tell(engine, ask(engine), 1.0);  // the last ones fall out, too
  const HoldbackComparison c = engine.comparison();
  EXPECT(c.side(true).lost == counts[1][1] && c.side(false).lost == 0);
  EXPECT(c.side(true).seen + c.side(false).seen + c.side(true).lost ==
         static_cast<std::uint64_t>(4000 + ring));
}

void the_comparison_follows_what_is_known() {
  FixedLearner learner({1.0f});
  ChoiceEngine engine(options(0.5f), &learner);
  const auto seen = [&] {
    const HoldbackComparison c = engine.comparison();
    return c.side(false).seen + c.side(true).seen;
  };
  std::deque<Answer> waiting;
  for (int i = 0; i < 100; ++i) waiting.push_back(ask(engine));
  for (int i = 99; i > 0; --i) tell(engine, waiting[static_cast<std::size_t>(i)], 1.0);
  EXPECT(seen() == 0);  // the first one is still open
  engine.guard().set(Mode::kOff, 0.0f);
  ask(engine);  // no coin was tossed for this one: it is not waited for
  engine.guard().set(Mode::kOn, 0.0f);
  tell(engine, ask(engine), 1.0);
  tell(engine, waiting.front(), 1.0);
  EXPECT(seen() == 101);
  engine.set_objective({{-2.0, false}});
  EXPECT(seen() == 101);
  EXPECT_NEAR(engine.comparison().side(true).mean, -2.0, 1e-12);
}

/// Whether a time-out is noticed by a decision or by the feedback itself makes no difference.
void late_is_late() {
  for (const double timeout_reward : {kNaN, -5.0}) {
    for (const bool noticed : {false, true}) {
      FixedLearner learner({1.0f});
      ChoiceOptions o = options(0.5f);
      o.timeout_s = 10;
      o.timeout_reward = timeout_reward;
      ChoiceEngine engine(o, &learner);
      const Answer answer = ask(engine, 100.0);
      if (noticed) ask(engine, 111.0);
      const bool teaches = std::isnan(timeout_reward);
      EXPECT(tell(engine, answer, 7.0, 111.0) ==
             (teaches ? FeedbackResult::kLearned : FeedbackResult::kRecorded));
      EXPECT_NEAR(learner.reward(0), teaches ? 7.0 : -5.0, 1e-9);
      const HoldbackComparison c = engine.comparison();
      EXPECT(engine.counters().expired == 1 && engine.lessons() == 1);
      EXPECT(c.side(false).lost + c.side(true).lost == (teaches ? 1 : 0));
      EXPECT(c.side(false).seen + c.side(true).seen == (teaches ? 0 : 1));
    }
  }
  FixedLearner learner({1.0f});
  ChoiceOptions o = options(0.5f);
  o.timeout_s = 10;
  ChoiceEngine engine(o, &learner);
  for (int i = 0; i < 100; ++i) ask(engine, 100.0);
  ask(engine, 200.0);
  EXPECT(engine.counters().expired == 32);  // a few a call
}

/// Writes one number everywhere.
class Flood final : public StateVisitor {
 public:
  explicit Flood(double value) : value_(value) {}
  void array(std::string_view, float* v, std::size_t n) override {
    std::fill_n(v, n, static_cast<float>(value_));
  }
  void array(std::string_view, double* v, std::size_t n) override { std::fill_n(v, n, value_); }
  void array(std::string_view, std::uint64_t*, std::size_t) override {}

 private:
  double value_;
};

void no_number_ruins_anything() {
  FixedLearner learner({1.0f});
  ChoiceEngine engine(options(0.5f), &learner);
  for (int i = 0; i < 600; ++i) tell(engine, ask(engine), i % 2);
  const Answer answer = ask(engine);
  for (const double bad : {1e200, -1e200, 1.1e18, kNaN})
    EXPECT(tell(engine, answer, bad) == FeedbackResult::kBad);
  EXPECT(tell(engine, answer, 9e17) == FeedbackResult::kLearned);
  EXPECT(engine.comparison().valid());

  const double mean = engine.comparison().side(true).mean, rewards = learner.reward(0);
  for (const double bad : {kNaN, -1.0, std::numeric_limits<double>::infinity()}) {
    Flood flood(bad);
    EXPECT(!engine.overwrite(flood));
    EXPECT(engine.comparison().side(true).mean == mean);
    EXPECT(engine.lessons() == 601 && learner.reward(0) == rewards);
  }
}

}  // namespace

PROGRAM(test_comparison) {
  the_interval_holds_at_all_times_at_once();
  it_finds_what_there_is_to_find();
  late_feedback_on_one_side_is_no_difference();
  what_is_lost_counts_for_its_side();
  the_comparison_follows_what_is_known();
  late_is_late();
  no_number_ruins_anything();
}

}  // namespace test_comparison
