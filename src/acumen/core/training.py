"""Training in a directory: who is elected reads the journal and publishes models beside it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acumen.core.background import Background
from acumen.core.health import OfficeHealth
from acumen.core.journal import open_journal
from acumen.core.journal_segments import folder_of
from acumen.core.journal_tail import Absences, JournalTail
from acumen.core.published import MODELS, NONE, Candidacy, ModelFolder, Stamp
from acumen.core.trainer import Trainer, taught_in

if TYPE_CHECKING:
    from acumen.core.choice import Choice
    from acumen.core.journal import Journal

KEEP = 3
PROBLEMS_MAX = 100
STOP_SECONDS = 2.0


@dataclass
class TrainingHealth(OfficeHealth):
    """How training goes; `elected`: whether this process is the trainer now.

    Attributes:
        elections: times that it became it.
        published: models.
        checkpoints: with all that a successor needs.
        deposed: times that somebody else had taken the lock meanwhile.
    """

    elections: int = 0
    published: int = 0
    checkpoints: int = 0
    deposed: int = 0


class Training:
    """Stands for election as the trainer of a choice, and trains while it holds the office.

    Args:
        make: makes the choice that is taught, anew for every term; see `twin.twin`.
        journal: the directory, or a `Journal`, that the processes write.
        publish_seconds: at least so much time between two models.
        checkpoint_seconds: between two that a successor can go on from.
        poll_seconds: how often to look for new events.
        patience_seconds: a trainer that shows no sign of life for so long is replaced.

    Raises:
        ValueError: a setting is not positive.
    """

    def __init__(
        self,
        make: Callable[[], Choice],
        journal: Journal | str | os.PathLike[str],
        *,
        publish_seconds: float = 1.0,
        checkpoint_seconds: float = 10.0,
        poll_seconds: float = 0.05,
        patience_seconds: float = 10.0,
    ) -> None:
        if min(publish_seconds, checkpoint_seconds, poll_seconds, patience_seconds) <= 0:
            raise ValueError("times must be positive numbers of seconds")
        self._make = make
        self._publish_seconds = publish_seconds
        self._checkpoint_seconds = checkpoint_seconds
        self._poll_seconds = poll_seconds
        self._patience_seconds = patience_seconds
        self._root = open_journal(journal).path
        self.health = TrainingHealth()
        self.problems: list[str] = []
        self._forgotten = False
        self._stop = threading.Event()
        self._background = Background(
            "acumen-training", self.run, self._begin_in_child, self._give_up_office
        )
        self._begin(make())

    def _begin(self, choice: Choice) -> None:
        """No office, and a trainer that knows nothing."""
        self.trainer = Trainer(choice)
        self._tail = JournalTail(folder_of(self._root, choice.name), self._show_life)
        self._absences = Absences()
        self.models = ModelFolder(self._tail.folder / MODELS / self.trainer.kind)
        self._candidacy = Candidacy(self.models, self._patience_seconds)
        self.stamp: Stamp = NONE
        # Before it has read all that there is, it may know less than the last model that is there.
        self.caught_up = False
        self._published_lessons = self._checkpoint_events = -1
        self._published_s = self._checkpoint_s = self._alive_s = -1e9

    @property
    def has_holes(self) -> bool:
        """Whether events seem to be missing that may still turn up."""
        return self._tail.has_holes

    @property
    def folder(self) -> Path:
        """Where the models are."""
        return self.models.folder

    def step(self) -> bool:
        """Stands for election, or reads and publishes what is new; whether there was anything.

        Raises:
            OSError: the directory cannot be read or written.
        """
        if self.health.elected and not self._candidacy.elected:
            self.health.deposed += 1
            self._leave()
        # Without a journal there is nothing to be elected for, and no folder to make.
        if not (self.health.elected or (self._tail.folder.is_dir() and self._stand())):
            return False
        self._show_life()
        busy = cut = False
        foreign = dict.fromkeys(self.trainer.report.foreign, 1 << 62)
        known = _Known(self.trainer.positions, foreign)
        for batch in self._tail.read(known):
            after = known.get(batch.info.stream)
            if self.trainer.take(batch, after=after) == "foreign":
                foreign[batch.info.stream] = 1 << 62
            busy = True
            due = time.monotonic() - self._published_s >= self._publish_seconds
            # Who was replaced reads no further: a successor does, and this would all be forgotten.
            over = self._stop.is_set() or not self._candidacy.elected
            cut = over or (self.caught_up and due)
            if cut:
                break
        self.caught_up = self.caught_up or not cut
        self._tell(self._tail.problems)
        if not cut and self._tail.present and self._candidacy.elected:
            # The lock lies in the same folder: it is the one that was read, and no empty mount.
            streams = [*self.trainer.positions, *self.trainer.report.foreign]
            self.trainer.forget(self._absences.gone(streams, self._tail.streams))
        self.publish()
        return busy

    def _show_life(self) -> None:
        if time.monotonic() - self._alive_s > self._patience_seconds / 10:
            self._alive_s = time.monotonic()
            self._candidacy.show_life()

    def _tell(self, problems: MutableSequence[str]) -> None:
        self.problems = list(dict.fromkeys([*self.problems, *problems]))[-PROBLEMS_MAX:]
        problems.clear()

    def _stand(self) -> bool:
        term = self._candidacy.stand()
        if term is None:
            return False
        self._show_life()
        self._begin_term(term)
        self.health.elected = True
        self.health.elections += 1
        return True

    def _begin_term(self, term: int) -> None:
        candidacy = self._candidacy
        found: list[str] = []
        upto: Stamp = (1 << 62, 0)
        while True:
            checkpoint = self.models.newer(NONE, found, "checkpoint")
            if checkpoint is None or checkpoint.stamp >= upto:
                break
            upto = checkpoint.stamp
            try:
                self.trainer.resume(checkpoint)
                model = self.models.newer(NONE, found)
                if model is not None and model.stamp == checkpoint.stamp:
                    # Nothing is new, but what the checkpoint has learned since.
                    self._checkpoint_events = 0
                    with contextlib.suppress(ValueError):  # the checkpoint is good all the same
                        self._published_lessons = taught_in(model.header)
                break
            except ValueError as error:
                found.append(f"checkpoint {checkpoint.stamp}: {error}")
                self.models.give_up(checkpoint.stamp, "checkpoint")
                self.trainer = Trainer(self._make())
        self._candidacy = candidacy
        newest = self.models.files()[:1]
        self.stamp = (term, newest[0][0][1] if newest else 0)
        self._tell(found)

    def publish(self, *, force: bool = False) -> bool:
        """Publishes the model if something was learned since the last; whether it did.

        Args:
            force: without waiting for its time, and a checkpoint too.

        Raises:
            ModelError: it is larger than a model may be; nothing has been published.
            OSError: it cannot be written.
        """
        now, trainer = time.monotonic(), self.trainer
        # What was forgotten counts, too: that makes another model.
        lessons, events = trainer.taught, trainer.report.events
        if not (self.caught_up and self.health.elected and self._candidacy.elected):
            return False
        due = force or now - self._published_s >= self._publish_seconds
        news = due and lessons != self._published_lessons and lessons > 0
        if news:
            self.stamp = (self.stamp[0], self.stamp[1] + 1)
            self._write("model")
            self._published_lessons, self._published_s = lessons, time.monotonic()
            self.health.published += 1
        late = force or now - self._checkpoint_s >= self._checkpoint_seconds
        if late and events != self._checkpoint_events:
            self._write("checkpoint")
            self._checkpoint_events, self._checkpoint_s = events, time.monotonic()
            self.health.checkpoints += 1
        if news:
            self.models.prune(KEEP, self.stamp)
        return news

    def _write(self, what: str) -> None:
        """Writing a large model to a busy disk takes its time, and is no sign of death."""
        self._show_life()
        published = self.trainer.publish(self.stamp, whole=what == "checkpoint")
        self._show_life()
        self.models.write(published, what)
        self._show_life()

    def _leave(self) -> None:
        self._candidacy.resign()
        self.health.elected = False
        self._begin(self._make())

    # In a thread of this process.

    def start(self) -> None:
        """Trains in a background thread until `stop`, or the end of the program."""
        self._background.start()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Ends the thread and gives the office up, for somebody else to take it at once."""
        if self._background.stop(timeout):
            self._give_up_office()

    def stop_soon(self) -> None:
        """Tells the thread to end; the lock is free when it has."""
        self._forgotten = True
        self._background.stop_soon()

    def _give_up_office(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.publish(force=True)
        self._candidacy.resign()
        self.health.elected = False

    def run(self, stop: threading.Event) -> None:
        """Trains until `stop` is set; what fails is counted and tried again."""
        self._stop = stop
        idle = self._poll_seconds
        while not stop.is_set():
            busy = False
            try:
                busy = self.step()
                idle = self._poll_seconds
            except Exception as error:  # whatever it is, the thread must not end in silence
                self.health.note(error)
                idle = min(2 * idle, 5.0)
            if not busy:
                stop.wait(idle)
        if self._forgotten:
            self._give_up_office()

    def _begin_in_child(self) -> None:
        """After fork(): the office is the parent's; this one stands for itself."""
        self._leave()
        self.health = TrainingHealth()
        self.start()


class _Known:
    """Positions of the trainer, and of streams that are none of its business."""

    def __init__(self, positions: dict[str, int], foreign: dict[str, int]) -> None:
        self._positions, self._foreign = positions, foreign

    def get(self, stream: str, default: int = 0) -> int:
        return self._foreign.get(stream) or self._positions.get(stream, default)
