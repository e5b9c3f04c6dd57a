"""What the learned policy would do: asked without leaving a trace."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import acumen

Make = Callable[..., acumen.Choice]


def taught(make_choice: Make, **options: Any) -> acumen.Choice:
    choice = make_choice(context={"size": float, "kind": str}, **options)
    rng = np.random.default_rng(0)
    for _ in range(700):
        size, kind = rng.normal(), str(rng.choice(["x", "y"]))
        decision = choice.choose(size=size, kind=kind)
        decision.feedback(size * (decision.index - 1) + rng.normal(0, 0.1))
    return choice


def rows_of(choice: acumen.Choice, count: int = 50) -> Any:
    rng = np.random.default_rng(1)
    codes = [choice.code("kind", kind) for kind in ("x", "y", "never met")]
    return np.column_stack([rng.normal(size=count), rng.choice(codes, count)])


def test_they_are_what_decisions_are_drawn_from(make_choice: Make) -> None:
    choice = taught(make_choice, holdback=0.0)
    rows = rows_of(choice)
    known = choice.code("kind", "never met") != rows[:, 1]
    asked = choice.distributions(rows)
    assert asked.shape == (50, 3)
    assert asked.dtype == np.float32
    assert asked.sum(1) == pytest.approx(1.0, abs=1e-6)
    drawn = choice.choose_many(rows[known])
    assert np.array_equal(drawn.propensities, asked[known][np.arange(known.sum()), drawn.indices])


def test_asking_changes_nothing(make_choice: Make) -> None:
    one, other = taught(make_choice), taught(make_choice)
    rows = rows_of(one)
    before, counters = one._state(), one.counters()
    again = one.distributions(rows)
    assert np.array_equal(one.distributions(rows), again)
    after = one._state()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert one.counters() == counters
    # A category never met is still new to the next decision, and chance is where it was.
    for mine, theirs in zip(one.choose_many(rows), other.choose_many(rows), strict=True):
        if mine.dtype != np.uint64:
            assert np.array_equal(mine, theirs)


def test_mode_and_holdback_take_no_part(make_choice: Make) -> None:
    choice = taught(make_choice)
    rows = rows_of(choice)
    on = choice.distributions(rows)
    for mode in ("off", "shadow", "canary"):
        choice.set_mode(mode)
        assert np.array_equal(choice.distributions(rows), on)
    choice.kill()
    assert np.array_equal(choice.distributions(rows), on)


def test_unusable_rows_have_no_answer(make_choice: Make) -> None:
    choice = taught(make_choice)
    rows = rows_of(choice, 4)
    rows[1, 0] = np.nan
    rows[2, 1] = 99
    answers = choice.distributions(rows)
    assert np.isnan(answers).all(1).tolist() == [False, True, True, False]
    assert choice.distributions(np.zeros((0, 2))).shape == (0, 3)
    with pytest.raises(ValueError, match="width"):
        choice.distributions(np.zeros((3, 5)))


def test_ranges_and_candidates(make_choice: Make) -> None:
    grid = make_choice(arms=acumen.Range(1, 64, log=True, points=7), default=8)
    for i in range(200):
        decision = grid.choose(size=float(i % 7))
        decision.feedback(-abs(np.log2(decision.arm) - 3.0))
    answers = grid.distributions([[1.0], [3.0]])
    assert answers.shape == (2, 7)
    assert answers.argmax(1).tolist() == [3, 3]
    many = make_choice(arms=acumen.Candidates(features=2), default=None)
    with pytest.raises(TypeError, match="fixed arms"):
        many.distributions([[1.0]])


class Python:
    """A learner written in Python that prefers what its context's second value says."""

    version = 0
    broken = False

    def build(self, dimension: int, arms: int, features: int) -> "Python":
        self.arms = arms
        return self

    def distribution(self, x: Any, features: Any = None) -> Any:
        if self.broken:
            raise RuntimeError("no")
        p = np.ones(self.arms, np.float32)
        p[int(x[1] > 0)] = 2.0
        return p

    def learn(self, *lesson: Any) -> None: ...
    def reset(self) -> None: ...
    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, arrays: dict[str, Any]) -> None: ...


def test_a_learner_written_in_python(make_choice: Make) -> None:
    learner = Python()
    choice = make_choice(learner=learner)
    answers = choice.distributions([[1.0], [-1.0], [np.nan]])
    assert answers[:2].tolist() == [
        pytest.approx([0.25, 0.5, 0.25]),
        pytest.approx([0.5, 0.25, 0.25]),
    ]
    assert np.isnan(answers[2]).all()
    learner.broken = True
    assert np.isnan(choice.distributions([[1.0]])).all()


def test_asked_while_others_choose_and_teach(make_choice: Make) -> None:
    choice = taught(make_choice, holdback=0.0)
    rows = rows_of(choice, 2000)
    stop = threading.Event()
    served = []

    def serve() -> None:
        while not stop.is_set():
            decision = choice.choose(size=1.0, kind="x")
            decision.feedback(1.0)
            served.append(decision.reason)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        for _ in range(20):
            answers = choice.distributions(rows)
            assert np.isfinite(answers).all()
            assert answers.sum(1) == pytest.approx(1.0, abs=1e-5)
    finally:
        stop.set()
        thread.join()
    assert served.count("learned") > 0.9 * len(served)
