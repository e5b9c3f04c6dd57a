"""What may be said about a candidate, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from acumen.evaluation.programs.pairs import GAIN_MIN, Comparison
from acumen.evaluation.programs.sequential import Estimate

Kind = Literal["better", "no_difference", "failed"]
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Verdict:
    """The end of a tuning.

    Attributes:
        kind: ``better``, ``no_difference`` or ``failed``.
        ratio: by how much the candidate is better, the median of fresh pairs; None: none were run.
        low: lower end of its 95 % interval; None while there is none.
        high: upper end.
        n: fresh pairs.
        noise_floor: how far from 1 the default's ratio to itself lies by noise alone.
        words: one sentence.
        comparison: the rounds behind it.
    """

    kind: Kind
    words: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    noise_floor: float | None = None
    comparison: Comparison = field(default_factory=Comparison, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "verdict": self.kind,
            "ratio": self.ratio,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "noise_floor": self.noise_floor,
            "words": self.words,
        }


def judge(found: Comparison, metric: str, maximize: bool, matter: Sequence[str]) -> Verdict:
    """The verdict on a candidate after its fresh comparison with the default.

    Args:
        found: the comparison.
        metric: what was measured.
        maximize: whether more of it is better.
        matter: the flags that are left after minimising.
    """
    if found.outcome == "default_failed":
        return failed(f"the default failed while it was compared: {found.problem}")
    if not found.pairs:
        return Verdict(
            "no_difference", f"nothing can be said: {found.problem or 'no pair was run'}"
        )
    guess = found.estimate
    numbers = {
        "ratio": guess.ratio,
        "low": guess.low if guess.low > 0 else None,
        "high": guess.high if math.isfinite(guess.high) else None,
        "n": guess.n,
        "noise_floor": found.noise_floor,
        "comparison": found,
    }
    if found.outcome == "better":
        words = f"{_more(metric, maximize)} by {guess.ratio:{_digits(guess.ratio)}}× "
        words += f"{shown_interval(guess)}, n = {guess.n}; {counted(matter)}"
        return Verdict("better", words, **numbers)  # type: ignore[arg-type]
    words = "no setting is better than the default beyond the noise"
    if found.outcome == "failed":
        words += f": the best one failed when it was run again ({found.problem})"
    elif found.outcome == "worse":
        words += f": the best one is worse, ratio {guess.ratio:.3g} {shown_interval(guess)}"
    else:
        words += f": the best one has ratio {guess.ratio:.3f} {shown_interval(guess)}"
    words += f", n = {guess.n}"
    if found.outcome != "failed" and guess.high > 1 + GAIN_MIN:
        words += "; a gain is neither certain nor ruled out: more budget may tell"
    return Verdict("no_difference", words, **numbers)  # type: ignore[arg-type]


def failed(why: str) -> Verdict:
    """Nothing could be compared."""
    return Verdict("failed", why)


def shown_interval(guess: Estimate) -> str:
    """The 95 % interval in words."""
    if guess.low <= 0 or math.isinf(guess.high):
        return "(too few pairs for an interval)"
    digits = _digits(guess.ratio)
    return f"(95 %: {guess.low:{digits}}–{guess.high:{digits}})"


def counted(matter: Sequence[str]) -> str:
    """How many flags matter, in words."""
    count = _NUMBERS[len(matter)] if len(matter) < len(_NUMBERS) else str(len(matter))
    return f"{count} flag matters" if len(matter) == 1 else f"{count} flags matter"


def _digits(ratio: float) -> str:
    """Two digits behind the point, more where the difference is small."""
    return ".2f" if abs(ratio - 1) >= 0.05 else ".3f" if abs(ratio - 1) >= 0.005 else ".4f"


def _more(metric: str, maximize: bool) -> str:
    if metric == "time":
        return "faster"
    return f"{'more' if maximize else 'less'} {metric}"
