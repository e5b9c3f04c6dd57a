"""The files of a journal: names, locks, the one being written, reading, damage.

A choice's folder holds, for every process that journaled it (a *stream*), numbered segments::

    0198c1d2a3b4-5f2e1a-000000.arrow     sealed: an Arrow IPC file (Feather), never changed again
    0198c1d2a3b4-5f2e1a-000001.arrows    being written: an Arrow IPC stream, locked by its writer

A stream's name is its start in milliseconds and its replica, in hex, so that names sort by time.
How the one becomes the other: journal_sealing.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from acumen.core.array_file import make_folder, sync_folder
from acumen.core.arrow_messages import InflationError, check_file, checked_stream
from acumen.core.journal_format import (
    JournalError,
    JournalInfo,
    check_batch,
    read_info,
    schema_of,
)

LIVE, SEALED, DAMAGED = ".arrows", ".arrow", ".damaged"
SEGMENT_BYTES_MAX = 1 << 32
LOOK_SECONDS = 0.1  # between two looks whether somebody has deleted the file
_NAME = re.compile(r"([0-9a-f]{12}-[0-9a-f]{6})-([0-9]{6,9})(\.arrows?)")
_END_OF_STREAM = 8
ARROW_ERRORS = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError)


def folder_of(root: Path, choice: str) -> Path:
    """Where a choice's segments are: its name, with what files cannot be called in %-escapes."""
    name = urllib.parse.quote(choice, safe=" ")
    name = name.replace(".", "%2E") if name.strip(".") == "" else name
    return root / (name[:200] or "%00")


def choice_of(folder: Path) -> str:
    """The choice whose segments lie in a folder."""
    return urllib.parse.unquote(folder.name).strip("\0")


def new_stream(known: Set[str]) -> str:
    """A name for the events of one process, which sorts behind all others, whatever clocks say.

    Its replica is none of theirs: ids of decisions stay apart.
    """
    start_ms = time.time_ns() // 1_000_000
    if known:
        # Clocks are set back, and processes start within one millisecond.
        behind = int(max(known).partition("-")[0], 16)
        start_ms = min(max(start_ms, behind + 1), (1 << 48) - 1)
    taken = {replica_of(stream) for stream in known}
    replica = int.from_bytes(os.urandom(3))
    while replica in taken and len(taken) < 1 << 20:
        replica = int.from_bytes(os.urandom(3))
    return f"{start_ms:012x}-{replica:06x}"


def replica_of(stream: str) -> int:
    """The replica that a stream's name ends in."""
    return int(stream.rpartition("-")[2], 16)


@dataclass(frozen=True)
class Segment:
    """One file of a journal."""

    path: Path
    stream: str
    number: int

    @property
    def sealed(self) -> bool:
        """Whether it will never change again."""
        return self.path.suffix == SEALED


def segments_in(folder: Path) -> list[Segment]:
    """All segments, by stream and number; of equal ones the sealed first."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.scandir(folder):
            match = _NAME.fullmatch(entry.name)
            if match:
                found.append(Segment(folder / entry.name, match[1], int(match[2])))
    return sorted(found, key=lambda s: (s.stream, s.number, not s.sealed))


def segment_path(folder: Path, stream: str, number: int, suffix: str) -> Path:
    """Where a segment is."""
    return folder / f"{stream}-{number:06d}{suffix}"


def try_lock(descriptor: int) -> bool:
    """Whether nobody is writing this file; holds the lock from then on."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether a process is writing this segment."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


