// The apprentice and its model of the default: imitation, hand-over, state, hostile lessons.
#include <algorithm>
#include <limits>
#include <memory>

#include "acumen/learners/apprentice.hpp"
#include "acumen/learners/square_cb.hpp"
#include "acumen/random.hpp"
#include "acumen/sampling.hpp"
#include "expect.hpp"
#include "learner_zoo.hpp"
#include "program.hpp"

namespace test_apprentice {

using namespace acumen;

namespace {

constexpr std::uint32_t kArms = 3;
constexpr LearnerShape kShape{3, kArms, 0};

struct Context {
  AlignedArray<float> x{padded(kShape.dimension)};
  explicit Context(Random& random) {
    x[0] = 1.0f;
    for (std::uint32_t i = 1; i < kShape.dimension; ++i)
      x[i] = static_cast<float>(4.0 * random.uniform() - 2.0);
  }
  /// What the default does: two thresholds. Arm 2 is better everywhere, and it never takes that.
  std::uint32_t teacher() const { return x[1] > 0.3f && x[2] < 0.5f ? 1 : 0; }
};

float reward(std::uint32_t arm, Random& random) {
  return static_cast<float>((arm == 2 ? 1.0 : 0.0) + random.uniform() - 0.5);
}

Apprentice make(const LearnerShape& shape = kShape) {
  return {std::make_shared<SquareCB>(shape, SquareCBOptions{}), ApprenticeOptions{}};
}

void log_of_the_default(Apprentice& learner, Random& random, int lessons) {
  for (int i = 0; i < lessons; ++i) {
    const Context context(random);
    const std::uint32_t arm = context.teacher();
    EXPECT(learner.learn({context.x.data(), arm, nullptr, 1.0f, reward(arm, random), true}));
  }
}

double agreement(Apprentice& learner, Random& random) {
  int same = 0;
  AlignedArray<float> p(padded(kArms));
  for (int i = 0; i < 1000; ++i) {
    const Context context(random);
    learner.distribution(context.x.data(), {kArms, nullptr}, p.data());
    same += std::max_element(p.data(), p.data() + kArms) - p.data() == context.teacher();
  }
  return same / 1000.0;
}

void it_imitates_and_then_improves() {
  Apprentice learner = make();
  Random random(1);
  EXPECT(!learner.bound() && learner.share() == 1.0);
  log_of_the_default(learner, random, 100);
  EXPECT(learner.bound() && learner.share() == 0.0);  // not proven yet
  log_of_the_default(learner, random, 3000);
  EXPECT(learner.share() == 0.1 && learner.agreement() > 0.95);
  EXPECT(agreement(learner, random) > 0.95);
  AlignedArray<float> p(padded(kArms));
  for (int i = 0; i < 20'000 && learner.share() < 1.0; ++i) {
    const Context context(random);
    learner.distribution(context.x.data(), {kArms, nullptr}, p.data());
    const std::uint32_t arm = draw_arm(dense_kernels(), p.data(), kArms, random.uniform());
    EXPECT(learner.learn({context.x.data(), arm, nullptr, p[arm], reward(arm, random)}));
  }
  EXPECT(learner.share() == 1.0);
  EXPECT(agreement(learner, random) < 0.1);  // it has found arm 2
  learner.reset();
  EXPECT(!learner.bound() && learner.demonstrations() == 0);
}

void arms_with_features_are_imitated_where_they_stay_the_same() {
  constexpr LearnerShape shape{3, kArms, 2};
  const float table[] = {-1.0f, 1.0f, 0.0f, -0.5f, 1.0f, 1.0f};
  AlignedArray<float> rows(kArms * padded(2));
  for (std::uint32_t i = 0; i < kArms * 2; ++i) rows[i / 2 * padded(2) + i % 2] = table[i];
  for (const bool told : {true, false}) {
    Apprentice learner(std::make_shared<SquareCB>(shape, SquareCBOptions{}), ApprenticeOptions{},
                       told ? table : nullptr);
    Random random(6);
    for (int i = 0; i < 3000; ++i) {
      const Context context(random);
      const std::uint32_t arm = context.teacher();
      EXPECT(learner.learn(
          {context.x.data(), arm, rows.data() + arm * padded(2), 1.0f, reward(arm, random), true}));
    }
    EXPECT(learner.bound() == told);
    EXPECT(learner.share() == (told ? 0.1 : 1.0));
    AlignedArray<float> p(padded(kArms));
    for (int i = 0; i < 20'000 && learner.share() < 1.0; ++i) {
      const Context context(random);
      learner.distribution(context.x.data(), {kArms, rows.data()}, p.data());
      const std::uint32_t arm = draw_arm(dense_kernels(), p.data(), kArms, random.uniform());
      EXPECT(learner.learn(
          {context.x.data(), arm, rows.data() + arm * padded(2), p[arm], reward(arm, random)}));
    }
    EXPECT(learner.share() == 1.0 && learner.validate());
  }
}

void demonstrations_alone_are_no_log() {
  Apprentice learner = make();
  Random random(2);
  const Context context(random);
  EXPECT(learner.learn({context.x.data(), 0, nullptr, 0.4f, 1.0f, true}));  // a holdback's
  log_of_the_default(learner, random, 500);
  EXPECT(!learner.bound() && learner.share() == 1.0);
}

void its_state_is_all_there_is() {
  Apprentice one = make(), two = make();
  Random random(3);
  log_of_the_default(one, random, 2500);
  StateBuffer state;
  state.save(one);
  state.load(two);
  EXPECT(two.validate());
  Random a(4), b(4);
  log_of_the_default(one, a, 700);
  log_of_the_default(two, b, 700);
  StateBuffer ours, theirs;
  ours.save(one);
  theirs.save(two);
  EXPECT(ours.bytes() == theirs.bytes());
}

void hostile_lessons_leave_it_valid() {
  Apprentice learner = make();
  Random random(5);
  const float values[] = {1e18f, -1e18f, 1e-40f, 0.0f, 1.0f};
  for (int i = 0; i < 5000; ++i) {
    Context context(random);
    if (i % 5 == 0) context.x[1] = 1e4f * (i % 2 ? 1.0f : -1.0f);
    const float p = i < 2000 ? 1.0f : 1e-6f;
    EXPECT(learner.learn(
        {context.x.data(), context.teacher(), nullptr, p, values[i % 5], i % 3 != 1 || i < 2000}));
  }
  EXPECT(learner.validate());
  const Context context(random);
  AlignedArray<float> p(padded(kArms));
  learner.distribution(context.x.data(), {kArms, nullptr}, p.data());
  EXPECT_NEAR(static_cast<double>(p[0] + p[1] + p[2]), 1.0, 1e-3);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT(!learner.learn({context.x.data(), 0, nullptr, 1.0f, nan, true}));
  EXPECT(!learner.learn({context.x.data(), 7, nullptr, 1.0f, 1.0f, true}));
}

void with_features_or_without_inputs_it_works() {
  for (const LearnerShape shape : {LearnerShape{1, 4, 0}, LearnerShape{3, 4, 2}}) {
    Apprentice learner = make(shape);
    AlignedArray<float> x(padded(shape.dimension)), features(4 * padded(shape.features) + 8), p(8);
    x[0] = 1.0f;
    const float* row = shape.features ? features.data() : nullptr;
    for (int i = 0; i < 400; ++i) EXPECT(learner.learn({x.data(), 2, row, 1.0f, 1.0f, true}));
    learner.distribution(x.data(), {4, row}, p.data());
    EXPECT(learner.bound() == (shape.features == 0 || learner.demonstrations() > 0));
    EXPECT_NEAR(static_cast<double>(p[0] + p[1] + p[2] + p[3]), 1.0, 1e-3);
    if (shape.features == 0) EXPECT(p[2] > 0.8f);
  }
}

}  // namespace

PROGRAM(test_apprentice) {
  it_imitates_and_then_improves();
  arms_with_features_are_imitated_where_they_stay_the_same();
  demonstrations_alone_are_no_log();
  its_state_is_all_there_is();
  hostile_lessons_leave_it_valid();
  with_features_or_without_inputs_it_works();
}

}  // namespace test_apprentice
