"""What a searcher has seen: each setting once, with all of its measurements."""

from __future__ import annotations

import math

import numpy as np

from acumen.learners.search.genes import Matrix, Vector
from acumen.learners.search.space import Setting, Space


class Observations:
    """Settings that were measured, in the order of their first measurement.

    Measurements of one setting are averaged: a model that saw each of them apart would take the
    luckiest for the best.

    Attributes:
        total: measurements, failed ones included.
        row_of: key → row.
        keys: row → key.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.total = 0
        self.row_of: dict[str, int] = {}
        self.keys: list[str] = []
        self._settings: list[Setting] = []
        self._genes = np.empty((64, space.layout.count))
        self._encoded = 0  # settings whose genes are known
        self._means = np.empty(64)
        self._sums = np.zeros((64, 4))  # count, sum, sum of squares, failures
        self._noise: float | None = None

    def __len__(self) -> int:
        """How many different settings there are."""
        return len(self._settings)

    def add(self, setting: Setting, value: float | None) -> int:
        """Takes a measurement; returns the setting's row."""
        key = self.space.key(setting)
        row = self.row_of.get(key)
        if row is None:
            row = self.row_of[key] = len(self._settings)
            if row == len(self._sums):
                self._genes = np.concatenate([self._genes, np.empty_like(self._genes)])
                self._means = np.concatenate([self._means, np.empty_like(self._means)])
                self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
            self._settings.append(dict(setting))
            self.keys.append(key)
        if value is None:
            self._sums[row, 3] += 1
        else:
            self._sums[row, :3] += 1.0, value, value * value
        self.total += 1
        count, total, _, failed = self._sums[row].tolist()
        self._means[row] = total / count if count > failed else math.inf
        if count > 1:
            self._noise = self._deviation()
        return row

    def setting(self, row: int) -> Setting:
        """The setting of a row."""
        return dict(self._settings[row])

    @property
    def genes(self) -> Matrix:
        """float64[n, genes]."""
        if self._encoded < len(self):
            new = self.space.genes(self._settings[self._encoded :])
            self._genes[self._encoded : len(self)] = new
            self._encoded = len(self)
        return self._genes[: len(self)]

    @property
    def counts(self) -> Vector:
        """Measurements that succeeded, float64[n]."""
        return self._sums[: len(self), 0]

    @property
    def failures(self) -> Vector:
        """Measurements that failed, float64[n]."""
        return self._sums[: len(self), 3]

    def means(self) -> Vector:
        """Mean measurement, float64[n]; infinite where most of them failed. A view: see `add`."""
        return self._means[: len(self)]

    def noise(self) -> float | None:
        """Standard deviation of a measurement, from repeated ones; None: nothing was repeated."""
        return self._noise

    def _deviation(self) -> float:
        count, total, squares, _ = self._sums[: len(self)].T
        some = count > 1
        freedom = float((count[some] - 1.0).sum())
        spread = squares[some] - total[some] ** 2 / count[some]
        # Squares of large numbers differ by rounding alone.
        floor = 1e-14 * squares[some].sum()
        spread = max(float(spread.sum()), 0.0)
        return math.sqrt(spread / freedom) if spread > floor else 0.0

    def robust_means(self) -> Vector:
        """Means, drawn to the average the more, the fewer measurements stand behind them.

        The luckiest of many single measurements promises more than it holds (the winner's curse).
        Without repeated measurements nothing is known of the noise, and these are the means.
        """
        means, noise = self.means(), self.noise()
        fine = np.isfinite(means)
        if not noise or fine.sum() < 3:
            return means
        centre = _median(means[fine])
        # Of the better half alone: settings that are far worse say nothing about the best.
        better = means[fine & (means <= centre)]
        seen = float(np.mean((better - centre) ** 2))
        share = noise * noise / np.maximum(self.counts, 1)
        true = max(seen - _median(share[fine]), 0.05 * seen)
        return np.where(fine, centre + (means - centre) * true / (true + share), means)

    def best(self) -> int | None:
        """Row of the best setting, by `robust_means`; None while nothing has succeeded."""
        if not len(self):
            return None
        means = self.robust_means()
        row = int(np.argmin(means))
        return row if math.isfinite(means[row]) else None

    def targets(self) -> Vector:
        """What models learn: means on a scale on which they are alike, float64[n].

        Logarithms where all are positive (a cost of twice as much is as far from half as much);
        the worst are drawn in, and failures count as the worst; then mean 0, deviation 1.
        """
        values = self.means()
        fine = np.isfinite(values)
        good = np.sort(values[fine])
        if not len(good):
            return np.zeros(len(values))
        if good[0] > 0:
            values, good = np.log(np.where(fine, values, 1.0)), np.log(good)
        low, middle, high = good[0], good[len(good) // 2], good[-1]
        high = min(high, middle + 2.0 * (middle - low))
        high = max(high, good[len(good) * 3 // 4])
        clipped = np.minimum(np.where(fine, values, high), high)
        clipped -= clipped.mean()
        spread = math.sqrt(float(clipped @ clipped) / len(clipped))
        return (
            clipped / spread if spread > 1e-9 * max(1e-290, abs(middle)) else np.zeros(len(values))
        )


def _median(values: Vector) -> float:
    """`np.median` takes ten times as long, and imports as much as all of this."""
    ordered = np.sort(values)
    return 0.5 * float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2])
