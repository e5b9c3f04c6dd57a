"""Following a journal: every event once, whatever happens to its files meanwhile."""

from __future__ import annotations

import errno
import io
import itertools
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from journaled import live, make

import acumen
from acumen.core import journal_tail
from acumen.core.journal import EventBatch
from acumen.core.journal_segments import Batch, Reading, SegmentReader, folder_of
from acumen.core.journal_tail import JournalTail, LiveTail


def journal(path: Path, **settings: float) -> acumen.Journal:
    given: dict[str, float] = {"commit_seconds": 0.001, "segment_bytes": 1 << 14} | settings
    return acumen.Journal(path, **given)  # type: ignore[arg-type]


class Taken:
    """What a tail has given, checked for order."""

    def __init__(self, path: Path) -> None:
        self.tail = JournalTail(folder_of(path, "codec"))
        self.last: dict[str, int] = {}
        self.rows = 0

    def take(self, most: int | None = None) -> None:
        for i, batch in enumerate(self.tail.read(self.last)):
            self.add(batch)
            if most is not None and i + 1 >= most:
                break

    def add(self, batch: EventBatch) -> None:
        stream = batch.info.stream
        assert batch.first == self.last.get(stream, 0) + 1
        self.last[stream] = batch.last
        numbers = batch.rows.column("sequence").to_numpy()
        assert numbers[0] >= batch.first
        assert numbers[-1] <= batch.last
        self.rows += batch.rows.num_rows


def test_every_event_comes_once_while_files_come_and_go(tmp_path: Path) -> None:
    choices = [make(journal(tmp_path)), make(journal(tmp_path))]
    taken = Taken(tmp_path)
    rng = np.random.default_rng(1)
    for i in range(24):
        for choice in choices:
            live(choice, int(rng.integers(20, 120)), i)
            if rng.random() < 0.5:
                assert choice.journal is not None
                assert choice.journal.flush()
        if i % 6 == 5:
            acumen.Journal(tmp_path).compact()
        if i % 5 == 4:
            taken.take(1)  # who stops in the middle loses nothing
        elif i % 3 != 2:
            taken.take()
    writers = [choice.journal for choice in choices]
    for writer in writers:
        assert writer is not None
        assert writer.close(10)
    taken.take()
    assert taken.last == {w.stream: w.sequence for w in writers if w is not None}
    assert taken.rows == sum(b.num_rows for b in acumen.Journal(tmp_path).scan("codec"))
    assert taken.rows > 5000
    assert list(taken.tail.problems) == []


def test_streams_come_side_by_side(tmp_path: Path) -> None:
    """Two processes at a time: neither is read to its end before the other begins."""
    choices = [make(journal(tmp_path, segment_bytes=1 << 30)) for _ in range(2)]
    for i in range(6):
        for choice in choices:
            live(choice, 400, i)
            assert choice.journal is not None
            assert choice.journal.flush()
        if i == 2:
            acumen.Journal(tmp_path, segment_bytes=1 << 30).compact()
    taken = Taken(tmp_path)
    clocks = []
    for batch in taken.tail.read(taken.last):
        taken.add(batch)
        clocks.append(batch.rows.column("time")[0].value)
    for choice in choices:
        assert choice.journal is not None
        assert choice.journal.close(10)
    assert clocks == sorted(clocks)


def test_more_streams_than_are_kept_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acumen.core.journal_tail.OPEN_MAX", 2)
    choices = [make(journal(tmp_path)) for _ in range(5)]
    for i in range(4):
        for choice in choices:
            live(choice, 300, i)
    for choice in choices:
        assert choice.journal is not None
        assert choice.journal.close(10)
    taken = Taken(tmp_path)
    taken.take()
    assert len(taken.last) == 5
    assert taken.rows == sum(b.num_rows for b in acumen.Journal(tmp_path).scan("codec"))


def written(tmp_path: Path) -> Path:
    """A directory with one segment that its process has left unsealed."""
    choice = make(journal(tmp_path / "made", segment_bytes=1 << 30))
    for i in range(5):
        live(choice, 50, i)
        assert choice.journal is not None
        assert choice.journal.flush()
    shutil.copytree(tmp_path / "made", tmp_path / "left")
    assert choice.journal is not None
    assert choice.journal.close(10)
    return next((tmp_path / "left" / "codec").glob("*.arrows"))


def test_any_cut_gives_the_whole_batches_before_it_and_later_the_rest(tmp_path: Path) -> None:
    path = written(tmp_path)
    contents = path.read_bytes()
    rng = np.random.default_rng(2)
    for cut in sorted(rng.integers(0, len(contents), 60)):
        path.write_bytes(contents[:cut])
        tail = LiveTail(path)
        before = [(first, last) for first, last, _ in tail.read()]
        assert tail.torn_bytes == cut - tail._offset
        with path.open("ab") as file:
            file.write(contents[cut:])
        after = [(first, last) for first, last, _ in tail.read()]
        found = before + after
        assert found[0][0] == 1
        assert all(a[1] + 1 == b[0] for a, b in itertools.pairwise(found))
        assert tail.torn_bytes == 0


