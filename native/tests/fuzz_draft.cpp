// Any model from elsewhere leaves a choice sound: it is refused before it is near the engine, or it
// changes places with the engine's, in whatever order lessons, portions and exchanges come. Every
// lesson of the engine's own is learned again, or counted as missed.
#include <memory>
#include <vector>

#include "acumen/draft.hpp"
#include "drawn_choice.hpp"
#include "expect.hpp"
#include "fuzz_input.hpp"
#include "program.hpp"
#include "replayed.hpp"

namespace fuzz_draft {

using namespace acumen;

namespace {

/// A choice with a journal that remembers its lessons; of an arbitrary shape and learner.
class Scene {
 public:
  explicit Scene(Input& input)
      : input_(input),
        options_(drawn_options(input)),
        factory_(drawn_learner(input, options_.shape)),
        learner_(factory_()),
        engine_(options_, learner_.get()),
        row_(options_.fields.size() + 1),
        ring_(std::make_shared<JournalRing>(1 << 16, WhenFull::kDropNewest)),
        hook_(options_.fields, static_cast<std::uint32_t>(options_.metrics.size()),
              options_.arm_features.empty() ? options_.shape.features : 0, ring_, stopped_clock) {
    hook_.lessons().begin(1u + input_.below(200), 0);
    engine_.journal() = &hook_;
  }

  bool learns() const { return learner_ != nullptr; }

  void live(std::uint32_t rounds) {
    const bool candidates = options_.shape.features > 0 && options_.arm_features.empty();
    for (std::uint32_t i = 0; i < rounds; ++i) {
      for (double& value : row_)
        value = input_.byte() < 230 ? input_.below(4) : input_.wide_value();
      std::vector<float> features(options_.shape.features);
      for (float& value : features) value = input_.plain_value();
      Question question;
      std::vector<double> row = row_;
      question.row = row.data();
      if (candidates) {
        question.candidates = features.data();
        question.candidate_count = 1;
      }
      const Answer answer = engine_.decide(question);
      EXPECT(answer.arm < options_.shape.arms);
      EXPECT(answer.propensity > 0.0f && answer.propensity <= 1.0f);
      double values[3];
      for (double& value : values) value = input_.wide_value();
      const std::uint8_t fate = input_.byte();
      if (fate < 150) engine_.feedback(answer.id, values);
      if (fate >= 130 && fate < 220) open_.push_back(answer.id);
      if (fate >= 240) end(fate % 2 == 0);
    }
  }

  /// An episode; some of its steps may have feedback of their own.
  void end(bool ended) {
    std::vector<double> rewards(open_.size());
    for (double& reward : rewards) reward = static_cast<double>(input_.plain_value());
    const std::vector<double> returns(open_.size() * options_.metrics.size(), 1.5);
    const std::lock_guard<SpinLock> lock(engine_.lock());
    hook_.text(EventKind::kEpisode, "{}");
    end_episode(engine_, {open_.data(), rewards.data(), open_.size(), 0.75f, ended},
                ended ? returns.data() : nullptr, 0.0);
    open_.clear();
    episodes_ = true;
  }

  /// A model like the one that there was at some event, a few bytes of it altered.
  void take_over() {
    StateBuffer state;
    state.save(engine_);
    const std::uint64_t event = input_.byte() < 200 ? hook_.sequence() : input_.byte();
    for (std::uint32_t i = input_.below(6); i > 0; --i) {
      std::size_t position = 0;
      for (int k = 0; k < 3; ++k) position = position << 8 | input_.byte();
      state.bytes()[position % state.bytes().size()] = input_.byte();
    }
    live(input_.below(64));
    std::shared_ptr<Learner> untaught = factory_();
    Draft draft(engine_, std::move(untaught), event);
    draft.visit(state.rewind());
    if (!draft.valid()) return;
    const std::uint64_t before = draft.lessons();
    bool taken = false;
    for (int round = 0; round < 40 && !taken; ++round) {
      const std::uint64_t most = 1u + input_.below(Draft::kAtOnce);
      const Draft::Exchange done = draft.exchange(engine_, "{}", most);
      if (done != Draft::Exchange::kBehind) {
        EXPECT(done == Draft::Exchange::kDone);
        learner_.swap(draft.learner());
        EXPECT(engine_.learner() == learner_.get());
        taken = true;
        continue;
      }
      draft.learn();
      live(input_.below(8));
    }
    const std::uint64_t lessons = taken ? engine_.lessons() : draft.lessons();
    // A model may have an episode, and not the feedback after it, which is counted.
    EXPECT(lessons - before <= (episodes_ ? hook_.lessons().count() : draft.caught_up()));
    EXPECT(draft.missed() <= hook_.lessons().count());
  }

  void expect_sound() {
    live(20);
    EXPECT(engine_.ring().valid(options_.shape.arms));
    EXPECT(learner_->validate());
  }

 private:
  Input& input_;
  ChoiceOptions options_;
  LearnerFactory factory_;
  std::shared_ptr<Learner> learner_;
  ChoiceEngine engine_;
  std::vector<double> row_;
  std::shared_ptr<JournalRing> ring_;
  JournalHook hook_;
  std::vector<std::uint64_t> open_;  ///< steps of an episode
  bool episodes_ = false;
};

}  // namespace

FUZZ_TARGET(fuzz_draft, data, size) {
  Input input(data, size);
  Scene scene(input);
  if (!scene.learns()) return 0;
  while (!input.empty()) {
    scene.live(input.below(32));
    scene.take_over();
  }
  scene.expect_sound();
  return 0;
}

}  // namespace fuzz_draft
