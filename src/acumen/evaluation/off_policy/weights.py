"""Importance weights, and how much of a log they leave.

The effective sample size is the smaller of two numbers: Kish's, (Σ w)² / Σ w², of the weights that
were drawn; and the one to be expected, n / E[w²]. A heavy weight that was not drawn lacks in the
first, which is then too large just when the estimate is off. The second moment is known exactly
where the whole distribution of the logging policy is. Elsewhere the Cauchy-Schwarz inequality
bounds it from below: all arms but the taken one had 1 - p in the log and have 1 - π now, so that
E[w²] is at least π²/p + (1 - π)²/(1 - p) in every row, whichever arm was drawn there.

References:
    Horvitz & Thompson, "A generalization of sampling without replacement from a finite universe",
    JASA 1952. Kish, "Survey Sampling", Wiley 1965.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acumen.evaluation.off_policy.log import ROUNDING, DecisionLog
from acumen.evaluation.off_policy.policies import Target

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """The weights of a policy in a log, and what they say of it.

    Attributes:
        values: float64[n], w = π(arm | context) / propensity.
        effective_sample_size: as above; 0 where all weights are.
        spread_size: (Σ w²)² / Σ w⁴, how many records decide what the variance is.
        largest: the largest weight.
        mean: of the weights; 1 is expected.
        unsupported_records: share of the records in which the policy wants arms that the log could
            not take.
        unsupported_mass: share of the policy's decisions that would go to these.
    """

    values: Floats
    effective_sample_size: float
    spread_size: float
    largest: float
    mean: float
    unsupported_records: float
    unsupported_mass: float


@dataclass(frozen=True)
class WeightSums:
    """What the weights of rows add up to, where only the probability of the taken arm is known.

    Attributes:
        rows: how many.
        first: Σ w.
        second: Σ w².
        fourth: Σ w⁴.
        expected: Σ of the bound of E[w²] of every row.
        lost: Σ of the unsupported mass of every row.
        unsupported: rows that have some.
        largest: the largest weight.
    """

    rows: int = 0
    first: float = 0.0
    second: float = 0.0
    fourth: float = 0.0
    expected: float = 0.0
    lost: float = 0.0
    unsupported: int = 0
    largest: float = 0.0

    @classmethod
    def of(cls, taken: Floats, propensity: Floats) -> WeightSums:
        """Of rows: float64[n] each, the policy's and the log's probability of the taken arm."""
        w = taken / propensity
        squares = w * w
        rest, left = np.maximum(1.0 - taken, 0.0), 1.0 - propensity
        certain = left <= ROUNDING
        others = np.divide(rest**2, left, out=np.zeros_like(rest), where=~certain)
        lost = np.where(certain, rest, 0.0)
        return cls(
            len(w),
            float(w.sum()),
            float(squares.sum()),
            float((squares * squares).sum()),
            float((taken * taken / propensity + others).sum()),
            float(lost.sum()),
            int((lost > ROUNDING).sum()),
            float(w.max(initial=0.0)),
        )

    def __add__(self, other: WeightSums) -> WeightSums:
        """Of both together."""
        sums = {name: value + getattr(other, name) for name, value in vars(self).items()}
        return WeightSums(**sums | {"largest": max(self.largest, other.largest)})

    def weights(self, values: Floats) -> Weights:
        """What they say.

        Args:
            values: float64[m], the weights, or means of as many of them each.
        """
        n = self.rows
        second = max(self.expected / n, 0.0)
        kish = self.first**2 / self.second if self.second > 0 else 0.0
        # The fourth moment has no such bound that is worth its name: that of the sample stands in.
        ratio = self.fourth * n / self.second**2 if self.second > 0 else 0.0
        return Weights(
            values=values,
            effective_sample_size=min(kish, n / second if second > 0 else np.inf),
            spread_size=n / ratio if ratio > 0 else 0.0,
            largest=self.largest,
            mean=self.first / n,
            unsupported_records=self.unsupported / n,
            unsupported_mass=self.lost / n,
        )


def weigh(log: DecisionLog, target: Target) -> Weights:
    """The weights of `target` in all rows of `log`, which has at least one."""
    w = target.taken / log.propensity
    if log.logging is None or target.matrix is None:
        return WeightSums.of(target.taken, log.propensity).weights(w)
    n = len(w)
    second, fourth, lost = _moments(target.matrix, log.logging)
    spread = float((w * w).sum())
    kish = float(w.sum()) ** 2 / spread if spread > 0 else 0.0
    return Weights(
        values=w,
        effective_sample_size=min(kish, n / second if second > 0 else np.inf),
        spread_size=n * second**2 / fourth if fourth > 0 else 0.0,
        largest=float(w.max()),
        mean=float(w.mean()),
        unsupported_records=float((lost > ROUNDING).mean()),
        unsupported_mass=float(lost.mean()),
    )


def _moments(wanted: Floats, logging: Floats) -> tuple[float, float, Floats]:
    """E[w²], E[w⁴] and the unsupported mass of every row, exactly."""
    possible = logging > 0
    ratio = np.divide(wanted, logging, out=np.zeros_like(wanted), where=possible)
    second = (wanted * ratio).sum(1).mean()
    fourth = (wanted * ratio**3).sum(1).mean()
    return float(second), float(fourth), np.where(possible, 0.0, wanted).sum(1)
