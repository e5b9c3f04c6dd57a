"""Arms and defaults: fixed ones, candidates, ranges, heuristics that fail."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import acumen

Make = Callable[..., acumen.Choice]


def test_fixed_arms_may_be_anything_hashable(make_choice: Make) -> None:
    arms = ["x", 1, (2, 3), None, frozenset()]
    choice = make_choice(arms=arms, default=None)
    seen = {choice.choose(size=1.0).arm for _ in range(300)}
    assert seen == set(arms)
    assert choice.arms == tuple(arms)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"arms": []}, ValueError, "1 to 4096 arms"),
        ({"arms": range(5000)}, ValueError, "1 to 4096 arms"),
        ({"arms": "abc"}, TypeError, "sequence"),
        ({"arms": {"a", "b"}}, TypeError, "sequence"),
        ({"arms": ["a", "a"], "default": "a"}, ValueError, "equal"),
        ({"arms": [[1]]}, TypeError, "hashable"),
        ({"default": "z"}, ValueError, "neither an arm nor"),
        ({"default": None}, ValueError, "neither an arm nor"),
        ({"default": []}, ValueError, "neither an arm nor"),
        ({"metric": "seconds"}, TypeError, "minimize"),
        ({"mode": "maybe"}, ValueError, "mode"),
        ({"canary": 1.5}, ValueError, "canary"),
        ({"holdback": -0.1}, ValueError, "holdback"),
        ({"holdback": math.nan}, ValueError, "holdback"),
        ({"pending_max": 0}, ValueError, "pending_max"),
        ({"context": {"kind": acumen.Category(255)}}, ValueError, "257 values .* 256 are allowed"),
        (
            {"context": {"kind": acumen.Category(251)}, "arms": acumen.Candidates(4), "default": 0},
            ValueError,
            "253 values .* arms have 4 features",
        ),
        ({"timeout": 0.0}, ValueError, "timeout"),
        ({"timeout": math.inf}, ValueError, "timeout"),
        ({"timeout_reward": -math.inf}, ValueError, "timeout_reward"),
        ({"timeout_reward": math.nan}, ValueError, "timeout_reward"),
        ({"timeout_reward": 1e200}, ValueError, "timeout_reward"),
    ],
)
def test_construction_raises(
    make_choice: Make, change: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        make_choice(**change)


def test_one_arm_is_a_choice(make_choice: Make) -> None:
    decision = make_choice(arms=["only"], default="only").choose(size=1.0)
    assert (decision.arm, decision.propensity) == ("only", 1.0)


def test_a_heuristic_sees_the_context(make_choice: Make) -> None:
    seen: list[dict[str, Any]] = []

    def heuristic(context: dict[str, Any]) -> str:
        seen.append(context)
        return "c" if context["size"] > 1 else "a"

    choice = make_choice(default=heuristic, mode="off")
    assert [choice.choose(size=s).arm for s in (0.5, 2)] == ["a", "c"]
    assert [choice.choose_row(r).arm for r in ((0.5,), [2], np.array([3.0]))] == ["a", "c", "c"]
    assert list(choice.choose_many([[0.5], [2.0]]).indices) == [0, 2]
    assert seen[:2] == [{"size": 0.5}, {"size": 2}]
    # A caller's dict is its own.
    assert all(context is not seen[0] for context in seen[1:])


@pytest.mark.parametrize(
    "answer",
    [lambda _: 1 / 0, lambda _: "z", lambda _: [], lambda _: None, lambda: "a", lambda _, __: "a"],
)
def test_a_heuristic_that_fails(make_choice: Make, answer: Callable[..., Any]) -> None:
    choice = make_choice(default=answer, mode="off")
    decision = choice.choose(size=1.0)
    assert decision.arm == "a"  # the first one
    assert choice.last_problem.startswith("default: ")
    assert decision.reason == "default_failed"
    assert choice.counters()["default_failed"] == choice.counters()["default_failed_calls"] == 1
    # In the default's place stands an arm that it did not choose: not a word for or against it.
    choice = make_choice(default=answer, holdback=0.5)
    for _ in range(20):
        decision = choice.choose(size=1.0)
        assert (decision.reason, decision.arm, decision.propensity) == ("default_failed", "a", 1.0)
        assert decision.feedback(1.0)
    assert choice.comparison().learned_decisions == choice.comparison().default_decisions == 0
    assert choice.model_version == 0


def test_ctrl_c_in_a_heuristic_comes_through(make_choice: Make) -> None:
    def interrupted(_: dict[str, Any]) -> str:
        raise KeyboardInterrupt

    choice = make_choice(default=interrupted, mode="off")
    with pytest.raises(KeyboardInterrupt):
        choice.choose(size=1.0)
    with pytest.raises(KeyboardInterrupt):
        choice.choose_many([[1.0]])


def test_candidates(make_choice: Make) -> None:
    choice = make_choice(arms=acumen.Candidates(2, most=4), default=1, holdback=0.0)
    for n in (1, 2, 4):
        matrix = np.ones((n, 2))
        forms = [matrix, matrix.tolist(), matrix.astype(np.float32), np.asfortranarray(matrix)]
        for candidates in forms:
            decision = choice.choose(size=1.0, candidates=candidates)
            assert decision.reason == "learned"
            assert decision.arm == decision.index < n
            assert choice.choose_row((1.0,), candidates).reason == "learned"
            assert decision.feedback(1.0)
    with pytest.raises(TypeError, match="fixed arms"):
        choice.choose_many([[1.0]])


@pytest.mark.parametrize(
    "candidates",
    [
        None,
        [],
        np.empty((0, 2)),
        np.ones((5, 2)),
        np.ones((2, 3)),
        np.ones(2),
        [[1.0, math.nan]],
        [[1.0, math.inf]],
        [["x", "y"]],
        [[1.0], [1.0, 2.0]],
        object(),
        3,
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_bad_candidates(make_choice: Make, candidates: Any) -> None:
    choice = make_choice(arms=acumen.Candidates(2, most=4), default=0)
    decision = choice.choose(size=1.0, candidates=candidates)
    assert decision.reason == "bad_context"
    assert decision.arm in (0, None)  # None: there is nothing to serve
    assert decision.feedback(1.0)
    assert choice.choose(size=1.0).arm is None


def test_a_heuristic_over_candidates(make_choice: Make) -> None:
    choice = make_choice(
        arms=acumen.Candidates(1, most=9),
        default=lambda _, candidates: int(np.argmax(candidates)),
        mode="off",
    )
    assert choice.choose(size=1.0, candidates=[[1.0], [7.0], [3.0]]).arm == 1
    shorter = make_choice(arms=acumen.Candidates(1, most=9), default=5, mode="off")
    assert shorter.choose(size=1.0, candidates=[[1.0], [2.0]]).arm == 0
    wrong = make_choice(arms=acumen.Candidates(1, most=9), default=lambda *_: 7, mode="off")
    assert wrong.choose(size=1.0, candidates=[[1.0]]).arm == 0
    assert wrong.counters()["default_failed"] == 1


def test_candidates_are_learned_by_their_features(make_choice: Make) -> None:
    choice = make_choice(arms=acumen.Candidates(1), default=0, learner=acumen.learners.LinUCB())
    rng = np.random.default_rng(0)
    gained = []
    for _ in range(600):
        candidates = rng.normal(size=(5, 1))
        decision = choice.choose(size=1.0, candidates=candidates)
        decision.feedback(float(candidates[decision.arm, 0]))
        gained.append(candidates[decision.arm, 0] - candidates.max())
    assert np.mean(gained[300:]) > -0.15


@pytest.mark.parametrize(
    ("arms", "says"),
    [
        (lambda: acumen.Candidates(0), "features"),
        (lambda: acumen.Candidates(65), "features"),
        (lambda: acumen.Candidates(2, most=0), "candidates"),
        (lambda: acumen.Range(2, 1), "low < high"),
        (lambda: acumen.Range(0, math.inf), "finite"),
        (lambda: acumen.Range(0, 8, log=True), "positive"),
        (lambda: acumen.Range(1, 8, points=1), "points"),
    ],
)
def test_wrong_arms(arms: Callable[[], Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        arms()


def test_ranges(make_choice: Make) -> None:
    choice = make_choice(arms=acumen.Range(1, 64, log=True, points=7), default=5, holdback=0.0)
    assert choice.arms == (1, 2, 4, 5, 8, 16, 32, 64)
    assert all(isinstance(arm, int) for arm in choice.arms)
    for default in (0, 65):
        with pytest.raises(ValueError, match="outside"):
            make_choice(arms=acumen.Range(1, 64), default=default)
    values = acumen.Range(0.5, 1.5, points=3).values()
    assert values == (0.5, 1.0, 1.5)


def test_a_range_finds_an_optimum_that_moves(make_choice: Make) -> None:
    choice = make_choice(
        arms=acumen.Range(0.0, 1.0, points=11), default=0.5, learner=acumen.learners.LinUCB()
    )
    rng = np.random.default_rng(1)
    optima = rng.uniform(0.2, 0.8, 3000)
    losses = []
    for best in optima:
        decision = choice.choose(size=best)
        losses.append((decision.arm - best) ** 2)
        # Without best**2, which no arm changes and a model linear in the context cannot say.
        decision.feedback(best**2 - losses[-1])
    assert np.mean(losses[1500:]) < 0.25 * np.mean((0.5 - optima[1500:]) ** 2)
