// The engine: propensities, the guard, the ring, feedback in every order, relearning.
#include <limits>
#include <map>

#include "acumen/choice.hpp"
#include "expect.hpp"
#include "fixed_learner.hpp"
#include "program.hpp"

namespace test_choice {

using namespace acumen;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

ChoiceOptions options(std::uint32_t arms) {
  ChoiceOptions o;
  o.shape.arms = arms;
  o.fields.resize(1);
  o.metrics.push_back({1.0, false});
  o.seed = 3;
  o.replica = 0xabcdef;
  return o;
}

Answer ask(ChoiceEngine& engine, double value = 1.0, std::uint32_t default_arm = 0,
           double now_s = 0.0) {
  Question question;
  question.row = &value;
  question.default_arm = default_arm;
  question.now_s = now_s;
  return engine.decide(question);
}

FeedbackResult tell(ChoiceEngine& engine, std::uint64_t id, double reward) {
  return engine.feedback(id, &reward);
}

/// The frequency of every arm equals its recorded propensity, in every mode.
void propensities_are_frequencies() {
  for (const Mode mode : {Mode::kOff, Mode::kShadow, Mode::kCanary, Mode::kOn}) {
    FixedLearner learner({0.1f, 0.6f, 0.3f});
    ChoiceOptions o = options(3);
    o.mode = mode;
    o.canary_share = 0.4f;
    o.holdback = 0.25f;
    ChoiceEngine engine(o, &learner);
    constexpr int kRuns = 200'000;
    std::map<std::uint32_t, int> seen;
    std::map<std::uint32_t, double> said;
    for (int i = 0; i < kRuns; ++i) {
      const Answer a = ask(engine, 1.0, 2);
      seen[a.arm] += 1;
      said[a.arm] = static_cast<double>(a.propensity);
    }
    double total = 0.0;
    for (const auto& [arm, count] : seen) {
      // Five standard deviations of a binomial frequency.
      EXPECT_NEAR(count / double{kRuns}, said[arm], 5 * std::sqrt(0.25 / kRuns));
      total += said[arm];
    }
    EXPECT_NEAR(total, 1.0, 1e-5);
    EXPECT(mode >= Mode::kCanary || (seen.size() == 1 && said[2] == 1.0));
  }
}

/// Checks in every lesson that the context is the decision's own: each is told its own value.
class ContextChecker final : public Learner {
 public:
  ContextChecker() : Learner({2, 2, 0}) {}
  void distribution(const float*, const ArmSet&, float* p) override { p[0] = p[1] = 0.5f; }
  bool validate() override { return true; }
  std::size_t memory_bytes() const override { return sizeof(*this); }
  const Schema* schema = nullptr;
  int lessons = 0;