class LiveSegment:
    """The segment that a process is writing. Not thread-safe."""

    def __init__(self, folder: Path, info: JournalInfo) -> None:
        """Creates the file; nothing of it counts before the first `append`.

        Raises:
            OSError: it cannot be created, or is there already.
        """
        self.path = segment_path(folder, info.stream, info.segment, LIVE)
        self.schema = schema_of(info)
        self.opened = time.monotonic()
        self.bytes = 0
        self._looked = 0.0
        self._prefix = 0
        make_folder(folder)
        sync_folder(folder.parent)  # another process may have made it just now
        if self.path.exists():
            raise FileExistsError(f"{self.path} exists")
        # It gets its name when it is locked, or others would take it for a dead process's.
        nameless = partial_of(self.path)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        self._descriptor = os.open(nameless, flags, 0o644)
        try:
            if not try_lock(self._descriptor):
                raise OSError(f"{self.path} is locked by another process")
            os.rename(nameless, self.path)
        except OSError:
            self.close()
            with contextlib.suppress(OSError):
                nameless.unlink()
            raise

    def append(self, batch: pa.RecordBatch, metadata: dict[bytes, bytes]) -> None:
        """Writes a batch and waits until it is on the disk.

        Raises:
            OSError: it is not (the disk is full, the file is gone). Give the segment up then: a
                disk that failed to take something may claim success the next time.
        """
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.schema) as writer:
            writer.write_batch(batch, custom_metadata=metadata)
        whole = sink.getvalue()
        message = whole.slice(self._prefix, whole.size - self._prefix - _END_OF_STREAM)
        try:
            _write_all(self._descriptor, message)
            os.fdatasync(self._descriptor)
            now = time.monotonic()
            if now - self._looked > LOOK_SECONDS:
                self._looked = now
                if os.fstat(self._descriptor).st_nlink == 0:
                    raise OSError(f"{self.path} was deleted")
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.bytes)
            raise
        if not self._prefix:
            # Schema and labels come once a file; here they come before every batch.
            self._prefix = bytes_before_batches(whole)
            sync_folder(self.path.parent)
        self.bytes += message.size

    def discard(self) -> None:
        """Lets the file go, and deletes it: nothing in it counts."""
        with contextlib.suppress(OSError):
            if os.fstat(self._descriptor).st_nlink:
                self.path.unlink()
        self.close()

    def close(self) -> None:
        """Lets the file go; it is not sealed by that."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def bytes_before_batches(stream: pa.Buffer) -> int:
    """Bytes of the messages (schema, labels) that come before the first batch.

    Raises:
        JournalError: there is no batch.
    """
    size = 0
    for message in pa.ipc.MessageReader.open_stream(stream):
        if message.type == "record batch":
            return size
        size += message.serialize().size
    raise JournalError("the stream has no batch")


def partial_of(path: Path) -> Path:
    """What a file is called while this process has not finished it."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _write_all(descriptor: int, data: pa.Buffer) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@dataclass
class Reading:
    """What was found in a segment besides its good batches.

    Attributes:
        problems: what is wrong, in words; empty if nothing is.
        torn_bytes: bytes behind the last whole batch of a segment that was not closed.
        rows: events in good batches.
        first: number of the first event, 0 if there is none.
        last: number of the last one.
        failed: whether the disk refused something (`OSError.errno`), which may pass: what it did
            not give is not damaged, and may be there the next time.
    """

    problems: list[str] = field(default_factory=list)
    torn_bytes: int = 0
    rows: int = 0
    first: int = 0
    last: int = 0
    failed: bool = False


Batch = tuple[int, int, pa.RecordBatch]


def checked(batches: Iterable[tuple[pa.RecordBatch, Any]], reading: Reading) -> Iterator[Batch]:
    """The good ones of a segment's batches, with their first and last number; moves `reading` on.

    Args:
        batches: rows and their own metadata, in the segment's order.
        reading: where it begins, and what is told of damaged batches and holes.
    """
    for batch, metadata in batches:
        try:
            first, last = check_batch(batch, metadata)
            if first <= reading.last:
                raise JournalError("numbers out of order")
        except JournalError as error:
            reading.problems.append(f"a batch is damaged: {error}")
            continue
        if reading.last and first > reading.last + 1:
            reading.problems.append(f"events {reading.last + 1} to {first - 1} are missing")
        reading.rows += batch.num_rows
        reading.first = reading.first or first
        reading.last = last
        yield first, last, batch


