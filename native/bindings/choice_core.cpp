#include "choice_core.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <cstring>
#include <optional>

#include "decision.hpp"
#include "learner_turn.hpp"
#include "row_readers.hpp"

namespace acumen::bindings {

namespace {

constexpr std::uint32_t kFeedbackSpins = 100;  ///< a few microseconds
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

template <typename T>
T option(const nb::dict& spec, const char* name) {
  return nb::cast<T>(spec[name]);
}

}  // namespace

std::vector<Field> read_fields(const nb::tuple& declared) {
  std::vector<Field> fields;
  for (nb::handle item : declared) {
    const auto field = nb::cast<nb::tuple>(item);
    fields.push_back({static_cast<FieldKind>(nb::cast<int>(field[0])), nb::cast<bool>(field[1]),
                      nb::cast<std::uint32_t>(field[2])});
  }
  return fields;
}

std::vector<Metric> read_objective(const nb::tuple& metrics) {
  std::vector<Metric> result;
  for (nb::handle item : metrics) {
    const auto m = nb::cast<nb::tuple>(item);
    result.push_back({nb::cast<double>(m[0]), nb::cast<bool>(m[1]), nb::cast<double>(m[2]),
                      nb::cast<double>(m[3]), nb::cast<double>(m[4])});
  }
  return result;
}

void KeywordOrder::declare(nb::tuple names) {
  for (nb::handle name : names) {
    PyObject* interned = Py_NewRef(name.ptr());
    PyUnicode_InternInPlace(&interned);
    names_.push_back(nb::steal(interned));
  }
}

void KeywordOrder::rematch(PyObject* keywords) {
  if (!is_last(keywords)) {
    places_.clear();
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords); ++i)
      places_.push_back(find(PyTuple_GET_ITEM(keywords, i)));
  }
  last_ = nb::borrow(keywords);
}

/// Whether these are the very names of the last call, in another tuple.
bool KeywordOrder::is_last(PyObject* keywords) const {
  if (!last_.is_valid() || PyTuple_GET_SIZE(keywords) != PyTuple_GET_SIZE(last_.ptr()))
    return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords); ++i)
    if (PyTuple_GET_ITEM(keywords, i) != PyTuple_GET_ITEM(last_.ptr(), i)) return false;
  return true;
}

std::int32_t KeywordOrder::find(PyObject* name) const {
  for (std::size_t j = 0; j < names_.size(); ++j)
    if (names_[j].ptr() == name) return static_cast<std::int32_t>(j);
  for (std::size_t j = 0; j < names_.size(); ++j)
    if (PyUnicode_Compare(names_[j].ptr(), name) == 0) return static_cast<std::int32_t>(j);
  return PyUnicode_CompareWithASCIIString(name, "candidates") == 0 ? kCandidates : kUnknown;
}

ChoiceCore::ChoiceCore(nb::dict spec, nb::object learner) {
  ChoiceOptions options;
  options.fields = read_fields(option<nb::tuple>(spec, "fields"));
  options.metrics = read_objective(option<nb::tuple>(spec, "metrics"));
  options.shape.arms = option<std::uint32_t>(spec, "arms_max");
  options.shape.features = option<std::uint32_t>(spec, "features");
  options.arm_features = option<std::vector<float>>(spec, "arm_features");
  options.pending_max = option<std::uint32_t>(spec, "pending_max");
  options.timeout_s = option<double>(spec, "timeout_s");
  options.timeout_reward = option<double>(spec, "timeout_reward");
  options.mode = static_cast<Mode>(option<int>(spec, "mode"));
  options.canary_share = option<float>(spec, "canary_share");
  options.holdback = option<float>(spec, "holdback");
  options.seed = option<std::uint64_t>(spec, "seed");
  options.replica = option<std::uint64_t>(spec, "replica");
  options.shape.dimension = Schema(options.fields).dimension();
  takes_candidates_ = options.shape.features > 0 && options.arm_features.empty();

  context.declare(option<nb::tuple>(spec, "field_names"));
  metrics.declare(option<nb::tuple>(spec, "metric_names"));
  arms_ = spec["arms"];
  index_of_ = spec["index_of"];
  default_index = option<std::uint32_t>(spec, "default_index");
  if (!nb::object(spec["heuristic"]).is_none()) heuristic_ = spec["heuristic"];
  if (nb::isinstance<LearnerHandle>(learner)) {
    native_learner_ = learner_of(learner);
  } else {
    python_learner_ = learner;
  }
  engine = std::make_unique<ChoiceEngine>(std::move(options), native_learner_.get());
  fork_guard_ = std::make_unique<ForkGuard>(*engine);
}

