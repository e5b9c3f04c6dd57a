"""Snapshots: a model with its recent past, and the events that it contains.

A model alone does not say what comes next: scales and other objectives are learned anew from recent
decisions, and feedback is joined to them. A choice with a journal therefore saves its ring of
decisions, too, and *positions*: stream → number of the last event that the model contains.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from acumen.core.choice import Choice

_HISTORY = "history:"

# A model and what is said of it change together (following.py), and are saved together.
model_lock = threading.RLock()


def _after_fork() -> None:
    global model_lock
    model_lock = threading.RLock()  # a thread that is not in the child may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@dataclass
class Held:
    """What a choice's model held when its own events began.

    Attributes:
        positions: stream → number of the last event that it contains.
        history: the recent decisions of that moment are in its ring, too.
        known: False after a model was loaded that does not say what it contains.
        followed: it is a trainer's, with the own lessons in it: the same policy, but for news.
    """

    positions: dict[str, int] = field(default_factory=dict)
    history: bool = False
    known: bool = True
    followed: bool = False


def take(choice: Choice) -> tuple[dict[str, Any], dict[str, Any]]:
    """What to save: additions to the header, and arrays."""
    with model_lock:
        model, history, sequence, learner = choice._snapshot()
        held = choice._held
    arrays: dict[str, Any] = dict(model)
    if learner is not None:
        arrays |= {f"learner:{name}": array for name, array in learner.items()}
    writer = choice._writer
    if writer is None:
        return {}, arrays
    arrays |= {_HISTORY + name: array for name, array in history.items()}
    journaled = {
        "positions": held.positions | {writer.stream: sequence},
        "known": held.known,
        "clock_s": time.time() - choice._clock_s(),
    }
    return {"journal": journaled}, arrays


def restore_past(choice: Choice, header: Mapping[str, Any], arrays: Mapping[str, Any]) -> Held:
    """Takes over a snapshot's recent decisions where the choice has none; what is held then."""
    said = header.get("journal")
    if not isinstance(said, dict):
        return Held(known=False)
    try:
        positions = {str(stream): int(number) for stream, number in said["positions"].items()}
        held = Held(positions, known=bool(said["known"]))
        shift = float(said["clock_s"]) - (time.time() - choice._clock_s())
    except (ValueError, TypeError, LookupError, AttributeError):
        return Held(known=False)
    past = {n.removeprefix(_HISTORY): a for n, a in arrays.items() if n.startswith(_HISTORY)}
    if past and np.isfinite(shift) and choice._is_untouched():
        try:
            choice._restore_history(past, shift)
        except ValueError:
            return held  # another pending_max, most likely: the model is good without
        held.history = True
    return held
