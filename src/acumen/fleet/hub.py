"""`Hub`: the trainer of a fleet. It knows no network; `cluster` makes an actor of it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from acumen.core import model_file
from acumen.core.journal_format import JournalError, JournalInfo
from acumen.core.published import NONE, Published, Stamp
from acumen.core.trainer import Trainer
from acumen.fleet.checkpoints import Checkpoints
from acumen.fleet.ledger import Ledger, look_at_hub
from acumen.fleet.wire import decode
from acumen.learners.described import choice_of_journal

ERRORS_MAX = 100
TERM_MAX = 1 << 53  # what is beyond was never a hub's


@dataclass(frozen=True)
class Reply:
    """What a hub answers.

    Attributes:
        taken: stream → number of the last event that the hub has.
        durable: stream → the last that it would still have after a crash.
        stamp: of its newest model.
        model: that model as a file's bytes, if the caller's is older. It is the same for all: of
            which events it contains it says nothing.
        positions: stream → number of the last event in that model; of those that were asked for.
        lessons: stream → how many lessons of its are in there.
        foreign: stream → why it is left out.
        problems: what was wrong with what was sent, in words.
    """

    taken: dict[str, int] = field(default_factory=dict)
    durable: dict[str, int] = field(default_factory=dict)
    stamp: Stamp = NONE
    model: bytes | None = None
    positions: dict[str, int] = field(default_factory=dict)
    lessons: dict[str, int] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shown:
    """A model that is shown to all who ask.

    Attributes:
        stamp: its term and version.
        model: a file's bytes, without positions; None: there is none yet.
        positions: stream → number of the last event that it contains.
        lessons: stream → how many lessons of its it contains.
    """

    stamp: Stamp = NONE
    model: bytes | None = None
    positions: Mapping[str, int] = field(default_factory=dict)
    lessons: Mapping[str, int] = field(default_factory=dict)


class Hub:
    """Learns from the batches of many machines, once from each, and keeps itself safe.

    What choice it teaches it reads from the first batch. Streams of other kinds are left out: a
    fleet of two versions of a program has two hubs, see `cluster.hub_name`.

    Args:
        url: where it keeps its checkpoints, and finds them when it begins: a path for fsspec.
        pending_max: decisions that may wait for feedback, of all processes together; None: as
            many as one process keeps.
        publish_seconds: at least so much time between two models, and their checkpoints. What
            came after the last comes again after a crash: whoever sent it keeps it until then.
        scales: a model file's bytes, whose scales this hub is to begin with: one of several,
            whose statistics are to be added up; see `sharding`.

    Raises:
        ModelError: these are not a model file's bytes.
    """

    def __init__(
        self,
        url: str,
        *,
        pending_max: int | None = None,
        publish_seconds: float = 1.0,
        scales: bytes | None = None,
    ) -> None:
        self._checkpoints = Checkpoints(url)
        self._pending_max = pending_max
        self._publish_seconds = publish_seconds
        self._scales = None if scales is None else Published(NONE, *model_file.decode(scales))
        self.trainer: Trainer | None = None
        self.stamp: Stamp = (self._checkpoints.term() + 1, 0)
        self._durable: dict[str, int] = {}
        self._shown = Shown()
        self._modelled = -1
        # The root's, where this is one hub of several: its own model knows too little.
        self._relayed = Shown()
        # The newest that a caller has, whoever published it.
        self._heard: Stamp = NONE
        self._published_s = -1e9
        self.errors: list[str] = []
        self.ledger = Ledger()
        self._resume()

    def exchange(
        self,
        batches: Sequence[tuple[bytes, int]],
        have: Stamp,
        streams: Sequence[str],
        gone: Sequence[str] = (),
    ) -> Reply:
        """Takes batches, and answers what is known and what is new.

        Args:
            batches: as `wire.encode` makes them, in order; and for each the number of the last
                event before it that there is: see `Trainer.take`.
            have: stamp of the caller's newest model.
            streams: those that the caller wants to know of; the batches' own besides.
            gone: streams of which the caller has no file any more: see `Trainer.forget`.
        """
        asked, problems = set(streams), []
        self.ledger.calls += 1
        self._hear(have)
        for contents, after in batches:
            try:
                batch = decode(contents)
            except JournalError as error:
                problems.append(str(error))
                continue
            asked.add(batch.info.stream)
            try:
                trainer = self.trainer or self._begin(batch.info)
            except JournalError as error:
                problems.append(str(error))
                continue
            known = trainer.positions.get(batch.info.stream, 0)
            self.ledger.note(contents, batch, known, trainer.take(batch, after=after), have)
        if self.trainer is not None:
            self.trainer.forget(gone)
        for problem in problems:
            self.ledger.refuse(problem)
        self.tend()
        return self._reply(have, asked, problems)

    def _hear(self, have: Stamp) -> None:
        """A caller's model that is newer than all of this hub's is a predecessor's.

        The checkpoints that would have told its term are lost, or could not be written. Callers
        take only what is newer than what they have, so this hub begins a term after that one.
        """
        if not self._heard < have or have[0] > TERM_MAX:
            return
        self._heard = have
        if self._scales is None and have > self.stamp:
            self.stamp = (have[0] + 1, 0)
            self._shown, self._modelled, self._published_s = Shown(), -1, -1e9

    def tend(self, *, force: bool = False) -> None:
        """Publishes and keeps what is due."""
        trainer, now = self.trainer, time.monotonic()
        if trainer is None or not (force or now - self._published_s >= self._publish_seconds):
            return
        if trainer.positions == self._durable and self._shown.model is not None:
            return
        self._published_s = now
        lessons = trainer.taught  # and what was forgotten: that makes another model, too
        news = lessons != self._modelled and lessons > 0
        if news:
            self.stamp = (self.stamp[0], self.stamp[1] + 1)
        # Kept before it is shown: after a crash nobody has a model that contains more.
        if trainer.positions != self._durable:
            self._keep(trainer)
        if news:
            published = trainer.publish(self.stamp, positions=False)
            try:
                model = model_file.encode(published.header, published.arrays)
            except model_file.ModelError as error:
                self._note(error)
                return
            self._shown = Shown(self.stamp, model, dict(trainer.positions), dict(trainer.lessons))
            self._modelled = lessons

    def _keep(self, trainer: Trainer) -> None:
        whole = trainer.publish(self.stamp, whole=True)
        try:
            self._checkpoints.write(whole)
        except Exception as error:  # file systems of fsspec raise whatever their libraries do
            self._note(error)
        else:
            self._durable = dict(trainer.positions)

    def _note(self, error: Exception) -> None:
        self.errors = [*self.errors, str(error) or type(error).__name__][-ERRORS_MAX:]

    def model_since(self, have: Stamp) -> tuple[Shown | None, Stamp, Stamp]:
        """For a root: the own model, if `have` is older.

        Besides the stamp of what is relayed, and of the newest model that any caller has.
        """
        newer = self._shown.model is not None and have < self._shown.stamp
        return self._shown if newer else None, self._relayed.stamp, self._heard

    def relay(self, shown: Shown) -> None:
        """From a root: what callers are to have for a model, in place of the own one."""
        if shown.stamp > self._relayed.stamp:
            self._relayed = shown

    def state(self) -> dict[str, object]:
        """Counters, for people."""
        report = self.trainer.report if self.trainer else None
        return {
            "process": os.getpid(),
            "stamp": self.stamp,
            "lessons": self.trainer.choice.model_version if self.trainer else 0,
            "streams": len(self.trainer.positions) if self.trainer else 0,
            "report": report,
            "errors": tuple(self.errors),
        }

    def look(self, span: str, whole: bool) -> bytes:
        """What a page shows of it: see `ledger.look_at_hub`."""
        return look_at_hub(self, self._checkpoints, span, whole)

    def _begin(self, info: JournalInfo) -> Trainer:
        trainer = Trainer(choice_of_journal(info, self._pending_max))
        if self._scales is not None:
            try:
                trainer.settle(self._scales)
            except ValueError as error:
                raise JournalError(str(error)) from None
        self.trainer = trainer
        return trainer

    def _reply(self, have: Stamp, asked: set[str], problems: list[str]) -> Reply:
        trainer = self.trainer
        shown = self._shown if self._scales is None else self._relayed
        reply = Reply(stamp=shown.stamp, problems=tuple(problems))
        if shown.model is not None and have < shown.stamp:
            reply = replace(
                reply,
                model=shown.model,
                positions={s: shown.positions[s] for s in asked if s in shown.positions},
                lessons={s: shown.lessons[s] for s in asked if s in shown.lessons},
            )
        if trainer is None:
            return reply
        return replace(
            reply,
            taken={s: trainer.positions.get(s, 0) for s in asked},
            durable={s: self._durable.get(s, 0) for s in asked},
            foreign={s: why for s, why in trainer.report.foreign.items() if s in asked},
        )

    def _resume(self) -> None:
        """From the newest checkpoint that can be used."""
        checkpoint = self._checkpoints.newest()
        while checkpoint is not None:
            try:
                info = JournalInfo.from_json(checkpoint.header["trainer"]["info"])
                self._begin(info).resume(checkpoint)
                self._durable = dict(self.trainer.positions) if self.trainer else {}
                break
            except (ValueError, KeyError, TypeError) as error:
                self.errors.append(f"checkpoint {checkpoint.stamp}: {error}")
                self.trainer = None
                checkpoint = self._checkpoints.newest(checkpoint.stamp)
        self.errors += self._checkpoints.problems
        if self.trainer is not None:
            self.tend()
