// The native learners as one Python class, `_native.Learner`, and one function a kind.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "acumen/aligned.hpp"
#include "acumen/learners/actor_critic.hpp"
#include "acumen/learners/apprentice.hpp"
#include "acumen/learners/binned_additive.hpp"
#include "acumen/learners/epsilon_greedy.hpp"
#include "acumen/learners/lin_ucb.hpp"
#include "acumen/learners/softmax_gradient.hpp"
#include "acumen/learners/square_cb.hpp"
#include "acumen/learners/temporal_difference.hpp"
#include "acumen/learners/thompson.hpp"
#include "bindings.hpp"
#include "learner_handle.hpp"
#include "state_arrays.hpp"

namespace acumen::bindings {
namespace {

namespace nb = nanobind;
using namespace nb::literals;

constexpr std::uint32_t kDimensionMax = 4096, kArmsMax = 65536;
constexpr std::uint64_t kValuesMax = 1ull << 28;

using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using ArmVector = nb::ndarray<const std::uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<nb::numpy, float, nb::ndim<1>>;

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

LearnerShape make_shape(std::uint32_t dimension, std::uint32_t arms, std::uint32_t features) {
  require(dimension >= 1 && dimension <= kDimensionMax, "dimension must be in 1 … 4096");
  require(arms >= 1 && arms <= kArmsMax, "arms must be in 1 … 65536");
  require(features <= kDimensionMax, "features must be in 0 … 4096");
  const std::uint64_t design = features ? dimension + features : dimension;
  const std::uint64_t models = features ? 1 : arms;
  require(models * design * design <= kValuesMax,
          "a learner of this dimension and number of arms would take more than 2 GiB");
  return {dimension, arms, features};
}

void require_half_life(double half_life) {
  require(half_life == 0.0 || (half_life >= 1.0 && half_life <= 1e12),
          "half_life must be 0 (never forget) or in 1 … 1e12");
}

void require_linear(const LinearOptions& options) {
  require(options.ridge >= 1e-6 && options.ridge <= 1e6, "ridge must be in 1e-6 … 1e6");
  require_half_life(options.half_life);
}

void require_share(double value, const char* name) {
  require(value >= 0.0 && value <= 1.0, std::string(name) + " must be in 0 … 1");
}

void require_range(double value, double low, double high, const char* name) {
  require(value >= low && value <= high, std::string(name) + " is out of range");
}

template <class T, class Options>
LearnerHandle make(const LearnerShape& shape, const Options& options) {
  return {std::make_shared<T>(shape, options)};
}

/// Copies rows of `width` floats to the padded layout that the kernels want.
void pad_rows(AlignedArray<float>& to, const float* from, std::size_t rows, std::uint32_t width) {
  for (std::size_t i = 0; i < rows; ++i) {
    std::copy_n(from + i * width, width, to.data() + i * padded(width));
  }
}

AlignedArray<float> padded_context(const Learner& learner, const Vector& x) {
  require(x.shape(0) == learner.shape().dimension, "x has " + std::to_string(x.shape(0)) +
                                                       " values, the learner's dimension is " +
                                                       std::to_string(learner.shape().dimension));
  require(within(x.data(), learner.shape().dimension, kContextLimit),
          "x must be finite, no value beyond ±1e4");
  AlignedArray<float> out(padded(learner.shape().dimension));
  pad_rows(out, x.data(), 1, learner.shape().dimension);
  return out;
}

AlignedArray<float> padded_features(const Learner& learner, const Matrix& features) {
  const std::uint32_t width = learner.shape().features;
  require(width > 0, "this learner's arms have no features");
  require(features.shape(1) == width, "features have " + std::to_string(features.shape(1)) +
                                          " columns, the learner's arms " + std::to_string(width));
  require(features.shape(0) >= 1 && features.shape(0) <= learner.shape().arms,
          "features must have 1 … " + std::to_string(learner.shape().arms) + " rows");
  require(within(features.data(), features.shape(0) * width, kContextLimit),
          "features must be finite, no value beyond ±1e4");
  AlignedArray<float> out(features.shape(0) * padded(width));
  pad_rows(out, features.data(), features.shape(0), width);
  return out;
}

Output distribution(LearnerHandle& self, const Vector& x, const std::optional<Matrix>& features) {
  Learner& learner = *self.learner;
  const AlignedArray<float> context = padded_context(learner, x);
  ArmSet arms{learner.shape().arms, nullptr};
  AlignedArray<float> rows;
  if (features) {
    rows = padded_features(learner, *features);
    arms = {static_cast<std::uint32_t>(features->shape(0)), rows.data()};
  }
  require(features || learner.shape().features == 0, "this learner's arms need features");
  AlignedArray<float> out(padded(arms.count));
  learner.distribution(context.data(), arms, out.data());
  return column(std::vector<float>(out.data(), out.data() + arms.count));
}

bool learn(LearnerHandle& self, const Vector& x, std::uint32_t arm, float propensity, float reward,
           const std::optional<Vector>& features, bool demonstrated) {
  Learner& learner = *self.learner;
  const std::uint32_t width = learner.shape().features;
  require(x.shape(0) == learner.shape().dimension, "x does not have the learner's dimension");
  require(features.has_value() == (width > 0),
          width > 0 ? "this learner's arms need features" : "this learner's arms have no features");
  AlignedArray<float> context(padded(learner.shape().dimension)), row(padded(width));
  pad_rows(context, x.data(), 1, learner.shape().dimension);
  if (features) {
    require(features->shape(0) == width, "features do not have the learner's width");
    pad_rows(row, features->data(), 1, width);
  }
  return learner.learn(
      {context.data(), arm, features ? row.data() : nullptr, propensity, reward, demonstrated});
}

bool learn_episode(SequenceLearnerHandle& self, const Matrix& xs, const ArmVector& arms,
                   const Vector& propensities, const Vector& rewards, float discount, bool ended,
                   const std::optional<Matrix>& features) {
  auto& learner = static_cast<SequenceLearner&>(*self.learner);
  const std::size_t steps = xs.shape(0);
  const std::uint32_t dimension = learner.shape().dimension;
  require(xs.shape(1) == dimension, "xs do not have the learner's dimension");
  require(arms.shape(0) == steps && propensities.shape(0) == steps && rewards.shape(0) == steps,
          "xs, arms, propensities and rewards must be of one length");
  require(steps < (1u << 31), "an episode has at most 2^31 - 1 steps");
  const std::uint32_t width = learner.shape().features;
  require(features.has_value() == (width > 0),
          width > 0 ? "this learner's arms need features" : "this learner's arms have no features");
  AlignedArray<float> rows(steps * padded(dimension)), arm_rows(steps * padded(width));
  pad_rows(rows, xs.data(), steps, dimension);
  if (features) {
    require(features->shape(0) == steps && features->shape(1) == width,
            "features must have one row a step, and the learner's width");
    pad_rows(arm_rows, features->data(), steps, width);
  }
  return learner.learn_episode({static_cast<std::uint32_t>(steps), rows.data(), arms.data(),
                                propensities.data(), rewards.data(), discount, ended,
                                features ? arm_rows.data() : nullptr});
}

StateArrays save(Learner& learner) {
  StateReader reader;
  learner.visit(reader);
  return std::move(reader.arrays);
}

void restore_learner(LearnerHandle& self, const nb::dict& state) {
  Learner& learner = *self.learner;
  const StateArrays arrays = from_python(state), before = save(learner);
  StateWriter check(arrays, true);
  learner.visit(check);
  require(check.problem().empty(), check.problem());
  require(arrays.size() == before.size(), "the state has arrays that this learner does not know");
  StateWriter write(arrays, false);
  learner.visit(write);
  if (learner.validate()) return;
  StateWriter undo(before, false);
  learner.visit(undo);
  learner.validate();
  throw std::invalid_argument("the state's numbers break the learner's invariants");
}

void bind_kinds(nb::module_& m) {
  m.def(
      "epsilon_greedy",
      [](std::uint32_t dimension, std::uint32_t arms, std::uint32_t features, double ridge,
         double half_life, double epsilon, double decay) {
        const EpsilonGreedyOptions options{{ridge, half_life}, epsilon, decay};
        require_linear(options);
        require_share(epsilon, "epsilon");
        require_range(decay, 0.0, 2.0, "decay");
        return make<EpsilonGreedy>(make_shape(dimension, arms, features), options);
      },
      "dimension"_a, "arms"_a, "features"_a, nb::kw_only(), "ridge"_a, "half_life"_a, "epsilon"_a,
      "decay"_a);
  m.def(
      "lin_ucb",
      [](std::uint32_t dimension, std::uint32_t arms, std::uint32_t features, double ridge,
         double half_life, double alpha, double exploration) {
        const LinUCBOptions options{{ridge, half_life}, alpha, exploration};
        require_linear(options);
        require_range(alpha, 0.0, 1e6, "alpha");
        require_share(exploration, "exploration");
        return make<LinUCB>(make_shape(dimension, arms, features), options);
      },
      "dimension"_a, "arms"_a, "features"_a, nb::kw_only(), "ridge"_a, "half_life"_a, "alpha"_a,
      "exploration"_a);
  m.def(
      "thompson",
      [](std::uint32_t dimension, std::uint32_t arms, std::uint32_t features, double ridge,
         double half_life, double spread, double exploration) {
        const ThompsonOptions options{{ridge, half_life}, spread, exploration};
        require_linear(options);
        require_range(spread, 1e-6, 1e6, "spread");
        require_share(exploration, "exploration");
        return make<Thompson>(make_shape(dimension, arms, features), options);
      },
      "dimension"_a, "arms"_a, "features"_a, nb::kw_only(), "ridge"_a, "half_life"_a, "spread"_a,
      "exploration"_a);
  m.def(
      "square_cb",
      [](std::uint32_t dimension, std::uint32_t arms, std::uint32_t features, double ridge,
         double half_life, double gamma, double exponent) {
        const SquareCBOptions options{{ridge, half_life}, gamma, exponent};
        require_linear(options);
        require_range(gamma, 1e-6, 1e9, "gamma");
        require_range(exponent, 0.0, 1.0, "exponent");
        return make<SquareCB>(make_shape(dimension, arms, features), options);
      },
      "dimension"_a, "arms"_a, "features"_a, nb::kw_only(), "ridge"_a, "half_life"_a, "gamma"_a,
      "exponent"_a);
}

void bind_other_kinds(nb::module_& m) {
  m.def(
      "softmax_gradient",
      [](std::uint32_t dimension, std::uint32_t arms, std::uint32_t features, double rate,
         double exploration, double half_life) {
        require_range(rate, 1e-6, 100.0, "rate");
        require_share(exploration, "exploration");
        require_half_life(half_life);
        return make<SoftmaxGradient>(make_shape(dimension, arms, features),
                                     SoftmaxGradientOptions{rate, exploration, half_life});
      },
      "dimension"_a, "arms"_a, "features"_a, nb::kw_only(), "rate"_a, "exploration"_a,
      "half_life"_a);
  m.def(
      "binned_additive",
      [](std::uint32_t dimension, std::uint32_t arms, std::uint32_t features, double ridge,
         double half_life, double gamma, double exponent, double epsilon, double prior) {
        const BinnedAdditiveOptions options{{ridge, half_life}, gamma, exponent, epsilon, prior};
        require_linear(options);
        require_range(gamma, 1e-6, 1e9, "gamma");
        require_range(exponent, 0.0, 1.0, "exponent");
        require_share(epsilon, "epsilon");
        require_range(prior, 1e-3, 1e6, "prior");
        return make<BinnedAdditive>(make_shape(dimension, arms, features), options);
      },
      "dimension"_a, "arms"_a, "features"_a, nb::kw_only(), "ridge"_a, "half_life"_a, "gamma"_a,
      "exponent"_a, "epsilon"_a, "prior"_a);
}

const Apprentice& apprentice_of(const ApprenticeHandle& handle) {
  return static_cast<const Apprentice&>(*handle.learner);
}

void bind_apprentice(nb::module_& m) {
  using Handle = ApprenticeHandle;
  nb::class_<ApprenticeHandle, LearnerHandle>(m, "Apprentice")
      .def_prop_ro("share", [](const Handle& h) { return apprentice_of(h).share(); })
      .def_prop_ro("imitates", [](const Handle& h) { return apprentice_of(h).bound(); })
      .def_prop_ro("agreement", [](const Handle& h) { return apprentice_of(h).agreement(); })
      .def_prop_ro("demonstrations",
                   [](const Handle& h) { return apprentice_of(h).demonstrations(); })
      .def_prop_ro("examined", [](const Handle& h) { return apprentice_of(h).examined(); })
      .def_prop_ro("examinations", [](const Handle& h) { return apprentice_of(h).examinations(); })
      .def_prop_ro("wanted", [](const Handle& h) { return apprentice_of(h).options().agreement; })
      .def_prop_ro("error", [](const Handle& h) { return apprentice_of(h).options().error; });
  m.def(
      "apprentice",
      [](const LearnerHandle& own, double agreement, double trial, double error,
         const std::optional<Matrix>& table) {
        require_range(agreement, 0.01, 0.9999, "agreement");
        require_range(trial, 1e-4, 1.0, "trial");
        require_range(error, 1e-9, 0.5, "error");
        const LearnerShape& shape = own.learner->shape();
        require(!table || (table->shape(0) == shape.arms && table->shape(1) == shape.features),
                "the table needs a row an arm and a column a feature");
        for (std::size_t i = 0; table && i < table->size(); ++i)
          require(std::fabs(table->data()[i]) <= kContextLimit, "a feature is out of range");
        return ApprenticeHandle{
            std::make_shared<Apprentice>(own.learner, ApprenticeOptions{agreement, trial, error},
                                         table ? table->data() : nullptr)};
      },
      "own"_a, nb::kw_only(), "agreement"_a, "trial"_a, "error"_a, "table"_a = nb::none());
}

/// Of an episode only what was taken is known afterwards: `why` it takes the other arms too.
LearnerShape make_index_shape(std::uint32_t dimension, std::uint32_t arms, std::uint32_t features,
                              const std::string& why) {
  require(features == 0,
          why +
              ", and of arms with features (Candidates, Range) only the one taken is "
              "kept: take SarsaLambda, or fixed arms");
  return make_shape(dimension, arms, 0);
}

constexpr std::uint32_t kHiddenMax = 1024;

void require_hidden(const LearnerShape& shape, std::uint32_t hidden) {
  require(hidden <= kHiddenMax, "hidden must be in 0 … 1024");
  const std::uint64_t inputs = std::uint64_t{shape.dimension} * (1 + shape.features);
  require((inputs + shape.arms) * hidden <= kValuesMax, "too many hidden units for this shape");
}

void bind_sequence_kinds(nb::module_& m) {
  nb::class_<SequenceLearnerHandle, LearnerHandle>(m, "SequenceLearner")
      .def("learn_episode", &learn_episode, "xs"_a, "arms"_a, "propensities"_a, "rewards"_a,
           "discount"_a, "ended"_a, "features"_a = nb::none());
  m.def(
      "actor_critic",
      [](std::uint32_t dimension, std::uint32_t arms, std::uint32_t features, double rate,
         double trace, double exploration, double half_life) {
        require_range(rate, 1e-6, 100.0, "rate");
        require_share(trace, "trace");
        require_share(exploration, "exploration");
        require_half_life(half_life);
        return SequenceLearnerHandle{make<ActorCritic>(
            make_index_shape(dimension, arms, features, "ActorCritic moves all arms"),
            ActorCriticOptions{rate, trace, exploration, half_life})};
      },
      "dimension"_a, "arms"_a, "features"_a, nb::kw_only(), "rate"_a, "trace"_a, "exploration"_a,
      "half_life"_a);
  m.def(
      "temporal_difference",
      [](std::uint32_t dimension, std::uint32_t arms, std::uint32_t features, bool best_next,
         double rate, double trace, double epsilon, double decay, double temperature, double bonus,
         double settling, std::uint32_t hidden, std::uint64_t seed) {
        require_range(rate, 1e-6, 1.0, "rate");
        require_share(trace, "trace");
        require_share(epsilon, "epsilon");
        require_range(decay, 0.0, 2.0, "decay");
        require_range(temperature, 0.0, 1e6, "temperature");
        require_range(bonus, 0.0, 1e6, "bonus");
        require_share(settling, "settling");
        const LearnerShape shape = best_next ? make_index_shape(dimension, arms, features,
                                                                "QLambda looks for the best arm")
                                             : make_shape(dimension, arms, features);
        require_hidden(shape, hidden);
        return SequenceLearnerHandle{make<TemporalDifference>(
            shape, TemporalDifferenceOptions{best_next, rate, trace, epsilon, decay, temperature,
                                             bonus, settling, hidden, seed})};
      },
      "dimension"_a, "arms"_a, "features"_a, nb::kw_only(), "best_next"_a, "rate"_a, "trace"_a,
      "epsilon"_a, "decay"_a, "temperature"_a, "bonus"_a, "settling"_a, "hidden"_a, "seed"_a);
}

}  // namespace

void bind_learners(nb::module_& m) {
  nb::class_<LearnerHandle>(m, "Learner")
      .def_prop_ro("dimension", [](LearnerHandle& h) { return h.learner->shape().dimension; })
      .def_prop_ro("arms", [](LearnerHandle& h) { return h.learner->shape().arms; })
      .def_prop_ro("features", [](LearnerHandle& h) { return h.learner->shape().features; })
      .def_prop_ro("version", [](LearnerHandle& h) { return h.learner->version(); })
      .def_prop_ro("memory_bytes", [](LearnerHandle& h) { return h.learner->memory_bytes(); })
      .def("distribution", &distribution, "x"_a, "features"_a = nb::none())
      .def("learn", &learn, "x"_a, "arm"_a, "propensity"_a, "reward"_a, "features"_a = nb::none(),
           "demonstrated"_a = false)
      .def("state", [](LearnerHandle& h) { return to_python(save(*h.learner)); })
      .def("restore", &restore_learner, "state"_a)
      .def(
          "merge",
          [](LearnerHandle& h, LearnerHandle& other) {
            require(h.learner != other.learner, "a learner cannot be merged with itself");
            return h.learner->merge(*other.learner);
          },
          "other"_a)
      .def("reset", [](LearnerHandle& h) { h.learner->reset(); });
  bind_kinds(m);
  bind_other_kinds(m);
  bind_apprentice(m);
  bind_sequence_kinds(m);
}

}  // namespace acumen::bindings
