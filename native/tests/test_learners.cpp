// What holds for every native learner, and the numerics of ridge regression over ten million
// lessons, against an exact solution in double.
#include <algorithm>
#include <vector>

#include "acumen/random.hpp"
#include "expect.hpp"
#include "learner_zoo.hpp"

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

/// Contexts that break naive recursive least squares: a constant input beside the bias, two inputs
/// that are equal, one that is never set, scales from 1e-4 to 1e3.
void hostile_context(Random& random, float* x) {
  const auto draw = [&] { return static_cast<float>(random.uniform() * 2 - 1); };
  x[0] = x[1] = 1.0f;
  x[2] = x[3] = draw();
  x[4] = 0.0f;
  x[5] = 1e3f * draw();
  x[6] = 1e-4f * draw();
  x[7] = draw();
}

double hostile_reward(const float* x) {
  return 3.0 + 2.0 * x[2] - 0.01 * x[5] + x[7];
}

/// The weights of (S + λI)⁻¹ (b + λ μ e₀) by Cholesky in long double.
std::vector<long double> reference(std::vector<long double> s, std::vector<long double> b,
                                   std::size_t d) {
  for (std::size_t i = 0; i < d; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      for (std::size_t k = 0; k < j; ++k) s[i * d + j] -= s[i * d + k] * s[j * d + k];
      s[i * d + j] = i == j ? std::sqrt(s[i * d + i]) : s[i * d + j] / s[j * d + j];
    }
    for (std::size_t k = 0; k < i; ++k) b[i] -= s[i * d + k] * b[k];
    b[i] /= s[i * d + i];
  }
  for (std::size_t i = d; i-- > 0;) {
    for (std::size_t k = i + 1; k < d; ++k) b[i] -= s[k * d + i] * b[k];
    b[i] /= s[i * d + i];
  }
  return b;
}

void check_numerics(std::uint64_t lessons, double half_life) {
  constexpr std::uint32_t kDimension = 8;
  RidgeModels model(1, kDimension, 1.0, half_life);
  const long double decay = half_life > 0 ? std::exp2(-1.0L / half_life) : 1.0L;
  std::vector<long double> sums(kDimension * kDimension), products(kDimension);
  Random random(11);
  AlignedArray<float> x(kDimension);
  for (std::uint64_t n = 0; n < lessons; ++n) {
    hostile_context(random, x.data());
    const float reward = static_cast<float>(hostile_reward(x.data()) + random.uniform() - 0.5);
    const double noise = model.learn(0, x.data(), reward).noise();
    if (n % 1024 == 0) EXPECT(std::isfinite(noise));
    for (std::uint32_t i = 0; i < kDimension; ++i) {
      const long double xi = x[i];
      for (std::uint32_t j = 0; j < kDimension; ++j) {
        sums[i * kDimension + j] = decay * sums[i * kDimension + j] + xi * x[j];
      }
      products[i] = decay * products[i] + xi * reward;
    }
  }
  EXPECT(model.validate());
  for (std::uint32_t i = 0; i < kDimension; ++i) sums[i * kDimension + i] += 1.0L;
  const auto weights = reference(sums, products, kDimension);
  AlignedArray<float> variance(8);
  double worst = 0, widest = 0;
  for (int i = 0; i < 1000; ++i) {
    hostile_context(random, x.data());
    const float mean = model.mean(x.data());
    model.variances(x.data(), 1, variance.data());
    long double expected = 0;
    for (std::uint32_t j = 0; j < kDimension; ++j) expected += weights[j] * x[j];
    worst = std::max(worst, std::fabs(static_cast<double>(mean - expected)));
    widest = std::max<double>(widest, variance[0]);
  }
  std::printf("ridge, %llu lessons, half-life %g: mean off by at most %.2e, variance <= %.2e\n",
              static_cast<unsigned long long>(lessons), half_life, worst, widest);
  EXPECT(worst < (half_life > 0 ? 0.02 : 0.002));
  // An input never seen stays about as uncertain as the prior, and not more.
  EXPECT(widest < (half_life > 0 ? 0.2 : 1e-3));
  x.clear();
  x[4] = 1.0f;
  model.variances(x.data(), 1, variance.data());
  EXPECT(variance[0] > 0.5f && variance[0] <= 1.001f);
}

void check_idle_arm_becomes_uncertain() {
  RidgeModels models(2, 2, 1.0, 50.0);
  AlignedArray<float> x(8);
  x[0] = 1.0f;
  float before[8], after[8];
  for (int i = 0; i < 400; ++i) models.learn(i % 2, x.data(), 1.0f);
  models.variances(x.data(), 2, before);
  for (int i = 0; i < 400; ++i) models.learn(0, x.data(), 1.0f);
  models.variances(x.data(), 2, after);
  EXPECT(after[0] < 1.5f * before[0]);
  EXPECT(after[1] > 20.0f * before[1] && after[1] <= 1.0f);
}

}  // namespace

int main() {
  for (const LearnerKind& kind : learner_zoo()) {
    check_refusals(kind);
    for (const LearnerShape& shape : {LearnerShape{17, 10, 0}, {1, 3, 0}, {5, 6, 3}, {40, 4, 6}}) {
      check_round_trip(kind, shape, 0.0);
      check_round_trip(kind, shape, 100.0);
    }
  }
  check_merge({9, 4, 0});
  check_merge({5, 4, 3});
  check_idle_arm_becomes_uncertain();
  check_numerics(10'000'000, 0.0);
  check_numerics(3'000'000, 1000.0);
  std::puts("learners: ok");
}
