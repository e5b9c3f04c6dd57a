"""`Trainer`: one model from the events of many processes.

A trainer owns a choice that nobody asks, and replays into it the events of all streams in the
order in which it gets them. What it has got already it knows by *positions* (stream → number of the
last event that the model contains), so batches that come twice, or late, change nothing.

Each process numbers its decisions for itself. In the trainer's ring they lie one behind the other,
as they come; a table (`RingNumbers`) says which became which, stream by stream. So feedback finds
its decision whichever process heard it, an episode its steps, and the events of one stream alone
make, bit for bit, the model of the process that wrote them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from acumen import _native
from acumen.core.early_feedback import EarlyFeedback
from acumen.core.episode_parts import EpisodeParts
from acumen.core.forgetting import began_in, forget_again, is_forgetting
from acumen.core.journal import EventBatch
from acumen.core.journal_format import FATES, KIND_CODES, JournalInfo
from acumen.core.journal_segments import replica_of
from acumen.core.journaling import describe
from acumen.core.objective import Objective
from acumen.core.published import Published, Stamp
from acumen.core.replay import MAKES_NO_SENSE, become_objective, event_columns
from acumen.core.ring_numbers import REPLICA, RingNumbers
from acumen.core.snapshot import Held
from acumen.core.twin import kind_of

if TYPE_CHECKING:
    from acumen.core.choice import Choice

_OURS = [KIND_CODES[kind] for kind in ("objective", "gap", "episode")]
_PART = 4096
SETTLED_ROWS = 512  # after so many scales change only where values leave their range
_NOBODY = "0" * 12 + "-" + "0" * 6
_LEARNED, _UNKNOWN = FATES.index("learned"), FATES.index("unknown")
ENDED_MAX = 1024


@dataclass
class Trained:
    """What a trainer has done.

    Attributes:
        batches: applied.
        events: in them.
        decisions: recorded.
        feedback: joined to them, or found to be for nobody.
        lessons: learned; of steps of episodes, too, those that were cut off included.
        timeouts: applied.
        episodes: that are over.
        duplicates: batches whose events were known already.
        early: batches that came before the ones before them; they have to come again.
        lost: events of which a stream says that they were dropped, or that are missing.
        overtaken: time-outs of decisions whose feedback another process had heard, or that the ring
            no longer has.
        refused: events that cannot have been so.
        ambiguous: feedback that may be for any of several processes' decisions; it is nobody's.
        early_feedback: came before its decision, from another process, and was joined to it then.
        unjoined: feedback that taught its process something but found no decision here: it came
            later than `pending_max` decisions of all processes together.
        forgotten: times that lessons were given up.
        same_drift: times that they were not again, since another watch had seen the same drift.
        foreign: stream → why it was left out: another schema, other arms.
    """

    batches: int = 0
    events: int = 0
    decisions: int = 0
    feedback: int = 0
    lessons: int = 0
    timeouts: int = 0
    overtaken: int = 0
    episodes: int = 0
    duplicates: int = 0
    early: int = 0
    lost: int = 0
    refused: int = 0
    ambiguous: int = 0
    early_feedback: int = 0
    unjoined: int = 0
    forgotten: int = 0
    same_drift: int = 0
    foreign: dict[str, str] = field(default_factory=dict)


class Trainer:
    """Learns from the events of many streams, once from each.

    Args:
        choice: what to teach: without a journal, and from now on the trainer's alone. Its
            `pending_max` bounds the decisions of all processes that wait together. See `twin`.

    Attributes:
        choice: as given.
        positions: stream → number of the last event that the model contains.
        lessons: stream → how many lessons its events have taught; what it made the model forget
            counts as one.
        ended: stream → the same two of the last streams that were forgotten; see `forget`.
        taught: lessons of all streams that there ever were.
        report: counters.

    Raises:
        ValueError: the choice has a journal, or has made decisions.
    """

    def __init__(self, choice: Choice) -> None:
        if choice.journal is not None or not choice._is_untouched():
            raise ValueError("a trainer needs a choice without a journal that nobody has asked")
        self.choice = choice
        self.info = describe(choice, _NOBODY)
        self.kind = kind_of(self.info)
        self.positions: dict[str, int] = {}
        self.lessons: dict[str, int] = {}
        self.ended: dict[str, tuple[int, int]] = {}
        self.taught = 0
        self._early = EarlyFeedback(len(self.info.metrics))
        self._parts = EpisodeParts()
        self._numbers = RingNumbers(choice._settings["pending_max"])
        self.report = Trained()
        # When lessons were given up last; seconds since 1970.
        self._forgot_s = -math.inf

    def take(self, batch: EventBatch, *, after: int | None = None) -> str:
        """Learns from a batch what is new in it.

        Args:
            batch: some events of one stream, checked.
            after: number of the last event before it that there is; what is missing between the
                two will never come. None: nothing is known to be missing.

        Returns:
            ``applied``; ``known`` (all of it was); ``early`` (events before it are missing: bring
            it again after them); ``foreign`` (of another kind of choice).
        """
        stream, report = batch.info.stream, self.report
        if stream in report.foreign:
            return "foreign"
        self._remember(stream)
        known = self.positions.get(stream, 0)
        if batch.last <= known:
            report.duplicates += 1
            return "known"
        if batch.first > known + 1:
            # A trainer that has less than that is not where whoever sends this takes it to be.
            if after is None or known < after:
                report.early += 1
                return "early"
            report.lost += batch.first - known - 1
            self._parts.drop(stream)
        if stream not in self.positions and (why := self._foreign(batch.info)):
            report.foreign[stream] = why
            return "foreign"
        rows = batch.rows
        if batch.first <= known:
            rows = rows.filter(pc.greater(rows.column("sequence"), known))
        self._apply(EventBatch(batch.info, known + 1, batch.last, rows))
        self.positions[stream] = batch.last
        return "applied"

    def forget(self, streams: Iterable[str]) -> None:
        """Streams whose files are all gone need no positions: nobody can bring their events again.

        Nobody but one whose call was on its way. So the last `ENDED_MAX` are kept aside, and are
        there again if something of them comes: it is known then, or goes on behind it.
        """
        for stream in streams:
            self.report.foreign.pop(stream, None)
            if stream in self.positions:
                self.ended[stream] = (self.positions.pop(stream), self.lessons.pop(stream, 0))
        while len(self.ended) > ENDED_MAX:
            stream = next(iter(self.ended))
            del self.ended[stream]
            self._parts.drop(stream)

    def _remember(self, stream: str) -> None:
        if stream in self.ended:
            self.positions[stream], lessons = self.ended.pop(stream)
            if lessons:
                self.lessons[stream] = lessons

    def _foreign(self, info: JournalInfo) -> str:
        for what in ("schema", "arms", "metrics", "features"):
            if getattr(info, what) != getattr(self.info, what):
                return f"its {what} differ from the trainer's"
        for what in ("learner", "timeout_reward", "range"):
            theirs, mine = (i.settings.get(what) for i in (info, self.info))
            if theirs != mine:
                return f"its {what} is {theirs!r}, the trainer's {mine!r}"
        return ""

    def _apply(self, batch: EventBatch) -> None:
        stream, report = batch.info.stream, self.report
        kinds = batch.rows.column("kind").indices.to_numpy()
        columns = event_columns(batch, kinds)
        made = kinds == KIND_CODES["decision"]
        # Nobody makes others' decisions: without a number they are refused.
        ids = np.where(made & (columns["id"] >> REPLICA != replica_of(stream)), 0, columns["id"])
        fates = batch.rows.column("fate").indices.fill_null(-1).to_numpy(zero_copy_only=False)
        self._numbers.place(stream, ids[made & (ids > 0)])
        columns["id"] = self._numbers.of(stream, ids, fates == _UNKNOWN)
        start = lessons = 0
        for i in [*np.flatnonzero(np.isin(kinds, _OURS)), len(kinds)]:
            lessons += self._act(columns, start, int(i), stream)
            if i < len(kinds):
                self._apply_ours(batch, int(kinds[i]), int(i), float(columns["time_s"][i]))
            start = int(i) + 1
        self._join_early(ids[made], columns)
        self._keep_early(stream, ids, fates == _UNKNOWN, columns["metric"])
        report.unjoined += max(0, int((fates == _LEARNED).sum()) - lessons)
        report.ambiguous = self._numbers.ambiguous
        report.events += len(kinds)
        report.batches += 1

    def _join_early(self, made: NDArray[np.uint64], columns: dict[str, Any]) -> None:
        """Feedback that others had heard of decisions that have come just now."""
        for stream, (ids, values) in self._early.due(made).items():
            part = {n: np.zeros((len(ids), *c.shape[1:]), c.dtype) for n, c in columns.items()}
            part["kind"][:] = KIND_CODES["feedback"]
            part["id"] = self._numbers.of(stream, ids, np.ones(len(ids), bool))
            part["metric"] = np.ascontiguousarray(values)
            self._act(part, 0, len(ids), stream)
            self.report.early_feedback += len(ids)

    def _keep_early(
        self,
        stream: str,
        ids: NDArray[np.uint64],
        unknown: NDArray[np.bool_],
        values: NDArray[np.float64],
    ) -> None:
        """Feedback of decisions that the process did not know may have come before them."""
        rows = np.flatnonzero(unknown)
        # Those whose decision has come were joined just now, or their ring has let it go.
        rows = rows[~self._numbers.have_come(ids[rows])]
        if len(rows):
            self._early.keep(stream, ids[rows], values[rows])

    def _act(self, columns: dict[str, Any], start: int, end: int, stream: str) -> int:
        """Applies the engine's own events between the two rows; what feedback has taught."""
        report, before = self.report, self.report.lessons
        for a in range(start, end, _PART):
            part = {name: c[a : min(a + _PART, end)] for name, c in columns.items()}
            decisions, feedback, lessons, timeouts, refused, overtaken = self.choice._replay(
                part, False
            )
            report.decisions += decisions
            report.feedback += feedback
            report.lessons += lessons
            report.timeouts += timeouts - overtaken
            report.overtaken += overtaken
            report.refused += refused
            if self.choice._settings["timeout_reward"] is not None:
                lessons += timeouts - overtaken
            self._count(stream, lessons)
        return report.lessons - before

    def _count(self, stream: str, lessons: int) -> None:
        if lessons:
            self.lessons[stream] = self.lessons.get(stream, 0) + lessons
            self.taught += lessons

    def _apply_ours(self, batch: EventBatch, kind: int, row: int, time_s: float) -> None:
        if kind == KIND_CODES["gap"]:
            self.report.lost += batch.rows.column("number")[row].as_py() or 0
            self._parts.drop(batch.info.stream)
            return
        try:
            said = json.loads(batch.rows.column("text")[row].as_py() or "")
            if kind == KIND_CODES["episode"]:
                self._end_episode(batch.info.stream, said)
            elif is_forgetting(said):
                self._forget_lessons(said, batch.info.stream, time_s)
            else:
                become_objective(self.choice, Objective.from_description(said))
        except MAKES_NO_SENSE:
            self.report.refused += 1

    def _end_episode(self, stream: str, said: Any) -> None:
        """Teaches an episode when its last part is there."""
        episode = self._parts.add(stream, said)
        if episode is None:
            return
        episode = episode._replace(ids=self._numbers.of(stream, episode.ids))
        taught = self.choice._replay_episode(*episode)
        self.report.episodes += 1
        if not episode.ended:  # else its feedback is counted
            self.report.lessons += taught
            self._count(stream, taught)

    def _forget_lessons(self, said: Any, stream: str, time_s: float) -> None:
        """Gives lessons up, as a process has; but for one drift once.

        Watches in several processes see the same drift, one after the other. What the first made
        the model forget the others would take from it again and again, with what came since. A
        drift that began before the last forgetting, by the clocks of those who say so, is that
        one's: whoever is read first.
        """
        if began_in(said) <= self._forgot_s:
            self.report.same_drift += 1
            return
        forget_again(self.choice, said)
        # A clock that is ahead must not make others' drifts of tomorrow the same as this one.
        self._forgot_s = max(self._forgot_s, min(time_s, time.time()))
        self.report.forgotten += 1
        self._count(stream, 1)  # followers, wherever they are, are to see that there is news

    def settle(self, published: Published) -> None:
        """Begins with the scales of a model, and none of its lessons: see `fleet.sharding`.

        Raises:
            ValueError: it is of another kind, its scales are still being chosen, or this
                trainer has learned already.
        """
        if published.header.get("trainer", {}).get("kind") != self.kind or self.positions:
            raise ValueError("scales of another kind of choice, or for a trainer that has begun")
        scales, _ = scales_of(published.arrays)
        rows = published.arrays["calibrated_rows"]
        if int(rows[0]) < SETTLED_ROWS:
            raise ValueError(f"scales settle after {SETTLED_ROWS} rows, these are of {rows[0]}")
        self.choice._restore(self.choice._state() | scales | {"calibrated_rows": rows})

    def publish(self, stamp: Stamp, *, whole: bool = False, positions: bool = True) -> Published:
        """The model as others may have it.

        Args:
            stamp: term and version.
            whole: with the recent decisions, and all else that a successor needs to go on
                (`resume`); followers need the model only.
            positions: which events it contains. Without, it is the same for all, and of the same
                size however many they are; who it is for has to be told what it contains of theirs.
        """
        choice = self.choice
        model, history, _, learner = choice._snapshot()
        arrays: dict[str, Any] = dict(model)
        arrays |= {f"learner:{name}": array for name, array in (learner or {}).items()}
        trainer: dict[str, Any] = {
            "kind": self.kind,
            "term": stamp[0],
            "version": stamp[1],
            "lessons": dict(self.lessons) if positions else {},
            "taught": self.taught,
            "objective": choice.objective.describe(),
            "info": self.info.to_json().decode(),
        }
        if whole:
            arrays |= {f"history:{name}": array for name, array in history.items()}
            trainer |= self._numbers.described()
            trainer["early"], early = self._early.arrays()
            trainer["episodes"], parts = self._parts.arrays()
            arrays |= early | parts
            trainer["ended"] = {stream: list(pair) for stream, pair in self.ended.items()}
            trainer["forgot_s"] = None if math.isinf(self._forgot_s) else self._forgot_s
        # The times of a trainer's decisions are on the wall clock, as the events have them.
        contained = dict(self.positions) if positions else {}
        journaled = {"positions": contained, "known": True, "clock_s": 0.0}
        header = choice._header() | {"journal": journaled, "trainer": trainer}
        return Published(stamp, header, arrays)

    def resume(self, published: Published) -> None:
        """Goes on from a checkpoint, `publish(…, whole=True)`, of a trainer that has ended.

        Raises:
            ValueError: it is of another kind, or makes no sense; use a new trainer then.
        """
        header, choice = published.header, self.choice
        positions, lessons = stated(header)
        said = header["trainer"]
        if said.get("kind") != self.kind or self.positions:
            raise ValueError("a checkpoint of another kind of choice")
        try:
            self._numbers.restore(said)
            objective = Objective.from_description(said["objective"])
            ended = {
                str(stream): (number_in(number), number_in(count))
                for stream, (number, count) in said.get("ended", {}).items()
            }
            forgot_s = said.get("forgot_s")
            forgot_s = -math.inf if forgot_s is None else float(forgot_s)
            self._early.restore(said.get("early", []), published.arrays)
            self._parts.restore(said.get("episodes", {}), published.arrays)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"a checkpoint that makes no sense: {error}") from None
        parts: dict[str, dict[str, Any]] = {"learner": {}, "history": {}, "": {}}
        for name, array in published.arrays.items():
            part, colon, rest = name.partition(":")
            parts.setdefault(part if colon else "", {})[rest if colon else name] = array
        become_objective(choice, objective)
        choice._restore_history(parts["history"], 0.0)
        if isinstance(choice.learner, _native.Learner):
            choice._restore(parts[""])
        else:
            choice._restore_both(choice.learner, parts["learner"], parts[""])
        self.positions, self.lessons, self.taught = positions, lessons, taught_in(header)
        self.ended, self._forgot_s = ended, forgot_s
        choice._held = Held(dict(positions), history=True)


def scales_of(
    arrays: Mapping[str, NDArray[Any]],
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """A model's scales and the categories it has met; and the state of its native learner."""
    plain = {name: array for name, array in arrays.items() if ":" not in name}
    scales = {n: a for n, a in plain.items() if n.startswith(("schema.", "candidates."))}
    own = {"lessons", "calibrated_rows", *scales}
    rest = {n: a for n, a in plain.items() if n not in own and not n.startswith("holdback.")}
    return scales, rest


def stated(header: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    """Positions and lessons by stream, as a published model's header has them.

    Raises:
        ValueError: it has none that make sense.
    """
    try:
        parts = (header["journal"]["positions"], header["trainer"]["lessons"])
        positions, lessons = ({str(s): number_in(n) for s, n in p.items()} for p in parts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"no trainer's model: {error!r}") from None
    return positions, lessons


def taught_in(header: Mapping[str, Any]) -> int:
    """Lessons in a published model, of whichever stream.

    Raises:
        ValueError: it says nothing that makes sense.
    """
    _, lessons = stated(header)
    return number_in(header["trainer"].get("taught", sum(lessons.values())))


def number_in(value: Any) -> int:
    """A count, as JSON has it.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise ValueError(f"{value!r} is no count")
    return value
