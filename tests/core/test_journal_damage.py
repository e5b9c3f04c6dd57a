"""Whatever is done to a segment's bytes: its good events are read, or an error says why not."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from journaled import live, make, write_segments

import acumen
from acumen.core.journal_format import (
    JournalInfo,
    batch_checksum,
    batch_metadata,
    check_batch,
    read_info,
    schema_of,
)
from acumen.core.journal_sealing import merge
from acumen.core.journal_segments import SegmentReader, segments_in

MANY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
Alteration = tuple[str, float, int]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, bytes]]:
    """One segment of each kind, of several batches, and its bytes."""
    found = {}
    for kind in ("live", "sealed", "compact"):
        root = tmp_path_factory.mktemp(kind)
        choice = make(acumen.Journal(root, commit_seconds=0.001), name=kind)
        assert choice.journal is not None
        for part in range(6):
            live(choice, 20, seed=part)
            assert choice.journal.flush()
        if kind != "live":
            choice.journal.close()
        (segment,) = segments_in(root / kind)
        if kind == "compact":
            merge([segment], "zstd")
        # A copy: of the live one nobody is the owner.
        copy = tmp_path_factory.mktemp(f"{kind} copy")
        shutil.copytree(root / kind, copy / kind)
        (segment,) = segments_in(copy / kind)
        found[kind] = (segment.path, segment.path.read_bytes())
    return found


@contextmanager
def altered(path: Path, contents: bytes) -> Iterator[Path]:
    """A copy of the journal whose only segment has other bytes."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / path.parent.name
        folder.mkdir()
        (folder / path.name).write_bytes(contents)
        yield Path(root)


def rows_of(root: Path) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [row for batch in acumen.Journal(root).scan() for row in batch.to_pylist()]


def alter(contents: bytes, alterations: list[Alteration]) -> bytes:
    data = bytearray(contents)
    for how, where, byte in alterations:
        at = min(int(where * len(data)), len(data) - 1) if data else 0
        if how == "cut":
            del data[at:]
        elif how == "flip" and data:
            data[at] ^= byte or 1
        elif how == "zero":
            data[at : at + 8 * byte] = bytes(len(data[at : at + 8 * byte]))
        elif how == "insert":
            data[at:at] = bytes([byte]) * (1 + byte % 9)
        elif how == "repeat":
            data[at:at] = data[at : at + 16 * byte]
        elif how == "drop":
            del data[at : at + byte]
    return bytes(data)


ALTERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["cut", "flip", "flip", "zero", "insert", "repeat", "drop"]),
        st.floats(0, 1),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("kind", ["live", "sealed", "compact"])
@MANY
@given(alterations=ALTERATIONS)
@example(alterations=[("cut", 0.875, 0), ("flip", 0.140625, 128)])  # a name that is no text
@example(alterations=[("flip", 0.9378171918143503, 0)])  # a footer that names no batch
def test_no_wrong_row_and_no_crash(
    written: dict[str, tuple[Path, bytes]], kind: str, alterations: list[Alteration]
) -> None:
    path, contents = written[kind]
    good = rows_of(path.parents[1])
    with altered(path, alter(contents, alterations)) as root:
        rows = rows_of(root)
        by_number = {row["sequence"]: row for row in good}
        assert all(row == by_number.get(row["sequence"]) for row in rows)
        numbers = [row["sequence"] for row in rows]
        assert numbers == sorted(set(numbers))
        journal = acumen.Journal(root)
        verification = journal.verify()
        # What is left is what was found, and now it is sealed or put aside.
        assert rows_of(root) == rows if journal.choices() else not rows
        if len(rows) < len(good) and kind != "live":
            assert not verification.good
        choice = make(name=kind)
        report = choice.replay(root)
        assert report.decisions == sum(row["kind"] == "decision" for row in rows)
        assert (
            report.exact == (len(rows) == len(good) or numbers == list(range(1, len(numbers) + 1)))
            or not verification.good
        )


@MANY
@given(contents=st.binary(max_size=2000), magic=st.booleans(), suffix=st.sampled_from(["", "s"]))
def test_garbage(contents: bytes, magic: bool, suffix: str) -> None:
    path = Path("x") / f"0198c1d2a3b4-5f2e1a-000000.arrow{suffix}"
    with altered(path, (b"ARROW1\0\0" if magic else b"") + contents) as root:
        assert rows_of(root) == []
        verification = acumen.Journal(root).verify()
        if contents:
            assert not verification.good