class SegmentReader:
    """Reads one segment; damaged batches are left out and told in `reading`."""

    def __init__(self, path: Path) -> None:
        """Opens a segment.

        Raises:
            JournalError: not even its schema can be read.
            OSError: it cannot be opened.
        """
        self.path = path
        self.reading = Reading()
        size = path.stat().st_size
        if size > SEGMENT_BYTES_MAX:
            raise JournalError(f"{size} bytes are more than a segment may have")
        self._file: Any = None
        try:
            if path.suffix == SEALED:
                _check_file(path)
                # Not mapped: whoever truncates a mapped file kills its readers.
                self._file = pa.ipc.open_file(pa.OSFile(str(path), "rb"))
                self.info = read_info(self._file.schema)
        except JournalError:
            raise
        except ARROW_ERRORS as error:
            if _refused_by_disk(error):
                raise
            self.reading.problems.append(f"the file's end is damaged ({_brief(error)})")
            self._file = None
        if self._file is None:
            self._open_stream(path)

    def _open_stream(self, path: Path) -> None:
        contents = path.read_bytes()
        start = min(8, len(contents)) if contents[:6] == b"ARROW1" else 0
        self._whole = pa.py_buffer(contents).slice(start)
        self._buffer = pa.BufferReader(self._whole)
        self._size = len(contents) - start
        try:
            self._stream = pa.ipc.open_stream(self._buffer)
            self.info = read_info(self._stream.schema)
        except JournalError:
            raise
        # Names that are no text, for one, are noticed only when they are looked at.
        except ARROW_ERRORS as error:
            raise JournalError(f"no journal can be read here: {_brief(error)}") from None

    def __iter__(self) -> Iterator[Batch]:
        """First number, last number and rows of every good batch."""
        return checked(self._file_batches() if self._file else self._stream_batches(), self.reading)

    def bounds(self) -> tuple[int, int]:
        """First and last number, without reading what a sealed file has between them.

        Raises:
            JournalError: they are damaged.
            OSError: they cannot be read.
        """
        if self._file is None:
            for _ in self:
                pass
            return self.reading.first, self.reading.last
        try:
            count = self._file.num_record_batches
            ends = [self._file.get_batch_with_custom_metadata(i) for i in (0, count - 1)]
        except ARROW_ERRORS as error:
            if _refused_by_disk(error):
                raise
            raise JournalError(_brief(error)) from None
        return check_batch(*ends[0])[0], check_batch(*ends[1])[1]

    def _file_batches(self) -> Iterator[tuple[pa.RecordBatch, Any]]:
        for i in range(self._file.num_record_batches):
            try:
                yield self._file.get_batch_with_custom_metadata(i)
            except ARROW_ERRORS as error:
                self.reading.failed |= _refused_by_disk(error)
                self.reading.problems.append(f"batch {i} cannot be read: {_brief(error)}")

    def _stream_batches(self) -> Iterator[tuple[pa.RecordBatch, Any]]:
        good = 0
        ahead = checked_stream(self._whole)
        while True:
            try:
                next(ahead)
                item = self._stream.read_next_batch_with_custom_metadata()
            except InflationError as error:
                self.reading.problems.append(f"what follows cannot be read: {error}")
                break
            except (StopIteration, *ARROW_ERRORS):
                break
            yield item
            good = self._buffer.tell()
        self.reading.torn_bytes = self._size - good


def _check_file(path: Path) -> None:
    with path.open("rb") as file:
        # Of this file: another one may have taken its name since.
        size = os.fstat(file.fileno()).st_size
        check_file(lambda at, count: os.pread(file.fileno(), count, at), size)


def newest_info(folder: Path) -> JournalInfo | None:
    """What the newest stream that can be read says of itself; None if there is none."""
    for segment in reversed(segments_in(folder)):
        try:
            return SegmentReader(segment.path).info
        except (JournalError, OSError):
            continue
    return None


def _refused_by_disk(error: BaseException) -> bool:
    """Whether the system has failed; what is damaged Arrow says without an errno."""
    return isinstance(error, OSError) and error.errno is not None


def _brief(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
