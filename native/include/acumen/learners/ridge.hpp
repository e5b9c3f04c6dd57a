// Ridge regressions, learned online: one for every arm, or one that all arms share.
//
// Idea       A model is the weighted sums S = Σ x xᵀ and b = Σ r x of its lessons, in double, and
//            what is read on every choice, in float: the weights theta and the inverse
//            P = (S + λI)⁻¹. A lesson moves theta and P by one Sherman–Morrison step; every so many
//            lessons both are computed anew from S and b, so that float errors never pile up.
//            Nothing else reads S and b: lessons wait in a model's queue and are added to them
//            eight at a time, while the sums are in registers, which changes no bit of them.
// Guarantee  Finite for any lesson that Learner::learn lets through, for 10^9 lessons and more:
//            sums of squares grow linearly in double, and the prior λI is added at every refresh,
//            so that S + λI never becomes singular and forgetting never winds up P. Without
//            forgetting, sums of two learners add up exactly (merge).
//            The prior mean of every model is "the average reward, whatever the context".
// Forgetting Time passes for all models with every lesson of any: the world drifts also for the
// arms
//            that nobody takes. A model's sums are decayed when it is next used; until then its
//            variance grows by 2^(lessons since / half-life), up to that of a model never taught.
// Layout     Per model: packed S and P (see dense.hpp), b and theta of padded(d) values; a queue
//            of kQueue lessons: x, reward, decay.
// Paper      Sherman & Morrison, 1950; recursive least squares with forgetting: Ljung, "System
//            Identification", 1999, ch. 11; covariance wind-up: Stenlund & Gustafsson, 2002.
#pragma once

#include <algorithm>
#include <cmath>

#include "acumen/aligned.hpp"
#include "acumen/learner.hpp"

namespace acumen {

/// How a lesson compares with what was expected before it.
struct Surprise {
  double error = 0.0;     ///< reward - prediction
  double variance = 0.0;  ///< xᵀPx >= 0, of the prediction, in units of the noise's variance

  /// An estimate of the noise's variance.
  double noise() const { return error * error / (1.0 + variance); }
};

class RidgeModels {
 public:
  /// prior: λ > 0. half_life in lessons (of all models together); 0: never forget.
  RidgeModels(std::uint32_t models, std::uint32_t dimension, double prior, double half_life)
      : models_(models),
        dimension_(dimension),
        stride_(padded(dimension)),
        packed_(packed_size(dimension)),
        prior_(prior),
        growth_(half_life > 0.0 ? std::exp2(1.0 / half_life) : 1.0),
        refresh_every_(std::max<std::uint64_t>(64, 8 * dimension)),
        sums_(models * packed_),
        products_(models * stride_),
        inverses_(models * packed_),
        thetas_(models * stride_ + stride_),
        counts_(models),
        staleness_(models),
        drift_(models),
        queued_(models),
        queue_x_(models * kQueue * stride_),
        queue_rewards_(models * kQueue),
        queue_decays_(models * kQueue),
        square_(static_cast<std::size_t>(stride_) * stride_),
        outer_(packed_),
        step_(stride_) {
    clear();
  }

  std::uint32_t dimension() const { return dimension_; }
  std::uint32_t models() const { return models_; }
  bool same_terms(const RidgeModels& other) const {
    return prior_ == other.prior_ && growth_ == other.growth_;
  }
  const float* theta(std::uint32_t m) const { return thetas_.data() + m * stride_; }
  const float* inverse(std::uint32_t m) const { return inverses_.data() + m * packed_; }
  const double* sums(std::uint32_t m) const {
    add_queued(m);
    return sums_.data() + m * packed_;
  }
  const double* products(std::uint32_t m) const {
    add_queued(m);
    return products_.data() + m * stride_;
  }

  /// mean[m] = theta[m]·x for the first `count` models.
  void means(const float* x, std::uint32_t count, float* mean) const {
    kernels_->dots(thetas_.data(), stride_, count, x, stride_, mean);
  }