@pytest.mark.parametrize("kind", ["live", "sealed"])
def test_every_cut(written: dict[str, tuple[Path, bytes]], kind: str) -> None:
    """A segment that ends anywhere: the batches before are there, all of them."""
    path, contents = written[kind]
    reader = SegmentReader(path)
    ends = [last for _, last, _ in reader]
    rows_before = -1
    for length in range(0, len(contents), 997):
        with altered(path, contents[:length]) as root:
            numbers = [row["sequence"] for row in rows_of(root)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert not numbers or numbers[-1] in ends
        assert len(numbers) >= rows_before
        rows_before = len(numbers)
    assert rows_before > 0


def test_a_torn_tail_is_cut_off_and_told(written: dict[str, tuple[Path, bytes]]) -> None:
    path, contents = written["live"]
    with altered(path, contents[:-100]) as root:
        rows = rows_of(root)
        verification = acumen.Journal(root).verify()
        (recovered,) = verification.recovered
        assert recovered.last == rows[-1]["sequence"]
        assert recovered.rows == len(rows)
        assert 0 < recovered.torn_bytes < len(contents)
        assert recovered.problems == ()
        assert verification.good  # a kill's torn tail is no damage
        assert [s.state for s in verification.segments] == ["sealed"]
        assert rows_of(root) == rows


def test_a_lost_end_is_read_as_a_stream(written: dict[str, tuple[Path, bytes]]) -> None:
    path, contents = written["sealed"]
    with altered(path, contents[: len(contents) - 3000]) as root:
        verification = acumen.Journal(root).verify()
        assert "the file's end is damaged" in verification.segments[0].problems[0]


def test_what_cannot_be_read_is_kept(written: dict[str, tuple[Path, bytes]]) -> None:
    path, contents = written["live"]
    with altered(path, contents[:40] + bytes(200) + contents[240:]) as root:
        verification = acumen.Journal(root).verify()
        assert not verification.good
        assert "kept as" in verification.recovered[0].problems[0]
        (kept,) = (p for p in (root / "live").iterdir() if p.name != ".compact.lock")
        assert kept.stat().st_size == len(contents)


def test_a_missing_segment_is_noticed(tmp_path: Path) -> None:
    choice = make(acumen.Journal(tmp_path, segment_bytes=1 << 12, commit_seconds=0.001))
    write_segments(choice, 3)
    assert choice.journal is not None
    assert choice.journal.close()
    segments = segments_in(tmp_path / "codec")
    segments[1].path.unlink()
    verification = acumen.Journal(tmp_path).verify()
    assert len(verification.missing) == 1
    assert not verification.good
    with pytest.warns(RuntimeWarning, match="events .* are missing"):
        list(acumen.Journal(tmp_path).scan())
    report = make().replay(tmp_path)
    assert any("are missing" in note for note in report.notes)
    shutil.rmtree(tmp_path / "codec")


INFO = JournalInfo(
    choice="x",
    stream="0198c1d2a3b4-5f2e1a",
    segment=0,
    fields=("a",),
    kinds=(0,),
    schema="a:number",
    arms=("'x'",),
    features=0,
    metrics=("m",),
    objective=({"metric": "m"},),
    settings={},
    names={"a": {"3": ["three"]}},
)


def test_what_a_schema_says() -> None:
    assert read_info(schema_of(INFO)) == INFO
    assert JournalInfo.from_json(INFO.to_json()) == INFO


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "format 2; this version"),
        ({"stream": "../../x"}, "makes no sense"),
        ({"kinds": []}, "makes no sense"),
        ({"features": -1}, "makes no sense"),
        ({"names": {"a": {"x": ["y"]}}}, "makes no sense"),
        ({"names": {"a": {"3": [1]}}}, "makes no sense"),
        ({"names": []}, "makes no sense"),
        ({"objective": [1]}, "makes no sense"),
        ({"fields": ["b"]}, "columns are not those"),
        ({"unknown": 1}, "makes no sense"),
    ],
)
def test_forged_schemas(change: dict[str, Any], says: str) -> None:
    import json
    import zlib

    from acumen.core import journal_format

    text = json.dumps(json.loads(INFO.to_json()) | change).encode()
    columns = journal_format.columns_of(INFO)
    checksum = b"%08x" % journal_format._info_checksum(text, columns)
    schema = pa.schema(columns, metadata={b"acumen": text, b"acumen.crc32": checksum})
    with pytest.raises(acumen.JournalError, match=says):
        read_info(schema)
    with pytest.raises(acumen.JournalError, match="checksum"):
        read_info(pa.schema(columns, metadata={b"acumen": text, b"acumen.crc32": b"0"}))
    assert zlib.crc32(b"") == 0


def test_checksums_cover_everything(written: dict[str, tuple[Path, bytes]]) -> None:
    """Python and C++ agree on every batch, and any cell counts."""
    path, _ = written["live"]
    batches = list(SegmentReader(path))
    assert len(batches) > 3
    first, last, batch = batches[1]
    checksum = batch_checksum(batch, first, last)
    metadata = batch_metadata(first, last, checksum)
    assert check_batch(batch, metadata) == (first, last)
    for i, name in enumerate(batch.schema.names):
        column = batch.column(i)
        other = pa.nulls(batch.num_rows, column.type)
        if column.null_count == batch.num_rows:
            continue
        changed = batch.set_column(i, batch.schema.field(i), other)
        with pytest.raises(acumen.JournalError):
            check_batch(changed, metadata)
        assert name
    for wrong in ({}, None, {b"first": b"x"}, metadata | {b"last": b"%d" % (last + 1)}):
        with pytest.raises(acumen.JournalError):
            check_batch(batch, wrong)
