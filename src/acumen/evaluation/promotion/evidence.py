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
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from acumen.core.choice import Choice
from acumen.evaluation.off_policy import (
    SNIPS,
    DecisionLog,
    Difference,
    Limits,
    LogError,
    PolicyError,
    compare,
    read_records,
)

if TYPE_CHECKING:
    import pyarrow as pa

    Log: TypeAlias = DecisionLog | pa.Table
    Evidence: TypeAlias = Log | Callable[[], Log]


@dataclass(frozen=True)
class Case:
    """A log, and the candidate in it."""

    log: DecisionLog
    candidate: Any

    @property
    def rows(self) -> int:
        """Decisions with a reward."""
        return int((~np.isnan(self.log.reward)).sum())


class EvidenceError(ValueError):
    """There is no log to judge from; the text says why."""


def gather(choice: Choice, evidence: Evidence | None, since: float) -> Case:
    """The log that is there now.

    Args:
        choice: the candidate is its learned policy.
        evidence: a log, or a function that fetches it; None: the choice's own journal.
        since: decisions of the journal before that do not count; seconds since 1970.

    Raises:
        EvidenceError: it is empty, or cannot be used.
    """
    timeout_reward: Any = choice._settings["timeout_reward"]
    try:
        if evidence is None:
            return _journaled(choice, since)
        log = evidence() if callable(evidence) else evidence
        if not isinstance(log, DecisionLog):
            arms = None if choice._arms.takes_candidates else len(choice.arms)
            log = read_records(log, choice.objective, arms=arms, timeout_reward=timeout_reward)
        if log.default is None:
            raise EvidenceError("the log does not tell what the default would have done")
    except EvidenceError:
        raise
    # Whatever is wrong with somebody's log or function, the gate stays closed and says so.
    except Exception as error:
        raise EvidenceError(f"{type(error).__name__}: {error}") from None
    return Case(log, choice)


def _journaled(choice: Choice, since: float) -> Case:
    import pyarrow as pa
    import pyarrow.compute as pc

    timeout_reward: Any = choice._settings["timeout_reward"]
    writer = choice.journal
    assert writer is not None
    table = writer.journal.decisions(choice.name)
    share = table["learned_share"].to_numpy()
    when = table["time"].cast(pa.int64()).to_numpy() / 1e6
    table = table.filter(pa.array((share > 0) & (when >= since)))
    if not len(table):
        raise EvidenceError(
            "no decision yet in which a coin took part; a shadow serves the default only, which "
            "says nothing of other arms: give probe= a small share, or evidence= a log"
        )
    most = pc.max(pc.max_element_wise(table["arm"], table["default_arm"])).as_py() + 1
    log = read_records(
        table,
        choice.objective,
        arms=max(most, 0 if choice._arms.takes_candidates else len(choice.arms)),
        timeout_reward=timeout_reward,
    )
    assert log.id is not None
    assert log.default is not None
    ids = table["id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    shares = table["learned_share"].to_numpy()[order[np.searchsorted(ids[order], log.id)]]
    shares = shares.astype(np.float64)
    by_default = np.where(log.arm == log.default, 1.0 - shares, 0.0)
    learned = np.clip((log.propensity - by_default) / shares, 0.0, 1.0)
    return Case(log, learned)


def judge(found: Case, alpha: float, limits: Limits | None) -> Difference:
    """Learned minus default, with a lower end that is too high with probability alpha.

    Raises:
        EvidenceError: the log does not fit the candidate.
    """
    as_it_was = isinstance(found.candidate, np.ndarray)
    try:
        return compare(
            found.log,
            found.candidate,
            "default",
            estimator=SNIPS() if as_it_was else None,
            confidence=1 - 2 * alpha,
            limits=limits,
        )
    except (PolicyError, LogError, ValueError) as error:
        raise EvidenceError(str(error)) from None
