// `_native.ChoiceCore`: the hot methods as plain C functions, the rest through nanobind.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <limits>

#include "bindings.hpp"
#include "choice_core.hpp"
#include "comparison.hpp"
#include "decision.hpp"
#include "distributions.hpp"
#include "episodes.hpp"
#include "journal_buffer.hpp"
#include "python_type.hpp"
#include "records.hpp"
#include "state_arrays.hpp"

namespace acumen::bindings {
namespace {

/// Values of a row that fit on the stack; Python's Choice refuses schemas beyond.
constexpr std::size_t kFieldsMax = 256;
constexpr std::size_t kMetricsMax = 64;

/// Values of x and of an arm together. A model is refreshed in time that grows with their cube.
constexpr std::uint32_t kContextMax = 256;

ChoiceCore* core_of(PyObject* self) {
  if (nb::inst_ready(self)) return nb::inst_ptr<ChoiceCore>(self);
  PyErr_SetString(PyExc_RuntimeError, "the choice is not initialised: call super().__init__()");
  return nullptr;
}

/// Runs a hot method; C++ exceptions (memory is short, a context cannot be built) become Python's.
template <typename Body>
PyObject* guarded(ChoiceCore* core, Body body) {
  if (!core) return nullptr;
  try {
    return body(*core);
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

/// dict of what the caller gave, for a heuristic; null if none is asked.
nb::object context_of(PyObject* const* values, PyObject* keywords) {
  nb::dict context;
  for (Py_ssize_t i = 0; keywords && i < PyTuple_GET_SIZE(keywords); ++i) {
    nb::handle name = PyTuple_GET_ITEM(keywords, i);
    if (PyUnicode_CompareWithASCIIString(name.ptr(), "candidates") != 0)
      context[name] = nb::handle(values[i]);
  }
  return context;
}

nb::object context_of(const ChoiceCore& core, PyObject* row, const double* values) {
  nb::dict context;
  const bool objects = PyTuple_CheckExact(row) || PyList_CheckExact(row);
  for (std::uint32_t i = 0; i < core.fields(); ++i) {
    if (objects && static_cast<Py_ssize_t>(i) < PySequence_Fast_GET_SIZE(row)) {
      context[core.context.name(i)] = nb::handle(PySequence_Fast_GET_ITEM(row, i));
    } else {
      context[core.context.name(i)] = values[i];
    }
  }
  return context;
}

PyObject* choose(PyObject* self, PyObject* const* args, Py_ssize_t positional, PyObject* keywords) {
  return guarded(core_of(self), [&](ChoiceCore& core) -> PyObject* {
    if (positional > 0) {
      PyErr_SetString(PyExc_TypeError, "choose() takes the context by keyword; see choose_row()");
      return nullptr;
    }
    double row[kFieldsMax];
    PyObject* candidates = nullptr;
    const bool good = core.read_keywords(args, keywords, row, &candidates);
    nb::object context;
    if (core.wants_context()) context = context_of(args, keywords);
    const Answer answer = core.decide(row, good, candidates, context.ptr());
    return make_decision(self, core.arm(answer.arm), answer);
  });
}

PyObject* choose_row(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return guarded(core_of(self), [&](ChoiceCore& core) -> PyObject* {
    if (count < 1 || count > 2) {
      PyErr_SetString(PyExc_TypeError, "choose_row() takes a row and, for candidates, a matrix");
      return nullptr;
    }
    double row[kFieldsMax];
    const bool good = core.read_row(args[0], row);
    nb::object context;
    if (core.wants_context()) context = context_of(core, args[0], row);
    const Answer answer = core.decide(row, good, count > 1 ? args[1] : nullptr, context.ptr());
    return make_decision(self, core.arm(answer.arm), answer);
  });
}

PyObject* feedback(PyObject* self, PyObject* const* args, Py_ssize_t positional,
                   PyObject* keywords) {
  if (positional < 1) {
    PyErr_SetString(PyExc_TypeError, "feedback() needs the decision's id");
    return nullptr;
  }
  const unsigned long long id = PyLong_AsUnsignedLongLong(args[0]);
  if (id == static_cast<unsigned long long>(-1) && PyErr_Occurred()) PyErr_Clear();
  if (!core_of(self)) return nullptr;
  return give_feedback(self, id, args + 1, positional - 1, keywords);
}

int choice_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return nb::inst_ready(self) ? nb::inst_ptr<ChoiceCore>(self)->traverse(visit, arg) : 0;
}

int choice_clear(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<ChoiceCore>(self)->clear();
  return 0;
}

PyMethodDef hot_methods[] = {
    {"choose", method(choose), METH_FASTCALL | METH_KEYWORDS,
     "choose($self, /, **context)\n--\n\nDecides; never raises for a bad context."},
    {"choose_row", method(choose_row), METH_FASTCALL,
     "choose_row($self, row, candidates=None, /)\n--\n\nDecides for a row in schema order."},
    {"feedback", method(feedback), METH_FASTCALL | METH_KEYWORDS,
     "feedback($self, decision_id, /, *values, **metrics)\n--\n\nReports what came of a decision."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot type_slots[] = {{Py_tp_traverse, slot(choice_traverse)},
                            {Py_tp_clear, slot(choice_clear)},
                            {Py_tp_methods, hot_methods},
                            {0, nullptr}};

using RowMatrix = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

/// Columns index, id, propensity, reason, model_version of one decision a row.
nb::tuple choose_many(ChoiceCore& core, RowMatrix rows) {
  const std::size_t n = rows.shape(0), width = rows.shape(1);
  if (width != core.fields())
    throw nb::value_error(("rows have " + std::to_string(width) + " columns, the schema has " +
                           std::to_string(core.fields()))
                              .c_str());
  std::vector<std::int32_t> index(n);
  std::vector<std::uint64_t> id(n), version(n);
  std::vector<float> propensity(n);
  std::vector<std::uint8_t> reason(n);
  const auto decide_all = [&] {
    double row[kFieldsMax];
    for (std::size_t i = 0; i < n; ++i) {
      std::copy_n(rows.data() + i * width, width, row);
      nb::object context;
      if (core.wants_context()) {
        nb::dict values;
        for (std::uint32_t j = 0; j < width; ++j) values[core.context.name(j)] = row[j];
        context = values;
      }
      const Answer a = core.decide(row, true, nullptr, context.ptr());
      index[i] = static_cast<std::int32_t>(a.arm);
      id[i] = a.id;
      propensity[i] = a.propensity;
      reason[i] = static_cast<std::uint8_t>(a.reason);
      version[i] = a.version;
    }
  };
  if (core.asks_python()) {
    decide_all();
  } else {
    const nb::gil_scoped_release others_may_run;
    decide_all();
  }
  return nb::make_tuple(column(std::move(index)), column(std::move(id)),
                        column(std::move(propensity)), column(std::move(reason)),
                        column(std::move(version)));
}

using IdVector = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

/// How many of the ids taught something; values is one row of metrics an id.
std::uint64_t feedback_many(ChoiceCore& core, IdVector ids, RowMatrix values) {
  if (values.shape(0) != ids.shape(0) || values.shape(1) != core.metrics.size())
    throw nb::value_error("values must have one row an id and one column a metric");
  std::uint64_t learned = 0;
  {
    const nb::gil_scoped_release others_may_run;
    const double now_s = core.now_s();
    for (std::size_t i = 0; i < ids.shape(0); ++i) {
      const double* row = values.data() + i * values.shape(1);
      learned += core.engine->feedback(ids.data()[i], row, now_s) == FeedbackResult::kLearned;
    }
  }
  core.teach_python_learner();
  return learned;
}

nb::dict counters(ChoiceCore& core) {
  const Counters c = core.engine->counters();
  nb::dict result;
  for (std::size_t i = 0; i < c.reasons.size(); ++i)
    result[reason_name(static_cast<Reason>(i))] = c.reasons[i];
  constexpr const char* fates[] = {"feedback_learned", "feedback_recorded", "feedback_duplicate",
                                   "feedback_unknown", "feedback_bad"};
  for (std::size_t i = 0; i < c.feedback.size(); ++i) result[fates[i]] = c.feedback[i];
  result["timed_out"] = c.expired;
  result["overwritten"] = c.overwritten;
  result["default_failed_calls"] = core.default_failures;
  result["learner_failed_calls"] = core.learner_failures;
  return result;
}

auto comparison(ChoiceCore& core, double alpha) {
  return compared(core.engine->comparison(), alpha);
}

/// The sums behind the comparison, as a model file has them.
nb::dict comparison_sums(ChoiceCore& core) {
  HoldbackComparison c = core.engine->comparison();
  StateReader reader;
  c.visit(reader);
  return to_python(std::move(reader.arrays));
}

nb::dict state(ChoiceCore& core) {
  StateReader reader;
  core.engine->visit(reader);
  return to_python(std::move(reader.arrays));
}

void restore(ChoiceCore& core, nb::dict arrays) {
  const StateArrays native = from_python(arrays);
  StateWriter check(native, true);
  core.engine->visit(check);
  if (!check.problem().empty()) throw nb::value_error(check.problem().c_str());
  StateWriter write(native, false);
  if (!core.engine->overwrite(write))
    throw nb::value_error("the values break an invariant of the model; nothing has changed");
}

nb::dict who_and_why(const std::string& why, const std::string& by) {
  nb::dict said;
  if (!why.empty()) said["why"] = why;
  if (!by.empty()) said["by"] = by;
  return said;
}

void set_mode(ChoiceCore& core, int mode, float share, const nb::dict& said) {
  core.engine->guard().set(static_cast<Mode>(mode), share);
  core.note_mode(said);
}

void kill(ChoiceCore& core, const std::string& why, const std::string& by) {
  core.engine->guard().kill();
  core.note_mode(who_and_why(why, by));
}

void revive(ChoiceCore& core, const std::string& why, const std::string& by) {
  core.engine->guard().revive();
  core.note_mode(who_and_why(why, by));
}

auto mode_of(ChoiceCore& core) {
  const Guard::View view = core.engine->guard().look();
  return std::make_tuple(static_cast<int>(view.mode), view.canary_share, view.killed);
}

float holdback_of(ChoiceCore& core) {
  return core.engine->guard().holdback();
}

void bind_modes(nb::class_<ChoiceCore>& core) {
  core.def("_set_mode", set_mode, nb::arg("mode"), nb::arg("canary_share"),
           nb::arg("said") = nb::dict())
      .def("_mode", mode_of)
      .def_prop_ro("_holdback", holdback_of)
      .def("_comparison_sums", comparison_sums)
      .def("kill", kill, nb::kw_only(), nb::arg("why") = "", nb::arg("by") = "",
           "Serves the default from now on, whatever the mode; the journal keeps who and why.")
      .def("revive", revive, nb::kw_only(), nb::arg("why") = "", nb::arg("by") = "",
           "Takes a kill() back; the journal keeps who and why.");
}

/// What Python's Choice needs to know before there is one.
void bind_constants(nb::module_& m) {
  PyObject* decision = make_decision_type();
  if (!decision) nb::raise_python_error();
  m.attr("Decision") = nb::steal(decision);
  m.attr("FIELDS_MAX") = kFieldsMax;
  m.attr("METRICS_MAX") = kMetricsMax;
  m.attr("DIMENSION_MAX") = kContextMax;
  m.attr("REWARD_MAX") = static_cast<double>(kRewardLimit);
  nb::list reasons;
  for (std::uint8_t i = 0; i < static_cast<std::uint8_t>(Reason::kCount); ++i)
    reasons.append(reason_name(static_cast<Reason>(i)));
  m.attr("REASONS") = nb::tuple(reasons);
  m.def(
      "schema_dimension", [](nb::tuple fields) { return Schema(read_fields(fields)).dimension(); },
      nb::arg("fields"));
  m.def(
      "reward",
      [](nb::tuple objective, const std::vector<double>& values) {
        const Objective native(read_objective(objective));
        if (values.size() != native.metrics()) throw nb::value_error("one value a metric");
        return native.reward(values.data());
      },
      nb::arg("objective"), nb::arg("values"));
}

}  // namespace

PyObject* give_feedback(PyObject* choice, std::uint64_t id, PyObject* const* args,
                        Py_ssize_t positional, PyObject* names) {
  return guarded(nb::inst_ptr<ChoiceCore>(choice), [&](ChoiceCore& core) {
    double values[kMetricsMax];
    if (positional == 1 && !names && core.metrics.size() == 1 && PyFloat_CheckExact(args[0])) {
      values[0] = PyFloat_AS_DOUBLE(args[0]);  // nearly every call
    } else if (!core.read_metrics(args, positional, names, values)) {
      std::fill_n(values, core.metrics.size(), std::numeric_limits<double>::quiet_NaN());
    }
    const FeedbackResult result = core.feedback(id, values);
    return PyBool_FromLong(result == FeedbackResult::kLearned ||
                           result == FeedbackResult::kRecorded);
  });
}

void bind_choice(nb::module_& m) {
  bind_constants(m);
  nb::class_<ChoiceCore> core(m, "ChoiceCore", nb::type_slots(type_slots),
                              "The engine behind acumen.Choice; made by it alone.");
  bind_journal(m, core);
  bind_modes(core);
  bind_episodes(core);
  core.def(nb::init<nb::dict, nb::object>(), nb::arg("spec"), nb::arg("learner"))
      .def("_choose_many", choose_many, nb::arg("rows"))
      .def("_feedback_many", feedback_many, nb::arg("ids"), nb::arg("values"))
      .def("_distributions", distributions, nb::arg("rows"))
      .def("_counters", counters)
      .def("_comparison", comparison, nb::arg("alpha"))
      .def("_records", records, nb::arg("after") = std::numeric_limits<std::int64_t>::min())
      .def("_state", state)
      .def("_restore", restore, nb::arg("arrays"))
      .def(
          "_set_objective",
          [](ChoiceCore& core, nb::tuple metrics, const std::string& text) {
            std::vector<Metric> objective = read_objective(metrics);
            {
              const nb::gil_scoped_release others_may_run;
              core.engine->set_objective(std::move(objective), text);
            }
            core.teach_python_learner();
          },
          nb::arg("metrics"), nb::arg("text") = "")
      .def(
          "_become_replica",
          [](ChoiceCore& core, std::uint64_t seed, std::uint64_t replica) {
            core.become_replica(seed, replica);
          },
          nb::arg("seed"), nb::arg("replica"))
      .def(
          "_category_code",
          [](ChoiceCore& core, std::uint32_t field, const std::string& text) {
            const std::uint64_t hash = category_hash(text.data(), text.size());
            return category_code(hash, core.engine->schema().field(field));
          },
          nb::arg("field"), nb::arg("text"))
      .def_rw("_no_model", &ChoiceCore::no_model)
      .def_prop_ro(
          "dimension", [](ChoiceCore& core) { return core.engine->schema().dimension(); },
          "Values of the vector that learners see, the bias included.")
      .def_prop_ro(
          "model_version", [](ChoiceCore& core) { return core.engine->lessons(); },
          "Lessons that the model has taken.")
      .def_prop_ro(
          "memory_bytes", [](ChoiceCore& core) { return core.engine->memory_bytes(); },
          "Bytes held by this choice; constant for its life.")
      .def_ro("last_problem", &ChoiceCore::problem,
              "What last went wrong on the hot path, in words; empty if nothing did.");
}

}  // namespace acumen::bindings
