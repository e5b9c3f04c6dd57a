"""A paired test that may be looked at after every pair, and is never fooled more often than said.

Two settings are run one right after the other, in an order that a fair coin decides, and x is the
logarithm of the ratio of what was measured. If the two do the same, each x could as well have come
out as -x: the coin alone decided. That holds whatever the noise is like: heavy tails, drift, a
machine that gets slower, bursts that last over many pairs. So nothing is assumed about it.

The test is a bet (Shafer, "Testing by betting", 2021). One starts with 1 and stakes before each
pair a share of what one has on "x is positive", at fair odds: once on its sign (the sign test),
once on its sign in proportion to the rank of |x| among those so far (Wilcoxon's signed rank test
with sequential ranks, Reynolds 1975). While the coin alone decides, nobody can expect to win, and
the chance that the wealth ever reaches 1 / alpha is at most alpha, however long one plays and
whenever one stops (Ville's inequality). Several stakes are played side by side, each with a share
of the 1, so that none has to be chosen: their sum is such a wealth, too.

The interval of the ratio turns this around: it holds each ratio against which nobody has won yet,
when x is measured from there. Intervals of one sequence hold all at once (a confidence sequence:
Howard, Ramdas, McAuliffe, Sekhon 2021; Waudby-Smith and Ramdas 2024 for bets).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Small stakes find small effects in many pairs, large ones large effects in few.
_STAKES = np.array([0.0625, 0.125, 0.25, 0.5, 0.75, 0.9, 0.99])
_GRID = 160


@dataclass(frozen=True, slots=True)
class Estimate:
    """What pairs say about a ratio; above 1 the candidate is better.

    Attributes:
        ratio: the median.
        low: lower end of its interval; 0 while there are too few pairs for one.
        high: upper end; infinite while there are too few.
        n: pairs.
    """

    ratio: float
    low: float
    high: float
    n: int


def wealths(x: Floats) -> tuple[Floats, Floats]:
    """What who bets on positive signs, and who bets on negative ones, has after each pair.

    Args:
        x: (m, n), m sequences of n log ratios.

    Returns:
        two arrays (m, n).
    """
    m, n = x.shape
    if n == 0:
        return np.ones((m, 0)), np.ones((m, 0))
    signs = np.sign(x)
    ranked = signs * sequential_ranks(np.abs(x))
    up, down = np.zeros((m, n)), np.zeros((m, n))
    for stake in _STAKES:
        for bet in (signs, ranked):
            up += np.exp(np.minimum(np.cumsum(np.log1p(stake * bet), axis=1), 700.0))
            down += np.exp(np.minimum(np.cumsum(np.log1p(-stake * bet), axis=1), 700.0))
    return up / (2 * len(_STAKES)), down / (2 * len(_STAKES))


def sequential_ranks(sizes: Floats) -> Floats:
    """The share of each value's predecessors, itself included, that are not above it; ties half.

    Args:
        sizes: (m, n).

    Returns:
        (m, n), each in (0, 1].

    >>> sequential_ranks(np.array([[5.0, 1.0, 7.0, 5.0]])).round(3).tolist()
    [[1.0, 0.5, 1.0, 0.625]]
    """
    ranks = np.empty_like(sizes)
    for i in range(sizes.shape[1]):
        here = sizes[:, i : i + 1]
        before = sizes[:, : i + 1]
        below = (before < here).sum(axis=1)
        equal = (before == here).sum(axis=1)
        ranks[:, i] = (below + (equal + 1) / 2) / (i + 1)
    return ranks


class Bets:
    """The same for one sequence that grows: a pair at a time, quickly.

    Attributes:
        better: the largest wealth so far of who bets that the candidate is better. At 1 / alpha
            or more it is, and the chance that this is ever said of one that is not, in all the
            looks together, is at most alpha.
        worse: the same for the candidate being worse.

    >>> bets = Bets()
    >>> for _ in range(12):
    ...     bets.add(0.1)
    >>> bets.better > 100, bets.worse
    (True, 1.0)
    """

    def __init__(self) -> None:
        self.better = self.worse = 1.0
        self._sizes: list[float] = []
        self._logs = np.zeros((2, 2, len(_STAKES)))

    def add(self, x: float) -> None:
        """Takes the log ratio of one more pair."""
        size = abs(x)
        below, upto = bisect_left(self._sizes, size), bisect_right(self._sizes, size)
        self._sizes.insert(upto, size)
        rank = (below + (upto - below + 2) / 2) / len(self._sizes)
        sign = float(np.sign(x))
        for number, bet in enumerate((sign, sign * rank)):
            self._logs[0, number] += np.log1p(_STAKES * bet)
            self._logs[1, number] += np.log1p(-_STAKES * bet)
        up, down = np.exp(np.minimum(self._logs, 700.0)).mean(axis=(1, 2))
        self.better, self.worse = max(self.better, float(up)), max(self.worse, float(down))


def estimate(x: Sequence[float] | Floats, confidence: float = 0.95) -> Estimate:
    """The ratio with an interval that holds at every time of looking.

    Args:
        x: log ratios, in the order of their measurement.
        confidence: of the interval, taken over the whole sequence.
    """
    values = np.asarray(x, float)
    n = len(values)
    if n == 0:
        return Estimate(1.0, 0.0, math.inf, 0)
    middle = float(np.median(values))
    limit = 2 / (1 - confidence)
    least, most = float(values.min()), float(values.max())
    spread = max(most - least, 1e-9)
    # Where values are dense, so is the grid: a wild one makes no interval coarse, and one that is
    # there many times is tried itself. 1 is, too: an interval says of it what the bets say.
    grid = np.unique(
        [*np.quantile(values, np.linspace(0, 1, _GRID)), middle, np.clip(0, least, most)]
    )
    # Beyond all values every sign is the same: what cannot be ruled out there never can.
    grid = np.array([least - spread / 8, *grid, most + spread / 8])
    up, down = wealths(values[None] - grid[:, None])
    kept = np.flatnonzero((up.max(axis=1) < limit) & (down.max(axis=1) < limit))
    if len(kept) == 0:
        # Values that drift away from everything that they have been: no ratio is that of all of
        # them, and what they have in common is their range alone.
        return Estimate(_exp(middle), _exp(least), _exp(most), n)
    first, last = kept[0], kept[-1]
    low = -math.inf if first == 0 else min(float(grid[first - 1]), middle)
    high = math.inf if last == len(grid) - 1 else max(float(grid[last + 1]), middle)
    return Estimate(_exp(middle), _exp(low), _exp(high), n)


def _exp(log: float) -> float:
    return math.exp(log) if log < 700.0 else math.inf
