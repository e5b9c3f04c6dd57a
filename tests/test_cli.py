"""The command line as its users meet it; whatever races, as a process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sysconfig
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from rich.console import Console

from acumen import cli
from acumen.evaluation import Ask, Result, runner
from acumen.evaluation.live import Watch
from acumen.operating_systems.caching import heuristics
from acumen.operating_systems.caching import race as caching

ACUMEN = Path(sysconfig.get_path("scripts")) / "acumen"
needs_libcachesim = pytest.mark.skipif(
    not heuristics.is_installed(), reason="libcachesim is not installed"
)


def environment(tmp_path: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "ACUMEN_DATA"}
    return {**kept, "XDG_CACHE_HOME": str(tmp_path / "cache")}


def acumen(tmp_path: Path, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ACUMEN), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={**environment(tmp_path), **more},
    )


def acumen_here(tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Without a process of its own."""
    command = [str(argument) for argument in arguments]
    with contextlib.chdir(tmp_path):
        done = CliRunner(env={"ACUMEN_DATA": None}).invoke(cli.main, command)
    return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.csv"
    keys = np.random.default_rng(1).zipf(1.3, 20_000) % 5000
    path.write_text("key\n" + "\n".join(map(str, keys)) + "\n")
    return path


def group_is_gone(group: int) -> bool:
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def rows(path: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return loaded


def test_without_a_domain_the_domains_are_listed(tmp_path: Path) -> None:
    done = acumen_here(tmp_path, "race")
    assert done.returncode == 0
    assert "caching" in done.stdout
    assert "full cache" in done.stdout


def test_help_teaches(tmp_path: Path) -> None:
    done = acumen_here(tmp_path, "race", "--help")
    assert done.returncode == 0
    for word in ("--workload", "acumen race caching --quick", "residual", "Ctrl-C"):
        assert word in done.stdout


@needs_libcachesim
def test_a_race_on_a_file(tmp_path: Path, good: Path) -> None:
    done = acumen(
        tmp_path, "race", "caching", "--workload", good, "--json", "out.json", "--html", "out.html"
    )
    assert done.returncode == 0, done.stderr
    left_out = "Raced against 15 of 16 rivals; left out: lrb (--contender NAME runs one)"
    assert done.stderr == f"{left_out}\n"
    assert left_out in (tmp_path / "out.html").read_text(encoding="utf-8")
    loaded = json.loads((tmp_path / "out.json").read_text())
    assert (loaded["domain"], loaded["metric"], loaded["goal"]) == (
        "caching",
        "miss_ratio",
        "minimize",
    )
    assert loaded["notes"] == [left_out]
    assert loaded["remarks"] == []
    assert loaded["quick"] is False
    assert {"acumen", "numpy", "libcachesim"} <= loaded["versions"].keys()
    assert loaded["workloads"]["good"].startswith("20,000 requests for ")
    names = {row["contender"]: row["kind"] for row in loaded["rows"]}
    assert set(loaded["contenders"]) == names.keys()
    assert names["acumen"] == "learned"
    assert names["belady"] == "bound"
    assert {"lru", "fifo", "s3fifo", "3lcache", "2q", "wtinylfu"} <= names.keys()
    for row in loaded["rows"]:
        assert row["workload"] == "good"
        assert row["low"] <= row["value"] <= row["high"]
        assert row["throughput"] > 0
    assert "mean residual" in done.stdout
    assert (tmp_path / "out.html").stat().st_size > 1_000_000


def test_restricted_to_some_contenders(tmp_path: Path, good: Path) -> None:
    done = acumen(
        tmp_path,
        *("race", "caching", "--workload", good, "--json", "out.json"),
        *("--contender", "acumen", "--contender", "fifo", "--jobs", 1),
    )
    assert done.returncode == 0, done.stderr
    assert {row["contender"] for row in rows(tmp_path / "out.json")} == {
        "acumen",
        "fifo",
        "lru",
        "belady",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cachign",), "there is no race named 'cachign'. Did you mean caching?"),
        (("caching", "--data", "nowhere"), "--data: there is no folder nowhere"),
        (("caching", "--contender", "lruu"), "no contender named 'lruu'"),
        (("caching", "--json", "no/such/out.json"), "cannot write no/such/out.json"),
        (("caching", "--data", "empty"), "no traces in empty"),
        (("caching", "--json", "good.csv/out.json"), "cannot write good.csv/out.json: its folder"),
        (("caching", "--html", "old.json", "--json", "old.json"), "or the other output"),
        (("caching", "--html", "link", "--json", "old.json"), "or the other output"),
        (("caching", "--workload", "good.csv", "--json", "./good.csv"), "it is a workload"),
        (("caching", "--data", ".", "--html", "good.csv"), "it lies among the workloads"),
    ],
)
def test_a_wrong_command_gives_one_line_and_code_2(
    tmp_path: Path, good: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    good.with_name("old.json").write_text("old")
    (tmp_path / "link").symlink_to("old.json")
    before = good.read_bytes()
    done = acumen_here(tmp_path, "race", *arguments)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert message in lines[-1]
    assert [line for line in lines if line.startswith("acumen: ")] == lines[-1:]
    assert good.read_bytes() == before
    assert (tmp_path / "old.json").read_text() == "old"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_read_only_output_is_noticed_before_the_race(tmp_path: Path, good: Path) -> None:
    (tmp_path / "out.json").touch(0o400)
    done = acumen(tmp_path, "race", "caching", "--workload", good, "--json", "out.json")
    assert done.returncode == 2
    assert done.stderr == "acumen: cannot write out.json: the file is read-only\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_at_the_end_costs_no_table(tmp_path: Path, good: Path) -> None:
    few = ("--workload", good, "--contender", "acumen")
    # Links: whoever breaks this again, and is root, shall lose no device.
    for name in ("out.json", "out.html"):
        (tmp_path / name).symlink_to("/dev/full")
    full = ("--json", "out.json", "--html", "out.html")
    done = acumen(tmp_path, "race", "caching", *few, *full, PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert "mean residual" in done.stdout
    assert "The report is in" not in done.stdout
    assert done.stderr.count("No space left on device") == 2
    assert "Traceback" not in done.stderr


def test_a_race_of_nothing_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "tiny.csv").write_text("key\n1\n2\n")
    done = acumen(tmp_path, "race", "caching", "--workload", "tiny.csv")
    assert done.returncode == 2
    assert done.stderr.endswith("acumen: nothing was raced\n")


def test_after_the_last_row_ctrl_c_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers: dict[int, object] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)

    def events() -> Generator[runner.Event, None, None]:
        yield runner.Failed("w", "no luck")
        if interrupted:
            raise KeyboardInterrupt

    for interrupted in (False, True):
        handlers.clear()
        result = Result("toy", caching.METRIC, 0, "a machine")
        watch = Watch(result, None, Console(file=io.StringIO()))
        assert cli._watch_race(watch, events()) is interrupted
        assert handlers[signal.SIGINT] == signal.SIG_IGN
        assert handlers[signal.SIGTERM] is handlers[signal.SIGHUP] is signal.default_int_handler


