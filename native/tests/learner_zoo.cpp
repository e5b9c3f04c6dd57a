#include "learner_zoo.hpp"

#include "acumen/learners/actor_critic.hpp"
#include "acumen/learners/apprentice.hpp"
#include "acumen/learners/binned_additive.hpp"
#include "acumen/learners/epsilon_greedy.hpp"
#include "acumen/learners/lin_ucb.hpp"
#include "acumen/learners/softmax_gradient.hpp"
#include "acumen/learners/square_cb.hpp"
#include "acumen/learners/temporal_difference.hpp"
#include "acumen/learners/thompson.hpp"

namespace acumen {
namespace {

template <class T, class Options>
LearnerKind learner_kind(std::string name, Options options) {
  return {std::move(name), [options](LearnerShape shape, double half_life) {
            Options chosen = options;
            chosen.half_life = half_life;
            return std::make_unique<T>(shape, chosen);
          }};
}

/// An apprentice around a binned additive learner.
LearnerKind apprentice_kind() {
  return {"apprentice", [](LearnerShape shape, double half_life) {
            BinnedAdditiveOptions chosen;
            chosen.half_life = half_life;
            return std::make_unique<Apprentice>(std::make_shared<BinnedAdditive>(shape, chosen),
                                                ApprenticeOptions{});
          }};
}

/// Sarsa(λ) or Q(λ), which forget nothing. With features Q's best next arm is the one taken.
LearnerKind temporal_difference_kind(std::string name, bool best_next, std::uint32_t hidden) {
  return {std::move(name), [=](LearnerShape shape, double) {
            TemporalDifferenceOptions chosen;
            chosen.best_next = best_next;
            chosen.hidden = hidden;
            return std::make_unique<TemporalDifference>(shape, chosen);
          }};
}

}  // namespace

std::vector<LearnerKind> learner_zoo() {
  return {learner_kind<EpsilonGreedy>("epsilon_greedy", EpsilonGreedyOptions{}),
          learner_kind<LinUCB>("lin_ucb", LinUCBOptions{}),
          learner_kind<Thompson>("thompson", ThompsonOptions{}),
          learner_kind<SquareCB>("square_cb", SquareCBOptions{}),
          learner_kind<SoftmaxGradient>("softmax_gradient", SoftmaxGradientOptions{}),
          learner_kind<BinnedAdditive>("binned_additive", BinnedAdditiveOptions{}),
          apprentice_kind(),
          learner_kind<ActorCritic>("actor_critic", ActorCriticOptions{}),
          temporal_difference_kind("sarsa_lambda", false, 0),
          temporal_difference_kind("q_lambda", true, 0),
          temporal_difference_kind("sarsa_lambda_hidden", false, 5),
          temporal_difference_kind("q_lambda_hidden", true, 8)};
}

}  // namespace acumen
