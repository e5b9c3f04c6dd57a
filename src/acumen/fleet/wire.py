"""Batches of events on their way through a network: Arrow IPC with the journal's own checksums."""

from __future__ import annotations

import pyarrow as pa

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
        JournalError: damaged, foreign, or too large. Nothing of it has been used.
    """
    if len(contents) > BATCH_BYTES_MAX:
        raise JournalError(f"{len(contents)} bytes are more than a batch may have")
    try:
        stream = pa.ipc.open_stream(pa.BufferReader(contents))
        info = read_info(stream.schema)
        rows, metadata = stream.read_next_batch_with_custom_metadata()
    except JournalError:
        raise
    except (*ARROW_ERRORS, StopIteration) as error:
        raise JournalError(f"no batch of events: {error}") from None
    first, last = check_batch(rows, metadata)
    return EventBatch(info, first, last, rows)
