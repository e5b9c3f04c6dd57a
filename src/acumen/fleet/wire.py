"""Batches of events on their way through a network: Arrow IPC with the journal's own checksums.

They travel as they are: what Arrow would have to decompress is refused before it does, for a small
message could become gigabytes. Whether one is compressed says its head alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from acumen.core.arrow_messages import is_plain
from acumen.core.journal import EventBatch
from acumen.core.journal_format import (
    JournalError,
    batch_checksum,
    batch_metadata,
    check_batch,
    read_info,
    schema_of,
)
from acumen.core.journal_segments import ARROW_ERRORS

BATCH_BYTES_MAX = 64 << 20


def pieces(batch: EventBatch, bytes_max: int) -> Iterator[EventBatch]:
    """The same events in as many batches as it takes for each to have `bytes_max`, or one event."""
    rows = batch.rows
    if rows.nbytes <= bytes_max or rows.num_rows == 1:
        yield batch
        return
    half = rows.num_rows // 2
    middle = rows.column("sequence")[half - 1].as_py()
    yield from pieces(EventBatch(batch.info, batch.first, middle, rows.slice(0, half)), bytes_max)
    yield from pieces(EventBatch(batch.info, middle + 1, batch.last, rows.slice(half)), bytes_max)


def encode(batch: EventBatch) -> bytes:
    """A batch as bytes: an Arrow IPC stream of one record batch.

    Raises:
        JournalError: it is larger than a batch may be.
    """
    schema = schema_of(batch.info)
    rows = pa.RecordBatch.from_arrays(batch.rows.columns, schema=schema)
    if rows.column("sequence").offset:  # checksums are of whole buffers
        rows = pa.Table.from_batches([rows]).take(pa.array(range(rows.num_rows))).to_batches()[0]
    metadata = batch_metadata(
        batch.first, batch.last, batch_checksum(rows, batch.first, batch.last)
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(rows, custom_metadata=metadata)
    contents = sink.getvalue()
    if contents.size > BATCH_BYTES_MAX:
        raise JournalError(f"a batch of {contents.size} bytes")
    return bytes(contents)


def stream_of(contents: bytes) -> str:
    """The stream that an encoded batch is of, without reading the batch.

    Raises:
        JournalError: its schema is damaged or foreign.
    """
    try:
        return read_info(pa.ipc.open_stream(pa.BufferReader(contents)).schema).stream
    except JournalError:
        raise
    except ARROW_ERRORS as error:
        raise JournalError(f"no batch of events: {error}") from None


def decode(contents: bytes) -> EventBatch:
    """The batch that `encode` has encoded.

    Raises:
        JournalError: damaged, foreign, compressed, or too large. Nothing of it has been used.
    """
    if len(contents) > BATCH_BYTES_MAX:
        raise JournalError(f"{len(contents)} bytes are more than a batch may have")
    try:
        _check_plain(contents)
        stream = pa.ipc.open_stream(pa.BufferReader(contents))
        info = read_info(stream.schema)
        rows, metadata = stream.read_next_batch_with_custom_metadata()
    except JournalError:
        raise
    except (*ARROW_ERRORS, StopIteration) as error:
        raise JournalError(f"no batch of events: {error}") from None
    first, last = check_batch(rows, metadata)
    return EventBatch(info, first, last, rows)


def _check_plain(contents: bytes) -> None:
    """Looks at all messages that a reader would read for the first batch.

    Raises:
        JournalError: one is compressed.
        ArrowException, OSError: damaged.
    """
    for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(contents)):
        if message.type in ("dictionary", "record batch") and not is_plain(bytes(message.metadata)):
            raise JournalError("a batch must not be compressed")
        if message.type == "record batch":
            return
