"""What one choice's journal says, in constant memory: fed with batches of events, read as JSON."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.core.comparison import Comparison
from acumen.core.journal import EventBatch
from acumen.core.journal_format import FATES, KIND_CODES, KINDS, JournalInfo
from acumen.core.journal_segments import replica_of
from acumen.core.objective import Objective
from acumen.watch.happenings import Happening, describe
from acumen.watch.joining import Compared, Heard, StreamJoin
from acumen.watch.series import Series

ARMS_MAX = 64  # counted one by one; the others together
STREAMS_KEPT, JOINS_KEPT = 1000, 256
CROWD_S = 600
HAPPENINGS_KEPT = 200
CONFIDENCE = 0.95
CLOCK_SLACK_S = 5
STEPS_A_BATCH = 32  # of the comparison's curve
SIDES = ("default", "learned", "other")
PROPENSITY_BINS = 20
_DIFFERENCE = ("looks", "difference", "low", "high")
_COLUMNS = (
    "decisions",
    "feedback",
    "timeouts",
    "dropped",
    "propensity",
    *(f"{side}_{what}" for side in SIDES for what in ("count", "sum", "squares")),
    *_DIFFERENCE,
)
_MODES = {"holdback": "on", "control": "canary", "shadow": "shadow", "off": "off",
          "killed": "killed"}  # fmt: skip
_TOLD = [KIND_CODES[k] for k in ("objective", "mode", "start", "load", "replay", "note", "gap")]
_LEARNED = _native.REASONS.index("learned")


@dataclass
class StreamView:
    """What is known of one process's stream."""

    name: str
    first_s: float = 0.0
    last_s: float = 0.0
    events: int = 0
    last: int = 0
    decisions: int = 0
    dropped: int = 0
    model_version: int = 0
    mode: str = ""


