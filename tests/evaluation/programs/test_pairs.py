"""Rounds of default and candidate, and the words about them."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable

import numpy as np
import pytest

from acumen.evaluation.programs.pairs import Comparison, RunFailedError, compare
from acumen.evaluation.programs.verdict import failed, judge


def timed(rng: np.random.Generator, seconds: float, spread: float = 0.05) -> Callable[[], float]:
    return lambda: seconds * math.exp(spread * rng.standard_t(3))


def compared(default: float, candidate: float, **more: object) -> Comparison:
    rng = np.random.default_rng(7)
    sides = timed(rng, default), timed(rng, candidate)
    return compare(*sides, rng=np.random.default_rng(8), **more)  # type: ignore[arg-type]


def test_better_is_said_as_soon_as_it_is_certain() -> None:
    found = compared(1.3, 1.0)
    assert found.outcome == "better"
    assert found.estimate.low < 1.3 < found.estimate.high
    assert len(found.pairs) < 40
    verdict = judge(found, "time", False, ["-funroll-loops", "-march=native"])
    assert verdict.words.startswith("faster by 1.")
    assert verdict.words.endswith(f", n = {len(found.pairs)}; two flags matter")
    assert "(95 %: 1." in verdict.words
    assert verdict.as_dict()["verdict"] == "better"


def test_more_may_be_better() -> None:
    found = compared(1.0, 1.3, maximize=True)
    assert found.outcome == "better"
    assert judge(found, "tps", True, ["x"]).words.startswith("more tps by 1.")
    assert compared(1.0, 1.3).outcome == "worse"


def test_a_gain_that_is_ruled_out_ends_it() -> None:
    rng = np.random.default_rng(1)
    found = compare(timed(rng, 1.0, 0.001), timed(rng, 1.0, 0.001), rng=np.random.default_rng(2))
    assert found.outcome == "no_difference"
    assert len(found.pairs) < 100
    words = judge(found, "time", False, []).words
    assert words.startswith("no setting is better than the default beyond the noise")
    assert "ruled out" not in words


def test_time_may_be_over_before() -> None:
    found = compared(1.0, 1.0, rounds_max=5)
    assert (found.outcome, len(found.pairs)) == ("no_difference", 5)
    verdict = judge(found, "time", False, [])
    assert (verdict.low, verdict.high, verdict.n) == (None, None, 5)
    assert "neither certain nor ruled out" in verdict.words
    assert len(compared(1.0, 1.0, deadline=time.monotonic()).pairs) == 1


def test_a_candidate_that_fails_once_has_failed() -> None:
    runs = itertools.count()

    def sometimes() -> float:
        if next(runs) == 6:
            raise RunFailedError("crashed with SIGSEGV")
        return 0.1

    found = compare(lambda: 1.0, sometimes, rng=np.random.default_rng(1))
    assert (found.outcome, found.problem, len(found.pairs)) == (
        "failed",
        "crashed with SIGSEGV",
        6,
    )
    verdict = judge(found, "time", False, ["x"])
    assert verdict.kind == "no_difference"
    assert "failed when it was run again (crashed with SIGSEGV)" in verdict.words


def test_a_time_of_nothing_is_no_win() -> None:
    found = compare(lambda: 1.0, lambda: 0.0, rng=np.random.default_rng(1))
    assert found.outcome == "failed"
    found = compare(lambda: 0.0, lambda: 1.0, rng=np.random.default_rng(1))
    assert found.outcome == "default_failed"
    assert judge(found, "time", False, []).kind == "failed"
    assert failed("why").as_dict()["verdict"] == "failed"


def test_the_control_shows_the_noise() -> None:
    rng = np.random.default_rng(3)
    quiet = compare(timed(rng, 1, 1e-4), timed(rng, 1, 1e-4), rng=rng, rounds_max=20)
    loud = compare(timed(rng, 1, 0.1), timed(rng, 1, 0.1), rng=rng, rounds_max=20)
    assert 1 < quiet.noise_floor < 1.001 < 1.01 < loud.noise_floor < 1.5


@pytest.mark.parametrize("seed", range(3))
def test_each_order_is_as_likely_as_any_other(seed: int) -> None:
    """A machine that gets slower with every run does not favour who runs first."""
    clock = itertools.count(1)
    tick = lambda: 1.0 + next(clock)  # noqa: E731
    found = compare(tick, tick, rng=np.random.default_rng(seed), rounds_max=150)
    assert found.outcome == "no_difference"
    before = sum(pair < 0 for pair in found.pairs)
    assert 45 < before < 105
