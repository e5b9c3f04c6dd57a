"""What is too old goes, whatever else does not work."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from journaled import live, make, wait_for, write_segments

import acumen
from acumen.core import journal_sealing, journal_writer
from acumen.core.journal_segments import segments_in

FAST = {"commit_seconds": 0.001}


def writer_of(choice: acumen.Choice) -> Any:
    assert choice.journal is not None
    return choice.journal


def sealed(folder: Path) -> int:
    return sum(segment.sealed for segment in segments_in(folder / "codec"))


def test_what_is_old_goes_though_nothing_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_writer, "RETIRE_SECONDS", 0.02)
    choice = make(acumen.Journal(tmp_path, segment_bytes=1 << 12, keep_seconds=0.5, **FAST))
    write_segments(choice, 4, rounds=100)
    assert writer_of(choice).flush()
    wait_for(lambda: not sealed(tmp_path))


def test_what_is_old_makes_room_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = make(acumen.Journal(tmp_path, segment_bytes=1 << 12, keep_seconds=0.5, **FAST))
    write_segments(choice, 4, rounds=100)
    assert writer_of(choice).flush()
    wait_for(lambda: sealed(tmp_path) > 0)

    def full(self: object, batch: object, metadata: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    def until_there_is_room() -> None:
        live(choice, 20)
        wait_for(lambda: not sealed(tmp_path))

    with monkeypatch.context() as patch:
        patch.setattr(journal_writer.LiveSegment, "append", full)
        with pytest.warns(RuntimeWarning, match="cannot be written"):
            until_there_is_room()
    assert writer_of(choice).flush()
    assert writer_of(choice).health.healed == 1


def test_what_cannot_be_sealed_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for what is old, nor for other segments."""
    choices = [make(acumen.Journal(tmp_path, **FAST), seed=seed) for seed in range(3)]
    for dead in choices:
        live(dead, 30)
        writer = writer_of(dead)
        assert writer.flush()
        writer.pause()  # as if killed
        assert writer._live is not None
        writer._live.close()
        writer._live = None
    recover_one, first = journal_sealing._recover_one, min((tmp_path / "codec").glob("*.arrow*"))

    def sometimes(path: Path) -> Any:
        if path == first:
            raise OSError(errno.EIO, "cannot be read")
        return recover_one(path)

    monkeypatch.setattr(journal_sealing, "_recover_one", sometimes)
    recovered, failures = journal_sealing.recover(tmp_path / "codec")
    assert len(recovered) == 2
    assert [str(error) for error in failures] == ["[Errno 5] cannot be read"]
    journal = acumen.Journal(tmp_path, keep_seconds=0.001, **FAST)
    choice = make(journal, seed=9)
    live(choice, 10)
    assert writer_of(choice).flush()
    wait_for(lambda: not sealed(tmp_path))
    assert writer_of(choice).health.errors > 0
