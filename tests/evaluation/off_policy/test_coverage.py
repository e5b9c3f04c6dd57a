"""Intervals hold the exact value as often as they say, and refusals come where they do not.

A small version of benchmarks/off_policy_coverage.py: classification data become bandits.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from acumen.evaluation.off_policy import IPS, SNIPS, DoublyRobust, Switch, compare, estimates
from acumen.testing import LoggedWorld
from acumen.testing.logged_worlds import (
    coins,
    greedy,
    linear_scores,
    lognormal,
    mixed,
    softmax,
    standardised,
)

datasets = pytest.importorskip("sklearn.datasets")

ESTIMATORS = (IPS(), SNIPS(), DoublyRobust(), Switch())
REPETITIONS = 200


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(at most k successes)."""
    logs = [
        math.lgamma(n + 1)
        - math.lgamma(i + 1)
        - math.lgamma(n - i + 1)
        + i * math.log(p)
        + (n - i) * math.log1p(-p)
        for i in range(k + 1)
    ]
    return min(math.fsum(map(math.exp, logs)), 1.0)


def is_between(held: int, n: int, low: float, high: float) -> bool:
    """Whether so many of n are no proof, at 1 in 1,000, of a rate outside low … high."""
    return binomial_cdf(held, n, low) > 1e-3 and 1 - binomial_cdf(held - 1, n, high) > 1e-3


@cache
def world(name: str) -> LoggedWorld:
    context, labels = datasets.load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(context))
    good = linear_scores(context, labels, order[:60])
    weak = linear_scores(context, labels, order[60:75])
    hit: NDArray[np.float64] = np.eye(3)[labels]
    context = standardised(context)
    if name == "uniform":
        return LoggedWorld(context, hit, softmax(good, 4.0), mixed(weak, 1.0))
    if name == "adverse":
        logging = mixed(softmax(weak, -4.0), 0.4)
        return LoggedWorld(context, hit, softmax(good, 4.0), logging)
    if name == "latency":
        mean = -(1.0 + 3.0 * (1.0 - hit))
        return LoggedWorld(
            context, mean, mixed(greedy(good), 0.2), mixed(weak, 1.0), lognormal(0.5)
        )
    if name == "clicks":
        # Some dozens of ones in a log: few enough that intervals of the wrong shape would not hold.
        return LoggedWorld(context, 0.02 + 0.08 * hit, softmax(good, 4.0), mixed(weak, 1.0), coins)
    assert name == "drifting"
    return LoggedWorld(
        context,
        0.1 + 0.5 * hit,
        softmax(good, 4.0),
        mixed(weak, 1.0),
        coins,
        later=mixed(softmax(weak, 6.0), 0.4),
    )


@pytest.mark.parametrize("name", ["uniform", "adverse", "latency", "clicks", "drifting"])
@pytest.mark.parametrize("known", [False, True], ids=["taken", "known"])
def test_intervals_hold(name: str, known: bool) -> None:
    made = world(name)
    told = np.zeros(len(ESTIMATORS), int)
    held = np.zeros(len(ESTIMATORS), int)
    for seed in range(REPETITIONS):
        log, candidate = made.draw(1000, 77_000 + seed, logging=known)
        for j, e in enumerate(estimates(log, candidate, ESTIMATORS)):
            if e.low is not None and e.high is not None:
                told[j] += 1
                held[j] += e.low <= made.truth <= e.high
    for j, estimator in enumerate(ESTIMATORS):
        assert told[j] > 0.9 * REPETITIONS, estimator.name
        assert is_between(int(held[j]), int(told[j]), 0.93, 0.97), (
            estimator.name,
            held[j],
            told[j],
        )


def test_differences_hold_and_are_surer_than_values() -> None:
    made = world("uniform")
    held, widths = 0, []
    nearby = mixed(made.candidate, 0.2)
    truth = float(((made.candidate - nearby) * made.mean).sum(1).mean())
    assert truth > 0
    verdicts = []
    for seed in range(REPETITIONS):
        rng = np.random.default_rng(90_000 + seed)
        row = rng.integers(len(made.context), size=1000)
        log, candidate = made.draw(1000, 90_000 + seed)
        # The same rows: the log's contexts tell which they were.
        assert log.context.shape == made.context[row].shape
        assert np.array_equal(log.context, made.context[row])
        result = compare(log, candidate, nearby[row])
        assert result.low is not None
        assert result.high is not None
        held += result.low <= truth <= result.high
        verdicts.append(result.verdict)
        assert result.standard_error is not None
        assert result.candidate.standard_error is not None
        widths.append(result.standard_error / result.candidate.standard_error)
    assert is_between(held, REPETITIONS, 0.93, 0.97), held
    assert "worse" not in verdicts
    assert np.mean(widths) < 0.7


def test_where_intervals_would_not_hold_there_are_none() -> None:
    """A log that has 30 records of what a greedy candidate wants."""
    made = world("uniform")
    refused = 0
    for seed in range(50):
        log, candidate = made.draw(90, seed)
        (e,) = estimates(log, candidate, [SNIPS()])
        refused += e.value is None
    assert refused == 50
