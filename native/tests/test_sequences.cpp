// Learners of sequences, and the gathering of an episode from the engine's ring.
#include <numeric>
#include <vector>

#include "acumen/episode.hpp"
#include "acumen/learners/actor_critic.hpp"
#include "acumen/learners/temporal_difference.hpp"
#include "acumen/random.hpp"
#include "expect.hpp"
#include "learner_zoo.hpp"
#include "program.hpp"

namespace test_sequences {

using namespace acumen;

namespace {

constexpr std::uint32_t kDimension = 5, kArms = 3, kSteps = 20;

std::vector<std::unique_ptr<SequenceLearner>> learners() {
  const LearnerShape shape{kDimension, kArms, 0};
  std::vector<std::unique_ptr<SequenceLearner>> all;
  all.push_back(std::make_unique<ActorCritic>(shape, ActorCriticOptions{}));
  for (const bool best_next : {false, true}) {
    TemporalDifferenceOptions options;
    options.best_next = best_next;
    all.push_back(std::make_unique<TemporalDifference>(shape, options));
    options.temperature = 0.5;
    all.push_back(std::make_unique<TemporalDifference>(shape, options));
    options.hidden = 7;
    all.push_back(std::make_unique<TemporalDifference>(shape, options));
  }
  return all;
}

struct DrawnEpisode {
  AlignedArray<float> xs{kSteps * padded(kDimension)};
  std::vector<float> propensities = std::vector<float>(kSteps), rewards = propensities;
  std::vector<std::uint32_t> arms = std::vector<std::uint32_t>(kSteps);

