from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console
from toy_race import METRIC, ToyRace

from acumen.evaluation import RaceError, Result, Row, discovery, find_data
from acumen.evaluation import results as results_module
from acumen.evaluation.discovery import find_races, load_race
from acumen.evaluation.live import Watch


def result() -> Result:
    rows = [
        Row("w", 0.01, "a", "heuristic", 0.5, 0.5, 0.5, 1e6, 0.25),
        Row("w", 0.01, "b", "learned", float("nan"), 0.1, 0.2, float("inf"), 0.25),
    ]
    return Result("toy", METRIC, 3, "a machine", rows)


def test_the_json_has_the_agreed_keys_and_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    result().save(path)
    loaded = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert list(loaded) == ["domain", "metric", "goal", "seed", "machine", "rows"]
    assert list(loaded["rows"][0]) == [
        "workload", "setting", "contender", "kind", "value", "low", "high", "throughput", "seconds",
    ]  # fmt: skip
    assert loaded["rows"][1]["value"] is None
    assert path.stat().st_mode & 0o777 == 0o666 & ~results_module._umask()


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.json"
    result().save(path)
    before = path.read_text()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        result().save(path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_file_is_written_to_and_links_stay_links(tmp_path: Path) -> None:
    link, target, pipe = tmp_path / "link.json", tmp_path / "target.json", tmp_path / "pipe"
    link.symlink_to(target)
    for _ in range(2):
        result().save(link)
        assert link.is_symlink()
        assert json.loads(target.read_text())["domain"] == "toy"
    os.mkfifo(pipe)
    read = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    result().save(pipe)
    assert pipe.is_fifo()
    assert json.loads(os.read(read, 1 << 16))["domain"] == "toy"
    os.close(read)
    assert {path.name for path in tmp_path.iterdir()} == {"link.json", "target.json", "pipe"}


def test_a_pipe_gets_one_document_at_the_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    watch = Watch(Result("toy", METRIC, 3, "a machine"), pipe, Console(file=io.StringIO()))
    for row in result().rows:
        watch.take(row)
    watch.finish()
    assert len(json.loads(os.read(read, 1 << 16))["rows"]) == 2
    os.close(read)


def test_races_are_found_by_looking() -> None:
    races = find_races()
    assert "caching" in races
    assert "evaluation" not in races
    assert load_race("caching").domain == "caching"
    with pytest.raises(RaceError, match=r"Did you mean caching\?"):
        load_race("cachign")
    with pytest.raises(RaceError, match=r"There are: .*caching"):
        load_race("zzz")


def test_where_data_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACUMEN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert find_data("toy", None) is None
    cached = tmp_path / "cache" / "acumen" / "toy"
    cached.mkdir(parents=True)
    assert find_data("toy", None) == cached
    parent = tmp_path / "data"
    (parent / "toy").mkdir(parents=True)
    monkeypatch.setenv("ACUMEN_DATA", str(parent))
    assert find_data("toy", None) == parent / "toy"
    assert find_data("absent", None) is None
    assert find_data("toy", parent) == parent / "toy"
    assert find_data("toy", parent / "toy") == parent / "toy"
    with pytest.raises(RaceError, match="--data: there is no folder"):
        find_data("toy", tmp_path / "nowhere")
    monkeypatch.setenv("ACUMEN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(RaceError, match="ACUMEN_DATA: there is no folder"):
        find_data("toy", None)


class Point:
    """An entry point of another distribution."""

    def __init__(self, name: str, result: object) -> None:
        self.name = name
        self.result = result

    def load(self) -> object:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_other_distributions_add_races_but_take_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [Point("toy", ToyRace()), Point("caching", ToyRace()), Point("bad", ImportError("no"))]
    monkeypatch.setattr(discovery, "entry_points", lambda group: points)
    assert load_race("toy").summary == "which toy"
    assert load_race("caching").domain == "caching"
    with pytest.raises(RaceError, match="'bad' cannot be loaded: no"):
        load_race("bad")
