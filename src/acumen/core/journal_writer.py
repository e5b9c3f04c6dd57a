"""The thread that writes a choice's journal: from the ring to the disk, and what can go wrong.

Choosing puts events into a ring in memory and never waits. This thread wakes up every
`commit_seconds` (less often while nothing happens), takes what is there as one batch, writes it and
waits for the disk; then the events up to its last one are *durable*. What fails is tried again,
ever less often, in a fresh segment; meanwhile the ring fills, and beyond its size events are
dropped and counted.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401  (see _finish_all)
import contextlib
import os
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from acumen import _native
from acumen.core.journal_format import (
    KIND_CODES,
    JournalError,
    JournalInfo,
    batch_metadata,
    native_batch,
    schema_of,
)
from acumen.core.journal_sealing import Recovery, recover, sealing
from acumen.core.journal_segments import LiveSegment, folder_of

if TYPE_CHECKING:
    from acumen.core.journal import Journal

IDLE_SECONDS_MAX = 0.25
RETRY_SECONDS_MAX = 5.0
RETIRE_SECONDS = 60.0  # what is too old goes, though nothing is written or sealed
EXIT_SECONDS = 2.0
PAUSE_SECONDS = 1.0
_NAME_CODE = KIND_CODES["name"]


@dataclass
class JournalHealth:
    """How writing goes.

    Attributes:
        written: events on the disk, gaps that say what was dropped included.
        batches: group commits.
        bytes: written to segments.
        sealed: segments that were finished.
        retired: segments deleted because of their age or the journal's size.
        errors: attempts to write that failed.
        healed: times that writing went on after it had failed.
        last_error: in words; empty if there was none.
        recovered: what was left by processes that died, found when this one began.
    """

    written: int = 0
    batches: int = 0
    bytes: int = 0
    sealed: int = 0
    retired: int = 0
    errors: int = 0
    healed: int = 0
    last_error: str = ""
    recovered: tuple[Recovery, ...] = field(default=())


class JournalWriter:
    """A choice's own end of a journal: `choice.journal`.

    Attributes:
        journal: where it is written.
        stream: names this process's events in it.
        health: counters.
    """

    def __init__(self, journal: Journal, info: JournalInfo, buffer: _native.JournalBuffer) -> None:
        self.journal = journal
        self.stream = info.stream
        self.health = JournalHealth()
        self._info = info
        self._folder = folder_of(journal.path, info.choice)
        self._schema = schema_of(info)
        self._buffer = buffer
        self._live: LiveSegment | None = None
        # Taken from the ring, not yet on the disk: rows, metadata, last number.
        self._pending: tuple[Any, dict[bytes, bytes], int] | None = None
        self._seal_steps: Iterator[int] | None = None
        self._sealed_live: LiveSegment | None = None
        self._durable = 0
        self._last = 1 << 64  # number of the last event that is to be written
        self._failing_since = 0.0
        self._retired_s = time.monotonic()
        self._retry_at = 0.0
        self._retry_seconds = 0.05
        self._warned = False
        self._began = False
        self._stopping = False
        self._finished = False
        self._pause = threading.Event()
        self._wake = threading.Event()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        _writers.add(self)

    @property
    def sequence(self) -> int:
        """Number of the last event."""
        return self._buffer.sequence

    @property
    def durable_sequence(self) -> int:
        """All events up to this number are on the disk, or were dropped and are counted."""
        return self._durable

    @property
    def dropped(self) -> int:
        """Events for which the ring had no room."""
        return self._buffer.dropped

    @property
    def memory_bytes(self) -> int:
        """Bytes held by the ring."""
        return self._buffer.memory_bytes

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until everything so far is durable.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether it is.
        """
        wanted = self._buffer.sequence
        self._wake.set()
        with self._changed:
            return self._changed.wait_for(lambda: self._durable >= wanted, timeout)

    def close(self, timeout: float = EXIT_SECONDS) -> bool:
        """Writes the rest, seals and ends; what is chosen later is not journaled.

        Args:
            timeout: seconds to wait at most. The thread goes on if that is not enough.

        Returns:
            Whether all is done.
        """
        self.stop()
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        return self._finished and self._pending is None

    def stop(self) -> None:
        """Asks the thread to finish; does not wait."""
        if not self._stopping:
            self._last = self._buffer.sequence  # others may go on choosing for ever
        self._stopping = True
        self._wake.set()

    def start(self) -> None:
        """Starts the thread; one that was told to pause, and hangs, is waited for in there."""
        self._pause = threading.Event()
        self._thread = threading.Thread(
            target=self._run,
            args=(self._pause, self._thread),
            name=f"acumen-journal-{self._info.choice}",
            daemon=True,
        )
        self._thread.start()

    def ask_to_pause(self) -> None:
        """The thread is to end between two batches."""
        self._pause.set()
        self._wake.set()

    def pause(self) -> None:
        """Before fork(): waits for that, but not for ever on a disk that hangs."""
        self.ask_to_pause()
        if self._thread is not None:
            self._thread.join(PAUSE_SECONDS)

    def resume(self) -> None:
        """After fork(), in the parent."""
        if not self._finished:
            self.start()

    def leave_if_inherited(self) -> None:
        """After fork(), in the child: the files, and the thread, are the parent's.

        The child's own writers may have begun before: which hook runs first is not said.
        """
        if self._process == os.getpid():
            return
        _writers.discard(self)
        for live in (self._live, self._sealed_live):
            if live is not None:
                live.close()
        self._thread = None
        self._stopping = True

    def _run(self, pause: threading.Event, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        if not self._began:
            self._began = True
            self._tend()
        idle = self.journal.commit_seconds
        while not (self._stopping or pause.is_set()):
            self._wake.wait(idle if self._seal_steps is None else 0.001)
            self._wake.clear()
            busy = self._try_step(pause)
            commit = self.journal.commit_seconds
            idle = commit if busy else min(2 * idle, max(IDLE_SECONDS_MAX, commit))
        if self._stopping and not pause.is_set():
            self._finish(pause)

    def _try_step(self, pause: threading.Event) -> bool:
        """What nobody has foreseen must not end the thread, or the journal would end in silence."""
        try:
            return self._step(pause)
        except Exception as error:
            self._count_error(error)
            return False

    def _count_error(self, error: Exception) -> None:
        self.health.errors += 1
        self.health.last_error = str(error) or type(error).__name__

    def _finish(self, pause: threading.Event) -> None:
        self._retry_at = 0.0
        self._step(pause)
        while self._seal_steps is not None:
            self._seal_one_step()
        if self._live is not None and self._pending is None:
            self._begin_sealing()
        while self._seal_steps is not None:
            self._seal_one_step()
        self._finished = True

    def _step(self, pause: threading.Event) -> bool:
        """Writes what there is. Whether there was anything.

        A service that never pauses leaves something every time. So segments are sealed, and old
        ones deleted, between two batches, not when nothing is left to be written.
        """
        busy = False
        while not pause.is_set() and self._durable < self._last:
            wrote = self._write_one()
            busy |= wrote
            self._seal_one_step()
            # A segment that is full waits until the one before it is sealed: it must not grow on.
            while self._full() and self._seal_steps is not None and not pause.is_set():
                self._seal_one_step()
            if self._seal_steps is None and (self._full() or self._old()):
                self._begin_sealing()
            if not wrote:
                break
        if time.monotonic() - self._retired_s > RETIRE_SECONDS:
            self._retire()
        return busy or self._pending is not None

    def _write_one(self) -> bool:
        """One batch; whether there was one, and it is on the disk."""
        if time.monotonic() < self._retry_at:
            return False
        if self._pending is None and not self._take(self.journal.commit_bytes // 8):
            return False
        return self._write()

    def _full(self) -> bool:
        return self._live is not None and self._live.bytes >= self.journal.segment_bytes

    def _old(self) -> bool:
        live = self._live
        age = time.monotonic() - live.opened if live is not None and live.bytes else 0.0
        return age > self.journal.segment_seconds

    def _take(self, words_max: int) -> bool:
        memory, places, rows, first, last, checksum, _ = self._buffer.take(words_max)
        if rows == 0:
            return False
        batch = native_batch(self._schema, memory, places, rows)
        if batch.column("text").null_count < rows:
            self._learn_names(batch)
        self._pending = (batch, batch_metadata(first, last, checksum), last)
        return True

    def _learn_names(self, batch: Any) -> None:
        names = self._info.names
        for i, kind in enumerate(batch.column("kind").indices.to_pylist()):
            if kind == _NAME_CODE:
                name = self._info.fields[batch.column("field")[i].as_py()]
                code = str(batch.column("number")[i].as_py())
                names.setdefault(name, {}).setdefault(code, []).append(
                    batch.column("text")[i].as_py() or ""
                )

    def _write(self) -> bool:
        assert self._pending is not None
        batch, metadata, last = self._pending
        try:
            if self._live is None:
                self._live = LiveSegment(self._folder, self._info)
            before = self._live.bytes
            self._live.append(batch, metadata)
        except (OSError, pa.ArrowException, MemoryError) as error:
            self._fail(error)
            return False
        self._pending = None
        self.health.written += batch.num_rows
        self.health.batches += 1
        self.health.bytes += self._live.bytes - before
        if self._failing_since:
            self.health.healed += 1
            self._failing_since, self._retry_at, self._retry_seconds = 0.0, 0.0, 0.05
        with self._changed:
            self._durable = last
            self._changed.notify_all()
        return True

    def _fail(self, error: Exception) -> None:
        """The batch stays pending; it is tried again later, in a fresh segment."""
        self._count_error(error)
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        self._retry_at = now + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, RETRY_SECONDS_MAX)
        if self._live is not None:
            if self._live.bytes:
                self._live.close()  # sealed by whoever recovers next
            else:
                self._live.discard()
            self._live = None
        self._retire()  # if the disk is full, that makes room
        self._info = replace(self._info, segment=self._info.segment + 1)
        if not self._warned:
            self._warned = True
            # Filters may turn a warning into an error; this thread has to live on.
            with contextlib.suppress(Exception):
                warnings.warn(
                    f"the journal of choice {self._info.choice!r} cannot be written: {error}; "
                    f"events wait in memory and are dropped beyond {self._buffer.memory_bytes} "
                    "bytes, until it can be",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def _begin_sealing(self) -> None:
        assert self._live is not None
        # It stays locked until it is sealed, so that nobody else does the same.
        self._sealed_live, self._live = self._live, None
        self._seal_steps = sealing(self._sealed_live.path)
        self._info = replace(self._info, segment=self._info.segment + 1)

    def _seal_one_step(self) -> None:
        if self._seal_steps is None:
            return
        try:
            if next(self._seal_steps, None) is not None:
                return
            self.health.sealed += 1
        except (OSError, JournalError) as error:
            # Nothing is lost: readers read streams too, and the next recovery tries again.
            self._count_error(error)
        self._seal_steps = None
        if self._sealed_live is not None:
            self._sealed_live.close()
            self._sealed_live = None
        self._tend()

    def _tend(self) -> None:
        """Deletes what is too old, then seals what dead processes have left."""
        self._retire()
        try:
            recovered, failures = recover(self._folder)
        except OSError as error:
            self._count_error(error)
            return
        self.health.recovered += tuple(recovered)
        for failure in failures:
            self._count_error(failure)

    def _retire(self) -> None:
        """Also by itself: a full disk, and one segment that cannot be sealed, are no hindrance."""
        self._retired_s = time.monotonic()
        try:
            self.health.retired += self.journal.retire(self._info.choice)
        except OSError as error:
            self._count_error(error)


_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()


def living_writers() -> list[JournalWriter]:
    """All that have not been left behind by a fork."""
    return list(_writers)


def _finish_all() -> None:
    """At exit: all get the same bounded time. What is not written then, is lost.

    PyArrow imports pandas, where there is one, when it first makes an array. Writers make none, for
    that takes seconds; but others at exit may, and pandas imports concurrent.futures.thread, which
    then refuses to be imported: so it is imported above.
    """
    writers = living_writers()
    for writer in writers:
        writer.stop()
    deadline = time.monotonic() + EXIT_SECONDS
    for writer in writers:
        writer.close(max(0.0, deadline - time.monotonic()))


atexit.register(_finish_all)


# Around fork() the threads pause, so that the child's copy of everything is whole. In the child the
# choices begin streams of their own (see choice.py); these writers are the parent's.


def _before_fork() -> None:
    writers = living_writers()
    for writer in writers:
        writer.ask_to_pause()
    for writer in writers:
        writer.pause()


def _after_fork_in_parent() -> None:
    for writer in living_writers():
        writer.resume()


def _after_fork_in_child() -> None:
    for writer in living_writers():
        writer.leave_if_inherited()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
