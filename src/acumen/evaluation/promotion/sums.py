"""Sums that confidence sequences are made of: those of processes add up, those of the past go off.

A mean that is looked at again and again needs an interval that holds at all looks at once. The one
used here is the asymptotic confidence sequence of the choice's own comparison (`confidence.hpp`),
over any stretch of decisions: what was counted before the stretch is taken away again.

References:
    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and
    asymptotic confidence sequences", Annals of Statistics 2024, eq. (14).
    Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1982.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen.core.comparison import Comparison

FIRST_LOOK = 30  # observations (of each kind) before any claim
TIGHTEST = 10_000  # the number of observations at which the interval is tightest


def radius(variance: float, n: float, alpha: float) -> float:
    """Half the width of an interval for a mean that holds at all n at once.

    Args:
        variance: of one observation.
        n: observations; below `FIRST_LOOK` the interval is infinite.
        alpha: probability that the mean is ever outside, in (0, 1).
    """
    if n < FIRST_LOOK:
        return math.inf
    log_alpha = -2 * math.log(alpha)
    rho2 = (log_alpha + math.log(log_alpha + 1)) / TIGHTEST
    scaled = n * rho2 + 1
    return math.sqrt(
        variance * 2 * scaled / (n * n * rho2) * (0.5 * math.log(scaled) - math.log(alpha))
    )


@dataclass(frozen=True)
class Moments:
    """Count, mean, and sum of squared differences from the mean."""

    n: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Moments:
        """Those of some numbers."""
        if len(values) == 0:
            return cls()
        mean = float(values.mean())
        return cls(float(len(values)), mean, float(((values - mean) ** 2).sum()))

    def __add__(self, other: Moments) -> Moments:
        """Both together."""
        n = self.n + other.n
        if n == 0:
            return Moments()
        shift = other.mean - self.mean
        mean = self.mean + shift * other.n / n
        return Moments(n, mean, self.squares + other.squares + shift**2 * self.n * other.n / n)

    def __sub__(self, earlier: Moments) -> Moments:
        """What has come since `earlier`, which is a part of it."""
        n = self.n - earlier.n
        if n <= 0:
            return Moments()
        mean = self.mean + (self.mean - earlier.mean) * earlier.n / n
        shift = (mean - earlier.mean) ** 2 * earlier.n * n / self.n
        return Moments(n, mean, max(self.squares - earlier.squares - shift, 0.0))

    @property
    def variance(self) -> float:
        """Of one observation."""
        return self.squares / self.n if self.n else 0.0

    def interval(self, alpha: float) -> tuple[float, float]:
        """Where the mean is, at all looks at once."""
        half = radius(self.variance, self.n, alpha)
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Tossed:
    """Learned against default, over decisions in which a coin decided between the two.

    Attributes:
        default: rewards of the default's decisions.
        learned: rewards of the learned policy's.
        difference: the unbiased estimates of learned minus default, one a decision.
        default_lost: decisions of the default whose reward will never be known.
        learned_lost: those of the learned policy.
        inflation: sum of 1/q + 1/(1-q), q being the probability of the learned policy.
    """

    default: Moments = field(default_factory=Moments)
    learned: Moments = field(default_factory=Moments)
    difference: Moments = field(default_factory=Moments)
    default_lost: float = 0.0
    learned_lost: float = 0.0
    inflation: float = 0.0

    @classmethod
    def native(cls, arrays: Mapping[str, Any]) -> Tossed:
        """What a choice's own comparison has summed up so far."""
        seen = [float(v) for v in arrays["holdback.counts"]]
        m = [float(v) for v in arrays["holdback.moments"]]
        return cls(
            default=Moments(seen[0], m[0], m[2]),
            learned=Moments(seen[1], m[1], m[3]),
            difference=Moments(seen[0] + seen[1], m[4], m[5]),
            default_lost=seen[2],
            learned_lost=seen[3],
            inflation=m[6],
        )

    @property
    def decisions(self) -> int:
        """Decisions, lost ones included."""
        return int(self.difference.n + self.default_lost + self.learned_lost)

    def contains(self, earlier: Tossed) -> bool:
        """Whether `earlier` can be a part of it."""
        return all(
            mine >= theirs
            for mine, theirs in (
                (self.default.n, earlier.default.n),
                (self.learned.n, earlier.learned.n),
                (self.default_lost, earlier.default_lost),
                (self.learned_lost, earlier.learned_lost),
            )
        )

    def __add__(self, other: Tossed) -> Tossed:
        """Both together."""
        return Tossed(
            self.default + other.default,
            self.learned + other.learned,
            self.difference + other.difference,
            self.default_lost + other.default_lost,
            self.learned_lost + other.learned_lost,
            self.inflation + other.inflation,
        )

    def __sub__(self, earlier: Tossed) -> Tossed:
        """What has come since `earlier`, which is a part of it."""
        return Tossed(
            self.default - earlier.default,
            self.learned - earlier.learned,
            self.difference - earlier.difference,
            max(self.default_lost - earlier.default_lost, 0.0),
            max(self.learned_lost - earlier.learned_lost, 0.0),
            max(self.inflation - earlier.inflation, 0.0),
        )

    def comparison(self, alpha: float) -> Comparison:
        """The comparison over these decisions; its interval holds at all looks at once."""
        n, half = self.difference.n, math.inf
        if min(self.default.n, self.learned.n) >= FIRST_LOOK:
            # Neither side is taken to vary less than the other: rare large rewards come late in
            # the smaller one.
            wilder = max(self.default.variance, self.learned.variance)
            half = radius(max(self.difference.squares, wilder * self.inflation) / n, n, alpha)
        return Comparison(
            difference=self.difference.mean,
            low=self.difference.mean - half,
            high=self.difference.mean + half,
            confidence=1 - alpha,
            learned_decisions=int(self.learned.n),
            default_decisions=int(self.default.n),
            learned_mean=self.learned.mean,
            default_mean=self.default.mean,
            learned_lost=int(self.learned_lost),
            default_lost=int(self.default_lost),
        )

    def numbers(self) -> list[float]:
        """As JSON has it; see `of_numbers`."""
        parts = (self.default, self.learned, self.difference)
        rest = [self.default_lost, self.learned_lost, self.inflation]
        return [float(v) for part in parts for v in astuple(part)] + rest

    @classmethod
    def of_numbers(cls, values: list[float]) -> Tossed:
        """What `numbers` has told.

        Raises:
            ValueError: they make no sense.
        """
        v = finite(values, 12)
        return cls(moments(v[:3]), moments(v[3:6]), moments(v[6:9]), *v[9:])


def moments(values: list[float]) -> Moments:
    """Count, mean and squares as JSON has them.

    Raises:
        ValueError: they make no sense.
    """
    n, mean, squares = finite(values, 3)
    if n < 0 or squares < 0:
        raise ValueError("counts and squares are not negative")
    return Moments(n, mean, squares)


def finite(values: list[float], count: int) -> list[float]:
    """ValueError unless there are so many, all of them finite numbers."""
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"{count} numbers are needed")
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        raise ValueError("a number is not finite")
    return [float(v) for v in values]
