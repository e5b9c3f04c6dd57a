"""What the log says of a candidate before anybody is served by it: one off-policy look.

From the choice's own journal the candidate is judged *as it was* at each decision: the engine draws
from p = s·learned + (1 - s)·[default], and p and s are on record, so that the learned policy's
probability of the arm follows. It had not learned from that decision yet, so the estimate is one
of progressive validation, and is not flattered by what the model has seen of its own test. A log
that is handed in judges the candidate as it is now; it has to be one that it did not learn from.

References:
    Blum, Kalai & Langford, "Beating the hold-out: bounds for k-fold and progressive
    cross-validation", COLT 1999. Swaminathan & Joachims, "The self-normalized estimator for
    counterfactual learning", NIPS 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from acumen.core.choice import Choice
from acumen.evaluation.off_policy import (
    DecisionLog,
    Difference,
    Limits,
    LogError,
    PolicyError,
    compare,
    read_records,
)
from acumen.evaluation.promotion.pooled import Pooled

if TYPE_CHECKING:
    import pyarrow as pa

    from acumen.evaluation.promotion.journal_evidence import JournalEvidence

    Log: TypeAlias = DecisionLog | pa.Table
    Evidence: TypeAlias = Log | Callable[[], Log]

READ_SECONDS = 1.0  # a step reads no longer; others wait for it


@dataclass(frozen=True)
class Case:
    """A log that was handed in, and the candidate as it is now."""

    log: DecisionLog
    candidate: Choice

    @property
    def rows(self) -> int:
        """Decisions with a reward."""
        return int((~np.isnan(self.log.reward)).sum())

    def compare(self, confidence: float, limits: Limits | None = None) -> Difference:
        """Learned minus default."""
        return compare(self.log, self.candidate, "default", confidence=confidence, limits=limits)


class Found(Protocol):
    """What there is to judge from: a `Case`, or what was `Pooled` from the journal."""

    @property
    def rows(self) -> int:
        """Decisions with a reward."""
        ...

    def compare(self, confidence: float, limits: Limits | None = None) -> Difference:
        """Learned minus default."""
        ...


class EvidenceError(ValueError):
    """There is no log to judge from; the text says why."""


class Gatherer:
    """Fetches what there is to judge from.

    Args:
        choice: the candidate is its learned policy.
        evidence: a log, or a function that fetches it; None: the choice's own journal.
    """

    def __init__(self, choice: Choice, evidence: Evidence | None) -> None:
        self._choice, self._evidence = choice, evidence
        self._journal: JournalEvidence | None = None
        self._problem = ""

    def start_anew(self) -> None:
        """Forgets what was read of the journal, which will be read again."""
        self._journal, self._problem = None, ""

    def gather(self, since: float) -> Found:
        """What is there now; of a journal, what could be read of it so far.

        Args:
            since: decisions of the journal before that do not count; seconds since 1970.

        Raises:
            EvidenceError: it is empty, or cannot be used.
        """
        try:
            return self._journaled(since) if self._evidence is None else self._given()
        except EvidenceError:
            raise
        # Whatever is wrong with somebody's log or function, the gate stays closed and says so.
        except Exception as error:
            self._problem = f"{type(error).__name__}: {error}"
            raise EvidenceError(self._problem) from None

    def _given(self) -> Case:
        choice, log = self._choice, self._evidence
        log = log() if callable(log) else log
        if not isinstance(log, DecisionLog):
            assert log is not None
            timeout_reward: Any = choice._settings["timeout_reward"]
            arms = None if choice._arms.takes_candidates else len(choice.arms)
            log = read_records(log, choice.objective, arms=arms, timeout_reward=timeout_reward)
        if log.default is None:
            raise EvidenceError("the log does not tell what the default would have done")
        return Case(log, choice)

    def _journaled(self, since: float) -> Pooled:
        from acumen.evaluation.promotion.journal_evidence import JournalEvidence

        if self._journal is None or self._journal.since != since:
            self.start_anew()
            self._journal = JournalEvidence(self._choice, since)
        if self._problem:
            raise EvidenceError(self._problem)  # it does not pass: what was read, was read
        self._journal.read(READ_SECONDS)
        found = self._journal.now()
        if not len(found):
            raise EvidenceError(
                "no decision yet in which a coin took part; a shadow serves the default only, "
                "which says nothing of other arms: give probe= a small share, or evidence= a log"
            )
        return found


def judge(found: Found, alpha: float, limits: Limits | None) -> Difference:
    """Learned minus default, with a lower end that is too high with probability alpha.

    Raises:
        EvidenceError: the log does not fit the candidate.
    """
    try:
        return found.compare(1 - 2 * alpha, limits)
    except (PolicyError, LogError, ValueError) as error:
        raise EvidenceError(str(error)) from None
