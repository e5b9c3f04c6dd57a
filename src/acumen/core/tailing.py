"""Reading a journal while others write it: only what is new, as soon as it is durable.

A segment that is being written is an Arrow stream which only grows, so what follows the last whole
batch is read with the stream's own beginning (schema, labels) put before it. A segment that was
sealed meanwhile is looked up by the events' numbers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from acumen.core.journal import EventBatch, read_segment
from acumen.core.journal_format import JournalError, JournalInfo, check_batch, read_info
from acumen.core.journal_segments import ARROW_ERRORS, Segment, SegmentReader, segments_in

CHUNK_BYTES = 16 << 20
HOLE_SECONDS = 1.0  # a listing may miss what is being renamed; events that are gone stay gone


class LiveTail:
    """What is new in one segment that is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.info: JournalInfo | None = None
        self._prefix = b""
        self._offset = 0
        self._chunk = CHUNK_BYTES

    def read(self, problems: list[str]) -> Iterator[EventBatch]:
        """Whole batches behind the last one read; damaged ones are told and left out.

        Raises:
            OSError: the file cannot be read, or is gone.
            JournalError: it is not a journal's.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while True:
                contents = os.pread(descriptor, self._chunk, self._offset)
                if self.info is None:
                    contents = contents[self._begin(contents) :]
                before = self._offset
                if contents and self.info is not None:
                    yield from self._batches(self.info, contents, problems)
                if self._offset == before:
                    if len(contents) < self._chunk // 2 or self._chunk >= 1 << 31:
                        return  # the rest, if there is one, is on its way
                    self._chunk *= 2
        finally:
            os.close(descriptor)

    def _begin(self, contents: bytes) -> int:
        """Where the first batch begins; 0 if that cannot be seen yet."""
        buffer = pa.BufferReader(contents)
        try:
            info = read_info(pa.ipc.open_stream(pa.BufferReader(contents)).schema)
            reader = pa.ipc.MessageReader.open_stream(buffer)
            place = 0
            while reader.read_next_message().type != "record batch":
                place = buffer.tell()
        except JournalError:
            raise
        except (*ARROW_ERRORS, StopIteration):
            return 0
        self.info, self._prefix, self._offset = info, contents[:place], place
        return place

    def _batches(
        self, info: JournalInfo, contents: bytes, problems: list[str]
    ) -> Iterator[EventBatch]:
        buffer = pa.BufferReader(self._prefix + contents)
        base = self._offset - len(self._prefix)
        stream = pa.ipc.open_stream(buffer)
        while True:
            try:
                rows, metadata = stream.read_next_batch_with_custom_metadata()
            except (*ARROW_ERRORS, StopIteration):
                return
            behind = base + buffer.tell()
            try:
                yield EventBatch(info, *check_batch(rows, metadata), rows)
            except JournalError as error:
                problems.append(f"{self.path.name}: a batch is damaged: {error}")
            # Only now: whoever did not want it, and broke off, gets it again.
            self._offset = behind


class JournalTail:
    """All that is new in a choice's folder, stream by stream.

    Args:
        folder: of one choice.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._done: set[Path] = set()
        self._live: dict[Path, LiveTail] = {}
        self._holes: dict[str, tuple[int, float]] = {}
        self.problems: list[str] = []

    @property
    def has_holes(self) -> bool:
        """Whether some stream waits for events that seem to be missing."""
        return bool(self._holes)

    def read(self, positions: Mapping[str, int]) -> Iterator[EventBatch]:
        """Batches with events behind `positions`, each stream's in order.

        Where events are missing for longer than `HOLE_SECONDS`, what follows is read, and
        `problems` tells. Whoever takes a batch may move `positions` on.

        Raises:
            OSError: the folder cannot be read.
        """
        segments = segments_in(self.folder)
        paths = {segment.path for segment in segments}
        self._done &= paths
        self._live = {path: tail for path, tail in self._live.items() if path in paths}
        held = ""
        for segment in segments:
            if segment.stream == held or segment.path in self._done:
                continue
            for batch in self._segment(segment, positions):
                if not self._follows(batch, positions.get(segment.stream, 0)):
                    held = segment.stream
                    break
                yield batch

    def _segment(self, segment: Segment, positions: Mapping[str, int]) -> Iterator[EventBatch]:
        known = positions.get(segment.stream, 0)
        try:
            if segment.sealed:
                if known and SegmentReader(segment.path).bounds()[1] <= known:
                    self._done.add(segment.path)
                    return
                problems: list[str] = []
                yield from read_segment(segment, {segment.stream: known}, problems)
                for problem in problems:
                    self._tell(problem)
                return
            tail = self._live.setdefault(segment.path, LiveTail(segment.path))
            for batch in tail.read(self.problems):
                if batch.last > positions.get(segment.stream, 0):
                    yield batch
        except FileNotFoundError:
            return  # sealed just now: the next look finds it under its new name
        except JournalError as error:
            self._tell(f"{segment.path.name}: {error}")

    def _tell(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _follows(self, batch: EventBatch, known: int) -> bool:
        stream = batch.info.stream
        if batch.first <= known + 1:
            self._holes.pop(stream, None)
            return True
        begun, since = self._holes.get(stream, (-1, 0.0))
        if begun != known:
            # They may have been put together with what was read before, under its name.
            self._done.clear()
            self._holes[stream] = (known, time.monotonic())
            return False
        if time.monotonic() - since < HOLE_SECONDS:
            return False
        self._holes.pop(stream)
        self._tell(f"{stream}: events {known + 1} to {batch.first - 1} are missing")
        return True


def newest_info(folder: Path) -> JournalInfo | None:
    """What the newest stream that can be read says of itself; None if there is none."""
    for segment in reversed(segments_in(folder)):
        try:
            return SegmentReader(segment.path).info
        except (JournalError, OSError):
            continue
    return None
