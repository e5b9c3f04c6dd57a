"""Thinning: looks at every so manieth value of a stream, so that neighbours hardly correlate.

A drift detector promises few false alarms for independent values. How far two values have to be
apart for that, the stream's first values tell: their integrated autocorrelation time
t = 1 + 2 (r1 + r2 + …), where r is the correlation at a lag, summed up to the first lag that is at
least five times the sum. Values 3 t apart correlate by less than 0.003 where correlation decays
geometrically: r1 = a makes t = (1 + a) / (1 - a), and a to the power of 3 t is largest, exp(-6),
as a comes near 1. What is estimated is mostly a bit too short, so that there is something to spare.

It is measured on ranks, so that heavy tails do not hide it, without the straight line through
them, so that a policy that gets better does not pass for correlation; and on how far out they are,
since calm and wild times may alternate where ups and downs do not. The longer one counts. Of
categories it is measured on how often two are equal. What does not decay, like the hours of a day,
no thinning makes independent.

References:
    Sokal, "Monte Carlo methods in statistical mechanics: foundations and new algorithms", 1997.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FIRST = 1024  # values that choose
EVERY_MAX = 64  # beyond it they are too few to tell
WINDOW = 5.0  # Sokal's c
TIMES_APART = 3.0
CODES_MAX = 64
_PLAIN_TIME = 1.4  # of independent values it is 1, with a standard error of 0.15
_PLAIN_LAG = 1.5 / math.sqrt(FIRST)  # in standard errors of the correlation of neighbours


class Thinning:
    """Which values of a stream to look at.

    Args:
        categories: whether values are codes without an order.

    Attributes:
        every: every so manieth one; 0 while the first `FIRST` values are being looked at, which are
            left out.

    >>> rng = np.random.default_rng(1)
    >>> thinning = Thinning()
    >>> len(thinning.keep(rng.normal(size=10_000))), thinning.every
    (8976, 1)
    >>> slow = np.convolve(rng.normal(size=10_000), 0.8 ** np.arange(50), "valid")
    >>> thinning = Thinning()
    >>> kept = slow[thinning.keep(slow)]
    >>> thinning.every, bool(abs(np.corrcoef(kept[1:], kept[:-1])[0, 1]) < 0.1)
    (18, True)
    """

    def __init__(self, categories: bool = False) -> None:
        self.every = 0
        self._categories = categories
        self._first: list[NDArray[np.float64]] = []
        self._skip = 0  # values until the next one to look at

    def keep(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Takes the stream's next values; the places of those to look at."""
        start = 0
        if not self.every:
            start = min(len(values), FIRST - sum(map(len, self._first)))
            self._first.append(np.array(values[:start]))
            if sum(map(len, self._first)) < FIRST:
                return np.empty(0, np.int64)
            self.every = spacing(np.concatenate(self._first), self._categories)
            self._first = []
        kept = np.arange(start + self._skip, len(values), self.every)
        seen = len(values) - start
        self._skip = (self._skip - seen) % self.every if seen > self._skip else self._skip - seen
        return kept


def spacing(values: NDArray[np.float64], categories: bool = False) -> int:
    """How far apart values are hardly correlated, from 1 to `EVERY_MAX`."""
    if categories:
        return _apart(_codes(values))
    # Ups and downs, and how far out: an alarm may come of either.
    ranks = _ranks(values)
    outness = np.abs(ranks)
    return max(_apart(ranks[:, None]), _apart((outness - outness.mean())[:, None]))


def _apart(columns: NDArray[np.float64]) -> int:
    correlation = _autocorrelation(columns)
    if correlation is None:
        return 1
    times = 1 + 2 * np.cumsum(correlation[1:])
    lags = np.arange(1, len(correlation))
    ends = np.flatnonzero(lags >= WINDOW * times)
    time = float(times[ends[0]]) if len(ends) else math.inf
    if time < _PLAIN_TIME and correlation[1] < _PLAIN_LAG:
        return 1
    return max(1, math.ceil(min(TIMES_APART * time, EVERY_MAX)))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred, and without the line through them."""
    # Equal values have the mean of their places; missing ones count as the highest.
    _, place, count = np.unique(values, return_inverse=True, return_counts=True, equal_nan=True)
    middle = np.cumsum(count) - (count - 1) / 2
    ranks = middle[place.ravel()]
    line = np.arange(len(ranks)) - (len(ranks) - 1) / 2
    ranks = ranks - ranks.mean()
    return np.asarray(ranks - line * (line @ ranks) / (line @ line))


def _codes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A column for each code, centred."""
    known, place = np.unique(values, return_inverse=True, equal_nan=True)
    # So many codes share places that memory stays bounded.
    columns = np.zeros((len(values), min(len(known), CODES_MAX)))
    columns[np.arange(len(values)), place.ravel() % columns.shape[1]] = 1.0
    return np.asarray(columns - columns.mean(0))


def _autocorrelation(columns: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """At the lags up to an eighth, of all columns together; None of what is constant."""
    n = len(columns)
    spectrum = np.fft.rfft(columns, 2 * n, axis=0)
    products = np.fft.irfft((np.abs(spectrum) ** 2).sum(1), 2 * n)[: n // 8]
    return products / products[0] if products[0] > 1e-9 * n else None