  /// The same for model 0 alone.
  float mean(const float* x) const { return kernels_->dot(thetas_.data(), x, stride_); }

  /// variance[m] = xᵀ P[m] x, in units of the noise's variance, for the first `count` models. At
  /// least 0 but for rounding. Both lists have room for padded(count) values.
  void variances(const float* x, std::uint32_t count, float* variance) {
    kernels_->outer(x, dimension_, outer_.data());
    kernels_->dots(inverses_.data(), packed_, count, outer_.data(), packed_, variance);
    if (growth_ == 1.0) return;
    const float most = kernels_->dot(x, x, stride_) / static_cast<float>(prior_);
    for (std::uint32_t m = 0; m < count; ++m) {
      variance[m] = std::min(variance[m] * static_cast<float>(staleness_[m]), most);
    }
  }

  /// The weight that a model never taught gives to the bias: the average reward.
  void set_prior_mean(double mean) {
    prior_mean_ = mean;
    if (untaught_ == 0) return;
    for (std::uint32_t m = 0; m < models_; ++m) {
      if (counts_[m] == 0) thetas_[m * stride_] = static_cast<float>(mean);
    }
  }

  /// One lesson for model m.
  Surprise learn(std::uint32_t m, const float* x, float reward) {
    const double growth = pass_time(m);
    float* p = inverses_.data() + m * packed_;
    float* theta = thetas_.data() + m * stride_;
    const float error = reward - kernels_->dot(theta, x, stride_);
    const float grown = static_cast<float>(growth);
    const float variance = grown * kernels_->multiply(p, x, dimension_, step_.data());
    enqueue(m, x, reward, 1.0 / growth);
    drift_[m] *= growth;
    const std::uint64_t count = ++counts_[m];
    untaught_ -= count == 1;
    // Early on, at every doubling: the prior mean is still moving then. Not where that would be
    // slow, and not in bulk, where every model is refreshed at the end.
    const bool doubled = count < refresh_every_ && (count & (count - 1)) == 0;
    const bool due =
        count % refresh_every_ == 0 || (doubled && !bulk_ && dimension_ <= kDoublingDimension);
    if (due || drift_[m] > 2.0 || !(variance >= 0.0f) || !std::isfinite(error)) {
      refresh(m);
    } else {
      const float gain = grown / (1.0f + variance);
      kernels_->add_scaled(theta, step_.data(), gain * error, stride_);
      kernels_->rank_one(p, step_.data(), -gain * grown, grown, dimension_);
    }
    return {error, std::max(static_cast<double>(variance), 0.0)};
  }

  /// Between the two many lessons come: a model costs one refresh at the end (and one in every
  /// `refresh_every_` lessons), instead of one at every doubling. A slow one is left out where a
  /// model has had fewer lessons than it has weights: its steps are as exact. Steps are taken in
  /// bulk, too, because learners that build on the prediction's error need a current one.
  void begin_bulk() { bulk_ = true; }
  void end_bulk() {
    bulk_ = false;
    for (std::uint32_t m = 0; m < models_; ++m)
      if (counts_[m] >= (dimension_ <= kDoublingDimension ? 1 : dimension_)) refresh(m);
  }

