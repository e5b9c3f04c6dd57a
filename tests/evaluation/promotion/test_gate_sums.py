"""Sums over stretches of decisions: what was before goes off, and intervals are the core's."""

import math

import numpy as np
import pytest
from gated import live, make

from acumen.evaluation.promotion.sums import FIRST_LOOK, Moments, Tossed, moments, radius


def test_moments_add_up_and_subtract() -> None:
    rng = np.random.default_rng(0)
    values = 1e6 + rng.standard_normal(5000)
    a, b, whole = (Moments.of(v) for v in (values[:3000], values[3000:], values))
    for got, wanted in ((a + b, whole), (whole - a, b)):
        assert got.n == wanted.n
        assert got.mean == pytest.approx(wanted.mean, rel=1e-12)
        assert got.squares == pytest.approx(wanted.squares, rel=1e-4)
    assert (a - a) == Moments()
    assert (Moments() + Moments()) == Moments()


def test_the_whole_past_is_what_the_choice_says() -> None:
    choice = make(mode="canary", canary=0.3)
    live(choice, np.random.default_rng(1), 3000, gap=0.4)
    mine = Tossed.native(choice._comparison_sums()).comparison(0.05)
    theirs = choice.comparison(0.95)
    assert mine.low == pytest.approx(theirs.low, rel=1e-12)
    assert mine.high == pytest.approx(theirs.high, rel=1e-12)
    assert str(mine) == str(theirs)


def test_a_stretch_is_judged_on_its_own_decisions() -> None:
    """A good past does not hide a bad present."""
    choice, rng = make(mode="canary", canary=0.5), np.random.default_rng(2)
    live(choice, rng, 20_000, gap=1.0)
    before = Tossed.native(choice._comparison_sums())
    live(choice, rng, 3000, gap=-1.0)
    after = Tossed.native(choice._comparison_sums())
    assert choice.comparison().difference > 0
    recent = (after - before).comparison(0.05)
    assert recent.verdict == "worse"
    assert recent.learned_decisions + recent.default_decisions == 3000
    whole = before + (after - before)
    assert whole.numbers() == pytest.approx(after.numbers(), rel=1e-9)
    assert Tossed.of_numbers(after.numbers()) == after


def test_intervals_hold_at_all_looks_at_once() -> None:
    """Looked at 300 times each, 400 means stay inside in at least as many runs as promised."""
    rng, alpha, looks = np.random.default_rng(3), 0.1, np.arange(40, 6000, 20)
    missed = 0
    for _ in range(400):
        sums = np.cumsum(rng.exponential(size=6000) - 1)
        squares = np.cumsum(np.diff(np.r_[0.0, sums]) ** 2)
        for n in looks:
            mean = sums[n - 1] / n
            if abs(mean) > radius(squares[n - 1] / n - mean**2, float(n), alpha):
                missed += 1
                break
    # Four standard deviations above what is promised would be 64.
    assert missed <= 40


def test_hostile_numbers() -> None:
    assert radius(1.0, FIRST_LOOK - 1, 0.05) == math.inf
    for bad in ([1, 2], [1, 2, math.nan], [-1, 0, 0], [1, 0, -1], ["a", 0, 0], None):
        with pytest.raises(ValueError):
            moments(bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        Tossed.of_numbers([0.0] * 11)
