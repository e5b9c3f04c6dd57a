"""Batches on their way: nothing that would grow when it is read, nothing larger than it may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from journaled import live, make
from test_hub import Line, learned, ship, told

import acumen
from acumen.core.journal import EventBatch
from acumen.core.journal_format import JournalError, batch_checksum, batch_metadata, schema_of
from acumen.fleet import uplink as uplink_module
from acumen.fleet import wire
from acumen.fleet.uplink import Uplink
from acumen.fleet.wire import decode, encode, pieces


def largest(folder: Path, rounds: int = 200) -> EventBatch:
    choice = make(folder)
    live(choice, rounds)
    told(choice)
    return max(acumen.Journal(folder).events("codec"), key=lambda batch: batch.rows.num_rows)


def written(batch: EventBatch, **options: Any) -> bytes:
    """As `encode` does it, but for the options."""
    schema = schema_of(batch.info)
    rows = pa.RecordBatch.from_arrays(batch.rows.columns, schema=schema)
    checksum = batch_checksum(rows, batch.first, batch.last)
    metadata = batch_metadata(batch.first, batch.last, checksum)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(rows, custom_metadata=metadata)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd"},
        {"compression": "lz4"},
        # It had other ways to say so, which Arrow still understands.
        {"metadata_version": pa.ipc.MetadataVersion.V4},
    ],
    ids=str,
)
def test_what_is_compressed_is_refused_unread(tmp_path: Path, options: dict[str, Any]) -> None:
    batch = largest(tmp_path)
    assert decode(written(batch)).rows.equals(batch.rows)
    with pytest.raises(JournalError, match="must not be compressed"):
        decode(written(batch, **options))


def test_a_compressed_batch_of_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    """It says truly how large it is; only that nobody wants it so."""
    batch = largest(tmp_path)
    rows = 3_000_000
    columns = [pa.nulls(rows, kind) for kind in batch.rows.schema.types]
    large = pa.RecordBatch.from_arrays(columns, schema=schema_of(batch.info))
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, large.schema, options=options) as writer:
        writer.write_batch(large, custom_metadata=batch_metadata(1, rows, 0))
    contents = bytes(sink.getvalue())
    held, size = pa.total_allocated_bytes(), large.nbytes
    del large, columns, sink
    assert len(contents) < size / 50
    peak = pa.default_memory_pool().max_memory()
    with pytest.raises(JournalError, match="must not be compressed"):
        decode(contents)
    assert pa.default_memory_pool().max_memory() == peak
    assert pa.total_allocated_bytes() <= held


def test_pieces_are_the_same_events(tmp_path: Path) -> None:
    batch = largest(tmp_path)
    most = batch.rows.nbytes // 10
    parts = list(pieces(batch, most))
    assert len(parts) >= 10
    assert all(part.rows.nbytes <= most for part in parts)
    assert parts[0].first == batch.first
    assert parts[-1].last == batch.last
    assert [p.last + 1 for p in parts[:-1]] == [p.first for p in parts[1:]]
    read = [decode(encode(part)).rows for part in parts]
    assert pa.Table.from_batches(read).combine_chunks().to_batches()[0].equals(batch.rows)
    (one,) = pieces(EventBatch(batch.info, 1, 1, batch.rows.slice(0, 1)), 1)
    assert one.rows.num_rows == 1


def test_a_batch_larger_than_a_hub_takes_comes_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are wider on the way than in the ring, so no setting of a journal could rule it out."""
    monkeypatch.setattr(wire, "BATCH_BYTES_MAX", 60_000)
    monkeypatch.setattr(uplink_module, "REQUEST_BYTES", 30_000)
    choice = make(acumen.Journal(tmp_path / "m", commit_seconds=5.0))
    live(choice, 600)
    told(choice)
    whole = max(b.rows.nbytes for b in acumen.Journal(tmp_path / "m").events("codec"))
    assert whole > 60_000
    line = Line(str(tmp_path / "hub"))
    uplink = Uplink(line, choice, tmp_path / "m")
    ship(uplink)
    assert choice.journal is not None
    assert line.hub.trainer is not None
    assert line.hub.trainer.positions == {choice.journal.stream: choice.journal.sequence}
    assert line.hub.trainer.choice.model_version == learned(choice)
    assert line.hub.trainer.report.lost == line.hub.trainer.report.duplicates == 0
    assert uplink.health.errors == 0


def test_an_uplink_that_reads_for_long_shows_that_it_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acumen.core.journal_tail.READ_BYTES", 1 << 12)
    choice = make(acumen.Journal(tmp_path / "m", segment_bytes=1 << 30, commit_seconds=0.001))
    for part in range(5):
        live(choice, 50, part)
        told(choice)
    uplink = Uplink(Line(str(tmp_path / "hub")), choice, tmp_path / "m", patience_seconds=1e-9)
    assert uplink.step()  # asks what there is
    shown: list[int] = []
    monkeypatch.setattr(uplink._candidacy, "show_life", lambda: shown.append(1))
    assert uplink.step()
    assert len(shown) >= 5
