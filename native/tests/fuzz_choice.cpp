// Any sequence of calls leaves a choice sound: arms in range, propensities in (0, 1], every
// decision and every feedback counted once, memory constant, lessons finite. Rows, candidates,
// metrics, given distributions and clocks are arbitrary; so are schemas, modes and objectives. What
// the journal was told of it makes the same state again, bit for bit.
#include <algorithm>
#include <numeric>
#include <set>
#include <string>

#include "acumen/choice.hpp"
#include "drawn_choice.hpp"
#include "expect.hpp"
#include "fuzz_input.hpp"
#include "program.hpp"
#include "replayed.hpp"

namespace fuzz_choice {

using namespace acumen;

namespace {

/// A choice, what was asked of it, and what it has to keep.
class Scene {
 public:
  explicit Scene(Input& input)
      : input_(input),
        options_(drawn_options(input)),
        factory_(drawn_learner(input_, options_.shape)),
        learner_(factory_()),
        engine_(options_, learner_.get()),
        memory_(engine_.memory_bytes()),
        row_(options_.fields.size() + 1),
        journal_(std::make_shared<JournalRing>(1 << 19, WhenFull::kDropNewest)),
        hook_(options_.fields, static_cast<std::uint32_t>(options_.metrics.size()),
              options_.arm_features.empty() ? options_.shape.features : 0, journal_,
              stopped_clock) {
    engine_.journal() = &hook_;
  }

  void step() {
    const std::uint8_t what = input_.byte();
    if (what < 100) {
      decide();
    } else if (what < 190) {
      feedback();
    } else if (what < 205) {
      engine_.guard().set(static_cast<Mode>(what % 4), static_cast<float>(input_.byte()) / 255.0f);
    } else if (what < 215) {
      what % 2 ? engine_.guard().kill() : engine_.guard().revive();
    } else if (what < 225) {
      objectives_.push_back(drawn_metrics(input_, options_.metrics.size()));
      engine_.set_objective(objectives_.back(), std::to_string(objectives_.size() - 1));
    } else if (what < 240) {
      save_and_load();
    } else {
      for (int i = 0; i < what; ++i) decide_at(now_s_);  // past the calibrations
    }
    check();
  }

  /// The journal's events make the same state, bit for bit.
  void expect_replayable() {
    EXPECT(journal_->dropped() == 0);
    if (loaded_) return;  // that is no event of the engine's own
    const auto learner = factory_();
    ChoiceEngine twin(options_, learner.get());
    replay_words(events_, twin, [&](const std::string& text) {
      twin.set_objective(objectives_[static_cast<std::size_t>(std::stoul(text))]);
    });
    EXPECT(whole_state(engine_) == whole_state(twin));
  }

  /// A state in which some bytes are others is refused as a whole or harmless.
  void load_altered(Input& alterations) {
    StateBuffer state;
    state.save(engine_);
    for (int i = 0; i < 4; ++i) {
      std::size_t position = 0;
      for (int k = 0; k < 3; ++k) position = position << 8 | alterations.byte();
      state.bytes()[position % state.bytes().size()] = alterations.byte();
    }
    const std::uint64_t lessons = engine_.lessons();
    if (!engine_.overwrite(state.rewind())) EXPECT(engine_.lessons() == lessons);
    for (int i = 0; i < 20; ++i) decide_at(now_s_);
    check();
    EXPECT(!learner_ || learner_->validate());
  }

 private:
  void decide() {
    for (std::size_t i = 0; i < options_.fields.size(); ++i) {
      const Field& field = options_.fields[i];
      const std::uint8_t kind = input_.byte();
      row_[i] = kind < 32                            ? input_.wide_value()
                : field.kind == FieldKind::kCategory ? kind % field.buckets
                : kind < 40 && field.optional        ? std::nan("")
                : field.kind == FieldKind::kFlag     ? kind % 2
                                                     : (kind - 128) / 16.0;
    }
    now_s_ += input_.byte() / 16.0;
    decide_at(now_s_);
  }

  void decide_at(double now_s) {
    std::vector<double> row = row_;
    Question question;
    question.row = row.data();
    question.now_s = now_s;
    std::uint32_t count = options_.shape.arms;
    std::vector<float> candidates, given(options_.shape.arms + 2);
    if (options_.shape.features > 0 && options_.arm_features.empty()) {
      count = input_.below(options_.shape.arms + 2);  // one too many: the default
      candidates.resize((count + 1) * options_.shape.features);
      for (float& v : candidates) v = input_.byte() < 250 ? input_.plain_value() : input_.value();
      question.candidates = candidates.data();
      question.candidate_count = count;
    }
    for (float& p : given) p = input_.byte() < 200 ? 1.0f / 16.0f : input_.value();
    if (!learner_) question.given = given.data();
    question.default_arm = count > 0 ? input_.below(count) : 0;
    if (input_.byte() > 250) question.problem = Reason::kLearnerFailed;
    const auto infinite = [](double v) { return std::isinf(v); };
    bool bad = std::any_of(row.begin(), row.end() - 1, infinite);
    for (std::size_t i = 0; question.candidates && i < count * options_.shape.features; ++i)
      bad = bad || !std::isfinite(candidates[i]);
    const Guard::View view = engine_.guard().look();
    const Answer answer = engine_.decide(question);
    if (bad) EXPECT(answer.reason > Reason::kShadow);
    decisions_ += 1;
    expect_sound(answer, question, view, count);
    EXPECT(ids_.insert(answer.id).second);
    recent_[answer.id % recent_.size()] = answer.id;
  }

