"""Where a gate stands: what survives a restart, and what processes share.

A small file, replaced by one rename, under a lock that no process waits for. It holds the stage,
and the sums of all processes' decisions in this stage. Where it is missing or damaged, the last
transition in the journal tells the stage; the sums begin anew then, as another attempt.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from acumen.core.array_file import make_folder, sync_folder
from acumen.core.choice import Choice
from acumen.core.journal import Journal
from acumen.core.journal_format import JournalError
from acumen.core.journal_segments import folder_of
from acumen.evaluation.promotion.sums import Moments, Tossed, finite, moments

FORMAT = 1
BYTES_MAX = 1 << 20
HISTORY_MAX = 50
WHY_MAX = 1000  # characters
LEFT_SECONDS = 3600.0  # a file that is written takes no longer
_BEGUN = ".acumen-partial"  # ends what is not written yet, and nobody else's files
BY = "acumen.Promotion"


class StoreError(ValueError):
    """A file that is damaged, foreign or of a later format."""


@dataclass(frozen=True)
class Transition:
    """One step of a candidate, up or down.

    Attributes:
        time: when, in seconds since 1970.
        before: the stage that it left.
        after: the stage that it entered.
        why: in words.
    """

    time: float
    before: str
    after: str
    why: str


@dataclass
class State:
    """Where a gate stands.

    Attributes:
        serial: transitions so far, of any process.
        stage: 0 shadow, then one a canary step, then on.
        attempt: from 1; another one begins with every rollback.
        rollbacks: so far.
        since: when this stage began, in seconds since 1970.
        cool_until: before that no new attempt begins.
        window: the how-many-th stretch of decisions is being watched in the last stage, from 1.
        looks: off-policy estimates that were made in this attempt.
        look_rows: decisions that the last of them was made of.
        plan: the gate's settings that the evidence was gathered under.
        tossed: decisions in this stage and window, of all processes.
        metrics: of those of the learned policy, what the guardrails watch: name → moments.
        history: the last transitions, oldest first.
    """

    serial: int = 0
    stage: int = 0
    attempt: int = 1
    rollbacks: int = 0
    since: float = 0.0
    cool_until: float = 0.0
    window: int = 1
    looks: int = 0
    look_rows: int = 0
    plan: str = ""
    tossed: Tossed = field(default_factory=Tossed)
    metrics: dict[str, Moments] = field(default_factory=dict)
    history: list[Transition] = field(default_factory=list)

    def forget_evidence(self) -> None:
        """Sums begin anew."""
        self.tossed, self.metrics = Tossed(), {}

    def moved(self, stage: int, names: Sequence[str], why: str) -> State:
        """Another stage, whose evidence begins with nothing; on the way down looks count anew."""
        now, up = time.time(), stage > self.stage
        step = Transition(now, names[self.stage], names[stage], why[:WHY_MAX])
        return State(
            serial=self.serial + 1,
            stage=stage,
            attempt=self.attempt,
            rollbacks=self.rollbacks,
            since=now,
            cool_until=self.cool_until,
            looks=self.looks if up else 0,
            look_rows=self.look_rows if up else 0,
            plan=self.plan,
            history=[*self.history, step][-HISTORY_MAX:],
        )

    def to_json(self) -> str:
        """As the file has it."""
        said = {name: getattr(self, name) for name in _INTEGERS + _FLOATS + ("plan",)}
        return json.dumps(
            {
                "format": FORMAT,
                **said,
                "tossed": self.tossed.numbers(),
                "metrics": {n: [m.n, m.mean, m.squares] for n, m in self.metrics.items()},
                "history": [asdict(t) for t in self.history[-HISTORY_MAX:]],
            }
        )

    @classmethod
    def from_json(cls, text: bytes) -> State:
        """What `to_json` has written.

        Raises:
            StoreError: it makes no sense.
        """
        try:
            said = json.loads(text)
            if said["format"] != FORMAT:
                raise StoreError(f"format {said['format']}; this version reads format {FORMAT}")
            state = cls.from_dict(said)
            state.tossed = Tossed.of_numbers(said["tossed"])
            state.metrics = {str(n): moments(m) for n, m in said["metrics"].items()}
            state.history = [_transition(t) for t in said["history"][-HISTORY_MAX:]]
        except StoreError:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise StoreError(f"it makes no sense: {error}") from None
        return state

    @classmethod
    def from_dict(cls, said: dict[str, Any]) -> State:
        """The plain numbers of a state: what a transition in a journal has.

        Raises:
            ValueError, KeyError, TypeError: they make no sense.
        """
        numbers: dict[str, int] = {}
        for name in _INTEGERS:
            value = said[name]
            if type(value) is not int or not 0 <= value < 1 << 53:
                raise ValueError(f"{name} is {value!r}")
            numbers[name] = value
        if numbers["attempt"] < 1 or numbers["window"] < 1:
            raise ValueError("attempts and windows count from 1")
        since, cool_until = finite([said["since"], said["cool_until"]], 2)
        state = cls(since=since, cool_until=cool_until, plan=str(said["plan"]))
        for name, value in numbers.items():
            setattr(state, name, value)
        return state

    def brief(self) -> dict[str, Any]:
        """For the journal's event of a transition; see `from_dict`."""
        said = {name: getattr(self, name) for name in _INTEGERS + _FLOATS}
        return said | {"plan": fingerprint(self.plan)}