def test_a_torn_tail_is_told_when_nobody_writes_any_more(tmp_path: Path) -> None:
    path = written(tmp_path)
    with path.open("ab") as file:
        file.write(b"\xff\xff\xff\xff\x40\x00\x00\x00torn")
    taken = Taken(tmp_path / "left")
    taken.take()
    assert taken.tail.torn() == [(path, 12)]
    assert taken.rows > 200


def test_flipped_bytes_are_told_and_never_raise(tmp_path: Path) -> None:
    path = written(tmp_path)
    contents = path.read_bytes()
    whole = Taken(tmp_path / "left")
    whole.take()
    rng = np.random.default_rng(3)
    told = 0
    for place in rng.integers(0, len(contents), 150):
        damaged = bytearray(contents)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        tail = JournalTail(path.parent)
        rows, positions = 0, {}
        for batch in tail.read(positions):
            positions[batch.info.stream] = batch.last
            rows += batch.rows.num_rows
        assert rows <= whole.rows
        if rows < whole.rows:
            told += bool(tail.problems or tail.torn() or rows == 0)
    assert told > 100


def test_a_directory_that_goes_and_comes_back(tmp_path: Path) -> None:
    taken = Taken(tmp_path)
    taken.take()
    assert not taken.tail.present
    first = make(journal(tmp_path))
    live(first, 100)
    assert first.journal is not None
    assert first.journal.close(10)
    taken.take()
    assert taken.tail.present
    rows = taken.rows
    shutil.rmtree(tmp_path / "codec")
    taken.take()
    assert not taken.tail.present
    second = make(journal(tmp_path))
    live(second, 100)
    assert second.journal is not None
    assert second.journal.close(10)
    taken.take()
    assert taken.rows > rows
    assert len(taken.last) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_told(tmp_path: Path) -> None:
    choice = make(journal(tmp_path))
    live(choice, 50)
    assert choice.journal is not None
    assert choice.journal.close(10)
    next((tmp_path / "codec").glob("*.arrow")).chmod(0)
    taken = Taken(tmp_path)
    taken.take()
    assert "Permission" in taken.tail.problems[0]


def test_what_is_known_of_a_live_segment_is_passed_by_unchecked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    ends = [(first, last) for first, last, _ in SegmentReader(path)]
    assert len(ends) >= 5
    known = ends[2][1]
    seen: list[int] = []
    check = journal_tail.checked

    def counted(batches: Iterable[tuple[Any, Any]], reading: Reading) -> Iterator[Batch]:
        batches = list(batches)
        seen.extend(int(metadata[b"first"]) for _, metadata in batches)
        return check(batches, reading)

    monkeypatch.setattr(journal_tail, "checked", counted)
    tail = LiveTail(path)
    found = [(first, last) for first, last, _ in tail.read(lambda: known)]
    assert seen == [first for first, _ in ends[3:]]
    assert found[0][0] == known + 1
    assert found[-1][1] == ends[-1][1]
    assert tail.torn_bytes == 0
    assert tail.reading.problems == []


