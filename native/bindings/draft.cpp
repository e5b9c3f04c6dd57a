// `_native.Draft`: a model made elsewhere, on its way into a choice that goes on choosing.
#include "acumen/draft.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <stdexcept>

#include "bindings.hpp"
#include "choice_core.hpp"
#include "journal_buffer.hpp"
#include "learner_handle.hpp"
#include "state_arrays.hpp"

namespace acumen::bindings {
namespace {

struct DraftHandle {
  /// Raises ValueError for arrays of another choice's, or that break an invariant.
  DraftHandle(ChoiceCore& core, JournalBuffer& journal, nb::handle untaught, const nb::dict& arrays,
              std::uint64_t event)
      : journal(&journal) {
    const StateArrays native = from_python(arrays);
    const std::shared_ptr<Learner> learner = learner_of(untaught);
    if (!core.native_learner() || learner == core.native_learner() ||
        learner->shape() != core.native_learner()->shape())
      throw nb::value_error("a draft needs an untaught native learner of the choice's own kind");
    {
      const EngineTurn lock(*core.engine);
      draft.emplace(*core.engine, learner, event);
    }
    StateWriter check(native, true), write(native, false);
    std::string problem;
    {
      const nb::gil_scoped_release others_may_run;
      draft->visit(check);
      problem = check.problem();
      if (problem.empty()) {
        draft->visit(write);
        if (!draft->valid()) problem = "the values break an invariant of the model";
      }
    }
    if (!problem.empty()) throw nb::value_error(problem.c_str());
  }

  /// Learns what the choice has learned meanwhile and changes places with its model. "", or why it
  /// has not. Without the GIL: whoever chooses in Python would be ahead again whenever this thread
  /// had waited for it.
  const char* exchange(ChoiceCore& core, nb::handle learner, const std::string& text) {
    auto& handle = nb::cast<LearnerHandle&>(learner);
    if (handle.learner != core.native_learner()) return "another learner";
    {
      const nb::gil_scoped_release others_may_run;
      if (const char* problem = exchange_models(core, text)) return problem;
    }
    // The engine has the draft's learner; until here the draft has kept it alive.
    handle.learner = draft->learner();
    core.native_learner().swap(draft->learner());
    return "";
  }

  const char* exchange_models(ChoiceCore& core, const std::string& text) {
    std::uint64_t most = Draft::kAtOnce;
    for (int round = 1; round <= kRoundsMax; ++round) {
      {
        const std::lock_guard<SpinLock> lock(core.engine->lock());
        if (!core.is_journaled_by(*journal)) return "another journal";
        const Draft::Exchange done = draft->exchange(*core.engine, text, most);
        if (done == Draft::Exchange::kDone) return nullptr;
        if (done == Draft::Exchange::kOtherObjective) return "another objective";
      }
      draft->learn();
      // Lessons that come faster than they can be learned again: larger portions, to a limit.
      if (round % kPatience == 0) most = std::min<std::uint64_t>(2 * most, 64 * Draft::kAtOnce);
    }
    return "lessons come faster than they can be learned again";
  }

  static constexpr int kPatience = 256, kRoundsMax = 1 << 16;

  JournalBuffer* journal;  ///< kept alive by Python, see nb::keep_alive
  std::optional<Draft> draft;
};

}  // namespace

void bind_draft(nb::module_& m) {
  nb::class_<DraftHandle>(m, "Draft", "A model that is to take the place of a choice's.")
      .def(nb::init<ChoiceCore&, JournalBuffer&, nb::handle, const nb::dict&, std::uint64_t>(),
           nb::arg("choice"), nb::arg("journal"), nb::arg("learner"), nb::arg("arrays"),
           nb::arg("event"), nb::keep_alive<1, 3>())
      .def("exchange", &DraftHandle::exchange, nb::arg("choice"), nb::arg("learner"),
           nb::arg("text"))
      .def_prop_ro("lessons", [](DraftHandle& d) { return d.draft->lessons(); })
      .def_prop_ro("caught_up", [](DraftHandle& d) { return d.draft->caught_up(); })
      .def_prop_ro("missed", [](DraftHandle& d) { return d.draft->missed(); });
}

}  // namespace acumen::bindings
