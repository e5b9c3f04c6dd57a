"""A watch over a live choice: notices drift of contexts and rewards, and does something about it.

The watch stands beside the choice and reads its recent decisions, from another thread or whenever
it is asked to; choosing does nothing for it. It keeps one detector for each field of the context,
and two for rewards:

- `reward of the default`: what decisions earned that a coin, or the mode, left to the default. The
  coin knows nothing of the context, so this is a stationary stream while the world is. It is thin
  in mode `on` (the holdback's share).
- `reward of the learned policy`: a policy that learns changes its own rewards, so it is watched for
  falls alone. The guarantee allows it to get better.

Rewards are taken in the order of their decisions. One that has not come is waited for until half
of the choice's ring (`pending_max`) is younger: were they taken as they arrive, slow answers would
lack at the beginning, and come in a crowd where polling pauses.

The bound on false alarms is that of `DriftDetector`, shared among all: while neither contexts nor
the world's rewards change, and decisions are independent, an alarm among N decisions has a
probability of at most N / `decisions_per_alarm`, for every N. Where neighbours resemble each other
there is no such bound: say ``every="auto"``.

References:
    Vovk et al., "Retrain or not retrain: conformal test martingales for change-point detection",
    COPA 2021. Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric framework for sequential change
    detection", New England Journal of Statistics in Data Science 2023.
"""

from __future__ import annotations

import json
import math
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.core.background import Regular
from acumen.core.drift import Drift, DriftDetector, is_old
from acumen.core.forgetting import forget
from acumen.core.thinning import Thinning

if TYPE_CHECKING:
    from acumen.core.choice import Choice

REACTIONS = ("warn", "explore", "fall_back")
BY_DEFAULT, BY_POLICY = "reward of the default", "reward of the learned policy"
ALARMS_MAX = 1000

_WAITING, _TIMED_OUT = 1, 3
_DEFAULTS = [_native.REASONS.index(r) for r in ("holdback", "control", "shadow", "off", "killed")]
_LEARNED = _native.REASONS.index("learned")


@dataclass(frozen=True)
class DriftAlarm:
    """What a watch noticed, and what it did.

    Attributes:
        stream: a field of the context, `reward of the default` or `reward of the learned policy`.
        kind: ``higher``, ``lower``, ``wider``, ``narrower``, or of categories ``other``.
        decision: number of the decision at which it was noticed, in the process's own count.
        since: about so many decisions earlier it began.
        values: of this stream, compared since its beginning or its last alarm.
        reaction: ``warn``, ``explore`` or ``fall_back``: what was done.
        reason: in words, and why no more was done where less than asked for was done.
        time: seconds since 1970.
    """

    stream: str
    kind: str
    decision: int
    since: int
    values: int
    reaction: str
    reason: str
    time: float


class _Stream:
    """A detector, what it looks at, and which decisions its latest values belong to."""

    def __init__(self, detector: DriftDetector, history: int, thinning: Thinning | None) -> None:
        self.detector, self.thinning = detector, thinning
        self.numbers: deque[int] = deque(maxlen=history)

    def take(self, numbers: NDArray[Any], values: NDArray[Any]) -> Iterator[tuple[int, int, Drift]]:
        """Alarms: number of the decision, number of the one with which it began, the drift."""
        if self.thinning is not None:
            kept = self.thinning.keep(values)
            numbers, values = numbers[kept], values[kept]
        taken = 0
        for drift in self.detector.update(values):
            self.numbers.extend(numbers[taken : drift.index + 1].tolist())
            taken = drift.index + 1
            back = min(max(drift.since, 1), len(self.numbers))
            yield self.numbers[-1], self.numbers[-back], drift
        self.numbers.extend(numbers[taken:].tolist())

    def restart(self) -> None:
        self.detector.restart()
        self.numbers.clear()