  /// theta and P of model m anew, from its sums. Returns whether S + λI is positive definite.
  ///
  /// What double can tell apart of S is 1e-16 of its trace; the prior is never left to sink below
  /// a thousand times that, or directions without data would be filled with rounding errors.
  bool refresh(std::uint32_t m) {
    add_queued(m);
    flush(sums_.data() + m * packed_, packed_, 1e-200);
    flush(products_.data() + m * stride_, stride_, 1e-200);
    square_.clear();
    double* square = square_.data();
    double trace = 0.0;
    const double* packed = sums_.data() + m * packed_;
    for (std::uint32_t i = 0; i < dimension_; ++i) trace += packed[packed_row(i) + i];
    const double prior = prior_ + 1e-13 * trace;
    for (std::uint32_t i = 0; i < dimension_; ++i) {
      for (std::uint32_t j = 0; j <= i; ++j) {
        square[i * stride_ + j] = square[j * stride_ + i] = packed[j];
      }
      square[i * stride_ + i] += prior;
      packed += packed_row(i + 1) - packed_row(i);
    }
    const double pivot = kernels_->invert(square, dimension_, prior);
    float* p = inverses_.data() + m * packed_;
    const double* b = products_.data() + m * stride_;
    for (std::uint32_t i = 0; i < dimension_; ++i) {
      double weight = square[i * stride_] * prior * prior_mean_;
      for (std::uint32_t j = 0; j < dimension_; ++j) weight += square[i * stride_ + j] * b[j];
      thetas_[m * stride_ + i] = static_cast<float>(std::clamp(weight, -1e30, 1e30));
      const std::size_t width = packed_row(i + 1) - packed_row(i);
      for (std::uint32_t j = 0; j < width; ++j) p[j] = static_cast<float>(square[i * stride_ + j]);
      p += width;
    }
    flush(inverses_.data() + m * packed_, packed_, 1e-30f);
    flush(thetas_.data() + m * stride_, stride_, 1e-30f);
    drift_[m] = 1.0;
    return pivot >= 0.5 * prior;
  }

  /// Adds the other's sums. The two have to be of one shape.
  void merge(const RidgeModels& other, double prior_mean) {
    set_prior_mean(prior_mean);
    for (std::uint32_t m = 0; m < models_; ++m) {
      add_queued(m);
      other.add_queued(m);
      if (other.counts_[m] == 0) continue;
      untaught_ -= counts_[m] == 0;
      counts_[m] += other.counts_[m];
      const double mine = 1.0 / staleness_[m], theirs = 1.0 / other.staleness_[m];
      for (std::size_t i = m * packed_; i < (m + 1) * packed_; ++i) {
        sums_[i] = sums_[i] * mine + other.sums_[i] * theirs;
      }
      for (std::size_t i = m * stride_; i < (m + 1) * stride_; ++i) {
        products_[i] = products_[i] * mine + other.products_[i] * theirs;
      }
      staleness_[m] = 1.0;
      refresh(m);
    }
  }

  void clear() {
    for (auto* array : {&sums_, &products_, &square_}) array->clear();
    inverses_.clear();
    thetas_.clear();
    counts_.clear();
    queued_.clear();
    staleness_.fill(1.0);
    drift_.fill(1.0);
    untaught_ = models_;
    prior_mean_ = 0.0;
    for (std::uint32_t m = 0; m < models_; ++m) {
      for (std::uint32_t i = 0; i < dimension_; ++i) {
        inverses_[m * packed_ + packed_row(i) + i] = static_cast<float>(1.0 / prior_);
      }
    }
  }

  void visit(StateVisitor& visitor) {
    for (std::uint32_t m = 0; m < models_; ++m) add_queued(m);
    visitor.array("sums", sums_.data(), sums_.size());
    visitor.array("products", products_.data(), products_.size());
    visitor.array("inverses", inverses_.data(), inverses_.size());
    visitor.array("weights", thetas_.data(), thetas_.size());
    visitor.array("counts", counts_.data(), counts_.size());
    visitor.array("staleness", staleness_.data(), staleness_.size());
    visitor.array("drift", drift_.data(), drift_.size());
    visitor.array("prior_mean", &prior_mean_, 1);
  }

  /// What a restored state has to fulfil; theta and P are kept as they are, bit by bit.
  bool validate();

  std::size_t bytes() const {
    return sums_.bytes() + products_.bytes() + inverses_.bytes() + thetas_.bytes() +
           counts_.bytes() + staleness_.bytes() + drift_.bytes() + queued_.bytes() +
           queue_x_.bytes() + queue_rewards_.bytes() + queue_decays_.bytes() + square_.bytes() +
           outer_.bytes() + step_.bytes();
  }

