"""Replay: a choice's model again from its journal, bit for bit.

The engine's model follows from its events alone: replaying them in order gives the same bits. Where
it cannot (events were dropped, a batch is damaged, a model came from a file that no journal has,
processes learned side by side), the events are learned from all the same, and the report says why
the result is not what some process had.

Every stream begins with what its process held already, as *positions*: stream → number of the
last event that the model contains. A snapshot (`Choice.save`) has positions too, and the recent
past that the next events refer to; so a snapshot and the events after it make the same model as
all events.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from acumen.core import forgetting
from acumen.core.episode_parts import EpisodeParts
from acumen.core.journal import EventBatch, Journal
from acumen.core.journal_format import KIND_CODES, JournalInfo
from acumen.core.objective import Objective

if TYPE_CHECKING:
    from acumen.core.choice import Choice

Positions = dict[str, int]
_OURS = {KIND_CODES[k] for k in ("start", "load", "replay", "objective", "episode", "gap")}
_ACTS = {KIND_CODES[k] for k in ("decision", "feedback", "timeout", "candidate", "seen")}
_NATIVE_EVENTS = 4096

# What reading an event's text may raise if the text is forged or damaged.
MAKES_NO_SENSE = (
    ArithmeticError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)


@dataclass
class ReplayReport:
    """What a replay has done.

    Attributes:
        events: read, of any kind.
        decisions: recorded again.
        feedback: joined again.
        lessons: that feedback taught.
        timeouts: applied again.
        refused: events that cannot have been so.
        lost: events of which the journal knows only that they were dropped.
        positions: stream → number of the last event that the model contains now.
        notes: why the model is not bit for bit one that some process had; empty if it is.
    """

    events: int = 0
    decisions: int = 0
    feedback: int = 0
    lessons: int = 0
    timeouts: int = 0
    refused: int = 0
    lost: int = 0
    positions: Positions = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the model is bit for bit the one of the process that wrote the last event."""
        return not self.notes

    def __str__(self) -> str:
        """One line for people."""
        how = "exact" if self.exact else f"not exact: {'; '.join(self.notes[:3])}"
        return (
            f"{self.decisions} decisions, {self.feedback} feedback, {self.lessons} lessons, "
            f"{self.timeouts} time-outs from {len(self.positions)} streams; {how}"
        )


class Replayer:
    """Applies a journal's events to a choice."""

    def __init__(self, choice: Choice, info: JournalInfo, positions: Mapping[str, int]) -> None:
        self.report = ReplayReport(positions=dict(positions))
        self._choice = choice
        self._mine = info
        self._notes: dict[str, None] = {}
        self._stream = ""
        self._foreign = False
        self._parts = EpisodeParts()
        # Stream → number of the last event that did something to the model.
        self._last_act: Positions = dict(positions)
        # What the stream's process held before its first act: positions, and its recent decisions.
        self._base: Positions = {}
        self._base_history = True
        self._acted = False
        self._forget = False

    def run(self, journal: Journal, until: Mapping[str, int] | None) -> ReplayReport:
        """Replays what the model does not contain."""
        problems: list[str] = []
        # Until the end, times are those of the wall clock, as events have them.
        self._choice._shift_times(time.time() - self._choice._clock_s())
        after = dict(self.report.positions)
        if self._mine.choice in journal.choices():
            for batch in journal.events(self._mine.choice, after=after, problems=problems):
                cut = _up_to(batch, until)
                if cut is not None and batch.info.stream != self._mine.stream:
                    self._take(cut)
        self._notes |= dict.fromkeys(problems)
        self._choice._shift_times(self._choice._clock_s() - time.time())
        self.report.notes = tuple(self._notes)
        return self.report

    def _take(self, batch: EventBatch) -> None:
        if batch.info.stream != self._stream:
            self._begin(batch)
        if self._foreign:
            return
        if batch.first > self.report.positions.get(self._stream, 0) + 1:
            self._parts.drop(self._stream)
        kinds = batch.rows.column("kind").indices.to_numpy()
        self.report.events += len(kinds)
        columns = event_columns(batch, kinds)
        texts = batch.rows.column("text")
        start = 0
        for i in [*np.flatnonzero(np.isin(kinds, list(_OURS))), len(kinds)]:
            self._act(kinds, columns, start, int(i))
            if i < len(kinds):
                number = batch.rows.column("number")[int(i)].as_py()
                if kinds[i] == KIND_CODES["episode"]:
                    self._last_act[self._stream] = int(columns["sequence"][i])
                self._apply(int(kinds[i]), texts[int(i)].as_py() or "", number or 0)
            start = int(i) + 1
        self.report.positions[self._stream] = batch.last

    def _begin(self, batch: EventBatch) -> None:
        info, mine = batch.info, self._mine
        self._stream = info.stream
        self._foreign = False
        for what in ("schema", "arms", "metrics", "features"):
            if getattr(info, what) != getattr(mine, what):
                self._foreign = True
                self._note(f"its {what} differ from this choice's: left out")
                return
        for what, value in info.settings.items():
            if mine.settings.get(what) != value:
                self._note(f"{what} was {value!r}, here it is {mine.settings.get(what)!r}")
        known = self.report.positions.get(self._stream, 0)
        if batch.first > known + 1:
            self._note(f"its events {known + 1} to {batch.first - 1} are gone")
        self._acted = known > 0
        if not self.report.positions and info.objective != mine.objective:
            self._note("it began with another objective")

    def note(self, stream: str, text: str) -> None:
        """Says why the result is not exact."""
        self._notes[f"{stream}: {text}" if stream else text] = None

    def _note(self, text: str) -> None:
        self.note(self._stream, text)

    def _act(self, kinds: Any, columns: dict[str, Any], start: int, end: int) -> None:
        """Applies the engine's own events between the two rows."""
        if start < end and not self._acted and np.isin(kinds[start:end], list(_ACTS)).any():
            self._first_act()
        if self._acted and start < end:
            self._last_act[self._stream] = int(columns["sequence"][end - 1])
        for a in range(start, end, _NATIVE_EVENTS):
            part = {name: c[a : min(a + _NATIVE_EVENTS, end)] for name, c in columns.items()}
            done = self._choice._replay(part, self._forget)
            self._forget = False
            report = self.report
            report.decisions += done[0]
            report.feedback += done[1]
            report.lessons += done[2]
            report.timeouts += done[3]
            if refused := done[4] + done[5]:
                report.refused += refused
                self._note(f"{refused} events that cannot have been so")

    def _first_act(self) -> None:
        self._acted = True
        read = {s: n for s, n in self.report.positions.items() if s != self._stream}
        same = all(read.get(s, 0) >= n for s, n in self._base.items()) and all(
            self._last_act.get(s, 0) <= self._base.get(s, 0) for s in read
        )
        self._forget = not (same and self._base_history)
        if not same:
            self._note("its process did not begin with what was learned from the streams before it")

    def _apply(self, kind: int, text: str, number: int) -> None:
        if kind == KIND_CODES["gap"]:
            self.report.lost += number
            self._parts.drop(self._stream)
            self._note(f"{number} events were dropped")
            return
        try:
            said = json.loads(text) if text else {}
            if kind == KIND_CODES["episode"]:
                self._episode(said)
                return
            if kind == KIND_CODES["objective"] and forgetting.is_forgetting(said):
                forgetting.forget_again(self._choice, said)
                return
            if kind == KIND_CODES["objective"]:
                become_objective(self._choice, Objective.from_description(said))
                return
            base = {str(s): int(n) for s, n in said.get("positions", {}).items() if int(n)}
            history = bool(said.get("history", True))
        except MAKES_NO_SENSE as error:
            self._note(f"an event makes no sense: {error}")
            return
        if self._acted:
            self._note("a model was loaded or replayed after decisions had been made")
            return
        self._base, self._base_history = base, history
        if said.get("unknown"):
            self._base = {"a model of unknown origin": 1}

    def _episode(self, said: Mapping[str, Any]) -> None:
        """Teaches an episode when its last steps are there; its feedback comes after it."""
        episode = self._parts.add(self._stream, said)
        if episode is not None:
            taught = self._choice._replay_episode(*episode)
            self.report.lessons += 0 if episode.ended else taught  # else its feedback is counted