  static void expect_sound(const Answer& answer, const Question& question, const Guard::View& view,
                           std::uint32_t count) {
    EXPECT(answer.id != 0 && answer.arm < std::max(count, 1u));
    EXPECT(answer.propensity > 0.0f && answer.propensity <= 1.0f);
    EXPECT(answer.reason < Reason::kCount && answer.reason != Reason::kBusy);
    const bool asked = answer.reason <= Reason::kShadow;
    EXPECT(asked ? answer.suggested < count : answer.suggested == ChoiceEngine::kNoArm);
    if (answer.reason == Reason::kLearned) {
      EXPECT(answer.arm == answer.suggested && view.learned_share > 0.0f);
    } else {
      EXPECT(answer.arm == question.default_arm);
    }
    if (!asked || answer.reason == Reason::kShadow) EXPECT(answer.propensity == 1.0f);
    if (view.killed) EXPECT(!asked || answer.reason == Reason::kShadow);
    if (view.mode == Mode::kOff) EXPECT(!asked);
  }

  void feedback() {
    const std::uint8_t which = input_.byte();
    const std::uint64_t id = which < 240 ? recent_[which % recent_.size()] : which * 977ull << 20;
    double values[3] = {0.0, 0.0, 0.0};
    for (double& v : values) {
      v = input_.byte() < 220 ? static_cast<double>(input_.plain_value()) : input_.wide_value();
      moderate_ = moderate_ && !(std::fabs(v) > 1e9 && std::isfinite(v));
    }
    const FeedbackResult result = engine_.feedback(id, values);
    feedbacks_ += 1;
    const bool taken = result == FeedbackResult::kLearned || result == FeedbackResult::kRecorded;
    if (!ids_.contains(id)) EXPECT(result == FeedbackResult::kUnknown);
    if (taken) EXPECT(told_.insert(id).second);
    if (result == FeedbackResult::kDuplicate) EXPECT(told_.contains(id));
  }

  void save_and_load() {
    StateBuffer before;
    before.save(engine_);
    const std::uint64_t lessons = engine_.lessons();
    if (!moderate_) return;  // what enormous rewards leave may be refused
    loaded_ = true;
    EXPECT(engine_.overwrite(before.rewind()));
    EXPECT(engine_.lessons() == lessons);
  }

  void check() {
    const Counters seen = engine_.counters();
    std::uint64_t decisions = 0;
    for (const std::uint64_t count : seen.reasons) decisions += count;
    EXPECT(decisions == decisions_);
    EXPECT(std::accumulate(seen.feedback.begin(), seen.feedback.end(), std::uint64_t{0}) ==
           feedbacks_);
    EXPECT(seen.expired + seen.overwritten <= decisions_);
    EXPECT(engine_.memory_bytes() == memory_);
    journal_->collect(events_, events_.max_size());
    // validate() costs more than all the rest: now and then.
    if (learner_ && checks_++ % 64 == 0) EXPECT(learner_->validate());
    if (moderate_) expect_interval();
    bool reset = false;
    for (const OwnedLesson& lesson : engine_.outbox().take(reset)) {
      EXPECT(lesson.arm < options_.shape.arms);
      EXPECT(lesson.propensity > 0.0f && lesson.propensity <= 1.0f);
      EXPECT(std::isfinite(lesson.reward) || !moderate_);
      EXPECT(lesson.x.size() == options_.shape.dimension);
      EXPECT(lesson.features.size() == options_.shape.features);
      EXPECT(within(lesson.x.data(), options_.shape.dimension, 8.0f));
    }
  }

  void expect_interval() {
    const HoldbackComparison comparison = engine_.comparison();
    const Interval interval = comparison.interval(0.05);
    EXPECT(comparison.valid() && interval.low <= interval.high && std::isfinite(interval.mean));
  }

  Input& input_;
  ChoiceOptions options_;
  LearnerFactory factory_;
  std::unique_ptr<Learner> learner_;
  ChoiceEngine engine_;
  std::size_t memory_;
  std::vector<double> row_;
  std::shared_ptr<JournalRing> journal_;
  JournalHook hook_;
  std::vector<std::uint64_t> events_;
  std::vector<std::vector<Metric>> objectives_;
  bool loaded_ = false;
  double now_s_ = 1.0;
  std::uint64_t decisions_ = 0, feedbacks_ = 0, checks_ = 0;
  bool moderate_ = true;  ///< no reward so far was enormous
  std::set<std::uint64_t> ids_, told_;
  std::array<std::uint64_t, 16> recent_{};
};

}  // namespace

FUZZ_TARGET(fuzz_choice, data, size) {
  // The last bytes are kept for load_altered(), for by then the calls have used up the others.
  const std::size_t kept = std::min<std::size_t>(size, 16);
  Input input(data, size - kept), alterations(data + (size - kept), kept);
  Scene scene(input);
  while (!input.empty()) scene.step();
  scene.expect_replayable();
  scene.load_altered(alterations);
  return 0;
}

}  // namespace fuzz_choice