def test_a_malformed_workload_leaves_the_others_unharmed(tmp_path: Path, good: Path) -> None:
    folder = tmp_path / "data" / "caching"
    folder.mkdir(parents=True)
    good.rename(folder / "good.csv")
    (folder / "broken.parquet").write_bytes(b"PAR1 this is no Parquet file PAR1")
    (folder / "cut.oracleGeneral").write_bytes(b"\0" * 30)
    (folder / "rivals.csv").write_text("trace,policy,miss_ratio\ngood,LRU,0.5\n")
    pq.write_table(pa.table({"key": list(range(50))}), folder / "tiny.parquet")
    few = ("--contender", "acumen", "--json", "out.json", "--jobs", 1)
    for data in (("--data", folder), ()):
        done = acumen(tmp_path, "race", "caching", *data, *few, ACUMEN_DATA=str(tmp_path / "data"))
        assert done.returncode == 2
        lines = [line for line in done.stderr.splitlines() if line.startswith("acumen: ")]
        assert len(lines) == 3, done.stderr
        assert any(line.startswith("acumen: broken: cannot be read:") for line in lines)
        assert any("cut: ends in the middle of a record" in line for line in lines)
        assert any("tiny: 50 requests for 50 keys: too few" in line for line in lines)
        assert {row["workload"] for row in rows(tmp_path / "out.json")} == {"good"}
        assert len(rows(tmp_path / "out.json")) > 0


def test_an_unreadable_workload_named_alone(tmp_path: Path) -> None:
    done = acumen(tmp_path, "race", "caching", "--workload", "absent.csv", "--json", "out.json")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "acumen: absent: there is no such file (absent.csv)"
    assert rows(tmp_path / "out.json") == []


@needs_libcachesim
def test_ctrl_c_keeps_the_finished_rows(tmp_path: Path) -> None:
    keys = np.random.default_rng(2).zipf(1.2, 1_000_000).astype(np.uint64)
    np.save(tmp_path / "long.npy", keys)
    # LRB needs far longer than this test waits.
    process = subprocess.Popen(
        [
            *(str(ACUMEN), "race", "caching", "--workload", "long.npy", "--json", "out.json"),
            *("--contender", "lrb", "--jobs", "2"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path),
        start_new_session=True,
        # A shell that runs the tests in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "out.json").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "saved in out.json" in err
    assert "Traceback" not in err
    finished = rows(tmp_path / "out.json")
    assert finished
    assert {row["contender"] for row in finished} <= {"lru", "belady"}
    assert "miss ratio" in out
    # Nobody of the group is left at work.
    assert group_is_gone(process.pid)


@needs_libcachesim
def test_a_restricted_field_is_said() -> None:
    def note(**ask: Any) -> str:
        return "".join(caching.RACE.notes(Ask(**ask)))

    quick = {contender.name for contender in caching.RACE.contenders(Ask(quick=True))}
    assert {"3lcache", "cacheus"} <= quick
    assert note(quick=True) == (
        "Raced against 11 of 16 rivals; left out: clock, gdsf, lecar, lhd, lrb"
        " (--contender NAME runs one)"
    )
    assert note(quick=True, only=("acumen", "lrb")).startswith("Raced against 2 of 16 rivals")
    assert note(only=("acumen",)).startswith("Raced against 1 of 16 rivals; left out: fifo, clock")
    assert note(only=tuple(rival.name for rival in heuristics.RIVALS)) == ""


def test_without_data_and_without_rivals_the_race_still_runs(tmp_path: Path) -> None:
    pytest.importorskip("apsw", reason="recording needs apsw")
    (tmp_path / "libcachesim.py").write_text("raise ImportError('hidden by the test')\n")
    done = acumen(
        tmp_path,
        *("race", "caching", "--quick", "--json", "out.json"),
        PYTHONPATH=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert "pip install 'acumen[race]'" in done.stderr
    found = rows(tmp_path / "out.json")
    assert {row["contender"] for row in found} == {"acumen", "lru", "fifo", "belady"}
    assert {row["workload"] for row in found} == {"sqlite_mixed"}
