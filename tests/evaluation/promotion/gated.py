"""What the tests of gates share: two arms, and a life in which one of them is better."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

import acumen
from acumen.evaluation.off_policy import DecisionLog
from acumen.learners import EpsilonGreedy


def make(journal: Any = None, **changes: Any) -> acumen.Choice:
    """A choice whose default is arm 0."""
    arguments: dict[str, Any] = {
        "name": "codec",
        "arms": ["a", "b"],
        "context": {"x": float},
        "default": "a",
        "metric": acumen.maximize("gain") + acumen.observe("errors"),
        "learner": EpsilonGreedy(epsilon=0.2, decay=0.0),
        "mode": "shadow",
        "holdback": 0.1,
        "pending_max": 16_384,
        "seed": 1,
        "journal": journal,
    }
    return acumen.Choice(**(arguments | changes))


def gate_of(choice: acumen.Choice, **changes: Any) -> acumen.Promotion:
    """A gate that looks at once."""
    arguments: dict[str, Any] = {"canary": (0.1, 0.5), "look_seconds": 0.0, "cooldown": 3600.0}
    if choice.journal is None:
        arguments["evidence"] = nothing
    return acumen.Promotion(choice, **(arguments | changes))


def nothing() -> DecisionLog:
    """A log in which nothing stands."""
    return DecisionLog.of(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


def live(
    choice: acumen.Choice,
    rng: np.random.Generator,
    decisions: int,
    gap: float,
    errors: float = 0.0,
) -> None:
    """Decisions with feedback at once; arm b brings `gap` more, and fails with this probability."""
    made = choice.choose_many(rng.standard_normal((decisions, 1)))
    b = made.indices == 1
    gain = rng.standard_normal(decisions) + gap * b
    failed = (rng.random(decisions) < errors * b).astype(np.float64)
    choice.feedback_many(made.ids, gain=gain, errors=failed)
    if choice.journal is not None:
        assert choice.journal.flush()


def go_to(gate: acumen.Promotion, stage: int) -> None:
    """Lifts a gate to a stage, whatever the evidence."""
    gate._move(stage, "for a test")


def upper_bound(count: int, n: int, confidence: float = 0.99) -> float:
    """Clopper & Pearson's upper end for a probability, by bisection."""
    low, high = count / n, 1.0
    for _ in range(60):
        p = (low + high) / 2
        tail = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(count + 1))
        low, high = (p, high) if tail > 1 - confidence else (low, p)
    return high


def modes_in(path: Path) -> list[dict[str, Any]]:
    """Mode events of a journal, as dicts."""
    import json

    rows = [row for batch in acumen.Journal(path).scan() for row in batch.to_pylist()]
    return [json.loads(row["text"]) for row in rows if row["kind"] == "mode"]
