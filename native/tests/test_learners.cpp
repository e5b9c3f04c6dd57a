// What holds for every native learner.
#include <algorithm>
#include <vector>

#include "acumen/learners/binned_additive.hpp"
#include "acumen/learners/lin_ucb.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "learner_zoo.hpp"
#include "program.hpp"

namespace test_learners {

using namespace acumen;

namespace {

/// A stream of lessons with ordinary contexts.
class World {
 public:
  World(const LearnerShape& shape, std::uint64_t seed)
      : shape_(shape),
        random_(seed),
        x_(padded(shape.dimension)),
        features_(shape.arms * padded(shape.features)) {}

  Lesson next() {
    x_[0] = 1.0f;
    for (std::uint32_t i = 1; i < shape_.dimension; ++i) x_[i] = draw();
    for (std::uint32_t a = 0; a < shape_.arms; ++a) {
      for (std::uint32_t k = 0; k < shape_.features; ++k) {
        features_[a * padded(shape_.features) + k] = draw();
      }
    }
    const std::uint32_t arm = random_.below(shape_.arms);
    const float* row = shape_.features ? features_.data() + arm * padded(shape_.features) : nullptr;
    const float gain = row ? row[0] : static_cast<float>(arm);
    const float last = x_[shape_.dimension - 1];
    return {x_.data(), arm, row, 1.0f / static_cast<float>(shape_.arms), gain * last + draw()};
  }
  ArmSet arms() const { return {shape_.arms, shape_.features ? features_.data() : nullptr}; }
  const float* x() const { return x_.data(); }

 private:
  float draw() { return static_cast<float>(random_.uniform() * 4 - 2); }

  LearnerShape shape_;
  Random random_;
  AlignedArray<float> x_, features_;
};

std::vector<float> ask(Learner& learner, const World& world) {
  std::vector<float> p(padded(learner.shape().arms));
  learner.distribution(world.x(), world.arms(), p.data());
  return p;
}

void check_refusals(const LearnerKind& kind) {
  const auto learner = kind.make({4, 3, 0}, 0.0);
  AlignedArray<float> x(8);
  x[0] = 1.0f;
  EXPECT(!learner->learn({x.data(), 3, nullptr, 0.5f, 1.0f}));
  EXPECT(!learner->learn({x.data(), 0, nullptr, 0.0f, 1.0f}));
  EXPECT(!learner->learn({x.data(), 0, nullptr, NAN, 1.0f}));
  EXPECT(!learner->learn({x.data(), 0, nullptr, 0.5f, NAN}));
  EXPECT(!learner->learn({x.data(), 0, nullptr, 0.5f, INFINITY}));
  EXPECT(!learner->learn({x.data(), 0, nullptr, 0.5f, 2e18f}));
  x[2] = NAN;
  EXPECT(!learner->learn({x.data(), 0, nullptr, 0.5f, 1.0f}));
  EXPECT(learner->version() == 0);
  const auto featured = kind.make({4, 3, 2}, 0.0);
  EXPECT(!featured->learn({x.data(), 0, nullptr, 0.5f, 1.0f}));
}

void check_round_trip(const LearnerKind& kind, const LearnerShape& shape, double half_life) {
  const auto one = kind.make(shape, half_life), two = kind.make(shape, half_life);
  World world(shape, 5);
  for (int i = 0; i < 3000; ++i) EXPECT(one->learn(world.next()));
  StateBuffer state, again;
  state.save(*one);
  again.bytes() = state.bytes();
  again.load(*two);
  EXPECT(two->validate() && two->version() == 3000);
  again.save(*two);
  EXPECT(again.bytes() == state.bytes());
  for (int i = 0; i < 200; ++i) {
    const Lesson lesson = world.next();
    EXPECT(ask(*one, world) == ask(*two, world));
    EXPECT(one->learn(lesson) && two->learn(lesson));
  }
  const std::size_t bytes = one->memory_bytes();
  one->reset();
  EXPECT(one->validate() && one->version() == 0 && one->memory_bytes() == bytes);
  const auto fresh = kind.make(shape, half_life);
  EXPECT(ask(*one, world) == ask(*fresh, world));
}

void check_merge(const LearnerShape& shape) {
  LinUCB one(shape, {}), two(shape, {}), all(shape, {});
  World world(shape, 6);
  for (int i = 0; i < 2000; ++i) {
    const Lesson lesson = world.next();
    EXPECT((i % 3 ? one : two).learn(lesson) && all.learn(lesson));
  }
  EXPECT(one.merge(two) && one.validate() && one.version() == 2000);
  const RidgeModels &merged = one.models(), &whole = all.models();
  for (std::uint32_t m = 0; m < merged.models(); ++m) {
    for (std::size_t i = 0; i < packed_size(merged.dimension()); ++i) {
      EXPECT_NEAR(merged.sums(m)[i], whole.sums(m)[i], 1e-9 * (1 + std::fabs(whole.sums(m)[i])));
    }
    for (std::uint32_t i = 0; i < merged.dimension(); ++i) {
      const double expected = whole.products(m)[i];
      EXPECT_NEAR(merged.products(m)[i], expected, 1e-9 * (1 + std::fabs(expected)));
      EXPECT_NEAR(merged.theta(m)[i], whole.theta(m)[i], 2e-3);
    }
  }
  EXPECT_NEAR(one.scale().average(), all.scale().average(), 1e-9);
  EXPECT_NEAR(one.scale().deviation(), all.scale().deviation(), 1e-9);
  EXPECT(!one.merge(*std::make_unique<BinnedAdditive>(shape, BinnedAdditiveOptions{})));
  LinUCB other({shape.dimension + 1, shape.arms, shape.features}, {});
  EXPECT(!one.merge(other) && one.version() == 2000);
}

}  // namespace

PROGRAM(test_learners) {
  for (const LearnerKind& kind : learner_zoo()) {
    check_refusals(kind);
    for (const LearnerShape& shape : {LearnerShape{17, 10, 0}, {1, 3, 0}, {5, 6, 3}, {40, 4, 6}}) {
      check_round_trip(kind, shape, 0.0);
      check_round_trip(kind, shape, 100.0);
    }
  }
  check_merge({9, 4, 0});
  check_merge({5, 4, 3});
  std::puts("learners: ok");
}

}  // namespace test_learners