def test_batches_passed_by_between_others_are_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may learn otherwise, and while it reads, how far it has got."""
    path = written(tmp_path)
    ends = [(first, last) for first, last, _ in SegmentReader(path)]
    sizes = path.stat().st_size // len(ends)
    monkeypatch.setattr(journal_tail, "READ_BYTES", sizes)
    tail = LiveTail(path)
    found: list[tuple[int, int]] = []
    for first, last, _ in tail.read(lambda: ends[3][1] if found else 0):
        found.append((first, last))
    assert found[0][0] == 1
    assert found[-1][1] == ends[-1][1]
    assert sum(last - first + 1 for first, last in found) < ends[-1][1]  # some were passed by
    assert tail.reading.problems == []


def test_progress_is_told_between_the_pieces_of_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    monkeypatch.setattr(journal_tail, "READ_BYTES", 1 << 15)  # two batches and a part of one
    pieces = path.stat().st_size >> 15
    assert pieces >= 2
    calls: list[int] = []
    tail = JournalTail(path.parent, lambda: calls.append(1))
    stream = SegmentReader(path).info.stream
    assert list(tail.read({stream: 1 << 40})) == []
    assert len(calls) >= 1 + pieces


def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """One sealed segment of several batches, and its stream."""
    monkeypatch.setattr("acumen.core.journal_sealing.SEALED_BATCH_BYTES", 1 << 12)
    choice = make(journal(tmp_path, segment_bytes=1 << 30))
    for i in range(6):
        live(choice, 60, i)
        assert choice.journal is not None
        assert choice.journal.flush()
    assert choice.journal is not None
    assert choice.journal.close(10)
    (path,) = (tmp_path / "codec").glob("*.arrow")
    return path, choice.journal.stream


def test_progress_is_told_between_the_batches_of_a_sealed_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, stream = sealed(tmp_path, monkeypatch)
    batches = list(SegmentReader(path))
    calls: list[int] = []
    tail = JournalTail(path.parent, lambda: calls.append(1))
    (last,) = tail.read({stream: batches[-1][0]})  # the others are known
    assert (last.first, last.last) == (batches[-1][0] + 1, batches[-1][1])
    assert len(calls) >= len(batches) >= 4


@pytest.mark.parametrize("edge", [0, -1])
def test_a_damaged_edge_does_not_hide_the_rest_of_a_sealed_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edge: int
) -> None:
    monkeypatch.setattr(journal_tail, "HOLE_SECONDS", 0.0)
    path, stream = sealed(tmp_path, monkeypatch)
    batches = list(SegmentReader(path))
    assert len(batches) >= 4
    contents = bytearray(path.read_bytes())
    sequence = batches[edge][2].column("sequence").buffers()[1].to_pybytes()
    contents[contents.index(sequence[:64])] ^= 0xFF
    path.write_bytes(contents)
    whole = [(first, last) for first, last, _ in SegmentReader(path)]
    assert len(whole) == len(batches) - 1
    tail, known = JournalTail(path.parent), batches[1][1]
    found = [(batch.first, batch.last) for batch in tail.read({stream: known})]
    assert found == [ends for ends in whole if ends[0] > known]
    assert "the checksum does not match" in " ".join(tail.problems)


def test_an_error_of_the_disk_that_passes_costs_no_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed(tmp_path, monkeypatch)
    taken = Taken(tmp_path)

    def failing(path: Path) -> SegmentReader:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    with monkeypatch.context() as broken:
        broken.setattr(journal_tail, "SegmentReader", failing)
        taken.take()
        taken.take()
    assert taken.rows == 0
    assert len(taken.tail.problems) == 1  # told once, however often it is tried
    assert os.strerror(errno.EIO) in taken.tail.problems[0]
    taken.take()
    assert taken.rows == sum(b.num_rows for b in acumen.Journal(tmp_path).scan("codec")) > 0


class BadSector(io.BytesIO):
    """A file that the disk does not give a part of."""

    bad = range(0)

    def read(self, size: int | None = -1) -> bytes:
        at = self.tell()
        data = super().read(size)
        if at < self.bad.stop and at + len(data) > self.bad.start:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return data


def from_bad_disk(name: str, mode: str) -> pa.PythonFile:
    return pa.PythonFile(BadSector(Path(name).read_bytes()), mode)


def bad_in_the_middle(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    contents = path.read_bytes()
    batch = list(SegmentReader(path))[2][2]
    at = contents.index(batch.column("sequence").buffers()[1].to_pybytes()[:64])
    monkeypatch.setattr(BadSector, "bad", range(at, at + 64))
    monkeypatch.setattr(pa, "OSFile", from_bad_disk)


def test_a_part_that_the_disk_does_not_give_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = sealed(tmp_path, monkeypatch)
    taken, total = Taken(tmp_path), sum(rows.num_rows for _, _, rows in SegmentReader(path))
    with monkeypatch.context() as broken:
        bad_in_the_middle(broken, path)
        taken.take()
        taken.take()
        assert 0 < taken.rows < total
        assert taken.tail.has_holes
        assert os.strerror(errno.EIO) in " ".join(taken.tail.problems)
        report = acumen.Journal(tmp_path).verify()
        assert not report.good
    taken.take()
    assert taken.rows == total
    assert not taken.tail.has_holes


def test_a_part_that_the_disk_never_gives_is_told_and_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_tail, "HOLE_SECONDS", 0.0)
    path, stream = sealed(tmp_path, monkeypatch)
    lost, last = list(SegmentReader(path))[2], list(SegmentReader(path))[-1][1]
    bad_in_the_middle(monkeypatch, path)
    tail, known = JournalTail(path.parent), {stream: 0}
    for _ in range(3):
        for batch in tail.read(known):
            known[stream] = batch.last
    assert known[stream] == last
    assert f"events {lost[0]} to {lost[1]} are missing" in " ".join(tail.problems)


def test_a_file_that_cannot_even_be_opened_is_no_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = sealed(tmp_path, monkeypatch)
    monkeypatch.setattr(BadSector, "bad", range(path.stat().st_size - 64, path.stat().st_size))
    monkeypatch.setattr(pa, "OSFile", from_bad_disk)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        SegmentReader(path)
    (report,) = acumen.Journal(tmp_path).verify().segments
    assert os.strerror(errno.EIO) in report.problems[0]
    told: list[str] = []
    assert list(acumen.Journal(tmp_path).events("codec", problems=told)) == []
    assert os.strerror(errno.EIO) in told[0]
