"""Rates of false positives: measured ones with their interval, and what may be promised."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TWO_SIDED_95 = 1.959963984540054
ONE_SIDED_95 = 1.6448536269514722


class MeasuredRate(NamedTuple):
    """A share of trials that passed.

    Attributes:
        rate: passed / trials; NaN without trials.
        low: lower end of the 95 % interval (Wilson).
        high: upper end.
        trials: absent keys that were asked for.
        source: what they were: "held-out negatives" or "random hashes".
    """

    rate: float
    low: float
    high: float
    trials: int
    source: str


def wilson(passed: float, trials: float, z: float) -> tuple[float, float]:
    """The interval of Wilson (1927) for a mean of numbers in [0, 1], at `z` standard errors.

    Numbers between 0 and 1 vary at most as a coin does, so that it is rather too wide.
    """
    if trials <= 0:
        return 0.0, 1.0
    centre = passed + z * z / 2
    spread = z * float(np.sqrt(max(passed * (1 - passed / trials), 0.0) + z * z / 4))
    total = trials + z * z
    return max(0.0, (centre - spread) / total), min(1.0, (centre + spread) / total)


def effective_trials(passed: NDArray[np.float64], groups: NDArray[np.int64] | None) -> float:
    """How many independent trials these are worth where members of a group are alike.

    The variance of the mean is estimated between groups (as a ratio, Cochran 1977); without groups,
    or where these make no difference, the number of trials itself.
    """
    n = len(passed)
    if groups is None or n == 0:
        return float(n)
    mean = float(passed.mean())
    sums = np.bincount(groups, passed)
    sizes = np.bincount(groups)
    variance = float(((sums - mean * sizes) ** 2).sum()) / n**2
    count = int((sizes > 0).sum())
    independent = float(passed.var()) / n
    if variance <= independent or independent == 0:
        # Nothing passed, or nothing can be seen: one trial a group is what is certain.
        return float(count) if independent == 0 else float(n)
    return n * independent / variance


def measured(
    passed: NDArray[np.float64], source: str, groups: NDArray[np.int64] | None = None
) -> MeasuredRate:
    """The rate at which absent keys passed, by outcome (0 or 1), with its interval."""
    n = len(passed)
    rate = float(passed.mean()) if n else float("nan")
    trials = effective_trials(passed, groups)
    low, high = wilson(rate * trials if n else 0.0, trials, TWO_SIDED_95)
    return MeasuredRate(rate, low, high, n, source)


def upper_bound(chances: NDArray[np.float64], groups: NDArray[np.int64] | None) -> float:
    """What the mean chance to pass stays below, with 95 % confidence."""
    if not len(chances):
        return 1.0
    trials = effective_trials(chances, groups)
    return wilson(float(chances.mean()) * trials, trials, ONE_SIDED_95)[1]
