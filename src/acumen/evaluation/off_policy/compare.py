"""Two policies on one log: their difference, decision by decision.

Where both would do the same, the difference is exactly 0 whatever the reward was, so that it is
known far better than either value. `promote` only on such a difference, never on two intervals.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from acumen.evaluation.off_policy.doubly_robust import DoublyRobust
from acumen.evaluation.off_policy.estimate import (
    Estimate,
    Judge,
    Limits,
    check_confidence,
    deviation_refusal,
    scores_of,
)
from acumen.evaluation.off_policy.estimator import Case, Estimator, Modelling, Scores
from acumen.evaluation.off_policy.intervals import spread_of
from acumen.evaluation.off_policy.log import DecisionLog
from acumen.evaluation.off_policy.policies import Policy, resolve, take


@dataclass(frozen=True)
class Difference:
    """What a candidate would have earned more than a baseline.

    Attributes:
        candidate: its estimate.
        baseline: that of the other.
        value: candidate minus baseline, mean reward; None where it is refused.
        standard_error: of the difference.
        low: lower end of the interval.
        high: upper end.
        confidence: of the interval.
        refusal: why there is no difference; empty where there is one.
    """

    candidate: Estimate
    baseline: Estimate
    value: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    confidence: float
    refusal: str = ""

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``undecided`` or ``refused``."""
        if self.low is None or self.high is None:
            return "refused"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "undecided"

    def __str__(self) -> str:
        """One line for people."""
        if self.low is None or self.high is None or self.value is None:
            return f"refused: {self.refusal}"
        return (
            f"{self.verdict}: {self.value:+.4g} "
            f"({self.confidence:.0%}: {self.low:+.4g} … {self.high:+.4g})"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        parts = {"candidate": self.candidate.as_dict(), "baseline": self.baseline.as_dict()}
        return {**asdict(self), **parts, "verdict": self.verdict}


def compare(
    log: DecisionLog,
    candidate: Policy,
    baseline: Policy = "logged",
    *,
    estimator: Estimator | None = None,
    confidence: float = 0.95,
    limits: Limits | None = None,
    modelling: Modelling | None = None,
) -> Difference:
    """How much more a candidate would have earned than a baseline, on the same decisions.

    Args:
        log: decisions with propensities and rewards.
        candidate: see `resolve`.
        baseline: the same; by default the policy that wrote the log.
        estimator: as in `estimate`.
        confidence: of the interval, in (0, 1).
        limits: what is refused.
        modelling: how rewards are modelled, where the estimator does.

    Raises:
        PolicyError, LogError, ValueError: as `estimate`.
    """
    check_confidence(confidence)
    estimator, limits = estimator or DoublyRobust(), limits or Limits()
    answered = ~np.isnan(log.reward)
    targets = [resolve(candidate, log), resolve(baseline, log)]
    judges = [Judge(log, target, answered, confidence, limits) for target in targets]
    if not answered.any():
        answers = [judge.answer(estimator, None) for judge in judges]
        return _refused(answers, confidence)
    rows = log.take(answered)
    cases = [Case(rows, take(targets[0], answered), modelling)]
    answers = [judges[0].answer(estimator, cases[0])]
    # The model of the rewards is the same for both, if there is one.
    known = cases[0].__dict__.get("predictions")
    cases.append(Case(rows, take(targets[1], answered), modelling, known))
    answers.append(judges[1].answer(estimator, cases[1]))
    if any(judge.refusal(case) for judge, case in zip(judges, cases, strict=True)):
        return _refused(answers, confidence)
    scores = _difference(*(scores_of(estimator, case) for case in cases))
    spread = spread_of(scores.influence, confidence)
    refusal = deviation_refusal(scores, spread, limits)
    if not scores.unbiased:
        refusal = f"{estimator.name} knows no interval"
    told = not refusal
    return Difference(
        candidate=answers[0],
        baseline=answers[1],
        value=scores.value if told else None,
        standard_error=spread.standard_error if told else None,
        low=scores.value - spread.below - scores.bias_max if told else None,
        high=scores.value + spread.above + scores.bias_max if told else None,
        confidence=confidence,
        refusal=refusal,
    )


def _difference(mine: Scores, other: Scores) -> Scores:
    return Scores(
        mine.value - other.value,
        mine.influence - other.influence,
        mine.bias_max + other.bias_max,
        mine.unbiased and other.unbiased,
    )


def _refused(answers: list[Estimate], confidence: float) -> Difference:
    names = ("candidate", "baseline")
    reasons = [f"{n}: {a.refusal}" for n, a in zip(names, answers, strict=True) if a.refusal]
    return Difference(
        answers[0], answers[1], None, None, None, None, confidence, "; ".join(reasons)
    )
