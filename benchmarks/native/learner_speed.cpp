// Nanoseconds per operation of every native learner: 10 arms, 16 floats and the bias.
//
// Build and run, from the repository's root after `make .venv/.installed`:
//   g++ -std=c++20 -O3 -Inative/include benchmarks/native/learner_speed.cpp
//       build/*/libacumen_kernels.a -o build/learner_speed && build/learner_speed
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <vector>

#include "acumen/learners/binned_additive.hpp"
#include "acumen/learners/epsilon_greedy.hpp"
#include "acumen/learners/lin_ucb.hpp"
#include "acumen/learners/softmax_gradient.hpp"
#include "acumen/learners/square_cb.hpp"
#include "acumen/learners/thompson.hpp"
#include "acumen/random.hpp"

using namespace acumen;

namespace {

constexpr std::uint32_t kRows = 1024, kRounds = 40;

struct Data {
  AlignedArray<float> x, features;
  std::uint32_t stride, arm_stride;

  explicit Data(const LearnerShape& shape)
      : x(kRows * padded(shape.dimension)),
        features(shape.arms * padded(shape.features)),
        stride(padded(shape.dimension)),
        arm_stride(padded(shape.features)) {
    Random random(7);
    for (std::uint32_t i = 0; i < kRows; ++i) {
      x[i * stride] = 1.0f;
      for (std::uint32_t j = 1; j < shape.dimension; ++j) {
        x[i * stride + j] = static_cast<float>(random.uniform() * 4 - 2);
      }
    }
    for (std::uint32_t a = 0; a < shape.arms; ++a) {
      for (std::uint32_t k = 0; k < shape.features; ++k) {
        features[a * arm_stride + k] = static_cast<float>(random.uniform() * 2 - 1);
      }
    }
  }
  const float* row(std::uint32_t i) const { return x.data() + (i % kRows) * stride; }
};

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + v.size() / 2, v.end());
  return v[v.size() / 2];
}

template <class Body>
double nanoseconds(Body body) {
  std::vector<double> rounds;
  for (std::uint32_t r = 0; r < kRounds; ++r) {
    const auto start = std::chrono::steady_clock::now();
    for (std::uint32_t i = 0; i < kRows; ++i) body(i);
    const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
    rounds.push_back(spent.count() / kRows);
  }
  return median(rounds);
}

void measure(const char* name, Learner& learner) {
  const LearnerShape& shape = learner.shape();
  const Data data(shape);
  const ArmSet arms{shape.arms, shape.features ? data.features.data() : nullptr};
  std::vector<float> p(padded(shape.arms));
  Random random(1);
  const auto lesson = [&](std::uint32_t i) {
    const std::uint32_t arm = i % shape.arms;
    const float* f = shape.features ? data.features.data() + arm * data.arm_stride : nullptr;
    return Lesson{data.row(i), arm, f, 0.1f, data.row(i)[1 + arm % 4] * 0.1f};
  };
  for (std::uint32_t i = 0; i < 20 * kRows; ++i) learner.learn(lesson(i * 7 + i / 64));
  double sink = 0;
  const double learn = nanoseconds([&](std::uint32_t i) { learner.learn(lesson(i * 7)); });
  const double choose = nanoseconds([&](std::uint32_t i) {
    learner.distribution(data.row(i), arms, p.data());
    sink += p[0];
  });
  std::printf(
      "%-24s %3u arms %3u dims %2u features: distribution %8.1f ns  learn %8.1f ns  %zu B%s\n",
      name, shape.arms, shape.dimension, shape.features, choose, learn, learner.memory_bytes(),
      sink == 0.5 ? " " : "");
}

}  // namespace

int main() {
  const LearnerShape shapes[] = {{17, 10, 0}, {17, 64, 0}, {9, 10, 0},
                                 {17, 10, 4}, {17, 64, 4}, {33, 10, 8}};
  for (const LearnerShape& shape : shapes) {
    measure("epsilon_greedy", *std::make_unique<EpsilonGreedy>(shape, EpsilonGreedyOptions{}));
    measure("lin_ucb", *std::make_unique<LinUCB>(shape, LinUCBOptions{}));
    measure("thompson", *std::make_unique<Thompson>(shape, ThompsonOptions{}));
    measure("square_cb", *std::make_unique<SquareCB>(shape, SquareCBOptions{}));
    measure("softmax_gradient",
            *std::make_unique<SoftmaxGradient>(shape, SoftmaxGradientOptions{}));
    measure("binned_additive", *std::make_unique<BinnedAdditive>(shape, BinnedAdditiveOptions{}));
  }
}
