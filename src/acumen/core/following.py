"""`follow`: a choice takes over what others have learned, while it goes on choosing.

A trainer (training.py, or a fleet's hub) publishes models that contain the events of all processes
up to some positions. A follower's thread looks for a newer one, prepares it off to the side,
teaches it the lessons that this process has learned after its own position in there (from the
ring of recent decisions; episodes as wholes), and lets it change places with the choice's model:
see native/include/acumen/draft.hpp. Whoever chooses meanwhile waits no longer than for a feedback.

A model that has nothing but this process's own lessons is left alone. So with one process a choice
that follows is, bit for bit, one that does not.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from acumen import _native
from acumen.core import snapshot
from acumen.core.background import Background
from acumen.core.journal import open_journal
from acumen.core.journal_segments import folder_of
from acumen.core.journaling import describe
from acumen.core.learner import build
from acumen.core.published import MODELS, NONE, ModelFolder, Published, Stamp
from acumen.core.replay import positions_event
from acumen.core.trainer import stated, taught_in
from acumen.core.training import Training
from acumen.core.twin import kind_of, twin

if TYPE_CHECKING:
    from acumen.core.choice import Choice
    from acumen.core.journal import Journal
    from acumen.core.journal_writer import JournalWriter

STOP_SECONDS = 1.0
WARNINGS_MAX = 16  # different ones; all are counted


class Office(Protocol):
    """Who makes the models: a `Training`, or who brings them from elsewhere."""

    def start(self) -> None:
        """Begins, in the background."""
        ...

    def stop(self) -> None:
        """Ends, within a bounded time."""
        ...

    def stop_soon(self) -> None:
        """Ends without being waited for."""
        ...


class ModelSource(Protocol):
    """Where published models come from."""

    def newer(self, than: Stamp, problems: list[str]) -> Published | None:
        """The newest model that can be read and is newer; None if there is none."""
        ...


@dataclass
class FollowingHealth:
    """How following goes.

    Attributes:
        term: of the newest model that was looked at,
        version: and its version.
        taken: models that were taken over.
        own: models that had nothing but this process's own lessons.
        refused: models that are damaged, or made for another kind of choice.
        behind: models that could not be taken: lessons came faster than they could be learned
            again. The next one is tried.
        caught_up: own lessons that were learned again.
        missed: own lessons that could not be, because their decisions are no longer kept: at least
            so many. The next model has them.
        errors: attempts that failed otherwise.
        last_problem: in words; empty if there was none.
    """

    term: int = 0
    version: int = 0
    taken: int = 0
    own: int = 0
    refused: int = 0
    behind: int = 0
    caught_up: int = 0
    missed: int = 0
    errors: int = 0
    last_problem: str = ""


class Follower:
    """Keeps a choice's model up to date with what others publish; see `follow`.

    Args:
        choice: with a journal, by which the trainer hears of it, and a native learner.
        source: where models come from.
        poll_seconds: how often to look.
        training: the trainer that this process offers, if it does; it ends with the follower.

    Attributes:
        health: counters.
        training: as given.

    Raises:
        ValueError: the choice has no journal, or `poll_seconds` is not positive.
        TypeError: its learner is not native.
    """

    def __init__(
        self,
        choice: Choice,
        source: ModelSource,
        *,
        poll_seconds: float = 0.1,
        training: Office | None = None,
    ) -> None:
        if choice.journal is None:
            raise ValueError("a choice that follows needs a journal: the trainer learns from it")
        if not isinstance(choice.learner, _native.Learner):
            raise TypeError(
                f"a choice can follow with a native learner only, and {choice._learner_name} is "
                "written in Python: it can be trained, and load what was published; docs/fleet.md"
            )
        if poll_seconds <= 0:
            raise ValueError(f"poll_seconds must be positive, not {poll_seconds}")
        self.health = FollowingHealth()
        self.training = training
        self._choice = weakref.ref(choice)
        self._source = source
        self._poll_seconds = poll_seconds
        self._warned: set[str] = set()
        self._elsewhere = 0  # lessons that the model has of streams which it does not name
        self._background = Background("acumen-following", self._run, self._begin_in_child)
        self._kind = kind_of(describe(choice, "0" * 12 + "-" + "0" * 6))
        self._arm(choice)
        weakref.finalize(choice, self._stop_soon).atexit = False

    def _arm(self, choice: Choice) -> None:
        writer = choice.journal
        assert writer is not None
        writer._buffer.remember_lessons(choice)
        self._writer: JournalWriter = writer
        # What the model contains of others.
        self._contained = dict(choice._held.positions)
        self._own = 0
        self._seen: Stamp = NONE

    def step(self) -> bool:
        """Looks once; whether the choice has another model now.

        Raises:
            OSError: the source cannot be read.
        """
        choice = self._choice()
        if choice is None:
            self._stop_soon()
            return False
        problems: list[str] = []
        found = self._source.newer(self._seen, problems)
        for problem in problems:
            self._refuse(problem)
        if found is None:
            return False
        self._seen = found.stamp
        self.health.term, self.health.version = found.stamp
        try:
            positions = self._check(choice, found)
        except ValueError as error:
            self._refuse(f"model {found.stamp[0]}.{found.stamp[1]}: {error}")
            return False
        if not self._has_news(found, positions):
            self.health.own += 1
            return False
        return self._take(choice, found, positions)

    def _refuse(self, problem: str) -> None:
        self.health.refused += 1
        self.health.last_problem = problem
        cause = problem.partition(": ")[2] or problem
        if cause not in self._warned and len(self._warned) < WARNINGS_MAX:
            self._warned.add(cause)
            # Filters may turn a warning into an error; this thread has to live on.
            with contextlib.suppress(Exception):
                message = f"a published model is refused, the last good one stays: {problem}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)

    def _check(self, choice: Choice, found: Published) -> dict[str, int]:
        positions, _ = stated(found.header)
        taught_in(found.header)
        said, mine = found.header, choice._header()
        for key in ("schema", "learner", "objective"):
            if said.get(key) != mine[key]:
                raise ValueError(f"its {key} is {said.get(key)!r}, here it is {mine[key]!r}")
        if said["trainer"].get("kind") != self._kind:
            raise ValueError("it was made for another kind of choice")
        if positions.get(self._writer.stream, 0) > self._writer.sequence:
            raise ValueError("it contains events that this process has not written")
        return positions

    def _has_news(self, found: Published, positions: dict[str, int]) -> bool:
        _, lessons = stated(found.header)
        own = self._writer.stream
        if self._own and own not in positions:
            # Whoever made it has lost what this process had told, or has forgotten how much of it
            # there is: its files are all gone. Another one comes when there are more events.
            return False
        near = any(
            number > self._contained.get(stream, 0) and stream in lessons
            for stream, number in positions.items()
            if stream != own
        )
        return near or elsewhere(found) > self._elsewhere

    def _take(self, choice: Choice, found: Published, positions: dict[str, int]) -> bool:
        writer = self._writer
        learner = build(choice._learner_spec, choice.dimension, choice._arms)
        model = {name: array for name, array in found.arrays.items() if ":" not in name}
        own = positions.pop(writer.stream, 0)
        if own < choice._forgot_at:
            return self._falls_behind("it has what was forgotten here, or another objective's")
        try:
            draft = _native.Draft(choice, writer._buffer, learner, model, own)
        except ValueError as error:
            self._refuse(f"model {found.stamp[0]}.{found.stamp[1]}: {error}")
            return False
        text = positions_event(positions | {writer.stream: own}, history=False)
        with snapshot.model_lock:
            if own < choice._forgot_at:  # just now
                return self._falls_behind("it has what was forgotten here, or another objective's")
            problem = draft.exchange(choice, choice.learner, text)
            if not problem:
                choice._held = snapshot.Held(positions, history=False, followed=True)
        if problem:
            return self._falls_behind(problem)
        self._contained, self._own, self._elsewhere = positions, own, elsewhere(found)
        self.health.taken += 1
        self.health.caught_up += draft.caught_up
        self.health.missed += draft.missed
        return True

    def _falls_behind(self, problem: str) -> bool:
        self.health.behind += 1
        self.health.last_problem = problem
        return False

    # The thread.

    def start(self) -> None:
        """Looks regularly, in a background thread, until `stop` or the end of the program."""
        self._background.start()
        if self.training is not None:
            self.training.start()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Ends the thread; the model stays as it is."""
        self._background.stop(timeout)
        if self.training is not None:
            self.training.stop()

    def _stop_soon(self) -> None:
        self._background.stop_soon()
        if self.training is not None:
            self.training.stop_soon()

    def _run(self, stop: threading.Event) -> None:
        idle = self._poll_seconds
        while not stop.wait(idle):
            try:
                self.step()
                idle = self._poll_seconds
            except Exception as error:  # whatever it is, the thread must not end in silence
                self.health.errors += 1
                self.health.last_problem = str(error) or type(error).__name__
                idle = min(2 * idle, 5.0)

    def _begin_in_child(self) -> None:
        """After fork(), in the child: another stream, which the choice has begun already."""
        choice = self._choice()
        if choice is not None and choice.journal is not None:
            self.health = FollowingHealth()
            self._arm(choice)
            self._background.start()


