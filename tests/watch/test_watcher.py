"""What follows a directory, without its server."""

from __future__ import annotations

from pathlib import Path

import pytest
from traffic import close, flush, live, make

from acumen.core.journal_segments import segments_in
from acumen.watch.watcher import Watcher


def test_a_choice_that_has_just_been_found_is_whole(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 10)
    flush(choice)
    watcher = Watcher(tmp_path)
    watcher._find()
    health = watcher.state("codec", "5m")["selected"]["health"]
    assert health["present"]
    assert health["live"] == 1  # before anything of it was read
    assert health["torn"] == []
    close(choice)


def test_only_what_is_wanted_is_followed(tmp_path: Path) -> None:
    for name in ("codec", "codec-2", "a/b", "other"):
        choice = make(tmp_path, name)
        live(choice, 5)
        close(choice)
    for only, wanted in (
        (["codec"], ["codec"]),
        (["codec*", "a/b"], ["a/b", "codec", "codec-2"]),
        (["nothing"], []),
        ([], ["a/b", "codec", "codec-2", "other"]),
    ):
        watcher = Watcher(tmp_path, only)
        watcher.poll()
        assert [c["name"] for c in watcher.overview()["choices"]] == wanted


def test_streams_without_files_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acumen.core.journal_tail.GONE_SECONDS", 0.0)
    monkeypatch.setattr("acumen.watch.watcher.HEALTH_SECONDS", 0.0)
    for _ in range(3):
        choice = make(tmp_path)
        live(choice, 10)
        close(choice)
    watcher = Watcher(tmp_path)
    watcher.poll()
    first, *others = segments_in(tmp_path / "codec")
    first.path.unlink()
    followed = watcher._choices["codec"]
    for _ in range(4):
        watcher.poll()
    assert set(followed.positions) == {segment.stream for segment in others}
    for segment in others:
        segment.path.rename(segment.path.with_suffix(".away"))
    for _ in range(4):
        watcher.poll()
    for segment in others:
        segment.path.with_suffix(".away").rename(segment.path)
    watcher.poll()
    assert followed.view.decisions == 30  # and nothing was counted twice
