"""What the tests of the page share: real choices that write a real journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import acumen
from acumen.core.journal_format import KIND_CODES


def make(directory: Path, name: str = "codec", **changes: Any) -> acumen.Choice:
    arguments: dict[str, Any] = {
        "arms": ["none", "lz4", "zstd"],
        "context": {"size": float, "kind": str},
        "default": "zstd",
        "metric": acumen.minimize("seconds") + acumen.observe("bytes"),
        "holdback": 0.2,
        "seed": 3,
        "journal": acumen.Journal(directory, commit_seconds=0.001, segment_bytes=1 << 16),
    }
    return acumen.Choice(name, **(arguments | changes))


def live(choice: acumen.Choice, rounds: int, seed: int = 0, answered: float = 0.9) -> None:
    """Decisions with late, repeated, unknown, bad and missing feedback."""
    rng = np.random.default_rng(seed)
    waiting: list[acumen.Decision] = []
    for i in range(rounds):
        size = float("nan") if i % 53 == 52 else float(rng.lognormal())
        waiting.append(choice.choose(size=size, kind=["json", "png"][i % 2]))
        if rng.random() < answered:
            decision = waiting.pop(int(rng.integers(len(waiting))))
            seconds = float(rng.exponential()) + (0.0, 0.5, 1.0)[decision.index]
            decision.feedback(seconds=seconds, bytes=float(i))
            if i % 17 == 0:
                decision.feedback(seconds=1.0, bytes=1.0)
        if i % 29 == 0:
            waiting[-1].feedback(seconds=float("nan")) if waiting else None
            choice.feedback(12345, seconds=1.0)


def switch(choice: acumen.Choice, mode: str, who: str, why: str) -> None:
    """A switch of mode that says who did it, as a gate writes it."""
    choice.set_mode(mode)
    said = {"mode": mode, "canary": 0.1, "killed": False, "who": who, "why": why}
    note(choice, json.dumps(said), "mode")


def note(choice: acumen.Choice, text: str, kind: str = "note") -> None:
    choice._note(KIND_CODES[kind], text)


def flush(*choices: acumen.Choice) -> None:
    for choice in choices:
        assert choice.journal is not None
        assert choice.journal.flush()


def close(*choices: acumen.Choice) -> None:
    for choice in choices:
        assert choice.journal is not None
        assert choice.journal.close(10)
