// `_native.JournalBuffer`, and what a choice does with its journal: attach, snapshot, replay.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "acumen/history.hpp"
#include "acumen/replay.hpp"
#include "choice_core.hpp"
#include "columns.hpp"
#include "journal_buffer.hpp"
#include "learner_turn.hpp"
#include "state_arrays.hpp"

namespace acumen::bindings {

std::uint64_t wall_clock_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

std::uint64_t ChoiceCore::snapshot(StateVisitor& model, StateVisitor& history,
                                   nb::object& learner_state) {
  std::optional<LearnerTurn> turn;
  if (python_learner_.is_valid()) turn.emplace(*python_learner_lock_);
  // While this thread has the turn nobody else teaches: lessons only gather.
  for (;;) {
    teach_python_learner();
    EngineTurn lock(*engine);
    if (python_learner_.is_valid() && !engine->outbox().empty()) continue;
    History past(*engine);
    past.visit_model(model);
    past.visit(history);
    const std::uint64_t sequence = engine->journal() ? engine->journal()->sequence() : 0;
    lock.release();
    if (python_learner_.is_valid()) learner_state = python_learner_.attr("state")();
    return sequence;
  }
}

void ChoiceCore::attach_journal(std::shared_ptr<JournalBuffer> journal) {
  category_names_ = CategoryNames(engine->schema());
  const EngineTurn lock(*engine);
  journal_.swap(journal);
  engine->ring().rename(journal_->replica);
  engine->journal() = &journal_->hook;
}

void ChoiceCore::note(EventKind kind, const std::string& text) {
  if (!journal_) return;
  const EngineTurn lock(*engine);
  journal_->hook.text(kind, text);
}

void ChoiceCore::note_mode(const nb::dict& said) {
  if (!journal_) return;
  const Guard::View view = engine->guard().look();
  const char* names[] = {"off", "shadow", "canary", "on"};
  nb::dict event;
  event["mode"] = names[static_cast<int>(view.mode)];
  event["canary"] = std::round(static_cast<double>(view.canary_share) * 1e6) / 1e6;
  event["killed"] = view.killed;
  event.update(said);
  const nb::object dumps = nb::module_::import_("json").attr("dumps");
  note(EventKind::kMode, nb::cast<std::string>(dumps(event, nb::arg("ensure_ascii") = false)));
}

namespace {

/// What is waiting as one batch: memory, places of its columns, rows, first and last number,
/// checksum, and whether nothing is left. Without the GIL, but for making the objects.
nb::tuple take(JournalBuffer& buffer, std::size_t words_max) {
  JournalBatch batch;
  {
    const nb::gil_scoped_release others_may_run;
    batch = buffer.columns.take(*buffer.ring, words_max, wall_clock_ns());
  }
  nb::list places;
  for (const ColumnPlace& c : batch.columns)
    places.append(nb::make_tuple(c.valid, c.nulls, c.data, c.bytes, c.text, c.text_bytes));
  return nb::make_tuple(nb::cast(column(std::move(batch.memory))), places, batch.rows, batch.first,
                        batch.last, batch.checksum, batch.all);
}

using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

/// CRC-32 of parts, each given as bytes and the number of bits of them that count.
std::uint32_t checksum(const nb::list& parts, std::uint32_t start) {
  std::vector<std::pair<Bytes, std::size_t>> views;
  for (nb::handle part : parts) {
    const auto pair = nb::cast<nb::tuple>(part);
    views.emplace_back(nb::cast<Bytes>(pair[0]), nb::cast<std::size_t>(pair[1]));
    if (views.back().second > 8 * views.back().first.size())
      throw nb::value_error("a part has fewer bits than are to be read");
  }
  const nb::gil_scoped_release others_may_run;
  Crc32 crc(start);
  for (const auto& [bytes, bits] : views) crc.add_bits(bytes.data(), bits);
  return crc.value();
}

nb::tuple snapshot(ChoiceCore& core) {
  StateReader model, history;
  nb::object learner_state = nb::none();
  const std::uint64_t sequence = core.snapshot(model, history, learner_state);
  return nb::make_tuple(to_python(std::move(model.arrays)), to_python(std::move(history.arrays)),
                        sequence, learner_state);
}

bool is_untouched(ChoiceCore& core) {
  const EngineTurn lock(*core.engine);
  return History(*core.engine).empty();
}

/// The recent past of a snapshot, into a choice that has none; `shift_s` brings its times to this
/// process's clock.
void restore_history(ChoiceCore& core, const nb::dict& arrays, double shift_s) {
  const StateArrays native = from_python(arrays);
  StateWriter check(native, true), write(native, false);
  std::string problem;
  {
    const EngineTurn lock(*core.engine);
    History history(*core.engine);
    if (!history.empty()) {
      problem = "the choice has a past of its own";
    } else {
      history.visit(check);
      problem = check.problem();
      if (problem.empty()) {
        history.visit(write);
        history.shift_times(shift_s);
        if (!history.valid()) {
          history.forget();
          problem = "the values break an invariant of the ring";
        }
      }
    }
  }
  if (!problem.empty()) throw nb::value_error(problem.c_str());
}

void forget_history(ChoiceCore& core) {
  const EngineTurn lock(*core.engine);
  History(*core.engine).forget();
}

template <typename T>
using Rows = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

/// A batch of events, one a row.
struct Events {
  Column<std::uint8_t> kind, reason, usable;
  Column<std::uint64_t> id, version;
  Column<std::uint32_t> arm, field;
  Column<std::uint64_t> number;
  Column<float> propensity, share;
  Column<double> time_s;
  Rows<double> rows, metrics;
  Rows<float> features;

