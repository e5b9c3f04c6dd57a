"""Between a choice and its journal: beginning a stream, replay, forks."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING

from acumen import _native
from acumen.core.journal import Journal, open_journal
from acumen.core.journal_format import KIND_CODES, JournalError, JournalInfo
from acumen.core.journal_segments import folder_of, new_stream, replica_of, segments_in
from acumen.core.journal_writer import JournalWriter
from acumen.core.replay import Replayer, ReplayReport, positions_event
from acumen.core.snapshot import Held

NAME_MAX = 200  # characters of an arm, as a journal spells it

if TYPE_CHECKING:
    from acumen.core.choice import Choice


def fresh_stream(choice: Choice, journal: Journal) -> str:
    """A name for a new stream, behind all that are known."""
    known = set(choice._held.positions)
    # What cannot be read now may be later; a replica is random enough.
    with contextlib.suppress(OSError):
        known |= {s.stream for s in segments_in(folder_of(journal.path, choice.name))}
    return new_stream(known)


def describe(choice: Choice, stream: str) -> JournalInfo:
    """What the segments of a choice's journal say of themselves."""
    arms = choice._arms
    return JournalInfo(
        choice=choice.name,
        stream=stream,
        segment=0,
        fields=choice.schema.names,
        kinds=tuple(f.kind for f in choice.schema.fields),
        schema=choice.schema.version,
        arms=tuple(text[:NAME_MAX] for text in arms.signature),
        features=arms.features if arms.takes_candidates else 0,
        metrics=choice.objective.metrics,
        objective=choice.objective.describe(),
        settings=choice._settings | arms.settings,
        names={},
    )


def begin(choice: Choice, journal: Journal | str | os.PathLike[str]) -> JournalWriter:
    """Begins a stream of events, and the thread that writes it."""
    journal = open_journal(journal)
    info = describe(choice, fresh_stream(choice, journal))
    buffer = _native.JournalBuffer(
        tuple((f.kind, f.optional, f.buckets) for f in choice.schema.fields),
        len(info.metrics),
        info.features,
        replica_of(info.stream),
        journal.ring_bytes,
        journal.full == "drop_oldest",
    )
    choice._attach_journal(buffer)
    _number_anew(choice)
    _note_held(choice, "start")
    writer = JournalWriter(journal, info, buffer)
    # A choice that is thrown away leaves no thread behind; at exit writers end by themselves.
    weakref.finalize(choice, writer.stop).atexit = False
    writer.start()
    return writer


def after_fork(choice: Choice) -> None:
    """In the child: a stream of its own, which begins with what the parent's model holds."""
    parents = choice._writer
    assert parents is not None
    positions = choice._held.positions | {parents.stream: parents.sequence}
    choice._held = Held(positions, history=False, known=choice._held.known)
    choice._writer = begin(choice, parents.journal)
    choice._forgot_at = 0


def _number_anew(choice: Choice) -> None:
    """Ids begin where no other process's do, though it may hold the same recent decisions.

    Of 10,000 processes two have the same replica, most likely: that alone tells nobody apart.
    """
    choice._begin_at(int.from_bytes(os.urandom(8)))


def _note_held(choice: Choice, kind: str) -> None:
    held = choice._held
    text = positions_event(held.positions, history=held.history, unknown=not held.known)
    choice._note(KIND_CODES[kind], text)


def note_load(choice: Choice) -> None:
    """Puts on record that a model was loaded."""
    if choice._held.history:  # and with it its numbers, of decisions that others have made
        _number_anew(choice)
    _note_held(choice, "load")


def replay_into(choice: Choice, journal: Journal, until: Mapping[str, int] | None) -> ReplayReport:
    """Replays a journal into a choice; see `Choice.replay`."""
    if sum(choice.counters()[reason] for reason in _native.REASONS):
        raise ValueError("replay before the first decision: afterwards the order would be wrong")
    held = choice._held
    if not held.known:
        raise JournalError(
            "the model that was loaded does not say which events it contains: it was saved "
            "without a journal"
        )
    own = choice._writer.stream if choice._writer else ""
    replayer = Replayer(choice, describe(choice, own), held.positions)
    if held.positions and not held.history:
        replayer.note("", "the snapshot's recent decisions could not be taken over")
    report = replayer.run(journal, until)
    choice._held = Held(dict(report.positions), history=True)
    _number_anew(choice)
    _note_held(choice, "replay")
    return report


__all__ = [
    "after_fork",
    "begin",
    "describe",
    "fresh_stream",
    "note_load",
    "open_journal",
    "replay_into",
]
