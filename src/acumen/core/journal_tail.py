"""Following a choice's journal while it is written: each event once, in bounded memory.

Streams of several processes are read side by side, the one that is furthest behind first, so that
events come in about the order of their time (to within a batch). Nothing stays open between two
looks; of a segment that is being written only the bytes behind the last whole batch are read
again. Sealing, compaction and retention may go on meanwhile: events are known by their numbers,
and how far it has got is its caller's to say, stream by stream: trainers and uplinks remember it
with their models.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from acumen.core.arrow_messages import InflationError, checked_stream
from acumen.core.journal import EventBatch
from acumen.core.journal_format import JournalError, JournalInfo, read_info
from acumen.core.journal_sealing import gathered
from acumen.core.journal_segments import (
    ARROW_ERRORS,
    Batch,
    Reading,
    Segment,
    SegmentReader,
    bytes_before_batches,
    checked,
    is_locked,
    segments_in,
)

READ_BYTES = 1 << 20  # so little that whoever reads can show between two that it is alive
READ_BYTES_MAX = 256 << 20
OPEN_MAX = 64
GONE_SECONDS = 60.0
HOLE_SECONDS = 1.0  # a listing may miss what is being renamed; events that are gone stay gone
PROBLEMS_KEPT = 100


def _nothing() -> None:
    """For those who need not be told how it goes on."""


class LiveTail:
    """How far a segment that is being written has been read.

    Attributes:
        path: the file.
        info: whose it is; None before its first batch.
        reading: what was found, problems included.
        torn_bytes: behind the last whole batch when it was last read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.info: JournalInfo | None = None
        self.reading = Reading()
        self.torn_bytes = 0
        self._file = (0, 0)  # inode and bytes, when it was last read
        self._offset = 0
        self._prefix = b""
        self._chunk = READ_BYTES
        self._end = 0
        self._waiting: deque[Batch] = deque()  # read, and not yet taken

    def read(
        self, known: Callable[[], int] = int, progress: Callable[[], None] = _nothing
    ) -> Iterator[Batch]:
        """Batches that were not read before, small ones put together.

        Args:
            known: number of the last event that is not wanted, asked before every piece of the
                file; batches that end before or with it are passed by unchecked.
            progress: called after every piece.

        Raises:
            JournalError: it is not a segment of a journal.
            OSError: it cannot be read.
        """
        while True:
            while self._waiting:
                yield self._waiting[0]
                self._waiting.popleft()  # only now: whoever broke off gets it again
            stat = self.path.stat()
            if stat.st_ino != self._file[0] or stat.st_size < self._offset:
                self._offset, self._prefix = 0, b""  # another file under the same name
            if (stat.st_ino, stat.st_size) == self._file and self._chunk == READ_BYTES:
                return
            before = self._offset
            self._read_chunk(known())
            progress()
            self._file = (stat.st_ino, min(stat.st_size, self._end))
            self.torn_bytes = max(0, stat.st_size - self._offset)
            if self._offset > before:
                self._chunk = READ_BYTES
            elif self._end < stat.st_size and self._chunk < READ_BYTES_MAX:
                self._chunk *= 4  # a batch larger than what was read
            else:
                self._chunk = READ_BYTES
                return

    def _read_chunk(self, known: int) -> None:
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(self._chunk)
        self._end = self._offset + len(data)
        try:
            if not self._prefix:
                size = bytes_before_batches(pa.py_buffer(data))
                self._prefix, data, self._offset = data[:size], data[size:], size
            whole = pa.py_buffer(self._prefix + data)
            source = pa.BufferReader(whole)
            stream = pa.ipc.open_stream(source)
            schema = stream.schema
            self.info = read_info(schema)
        except JournalError:
            if self._prefix:
                raise
            return
        except ARROW_ERRORS:
            return  # its first batch is on the way
        batches = []
        good, ahead = len(self._prefix), checked_stream(whole)
        while True:
            try:
                next(ahead)
                batch, metadata = stream.read_next_batch_with_custom_metadata()
            except InflationError as error:
                self.reading.problems.append(f"what follows cannot be read: {error}")
                break
            except (StopIteration, *ARROW_ERRORS):
                break
            good = source.tell()
            if _ends_by(known, metadata):
                self.reading.last = 0  # what follows is held against the position alone
            else:
                batches.append((batch, metadata))
        self._offset += good - len(self._prefix)
        self._waiting.extend(gathered([checked(batches, self.reading)], schema))


def _ends_by(known: int, metadata: Any) -> bool:
    """Whether a batch says of itself that it has nothing behind an event.

    One that is damaged may say so wrongly: then its events are missing, and that is told.
    """
    try:
        return 0 < int(metadata[b"last"]) <= known
    except (KeyError, TypeError, ValueError):
        return False


