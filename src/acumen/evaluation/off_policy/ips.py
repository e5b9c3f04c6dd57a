"""Inverse propensity scoring.

Each reward counts as many times as the policy would take the arm more often than the log did:
the mean of w·r, w = π(a|x) / p. Unbiased whatever the rewards are; its variance grows with the
weights, and with the rewards' distance from 0.

>>> from acumen.evaluation.off_policy import IPS, DecisionLog, estimate
>>> log = DecisionLog.of(arm=[0, 1] * 500, propensity=[0.5] * 1000, reward=[1, 0] * 500)
>>> round(estimate(log, 0, estimator=IPS()).value, 6)
1.0

References:
    Horvitz & Thompson, "A generalization of sampling without replacement from a finite universe",
    JASA 1952.
"""

from __future__ import annotations

from dataclasses import dataclass

from acumen.evaluation.off_policy.estimator import Case, Scores, mean_scores


@dataclass(frozen=True)
class IPS:
    """The mean of w·r."""

    name: str = "ips"

    def scores(self, case: Case) -> Scores:
        """See `Estimator`."""
        return mean_scores(case.weights.values * case.log.reward)
