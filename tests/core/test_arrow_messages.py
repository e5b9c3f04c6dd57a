"""Small messages that ask for much memory are refused before they get it."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journaled import live, make

import acumen
from acumen.core.arrow_messages import (
    INFLATED_BYTES_MAX,
    InflationError,
    _blocks,
    check_file,
    is_plain,
)
from acumen.core.journal_sealing import merge
from acumen.core.journal_segments import SegmentReader, segments_in
from acumen.core.journal_tail import JournalTail

ZSTD, BOMB_BYTES = b"\x28\xb5\x2f\xfd", 1 << 30
POOLS: list[pa.MemoryPool] = []  # whose buffers may outlive a test


@pytest.fixture(scope="module")
def compact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compressed segment."""
    root = tmp_path_factory.mktemp("compact")
    choice = make(acumen.Journal(root))
    live(choice, 300)
    assert choice.journal is not None
    choice.journal.close()
    (segment,) = segments_in(root / "codec")
    merge([segment], "zstd")
    return segment.path


@contextmanager
def peak() -> Iterator[list[int]]:
    """The most bytes that Arrow held at a time in the block."""
    before, found = pa.default_memory_pool(), [0]
    pool = pa.proxy_memory_pool(before)
    POOLS.append(pool)
    pa.set_memory_pool(pool)
    try:
        yield found
    finally:
        pa.set_memory_pool(before)
        found[0] = pool.max_memory()


def forged(contents: bytes, declared: int) -> bytes:
    """The last compressed buffer says another length of itself."""
    at = contents.rindex(ZSTD) - 8
    return contents[:at] + struct.pack("<q", declared) + contents[at + 8 :]


@pytest.mark.parametrize("kind", ["sealed", "without its end", "live"])
@pytest.mark.parametrize("declared", [BOMB_BYTES, -2, 1 << 62])
def test_a_bomb_is_told_and_not_inflated(
    compact: Path, tmp_path: Path, kind: str, declared: int
) -> None:
    bomb = forged(compact.read_bytes(), declared)
    suffix = ".arrows" if kind == "live" else ".arrow"
    bomb = {"sealed": bomb, "without its end": bomb[:-1], "live": bomb[8:]}[kind]
    path = tmp_path / "codec" / (compact.stem + suffix)
    path.parent.mkdir()
    path.write_bytes(bomb)
    with peak() as most:
        reader, tail = SegmentReader(path), JournalTail(path.parent)
        assert list(reader) == []
        assert list(tail.read({})) == []
    assert most[0] < 1 << 24
    assert any("larger than" in text for text in (*reader.reading.problems, *tail.problems))


@pytest.mark.parametrize("suffix", [".arrows", ".arrow"])
def test_dictionaries_have_one_bound_together(compact: Path, tmp_path: Path, suffix: str) -> None:
    """Arrow keeps every dictionary and what is added to it: small messages, each within bounds."""
    (_, _, rows) = next(iter(SegmentReader(compact)))
    kind = rows.schema.get_field_index("kind")
    options = pa.ipc.IpcWriteOptions(compression="zstd", emit_dictionary_deltas=True)
    path = tmp_path / "codec" / (compact.stem + suffix)
    path.parent.mkdir()
    labels = rows.column(kind).dictionary.to_pylist()
    schema = pa.ipc.open_file(compact).schema
    new = pa.ipc.new_file if suffix == ".arrow" else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as sink, new(sink, schema, options=options) as writer:
        for extra in range(12):
            labels.append("a" * ((1 << 18) - extra))
            columns = rows.slice(0, 1).columns
            columns[kind] = pa.DictionaryArray.from_arrays(
                pa.array([0], rows.column(kind).indices.type), pa.array(labels)
            )
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    with peak() as most:
        reader, tail = SegmentReader(path), JournalTail(path.parent)
        assert list(reader) == []
        assert list(tail.read({})) == []
    assert most[0] < 1 << 23
    assert any("larger than" in text for text in (*reader.reading.problems, *tail.problems))


def test_messages_are_named_once(compact: Path) -> None:
    """A footer that names one message many times would have it checked, and kept, as often."""
    contents = compact.read_bytes()
    dictionaries, _ = _blocks(lambda at, count: contents[at : at + count], len(contents))
    assert dictionaries
    second = struct.pack("<qi4xq", *dictionaries[1])
    twice = contents.replace(second, struct.pack("<qi4xq", *dictionaries[0]))
    assert twice != contents
    with pytest.raises(InflationError, match="overlap"):
        check_file(lambda at, count: twice[at : at + count], len(twice))


def test_what_is_as_large_as_it_says_is_read(compact: Path, tmp_path: Path) -> None:
    size = compact.stat().st_size
    contents = compact.read_bytes()
    check_file(lambda at, count: contents[at : at + count], size)
    with pytest.raises(InflationError, match="larger than 1000 bytes"):
        check_file(lambda at, count: contents[at : at + count], size, 1000)
    rows = sum(batch.num_rows for _, _, batch in SegmentReader(compact))
    cut = tmp_path / compact.name
    cut.write_bytes(contents[:-1])
    assert sum(batch.num_rows for _, _, batch in SegmentReader(cut)) == rows > 0


def test_what_is_put_together_is_never_too_large_to_be_read(
    compact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acumen.core.journal_sealing.INFLATED_BYTES_MAX", 1000)
    shutil.copytree(compact.parent, tmp_path / "codec")
    second = make(acumen.Journal(tmp_path, segment_bytes=4096))
    for part in range(3):
        live(second, 20, seed=part)
        assert second.journal is not None
        assert second.journal.flush()
    second.journal.close()
    journal = acumen.Journal(tmp_path)
    before = journal.decisions().num_rows
    journal.compact()
    assert journal.verify().good
    assert journal.decisions().num_rows == before
    assert INFLATED_BYTES_MAX > 8 << 20


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_footer_is_checked_or_refused(compact: Path, data: st.DataObject) -> None:
    contents = bytearray(compact.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(1, min(3000, len(contents))))
        contents[-at] = data.draw(st.integers(0, 255))
    try:
        check_file(lambda at, count: bytes(contents[at : at + count]), len(contents))
    except InflationError:
        return


@settings(max_examples=100, deadline=None)
@given(head=st.binary(max_size=200))
def test_garbage_is_no_plain_message(head: bytes) -> None:
    assert is_plain(head) in (False, True)
