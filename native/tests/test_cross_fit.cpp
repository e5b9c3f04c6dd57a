// Cross-fitting: a record is predicted from the others alone, and expectations are what they say.
#include <algorithm>
#include <cmath>
#include <vector>

#include "acumen/aligned.hpp"
#include "acumen/cross_fit.hpp"
#include "acumen/random.hpp"
#include "acumen/sequence_learner.hpp"
#include "expect.hpp"
#include "fixed_learner.hpp"
#include "learner_zoo.hpp"
#include "program.hpp"

namespace test_cross_fit {

using namespace acumen;

namespace {

constexpr std::uint32_t kArms = 3, kDimension = 4, kFolds = 5;

/// 600 records; the reward of arm a is a · x[1].
struct Log {
  explicit Log(std::uint64_t seed) : random(seed), x(kCount * padded(kDimension)) {
    for (std::uint32_t i = 0; i < kCount; ++i) {
      float* row = x.data() + i * padded(kDimension);
      row[0] = 1.0f;
      for (std::uint32_t j = 1; j < kDimension; ++j)
        row[j] = static_cast<float>(random.uniform() * 2 - 1);
      arm.push_back(random.below(kArms));
      reward.push_back(static_cast<float>(arm.back()) * row[1]);
      fold.push_back(i % kFolds);
    }
  }
  LoggedRows rows() const { return {kCount, x.data(), arm.data(), reward.data(), fold.data()}; }

  static constexpr std::uint32_t kCount = 600;
  Random random;
  AlignedArray<float> x;
  std::vector<std::uint32_t> arm, fold;
  std::vector<float> reward;
};

void check_predictions(const LearnerKind& kind) {
  Log log(1);
  const auto learner = kind.make({kDimension, kArms, 0}, 0.0);
  std::vector<float> out(Log::kCount * kArms, NAN);
  EXPECT(cross_fit(*learner, log.rows(), kFolds, out.data()));
  EXPECT(learner->version() == 0);
  double error = 0.0;
  for (std::uint32_t i = 0; i < Log::kCount; ++i)
    for (std::uint32_t a = 0; a < kArms; ++a) {
      const float truth = static_cast<float>(a) * log.x[i * padded(kDimension) + 1];
      error += std::pow(static_cast<double>(out[i * kArms + a] - truth), 2);
    }
  EXPECT(std::sqrt(error / out.size()) < 0.1);

  // Its own reward does not move a record's prediction; another fold's does.
  log.reward[7] = 1e6f;
  std::vector<float> again(out.size());
  EXPECT(cross_fit(*learner, log.rows(), kFolds, again.data()));
  bool others = false;
  for (std::uint32_t i = 0; i < Log::kCount; ++i)
    for (std::uint32_t a = 0; a < kArms; ++a) {
      const bool same = again[i * kArms + a] == out[i * kArms + a];
      if (log.fold[i] == log.fold[7]) EXPECT(same);
      others |= !same;
    }
  EXPECT(others);
}

/// In order: a reward moves later predictions only, and the first by the few that follow them.
void check_order(const LearnerKind& kind) {
  Log log(3);
  const auto learner = kind.make({kDimension, kArms, 0}, 0.0);
  std::vector<float> out(Log::kCount * kArms, NAN), again(out.size());
  EXPECT(fit_in_order(*learner, log.rows(), out.data()));
  EXPECT(learner->version() == 0);
  for (const float value : out) EXPECT(std::isfinite(value));
  log.reward[300] = 1e6f;
  EXPECT(fit_in_order(*learner, log.rows(), again.data()));
  const auto same = [&](std::size_t from, std::size_t to) {
    return std::equal(out.begin() + static_cast<std::ptrdiff_t>(from * kArms),
                      out.begin() + static_cast<std::ptrdiff_t>(to * kArms),
                      again.begin() + static_cast<std::ptrdiff_t>(from * kArms));
  };
  EXPECT(same(0, 301));
  EXPECT(!same(301, Log::kCount));
  // The last hundred are predicted well.
  for (std::uint32_t i = Log::kCount - 100; i < Log::kCount; ++i)
    for (std::uint32_t a = 0; a < kArms; ++a)
      EXPECT_NEAR(out[i * kArms + a],
                  static_cast<double>(static_cast<float>(a) * log.x[i * padded(kDimension) + 1]),
                  0.5);
  // Very short logs have answers, too.
  for (std::uint64_t rows = 0; rows < 5; ++rows) {
    LoggedRows few = log.rows();
    few.count = rows;
    EXPECT(fit_in_order(*learner, few, out.data()));
  }
}

void check_refusals() {
  Log log(2);
  std::vector<float> out(Log::kCount * kArms);
  FixedLearner fixed({0.2f, 0.3f, 0.5f}, kDimension);
  EXPECT(!cross_fit(fixed, log.rows(), kFolds, out.data()));
  EXPECT(!fit_in_order(fixed, log.rows(), out.data()));
  const auto learner = learner_zoo()[0].make({kDimension, kArms, 0}, 0.0);
  log.arm[3] = kArms;
  EXPECT(!cross_fit(*learner, log.rows(), kFolds, out.data()));
  EXPECT(learner->version() == 0);
  log.arm[3] = 0;
  log.reward[3] = NAN;
  EXPECT(!fit_in_order(*learner, log.rows(), out.data()));
  EXPECT(!cross_fit(*learner, log.rows(), kFolds, out.data()));
}

}  // namespace

PROGRAM(test_cross_fit) {
  for (const LearnerKind& kind : learner_zoo()) {
    // These model no rewards of single choices.
    const auto learner = kind.make({1, 1, 0}, 0.0);
    if (kind.name == "softmax_gradient" || dynamic_cast<SequenceLearner*>(learner.get())) continue;
    check_predictions(kind);
    check_order(kind);
  }
  check_refusals();
  std::puts("cross_fit: ok");
}

}  // namespace test_cross_fit
