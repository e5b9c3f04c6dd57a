"""The doubly robust estimator.

The direct method, corrected by the weighted mean of what the model did not foresee:
Σ_a π(a|x) r̂(x, a) + w (r - r̂(x, a)). Unbiased where propensities are right, whatever the model
is, as long as r̂ has not seen r (see `reward_model`); and the better the model, the less the
weights matter.

References:
    Dudík, Langford & Li, "Doubly robust policy evaluation and learning", ICML 2011.
    Chernozhukov et al., "Double/debiased machine learning for treatment and structural
    parameters", Econometrics Journal 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

from acumen.evaluation.off_policy.estimator import Case, Scores, mean_scores


@dataclass(frozen=True)
class DoublyRobust:
    """The model's expectation plus w times its error."""

    name: str = "dr"

    def scores(self, case: Case) -> Scores:
        """See `Estimator`."""
        return mean_scores(case.modelled + case.weights.values * case.residuals)
