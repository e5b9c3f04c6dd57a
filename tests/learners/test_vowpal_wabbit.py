"""Vowpal Wabbit behind a choice: somebody else's learner, the same rules."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acumen
from acumen.core import Learner, ModelError
from acumen.learners import VowpalWabbit

EPSILON = "--cb_explore_adf --epsilon 0.2 --quadratic xa"


@pytest.fixture
def needs_vw() -> None:
    pytest.importorskip("vowpalwabbit")


def make_choice(arguments: str = EPSILON, **changes: Any) -> acumen.Choice:
    options: dict[str, Any] = {
        "arms": ["a", "b", "c"],
        "context": {"x": float, "kind": acumen.Category(4)},
        "default": "a",
        "metric": acumen.maximize("reward"),
        "learner": VowpalWabbit(arguments),
        "holdback": 0.0,
        "seed": 1,
    }
    return acumen.Choice("vw", **(options | changes))


def teach(choice: acumen.Choice, n: int, seed: int = 0) -> list[float]:
    """Which arm is best depends on the sign of x; returns the rewards."""
    rng = np.random.default_rng(seed)
    rewards = []
    for _ in range(n):
        x = rng.normal()
        decision = choice.choose(x=x, kind="k")
        rewards.append(float(decision.arm == ("b" if x > 0 else "c")))
        assert decision.feedback(rewards[-1])
    return rewards


@pytest.mark.usefixtures("needs_vw")
@pytest.mark.parametrize("arguments", [EPSILON, VowpalWabbit().arguments])
def test_it_learns(arguments: str) -> None:
    choice = make_choice(arguments)
    assert isinstance(choice.learner, Learner)
    rewards = teach(choice, 800)
    assert np.mean(rewards[400:]) > 0.7
    assert choice.counters()["learner_failed_calls"] == 0
    assert choice.learner.version == 800


@pytest.mark.usefixtures("needs_vw")
def test_its_probabilities_are_the_propensities() -> None:
    choice = make_choice()
    teach(choice, 600)
    p = np.asarray(choice.learner.distribution(np.array([1, 0.5, 1, 0, 0, 0, 0], np.float32)))
    assert sorted(p) == pytest.approx([0.2 / 3, 0.2 / 3, 0.8 + 0.2 / 3])
    seen = {choice.choose(x=0.5, kind="k").propensity for _ in range(200)}
    assert min(abs(v - 0.2 / 3) for v in seen) < 1e-6
    assert max(seen) == pytest.approx(0.8 + 0.2 / 3)


@pytest.mark.usefixtures("needs_vw")
def test_candidates_and_ranges() -> None:
    choice = make_choice(arms=acumen.Candidates(2), default=0)
    rng = np.random.default_rng(0)
    rewards = []
    for _ in range(600):
        candidates = rng.normal(size=(4, 2))
        decision = choice.choose(x=1.0, kind="k", candidates=candidates)
        rewards.append(float(candidates[decision.arm, 0]))
        decision.feedback(rewards[-1])
    assert np.mean(rewards[300:]) > 0.5
    ranged = make_choice(arms=acumen.Range(1, 8, points=8), default=1)
    assert ranged.choose(x=1.0, kind="k").feedback(1.0)
    assert choice.counters()["learner_failed_calls"] == 0


@pytest.mark.usefixtures("needs_vw")
def test_round_trip(tmp_path: Path) -> None:
    choice = make_choice()
    teach(choice, 300)
    choice.save(tmp_path / "model")
    other = make_choice(model=tmp_path / "model")
    assert other.learner.version == 300
    for x in np.random.default_rng(2).normal(size=(20, 7)).astype(np.float32):
        expected = choice.learner.distribution(x)
        assert other.learner.distribution(x) == pytest.approx(expected, abs=1e-6)
    assert np.mean(teach(other, 200, seed=3)) > 0.6
    with pytest.raises(ModelError, match="VowpalWabbit"):
        make_choice("--cb_explore_adf --softmax").load(tmp_path / "model")


@pytest.mark.usefixtures("needs_vw")
def test_reset_forgets() -> None:
    learner = VowpalWabbit(EPSILON).build(2, 2, 0)
    x = np.ones(2, np.float32)
    fresh = learner.distribution(x)
    for _ in range(100):
        learner.learn(x, 1, 0.5, 1.0)
    assert learner.distribution(x) != fresh
    learner.reset()
    assert learner.version == 0
    assert learner.distribution(x) == fresh


@pytest.mark.usefixtures("needs_vw")
def test_states_that_do_not_fit() -> None:
    learner = VowpalWabbit(EPSILON).build(2, 2, 0)
    good = learner.state()
    counts, model = good["counts"], good["model"]
    for bad in (
        {},
        {"model": model},
        {"counts": counts[:1], "model": model},
        {"counts": counts + np.uint64(8), "model": model},
        {"counts": counts, "model": model[:-1]},
        {"counts": np.zeros(2, np.uint64), "model": np.zeros(1, np.uint64)},
        {**good, "more": counts},
    ):
        with pytest.raises(ValueError):
            learner.restore(bad)
    assert learner.distribution(np.ones(2, np.float32)) == pytest.approx([0.5, 0.5])


@pytest.mark.usefixtures("needs_vw")
def test_arguments_that_it_refuses() -> None:
    with pytest.raises(ValueError, match="refuses"):
        VowpalWabbit("--cb_explore_adf --no_such_thing").build(2, 2, 0)


def test_arguments_that_are_no_contextual_bandit() -> None:
    with pytest.raises(ValueError, match="--cb_explore_adf"):
        VowpalWabbit("--oaa 4")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vowpalwabbit", None)
    with pytest.raises(ImportError, match=r"acumen\[vw\]"):
        VowpalWabbit().build(2, 2, 0)