def elsewhere(found: Published) -> int:
    """Lessons of a model that are of streams which it does not name: of other machines.

    Raises:
        ValueError: it says nothing that makes sense.
    """
    return taught_in(found.header) - sum(stated(found.header)[1].values())


def follow(
    choice: Choice,
    journal: Journal | str | os.PathLike[str] | None = None,
    *,
    train: bool = False,
    poll_seconds: float = 0.1,
    publish_seconds: float = 1.0,
) -> Follower:
    """Lets a choice share what it learns with all processes that journal into its directory.

    Args:
        choice: with a journal there.
        journal: the directory; None: that of the choice's own journal.
        train: whether this process offers to be the trainer; of those that do, one is elected.
            Without, run `acumen train DIR --watch` beside them.
        poll_seconds: how often to look for a newer model.
        publish_seconds: how often to publish one, where this process is the trainer.

    Returns:
        What follows, in a background thread; it ends with the choice, or with `stop`.

    Raises:
        ValueError: the choice has no journal.
        TypeError: its learner is not native.
    """
    if choice.journal is None:
        raise ValueError("a choice that follows needs a journal: the trainer learns from it")
    opened = choice.journal.journal if journal is None else open_journal(journal)
    folder = folder_of(opened.path, choice.name)
    kind = kind_of(describe(choice, choice.journal.stream))
    training = None
    if train:
        taught = twin(choice)  # it must not keep the choice alive
        training = Training(lambda: twin(taught), opened, publish_seconds=publish_seconds)
    follower = Follower(
        choice, ModelFolder(folder / MODELS / kind), poll_seconds=poll_seconds, training=training
    )
    follower.start()
    return follower
