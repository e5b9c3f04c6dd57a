"""The winner beside the default, on fresh measurements: what may be said about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acumen.learners.search.space import Setting


@dataclass(frozen=True)
class Confirmation:
    """Fresh measurements of winner and default.

    Attributes:
        setting: the winner.
        default: what it is held against.
        values: float64[pairs, 2], less is better: winner, default.
        ratio: default / winner, above 1 if the winner is better: the pseudo-median over pairs;
            None where values are not positive.
        low: lower end of the interval of `ratio` (of `difference`, where there is none).
        high: upper end.
        difference: default - winner, the pseudo-median over pairs.
        confidence: of the interval.
    """

    setting: Setting
    default: Setting
    values: NDArray[np.float64]
    ratio: float | None
    low: float
    high: float
    difference: float
    confidence: float

    @property
    def pairs(self) -> int:
        """How often both were measured."""
        return len(self.values)

    @property
    def better(self) -> bool:
        """Whether the winner is certainly better than the default."""
        return self.low > (0.0 if self.ratio is None else 1.0)

    def __str__(self) -> str:
        """One sentence."""
        interval = f"{self.confidence:.0%}: {self.low:.3g} to {self.high:.3g}; {self.pairs} pairs"
        if not self.better:
            return f"no better than the default beyond the noise ({interval})"
        if self.ratio is None:
            return f"better than the default by {self.difference:.4g} ({interval})"
        return f"better than the default by a factor of {self.ratio:.3g} ({interval})"


def compare(
    setting: Setting,
    default: Setting,
    values: NDArray[np.float64],
    ratios: bool,
    logs: bool,
    confidence: float,
) -> Confirmation:
    """Judges pairs of measurements by Wilcoxon's signed ranks.

    Args:
        setting: the winner.
        default: what it is held against.
        values: float64[pairs, 2], winner and default.
        ratios: whether to compare by ratio.
        logs: whether values are logarithms already.
        confidence: of the interval, in (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    if len(values) < 1:
        raise ValueError("at least one pair is needed")
    plain = values[:, 1] - values[:, 0]
    difference = _walsh(plain)
    if not ratios:
        low, high = interval(plain, confidence)
        return Confirmation(
            setting, default, values, None, low, high, float(np.median(difference)), confidence
        )
    scaled = values if logs else np.log(values)
    factors = scaled[:, 1] - scaled[:, 0]
    low, high = (_exp(end) for end in interval(factors, confidence))
    return Confirmation(
        setting,
        default,
        values,
        _exp(float(np.median(_walsh(factors)))),
        low,
        high,
        float(np.median(difference)),
        confidence,
    )


def interval(differences: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Distribution-free interval of the centre of symmetric differences; may be infinite.

    Hodges & Lehmann, "Estimates of location based on rank tests", 1963: order statistics of all
    pairwise means, cut where Wilcoxon's exact signed-rank distribution says.
    """
    n = len(differences)
    means = np.sort(_walsh(differences))
    # How many subsets of the ranks 1 … n have each sum, as shares.
    shares = np.ones(1)
    for rank in range(1, n + 1):
        longer = np.zeros(len(shares) + rank)
        longer[: len(shares)] += shares / 2
        longer[rank:] += shares / 2
        shares = longer
    cut = int(np.searchsorted(np.cumsum(shares), (1 - confidence) / 2, side="right"))
    if cut == 0:
        return -math.inf, math.inf
    return float(means[cut - 1]), float(means[len(means) - cut])


def _walsh(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    one, two = np.triu_indices(len(differences))
    return (differences[one] + differences[two]) / 2


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
