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

#include "acumen/learner.hpp"

namespace acumen {

/// Rows of a log, as columns; x has padded(dimension) floats a row.
struct LoggedRows {
  std::uint64_t count = 0;
  const float* x = nullptr;
  const std::uint32_t* arm = nullptr;
  const float* reward = nullptr;
  const std::uint32_t* fold = nullptr;  ///< 0 … folds - 1
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

/// The same in one pass: every record is predicted by a model that was taught with those before it;
/// the first kFirst, before which there is next to nothing, by one of the kFirst that follow.
/// `rows.fold` is not looked at.
///
/// What the model is taught of later records can depend on earlier ones, as it does in the log of a
/// policy that learns, and in no two records do errors of one model meet: their sum is a
/// martingale.
inline bool fit_in_order(Learner& learner, const LoggedRows& rows, float* out) {
  constexpr std::uint64_t kFirst = 32;
  const std::uint32_t stride = padded(learner.shape().dimension), arms = learner.shape().arms;
  const auto learn = [&](std::uint64_t i) {
    return learner.learn({rows.x + i * stride, rows.arm[i], nullptr, 1.0f, rows.reward[i]});
  };
  const auto predict = [&](std::uint64_t i) {
    return learner.expected(rows.x + i * stride, {arms, nullptr}, out + i * arms);
  };
  const std::uint64_t first = std::min(kFirst, rows.count / 2);
  bool good = true;
  learner.reset();
  for (std::uint64_t i = first; good && i < 2 * first; ++i) good = learn(i);
  for (std::uint64_t i = 0; good && i < first; ++i) good = predict(i);
  learner.reset();
  for (std::uint64_t i = 0; good && i < rows.count; ++i)
    good = (i < first || predict(i)) && learn(i);
  learner.reset();
  return good;
}

}  // namespace acumen