double ChoiceCore::now_s() const {
  if (engine->options().timeout_s <= 0) return 0.0;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void ChoiceCore::note_exception(const std::string& where) {
  const nb::python_error error;
  // A choice never raises, but Ctrl-C and sys.exit() are not the choice's to swallow.
  if (!error.matches(PyExc_Exception)) throw error;
  problem = where + ": " + error.what();
}

void ChoiceCore::note_learner_failure(nb::python_error& error) {
  error.restore();
  note_exception("learner");
  learner_failures += 1;
}

double ChoiceCore::field_value(std::uint32_t i, PyObject* value, bool& good) {
  if (PyFloat_CheckExact(value)) return PyFloat_AS_DOUBLE(value);
  if (value == Py_None) return kMissing;
  const Field& field = engine->schema().field(i);
  if (field.kind == FieldKind::kCategory && PyUnicode_Check(value)) {
    Py_ssize_t length;
    const char* text = PyUnicode_AsUTF8AndSize(value, &length);
    if (text) {
      const auto size = static_cast<std::size_t>(length);
      const std::uint64_t hash = category_hash(text, size);
      const std::uint32_t code = category_code(hash, field);
      if (journal_) category_names_.meet(*engine, i, code, hash, {text, size});
      return static_cast<double>(code);
    }
  } else {
    const double number = PyFloat_AsDouble(value);
    if (!(number == -1.0 && PyErr_Occurred())) return number;
  }
  note_exception(nb::cast<std::string>(context.name(i)));
  good = false;
  return kMissing;
}

bool ChoiceCore::read_keywords(PyObject* const* values, PyObject* keywords, double* row,
                               PyObject** candidates) {
  bool good = true;
  const Py_ssize_t count = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  if (static_cast<std::size_t>(count) < context.size()) std::fill_n(row, fields(), kMissing);
  for (Py_ssize_t i = 0; i < count; ++i) {
    const std::int32_t place = context.place(keywords, i);
    if (place >= 0) {
      const auto field = static_cast<std::uint32_t>(place);
      row[place] = field_value(field, values[i], good);
      // Codes are for rows: here a number is somebody's mistake, unless it says "missing".
      if (engine->schema().field(field).kind == FieldKind::kCategory &&
          !PyUnicode_Check(values[i]) && !std::isnan(row[place])) {
        problem = nb::cast<std::string>(context.name(field)) + ": expected a str";
        row[place] = kMissing;
        good = false;
      }
    } else if (place == KeywordOrder::kCandidates && takes_candidates_) {
      *candidates = values[i];
    } else {
      problem = "unknown context name " +
                nb::cast<std::string>(nb::repr(nb::handle(PyTuple_GET_ITEM(keywords, i))));
      std::fill_n(row, fields(), kMissing);
      return false;
    }
  }
  return good;
}

/// A tuple or list of the right length. Reading a value may run Python code (`__float__`), which
/// may change the list.
bool ChoiceCore::read_sequence(PyObject* sequence, double* row) {
  const std::uint32_t n = fields();
  PyObject* const* values = PySequence_Fast_ITEMS(sequence);
  std::uint32_t i = 0;
  for (; i < n && PyFloat_CheckExact(values[i]); ++i) row[i] = PyFloat_AS_DOUBLE(values[i]);
  bool good = true;
  for (; i < n; ++i) {
    if (PySequence_Fast_GET_SIZE(sequence) != static_cast<Py_ssize_t>(n)) {
      std::fill(row + i, row + n, kMissing);
      problem = "the row changed its length while it was read";
      return false;
    }
    const nb::object value = nb::borrow(PySequence_Fast_GET_ITEM(sequence, i));
    row[i] = field_value(i, value.ptr(), good);
  }
  return good;
}

bool ChoiceCore::read_row(PyObject* object, double* row) {
  const std::uint32_t n = fields();
  if (PyTuple_CheckExact(object) || PyList_CheckExact(object)) {
    if (PySequence_Fast_GET_SIZE(object) == static_cast<Py_ssize_t>(n))
      return read_sequence(object, row);
  } else if (is_numpy_array(object)) {
    if (read_numpy(object, n, row)) return true;
  } else if (read_buffer(object, n, row)) {
    return true;
  }
  problem = "a row is a tuple, list or contiguous float buffer of " + std::to_string(n) +
            " values in schema order";
  std::fill_n(row, n, kMissing);
  return false;
}

bool ChoiceCore::read_candidates(PyObject* object, std::vector<float>& out) {
  const std::uint32_t n = engine->options().shape.features;
  if (!object) {
    problem = "this choice needs candidates";
    return false;
  }
  using Matrix = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
  nb::object array = nb::borrow(object);
  try {
    if (!is_numpy_array(object)) array = nb::module_::import_("numpy").attr("asarray")(array);
    const Matrix matrix = nb::cast<Matrix>(array);
    if (matrix.shape(1) != n || matrix.shape(0) == 0 ||
        matrix.shape(0) > engine->options().shape.arms) {
      problem = "candidates are a matrix of 1 to " + std::to_string(engine->options().shape.arms) +
                " rows and " + std::to_string(n) + " features";
      return false;
    }
    out.assign(matrix.data(), matrix.data() + matrix.size());
    return true;
  } catch (const std::exception& error) {
    problem = std::string("candidates: ") + error.what();
    return false;
  }
}

bool ChoiceCore::read_metrics(PyObject* const* args, Py_ssize_t positional, PyObject* keywords,
                              double* values) {
  const std::size_t n = metrics.size();
  std::fill_n(values, n, kMissing);
  const auto read = [&](std::size_t place, PyObject* value) {
    values[place] = PyFloat_CheckExact(value) ? PyFloat_AS_DOUBLE(value) : PyFloat_AsDouble(value);
    if (values[place] == -1.0 && PyErr_Occurred()) {
      note_exception(nb::cast<std::string>(metrics.name(place)));
      values[place] = kMissing;
    }
  };
  for (Py_ssize_t i = 0; i < positional && static_cast<std::size_t>(i) < n; ++i)
    read(static_cast<std::size_t>(i), args[i]);
  const Py_ssize_t count = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  bool good = static_cast<std::size_t>(positional) <= n;
  for (Py_ssize_t i = 0; i < count; ++i) {
    const std::int32_t place = metrics.place(keywords, i);
    if (place >= 0) {
      read(static_cast<std::size_t>(place), args[positional + i]);
    } else {
      good = false;
    }
  }
  if (!good) problem = "feedback names a metric that the choice does not have";
  return good;
}

std::uint32_t ChoiceCore::ask_heuristic(PyObject* context_values, PyObject* candidates,
                                        std::uint32_t count) {
  if (!heuristic_.is_valid()) return default_index < count ? default_index : 0;
  PyObject* args[] = {context_values, candidates};
  const nb::object arm =
      nb::steal(PyObject_Vectorcall(heuristic_.ptr(), args, takes_candidates_ ? 2 : 1, nullptr));
  if (arm.is_valid()) {
    PyObject* index =
        takes_candidates_ ? arm.ptr() : PyDict_GetItemWithError(index_of_.ptr(), arm.ptr());
    const long place = index ? PyLong_AsLong(index) : -1;
    if (place >= 0 && place < static_cast<long>(count)) return static_cast<std::uint32_t>(place);
    if (!PyErr_Occurred())
      PyErr_Format(PyExc_ValueError, "the default answered %R, which is no arm", arm.ptr());
  }
  note_exception("default");
  default_failures += 1;
  return ChoiceEngine::kNoArm;
}

bool ChoiceCore::ask_learner(double* row, const float* candidates, std::uint32_t count,
                             std::vector<float>& given) {
  using Vector = nb::ndarray<nb::numpy, const float, nb::ndim<1>>;
  using Matrix = nb::ndarray<nb::numpy, const float, nb::ndim<2>>;
  const std::uint32_t n = engine->options().shape.features;
  std::vector<float> x(padded(engine->schema().dimension()));
  std::vector<float> scaled(static_cast<std::size_t>(count) * padded(n));
  if (!engine->encode(row, x.data())) {
    given.resize(count);  // the engine finds the bad value too, and does not look at these
    return true;
  }
  try {
    nb::object features = nb::none();
    if (n > 0) {
      engine->arm_features(candidates, count, scaled.data());
      features = nb::cast(Matrix(scaled.data(), {count, n}, nb::handle(),
                                 {static_cast<std::int64_t>(padded(n)), 1}),
                          nb::rv_policy::copy);
    }
    const nb::object vector =
        nb::cast(Vector(x.data(), {engine->schema().dimension()}), nb::rv_policy::copy);
    const LearnerTurn turn(*python_learner_lock_);
    const nb::object answer = python_learner_.attr("distribution")(vector, features);
    given = nb::cast<std::vector<float>>(answer);
    if (given.size() == count) return true;
    problem = "learner: distribution() has " + std::to_string(given.size()) + " values for " +
              std::to_string(count) + " arms";
    learner_failures += 1;
  } catch (nb::python_error& error) {
    note_learner_failure(error);
  } catch (const std::exception&) {
    problem = "learner: distribution() did not answer with numbers";
    learner_failures += 1;
  }
  return false;
}

/// Why no learned code is to run, if there is a reason, also none outside of the engine.
Reason ChoiceCore::problem_of(bool good, bool default_failed) const {
  const Guard::View view = engine->guard().look();
  if (!good) return Reason::kBadContext;
  if (default_failed) return Reason::kDefaultFailed;
  if (view.killed) return Reason::kKilled;
  if (view.mode == Mode::kOff) return Reason::kOff;
  return no_model ? Reason::kNoModel : Reason::kLearned;
}

Answer ChoiceCore::decide(double* row, bool good, PyObject* candidates, PyObject* context_values) {
  Question question;
  if (is_plain()) {
    question.row = row;
    question.default_arm = default_index < engine->options().shape.arms ? default_index : 0;
    question.problem = !good ? Reason::kBadContext : no_model ? Reason::kNoModel : Reason::kLearned;
    question.now_s = now_s();
    return engine->decide(question);
  }
  std::vector<float> rows, given;  // empty vectors own no memory
  std::uint32_t count = engine->options().shape.arms;
  if (takes_candidates_) {
    good = read_candidates(candidates, rows) && good;
    count = static_cast<std::uint32_t>(rows.size()) / engine->options().shape.features;
    question.candidates = rows.data();
    question.candidate_count = count;
  }
  question.row = row;
  question.default_arm =
      count > 0 ? ask_heuristic(context_values, candidates, count) : ChoiceEngine::kNoArm;
  const bool failed = count > 0 && question.default_arm == ChoiceEngine::kNoArm;
  if (failed) question.default_arm = 0;
  question.problem = problem_of(good, failed);
  if (python_learner_.is_valid() && question.problem == Reason::kLearned) {
    if (ask_learner(row, rows.data(), count, given)) {
      question.given = given.data();
    } else {
      question.problem = Reason::kLearnerFailed;
    }
  }
  question.now_s = now_s();
  const Answer answer = engine->decide(question);
  // Time-outs and calibration teach, too.
  if (python_learner_.is_valid()) teach_python_learner();
  return answer;
}

FeedbackResult ChoiceCore::feedback(std::uint64_t id, const double* values) {
  // Who has to wait gives up the GIL: the engine may be learning anew, which takes milliseconds.
  // Whoever holds the lock never waits for the GIL.
  FeedbackResult result;
  if (engine->lock().try_lock(kFeedbackSpins)) {
    const std::lock_guard<SpinLock> unlock(engine->lock(), std::adopt_lock);
    result = engine->feedback_locked(id, values, now_s());
  } else {
    const nb::gil_scoped_release others_may_run;
    result = engine->feedback(id, values, now_s());
  }
  if (python_learner_.is_valid()) teach_python_learner();
  return result;
}

bool ChoiceCore::has_lessons() {
  const std::lock_guard<SpinLock> lock(engine->lock());
  return !engine->outbox().empty();
}

std::vector<OwnedLesson> ChoiceCore::take_lessons(bool& reset) {
  const std::lock_guard<SpinLock> lock(engine->lock());
  return engine->outbox().take(reset);
}

void ChoiceCore::teach_python_learner() {
  using Vector = nb::ndarray<nb::numpy, const float, nb::ndim<1>>;
  if (!python_learner_.is_valid() || !has_lessons()) return;
  const LearnerTurn turn(*python_learner_lock_);
  bool reset = false;
  const std::vector<OwnedLesson> lessons = take_lessons(reset);
  const auto array = [](const std::vector<float>& values) -> nb::object {
    if (values.empty()) return nb::none();
    return nb::cast(Vector(values.data(), {values.size()}), nb::rv_policy::copy);
  };
  // A lesson that the learner cannot take does not cost it the others, and neither does Ctrl-C.
  std::optional<nb::python_error> interrupt;
  const auto attempt = [&](const auto& call) {
    try {
      call();
    } catch (nb::python_error& error) {
      if (error.matches(PyExc_Exception)) {
        note_learner_failure(error);
      } else {
        interrupt.emplace(std::move(error));
      }
    }
  };
  if (reset) attempt([&] { python_learner_.attr("reset")(); });
  for (const OwnedLesson& lesson : lessons) {
    attempt([&] {
      python_learner_.attr("learn")(array(lesson.x), lesson.arm, lesson.propensity, lesson.reward,
                                    array(lesson.features));
    });
  }
  if (interrupt) throw std::move(*interrupt);
}

void ChoiceCore::become_replica(std::uint64_t seed, std::uint64_t replica) {
  engine->become_replica(seed, replica);
  // A lost thread may hold it for good, and it must not be destroyed then: the few bytes leak.
  static_cast<void>(python_learner_lock_.release());
  python_learner_lock_ = std::make_unique<std::recursive_mutex>();
}

int ChoiceCore::traverse(visitproc visit, void* arg) {
  for (nb::handle object : {nb::handle(arms_), nb::handle(index_of_), nb::handle(heuristic_),
                            nb::handle(python_learner_)})
    Py_VISIT(object.ptr());
  return 0;
}

void ChoiceCore::clear() {
  heuristic_.reset();
  arms_ = nb::make_tuple();
  index_of_ = nb::dict();
}

}  // namespace acumen::bindings
