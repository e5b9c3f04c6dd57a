"""The test that may be looked at at any time errs no more often than it says, with any noise."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acumen.evaluation.programs.sequential import Bets, Floats, estimate, wealths

SEQUENCES, PAIRS = 3000, 150
Noise = Callable[[np.random.Generator], Floats]


def gauss(rng: np.random.Generator) -> Floats:
    return rng.normal(size=(SEQUENCES, PAIRS))


def cauchy(rng: np.random.Generator) -> Floats:
    return rng.standard_cauchy(size=(SEQUENCES, PAIRS))


def times_with_a_heavy_tail(rng: np.random.Generator) -> Floats:
    times = 1 + rng.pareto(0.8, size=(SEQUENCES, PAIRS, 2))
    return np.log(times[..., 0]) - np.log(times[..., 1])


def drifting_machine(rng: np.random.Generator) -> Floats:
    """A random walk with a trend; only the order within each pair is drawn."""
    speed = np.cumsum(rng.normal(size=(SEQUENCES, 2 * PAIRS)), axis=1) + np.arange(2 * PAIRS)
    order = rng.choice([-1.0, 1.0], size=(SEQUENCES, PAIRS))
    return (speed[:, ::2] - speed[:, 1::2]) * order


def bursts(rng: np.random.Generator) -> Floats:
    loud = np.exp(np.cumsum(rng.normal(size=(SEQUENCES, PAIRS)), axis=1))
    return loud * rng.normal(size=(SEQUENCES, PAIRS))


def ticks(rng: np.random.Generator) -> Floats:
    """A coarse clock: most pairs are equal."""
    return rng.integers(-1, 2, size=(SEQUENCES, PAIRS)).astype(float)


NOISES = [gauss, cauchy, times_with_a_heavy_tail, drifting_machine, bursts, ticks]


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.__name__)
def test_nothing_is_rarely_called_something(noise: Noise) -> None:
    up, down = wealths(noise(np.random.default_rng(1)))
    for wealth in (up, down):
        wrong = (wealth.max(axis=1) >= 100).mean()
        # 1 in 100 is promised; four standard errors of 3,000 sequences are another 0.7 %.
        assert wrong <= 0.01 + 4 * np.sqrt(0.01 * 0.99 / SEQUENCES)
        assert (wealth.max(axis=1) >= 20).mean() <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / SEQUENCES)


@pytest.mark.parametrize("noise", [gauss, cauchy, drifting_machine], ids=lambda n: n.__name__)
def test_the_interval_holds_the_truth_at_every_time(noise: Noise) -> None:
    """A ratio that were ruled out at any time would be found among these wealths."""
    up, down = wealths(noise(np.random.default_rng(2)))
    missed = (np.maximum(up, down).max(axis=1) >= 40).mean()
    assert missed <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / SEQUENCES)


@pytest.mark.parametrize(("effect", "pairs_max"), [(5.0, 10), (1.0, 40), (0.5, 120)])
def test_something_is_found_soon(effect: float, pairs_max: int) -> None:
    """In standard deviations of a pair."""
    x = np.random.default_rng(3).normal(size=(300, 150)) + effect
    certain = (wealths(x)[0] >= 100).argmax(axis=1) + 1
    assert np.median(certain) <= pairs_max


def test_one_wild_pair_changes_little() -> None:
    x = np.random.default_rng(4).normal(0.1, 0.05, size=40)
    wild = x.copy()
    wild[7] = -1e6
    before, after = estimate(x), estimate(wild)
    assert after.low > 1
    assert after.ratio == pytest.approx(before.ratio, rel=0.02)


def test_an_interval_needs_pairs_and_gets_narrower() -> None:
    x = np.random.default_rng(5).normal(0.3, 0.05, size=200)
    assert (estimate([]).n, estimate(x[:5]).low, estimate(x[:5]).high) == (0, 0.0, np.inf)
    widths = [e.high - e.low for e in (estimate(x[:n]) for n in (10, 20, 50, 200))]
    assert all(a > b for a, b in itertools.pairwise(widths))
    last = estimate(x)
    assert last.low < np.exp(0.3) < last.high
    assert widths[-1] < 0.05


def test_what_never_varies_has_an_interval_of_one_point() -> None:
    found = estimate([0.3] * 10)
    assert found.low == pytest.approx(np.exp(0.3))
    assert found.high == pytest.approx(np.exp(0.3))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=1, max_size=30))
def test_pair_by_pair_is_the_same_as_all_at_once(x: list[float]) -> None:
    bets = Bets()
    for one in x:
        bets.add(one)
    up, down = wealths(np.array([x]))
    assert bets.better == pytest.approx(max(1.0, up.max()))
    assert bets.worse == pytest.approx(max(1.0, down.max()))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-2, 2, allow_subnormal=False), min_size=1, max_size=40))
def test_an_interval_holds_its_median_and_mirrors(x: list[float]) -> None:
    found, mirrored = estimate(x), estimate([-one for one in x])
    assert found.low <= found.ratio <= found.high
    assert mirrored.ratio == pytest.approx(1 / found.ratio)
    if found.low > 0:
        assert mirrored.high == pytest.approx(1 / found.low, rel=1e-6)


def test_what_drifts_away_from_itself_has_a_wide_interval() -> None:
    """No ratio is that of all pairs, so none is named to the last digit."""
    for x in (np.linspace(0.0, 1.0, 60), np.repeat([0.0, 0.5], 40)):
        found = estimate(x)
        assert found.low < np.exp(0.2) < np.exp(0.4) < found.high


def test_values_that_are_mostly_the_same_are_seen() -> None:
    found = estimate([0.3, 0.3, 0.3, 0.31, 0.3, 1.5, 0.3, 0.1, 0.3, 0.3] * 5)
    assert found.low <= np.exp(0.3) <= found.high
    assert found.high < np.exp(0.4)