 private:
  /// What has decayed to nothing becomes zero before it becomes denormal, which would be slow.
  template <class T>
  static void flush(T* values, std::size_t count, T smallest) {
    for (std::size_t i = 0; i < count; ++i) {
      values[i] = std::fabs(values[i]) < smallest ? T{} : values[i];
    }
  }

  /// One lesson's time passes; returns by how much model m's P has grown since its last lesson.
  double pass_time(std::uint32_t m) {
    if (growth_ == 1.0) return 1.0;
    for (double& s : staleness_) s = std::min(s * growth_, 1e30);
    const double growth = staleness_[m];
    staleness_[m] = 1.0;
    return growth;
  }

  void enqueue(std::uint32_t m, const float* x, float reward, double decay) {
    const std::size_t at = m * kQueue + queued_[m];
    copy_few(x, stride_, queue_x_.data() + at * stride_);
    queue_rewards_[at] = static_cast<double>(reward);
    queue_decays_[at] = decay;
    if (++queued_[m] == kQueue) add_queued(m);
  }

  /// Adds the lessons in model m's queue to its sums, to which they belong for whoever looks.
  void add_queued(std::uint32_t m) const {
    if (queued_[m] == 0) return;
    const std::size_t at = m * kQueue;
    kernels_->accumulate(sums_.data() + m * packed_, products_.data() + m * stride_,
                         queue_x_.data() + at * stride_, queue_rewards_.data() + at,
                         queue_decays_.data() + at, queued_[m], square_.data(), dimension_);
    queued_[m] = 0;
  }

  static constexpr std::uint32_t kQueue = 8;  ///< at most the stride: square_ is scratch for it
  static constexpr std::uint32_t kDoublingDimension = 64;

  const DenseKernels* kernels_ = &dense_kernels();
  bool bulk_ = false;
  std::uint32_t models_, dimension_, stride_;
  std::size_t packed_;
  double prior_, growth_, prior_mean_ = 0.0;
  std::uint64_t refresh_every_;
  std::uint32_t untaught_ = 0;
  mutable AlignedArray<double> sums_, products_;
  AlignedArray<float> inverses_, thetas_;
  AlignedArray<std::uint64_t> counts_;
  AlignedArray<double> staleness_, drift_;
  mutable AlignedArray<std::uint32_t> queued_;
  AlignedArray<float> queue_x_;
  AlignedArray<double> queue_rewards_, queue_decays_;
  mutable AlignedArray<double> square_;
  AlignedArray<float> outer_, step_;
};

inline bool RidgeModels::validate() {
  const auto bounded = [](const auto& array, double limit) {
    return std::all_of(array.begin(), array.end(),
                       [limit](auto v) { return std::fabs(v) <= limit; });
  };
  if (!bounded(sums_, 1e30) || !bounded(products_, 1e45) || !bounded(thetas_, 1e30) ||
      !bounded(inverses_, 4.01 / prior_) || !(std::fabs(prior_mean_) <= kRewardLimit)) {
    return false;
  }
  untaught_ = static_cast<std::uint32_t>(std::count(counts_.begin(), counts_.end(), 0u));
  AlignedArray<float> weights(stride_), inverse(packed_);
  for (std::uint32_t m = 0; m < models_; ++m) {
    if (!(staleness_[m] >= 1.0 && staleness_[m] <= 1e30 && drift_[m] >= 1.0)) return false;
    float* theta = thetas_.data() + m * stride_;
    float* p = inverses_.data() + m * packed_;
    // The refresh is for its check of the sums only; what the state says of theta and P stays.
    std::copy_n(theta, stride_, weights.data());
    std::copy_n(p, packed_, inverse.data());
    const double drift = drift_[m];
    const bool definite = refresh(m);
    std::copy_n(weights.data(), stride_, theta);
    std::copy_n(inverse.data(), packed_, p);
    drift_[m] = drift;
    if (!definite) return false;
  }
  return true;
}

}  // namespace acumen