class ChoiceView:
    """One choice. Not thread-safe.

    Attributes:
        name: of the choice.
        info: what the newest stream says of itself; None before the first event.
        events: taken.
        decisions, feedback, timeouts, dropped: how many of these.
        happenings: what is told one by one, oldest first.
        streams: by name, the one heard of last at the end.
        crowded: more processes at a time than can be joined: the comparison leaves some decisions
            out.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.info: JournalInfo | None = None
        self.events = self.decisions = self.feedback = self.timeouts = self.dropped = 0
        self.newest_s = 0.0
        self.happenings: deque[Happening] = deque(maxlen=HAPPENINGS_KEPT)
        self.streams: OrderedDict[str, StreamView] = OrderedDict()
        self.stream_count = 0
        self.crowded = False
        self._loads = 0
        self.series = Series(
            _COLUMNS,
            {"arms": ARMS_MAX + 1, "reasons": len(_native.REASONS),
             "propensities": PROPENSITY_BINS},
        )  # fmt: skip
        self.arm_decisions = np.zeros(ARMS_MAX + 1)
        self.arm_feedback = np.zeros(ARMS_MAX + 1)
        self.arm_reward = np.zeros(ARMS_MAX + 1)
        self.reasons = np.zeros(len(_native.REASONS), np.int64)
        self.fates = np.zeros(len(FATES), np.int64)
        self.defaults: set[int] = set()  # what the default would have taken; one, or a heuristic's
        self._joins: OrderedDict[str, StreamJoin] = OrderedDict()
        self._objective: Objective | None = None
        self._comparison = _native.HoldbackComparison()

    @property
    def comparison(self) -> Comparison:
        """Learned against default, over the streams of all processes since the objective is it."""
        return Comparison.from_native(self._comparison.interval(1 - CONFIDENCE), CONFIDENCE)

    @property
    def objective(self) -> Objective | None:
        """The objective as the newest event has it."""
        return self._objective

    def take(self, batch: EventBatch) -> None:
        """Counts a batch of events.

        Raises:
            ValueError, TypeError, KeyError: the stream says impossible things of itself.
        """
        stream = self._stream(batch)
        join = self._join(batch.info)
        kinds = batch.rows.column("kind").indices.to_numpy()
        self.events += len(kinds)
        stream.events += len(kinds)
        stream.last = batch.last
        times = _numbers(batch.rows, "time", np.int64, 0) // 1_000_000
        times = np.clip(times, 0, int(time.time()) + CLOCK_SLACK_S)
        stream.last_s = float(times[-1])
        stream.first_s = stream.first_s or float(times[0])
        self.newest_s = max(self.newest_s, stream.last_s)
        # A changed objective cuts a batch in two; so do batches larger than what a join can hold.
        told = np.flatnonzero(np.isin(kinds, _TOLD))
        changes = told[kinds[told] == KIND_CODES["objective"]]
        cuts = np.unique(np.concatenate([changes, np.arange(0, len(kinds), join.room), [0]]))
        for start, end in zip(cuts, [*cuts[1:], len(kinds)], strict=True):
            for row in told[(told >= start) & (told < end)]:
                words = batch.rows.column("text")[int(row)].as_py() or ""
                number = max(0, batch.rows.column("number")[int(row)].as_py() or 0)
                happening = describe(
                    KINDS[kinds[row]], words, number, float(times[row]), stream.name
                )
                self._tell(stream, join, happening, number)
            self._count(stream, join, batch.rows.slice(start, end - start), kinds[start:end],
                        times[start:end])  # fmt: skip

    def _stream(self, batch: EventBatch) -> StreamView:
        name = batch.info.stream
        if name not in self.streams:
            self.streams[name] = StreamView(name)
            self.stream_count += 1
            if len(self.streams) > STREAMS_KEPT:
                self.streams.popitem(last=False)
        self.streams.move_to_end(name)
        if self.info is None or name >= self.info.stream:
            self.info = batch.info
        return self.streams[name]

    def _join(self, info: JournalInfo) -> StreamJoin:
        join = self._joins.get(info.stream)
        if join is None:
            settings, reward = info.settings, info.settings.get("timeout_reward")
            objective = Objective.from_description(info.objective)
            join = StreamJoin(
                replica_of(info.stream),
                int(settings.get("pending_max") or 4096),
                None if reward is None else float(reward),
                objective,
            )
            self._joins[info.stream] = join
            if len(self._joins) > JOINS_KEPT:
                oldest, _ = self._joins.popitem(last=False)
                left = self.streams.get(oldest)
                self.crowded |= left is not None and left.last_s > self.newest_s - CROWD_S
            self._become(objective)
        self._joins.move_to_end(info.stream)
        return join

    def _become(self, objective: Objective) -> None:
        """Rewards of another objective are not compared with these."""
        if self._objective is not None and objective == self._objective:
            return
        self._objective = objective
        self.arm_feedback[:] = 0
        self.arm_reward[:] = 0
        self._compare_anew([c for c in _COLUMNS if c.partition("_")[0] in SIDES])

    def _compare_anew(self, also: Sequence[str] = ()) -> None:
        self._comparison = _native.HoldbackComparison()
        self.series.forget((*_DIFFERENCE, *also))

    def _tell(
        self, stream: StreamView, join: StreamJoin, happening: Happening, number: int
    ) -> None:
        if happening.kind == "gap":
            stream.dropped += number
            self.dropped += number
            self.series.add(np.array([int(happening.time_s)]), {"dropped": [number]})
        elif happening.kind == "mode":
            stream.mode = happening.mode or stream.mode
        objective = happening.objective
        if objective is not None and objective.metrics == join.objective.metrics:
            self._become(objective)
            join.change_objective(objective)
        if happening.kind == "forget":
            join.pass_all()  # those so far were made by a policy that is no more
            self._compare_anew()
        elif happening.kind == "load":
            happening = self._loaded(happening)
        before = self.happenings[-1] if self.happenings else None
        if before is not None and happening.repeats(before):
            self.happenings.pop()
        self.happenings.append(happening)

    def _loaded(self, happening: Happening) -> Happening:
        """Who follows a trainer loads a model a second: only the last stays, and how many."""
        self._loads += 1
        if self._loads == 1:
            return happening
        for earlier in [h for h in self.happenings if h.kind == "load"]:
            self.happenings.remove(earlier)
        return replace(happening, why=f"the last of {self._loads:,}; {happening.why}".rstrip("; "))

    def _count(
        self,
        stream: StreamView,
        join: StreamJoin,
        rows: Any,
        kinds: NDArray[np.int8],
        times: NDArray[np.int64],
    ) -> None:
        ids = _numbers(rows, "id", np.uint64, 0)
        decided = np.flatnonzero(kinds == KIND_CODES["decision"])
        if len(decided):
            self._count_decisions(stream, join, rows.take(decided), ids[decided], times[decided])
        expired = kinds == KIND_CODES["timeout"]
        if expired.any():
            join.expire(ids[expired])
            self.timeouts += int(expired.sum())
            self.series.add(times[expired], {"timeouts": 1})
        heard = np.flatnonzero(kinds == KIND_CODES["feedback"])
        if len(heard):
            fates = _numbers(rows.column("fate").take(heard).indices, None, np.int64, 0)
            self.fates += np.bincount(fates, minlength=len(FATES))
            self.feedback += len(heard)
            self.series.add(times[heard], {"feedback": 1})
            heard = heard[fates <= FATES.index("recorded")]
        if len(heard):
            names = [f"metric.{name}" for name in join.objective.metrics]
            part = rows.take(heard)
            values = np.stack([_numbers(part, name, np.float64, np.nan) for name in names], axis=1)
            self._count_feedback(join.hear(ids[heard], values, times[heard]))
        if join.objective == self._objective:
            self._compare(join.advance())
        else:
            join.advance()

    def _count_decisions(
        self,
        stream: StreamView,
        join: StreamJoin,
        rows: Any,
        ids: NDArray[np.uint64],
        times: NDArray[np.int64],
    ) -> None:
        reason = _numbers(rows.column("reason").indices, None, np.int64, 0)
        arm = np.clip(_numbers(rows, "arm", np.int64, 0), 0, ARMS_MAX)
        share = _numbers(rows, "learned_share", np.float32, 0).astype(np.float64)
        propensity = np.clip(_numbers(rows, "propensity", np.float64, 1), 0, 1)
        join.decide(ids, reason == _LEARNED, share, arm, times)
        bins = np.minimum((propensity * PROPENSITY_BINS).astype(np.int64), PROPENSITY_BINS - 1)
        self.series.add(
            times,
            {"decisions": 1, "propensity": propensity},
            {"arms": arm, "reasons": reason, "propensities": bins},
        )
        self.reasons += np.bincount(reason, minlength=len(self.reasons))
        self.arm_decisions += np.bincount(arm, minlength=ARMS_MAX + 1)
        if len(self.defaults) < 2:
            self.defaults |= set(np.unique(_numbers(rows, "default_arm", np.int64, -1)).tolist())
        self.decisions += len(ids)
        stream.decisions += len(ids)
        stream.model_version = int(_numbers(rows, "model_version", np.uint64, 0)[-1])
        if not stream.mode or stream.mode.startswith("~"):
            # Nobody has switched it, so that only its decisions tell.
            said = [_MODES[r] for r in map(_native.REASONS.__getitem__, np.unique(reason))
                    if r in _MODES]  # fmt: skip
            guess = "on" if share.max(initial=0) > 0.5 else ""
            stream.mode = f"~{said[0]}" if said else stream.mode or (guess and f"~{guess}")

    def _count_feedback(self, heard: Heard) -> None:
        known = ~np.isnan(heard.reward)
        times, reward, side = heard.time_s[known], heard.reward[known], heard.side[known]
        for code, name in enumerate(SIDES):
            part = side == code
            if part.any():
                r = reward[part]
                self.series.add(
                    times[part],
                    {f"{name}_count": 1, f"{name}_sum": r, f"{name}_squares": r * r},
                )
        arm = heard.arm[known]
        reward, arm = reward[arm >= 0], arm[arm >= 0]
        self.arm_feedback += np.bincount(arm, minlength=ARMS_MAX + 1)
        self.arm_reward += np.bincount(arm, reward, ARMS_MAX + 1)

    def _compare(self, found: Compared) -> None:
        n = len(found.reward)
        steps = min(STEPS_A_BATCH, max(1, n // 16))
        for part in np.array_split(np.arange(n), steps) if n else []:
            self._comparison.observe(found.learned[part], found.share[part], found.reward[part])
            difference, low, high, *_ = self._comparison.interval(1 - CONFIDENCE)
            if np.isfinite(low):
                values = {"looks": 1.0, "difference": difference, "low": low, "high": high}
                self.series.put(int(found.time_s[part[-1]]), values)


def _numbers(rows: Any, name: str | None, dtype: Any, missing: Any) -> Any:
    column = rows if name is None else rows.column(name)
    if str(column.type).startswith("timestamp"):
        column = column.cast("int64")
    if column.null_count:
        column = column.fill_null(missing)
    return column.to_numpy(zero_copy_only=False).astype(dtype, copy=False)
