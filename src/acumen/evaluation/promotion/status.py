"""Where a gate stands, and why it is not further yet, in words."""

from __future__ import annotations

import time
from dataclasses import dataclass

from acumen.core.comparison import Comparison
from acumen.evaluation.promotion.store import Transition


@dataclass(frozen=True)
class GuardrailStatus:
    """A metric with a limit, over the learned policy's decisions in this stage.

    Attributes:
        metric: its name.
        limit: as it was given, ``<= 0.01`` for instance.
        decisions: of the learned policy, with this metric.
        mean: of the metric.
        low: lower end of an interval that holds at all looks at once.
        high: upper end.
        broken: the interval lies beyond the limit.
        kept: the mean does not.
    """

    metric: str
    limit: str
    decisions: int
    mean: float
    low: float
    high: float
    broken: bool
    kept: bool

    def __str__(self) -> str:
        """One line for people."""
        word = "broken" if self.broken else "kept" if self.kept else "not kept on average"
        if not self.decisions:
            return f"{self.metric} {self.limit}: nothing yet"
        return (
            f"{self.metric} {self.limit}: {word}, {self.mean:.4g} "
            f"({self.low:.4g} … {self.high:.4g}) in {self.decisions} decisions"
        )


@dataclass(frozen=True)
class PromotionStatus:
    """Where a gate stands.

    Attributes:
        choice: the choice's name.
        stage: ``shadow``, ``canary 10%``, ``on``.
        stages: all of them, in order.
        mode: of the choice, as it is now.
        attempt: from 1; another one begins with every rollback.
        since: when this stage began, in seconds since 1970.
        waiting: why it is not further; empty where there is no further.
        estimate: what the last off-policy look said; empty if there was none.
        comparison: the holdback's, over the decisions of this stage (and of all processes).
        guardrails: one a metric.
        transitions: the last ones, oldest first.
        imitation: how well an apprentice does what the default does; empty if there is none.
        problem: what cannot be read or written, in words; empty if nothing is wrong.
    """

    choice: str
    stage: str
    stages: tuple[str, ...]
    mode: str
    attempt: int
    since: float
    waiting: str
    estimate: str
    comparison: Comparison
    guardrails: tuple[GuardrailStatus, ...]
    transitions: tuple[Transition, ...]
    imitation: str = ""
    problem: str = ""

    @property
    def promoted(self) -> bool:
        """Whether it has come to the end."""
        return self.stage == self.stages[-1]

    def __str__(self) -> str:
        """A few lines for people."""
        path = " → ".join(f"[{s}]" if s == self.stage else s for s in self.stages)
        lines = [f"{self.choice}: {path}, attempt {self.attempt}, mode {self.mode}"]
        if self.waiting:
            lines.append(f"  waiting: {self.waiting}")
        if self.estimate:
            lines.append(f"  estimate: {self.estimate}")
        if self.comparison.learned_decisions + self.comparison.default_decisions:
            lines.append(f"  in this stage: {self.comparison}")
        if self.imitation:
            lines.append(f"  apprentice: {self.imitation}")
        lines += [f"  guardrail: {guardrail}" for guardrail in self.guardrails]
        for step in self.transitions[-3:]:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(step.time))
            lines.append(f"  {when} UTC  {step.before} → {step.after}: {step.why}")
        if self.problem:
            lines.append(f"  problem: {self.problem}")
        return "\n".join(lines)
