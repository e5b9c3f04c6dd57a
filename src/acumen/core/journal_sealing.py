"""Sealing segments, putting them together, and what dead processes have left.

A segment is sealed by writing its batches, checked and put together into few large ones, to a
temporary file, which is then renamed; only then the stream goes. Whatever kills a process, one of
the two is there; where both are, the events' numbers tell that they are the same.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from acumen.core.array_file import sync_folder
from acumen.core.arrow_messages import INFLATED_BYTES_MAX
from acumen.core.journal_format import (
    JournalError,
    JournalInfo,
    batch_checksum,
    batch_metadata,
    schema_of,
)
from acumen.core.journal_segments import (
    DAMAGED,
    SEALED,
    Batch,
    Segment,
    SegmentReader,
    partial_of,
    segment_path,
    segments_in,
    try_lock,
)

SEALED_BATCH_BYTES = 8 << 20


def sealing(path: Path, compression: str | None = None) -> Iterator[int]:
    """Seals a segment in steps, yielding the bytes of each; the last step renames.

    Damaged batches are left out: their bytes could not be told from good ones. A segment without
    a single good batch goes.

    Raises:
        JournalError: not even its schema can be read; the file stays.
        OSError: it cannot be read, or not written; the file stays.
    """
    reader = SegmentReader(path)
    yield from merging([iter(reader)], reader.info, path.parent, compression)
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def merging(
    sources: list[Iterator[Batch]], info: JournalInfo, folder: Path, compression: str | None
) -> Iterator[int]:
    """Writes batches, put together, as one sealed segment."""
    target = segment_path(folder, info.stream, info.segment, SEALED)
    partial = partial_of(target)
    schema = schema_of(info)
    options = pa.ipc.IpcWriteOptions(compression=compression)
    rows = 0
    try:
        with (
            pa.OSFile(str(partial), "wb") as sink,
            pa.ipc.new_file(sink, schema, options=options) as writer,
        ):
            for first, last, batch in gathered(sources, schema):
                if compression and batch.nbytes > INFLATED_BYTES_MAX // 2:
                    raise JournalError("a batch too large to be compressed: nobody would read it")
                metadata = batch_metadata(first, last, batch_checksum(batch, first, last))
                writer.write_batch(batch, custom_metadata=metadata)
                rows += batch.num_rows
                yield int(batch.nbytes)
        if rows:
            _sync_file(partial)
            os.replace(partial, target)
            sync_folder(folder)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def gathered(sources: list[Iterator[Batch]], schema: pa.Schema) -> Iterator[Batch]:
    """Batches of about `SEALED_BATCH_BYTES`, each over numbers without a hole."""
    waiting: list[Batch] = []
    size = seen = 0
    for source in sources:
        for first, last, batch in source:
            if last <= seen:
                continue  # what is being put together had been put together before
            hole = waiting and first != waiting[-1][1] + 1
            if waiting and (hole or size >= SEALED_BATCH_BYTES):
                yield _together(waiting, schema)
                waiting, size = [], 0
            waiting.append((first, last, batch))
            size += batch.nbytes
            seen = last
    if waiting:
        yield _together(waiting, schema)


def _together(batches: list[Batch], schema: pa.Schema) -> Batch:
    table = pa.Table.from_batches([b.replace_schema_metadata(None) for _, _, b in batches])
    whole = table.combine_chunks().to_batches()[0]
    whole = pa.RecordBatch.from_arrays(whole.columns, schema=schema)
    return batches[0][0], batches[-1][1], whole


@dataclass(frozen=True)
class Recovery:
    """What became of a segment that nobody closed.

    Attributes:
        path: the segment.
        last: number of the last event that was saved, 0 if none was.
        rows: events saved.
        torn_bytes: bytes cut off behind the last whole batch.
        problems: what else was wrong.
    """

    path: Path
    last: int
    rows: int
    torn_bytes: int
    problems: tuple[str, ...]


def recover(folder: Path) -> tuple[list[Recovery], list[Exception]]:
    """Seals what dead processes have left unsealed.

    Returns:
        What was sealed, and what had to be cut off; and what was in the way of others, which stay
        as they are.

    Raises:
        OSError: the folder cannot be read.
    """
    recovered: list[Recovery] = []
    failures: list[Exception] = []
    for segment in segments_in(folder):
        if segment.sealed:
            continue
        try:
            descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # somebody else was faster
        except OSError as error:
            failures.append(error)
            continue
        try:
            if try_lock(descriptor) and os.fstat(descriptor).st_nlink:
                recovered.append(_recover_one(segment.path))
        except (OSError, JournalError) as error:
            failures.append(error)
        finally:
            os.close(descriptor)
    for partial in folder.glob(".*.partial"):
        if _owner_is_dead(partial):
            partial.unlink(missing_ok=True)
    return recovered, failures


def _recover_one(path: Path) -> Recovery:
    size = path.stat().st_size
    if size == 0:  # its writer was killed before it wrote anything
        path.unlink()
        return Recovery(path, 0, 0, 0, ())
    try:
        reader = SegmentReader(path)
    except JournalError as error:
        # Killed within its first write, altered, or of a later version: not for us to destroy.
        path.rename(path.with_name(path.name + DAMAGED))
        return Recovery(path, 0, 0, size, (f"{error}; kept as {path.name}{DAMAGED}",))
    for _ in merging([iter(reader)], reader.info, path.parent, None):
        pass
    path.unlink(missing_ok=True)
    found = reader.reading
    return Recovery(path, found.last, found.rows, found.torn_bytes, tuple(found.problems))


def _owner_is_dead(partial: Path) -> bool:
    try:
        os.kill(int(partial.name.split(".")[-2]), 0)
    except (ValueError, ProcessLookupError):
        return True
    except PermissionError:
        return False
    return False


def merge(segments: list[Segment], compression: str | None) -> Path:
    """Puts sealed segments that follow each other in one stream into one, under the first's name.

    It is as old as the newest of them: retention by age must not begin anew.
    Killed in the middle it leaves some events twice, which reading sees by their numbers. Nobody
    else may be sealing or merging them: see `Journal.compact`.

    Raises:
        JournalError: one is damaged; nothing has changed.
        OSError: it cannot be written; nothing has changed.
    """
    readers = [SegmentReader(segment.path) for segment in segments]
    newest = max(segment.path.stat().st_mtime_ns for segment in segments)
    for _ in merging([_checked(r) for r in readers], readers[0].info, segments[0].path.parent,
                      compression):  # fmt: skip
        pass
    os.utime(segments[0].path, ns=(newest, newest))
    for segment in segments[1:]:
        segment.path.unlink(missing_ok=True)
    return segments[0].path


def _checked(reader: SegmentReader) -> Iterator[Batch]:
    yield from reader
    if reader.reading.problems:
        raise JournalError("; ".join(reader.reading.problems))