def become_objective(choice: Choice, objective: Objective) -> None:
    """A change of objective that is replayed: the journal has it already."""
    if objective.metrics != choice.objective.metrics:
        raise ValueError("an objective with other metrics")
    choice._objective = objective
    choice._set_objective(objective.native())


def _up_to(batch: EventBatch, until: Mapping[str, int] | None) -> EventBatch | None:
    """The part of a batch that is wanted; None if nothing of it is."""
    if until is None:
        return batch
    last = until.get(batch.info.stream, 0)
    if batch.first > last:
        return None
    if batch.last <= last:
        return batch
    count = int(np.searchsorted(batch.rows.column("sequence").to_numpy(), last, side="right"))
    return EventBatch(batch.info, batch.first, last, batch.rows.slice(0, count))


def event_columns(batch: EventBatch, kinds: Any) -> dict[str, Any]:
    """A batch's columns as the native side takes them."""
    rows, info = batch.rows, batch.info

    def plain(name: str, dtype: Any, missing: Any) -> Any:
        column = rows.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.indices
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        values = column.fill_null(missing).to_numpy(zero_copy_only=False)
        return np.ascontiguousarray(values.astype(dtype, copy=False))

    def matrix(names: list[str], dtype: Any) -> Any:
        values = np.empty((rows.num_rows, len(names)), dtype)
        for i, name in enumerate(names):
            values[:, i] = rows.column(name).fill_null(math.nan).to_numpy(zero_copy_only=False)
        return values

    return {
        "kind": kinds.astype(np.uint8),
        "sequence": plain("sequence", np.uint64, 0),
        "reason": plain("reason", np.uint8, -1),
        "usable": plain("usable", np.uint8, False),
        "id": plain("id", np.uint64, 0),
        "model_version": plain("model_version", np.uint64, 0),
        "arm": plain("arm", np.uint32, -1),
        "field": plain("field", np.uint32, -1),
        "number": plain("number", np.uint64, 0),
        "propensity": plain("propensity", np.float32, 0),
        "learned_share": plain("learned_share", np.float32, 0),
        "time_s": plain("time", np.int64, 0) / 1e6,
        "context": matrix([f"context.{name}" for name in info.fields], np.float64),
        "metric": matrix([f"metric.{name}" for name in info.metrics], np.float64),
        "feature": matrix([f"feature.{i}" for i in range(info.features)], np.float32),
    }


def positions_event(
    positions: Mapping[str, int], *, history: bool = True, unknown: bool = False
) -> str:
    """The text of an event that says what a model holds."""
    said: dict[str, Any] = {"positions": dict(positions), "history": history}
    if unknown:
        said["unknown"] = True
    return json.dumps(said)