 protected:
  void update(const Lesson& lesson) override {
    const double row = static_cast<double>(lesson.reward);
    float x[8] = {};
    EXPECT(schema->encode(&row, x) == Schema::kGood);
    EXPECT(x[1] == lesson.x[1]);
    ++lessons;
  }
  void clear() override {}
  void visit_state(StateVisitor&) override {}
};

/// Late, early, out of order, between bad rows, across new scales, time-outs and restored states.
void lessons_bring_their_own_context() {
  ContextChecker learner;
  ChoiceOptions o = options(2);
  o.timeout_s = 50;
  ChoiceEngine engine(o, &learner);
  learner.schema = &engine.schema();
  Random random(8);
  std::vector<std::pair<std::uint64_t, double>> waiting;
  for (int step = 0; step < 30'000; ++step) {
    const auto value =
        static_cast<double>(static_cast<float>(random.uniform() * (1 + step / 5'000)));
    const std::uint32_t what = random.below(10);
    if (what < 5) {
      waiting.emplace_back(ask(engine, value, 0, step * 0.1).id, value);
      if (what < 2) {  // at once
        tell(engine, waiting.back().first, value);
        waiting.pop_back();
      }
    } else if (what == 5) {
      ask(engine, std::numeric_limits<double>::infinity(), 0, step * 0.1);
    } else if (what == 6 && step % 50 == 0) {
      Snapshot state;
      engine.visit(state);
      EXPECT(engine.overwrite(state.put_back()));
    } else if (!waiting.empty()) {
      const auto count = static_cast<std::uint32_t>(waiting.size());
      const std::size_t at = what == 7 ? count - 1 : what == 8 ? 0 : random.below(count);
      tell(engine, waiting[at].first, waiting[at].second);
      waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(at));
    }
    if (waiting.size() > 300) waiting.erase(waiting.begin());
  }
  EXPECT(learner.lessons > 5'000);
}

void feedback_joins_in_any_order() {
  FixedLearner learner({0.5f, 0.5f});
  ChoiceEngine engine(options(2), &learner);
  const Answer a = ask(engine), b = ask(engine);
  EXPECT(a.id != b.id && a.id != 0);
  EXPECT(tell(engine, b.id, 2.0) == FeedbackResult::kLearned);
  EXPECT(tell(engine, a.id, 1.0) == FeedbackResult::kLearned);
  EXPECT(tell(engine, a.id, 9.0) == FeedbackResult::kDuplicate);
  EXPECT(tell(engine, 12345, 1.0) == FeedbackResult::kUnknown);
  EXPECT(tell(engine, 0, 1.0) == FeedbackResult::kUnknown);
  const Answer c = ask(engine);
  EXPECT(tell(engine, c.id, kNaN) == FeedbackResult::kBad);
  EXPECT(tell(engine, c.id, 3.0) == FeedbackResult::kLearned);  // a bad one costs no chance
  EXPECT_NEAR(learner.reward(0) + learner.reward(1), 6.0, 1e-9);
  EXPECT(engine.lessons() == 3 &&
         engine.counters().feedback[static_cast<int>(FeedbackResult::kUnknown)] == 2);
}

void the_ring_is_bounded_and_counts_what_it_drops() {
  FixedLearner learner({1.0f});
  ChoiceOptions o = options(1);
  o.pending_max = 1000;  // becomes 1024
  ChoiceEngine engine(o, &learner);
  const std::size_t memory = engine.memory_bytes();
  const Answer first = ask(engine);
  for (int i = 0; i < 200'000; ++i) ask(engine);
  EXPECT(engine.memory_bytes() == memory);
  EXPECT(tell(engine, first.id, 1.0) == FeedbackResult::kUnknown);
  EXPECT(engine.counters().overwritten == 200'001 - 1024);
}

void time_outs_teach_the_default_reward() {
  FixedLearner learner({1.0f});
  ChoiceOptions o = options(1);
  o.timeout_s = 10;
  o.timeout_reward = -5;
  ChoiceEngine engine(o, &learner);
  const Answer a = ask(engine, 1.0, 0, 100.0);
  ask(engine, 1.0, 0, 109.0);
  EXPECT(learner.reward(0) == 0.0);
  ask(engine, 1.0, 0, 111.0);
  EXPECT_NEAR(learner.reward(0), -5.0, 1e-9);
  EXPECT(engine.counters().expired == 1);
  // Late feedback is written down; its lesson was taken already.
  EXPECT(tell(engine, a.id, 7.0) == FeedbackResult::kRecorded);
  EXPECT_NEAR(learner.reward(0), -5.0, 1e-9);
}

void bad_contexts_and_bad_learners_get_the_default() {
  FixedLearner learner({0.5f, 0.5f});
  ChoiceEngine engine(options(2), &learner);
  for (const double bad : {kNaN, std::numeric_limits<double>::infinity()}) {
    const Answer a = ask(engine, bad, 1);
    EXPECT(a.reason == Reason::kBadContext && a.arm == 1 && a.propensity == 1.0f);
    EXPECT(tell(engine, a.id, 1.0) == FeedbackResult::kRecorded);  // nothing to learn from
  }
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -1.0f, 0.0f}) {
    learner.probabilities() = {bad, 0.0f};
    EXPECT(ask(engine, 1.0, 1).reason == Reason::kLearnerFailed);
  }
}

void switching_is_whole() {
  FixedLearner learner({0.0f, 1.0f});
  ChoiceOptions o = options(2);
  o.holdback = 0;
  ChoiceEngine engine(o, &learner);
  EXPECT(ask(engine).arm == 1);
  engine.guard().kill();
  EXPECT(ask(engine).reason == Reason::kKilled && ask(engine).arm == 0);
  engine.guard().set(Mode::kShadow, 0);
  EXPECT(ask(engine).reason == Reason::kKilled);  // the kill switch outlives a change of mode
  engine.guard().revive();
  const Answer shadow = ask(engine);
  EXPECT(shadow.reason == Reason::kShadow && shadow.arm == 0 && shadow.suggested == 1);
}

void another_objective_is_learned_from_raw_metrics() {
  FixedLearner learner({1.0f});
  ChoiceOptions o = options(1);
  o.metrics = {{-1.0, false}, {0.0, false}};
  ChoiceEngine engine(o, &learner);
  for (int i = 0; i < 3; ++i) {
    const double values[] = {2.0, 10.0};
    EXPECT(engine.feedback(ask(engine).id, values) == FeedbackResult::kLearned);
  }
  EXPECT_NEAR(learner.reward(0), -6.0, 1e-9);
  engine.set_objective({{0.0, false}, {1.0, false}});
  EXPECT_NEAR(learner.reward(0), 30.0, 1e-9);
}

void numbers_are_brought_to_one_scale() {
  FixedLearner learner({1.0f}, 2);
  ChoiceEngine engine(options(1), &learner);
  Random random(1);
  for (int i = 0; i < 600; ++i) ask(engine, 1e6 * std::exp(4 * random.uniform()));
  double sum = 0, squares = 0;
  for (int i = 0; i < 1000; ++i) {
    double value = 1e6 * std::exp(4 * random.uniform());
    float x[8];
    EXPECT(engine.encode(&value, x));
    sum += static_cast<double>(x[1]);
    squares += static_cast<double>(x[1] * x[1]);
  }
  EXPECT_NEAR(sum / 1000, 0.0, 0.15);
  EXPECT_NEAR(squares / 1000, 1.0, 0.2);
}

/// Whatever the ring's size and the share of bad rows: the 512th row costs no lessons.
void calibrating_forgets_no_lessons() {
  for (const int bad_every : {0, 2}) {
    FixedLearner learner({1.0f}, 2);
    ChoiceOptions o = options(1);
    o.pending_max = 8;
    ChoiceEngine engine(o, &learner);
    int lessons = 0;
    for (int i = 0; i < 1500; ++i) {
      const bool bad = bad_every && i % bad_every == 0;
      lessons += tell(engine, ask(engine, bad ? kNaN : i).id, 1.0) == FeedbackResult::kLearned;
    }
    EXPECT(lessons == (bad_every ? 750 : 1500));
    EXPECT_NEAR(learner.reward(0), lessons, 1e-9);
  }
}

/// How far apart the engine sees two values.
float apart(ChoiceEngine& engine, double a, double b) {
  float first[8], second[8];
  EXPECT(engine.encode(&a, first) && engine.encode(&b, second));
  return std::fabs(first[1] - second[1]);
}

/// Values that leave the range of the first 512 are told apart again after three rings at most, and
/// lessons are kept as far as the ring holds them.
void scales_follow_what_leaves_their_range() {
  for (const bool constant : {false, true}) {
    FixedLearner learner({1.0f}, 2);
    ChoiceOptions o = options(1);
    o.pending_max = 1024;
    ChoiceEngine engine(o, &learner);
    Random random(1);
    for (int i = 0; i < 600; ++i) ask(engine, constant ? 0.1 : random.uniform());
    EXPECT(constant ? apart(engine, 0.1, 0.1) == 0 : apart(engine, 500, 600) == 0);
    for (int i = 0; i < 3072; ++i) tell(engine, ask(engine, 500 + 100 * random.uniform()).id, 1.0);
    EXPECT(apart(engine, 500, 600) > 3.0f);
    EXPECT(learner.reward(0) > 1000);
    for (int i = 0; i < 4096; ++i) tell(engine, ask(engine, 500 + 100 * random.uniform()).id, 1.0);
    EXPECT(learner.reward(0) > 5000);  // after that nothing is forgotten
  }
}

/// A constant hides no small change either.
void a_constant_is_not_frozen() {
  FixedLearner learner({1.0f}, 2);
  ChoiceEngine engine(options(1), &learner);
  for (int i = 0; i < 600; ++i) ask(engine, 0.1);
  for (int i = 0; i < 8192; ++i) ask(engine, 0.1 + 1e-6 * (i % 2));
  EXPECT(apart(engine, 0.1, 0.1 + 1e-6) > 1.5f);
}

void scales_of_candidates_follow_too() {
  FixedLearner learner({0.5f, 0.5f}, 2, 1);
  ChoiceOptions o = options(2);
  o.shape.features = 1;
  ChoiceEngine engine(o, &learner);
  Random random(1);
  for (int i = 0; i < 600 + 3 * 4096; ++i) {
    const double shift = i < 600 ? 0 : 500;
    const float candidates[] = {static_cast<float>(shift + random.uniform()),
                                static_cast<float>(shift + random.uniform())};
    double row = random.uniform();
    Question question;
    question.row = &row;
    question.candidates = candidates;
    question.candidate_count = 2;
    engine.decide(question);
  }
  float scaled[16];
  const float ends[] = {500.0f, 501.0f};
  engine.arm_features(ends, 2, scaled);
  EXPECT(std::fabs(scaled[0] - scaled[8]) > 2.0f);
}

void categories_have_an_unseen_bucket() {
  Schema schema({{FieldKind::kCategory, true, 4}});
  EXPECT(schema.dimension() == 1 + 5 + 1);
  double row = 2;
  schema.meet(&row);
  EXPECT(row == 4);  // never seen before
  row = 2;
  schema.meet(&row);
  EXPECT(row == 2);
  float x[8];
  EXPECT(schema.encode(&row, x) == Schema::kGood && x[3] == 1.0f && x[5] == 0.0f);
  row = kNaN;
  EXPECT(schema.encode(&row, x) == Schema::kGood && x[6] == 1.0f);
  for (double bad : {-1.0, 5.0, 1.5}) {
    schema.meet(&bad);
    EXPECT(schema.encode(&bad, x) == 0);
  }
}

/// The comparison's interval holds at all times at once in at least 95 % of worlds.
void the_comparison_is_anytime_valid() {
  Random random(11);
  int misses = 0;
  constexpr int kWorlds = 400;
  for (int world = 0; world < kWorlds; ++world) {
    HoldbackComparison comparison;
    bool missed = false;
    for (int i = 0; i < 3000 && !missed; ++i) {
      const bool learned = random.uniform() < 0.8;
      const double noise = random.uniform() + random.uniform() - 1.0;
      comparison.observe(learned, 0.8, (learned ? 0.3 : 0.0) + noise);
      const Interval interval = comparison.interval(0.05);
      missed = interval.low > 0.3 || interval.high < 0.3;
    }
    misses += missed;
  }
  EXPECT(misses <= 0.05 * kWorlds);
}

}  // namespace

PROGRAM(test_choice) {
  propensities_are_frequencies();
  lessons_bring_their_own_context();
  feedback_joins_in_any_order();
  the_ring_is_bounded_and_counts_what_it_drops();
  time_outs_teach_the_default_reward();
  bad_contexts_and_bad_learners_get_the_default();
  switching_is_whole();
  another_objective_is_learned_from_raw_metrics();
  numbers_are_brought_to_one_scale();
  calibrating_forgets_no_lessons();
  scales_follow_what_leaves_their_range();
  a_constant_is_not_frozen();
  scales_of_candidates_follow_too();
  categories_have_an_unseen_bucket();
  the_comparison_is_anytime_valid();
}

}  // namespace test_choice
