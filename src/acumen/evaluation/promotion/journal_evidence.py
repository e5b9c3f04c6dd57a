"""What a journal says of a candidate, taken in piece by piece: only what is new is read.

A decision counts when its feedback has come. Those that wait are carried on as the events they are,
the newest `WAITING_MAX` of them, and count at a look as they stand then; older ones count so for
good. Memory is bounded, whatever the journal holds; a process that begins reads it in pieces.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from acumen.core.choice import Choice
from acumen.core.journal import EventBatch
from acumen.core.journal_format import FATES, KIND_CODES
from acumen.core.journal_join import events_of, joined
from acumen.core.journal_segments import folder_of
from acumen.core.journal_tail import Absences, JournalTail
from acumen.evaluation.off_policy import DecisionLog, read_records
from acumen.evaluation.promotion.pooled import Floats, Pooled

PIECE_EVENTS = 1 << 16
WAITING_MAX = 1 << 17  # decisions, of all processes, that wait for their feedback
STRAY_MAX = 1 << 14  # feedback that may be for a decision that is read later
_LEFT_OUT = ("context.", "feature.")


class JournalEvidence:
    """Follows the journal of a choice.

    Args:
        choice: the candidate is its learned policy.
        since: decisions before that do not count; seconds since 1970.
    """

    def __init__(self, choice: Choice, since: float) -> None:
        assert choice.journal is not None
        self.since = since
        self._choice = choice
        self._tail = JournalTail(folder_of(choice.journal.journal.path, choice.name))
        self._absences = Absences()
        self._positions: dict[str, int] = {}
        self._pooled = Pooled()
        self._carried: pa.Table | None = None

    def read(self, seconds: float) -> None:
        """Takes in what is new; what is not read after so many seconds, the next call reads.

        Raises:
            LogError: the journal tells impossible things.
        """
        deadline = time.monotonic() + seconds
        piece: list[EventBatch] = []
        events = 0
        for batch in self._tail.read(self._positions):
            piece.append(batch)
            self._positions[batch.info.stream] = batch.last
            events += batch.rows.num_rows
            if events >= PIECE_EVENTS:
                self._take(piece)
                piece, events = [], 0
                if time.monotonic() > deadline:
                    return
        self._take(piece)
        if self._tail.present and self._tail.streams:
            for stream in self._absences.gone(self._positions, self._tail.streams):
                del self._positions[stream]

    def now(self) -> Pooled:
        """All decisions that were read, those that wait as they stand."""
        waiting = None if self._carried is None else joined(self._carried)
        if waiting is None or not len(waiting):
            return self._pooled
        return self._pooled.plus(*as_it_was(waiting, self._choice))

    def _take(self, piece: list[EventBatch]) -> None:
        fresh = events_of(piece, without=_LEFT_OUT)
        if fresh is None:
            return
        fresh = fresh.filter(self._counts(fresh))
        if self._carried is not None:
            fresh = pa.concat_tables([self._carried, fresh], promote_options="default")
            fresh = fresh.combine_chunks()
        made = fresh["kind"].combine_chunks().indices.to_numpy() == KIND_CODES["decision"]
        found = joined(fresh)
        waits = pc.not_equal(found["state"].cast(pa.utf8()), "done").to_numpy()
        # The oldest of too many come to nothing more.
        waits &= waits[::-1].cumsum()[::-1] <= WAITING_MAX
        settled = found.filter(pa.array(~waits))
        if len(settled):
            self._pooled.add(*as_it_was(settled, self._choice))
        self._carried = _carried(fresh, made, waits)

    def _counts(self, events: pa.Table) -> pa.Array:
        """Decisions with a coin, of the time that counts; and what is told of any decision."""
        share = events["learned_share"].fill_null(0.0).to_numpy()
        when = events["time"].cast(pa.int64()).fill_null(0).to_numpy() / 1e6
        kinds = events["kind"].combine_chunks().indices.to_numpy()
        mine = (share > 0) & (when >= self.since)
        return pa.array(mine | (kinds != KIND_CODES["decision"]))


def _carried(events: pa.Table, made: Any, waits: Any) -> pa.Table:
    """The events that later ones may belong to."""
    ids = events["id"].fill_null(0).to_numpy()
    waiting = made.copy()
    waiting[made] = waits
    fates = events["fate"].combine_chunks().indices.fill_null(-1).to_numpy()
    # Who heard it did not know it: its decision is another process's, or was told of long ago.
    stray = np.flatnonzero(fates == FATES.index("unknown"))[-STRAY_MAX:]
    keep = waiting | (~made & (fates < 0) & np.isin(ids, ids[waiting]))
    keep[stray[~np.isin(ids[stray], ids[made])]] = True
    return events.filter(pa.array(keep)).combine_chunks()


def as_it_was(table: pa.Table, choice: Choice) -> tuple[DecisionLog, Floats]:
    """The log that decisions with a coin are, and the candidate in it.

    The engine draws from p = s·learned + (1 - s)·[default], and p and s are on record, so that the
    learned policy's probability of the arm follows.

    Args:
        table: columns as of `Journal.decisions`; at least one row.
        choice: whose decisions they are.

    Returns:
        The log; and float64[n], the learned policy's probability of the arm that was taken.

    Raises:
        LogError: impossible values.
    """
    for name in choice.objective.metrics:
        if f"metric.{name}" not in table.column_names:  # of programs that had no such metric yet
            table = table.append_column(f"metric.{name}", pa.nulls(len(table), pa.float64()))
    timeout_reward: Any = choice._settings["timeout_reward"]
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
    return log, np.clip((log.propensity - by_default) / shares, 0.0, 1.0)
