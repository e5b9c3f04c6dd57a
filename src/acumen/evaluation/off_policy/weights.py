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


def weigh(log: DecisionLog, target: Target) -> Weights:
    """The weights of `target` in all rows of `log`, which has at least one."""
    w = target.taken / log.propensity
    n = len(w)
    squares = w * w
    if log.logging is not None and target.matrix is not None:
        second, fourth, lost = _moments(target.matrix, log.logging)
    else:
        second, fourth, lost = _bounds(target.taken, log.propensity, squares)
    spread = float(squares.sum())
    kish = float(w.sum()) ** 2 / spread if spread > 0 else 0.0
    expected = n / second if second > 0 else np.inf
    return Weights(
        values=w,
        effective_sample_size=float(min(kish, expected)),
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


def _bounds(taken: Floats, propensity: Floats, squares: Floats) -> tuple[float, float, Floats]:
    rest, left = np.maximum(1.0 - taken, 0.0), 1.0 - propensity
    certain = left <= ROUNDING
    others = np.divide(rest**2, left, out=np.zeros_like(rest), where=~certain)
    second = max(float((taken * taken / propensity + others).mean()), 0.0)
    # The fourth moment has no such bound that is worth its name: that of the sample stands in.
    fourth = float((squares * squares).mean())
    scale = float(squares.mean())
    ratio = fourth / scale**2 if scale > 0 else 0.0
    return second, ratio * second**2, np.where(certain, rest, 0.0)
