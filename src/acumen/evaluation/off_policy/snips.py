"""Self-normalised inverse propensity scoring.

Σ w·r / Σ w: a mean of rewards, so it stays among them, does not change when a constant is added to
all, and profits where the weights happen to be large or small together. Its bias vanishes with
1/n. The spread is that of the jackknife: without record i the estimate would differ by
w_i (r_i - estimate) / (Σ w - w_i), more than linearisation tells where one weight is large.

References:
    Swaminathan & Joachims, "The self-normalized estimator for counterfactual learning", NIPS 2015.
    Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", SIAM 1982.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acumen.evaluation.off_policy.estimator import Case, Scores


@dataclass(frozen=True)
class SNIPS:
    """Σ w·r / Σ w."""

    name: str = "snips"

    def scores(self, case: Case) -> Scores:
        """See `Estimator`."""
        w, reward = case.weights.values, case.log.reward
        total = float(w.sum())
        if total <= 0.0:
            return Scores(float("nan"), np.zeros(len(w)), unbiased=False)
        value = float((w * reward).sum()) / total
        # A weight that is all there is leaves nothing to compare with: so few are refused anyway.
        rest = np.maximum(total - w, 1e-12 * total)
        return Scores(value, (len(w) - 1) * w * (reward - value) / rest)
