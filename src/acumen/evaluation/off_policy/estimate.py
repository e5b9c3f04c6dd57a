"""What a policy would have earned, from the log of another; or why that cannot be said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen.evaluation.off_policy.doubly_robust import DoublyRobust
from acumen.evaluation.off_policy.estimator import Case, Estimator, Modelling, Scores, mean_scores
from acumen.evaluation.off_policy.intervals import Spread, spread_of
from acumen.evaluation.off_policy.log import ROUNDING, DecisionLog
from acumen.evaluation.off_policy.policies import Policy, Target, resolve, take
from acumen.evaluation.off_policy.weights import weigh

MISSING_Z_MAX = 3.0  # beyond it, a difference in missing rewards is no accident


@dataclass(frozen=True)
class Limits:
    """Below which sizes nothing is said. The defaults are where intervals were measured to hold.

    Attributes:
        effective_sample_size: of the weights; see `weights`.
        spread_size: of the weights: records that decide their variance.
        deviating_size: the same of the estimate itself: from a single click in a million views no
            interval can be right. A higher limit would not make answers better but worse: whether
            it is met depends on the rewards that happened to come, and so on how far the estimate
            is off.
        unsupported_mass: share of the policy's decisions that may go where the log has none.
        weight_confidence: of the interval of the mean weight, which has to hold 1; if it does not,
            propensities are wrong, or the log lacks arms that the policy wants.
    """

    effective_sample_size: float = 100.0
    spread_size: float = 50.0
    deviating_size: float = 2.0
    unsupported_mass: float = 0.01
    weight_confidence: float = 0.9999


@dataclass(frozen=True)
class Estimate:
    """The mean reward of a policy, as far as the log tells.

    Attributes:
        estimator: its name.
        value: the estimate; None where it is refused.
        standard_error: of the estimate; None where it is refused.
        low: lower end of the interval; None also where the estimator has none (`DirectMethod`).
        high: upper end.
        confidence: of the interval.
        records: rows that the estimate is made of, each with a reward.
        effective_sample_size: how many rows of the policy's own they are worth.
        spread_size: how many rows decide the variance of the weights.
        deviating_size: how many rows decide the standard error.
        max_weight: the largest weight.
        mean_weight: their mean; 1 is expected, less what the log lacks.
        unsupported: share of the rows in which the policy wants arms that the log could not take.
        missing: rows without a reward, left out.
        missing_z: by how many standard errors rewards are missing more often where the policy
            would go.
        duplicates: rows left out because their id had been met.
        excluded: rows left out because no coin decided there.
        refusal: why there is no estimate; empty where there is one.
    """

    estimator: str
    value: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    confidence: float
    records: int
    effective_sample_size: float
    spread_size: float
    deviating_size: float
    max_weight: float
    mean_weight: float
    unsupported: float
    missing: int
    missing_z: float
    duplicates: int
    excluded: int
    refusal: str = ""

    @property
    def verdict(self) -> str:
        """In words: the estimate with what to keep in mind, or why there is none."""
        if self.value is None:
            return self.refusal
        text = f"{self.value:.4g}"
        if self.low is not None and self.high is not None:
            text += f" ({self.confidence:.0%}: {self.low:.4g} … {self.high:.4g})"
        else:
            text += ", a reference only: the model's error is not known"
        text += f"; {self.records:,} records worth {self.effective_sample_size:,.0f}"
        if self.unsupported > 0:
            text += f"; in {self.unsupported:.1%} of them the policy wants arms that the log lacks"
        if abs(self.missing_z) > MISSING_Z_MAX:
            often = "more" if self.missing_z > 0 else "less"
            text += f"; caution: rewards are missing {often} often where the policy would go"
        return text

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the attributes and the verdict."""
        return {**asdict(self), "verdict": self.verdict}


def estimate(
    log: DecisionLog,
    policy: Policy,
    *,
    estimator: Estimator | None = None,
    confidence: float = 0.95,
    limits: Limits | None = None,
    modelling: Modelling | None = None,
) -> Estimate:
    """Estimates the mean reward of a policy from a log that another has written.

    Args:
        log: decisions with propensities and rewards.
        policy: see `resolve`.
        estimator: `IPS()`, `SNIPS()`, `DoublyRobust()` (the default), `Switch()` or
            `DirectMethod()`.
        confidence: of the interval, in (0, 1).
        limits: what is refused.
        modelling: how rewards are modelled, where the estimator does.

    Raises:
        PolicyError: the policy does not fit the log.
        LogError: no reward model can be taught from the log.
        ValueError: an impossible confidence.
    """
    chosen = [estimator or DoublyRobust()]
    return estimates(
        log, policy, chosen, confidence=confidence, limits=limits, modelling=modelling
    )[0]


def estimates(
    log: DecisionLog,
    policy: Policy,
    estimators: Sequence[Estimator],
    *,
    confidence: float = 0.95,
    limits: Limits | None = None,
    modelling: Modelling | None = None,
) -> list[Estimate]:
    """The same by several estimators, which share the reward model."""
    check_confidence(confidence)
    target = resolve(policy, log)
    answered = ~np.isnan(log.reward)
    judge = Judge(log, target, answered, confidence, limits or Limits())
    if not answered.any():
        return [judge.answer(estimator, None) for estimator in estimators]
    case = Case(log.take(answered), take(target, answered), modelling)
    return [judge.answer(estimator, case) for estimator in estimators]


