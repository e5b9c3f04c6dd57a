// Any events leave a choice sound: whatever a journal claims, what comes of it is refused or
// harmless, and a recent past that makes no sense is refused.
#include <algorithm>

#include "acumen/history.hpp"
#include "acumen/replay.hpp"
#include "drawn_choice.hpp"
#include "expect.hpp"
#include "fuzz_input.hpp"
#include "program.hpp"

namespace fuzz_replay {

using namespace acumen;

namespace {

std::uint64_t drawn_id(Input& input) {
  // Near each other, so that they meet; of several replicas; now and then far away.
  const std::uint8_t kind = input.byte();
  const std::uint64_t sequence = kind < 200 ? input.byte() : std::uint64_t{input.byte()} << 33;
  return std::uint64_t{kind % 3u} << 40 | sequence;
}

class Scene {
 public:
  explicit Scene(Input& input)
      : input_(input),
        options_(drawn_options(input)),
        learner_(drawn_learner(input, options_.shape)()),
        engine_(options_, learner_.get()),
        row_(options_.fields.size()),
        features_(options_.shape.features) {}

  void step() {
    Replay replay(engine_);
    const std::uint8_t what = input_.byte();
    if (what < 120) {
      decision(replay);
    } else if (what < 200) {
      double values[3];
      for (double& v : values) v = input_.wide_value();
      replay.feedback(drawn_id(input_), values);
    } else if (what < 220) {
      replay.timed_out(drawn_id(input_));
    } else if (what < 230) {
      replay.seen(input_.byte(), input_.byte());
    } else if (what < 240 && options_.arm_features.empty()) {
      for (float& v : features_) v = input_.plain_value();
      replay.candidate(features_.data());
    } else if (what < 245) {
      replay.forget_decisions();
    } else if (what < 250) {
      engine_.ring().begin_at(drawn_id(input_));
    }
  }

  /// The engine works on, whatever it was told.
  void expect_sound() {
    for (int i = 0; i < 20; ++i) {
      std::vector<float> candidates(options_.shape.features, 1.0f);
      std::vector<float> given(options_.shape.arms, 1.0f);
      Question question;
      question.row = row_.data();
      if (options_.arm_features.empty() && options_.shape.features > 0) {
        question.candidates = candidates.data();
        question.candidate_count = 1;
      }
      if (!learner_) question.given = given.data();
      const Answer answer = engine_.decide(question);
      EXPECT(answer.arm < options_.shape.arms);
      EXPECT(answer.propensity > 0.0f && answer.propensity <= 1.0f);
      const double values[] = {1.0, 1.0, 1.0};
      engine_.feedback(answer.id, values);
    }
    EXPECT(engine_.ring().valid(options_.shape.arms));
  }

  /// A recent past in which some bytes are others is refused, or harmless.
  void restore_altered() {
    StateBuffer past;
    History(engine_).visit(past);
    for (int i = 0; i < 6; ++i) {
      const std::size_t position =
          std::size_t{input_.byte()} << 16 | std::size_t{input_.byte()} << 8 | input_.byte();
      past.bytes()[position % past.bytes().size()] = input_.byte();
    }
    ChoiceEngine other(options_, learner_.get());
    History history(other);
    history.visit(past.rewind());
    if (!history.valid()) history.forget();
    const double values[] = {1.0, 1.0, 1.0};
    for (int i = 0; i < 20; ++i) {
      std::vector<double> row(row_);
      Question question;
      question.row = row.data();
      question.now_s = 10.0 * i;
      other.feedback(other.decide(question).id, values);
    }
    other.set_objective(options_.metrics);
    static_cast<void>(other.comparison());
  }

 private:
  void decision(Replay& replay) {
    PastDecision past;
    past.id = drawn_id(input_);
    past.version = input_.byte();
    past.arm = input_.byte() < 230 ? input_.below(options_.shape.arms + 1) : ChoiceEngine::kNoArm;
    past.propensity = input_.value();
    past.learned_share = input_.value();
    past.reason = input_.below(13);
    past.usable = input_.byte() < 230;
    past.time_s = input_.wide_value();
    for (double& v : row_) v = input_.byte() < 200 ? input_.below(4) : input_.wide_value();
    for (float& v : features_) v = input_.byte() < 230 ? input_.plain_value() : input_.value();
    past.row = row_.data();
    if (input_.byte() < 230) past.features = features_.data();
    if (!options_.arm_features.empty() || features_.empty()) past.features = nullptr;
    replay.decision(past);
  }

  Input& input_;
  ChoiceOptions options_;
  std::unique_ptr<Learner> learner_;
  ChoiceEngine engine_;
  std::vector<double> row_;
  std::vector<float> features_;
};

}  // namespace

FUZZ_TARGET(fuzz_replay, data, size) {
  Input input(data, size);
  Scene scene(input);
  while (!input.empty()) scene.step();
  scene.expect_sound();
  scene.restore_altered();
  return 0;
}

}  // namespace fuzz_replay
