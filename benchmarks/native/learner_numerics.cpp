// A billion lessons: does a learner stay finite, and how far is it from the exact solution?
//
// Two arms, four inputs: the bias, an input that equals it, a uniform one, and one a thousand times
// larger. The reference accumulates the same sums in long double and solves them once, at the end.
// Build and run, from the repository's root after `make .venv/.installed`:
//   g++ -std=c++20 -O3 -Inative/include benchmarks/native/learner_numerics.cpp
//       build/*/libacumen_kernels.a -o build/learner_numerics && build/learner_numerics
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "acumen/learners/square_cb.hpp"
#include "acumen/random.hpp"

using namespace acumen;

namespace {

constexpr std::uint32_t kDimension = 4, kArms = 2;
constexpr std::uint64_t kSeed = 11;

struct Exact {
  long double sums[kDimension][kDimension] = {}, products[kDimension] = {};

  void add(const float* x, float reward, long double decay) {
    for (std::uint32_t i = 0; i < kDimension; ++i) {
      for (std::uint32_t j = 0; j < kDimension; ++j) {
        sums[i][j] = decay * sums[i][j] + static_cast<long double>(x[i]) * x[j];
      }
      products[i] = decay * products[i] + static_cast<long double>(x[i]) * reward;
    }
  }

  /// Weights of the ridge regression with prior 1 around `prior_mean`, by Gauss's elimination.
  void solve(double prior_mean, long double* weights) {
    for (std::uint32_t i = 0; i < kDimension; ++i) sums[i][i] += 1.0L;
    products[0] += prior_mean;
    for (std::uint32_t k = 0; k < kDimension; ++k) {
      for (std::uint32_t i = k + 1; i < kDimension; ++i) {
        const long double f = sums[i][k] / sums[k][k];
        for (std::uint32_t j = k; j < kDimension; ++j) sums[i][j] -= f * sums[k][j];
        products[i] -= f * products[k];
      }
    }
    for (std::uint32_t i = kDimension; i-- > 0;) {
      weights[i] = products[i];
      for (std::uint32_t j = i + 1; j < kDimension; ++j) weights[i] -= sums[i][j] * weights[j];
      weights[i] /= sums[i][i];
    }
  }
};

void context(Random& random, float* x) {
  x[0] = x[1] = 1.0f;
  x[2] = static_cast<float>(random.uniform() * 2 - 1);
  x[3] = static_cast<float>(1000 * (random.uniform() * 2 - 1));
}

void run(std::uint64_t lessons, double half_life) {
  SquareCBOptions options;
  options.half_life = half_life;
  SquareCB learner({kDimension, kArms, 0}, options);
  const long double decay = half_life > 0 ? std::exp2(-1.0L / half_life) : 1.0L;
  Exact exact[kArms];
  Random random(kSeed);
  AlignedArray<float> x(padded(kDimension));
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t n = 0; n < lessons; ++n) {
    context(random, x.data());
    const auto arm = static_cast<std::uint32_t>(n % kArms);
    const double expected = 3.0 + (arm ? 2.0 : -1.0) * x[2] - 0.01 * x[3];
    const float reward = static_cast<float>(expected + random.uniform() - 0.5);
    learner.learn({x.data(), arm, nullptr, 0.5f, reward});
    // The other arm's sums age by one lesson, too: both lessons' decay at once.
    exact[arm].add(x.data(), reward, decay * decay);
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  long double weights[kArms][kDimension];
  for (std::uint32_t a = 0; a < kArms; ++a) exact[a].solve(learner.scale().average(), weights[a]);
  double worst = 0;
  for (int i = 0; i < 1000; ++i) {
    context(random, x.data());
    float means[kArms];
    learner.models().means(x.data(), kArms, means);
    for (std::uint32_t a = 0; a < kArms; ++a) {
      long double mean = 0;
      for (std::uint32_t j = 0; j < kDimension; ++j) mean += weights[a][j] * x[j];
      worst = std::max(worst, std::fabs(static_cast<double>(means[a] - mean)));
    }
  }
  const bool valid = learner.validate();
  std::printf(
      "%llu lessons, half-life %g, seed %llu: valid %s, largest error of a mean %.2e, %.0f s\n",
      static_cast<unsigned long long>(lessons), half_life, static_cast<unsigned long long>(kSeed),
      valid ? "yes" : "NO", worst, spent.count());
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t lessons = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000'000;
  run(lessons, 0.0);
  run(lessons, 1e6);
  run(lessons, 1e3);
}