  DrawnEpisode(Random& random, float reward_most) {
    const auto value = [&] { return static_cast<float>(random.uniform() * 2.0 - 1.0); };
    for (std::uint32_t t = 0; t < kSteps; ++t) {
      float* x = xs.data() + t * padded(kDimension);
      x[0] = 1.0f;
      for (std::uint32_t i = 1; i < kDimension; ++i) x[i] = 8.0f * value();
      arms[t] = static_cast<std::uint32_t>(random.uniform() * kArms);
      propensities[t] = 0.01f + static_cast<float>(random.uniform()) * 0.99f;
      rewards[t] = reward_most * value();
    }
  }
  EpisodeLesson lesson(std::uint32_t steps, float discount, bool ended) const {
    return {steps, xs.data(), arms.data(), propensities.data(), rewards.data(), discount, ended};
  }
};

void expect_distribution(Learner& learner, const float* x) {
  AlignedArray<float> p(padded(kArms));
  learner.distribution(x, {kArms, nullptr}, p.data());
  EXPECT_NEAR(std::accumulate(p.data(), p.data() + kArms, 0.0), 1.0, 1e-3);
  for (std::uint32_t a = 0; a < kArms; ++a) EXPECT(p[a] >= 0.0f && p[a] <= 1.001f);
}

void any_episode_leaves_a_valid_learner() {
  for (const auto& learner : learners()) {
    Random random(7);
    std::uint64_t taken = 0;
    for (std::uint32_t i = 0; i < 400; ++i) {
      const float most[] = {1.0f, kRewardLimit, 1e-30f, 0.0f};
      const DrawnEpisode episode(random, most[i / 100]);
      const std::uint32_t steps = i % (kSteps + 1);
      EXPECT(learner->learn_episode(episode.lesson(steps, i % 2 ? 1.0f : 0.9f, i % 3 > 0)));
      taken += steps;
      expect_distribution(*learner, episode.xs.data());
    }
    EXPECT(learner->version() == taken && learner->validate());
    DrawnEpisode bad(random, 1.0f);
    bad.arms[kSteps - 1] = kArms;
    EXPECT(!learner->learn_episode(bad.lesson(kSteps, 1.0f, true)));
    EXPECT(!learner->learn_episode(bad.lesson(1, 1.5f, true)));
    EXPECT(learner->version() == taken);
    StateBuffer state;
    state.save(*learner);
    learner->reset();
    EXPECT(learner->validate() && learner->version() == 0);
    state.load(*learner);
    EXPECT(learner->validate() && learner->version() == taken);
  }
}

void an_episode_is_gathered_without_what_teaches_nothing() {
  ChoiceOptions options;
  options.fields = {{FieldKind::kNumber, false, 0}};
  options.metrics = {{1.0, false, std::numeric_limits<double>::infinity(),
                      -std::numeric_limits<double>::infinity(), 0.0}};
  options.shape = {2, kArms, 0};
  TemporalDifference learner(options.shape, {});
  ChoiceEngine engine(options, &learner);
  std::vector<std::uint64_t> ids;
  for (const double value : {1.0, std::numeric_limits<double>::quiet_NaN(), 2.0, 3.0}) {
    double row = value;
    Question question;
    question.row = &row;
    ids.push_back(engine.decide(question).id);
  }
  ids.push_back(12345);  // never heard of
  const double own = 5.0;
  engine.feedback(ids[2], &own);  // has feedback of its own
  const std::vector<double> rewards = {1.0, 2.0, 4.0, 8.0, 16.0};
  EpisodeSteps steps;
  {
    const std::lock_guard<SpinLock> lock(engine.lock());
    steps = gather_episode(engine, {ids.data(), rewards.data(), ids.size(), 0.5f, true});
  }
  EXPECT(steps.ids == std::vector<std::uint64_t>({ids[0], ids[3]}));
  EXPECT(steps.size() == 2);
  EXPECT_NEAR(steps.rewards[0], 1.0 + 0.5 * 2.0 + 0.25 * 4.0, 1e-6);
  EXPECT_NEAR(steps.rewards[1], 8.0 + 0.5 * 16.0, 1e-6);
  EXPECT(learner.learn_episode(steps.lesson(0.5f, true)));
}

/// Features of candidates are those of the arm that was taken, under the scales of now.
void an_episode_knows_the_features_of_what_was_taken() {
  ChoiceOptions options;
  options.metrics = {{1.0, false, std::numeric_limits<double>::infinity(),
                      -std::numeric_limits<double>::infinity(), 0.0}};
  options.shape = {1, kArms, 2};
  TemporalDifference learner(options.shape, {});
  ChoiceEngine engine(options, &learner);
  std::vector<std::uint64_t> ids;
  std::vector<float> taken;
  Random random(3);
  for (int i = 0; i < 40; ++i) {
    float candidates[2 * kArms];
    for (float& v : candidates) v = static_cast<float>(10.0 * random.uniform());
    Question question;
    question.candidates = candidates;
    question.candidate_count = kArms;
    const Answer answer = engine.decide(question);
    ids.push_back(answer.id);
    taken.insert(taken.end(), candidates + 2 * answer.arm, candidates + 2 * answer.arm + 2);
  }
  const std::vector<double> rewards(ids.size(), 1.0);
  EpisodeSteps steps;
  {
    const std::lock_guard<SpinLock> lock(engine.lock());
    steps = gather_episode(engine, {ids.data(), rewards.data(), ids.size(), 1.0f, true});
  }
  EXPECT(steps.size() == 40 && steps.features.size() == 40 * padded(2));
  for (std::size_t t = 0; t < steps.size(); ++t) {
    AlignedArray<float> expected(padded(2));
    engine.arm_features(taken.data() + 2 * t, 1, expected.data());
    EXPECT(std::equal(expected.begin(), expected.end(), steps.features.data() + t * padded(2)));
  }
  EXPECT(learner.learn_episode(steps.lesson(1.0f, true)));
  EpisodeLesson without = steps.lesson(1.0f, true);
  without.features = nullptr;
  EXPECT(!learner.learn_episode(without));
}

/// The feedback after an episode is counted, and teaches only what was forgotten in between.
void an_episode_teaches_before_its_feedback() {
  ChoiceOptions options;
  options.metrics = {{1.0, false, std::numeric_limits<double>::infinity(),
                      -std::numeric_limits<double>::infinity(), 0.0}};
  options.shape = {1, kArms, 0};
  for (const bool forgets : {false, true}) {
    TemporalDifference learner(options.shape, {});
    ChoiceEngine engine(options, &learner);
    std::vector<std::uint64_t> ids;
    for (int i = 0; i < 5; ++i) ids.push_back(engine.decide(Question{}).id);
    const std::vector<double> rewards(ids.size(), 1.0);
    {
      const std::lock_guard<SpinLock> lock(engine.lock());
      teach_episode(engine, {ids.data(), rewards.data(), ids.size(), 1.0f, true});
    }
    EXPECT(learner.version() == 5 && engine.lessons() == 0);
    if (forgets) engine.set_objective(options.metrics);
    EXPECT(learner.version() == (forgets ? 0 : 5));
    for (const std::uint64_t id : ids) {
      EXPECT(engine.feedback(id, rewards.data()) == FeedbackResult::kLearned);
      EXPECT(engine.feedback(id, rewards.data()) == FeedbackResult::kDuplicate);
    }
    EXPECT(learner.version() == 5 && engine.lessons() == 5);
  }
}

}  // namespace

PROGRAM(test_sequences) {
  any_episode_leaves_a_valid_learner();
  an_episode_is_gathered_without_what_teaches_nothing();
  an_episode_knows_the_features_of_what_was_taken();
  an_episode_teaches_before_its_feedback();
}

}  // namespace test_sequences
