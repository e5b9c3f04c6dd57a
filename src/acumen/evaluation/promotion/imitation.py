"""Whether an apprentice may serve yet: how often its imitation does what the default does.

An `acumen.learners.Apprentice` examines its imitation on every demonstration before it learns from
it, in blocks of 128 and more. The interval is Chernoff's, for the last whole block: so it is about
recent decisions; and since block k spends error · 6 / (π² k²), each of its ends holds in all blocks
at once, with a probability of at least 1 - error, however often one looks.

References:
    Chernoff, "A measure of asymptotic efficiency for tests of a hypothesis", 1952.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from acumen import _native
from acumen.core.choice import Choice
from acumen.evaluation.promotion.settings import spent

BISECTIONS = 50


@dataclass(frozen=True)
class Imitation:
    """How well an apprentice does what the default does.

    Attributes:
        agreement: share of the last whole block's demonstrations that it foresaw (of all so far,
            before there is one).
        low: lower end of its interval.
        high: upper end.
        demonstrations: in this block.
        wanted: the agreement that the learner was asked for.
        proven: that it agrees so often has been proven, in this block or an earlier one.
    """

    agreement: float
    low: float
    high: float
    demonstrations: int
    wanted: float
    proven: bool

    @property
    def kept(self) -> bool:
        """It was proven, and what came later does not disprove it."""
        return self.proven and self.high >= self.wanted

    def __str__(self) -> str:
        """One line for people."""
        if not self.demonstrations:
            return "has seen nothing yet of what the default does: it needs feedback, or a log"
        word = "proven" if self.proven else "not proven yet"
        if self.proven and not self.kept:
            word = "proven once, but no longer so"
        return (
            f"does what the default does in {self.agreement:.1%} of the last "
            f"{self.demonstrations:,} demonstrations ({self.low:.1%} … {self.high:.1%}); "
            f"{self.wanted:.0%} wanted: {word}"
        )


def imitation_of(choice: Choice) -> Imitation | None:
    """Of a choice's apprentice; None: there is none, or its imitation has no share (any more)."""
    learner = choice.learner
    if not isinstance(learner, _native.Apprentice):
        return None
    # Without a lesson it imitates nobody, but may still begin to.
    if learner.version and (not learner.imitates or learner.share >= 1.0):
        return None
    blocks, count, share = -1, 0, 0.0
    # It learns meanwhile: a block may end between two of these.
    while blocks != learner.examinations:
        blocks, count, share = learner.examinations, learner.examined, learner.agreement
    low, high = chernoff(share, count, spent(learner.error, max(blocks, 1)))
    proven = learner.imitates and learner.share > 0
    return Imitation(share, low, high, count, learner.wanted, proven)


def is_untaught(choice: Choice) -> bool:
    """Whether an apprentice would serve what has never been proven to be the default's way."""
    found = imitation_of(choice)
    return found is not None and not found.proven


def chernoff(share: float, n: int, alpha: float) -> tuple[float, float]:
    """An interval for a probability, each of whose ends is wrong with probability alpha at most.

    Args:
        share: of n independent trials that came out.
        n: trials; 0: nothing is known.
        alpha: in (0, 1).
    """
    if n == 0:
        return 0.0, 1.0
    reach = -math.log(alpha) / n

    def end(inside: float, outside: float) -> float:
        for _ in range(BISECTIONS):
            middle = (inside + outside) / 2
            if _divergence(share, middle) <= reach:
                inside = middle
            else:
                outside = middle
        return inside

    return end(share, 0.0), end(share, 1.0)


def _divergence(p: float, q: float) -> float:
    """Kullback and Leibler's, of two coins."""
    parts = ((p, q), (1 - p, 1 - q))
    if any(a > 0 and b <= 0 for a, b in parts):
        return math.inf
    return sum(a * math.log(a / b) for a, b in parts if a > 0)