class DriftWatch:
    """Watches a choice for drift. `look` reads what is new; `start` does so every now and then.

    Reactions, each of them on record in the choice's journal with its reason (`note` events):

    - ``warn``: a `RuntimeWarning`, which the others give, too.
    - ``explore``: forgets what was learned before the drift began, so that the learner explores
      again (`Choice.forget`).
    - ``fall_back``: the default serves from now on, in mode `shadow`, in which the learner goes on
      learning from it. Somebody has to switch the choice on again.

    Within `settle` decisions after a reaction further alarms only warn: one event moves many
    streams, and a model that has just forgotten is worse for a while.

    Args:
        choice: what is watched.
        on_context: what is done when a field of the context drifts.
        on_reward: what is done when rewards drift.
        decisions_per_alarm: at least so many decisions come between false alarms on average.
        settle: decisions of the learned policy whose rewards are left out at first, and after it
            forgot; and that pass between two reactions.
        every: looks at every so manieth decision only; where neighbours resemble each other, those
            that are looked at should not. ``"auto"``: the first 1,024 values of each stream choose
            it for that stream (`Thinning`), and are compared with nothing.
        seed: of the coins that break ties.

    Raises:
        ValueError: an unknown reaction or an impossible number.

    >>> import acumen
    >>> choice = acumen.Choice(
    ...     "c", ["a", "b"], context={"x": float}, default="a", metric=acumen.maximize("r"), seed=1
    ... )
    >>> watch = acumen.DriftWatch(choice, on_context="fall_back")
    >>> rng = np.random.default_rng(1)
    >>> for i in range(3000):
    ...     _ = choice.choose(x=rng.normal() + (i > 2000)).feedback(r=rng.normal())
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     [alarm] = watch.look()
    >>> alarm.stream, alarm.kind, 2000 < alarm.decision < 2100, choice.mode
    ('x', 'higher', True, 'shadow')
    """

    def __init__(
        self,
        choice: Choice,
        *,
        on_context: str = "warn",
        on_reward: str = "explore",
        decisions_per_alarm: float = 1e7,
        settle: int = 1000,
        every: int | str = 1,
        seed: int = 0,
    ) -> None:
        for reaction in (on_context, on_reward):
            if reaction not in REACTIONS:
                raise ValueError(f"a reaction is one of {REACTIONS}, not {reaction!r}")
        if not (math.isfinite(decisions_per_alarm) and decisions_per_alarm >= 1):
            raise ValueError(f"decisions_per_alarm must be 1 or more, not {decisions_per_alarm}")
        if settle < 0 or (every != "auto" and not (isinstance(every, int) and every >= 1)):
            raise ValueError(
                f"settle >= 0 and every >= 1, or 'auto', are needed, not {settle} and {every!r}"
            )
        self.choice = choice
        self.on_context, self.on_reward = on_context, on_reward
        self.decisions_per_alarm = decisions_per_alarm
        self.settle, self.every = settle, every
        self._every = every if isinstance(every, int) else 1
        self.alarms: deque[DriftAlarm] = deque(maxlen=ALARMS_MAX)
        settings: dict[str, Any] = choice._settings
        self._timeout_reward: float | None = settings["timeout_reward"]
        self._patience = max(settings["pending_max"], 512) // 2
        self._streams = self._detectors(seed)
        self._objective = choice.objective
        self._unsettled = settle
        self._looked = self._missed = 0
        # The newest decision at a look, and when that was: what has a higher number came later.
        self._looks: deque[tuple[int, float]] = deque(maxlen=2 * self._patience)
        self._began_s = time.time()
        self._count_anew()
        self._lock = threading.Lock()
        self._background = Regular(f"acumen-drift-{choice.name}", self.look, self._after_fork)

    def _detectors(self, seed: int) -> dict[str, _Stream]:
        schema = self.choice.schema
        kinds = [
            (name, f.buckets > 0, False)
            for name, f in zip(schema.names, schema.fields, strict=True)
        ]
        kinds += [(BY_DEFAULT, False, False), (BY_POLICY, False, True)]
        share = self.decisions_per_alarm * len(kinds)
        return {
            name: _Stream(
                DriftDetector(
                    records_per_alarm=share, categories=codes, falls=falls, name=name, seed=seed + i
                ),
                2 * self._patience,
                Thinning(codes) if self.every == "auto" else None,
            )
            for i, (name, codes, falls) in enumerate(kinds)
        }

    def look(self) -> list[DriftAlarm]:
        """Reads the decisions since the last look, and reacts. The alarms, mostly none.

        Decisions that left the choice's ring between two looks are missed, and counted.
        """
        with self._lock:
            found = self._read()
            alarms = [self._react(*alarm) for alarm in found]
            self.alarms.extend(alarms)
        for alarm in alarms:
            message = f"choice {self.choice.name!r}: {alarm.reason}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return alarms

    def start(self, seconds: float = 1.0) -> DriftWatch:
        """Looks every so many seconds, in a thread of its own, until `stop`.

        Raises:
            ValueError: no positive time.
        """
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(f"a positive number of seconds is needed, not {seconds}")
        self.stop()
        self._background.start_every(seconds)
        return self

    def stop(self) -> None:
        """Ends the thread, after the look that it is at."""
        self._background.stop()

    @property
    def last_error(self) -> str:
        """What a look of the thread raised, in words; empty if none did."""
        return self._background.last_error

    def __enter__(self) -> DriftWatch:
        """Starts, unless it has been started."""
        return self if self._background.alive else self.start()

    def __exit__(self, *_: object) -> None:
        """Stops."""
        self.stop()

    def status(self) -> dict[str, Any]:
        """How it stands: decisions looked at and missed, and each stream's values and evidence.

        Evidence goes from 0 to 1, where the alarm is. `every` is what was chosen (0: not yet).
        """
        streams = {
            name: {
                "values": s.detector.records,
                "evidence": s.detector.evidence,
                "every": s.thinning.every if s.thinning else self._every,
            }
            for name, s in self._streams.items()
        }
        return {"looked_at": self._looked, "missed": self._missed, "streams": streams}

    def _count_anew(self) -> None:
        self._seen = self._rewarded = self._reacted = 0
        self._began_s = self._looks[-1][1] if self._looks else self._began_s
        self._looks.clear()
        for stream in self._streams.values():
            stream.numbers.clear()

    def _read(self) -> list[tuple[int, int, Drift]]:
        """New values to the detectors; their alarms, in the order of the decisions."""
        read = self.choice._records(min(self._seen, self._rewarded))
        numbers = read["number"]
        if not len(numbers):
            if not self._seen or len(self.choice._records(self._seen - 1)["number"]):
                return []
            # What was seen last is there no more: it was a replay's, after which counts begin anew.
            self._count_anew()
            return self._read()
        if self._seen:
            self._missed += max(int(numbers[0]) - self._seen - 1, 0)
        found = self._read_contexts(numbers, read) + self._read_rewards(numbers, read)
        if numbers[-1] > self._seen:
            self._seen = int(numbers[-1])
            self._looks.append((self._seen, time.time()))
        return sorted(found, key=lambda alarm: alarm[0])

    def _read_contexts(
        self, numbers: NDArray[np.int64], read: dict[str, Any]
    ) -> list[tuple[int, int, Drift]]:
        schema = self.choice.schema
        new = (numbers > self._seen) & (numbers % self._every == 0)
        self._looked += int(new.sum())
        numbers = numbers[new]
        rows = read["context"].reshape(len(new), len(schema.fields))[new]
        found: list[tuple[int, int, Drift]] = []
        for name, field, column in zip(schema.names, schema.fields, rows.T, strict=True):
            old = is_old(column, field)
            found += self._streams[name].take(numbers[old], column[old])
        return found

    def _read_rewards(
        self, numbers: NDArray[np.int64], read: dict[str, Any]
    ) -> list[tuple[int, int, Drift]]:
        objective, state = self.choice.objective, read["state"]
        if objective is not self._objective:
            # Another objective makes other numbers of the same world.
            self._objective = objective
            self._streams[BY_DEFAULT].restart()
            self._await_policy()
        due = numbers > self._rewarded
        awaited = due & (state == _WAITING) & (numbers > numbers[-1] - self._patience)
        if awaited.any():
            due &= numbers < numbers[awaited][0]
        if not due.any():
            return []
        self._rewarded = int(numbers[due][-1])
        metrics = read["metrics"].reshape(len(numbers), len(objective.metrics))
        rewards = _native.rewards(objective.native(), metrics)
        if self._timeout_reward is not None:
            rewards = np.where(state == _TIMED_OUT, self._timeout_reward, rewards)
        due &= np.isfinite(rewards) & (numbers % self._every == 0)
        by_default = due & np.isin(read["reason"], _DEFAULTS)
        found = list(self._streams[BY_DEFAULT].take(numbers[by_default], rewards[by_default]))
        learned = np.flatnonzero(due & (read["reason"] == _LEARNED))
        early, learned = np.split(learned, [min(self._unsettled, len(learned))])
        self._unsettled -= len(early)
        return found + list(self._streams[BY_POLICY].take(numbers[learned], rewards[learned]))

    def _react(self, number: int, first: int, drift: Drift) -> DriftAlarm:
        """Does what is to be done about a drift; on record before the choice is changed."""
        of_rewards = drift.name in (BY_DEFAULT, BY_POLICY)
        reaction = self.on_reward if of_rewards else self.on_context
        how = "distributed otherwise" if drift.kind == "other" else drift.kind
        reason = f"{drift.name} is {how} than before, for about {number - first + 1} decisions"
        less = self._objection(number, reaction)
        if less:
            reaction, reason = "warn", f"{reason}; no more than this warning, because {less}"
        since = self._seen - first + 1
        alarm = DriftAlarm(
            drift.name, drift.kind, number, since, drift.records, reaction, reason, time.time()
        )
        self._note(alarm)
        if reaction != "warn":
            self._reacted = self._seen
        if reaction == "explore":
            began_s = next((s for n, s in reversed(self._looks) if n < first), self._began_s)
            forget(self.choice, keep=since, reason=reason, began_s=began_s)
            self._await_policy()
        elif reaction == "fall_back":
            self.choice.set_mode("shadow", why=reason, by="DriftWatch")
        return alarm

    def _objection(self, number: int, reaction: str) -> str:
        """Why less than this reaction is right; or nothing."""
        if reaction != "warn" and self._reacted and number <= self._reacted + self.settle:
            return "there was a reaction a moment ago"
        if reaction == "fall_back" and self.choice.mode in ("off", "shadow", "killed"):
            return "the default serves already"
        return ""

    def _await_policy(self) -> None:
        """What the learned policy earns is compared anew, once it has settled."""
        self._streams[BY_POLICY].restart()
        self._unsettled = self.settle

    def _note(self, alarm: DriftAlarm) -> None:
        if self.choice.journal is None:
            return
        from acumen.core.journal_format import KIND_CODES

        said = {key: value for key, value in asdict(alarm).items() if key != "time"}
        self.choice._note(KIND_CODES["note"], json.dumps({"drift": said}))

    def _after_fork(self) -> None:
        """In the child: decisions are counted anew."""
        self._lock = threading.Lock()
        self._count_anew()
        self._began_s = time.time()
