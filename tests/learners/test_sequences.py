"""Every learner of sequences against its contract; and the contract against those that fail it."""

from typing import Any

import numpy as np
import pytest

import acumen.learners
from acumen import _native
from acumen.learners import ActorCritic, BinnedAdditive, QLambda, SarsaLambda
from acumen.testing import SequenceLearnerContract, discover_sequence_learners
from acumen.testing.decision_processes import PROCESSES, DecisionProcess, delayed_consequence

for _learner in discover_sequence_learners(acumen.learners):
    _name = f"Test{_learner.__name__}"
    globals()[_name] = type(_name, (SequenceLearnerContract,), {"spec": _learner()})


def test_the_oracle_agrees_with_a_simulation() -> None:
    """The optimum by dynamic programming is what the greedy policy earns on average."""
    for name, make in PROCESSES.items():
        process = make()
        best = process.optimal_values().argmax(1)
        policy = np.eye(process.arms)[best]
        assert process.value(policy) == pytest.approx(process.optimum(), abs=1e-9)
        assert process.fraction(policy) == pytest.approx(1.0)
        returns = [play(process, best, seed) for seed in range(800)]
        error = np.std(returns, ddof=1) / np.sqrt(len(returns))
        assert abs(np.mean(returns) - process.optimum()) < 4 * error + 1e-9, name


def play(process: DecisionProcess, arms: Any, seed: int) -> float:
    rng = np.random.default_rng(seed)
    state, total, worth = int(process.start.argmax()), 0.0, 1.0
    while state >= 0:
        reward, state = process.step(state, int(arms[state]), rng)
        total += worth * reward
        worth *= process.discount
    return total


def late_returns(spec: Any, credit: bool, seeds: int = 6) -> Any:
    process = delayed_consequence()
    runs = [
        process.act(process.choice(spec, seed), 600, seed, credit)[0][-200:].mean()
        for seed in range(seeds)
    ]
    return np.array(runs)


def test_without_credit_the_tempting_arm_wins() -> None:
    """A learner of single choices fails where consequences are late, and episodes cure it."""
    blind, credited = (late_returns(BinnedAdditive(), credit) for credit in (False, True))
    assert blind.mean() + 3 * blind.std(ddof=1) / np.sqrt(len(blind)) < 0.45
    assert credited.mean() - 3 * credited.std(ddof=1) / np.sqrt(len(credited)) > 0.8


def test_the_contract_can_be_broken() -> None:
    class Deaf(SarsaLambda):
        def build(self, dimension: int, arms: int, features: int) -> Any:
            return SarsaLambda(rate=1e-6, bonus=0.0).build(dimension, arms, features)

    contract: Any = type("Contract", (SequenceLearnerContract,), {"spec": Deaf(), "episodes": 100})
    with pytest.raises(AssertionError):
        contract().test_it_nears_the_optimum()


ONE = np.ones((1, 1), np.float32)


def learn(learner: _native.SequenceLearner, **changes: Any) -> bool:
    arguments: dict[str, Any] = {
        "xs": ONE,
        "arms": np.zeros(1, np.uint32),
        "propensities": np.ones(1, np.float32),
        "rewards": np.ones(1, np.float32),
        "discount": 1.0,
        "ended": True,
    }
    return learner.learn_episode(**(arguments | changes))


@pytest.mark.parametrize(
    "spec", [ActorCritic(), SarsaLambda(), QLambda(), SarsaLambda(hidden=4)], ids=repr
)
def test_hostile_episodes_are_refused(spec: Any) -> None:
    learner = spec.build(1, 2, 0)
    before = {name: array.tobytes() for name, array in learner.state().items()}
    for bad in (np.nan, np.inf, -np.inf, 1e30):
        for name in ("xs", "propensities", "rewards"):
            shape = (1, 1) if name == "xs" else 1
            assert not learn(learner, **{name: np.full(shape, bad, np.float32)})
        assert not learn(learner, discount=bad)
    assert not learn(learner, arms=np.full(1, 2, np.uint32))
    assert not learn(learner, propensities=np.zeros(1, np.float32))
    for wrong in ({"arms": np.zeros(2, np.uint32)}, {"xs": np.ones((1, 2), np.float32)}):
        with pytest.raises(ValueError):
            learn(learner, **wrong)
    assert {name: array.tobytes() for name, array in learner.state().items()} == before
    assert learn(learner)
    assert learner.version == 1


def test_the_last_value_stands_for_what_was_cut_off() -> None:
    """Sarsa(0), one context, one arm: Q = r + Q / 2, whose solution is 1 / (1 - 0.5) = 2."""
    learner = SarsaLambda(trace=0.0, rate=0.5, settling=0.0).build(1, 1, 0)
    steps = {
        "xs": np.ones((2, 1), np.float32),
        "arms": np.zeros(2, np.uint32),
        "propensities": np.ones(2, np.float32),
        "rewards": np.array([1.0, 777.0], np.float32),  # of the last step nothing is known
    }
    for _ in range(200):
        learn(learner, **steps, discount=0.5, ended=False)
    assert learner.state()["action_weights"][0] == pytest.approx(2.0, abs=1e-4)


def test_true_online_traces_are_the_forward_view() -> None:
    """With λ = 1 an episode from zero moves every weight as if returns had been known (rate 1/n).

    van Seijen et al. 2016, theorem 1: the weights after a step are those of the online λ-return
    algorithm, computed here directly from its definition.
    """
    rng = np.random.default_rng(3)
    steps, dimension, rate, trace, discount = 6, 4, 0.3, 0.7, 0.9
    xs = rng.standard_normal((steps, dimension)).astype(np.float32)
    xs /= np.maximum(np.linalg.norm(xs, axis=1, keepdims=True), 1.0)  # so that the step is `rate`
    rewards = rng.standard_normal(steps).astype(np.float32)
    learner = SarsaLambda(rate=rate, trace=trace, settling=0.0).build(dimension, 1, 0)
    learn(
        learner,
        xs=xs,
        arms=np.zeros(steps, np.uint32),
        propensities=np.ones(steps, np.float32),
        rewards=rewards,
        discount=discount,
    )
    # The weights at each horizon; interim values V(x[t]) use the weights of horizon t - 1.
    weights = [np.zeros(dimension)]
    for horizon in range(1, steps + 1):
        w = np.zeros(dimension)
        for k in range(horizon):
            target = lambda_return(k, horizon, xs, rewards, weights, trace, discount)
            w = w + rate * (target - w @ xs[k]) * xs[k]
        weights.append(w)
    got = learner.state()["action_weights"][:dimension]
    np.testing.assert_allclose(got, weights[-1], atol=1e-5)


def lambda_return(
    k: int, horizon: int, xs: Any, rewards: Any, weights: Any, trace: float, discount: float
) -> float:
    def n_step(n: int) -> float:
        last = k + n
        value = 0.0 if last == len(xs) else float(weights[last - 1] @ xs[last])
        return sum(discount**i * float(rewards[k + i]) for i in range(n)) + discount**n * value

    most = horizon - k
    mixed = sum((1 - trace) * trace ** (n - 1) * n_step(n) for n in range(1, most))
    return float(mixed + trace ** (most - 1) * n_step(most))
