// The Python side of a choice: names, arms and callables around the engine.
#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "acumen/choice.hpp"
#include "acumen/episode.hpp"
#include "fork_guard.hpp"
#include "journal_buffer.hpp"
#include "learner_handle.hpp"

namespace acumen::bindings {

namespace nb = nanobind;

/// Keyword names in declared order, matched against a caller's.
class KeywordOrder {
 public:
  static constexpr std::int32_t kUnknown = -1, kCandidates = -2;

  void declare(nb::tuple names);
  std::size_t size() const { return names_.size(); }
  nb::handle name(std::size_t i) const { return names_[i]; }

  /// For the i-th keyword of the caller its place in declared order, kCandidates or kUnknown. A
  /// call site's tuple of names is one constant object: where it is the one of the last call, this
  /// compares two addresses. (Call sites with more than 15 keywords and **dict bring a new tuple
  /// every time, but the names in it are the same objects.) It is asked anew for every keyword
  /// because reading a value may run Python code, and that may use the same choice.
  std::int32_t place(PyObject* keywords, Py_ssize_t i) {
    if (keywords != last_.ptr()) rematch(keywords);
    return places_[static_cast<std::size_t>(i)];
  }

 private:
  void rematch(PyObject* keywords);
  bool is_last(PyObject* keywords) const;
  std::int32_t find(PyObject* name) const;

  std::vector<nb::object> names_;
  nb::object last_;
  std::vector<std::int32_t> places_;
};

/// Fields as Python describes them: tuples of kind, optional, buckets.
std::vector<Field> read_fields(const nb::tuple& declared);

/// Metrics as Python describes them: tuples of weight, logarithmic, upper, lower, penalty.
std::vector<Metric> read_objective(const nb::tuple& metrics);

class ChoiceCore {
 public:
  /// Python's `Choice` has validated everything: wrong input here is a plain TypeError.
  ChoiceCore(nb::dict spec, nb::object learner);

  // Reading what a caller gave; false: something was bad, and `problem` says what.
  bool read_keywords(PyObject* const* values, PyObject* keywords, double* row,
                     PyObject** candidates);
  bool read_row(PyObject* object, double* row);
  bool read_candidates(PyObject* object, std::vector<float>& out);
  bool read_metrics(PyObject* const* args, Py_ssize_t positional, PyObject* keywords,
                    double* values);

  /// Decides. Never raises; `context` is what a heuristic is asked with (may be null).
  Answer decide(double* row, bool good, PyObject* candidates, PyObject* context);

  /// The distribution of the learned policy in one context; chooses and remembers nothing. `x` and
  /// `features` are scratch and the fixed arms' features, padded. False: there is none.
  bool would_choose(double* row, float* x, const float* features, std::vector<float>& answer);

  /// Passes feedback on, and teaches a learner that is written in Python.
  FeedbackResult feedback(std::uint64_t id, const double* values);
  void teach_python_learner();

  /// From now on the journal hears of everything, and decisions have ids of its replica. Whoever
  /// had it before hears nothing more.
  void attach_journal(std::shared_ptr<JournalBuffer> journal);
  /// Puts an event on record that is none of the engine's own; nothing happens without a journal.
  void note(EventKind kind, const std::string& text);
  /// Puts the mode on record, as it is now, and what else is said of it: who, why.
  void note_mode(const nb::dict& said);
  /// The event up to which the state is that which the visitors are shown: the model and, where
  /// there is a learner in Python, what it says of itself.
  std::uint64_t snapshot(StateVisitor& model, StateVisitor& history, nb::object& learner_state);

  /// Ends an episode, for a learner that has learn_episode(). `returns`: one row of metrics an id,
  /// what each decision's feedback is to be; null: the episode was cut off, and no feedback is
  /// given. `events`: what the journal keeps of it. How many steps it taught.
  std::uint64_t end_episode(const EndedEpisode& episode, const double* returns,
                            const std::vector<std::string>& events);
  /// Teaches it again; its decisions' feedback follows in the journal.
  std::uint64_t replay_episode(const EndedEpisode& episode);

  /// After fork(), in the child.
  void become_replica(std::uint64_t seed, std::uint64_t replica);

  PyObject* arm(std::uint32_t index) const {
    return index < static_cast<std::size_t>(PyTuple_GET_SIZE(arms_.ptr()))
               ? PyTuple_GET_ITEM(arms_.ptr(), index)
               : Py_None;
  }

  std::uint32_t fields() const { return engine->schema().fields(); }
  bool asks_python() const { return heuristic_.is_valid() || python_learner_.is_valid(); }
  /// Whether a decision asks nobody but the engine.
  bool is_plain() const { return !takes_candidates_ && !asks_python(); }
  bool wants_context() const { return heuristic_.is_valid(); }
  /// Seconds on a clock that only goes forward; 0 where no time-out is set.
  double now_s() const;

  std::shared_ptr<Learner>& native_learner() { return native_learner_; }
  bool is_journaled_by(const JournalBuffer& buffer) const { return journal_.get() == &buffer; }

  int traverse(visitproc visit, void* arg);
  void clear();

  KeywordOrder context, metrics;
  std::unique_ptr<ChoiceEngine> engine;
  std::uint32_t default_index = 0;
  bool no_model = false;
  std::uint64_t default_failures = 0, learner_failures = 0;
  std::string problem;  ///< the last thing that went wrong on the hot path

 private:
  double field_value(std::uint32_t field, PyObject* value, bool& good);
  bool has_lessons();
  std::vector<OwnedLesson> take_lessons(bool& reset);

  Reason problem_of(bool good, bool default_failed) const;
  void note_exception(const std::string& where);
  void note_learner_failure(nb::python_error& error);
  void teach_python_episode(const EpisodeSteps& steps, const EndedEpisode& episode);
  bool read_sequence(PyObject* sequence, double* row);
  /// The default's arm; kNoArm: it failed.
  std::uint32_t ask_heuristic(PyObject* context, PyObject* candidates, std::uint32_t count);
  bool ask_learner(double* row, const float* candidates, std::uint32_t count,
                   std::vector<float>& given);

  nb::object arms_;                  ///< tuple; for candidates: 0, 1, 2 …
  nb::object index_of_, heuristic_;  ///< dict of arm → index; callable or invalid
  std::shared_ptr<Learner> native_learner_;
  nb::object python_learner_;
  std::unique_ptr<std::recursive_mutex> python_learner_lock_ =
      std::make_unique<std::recursive_mutex>();
  bool takes_candidates_ = false;
  std::shared_ptr<JournalBuffer> journal_;
  CategoryNames category_names_;
  std::unique_ptr<ForkGuard> fork_guard_;  ///< last: goes before the engine does
};

}  // namespace acumen::bindings
