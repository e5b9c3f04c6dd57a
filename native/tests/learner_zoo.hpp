// Every native learner once, for tests that hold for all of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

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

struct LearnerKind {
  std::string name;
  std::function<std::unique_ptr<Learner>(LearnerShape, double half_life)> make;
};

template <class T, class Options>
LearnerKind learner_kind(std::string name, Options options) {
  return {std::move(name), [options](LearnerShape shape, double half_life) {
            Options chosen = options;
            chosen.half_life = half_life;
            return std::make_unique<T>(shape, chosen);
          }};
}

/// An apprentice around a binned additive learner.
inline LearnerKind apprentice_kind() {
  return {"apprentice", [](LearnerShape shape, double half_life) {
            BinnedAdditiveOptions chosen;
            chosen.half_life = half_life;
            return std::make_unique<Apprentice>(std::make_shared<BinnedAdditive>(shape, chosen),
                                                ApprenticeOptions{});
          }};
}

/// Sarsa(λ) or Q(λ), which forget nothing. With features Q's best next arm is the one taken.
inline LearnerKind temporal_difference_kind(std::string name, bool best_next,
                                            std::uint32_t hidden) {
  return {std::move(name), [=](LearnerShape shape, double) {
            TemporalDifferenceOptions chosen;
            chosen.best_next = best_next;
            chosen.hidden = hidden;
            return std::make_unique<TemporalDifference>(shape, chosen);
          }};
}

inline std::vector<LearnerKind> learner_zoo() {
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

/// Copies the state of a learner or an engine into one buffer, or back.
class StateBuffer final : public StateVisitor {
 public:
  void array(std::string_view, float* v, std::size_t n) override { pass(v, n); }
  void array(std::string_view, double* v, std::size_t n) override { pass(v, n); }
  void array(std::string_view, std::uint64_t* v, std::size_t n) override { pass(v, n); }

  template <class Owner>
  void save(Owner& owner) {
    bytes_.clear();
    loading_ = false;
    owner.visit(*this);
  }
  void load(Learner& learner) { learner.visit(rewind()); }
  /// To be handed to whatever overwrites a state: reads the buffer from its beginning.
  StateBuffer& rewind() {
    position_ = 0;
    loading_ = true;
    return *this;
  }
  std::vector<unsigned char>& bytes() { return bytes_; }

 private:
  template <class T>
  void pass(T* values, std::size_t count) {
    const std::size_t size = count * sizeof(T);
    auto* raw = reinterpret_cast<unsigned char*>(values);
    if (loading_) {
      std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(position_), size, raw);
      position_ += size;
    } else {
      bytes_.insert(bytes_.end(), raw, raw + size);
    }
  }
  std::vector<unsigned char> bytes_;
  std::size_t position_ = 0;
  bool loading_ = false;
};

}  // namespace acumen