def check_confidence(confidence: float) -> None:
    """ValueError for what is no confidence."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")


class Judge:
    """Says what a case amounts to, or refuses."""

    def __init__(
        self,
        log: DecisionLog,
        target: Target,
        answered: NDArray[np.bool_],
        confidence: float,
        limits: Limits,
    ) -> None:
        self.log, self.confidence, self.limits = log, confidence, limits
        self.missing = int((~answered).sum())
        # Support and propensities are the log's own, whether rewards came or not.
        self.weights = weigh(log, target) if len(log) else None
        self.missing_z = missing_z(target.taken / log.propensity, ~answered)

    def answer(self, estimator: Estimator, case: Case | None) -> Estimate:
        """The estimate; None: no record has a reward."""
        if case is None:
            return self._estimate(estimator.name, None, None, None, "not enough data: no rewards")
        refusal = self.refusal(case)
        if refusal:
            return self._estimate(estimator.name, case, None, None, refusal)
        scores = scores_of(estimator, case)
        spread = spread_of(scores.influence, self.confidence)
        return self._estimate(
            estimator.name, case, scores, spread, deviation_refusal(scores, spread, self.limits)
        )

    def refusal(self, case: Case) -> str:
        """Why the log cannot say anything of the policy, whatever the estimator; or nothing."""
        w, limits = case.weights, self.limits
        every = self.weights or w
        if every.unsupported_mass > limits.unsupported_mass:
            return (
                f"no support: {every.unsupported_mass:.1%} of the policy's decisions would take "
                "arms that the log could not"
            )
        if w.effective_sample_size < limits.effective_sample_size:
            return (
                f"not enough data: effective sample size {w.effective_sample_size:.0f} of the "
                f"{limits.effective_sample_size:.0f} needed"
            )
        if w.spread_size < limits.spread_size:
            return (
                f"not enough data: the weights rest on {w.spread_size:.0f} records of the "
                f"{limits.spread_size:.0f} needed"
            )
        spread = spread_of(every.values - every.mean, limits.weight_confidence)
        expected = 1.0 - every.unsupported_mass
        if not -spread.below - ROUNDING <= expected - every.mean <= spread.above + ROUNDING:
            return (
                f"the weights average {every.mean:.3g} instead of {expected:.3g}: propensities are "
                "wrong, or the log could not take arms that the policy wants"
            )
        return ""

    def _estimate(
        self, name: str, case: Case | None, scores: Scores | None, spread: Spread | None, no: str
    ) -> Estimate:
        told = scores is not None and spread is not None and not no
        value = error = low = high = None
        if told and scores is not None and spread is not None:
            value, error = scores.value, spread.standard_error
            if scores.unbiased:
                low = value - spread.below - scores.bias_max
                high = value + spread.above + scores.bias_max
        w = case.weights if case else None
        return Estimate(
            estimator=name,
            value=value,
            standard_error=error,
            low=low,
            high=high,
            confidence=self.confidence,
            records=len(case.log) if case else 0,
            effective_sample_size=w.effective_sample_size if w else 0.0,
            spread_size=w.spread_size if w else 0.0,
            deviating_size=spread.size if spread else 0.0,
            max_weight=w.largest if w else 0.0,
            mean_weight=w.mean if w else 0.0,
            unsupported=w.unsupported_records if w else 0.0,
            missing=self.missing,
            missing_z=self.missing_z,
            duplicates=self.log.duplicates,
            excluded=sum(self.log.excluded.values()),
            refusal=no,
        )


def scores_of(estimator: Estimator, case: Case) -> Scores:
    """The scores; of the logging policy itself those of the plain mean, which nothing betters."""
    return mean_scores(case.log.reward) if case.target.logged else estimator.scores(case)


def deviation_refusal(scores: Scores, spread: Spread, limits: Limits) -> str:
    """Why an interval of this spread would be worth nothing; or nothing."""
    if not scores.unbiased or spread.size >= limits.deviating_size:
        return ""
    if spread.size == 0.0:
        return "not enough data: the rewards do not vary, and what never came cannot be weighed"
    return (
        f"not enough data: {spread.size:.1f} records of the {limits.deviating_size:.0f} needed "
        "decide the standard error"
    )


def missing_z(weights: NDArray[np.float64], missing: NDArray[np.bool_]) -> float:
    """The weighted share of missing rewards minus the plain one, in standard errors."""
    n, total = len(weights), float(weights.sum())
    if not missing.any() or missing.all() or total <= 0:
        return 0.0
    share = missing.mean()
    difference = float((weights * missing).sum()) / total - share
    influence = (weights * n / total - 1.0) * (missing - share)
    error = math.sqrt(float((influence * influence).sum())) / n
    # Equal weights leave rounding errors only.
    return difference / error if error > 1e-12 else 0.0
