"""The direct method: believe the reward model.

The mean of what a model of the rewards expects of the policy. Its variance is the least of all,
and its bias is whatever the model's is: no interval from the same log tells how far it is off. It
stands in tables as a reference, without one.

References:
    Dudík, Langford & Li, "Doubly robust policy evaluation and learning", ICML 2011.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from acumen.evaluation.off_policy.estimator import Case, Scores, mean_scores


@dataclass(frozen=True)
class DirectMethod:
    """The mean of the rewards that the model expects."""

    name: str = "direct"

    def scores(self, case: Case) -> Scores:
        """See `Estimator`."""
        return replace(mean_scores(case.modelled), unbiased=False)
