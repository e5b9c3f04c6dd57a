"""What the holdback says: learned against default."""

from __future__ import annotations

import math
from dataclasses import dataclass

LOSS_Z_MAX = 3.0  # beyond it, a difference in lost decisions is no accident


@dataclass(frozen=True)
class Comparison:
    """Learned against default, from the random holdback; rewards, so more is better.

    The interval is anytime-valid: one may look at it after every decision. It counts decisions in
    the order in which they were made, up to the oldest that still waits for its feedback.

    Attributes:
        difference: mean reward of the learned policy minus that of the default.
        low: lower end of the interval, -inf before there are 30 decisions of each.
        high: upper end.
        confidence: of the interval, 0.95 for instance.
        learned_decisions: decisions with feedback in which the learned policy was in charge.
        default_decisions: those of the default's share.
        learned_mean: mean reward of the former.
        default_mean: mean reward of the latter.
        learned_lost: decisions without feedback in which the learned policy was in charge: timed
            out (and without a `timeout_reward`), or pushed out by younger ones.
        default_lost: those of the default's share.
    """

    difference: float
    low: float
    high: float
    confidence: float
    learned_decisions: int
    default_decisions: int
    learned_mean: float
    default_mean: float
    learned_lost: int = 0
    default_lost: int = 0

    @classmethod
    def from_native(
        cls,
        found: tuple[float, float, float, tuple[int, int, float], tuple[int, int, float]],
        confidence: float,
    ) -> Comparison:
        """What the native side answers: difference, its interval, and (seen, lost, mean) a side."""
        difference, low, high, default, learned = found
        return cls(
            difference=difference,
            low=low,
            high=high,
            confidence=confidence,
            learned_decisions=learned[0],
            default_decisions=default[0],
            learned_mean=learned[2],
            default_mean=default[2],
            learned_lost=learned[1],
            default_lost=default[1],
        )

    @property
    def loss_z(self) -> float:
        """Learned share of lost decisions minus the default's, in standard errors.

        The statistic of the pooled two-proportion z-test; 0 where either has no decisions.
        """
        learned = self.learned_decisions + self.learned_lost
        default = self.default_decisions + self.default_lost
        lost = self.learned_lost + self.default_lost
        if not (learned and default and 0 < lost < learned + default):
            return 0.0
        share = lost / (learned + default)
        error = math.sqrt(share * (1 - share) * (1 / learned + 1 / default))
        return (self.learned_lost / learned - self.default_lost / default) / error

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``undecided``, as far as the interval tells.

        Also ``undecided`` while one of the two loses significantly more decisions than the other
        (``abs(loss_z) > 3``): rewards that never arrive may be the worst, and the interval knows
        only those that do. A `timeout_reward` makes lost decisions count.
        """
        if abs(self.loss_z) > LOSS_Z_MAX:
            return "undecided"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "undecided"

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"learned is {self.verdict}: {self.difference:+.4g} "
            f"({self.confidence:.0%}: {self.low:+.4g} … {self.high:+.4g}), "
            f"{self.learned_decisions} learned and {self.default_decisions} default decisions, "
            f"{self.learned_lost} and {self.default_lost} lost"
        )
