"""What was reported durable is found again: its folders are on the disk as well."""

import os
from pathlib import Path

import pytest
from journaled import live, make

from acumen.core.array_file import make_folder


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every path that is synced, in order; the syncs are real."""
    paths: list[Path] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        paths.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    monkeypatch.setattr(os, "fsync", noted)
    return paths


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here")


@needs_proc
def test_new_folders_are_synced_into_those_above(tmp_path: Path, synced: list[Path]) -> None:
    choice = make(tmp_path / "choices" / "of this service")
    live(choice, 10)
    assert choice.journal is not None
    assert choice.journal.flush()
    folder = tmp_path / "choices" / "of this service" / "codec"
    for entered in (tmp_path, tmp_path / "choices", folder.parent):
        assert entered in synced, f"{entered} may have lost the folder in it"
    assert synced.index(folder.parent) < synced.index(folder)  # the segment's own name is in there
    choice.journal.close()


@needs_proc
def test_folders_that_are_there_cost_nothing(tmp_path: Path, synced: list[Path]) -> None:
    make_folder(tmp_path)
    assert not synced
    make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path / "a", tmp_path]
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file")