  Events(const nb::dict& columns, const ChoiceOptions& options) {
    read(columns, "kind", kind), read(columns, "reason", reason), read(columns, "usable", usable);
    read(columns, "id", id), read(columns, "model_version", version), read(columns, "arm", arm);
    read(columns, "field", field), read(columns, "number", number);
    read(columns, "propensity", propensity), read(columns, "learned_share", share);
    read(columns, "time_s", time_s), read(columns, "context", rows);
    read(columns, "metric", metrics), read(columns, "feature", features);
    const bool candidates = options.arm_features.empty();
    if (rows.shape(1) != options.fields.size() || metrics.shape(1) != options.metrics.size() ||
        features.shape(1) != (candidates ? options.shape.features : 0))
      throw nb::value_error("columns of another choice");
  }

  std::size_t size() const { return kind.shape(0); }

  /// Null where the event has none: all are missing.
  const float* features_of(std::size_t i) const {
    const std::size_t n = features.shape(1);
    const float* first = features.data() + i * n;
    return std::all_of(first, first + n, [](float v) { return std::isnan(v); }) ? nullptr : first;
  }

 private:
  template <typename T>
  void read(const nb::dict& columns, const char* name, T& out) {
    out = nb::cast<T>(columns[name], false);
    if (kind.is_valid() && out.shape(0) != kind.shape(0))
      throw nb::value_error("columns have different lengths");
  }
};

struct Replayed {
  std::uint64_t decisions = 0, feedback = 0, learned = 0, timeouts = 0, refused = 0, overtaken = 0;
};

void apply(Replay& replay, const Events& events, std::size_t i, Replayed& done) {
  switch (static_cast<EventKind>(events.kind.data()[i])) {
    case EventKind::kDecision: {
      PastDecision past;
      past.id = events.id.data()[i], past.version = events.version.data()[i];
      past.arm = events.arm.data()[i], past.propensity = events.propensity.data()[i];
      past.learned_share = events.share.data()[i], past.reason = events.reason.data()[i];
      past.usable = events.usable.data()[i] != 0, past.time_s = events.time_s.data()[i];
      past.row = events.rows.data() + i * events.rows.shape(1);
      past.features = events.features_of(i);
      done.decisions += 1;
      done.refused += !replay.decision(past);
      break;
    }
    case EventKind::kFeedback: {
      const double* values = events.metrics.data() + i * events.metrics.shape(1);
      const std::uint64_t id = events.id.data()[i];
      done.feedback += 1;
      done.learned += replay.feedback(id, values) == FeedbackResult::kLearned;
      break;
    }
    case EventKind::kTimeout:
      done.timeouts += 1;
      done.overtaken += !replay.timed_out(events.id.data()[i]);
      break;
    case EventKind::kCandidate:
      if (const float* features = events.features_of(i)) replay.candidate(features);
      break;
    case EventKind::kSeen:
      replay.seen(events.field.data()[i], events.number.data()[i]);
      break;
    default:
      break;  // what the engine does not know is Python's to apply
  }
}

/// Applies events; returns decisions, feedback, lessons learned from it, time-outs, how many
/// decisions could not have been, and how many time-outs were of none that waits.
nb::tuple replay(ChoiceCore& core, const nb::dict& columns, bool forget_decisions) {
  const Events events(columns, core.engine->options());
  Replayed done;
  {
    const nb::gil_scoped_release others_may_run;
    const std::lock_guard<SpinLock> lock(core.engine->lock());
    Replay replay(*core.engine);
    if (forget_decisions) replay.forget_decisions();
    for (std::size_t i = 0; i < events.size(); ++i) apply(replay, events, i, done);
  }
  core.teach_python_learner();
  return nb::make_tuple(done.decisions, done.feedback, done.learned, done.timeouts, done.refused,
                        done.overtaken);
}

void bind_buffer(nb::module_& m) {
  nb::class_<JournalBuffer>(m, "JournalBuffer", "Events of one choice between engine and disk.")
      .def(
          "__init__",
          [](JournalBuffer* self, nb::tuple fields, std::uint32_t metrics, std::uint32_t features,
             std::uint32_t replica, std::size_t bytes, bool drop_oldest) {
            new (self) JournalBuffer(read_fields(fields), metrics, features, replica, bytes,
                                     drop_oldest ? WhenFull::kDropOldest : WhenFull::kDropNewest);
          },
          nb::arg("fields"), nb::arg("metrics"), nb::arg("features"), nb::arg("replica"),
          nb::arg("ring_bytes"), nb::arg("drop_oldest"))
      .def("take", take, nb::arg("words_max"))
      .def(
          "remember_lessons",
          [](JournalBuffer& buffer, ChoiceCore& core) {
            const EngineTurn lock(*core.engine);
            // A step of an episode is there twice: when it teaches, and when it is counted.
            const bool twice = dynamic_cast<SequenceLearner*>(core.engine->learner()) != nullptr;
            const std::uint64_t capacity = core.engine->ring().capacity() << (twice ? 1 : 0);
            buffer.hook.lessons().begin(capacity, buffer.hook.sequence());
          },
          nb::arg("choice"))
      .def_prop_ro("sequence", [](JournalBuffer& buffer) { return buffer.ring->sequence(); })
      .def_prop_ro("dropped", [](JournalBuffer& buffer) { return buffer.ring->dropped(); })
      .def_prop_ro("waiting_bytes",
                   [](JournalBuffer& buffer) { return 8 * buffer.ring->waiting_words(); })
      .def_prop_ro("memory_bytes",
                   [](JournalBuffer& buffer) { return buffer.ring->memory_bytes(); });
}

}  // namespace

void bind_journal(nb::module_& m, nb::class_<ChoiceCore>& core) {
  bind_buffer(m);
  m.def("crc32", checksum, nb::arg("parts"), nb::arg("start") = 0);
  core.def("_attach_journal", &ChoiceCore::attach_journal, nb::arg("journal"))
      .def(
          "_note",
          [](ChoiceCore& self, int kind, const std::string& text) {
            self.note(static_cast<EventKind>(kind), text);
          },
          nb::arg("kind"), nb::arg("text"))
      .def("_snapshot", snapshot)
      .def("_is_untouched", is_untouched)
      .def("_restore_history", restore_history, nb::arg("arrays"), nb::arg("shift_s"))
      .def("_forget_history", forget_history)
      .def(
          "_begin_at",
          [](ChoiceCore& core, std::uint64_t number) {
            const EngineTurn lock(*core.engine);
            core.engine->ring().begin_at(number);
          },
          nb::arg("number"))
      .def("_replay", replay, nb::arg("columns"), nb::arg("forget_decisions"))
      .def(
          "_relearn",
          [](ChoiceCore& self, std::uint64_t keep, const std::string& text) {
            {
              const nb::gil_scoped_release others_may_run;
              const std::lock_guard<SpinLock> lock(self.engine->lock());
              JournalHook* journal = self.engine->journal();
              if (journal && !text.empty()) journal->text(EventKind::kObjective, text);
              History(*self.engine).relearn(keep);
            }
            self.teach_python_learner();
          },
          nb::arg("keep"), nb::arg("text") = "")
      .def(
          "_shift_times",
          [](ChoiceCore& self, double seconds) {
            const EngineTurn lock(*self.engine);
            History(*self.engine).shift_times(seconds);
          },
          nb::arg("seconds"))
      .def("_clock_s", [](ChoiceCore& self) { return self.now_s(); });
}

}  // namespace acumen::bindings
