"""Functions with parameters that may be set, tuned in their own process."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from acumen.flags import Budget, tunable
from acumen.flags.tunable import equal
from acumen.learners.search import Categorical, Integer


@tunable(wait=Integer(1, 8), how=Categorical(["right", "wrong", "raise"]))
def work(numbers: list[int], *, wait: int = 6, how: str = "right") -> int:
    """Adds."""
    time.sleep(wait * 0.0005)
    if how == "raise":
        raise ArithmeticError("no")
    return sum(numbers) + (how == "wrong")


def test_a_function_finds_its_own_settings(tmp_path: Path) -> None:
    assert work.__doc__ == "Adds."
    assert work.setting == {"wait": 6, "how": "right"}
    assert work([1, 2]) == 3
    tuned = work.tune([1, 2], budget=Budget(trials=25), seed=1, file=tmp_path / "search.db")
    assert tuned.verdict.kind == "better"
    assert work.setting["wait"] < 4
    assert work.setting["how"] == "right"
    assert tuned.flags_that_matter == (f"wait={work.setting['wait']}",)
    assert tuned.shown == f"work(…, wait={work.setting['wait']}, how='right')"
    assert {t.reason for t in tuned.trials if t.state == "failed"} <= {
        "it raised ArithmeticError('no')",
        "its result differs from the default's",
    }
    assert work([1, 2]) == 3
    assert work([1, 2], how="wrong") == 4


def test_what_a_result_is_worth_can_be_measured() -> None:
    @tunable(n=Integer(1, 100))
    def near(*, n: int = 90) -> float:
        return 1.0 + abs(n - 40)

    tuned = near.tune(budget=Budget(trials=40), score=float, same=lambda a, b: True, seed=2)
    assert tuned.verdict.kind == "better"
    assert near() < 10


def test_arguments_can_be_made_afresh() -> None:
    @tunable(step=Integer(1, 3))
    def empty(items: list[int], *, step: int = 1) -> int:
        taken = len(items)
        items.clear()
        return taken

    made = empty.tune(budget=Budget(trials=2), fresh=lambda: (([1, 2, 3],), {}))
    assert made.verdict.kind != "failed"
    assert not any("change from call to call" in note for note in made.notes)
    assert {trial.state for trial in made.trials} == {"done"}


def test_what_cannot_be_tuned_is_refused() -> None:
    with pytest.raises(TypeError, match="needs a parameter 'b'"):
        tunable(b=Integer(1, 2))(lambda a=1: a)
    with pytest.raises(TypeError, match="has a default"):
        tunable(a=Integer(1, 2))(lambda a: a)
    with pytest.raises(ValueError, match="outside"):
        tunable(a=Integer(1, 2))(lambda a=3: a)

    @tunable(a=Integer(1, 2))
    def broken(*, a: int = 1) -> None:
        raise OSError("gone")

    failed = broken.tune(budget=1)
    assert failed.verdict.words == "the default failed: OSError('gone')"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1, True),
        ([1, (2, 3)], [1, (2, 3)], True),
        ({"a": np.ones(2)}, {"a": np.ones(2)}, True),
        ({"a": np.ones(2)}, {"a": np.zeros(2)}, False),
        ([1], [1, 2], False),
        (np.ones(2), [1.0, 1.0], False),
        ("a", 1, False),
    ],
)
def test_equality(one: object, other: object, same: bool) -> None:
    assert equal(one, other) is same


def test_who_cannot_be_judged_has_failed() -> None:
    @tunable(n=Integer(1, 9, default=5))
    def answer(*, n=5):  # type: ignore[no-untyped-def]
        return n if n < 8 else None

    found = answer.tune(budget=Budget(trials=12), score=lambda n: 1.0 / n, same=lambda a, b: True)
    assert any("cannot be judged: TypeError" in (trial.reason or "") for trial in found.trials)
    assert found.verdict.kind == "better"
    assert found.setting["n"] in (6, 7)