_INTEGERS = (*("serial", "stage", "attempt", "rollbacks", "window", "looks", "look_rows"),)
_FLOATS = ("since", "cool_until")


def fingerprint(plan: str) -> str:
    """A plan in a few characters."""
    return f"{zlib.crc32(plan.encode()):08x}"


def _transition(said: dict[str, Any]) -> Transition:
    (when,) = finite([said["time"]], 1)
    return Transition(when, str(said["before"]), str(said["after"]), str(said["why"]))


def path_of(choice: Choice, state: str | os.PathLike[str] | None) -> Path | None:
    """Where a gate's state is kept: where one says, else beside the journal, else nowhere."""
    if state is not None:
        return Path(state)
    if choice.journal is None:
        return None
    return folder_of(choice.journal.journal.path, choice.name) / "promotion.json"


class Store:
    """A state's file and its lock; without a path the state lives in memory alone."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock_file = -1

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether no other process or gate is at it; nobody waits.

        Raises:
            OSError: the folder cannot be written.
        """
        if self.path is None:
            yield True
            return
        make_folder(self.path.parent)
        name = self.path.with_name(f".{self.path.name}.lock")
        descriptor = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        self._lock_file = descriptor
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            try:
                yield True
            finally:
                # Said aloud: a child that was forked meanwhile has the same file open.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            self.leave()

    def leave(self) -> None:
        """Closes the lock's file; after fork() in the child that of the parent."""
        descriptor, self._lock_file = self._lock_file, -1
        if descriptor >= 0:
            os.close(descriptor)

    def load(self) -> State | None:
        """The state; None where there is no file.

        Raises:
            StoreError: it is damaged.
            OSError: it cannot be read.
        """
        if self.path is None:
            return None
        try:
            with self.path.open("rb") as file:
                contents = file.read(BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        checksum, _, text = contents.partition(b" ")
        if len(contents) > BYTES_MAX or checksum != b"%08x" % zlib.crc32(text):
            raise StoreError(f"{self.path}: its checksum does not match")
        try:
            return State.from_json(text)
        except StoreError as error:
            raise StoreError(f"{self.path}: {error}") from None

    def save(self, state: State, durable: bool) -> None:
        """Replaces the file, whole or not at all; `durable`: waits for the disk.

        Raises:
            OSError: it cannot be written; the old one is then untouched.
        """
        if self.path is None:
            return
        if durable:
            self._sweep()
        text = state.to_json().encode()
        handle, name = tempfile.mkstemp(_BEGUN, f".{self.path.name}.", self.path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(b"%08x " % zlib.crc32(text) + text)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(name, self.path)
            if durable:
                sync_folder(self.path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise

    def _sweep(self) -> None:
        """Files that were begun by processes that were killed."""
        assert self.path is not None
        begun = re.compile(rf"\.{re.escape(self.path.name)}\.\w{{8}}{re.escape(_BEGUN)}")
        for path in self.path.parent.iterdir():
            if begun.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > LEFT_SECONDS:
                        path.unlink()


def last_in_journal(journal: Journal, choice: str) -> State | None:
    """The state after the last transition that a journal tells of; None if it tells of none."""
    newest: State | None = None
    problems: list[str] = []
    with contextlib.suppress(JournalError, OSError):
        for batch in journal.events(choice, problems=problems):
            texts = batch.rows.column("text")
            if texts.null_count == batch.rows.num_rows:
                continue
            for kind, text in zip(
                batch.rows.column("kind").to_pylist(), texts.to_pylist(), strict=True
            ):
                state = _told(text) if kind == "mode" and text and BY in text else None
                if state and (newest is None or state.serial >= newest.serial):
                    newest = state
    return newest


def _told(text: str) -> State | None:
    try:
        return State.from_dict(json.loads(text)["promotion"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
