"""What the tests of journals share: choices of every kind, a life for them, their whole state."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import acumen


def make(journal: Any = None, **changes: Any) -> acumen.Choice:
    """A choice with fields of every kind and two metrics."""
    arguments: dict[str, Any] = {
        "name": "codec",
        "arms": ["a", "b", "c"],
        "context": {"size": float, "kind": str, "level": float | None, "hot": bool},
        "default": "b",
        "metric": acumen.minimize("seconds") + acumen.observe("bytes"),
        "seed": 3,
        "journal": journal,
    }
    arguments |= changes
    return acumen.Choice(**arguments)


def live(choice: acumen.Choice, rounds: int, seed: int = 0) -> list[acumen.Decision]:
    """Decisions, most of them with feedback, some late, repeated, bad or of a bad context."""
    rng = np.random.default_rng(seed)
    candidates = choice._arms.features if choice._arms.takes_candidates else 0
    decisions: list[acumen.Decision] = []
    for i in range(rounds):
        size = float(rng.normal()) * (3000.0 if i > rounds // 2 else 1.0)
        context: dict[str, Any] = {
            "size": float("nan") if i % 41 == 40 else size,
            "kind": ["json", "png", "txt", "html"][int(rng.integers(4))],
            "level": None if i % 5 == 0 else float(rng.integers(9)),
            "hot": bool(i % 2),
        }
        if candidates:
            context["candidates"] = rng.normal(size=(1 + i % 4, candidates))
        decisions.append(choice.choose(**context))
        which = decisions[-1 - min(int(rng.integers(6)) ** 2, i)]
        if i % 3:
            which.feedback(seconds=float(rng.exponential()) + which.index, bytes=float(i))
        if i % 29 == 0:
            which.feedback(seconds=float("nan"))
            choice.feedback(12345, seconds=1.0)
    return decisions


def walk(choice: acumen.Choice, count: int, seed: int = 0) -> None:
    """Episodes that end, are cut off or interleave; and single choices between them."""
    rng = np.random.default_rng(seed)
    features = choice._arms.features if choice._arms.takes_candidates else 0
    opened: list[Any] = []
    for i in range(count):
        opened.append(choice.episode(discount=0.9))
        for _ in range(int(rng.integers(1, 6))):
            which = opened[int(rng.integers(len(opened)))]
            size = float("nan") if rng.integers(30) == 0 else float(rng.normal())
            offers = {"candidates": rng.normal(size=(1 + i % 4, features))} if features else {}
            which.choose(size=size, kind="xyz"[i % 3], level=None, hot=bool(i % 2), **offers)
            if rng.integers(2):
                which.reward(seconds=float(rng.exponential()), bytes=1.0)
        if len(opened) > 2 or i == count - 1:
            done = opened.pop(int(rng.integers(len(opened))))
            if i % 7 == 0:
                done.cut_off()
            else:
                done.feedback(seconds=float(rng.normal()), bytes=float(i))
        offers = {"candidates": rng.normal(size=(3, features))} if features else {}
        lone = choice.choose(size=1.0, kind="x", level=2.0, hot=True, **offers)
        if i % 4:
            lone.feedback(seconds=0.5, bytes=0.0)


def whole_state(choice: acumen.Choice) -> dict[str, Any]:
    """All that decides what a choice does next, but for randomness and clocks."""
    model, history, _, learner = choice._snapshot()
    history = dict(history)
    history.pop("times")
    cursors = history["cursors"].copy()
    # A process's own numbers begin anywhere; the first is of no use once the ring has come round.
    cursors[:4] = np.minimum(cursors[0] - cursors[:4], len(history["ids"]))
    cursors[2] = 0  # which decision is looked at next for its time-out
    history["cursors"] = cursors
    # Until its feedback comes, a slot holds the metrics of the decision that it had before.
    waiting = (history["marks"] >> np.uint64(8) & np.uint64(0xFF)) != 2
    values = history["values"].reshape(len(waiting), -1).copy()
    values[waiting] = 0
    history["values"] = values.ravel()
    state = {f"model.{name}": array for name, array in model.items()}
    state |= {f"history.{name}": array for name, array in history.items()}
    return state | {f"learner.{name}": array for name, array in (learner or {}).items()}


def differences(a: acumen.Choice, b: acumen.Choice) -> list[str]:
    """Names of the arrays in which two choices differ, by a bit."""
    one, other = whole_state(a), whole_state(b)
    assert one.keys() == other.keys()
    return [n for n in one if not np.array_equal(one[n], other[n], equal_nan=n[:7] == "history")]


def events(journal: Path | str | acumen.Journal, choice: str | None = None) -> list[dict[str, Any]]:
    """All events as dicts."""
    opened = journal if isinstance(journal, acumen.Journal) else acumen.Journal(journal)
    return [row for batch in opened.scan(choice) for row in batch.to_pylist()]


def wait_for(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Until something is true; fails if it does not become so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def write_segments(choice: acumen.Choice, count: int, rounds: int = 60) -> None:
    """As many sealed segments, of a journal whose segments are small; the last one may be live."""
    assert choice.journal is not None
    for part in range(count):
        live(choice, rounds, seed=part)
        assert choice.journal.flush()
        wait_for(lambda: choice.journal.health.sealed > part)  # noqa: B023 (called at once)
