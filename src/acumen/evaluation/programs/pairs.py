"""The default and a candidate, run beside each other again and again until it is clear.

Every round runs the default, the candidate, and the default once more, in an order that is drawn
afresh. The first two make a pair; the two runs of the default are the control (A/A): they differ
by noise alone, and show how much of it there is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from acumen.evaluation.programs.sequential import Bets, Estimate, estimate
from acumen.evaluation.statistics import median_interval

Outcome = Literal["better", "worse", "no_difference", "failed", "default_failed"]
# How often a whole comparison may call a candidate better (or worse) that is not: 1 in 100.
ERROR = 0.01
CONFIDENCE = 0.95
# A gain below this is not worth a search for more certainty.
GAIN_MIN = 0.005
ROUNDS_MAX = 400


class RunFailedError(Exception):
    """A run crashed, hung, broke a limit or gave a wrong output: it has no value."""


@dataclass
class Comparison:
    """Rounds so far, and what follows from them.

    Attributes:
        pairs: log ratios, default over candidate where less is better: positive is better.
        control: log ratios of the default over itself.
        values: what was measured: default, candidate, default again.
        outcome: None while it is open.
        problem: why a side failed.
        looked: the estimate when it was last made, which is now and then.
    """

    pairs: list[float] = field(default_factory=list)
    control: list[float] = field(default_factory=list)
    values: list[tuple[float, float, float]] = field(default_factory=list)
    outcome: Outcome | None = None
    problem: str | None = None
    looked: Estimate | None = None
    _bets: Bets = field(default_factory=Bets, repr=False)

    def add(self, default: float, candidate: float, again: float, sign: float) -> None:
        """Takes a round: what the default, the candidate and the default once more came to."""
        self.values.append((default, candidate, again))
        self.pairs.append(sign * (math.log(default) - math.log(candidate)))
        self.control.append(sign * (math.log(default) - math.log(again)))
        self._bets.add(self.pairs[-1])

    def settle(self, error: float) -> None:
        """Sets the outcome, if it can be told already."""
        middle = float(np.median(self.pairs))
        # Beside being certain, a difference has to stand out from what the control shows.
        if self._bets.better >= 1 / error:
            if middle > math.log(self.noise_floor):
                self.outcome = "better"
        elif self._bets.worse >= 1 / error and middle < 0:
            self.outcome = "worse"
        elif self.looked is None or len(self.pairs) >= 1.3 * self.looked.n:
            # An interval takes its time; a gain that is ruled out is ruled out a little later, too.
            self.looked = self.estimate
            # What is all below 1 will be called worse in a few pairs.
            if 1 <= self.looked.high < 1 + GAIN_MIN:
                self.outcome = "no_difference"

    @property
    def estimate(self) -> Estimate:
        """The ratio by which the candidate is better, with its interval."""
        return estimate(self.pairs, CONFIDENCE)

    @property
    def noise_floor(self) -> float:
        """How far from 1 the control's median may lie by noise alone, as a ratio above 1."""
        if not self.control:
            return 1.0
        _, low, high = median_interval(self.control)
        return math.exp(max(abs(low), abs(high)))


def compare(
    default: Callable[[], float],
    candidate: Callable[[], float],
    *,
    maximize: bool = False,
    rng: np.random.Generator,
    deadline: float = math.inf,
    rounds_max: int = ROUNDS_MAX,
    error: float = ERROR,
    told: Callable[[Comparison], None] = lambda comparison: None,
    into: Comparison | None = None,
) -> Comparison:
    """Runs rounds until better or worse is certain, until a gain is ruled out, or time is over.

    Args:
        default: runs the default once and answers a positive number.
        candidate: runs the candidate once.
        maximize: whether more is better.
        rng: draws the orders.
        deadline: when to stop at the latest, in seconds of `time.monotonic`.
        rounds_max: how many rounds at most.
        error: how often a candidate that is no better may be called better, over all looks.
        told: is called after each round.
        into: where rounds are put, so that they are not lost to an interruption.

    Returns:
        the comparison, its outcome set.
    """
    found = into if into is not None else Comparison()
    sign = -1.0 if maximize else 1.0
    sides = (default, candidate, default)
    while found.outcome is None:
        values = [0.0] * 3
        for side in rng.permutation(3):
            try:
                values[side] = _positive(sides[side]())
            except RunFailedError as failure:
                found.outcome = "failed" if side == 1 else "default_failed"
                found.problem = str(failure)
                return found
        found.add(values[0], values[1], values[2], sign)
        found.settle(error)
        told(found)
        if found.outcome is None and (
            time.monotonic() >= deadline or len(found.pairs) >= rounds_max
        ):
            found.outcome = "no_difference"
    return found


def _positive(value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise RunFailedError(f"measured {value:g}: only what is above 0 can be compared")
    return value


def noise(logs: Sequence[float]) -> float:
    """The spread of log ratios, as a standard deviation that outliers do not move.

    >>> round(noise([-0.1, 0.0, 0.1, 50.0]), 3)
    0.148
    """
    if not logs:
        return 0.0
    values = np.asarray(logs, float)
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
