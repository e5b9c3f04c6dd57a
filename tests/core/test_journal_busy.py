"""Journals that never come to rest: written without a pause, put together while they are read."""

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from journaled import live, make, wait_for, write_segments

import acumen
from acumen.core.journal_segments import folder_of, segments_in
from acumen.core.journal_tail import JournalTail

SMALL: dict[str, Any] = {"segment_bytes": 1 << 12, "commit_seconds": 0.001}


@contextmanager
def always_choosing(journal: acumen.Journal) -> Iterator[acumen.Choice]:
    """A choice, and a thread that chooses as fast as it can: faster than anything is written."""
    choice = acumen.Choice(
        "busy",
        arms=[1, 2],
        context={"x": float},
        default=1,
        metric=acumen.maximize("reward"),
        journal=journal,
        seed=1,
    )
    end = threading.Event()

    def go_on() -> None:
        rows = np.ones((512, 1))
        while not end.is_set():
            choice.feedback_many(choice.choose_many(rows).ids, reward=1.0)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield choice
    finally:
        end.set()
        thread.join()
        assert choice.journal is not None
        choice.journal.close()


def test_segments_are_sealed_though_something_always_waits(tmp_path: Path) -> None:
    """They are not only when the ring is empty: that may never be."""
    size, commit = 1 << 20, 1 << 18
    kept = acumen.Journal(
        tmp_path, segment_bytes=size, commit_bytes=commit, ring_bytes=1 << 20, keep_bytes=4 * size
    )
    with always_choosing(kept) as choice:
        writer = choice.journal
        assert writer is not None
        wait_for(lambda: writer.health.sealed > 5, 30)
        largest = max(s.path.stat().st_size for s in segments_in(tmp_path / "busy") if s.sealed)
        assert largest < 2 * (size + 2 * commit)
        wait_for(lambda: writer.health.retired > 0, 30)


def test_closing_does_not_wait_for_who_goes_on_choosing(tmp_path: Path) -> None:
    with always_choosing(acumen.Journal(tmp_path)) as choice:
        writer = choice.journal
        assert writer is not None
        wait_for(lambda: writer.durable_sequence > 10_000)
        asked = writer.sequence
        assert writer.close(30)
        assert writer.durable_sequence >= asked - writer.dropped
    assert [s.sealed for s in segments_in(tmp_path / "busy")] == [True]


def test_reading_while_segments_are_put_together(tmp_path: Path) -> None:
    """All is found, whichever of the files are gone when a reader comes to them."""
    for turn in range(4):
        root = tmp_path / str(turn)
        choice = make(acumen.Journal(root, **SMALL))
        write_segments(choice, 10, rounds=20)
        assert choice.journal is not None
        assert choice.journal.close()
        journal = acumen.Journal(root)
        wanted = journal.decisions()["id"].to_pylist()
        merging = threading.Thread(target=journal.compact)
        merging.start()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            while merging.is_alive():
                assert journal.decisions()["id"].to_pylist() == wanted
                found = journal.verify()
                assert found.good, found
        merging.join()
        assert len(segments_in(root / "codec")) == 1


def test_a_reader_whose_segments_have_become_one(tmp_path: Path) -> None:
    """The same, at the worst moment, every time."""
    choice = make(acumen.Journal(tmp_path, **SMALL))
    write_segments(choice, 6)
    assert choice.journal is not None
    assert choice.journal.close()
    journal = acumen.Journal(tmp_path)
    whole = [(batch.first, batch.last) for batch in journal.events()]
    found, problems = [], list[str]()
    for batch in journal.events(problems=problems):
        found.append((batch.first, batch.last))
        if len(found) == 2:
            assert journal.compact() > 3
    assert problems == []
    assert found[:2] == whole[:2]
    assert found[2][0] == found[1][1] + 1
    assert found[-1][1] == whole[-1][1]


def test_what_is_deleted_while_it_is_read_is_told(tmp_path: Path) -> None:
    choice = make(acumen.Journal(tmp_path, **SMALL))
    write_segments(choice, 6)
    assert choice.journal is not None
    assert choice.journal.close()
    journal, files = acumen.Journal(tmp_path), segments_in(tmp_path / "codec")
    problems: list[str] = []
    events = journal.events(problems=problems)
    last = next(events).last
    files[1].path.unlink()
    firsts = [batch.first for batch in events]
    assert firsts[0] > last + 1
    assert problems == [f"{files[0].stream}: events {last + 1} to {firsts[0] - 1} are missing"]


def test_put_together_segments_are_not_young_again(tmp_path: Path) -> None:
    """Or a journal that is tidied every day would keep everything for ever."""
    choice = make(acumen.Journal(tmp_path, **SMALL))
    write_segments(choice, 4)
    assert choice.journal is not None
    assert choice.journal.close()
    old = time.time() - 3600
    for segment in segments_in(tmp_path / "codec"):
        os.utime(segment.path, (old, old))
    journal = acumen.Journal(tmp_path, keep_seconds=1800)
    assert journal.compact() > 0
    assert journal.retire("codec") == 1


def read_on(path: Path) -> Callable[[], list[int]]:
    """A tail's looks: the numbers of the events that are new."""
    tail, positions = JournalTail(path), dict[str, int]()

    def look() -> list[int]:
        found: list[int] = []
        for batch in tail.read(positions):
            found += batch.rows["sequence"].to_pylist()
            positions[batch.info.stream] = batch.last
        return found

    return look


def test_a_tail_that_slept_while_segments_became_one(tmp_path: Path) -> None:
    """What it has never seen lies in a file that it has read, by its name."""
    choice = make(acumen.Journal(tmp_path, **SMALL))
    writer = choice.journal
    assert writer is not None
    look = read_on(folder_of(tmp_path, "codec"))
    write_segments(choice, 2)
    found = look() + look()
    assert len(found) > 100
    for part in range(2, 5):
        live(choice, 60, seed=part)
        assert writer.flush()
        wait_for(lambda: writer.health.sealed > part)  # noqa: B023 (called at once)
    wait_for(lambda: all(s.sealed for s in segments_in(tmp_path / "codec")))
    assert acumen.Journal(tmp_path).compact() > 2
    live(choice, 60, seed=9)
    assert writer.flush()
    deadline = time.monotonic() + 10
    while len(found) < writer.sequence and time.monotonic() < deadline:
        found += look()
    assert found == list(range(1, writer.sequence + 1))
    assert writer.close()
