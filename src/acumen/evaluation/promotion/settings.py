"""What a gate asks for: its stages, and what each test may spend.

Error      Upwards a candidate goes only when an interval says that it is better than the default
           (or worse by less than `margin`). That any of these steps is ever wrong has a
           probability of at most `error`, over the gate's whole life: attempt j has
           error · 6 / (π² j²), its stages share that equally, looks at the log within the first
           stage share theirs in the same way, and looks at the holdback cost nothing, since its
           interval holds at all times at once. To be on by mistake is rarer still: every stage
           has to be wrong, each on decisions of its own.
Alarms     `alarm` is the probability that an attempt is ended although nothing is wrong. Stages,
           guardrails and, once it is on, stretches of `window` decisions share it.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from acumen.core.choice import Choice
from acumen.core.objective import Term
from acumen.evaluation.off_policy import Limits
from acumen.evaluation.promotion.sums import FIRST_LOOK

COOLDOWN_DOUBLINGS_MAX = 6


@dataclass(frozen=True)
class Settings:
    """See `Promotion` for what they are."""

    terms: tuple[Term, ...]
    canary: tuple[float, ...]
    probe: float
    margin: float
    error: float
    alarm: float
    decisions: int
    cooldown: float
    window: int
    look_seconds: float
    limits: Limits | None

    def __post_init__(self) -> None:
        shares = [0.0, *self.canary, 1.0]
        if len(shares) < 3 or any(not a < b for a, b in itertools.pairwise(shares)):
            raise ValueError(
                f"canary must be increasing shares between 0 and 1, not {self.canary!r}"
            )
        bounds = {
            "probe": (0.0, shares[1]),
            "margin": (0.0, 1e300),
            "error": (1e-9, 0.5),
            "alarm": (1e-9, 0.5),
            "decisions": (FIRST_LOOK, 1e12),
            "cooldown": (0.0, 1e9),
            "window": (2 * FIRST_LOOK, 1e15),
            "look_seconds": (0.0, 1e9),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be between {low:g} and {high:g}, not {value!r}")

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return ("shadow", *(f"canary {share:.4g}" for share in self.canary), "on")

    def mode(self, stage: int, cooling: bool) -> tuple[str, float]:
        """The choice's mode in a stage, and the learned share there."""
        if stage == 0:
            return ("canary", self.probe) if self.probe and not cooling else ("shadow", 0.0)
        if stage > len(self.canary):
            return ("on", 1.0)
        return ("canary", self.canary[stage - 1])

    def step_error(self, attempt: int) -> float:
        """What one step up may spend."""
        return spent(self.error, attempt) / (1 + len(self.canary))

    def look_error(self, attempt: int, look: int) -> float:
        """What one look at the log may spend."""
        return spent(self.step_error(attempt), look)

    def alarm_error(self, window: int) -> float:
        """What one alarm may spend."""
        tests = (2 + len(self.canary)) * (1 + len(self.terms))
        return spent(self.alarm / tests, window)

    def cooldown_after(self, rollbacks: int) -> float:
        """Seconds until the next attempt."""
        return self.cooldown * float(2 ** min(rollbacks - 1, COOLDOWN_DOUBLINGS_MAX))

    def plan(self, choice: Choice) -> str:
        """What evidence was gathered for: it counts only under the same."""
        said: dict[str, Any] = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in _INCIDENTAL
        }
        said["terms"] = [vars(term) for term in self.terms]
        return json.dumps(said | {"objective": choice.objective.describe()}, sort_keys=True)


_INCIDENTAL = {"cooldown", "look_seconds", "limits"}


def spent(total: float, turn: int) -> float:
    """What turn 1, 2, 3 … may spend of a total that has to last for ever."""
    return total * 6 / (math.pi * turn) ** 2


def shares_of(canary: Sequence[float]) -> tuple[float, ...]:
    """As floats."""
    return tuple(float(share) for share in canary)