class Positions(Protocol):
    """Stream → number of an event, such as a dictionary."""

    def get(self, stream: str, default: int, /) -> int:
        """That number."""
        ...


class _HoleError(Exception):
    """Events are missing that may still come."""


@dataclass
class _Stream:
    """One process's events: which segments were read to their end."""

    name: str
    progress: Callable[[], None]
    clock_us: int = 0
    read: set[int] = field(default_factory=set)
    sealed: dict[int, Path] = field(default_factory=dict)
    live: dict[int, LiveTail] = field(default_factory=dict)
    open: Iterator[EventBatch] | None = None
    # Behind which event some are missing, and since when (monotonic).
    hole: tuple[int, float] | None = None

    def __post_init__(self) -> None:
        self.clock_us = int(self.name.partition("-")[0], 16) * 1000

    def update(self, segments: list[Segment]) -> None:
        """Which files there are now."""
        sealed = {s.number: s.path for s in segments if s.sealed}
        live = {s.number: s.path for s in segments if not s.sealed}
        unread = (self.sealed.keys() - self.read) | self.live.keys()
        for number in unread - sealed.keys() - live.keys():
            # Gone before it was read to its end: put together with the ones before it, perhaps.
            self.read.discard(max((n for n in sealed if n < number), default=-1))
        self.sealed = sealed
        self.read &= sealed.keys()
        self.live = {n: self.live.get(n) or LiveTail(path) for n, path in live.items()}

    def events(self, positions: Positions, problems: Counter[str]) -> Iterator[EventBatch]:
        """What lies behind its position, segment by segment."""
        with contextlib.suppress(_HoleError):
            for number in sorted(self.sealed.keys() | self.live.keys()):
                self.progress()
                if number in self.sealed and number not in self.read:
                    yield from self._sealed_events(number, positions, problems)
                if number in self.live:
                    yield from self._live_events(self.live[number], positions, problems)

    def _sealed_events(
        self, number: int, positions: Positions, problems: Counter[str]
    ) -> Iterator[EventBatch]:
        path = self.sealed[number]
        try:
            reader = SegmentReader(path)
            known = positions.get(self.name, 0)
            # Most were read already while they were written.
            if not known or _may_go_beyond(known, reader):
                reader = SegmentReader(path)
                yield from self._fresh(reader.info, reader, positions, problems, reader.reading)
                if reader.reading.failed:
                    return  # it may pass: the next look tries again
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:  # it may pass: the next look tries again
            problems[f"{path.name}: {error}"] += 1
            return
        except JournalError as error:
            problems[f"{path.name}: {error}"] += 1
        self.read.add(number)

    def _live_events(
        self, tail: LiveTail, positions: Positions, problems: Counter[str]
    ) -> Iterator[EventBatch]:
        try:
            known = partial(positions.get, self.name, 0)
            for batch in tail.read(known, self.progress):
                assert tail.info is not None
                yield from self._fresh(tail.info, [batch], positions, problems, tail.reading)
        except (FileNotFoundError, NotADirectoryError):
            return  # sealed just now
        except (JournalError, OSError) as error:
            problems[f"{tail.path.name}: {error}"] = 1

    def _fresh(
        self,
        info: JournalInfo,
        batches: Iterable[Batch],
        positions: Positions,
        problems: Counter[str],
        reading: Reading,
    ) -> Iterator[EventBatch]:
        begun = False
        for first, last, rows in batches:
            self.progress()
            known = positions.get(self.name, 0)
            if last <= known:
                continue
            if first > known + 1 and (not begun or reading.failed):
                _tell(info.stream, reading, problems)
                self._miss(known, first, problems)
            elif first <= known:
                numbers = rows.column("sequence").to_numpy()
                rows = rows.slice(int(numbers.searchsorted(known, side="right")))
                first = known + 1
            begun, self.hole = True, None
            self.clock_us = rows.column("time")[-1].value or self.clock_us
            yield EventBatch(info, first, last, rows)
        _tell(info.stream, reading, problems)

    def _miss(self, known: int, first: int, problems: Counter[str]) -> None:
        now = time.monotonic()
        if self.hole is None or self.hole[0] != known:
            self.hole = (known, now)
            self.read.clear()  # put together with what was read, under its name?
        if now - self.hole[1] < HOLE_SECONDS:
            raise _HoleError
        if known:  # what retention has deleted is not missed
            problems[f"{self.name}: events {known + 1} to {first - 1} are missing"] = 1


