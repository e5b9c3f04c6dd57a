"""The race of look-ups: its JSON, its seeds, and what it says where there is little to race on."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acumen.evaluation import Ask, BrokenError, RaceError, WorkloadError
from acumen.index import heuristics, measuring, race, workloads
from acumen.index.learned import build_cells, build_index, build_mutable
from acumen.index.measuring import Task, field_of, measure, measure_reads
from acumen.index.workloads import Asked, KeySet, Kind

ACUMEN = Path(sysconfig.get_path("scripts")) / "acumen"


def acumen(folder: Path, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "ACUMEN_DATA"}
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), **more}
    return subprocess.run(
        [str(ACUMEN), "race", "index", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env=environment,
    )


def test_a_race_on_a_file(tmp_path: Path) -> None:
    keys = np.random.default_rng(1).integers(-(2**62), 2**62, 20_000)
    pq.write_table(pa.table({"id": keys, "other": np.zeros(20_000)}), tmp_path / "mine.parquet")
    few = [part for name in ("acumen", "again", "bisect") for part in ("--contender", name)]
    done = acumen(
        tmp_path, "--workload", "mine.parquet", "--quick", *few,
        "--json", "out.json", "--html", "out.html", "--seed", 7,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = json.loads((tmp_path / "out.json").read_text())
    about = (loaded["domain"], loaded["metric"], loaded["goal"], loaded["seed"])
    assert about == ("index", "ns_per_lookup", "minimize", 7)
    kinds = {row["contender"]: row["kind"] for row in loaded["rows"]}
    assert kinds == {
        "acumen": "learned", "again": "learned", "numpy": "heuristic", "bisect": "heuristic",
        "reads": "bound",
    }  # fmt: skip
    cells = {(row["workload"], row["setting"]) for row in loaded["rows"]}
    assert cells == {
        (f"mine[:1000000], {kind}", 20_000.0) for kind in ("random", "absent", "sorted")
    }
    assert len(loaded["rows"]) == len(cells) * len(kinds)
    for row in loaded["rows"]:
        assert set(row) == {
            "workload", "setting", "contender", "kind", "value", "low", "high", "throughput",
            "seconds", "bytes_per_key",
        }  # fmt: skip
        assert 0 < row["low"] <= row["value"] <= row["high"]
        assert row["throughput"] == pytest.approx(1e9 / row["value"], rel=0.5)
    by_name = {row["contender"]: row for row in loaded["rows"]}
    assert by_name["reads"]["bytes_per_key"] == by_name["numpy"]["bytes_per_key"] == 0
    assert 0 <= by_name["acumen"]["bytes_per_key"] < 3 < 24 <= by_name["bisect"]["bytes_per_key"]
    assert "A/A" in done.stdout
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "bytes per key" in page
    assert "Noise (A/A)" in page


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--contender", "nunpy"), "no contender named 'nunpy'"),
        (("--data", "empty"), "no files of keys in empty"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    (tmp_path / "empty").mkdir()
    done = acumen(tmp_path, *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_files_that_cannot_be_used_cost_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "words.csv").write_text("a\n")
    files = [
        part for name in ("absent.npy", "bad.parquet", "words.csv") for part in ("--workload", name)
    ]
    done = acumen(tmp_path, *files, "--quick")
    assert done.returncode == 2
    for complaint in (
        "there is no such file (absent.npy)", "cannot be read", "has no known format",
    ):  # fmt: skip
        assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_without_data_it_says_that_its_keys_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "cities", lambda: np.zeros(0))
    notes = race.RACE.notes(Ask(quick=True))
    assert any("No real keys here" in note for note in notes)
    names = {work.name.partition(",")[0] for work in race.RACE.workloads(Ask(quick=True))}
    assert names == {"uniform", "lognormal"}


def test_rivals_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heuristics, "find_spec", lambda name: None)
    assert [one.name for one in heuristics.heuristic_contenders(1)] == [
        "numpy", "tree", "search", "bisect",
    ]  # fmt: skip
    assert "polars, pandas, pygm, sortedlist" in heuristics.missing_rivals()


def test_the_folders_files_are_workloads(tmp_path: Path) -> None:
    (tmp_path / "urls").mkdir()
    (tmp_path / "urls" / "good.txt").write_text("b\na\n")
    np.save(tmp_path / "some.npy", np.arange(5))
    (tmp_path / "notes.md").write_text("no keys")
    names = [work.name for work in race.RACE.workloads(Ask(data=tmp_path))]
    assert names[:6] == [
        f"{name}, {kind}" for name in ("some", "good") for kind in ("random", "absent", "sorted")
    ]
    (tmp_path / "none").mkdir()
    with pytest.raises(RaceError, match="no files of keys"):
        race.RACE.workloads(Ask(data=tmp_path / "none"))


def test_seeds_decide_keys_and_queries() -> None:
    one, same, other = (workloads.drawn("lognormal", 1000, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    asked = [Asked.among(one, "random", 100, seed).queries for seed in (3, 3, 4)]
    assert np.array_equal(asked[0], asked[1])
    assert not np.array_equal(asked[0], asked[2])


@pytest.mark.parametrize("kind", ["random", "absent", "sorted"])
@pytest.mark.parametrize("rival", heuristics.RIVALS, ids=lambda rival: rival.name)
def test_everybodys_answers_are_checked(rival: heuristics.Rival, kind: Kind) -> None:
    if not rival.is_here:
        pytest.skip(f"{rival.package} is not installed")
    task = Task(KeySet("uniform", seed=1), kind, 500)
    found = measure(rival.name, rival.build, task, 5000, 0)
    assert found.operations == 500
    assert found.value == pytest.approx(found.cpu_seconds / 500 * 1e9)
    assert found.price is not None

    def wrong(keys: Any) -> measuring.Lookup:
        lookup = rival.build(keys)
        return measuring.Lookup(lambda queries: np.asarray(lookup.run(queries)) + 1, 0, lookup.take)

    with pytest.raises(RuntimeError, match="not NumPy's"):
        measure(f"wrong {rival.name}", wrong, task, 5000, 0)


def test_what_changes_races_where_it_can(tmp_path: Path) -> None:
    found = measure(
        "mutable", build_mutable, Task(KeySet("uniform", seed=1), "absent", 500), 5000, 0
    )
    assert found.price is not None
    assert found.price > 8  # values
    for name, keys in (("twice", pa.array([1, 1, 2])), ("texts", pa.array(["a", "b"]))):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"key": keys}), path)
        with pytest.raises(BrokenError, match=name):
            measure("mutable", build_mutable, Task(KeySet(name, str(path)), "random", 5), 3, 0)


def test_the_bound_reads_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(KeySet("uniform", seed=1), "random", 500)
    assert measure_reads(task, 5000, 0).price == 0
    monkeypatch.setattr(measuring._native, "sum_at", lambda words, places: 1)
    with pytest.raises(RuntimeError, match="something else"):
        measure_reads(task, 5000, 0)
    monkeypatch.undo()
    with pytest.raises(IndexError):
        measuring._native.sum_at(np.zeros(3, np.uint64), np.array([3], np.uint64))


def test_texts_are_keys_too(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_text("\n".join(f"host{i % 97}/é{i}" for i in range(2000)), encoding="utf-8")
    keys = KeySet("urls", str(path))
    for kind in workloads.KINDS:
        task = Task(keys, kind, 300)
        with pytest.raises(BrokenError, match="numbers only"):
            measure("pygm", heuristics.build_pygm, task, 2000, 1)
        rivals = (r.build for r in heuristics.RIVALS if r.is_here and r.name != "pygm")
        for build in (build_index, build_cells, *rivals):
            assert measure(str(build), build, task, 2000, 1).price is not None
        assert measure_reads(task, 2000, 1).value > 0
    assert field_of(keys, 2000).words.dtype == np.uint64


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([1, None, 3]), None),
        (pa.array([1.0, float("nan")]), None),
        (pa.array(["b", "a"]).dictionary_encode(), None),
        (pa.array([1, 2], pa.timestamp("ms")), None),
        (pa.array([], pa.int64()), "holds no keys"),
        (pa.array([True, False]), "holds bool"),
        (pa.array([[1], [2]]), "neither numbers nor times nor texts"),
    ],
)
def test_columns_of_files(tmp_path: Path, values: Any, message: str | None) -> None:
    path = tmp_path / "keys.parquet"
    pq.write_table(pa.table({"key": values}), path)
    if message is not None:
        with pytest.raises(WorkloadError, match=message):
            KeySet("keys", str(path)).keys()
        return
    keys = KeySet("keys", str(path)).keys()
    assert 0 < len(keys) <= len(values)
    assert (keys[:-1] <= keys[1:]).all()
