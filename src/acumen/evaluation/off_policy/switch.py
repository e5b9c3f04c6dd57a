"""SWITCH: doubly robust where weights are moderate, the model alone where they are not.

With a threshold t on the weights: Σ_a π(a|x) r̂(x, a) + w (r - r̂(x, a)) [w <= t]. The threshold
minimises an estimate of the mean squared error: the sample variance of the estimate, plus the
square of the most that the model can be off by where it is believed alone, R · E_π[w > t], R being
the range of the rewards. Infinity, which is the doubly robust estimator, is among the thresholds.

The bound needs the weights of all arms, so that the whole distribution of the logging policy must
be known (`DecisionLog.logging`). Of the taken arms alone one has only mean(w [w > t]), and with
this in its place the rule never switches: a single record of weight w adds at most R²w²/n² to the
variance, and that very R²w²/n² to the squared bound. The estimate is then the doubly robust one.

References:
    Wang, Agarwal & Dudík, "Optimal and adaptive off-policy evaluation in contextual bandits",
    ICML 2017.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from acumen.evaluation.off_policy.estimator import Case, Floats, Scores, mean_scores

THRESHOLDS = 24


@dataclass(frozen=True)
class Switch:
    """SWITCH-DR with the threshold of its authors' rule.

    Args:
        threshold: None: chosen from the log; else this one.
    """

    threshold: float | None = None
    name: str = "switch"

    def scores(self, case: Case) -> Scores:
        """See `Estimator`."""
        if self.threshold is not None:
            return _scores(case, self.threshold)
        if case.log.logging is None:
            return _scores(case, np.inf)
        options = [_scores(case, float(t)) for t in (*thresholds(case.weights.values), np.inf)]
        return min(options, key=lambda s: float(s.influence.var()) / len(case.log) + s.bias_max**2)


def thresholds(weights: Floats) -> Floats:
    """Geometrically spaced, from the 5 % quantile of the positive weights to the largest."""
    positive = weights[weights > 0]
    if not len(positive):
        return positive
    low, high = float(np.quantile(positive, 0.05)), float(positive.max())
    return np.geomspace(low, high, THRESHOLDS) if low < high else np.array([low])


def _scores(case: Case, threshold: float) -> Scores:
    w = case.weights.values
    kept = np.where(w <= threshold, w, 0.0)
    scores = mean_scores(case.modelled + kept * case.residuals)
    return replace(scores, bias_max=_bias_max(case, threshold))


def _bias_max(case: Case, threshold: float) -> float:
    if np.isinf(threshold):
        return 0.0
    reward, w, logging = case.log.reward, case.weights.values, case.log.logging
    extent = float(reward.max() - reward.min())
    if logging is None:
        return extent * float(np.where(w > threshold, w, 0.0).mean())
    # Where the log never takes an arm, its weight is infinite.
    beyond = case.matrix > threshold * logging
    return extent * float(np.where(beyond, case.matrix, 0.0).sum(1).mean())
