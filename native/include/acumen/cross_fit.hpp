// Cross-fitting: what a model expects of every record, taught with the other records only.
//
// Idea       The records are dealt into folds. For each fold a learner is taught with all the
//            others, in order, and asked about those of the fold: no prediction has seen the reward
//            that it is going to be compared with, so that a flexible model cannot flatter itself.
// Guarantee  Every row of `out` is written, or false is returned. The learner is left empty.
// Cost       (folds - 1) · rows lessons and rows questions.
// Paper      Schick, "On asymptotically efficient estimation in semiparametric models", Annals of
//            Statistics 1986; Chernozhukov et al., "Double/debiased machine learning for treatment
//            and structural parameters", Econometrics Journal 2018.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "acumen/learner.hpp"

namespace acumen {

/// Rows of a log, as columns; x has padded(dimension) floats a row.
struct LoggedRows {
  std::uint64_t count = 0;
  const float* x = nullptr;
  const std::uint32_t* arm = nullptr;
  const float* reward = nullptr;
  const std::uint32_t* fold = nullptr;  ///< 0 … folds - 1
  const double* weight = nullptr;       ///< how much it matters that a record is predicted well
};

/// Writes count · arms expected rewards into `out`. False: a record cannot be learned from, or the
/// learner models no rewards.
inline bool cross_fit(Learner& learner, const LoggedRows& rows, std::uint32_t folds, float* out) {
  const std::uint32_t stride = padded(learner.shape().dimension), arms = learner.shape().arms;
  bool good = true;
  for (std::uint32_t k = 0; good && k < folds; ++k) {
    learner.reset();
    learner.begin_bulk();
    for (std::uint64_t i = 0; good && i < rows.count; ++i) {
      if (rows.fold[i] == k) continue;
      good = learner.learn({rows.x + i * stride, rows.arm[i], nullptr, 1.0f, rows.reward[i]});
    }
    learner.end_bulk();
    for (std::uint64_t i = 0; good && i < rows.count; ++i) {
      if (rows.fold[i] != k) continue;
      good = learner.expected(rows.x + i * stride, {arms, nullptr}, out + i * arms);
    }
  }
  learner.reset();
  return good;
}

/// How far a model's expectations are to be trusted, judged by how they did on the records so far.
///
/// The model's expectation moves each arm's own mean by a share of what it says: the slope of the
/// rewards on it, so far, each about their arm's mean; recent records count more, since the model
/// gets better. A model with many weights for few, noisy records is thus hardly listened to.
class Trust {
 public:
  explicit Trust(std::uint32_t arms) : sums_(arms), counts_(arms) {}

  /// Replaces a model's expectations by those that are trusted.
  void temper(float* expected) const {
    const double share = slope_ > 0.0 ? std::clamp(product_ / slope_, 0.0, 1.0) : 0.0;
    for (std::uint32_t a = 0; a < sums_.size(); ++a) {
      const double own = mean(a);
      expected[a] = static_cast<float>(own + share * (static_cast<double>(expected[a]) - own));
    }
  }

  /// The reward of a record, what the model itself had expected of its arm, and how much it
  /// matters.
  void see(std::uint32_t arm, double expected, double reward, double weight) {
    const double own = mean(arm), said = expected - own;
    const double keep = 1.0 - 1.0 / std::max(kMemory, 0.25 * total_);
    product_ = keep * product_ + weight * said * (reward - own);
    slope_ = keep * slope_ + weight * said * said;
    sums_[arm] += reward;
    counts_[arm] += 1.0;
    sum_ += reward;
    total_ += 1.0;
  }

 private:
  static constexpr double kMemory = 32.0;

  /// With the mean of all as one more record.
  double mean(std::uint32_t arm) const {
    const double all = total_ > 0.0 ? sum_ / total_ : 0.0;
    return (sums_[arm] + all) / (counts_[arm] + 1.0);
  }

  std::vector<double> sums_, counts_;
  double sum_ = 0.0, total_ = 0.0, product_ = 0.0, slope_ = 0.0;
};

/// The same in one pass: every record is predicted by a model that was taught with those before it,
/// as far as it is to be trusted; the first kFirst, before which there is next to nothing, by one
/// of the kFirst that follow. `rows.fold` is not looked at.
///
/// What the model is taught of later records can depend on earlier ones, as it does in the log of a
/// policy that learns, and in no two records do errors of one model meet: their sum is a
/// martingale.
inline bool fit_in_order(Learner& learner, const LoggedRows& rows, float* out) {
  constexpr std::uint64_t kFirst = 32;
  const std::uint32_t stride = padded(learner.shape().dimension), arms = learner.shape().arms;
  Trust trust(arms);
  std::vector<float> said(arms);
  bool good = true;
  const auto predict = [&](std::uint64_t i, float* expected) {
    good = good && learner.expected(rows.x + i * stride, {arms, nullptr}, said.data());
    if (!expected) return;
    std::copy(said.begin(), said.end(), expected);
    trust.temper(expected);
  };
  const auto learn = [&](std::uint64_t i) {
    predict(i, nullptr);
    const std::uint32_t arm = rows.arm[i];
    good = good && learner.learn({rows.x + i * stride, arm, nullptr, 1.0f, rows.reward[i]});
    if (good)
      trust.see(arm, static_cast<double>(said[arm]), static_cast<double>(rows.reward[i]),
                rows.weight ? rows.weight[i] : 1.0);
  };
  const std::uint64_t first = std::min(kFirst, rows.count / 2);
  learner.reset();
  for (std::uint64_t i = first; good && i < 2 * first; ++i) learn(i);
  for (std::uint64_t i = 0; good && i < first; ++i) predict(i, out + i * arms);
  learner.reset();
  trust = Trust(arms);
  for (std::uint64_t i = 0; good && i < rows.count; ++i) {
    if (i >= first) predict(i, out + i * arms);
    learn(i);
  }
  learner.reset();
  return good;
}

}  // namespace acumen