def _tell(stream: str, reading: Reading, problems: Counter[str]) -> None:
    for text in reading.problems:
        problems[f"{stream}: {text}"] = 1
    reading.problems.clear()


def _may_go_beyond(known: int, reader: SegmentReader) -> bool:
    try:
        return reader.bounds()[1] > known
    except JournalError:
        return True  # its first or last batch is damaged, and others may be whole


class JournalTail:
    """Follows one choice's folder. What was taken, its caller knows; see `read`.

    Args:
        folder: where its segments are.
        progress: called again and again while it reads, also where nothing new is found.

    Attributes:
        folder: where its segments are.
        problems: what is damaged or missing, in words; the last `PROBLEMS_KEPT`.
        problem_count: how many there were.
        present: whether the folder was there at the last look.
    """

    def __init__(self, folder: Path, progress: Callable[[], None] = _nothing) -> None:
        self.folder = folder
        self._progress = progress
        self.problems: deque[str] = deque(maxlen=PROBLEMS_KEPT)
        self.problem_count = 0
        self.present = False
        self._told: dict[str, None] = {}
        self._streams: dict[str, _Stream] = {}

    @property
    def has_holes(self) -> bool:
        """Whether some stream waits for events that seem to be missing."""
        return any(stream.hole is not None for stream in self._streams.values())

    @property
    def streams(self) -> Set[str]:
        """Those that had files at the last look."""
        return self._streams.keys()

    def read(self, positions: Positions) -> Iterator[EventBatch]:
        """Batches with events behind `positions`, about in the order of their time.

        Where events are missing for longer than `HOLE_SECONDS`, what follows is read. What cannot
        be read now is told in `problems`, or comes later.

        Args:
            positions: stream → number of the last event that is not wanted. Whoever takes a batch
                moves it on; whoever cannot take one breaks off, and gets it again.
        """
        self._look()
        found: Counter[str] = Counter()
        heap = [(stream.clock_us, name) for name, stream in self._streams.items()]
        heapq.heapify(heap)
        open_now: dict[str, _Stream] = {}
        try:
            while heap:
                stream = self._streams[heapq.heappop(heap)[1]]
                if stream.open is None:
                    stream.open = stream.events(positions, found)
                    open_now[stream.name] = stream
                    if len(open_now) > OPEN_MAX:
                        others = (s for s in open_now.values() if s is not stream)
                        ahead = max(others, key=lambda s: s.clock_us)
                        ahead.open = None  # it goes on where it was, when it is its turn
                        del open_now[ahead.name]
                batch = next(stream.open, None)
                self._tell(found)
                if batch is None:
                    stream.open = None
                    open_now.pop(stream.name, None)
                    continue
                heapq.heappush(heap, (stream.clock_us, stream.name))
                yield batch
        finally:
            for stream in open_now.values():
                stream.open = None

    def torn(self) -> list[tuple[Path, int]]:
        """Segments that nobody is writing any more, and bytes behind their last whole batch."""
        return [
            (tail.path, tail.torn_bytes)
            for stream in self._streams.values()
            for tail in stream.live.values()
            if tail.torn_bytes and not is_locked(tail.path)
        ]

    def _look(self) -> None:
        segments: dict[str, list[Segment]] = {}
        try:
            for segment in segments_in(self.folder):
                segments.setdefault(segment.stream, []).append(segment)
            self.present = os.path.isdir(self.folder)
        except OSError as error:
            self._tell(Counter({f"{self.folder}: {error.strerror or error}": 1}))
            return
        for name, files in segments.items():
            self._streams.setdefault(name, _Stream(name, self._progress)).update(files)
        if self.present:
            # Streams whose files are all gone do not come back.
            for name in self._streams.keys() - segments.keys():
                del self._streams[name]

    def _tell(self, found: Counter[str]) -> None:
        for text in found:
            if text not in self._told:
                self._told[text] = None
                self.problem_count += 1
                self.problems.append(text)
        found.clear()
        while len(self._told) > 10 * PROBLEMS_KEPT:
            del self._told[next(iter(self._told))]


class Absences:
    """Which streams have had no file for a while, and so never will have again."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, int]] = {}

    def gone(self, known: Iterable[str], present: Set[str]) -> list[str]:
        """Those that were missing at every look, three at least, for `GONE_SECONDS`.

        One look says little: a listing may miss what is being renamed.

        Args:
            known: streams that there were.
            present: those that have files now.
        """
        now = time.monotonic()
        since = {s: self._since.get(s, (now, 0)) for s in known if s not in present}
        self._since = {s: (first, looks + 1) for s, (first, looks) in since.items()}
        return [
            s for s, (first, n) in self._since.items() if n >= 3 and now - first >= GONE_SECONDS
        ]
