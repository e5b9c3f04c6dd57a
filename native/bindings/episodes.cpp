#include "episodes.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "acumen/episode.hpp"
#include "journal_buffer.hpp"
#include "learner_turn.hpp"

namespace acumen::bindings {
std::uint64_t ChoiceCore::end_episode(const EndedEpisode& episode, const double* returns,
                                      const std::vector<std::string>& events) {
  EpisodeSteps steps;
  {
    const nb::gil_scoped_release others_may_run;
    const std::lock_guard<SpinLock> lock(engine->lock());
    const double now = now_s();
    time_out_steps(*engine, episode, now);
    for (const std::string& text : events)
      if (journal_) journal_->hook.text(EventKind::kEpisode, text, 0, episode.count);
    steps = acumen::end_episode(*engine, episode, returns, now);
  }
  teach_python_episode(steps, episode);
  return steps.size();
}

std::uint64_t ChoiceCore::replay_episode(const EndedEpisode& episode) {
  EpisodeSteps steps;
  {
    const nb::gil_scoped_release others_may_run;
    const std::lock_guard<SpinLock> lock(engine->lock());
    steps = teach_episode(*engine, episode);
  }
  teach_python_episode(steps, episode);
  return steps.size();
}

void ChoiceCore::teach_python_episode(const EpisodeSteps& steps, const EndedEpisode& episode) {
  if (!python_learner_.is_valid()) return;
  teach_python_learner();
  if (steps.size() == 0) return;
  using Matrix = nb::ndarray<nb::numpy, const float, nb::ndim<2>>;
  const std::uint32_t dimension = engine->schema().dimension();
  const auto array = [](const auto& values) {
    using Value = const typename std::decay_t<decltype(values)>::value_type;
    using Vector = nb::ndarray<nb::numpy, Value, nb::ndim<1>>;
    return nb::cast(Vector(values.data(), {values.size()}), nb::rv_policy::copy);
  };
  const auto matrix = [&](const std::vector<float>& rows, std::uint32_t width) {
    const auto stride = static_cast<std::int64_t>(padded(width));
    return nb::cast(Matrix(rows.data(), {steps.size(), width}, nb::handle(), {stride, 1}),
                    nb::rv_policy::copy);
  };
  const std::uint32_t features = engine->options().shape.features;
  nb::tuple arguments =
      nb::make_tuple(matrix(steps.xs, dimension), array(steps.arms), array(steps.propensities),
                     array(steps.rewards), episode.discount, episode.ended);
  // Who takes arms by their index alone need not know of features.
  if (features > 0)
    arguments = nb::tuple(arguments + nb::make_tuple(matrix(steps.features, features)));
  const LearnerTurn turn(*python_learner_lock_);
  try {
    python_learner_.attr("learn_episode")(*arguments);
  } catch (nb::python_error& error) {
    note_learner_failure(error);
  }
}

namespace {

using Ids = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Values = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Returns = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

EndedEpisode read(const Ids& ids, const Values& rewards, float discount, bool ended) {
  if (rewards.shape(0) != ids.shape(0)) throw nb::value_error("rewards must have one an id");
  return {ids.data(), rewards.data(), ids.shape(0), discount, ended};
}

/// How many steps it taught; see ChoiceCore::end_episode. `returns` None: cut off.
std::uint64_t end_episode(ChoiceCore& core, Ids ids, std::optional<Returns> returns, Values rewards,
                          float discount, const std::vector<std::string>& events) {
  const EndedEpisode episode = read(ids, rewards, discount, returns.has_value());
  if (returns && (returns->shape(0) != episode.count || returns->shape(1) != core.metrics.size()))
    throw nb::value_error("returns must have one row an id, and a column a metric");
  return episode.count ? core.end_episode(episode, returns ? returns->data() : nullptr, events) : 0;
}

std::uint64_t replay_episode(ChoiceCore& core, Ids ids, Values rewards, float discount,
                             bool ended) {
  return ids.shape(0) ? core.replay_episode(read(ids, rewards, discount, ended)) : 0;
}

}  // namespace

void bind_episodes(nb::class_<ChoiceCore>& core) {
  core.def("_end_episode", end_episode, nb::arg("ids"), nb::arg("returns").none(),
           nb::arg("rewards"), nb::arg("discount"), nb::arg("events"));
  core.def("_replay_episode", replay_episode, nb::arg("ids"), nb::arg("rewards"),
           nb::arg("discount"), nb::arg("ended"));
}

}  // namespace acumen::bindings
