"""The comparison by itself, fed with decisions from elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

import acumen
from acumen import _native
from acumen.core.comparison import Comparison


def test_it_is_the_one_of_a_choice() -> None:
    choice = acumen.Choice(
        "codec", ["a", "b"], context={"x": float}, default="a", metric=acumen.maximize("reward"),
        mode="canary", canary=0.4, seed=2,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=3000)
    decisions = choice.choose_many(rng.normal(size=(3000, 1)))
    choice.feedback_many(decisions.ids, reward=rewards)
    learned = decisions.reasons == _native.REASONS.index("learned")
    share = np.full(3000, np.float32(0.4) * (1 - np.float32(0.02)), np.float64)
    alone = _native.HoldbackComparison()
    for part in np.array_split(np.arange(3000), 7):
        alone.observe(learned[part], share[part], rewards[part])
    assert Comparison.from_native(alone.interval(1 - 0.95), 0.95) == choice.comparison()


def test_lost_decisions_and_such_without_a_coin() -> None:
    alone = _native.HoldbackComparison()
    learned = np.array([True, False, True, True])
    share = np.array([0.5, 0.5, 1.0, 0.0])
    alone.observe(learned, share, np.array([math.nan, math.nan, 5.0, math.nan]))
    found = Comparison.from_native(alone.interval(0.05), 0.95)
    assert (found.learned_lost, found.default_lost) == (1, 1)
    assert (found.learned_decisions, found.default_decisions) == (0, 0)
    assert found.low == -math.inf


def test_what_does_not_fit_is_refused() -> None:
    alone = _native.HoldbackComparison()
    flags, ones = np.ones(3, bool), np.full(3, 0.5)
    with pytest.raises(ValueError, match="one value a decision"):
        alone.observe(flags, ones, np.ones(2))
    with pytest.raises(ValueError, match="out of range"):
        alone.observe(flags, ones, np.full(3, math.inf))
