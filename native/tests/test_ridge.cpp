// The numerics of ridge regression over ten million lessons, against an exact solution in double.
#include <algorithm>
#include <cmath>
#include <vector>

#include "acumen/learners/ridge.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "program.hpp"

namespace test_ridge {

using namespace acumen;

namespace {

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

PROGRAM(test_ridge) {
  check_idle_arm_becomes_uncertain();
  check_numerics(in_full(10'000'000, 300'000), 0.0);
  check_numerics(in_full(3'000'000, 100'000), 1000.0);
  std::puts("ridge: ok");
}

}  // namespace test_ridge
