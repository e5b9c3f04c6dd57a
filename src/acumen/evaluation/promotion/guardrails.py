"""Guardrails: metrics with limits, watched over the learned policy's decisions.

An alarm is a confidence sequence that lies beyond the limit, so that looking often does no harm.
Decisions count in the order in which they were made, up to the oldest that still waits, as in the
holdback's comparison: were they counted as feedback arrives, what takes long would count late.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from acumen import _native
from acumen.core.choice import STATES, Choice
from acumen.core.objective import Objective, Term
from acumen.evaluation.promotion.status import GuardrailStatus
from acumen.evaluation.promotion.sums import FIRST_LOOK, Moments

LARGEST = 1e100  # squares of it still have a place
_LEARNED = _native.REASONS.index("learned")
_WAITING, _DONE = STATES.index("waiting"), STATES.index("done")


def limits_of(guardrails: Iterable[Objective], choice: Choice) -> tuple[Term, ...]:
    """The limits that objectives like `at_most("errors", 0.01)` consist of.

    Raises:
        TypeError: something else than objectives.
        ValueError: no limit, one metric twice, or a metric that the choice does not record.
    """
    terms: list[Term] = []
    for objective in guardrails:
        if not isinstance(objective, Objective):
            raise TypeError(f"a guardrail is at_most(...) or at_least(...), not {objective!r}")
        for term in objective.terms:
            if np.isinf(term.upper) and np.isinf(term.lower):
                raise ValueError(f"{term.metric!r} has no limit: say at_most or at_least")
            if term.metric not in choice.objective.metrics:
                raise ValueError(
                    f"the choice does not record {term.metric!r}: add observe({term.metric!r}) "
                    "to its metric"
                )
            terms.append(term)
    if len({t.metric for t in terms}) != len(terms):
        raise ValueError("a metric has one guardrail: add at_most and at_least up")
    return tuple(terms)


class Watch:
    """Takes every decision of the learned policy once, out of the choice's ring.

    Attributes:
        missed: decisions that were overwritten before anybody looked.
    """

    def __init__(self, choice: Choice, metrics: tuple[str, ...]) -> None:
        self._choice = choice
        self._columns = {name: choice.objective.metrics.index(name) for name in metrics}
        self._next = 0  # number of the next decision
        self.missed = 0
        self.start_anew()

    @property
    def problem(self) -> str:
        """What was missed, in words; empty if nothing was."""
        if not self.missed:
            return ""
        return (
            f"{self.missed} decisions were overwritten before guardrails saw them: step more "
            "often, or give the choice a larger pending_max"
        )

    def start_anew(self) -> None:
        """What was decided so far does not count."""
        numbers = self._choice._records()["number"]
        self._next = int(numbers[-1]) + 1 if len(numbers) else 1

    def news(self) -> dict[str, Moments]:
        """What has come since the last call, metric by metric."""
        if not self._columns:
            return {}
        records = self._choice._records(after=self._next - 1)
        numbers, state = records["number"], records["state"]
        learned = records["reason"] == _LEARNED
        waiting = np.flatnonzero(learned & (state == _WAITING))
        count = int(waiting[0]) if len(waiting) else len(numbers)
        if count == 0:
            return {}
        self.missed += int(numbers[0]) - self._next
        self._next = int(numbers[count - 1]) + 1
        done = (learned & (state == _DONE))[:count]
        values = records["metrics"].reshape(len(numbers), -1)[:count][done]
        columns = {n: np.clip(values[:, i], -LARGEST, LARGEST) for n, i in self._columns.items()}
        return {name: Moments.of(v[np.isfinite(v)]) for name, v in columns.items()}


def status_of(term: Term, seen: Moments, alpha: float) -> GuardrailStatus:
    """What is known of one guardrail; alpha: probability of a false alarm, ever."""
    low, high = seen.interval(alpha)
    limits = [f"<= {term.upper:g}"] if np.isfinite(term.upper) else []
    limits += [f">= {term.lower:g}"] if np.isfinite(term.lower) else []
    return GuardrailStatus(
        metric=term.metric,
        limit=" and ".join(limits),
        decisions=int(seen.n),
        mean=seen.mean,
        low=low,
        high=high,
        broken=seen.n >= FIRST_LOOK and (low > term.upper or high < term.lower),
        kept=seen.n == 0 or term.lower <= seen.mean <= term.upper,
    )
