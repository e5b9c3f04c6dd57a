"""`acumen journal`: every command on a real journal, and every way to be wrong about one."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import acumen
from acumen.cli import main
from acumen.core.journal_format import KIND_CODES

SEGMENT_BYTES = 1 << 13


def being_written(root: Path) -> bool:
    """Whether there is a segment that is not about to be sealed."""
    with contextlib.suppress(FileNotFoundError):
        return any(path.stat().st_size < SEGMENT_BYTES for path in root.glob("*/*.arrows"))
    return False


def make(journal: Path, name: str = "codec") -> acumen.Choice:
    return acumen.Choice(
        name,
        arms=["lz4", "[zstd]"],
        context={"size": float, "kind": str},
        default="lz4",
        metric=acumen.minimize("seconds"),
        journal=acumen.Journal(journal, commit_seconds=0.001, segment_bytes=SEGMENT_BYTES),
        seed=1,
    )


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("journal")
    choice = make(root)
    assert choice.journal is not None
    for part in range(4):
        for i in range(30):
            decision = choice.choose(size=float(i), kind=["json", "png"][i % 2])
            if i % 3:
                decision.feedback(seconds=1.0 + decision.index)
        assert choice.journal.flush(), part
    while not being_written(root):  # the last segment was full just then
        choice._note(KIND_CODES["note"], "here")
        assert choice.journal.flush()
    yield root  # while it is being written
    assert choice.journal.close()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["journal", *map(str, arguments)])


def test_help() -> None:
    assert "acumen journal sql DIR" in run("--help").output
    for command in ("ls", "show", "sql", "verify", "compact"):
        result = run(command, "--help")
        assert result.exit_code == 0
        assert "--choice" in result.output
        assert "DIRECTORY" in result.output


def test_ls(journal: Path) -> None:
    result = run("ls", journal)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert len(lines) > 1
    assert "open" in lines[-1]
    assert "codec" in lines[1]


def test_show(journal: Path) -> None:
    result = run("show", journal, "-n", 7)
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) == 8
    assert "[zstd]" in run("show", journal, "-n", 120).output
    assert "png" in result.output
    rows = [
        json.loads(line)
        for line in run("show", journal, "--format", "json").output.split("\n")[:-1]
    ]
    assert len(rows) == 20
    assert {row["state"] for row in rows} == {"done", "waiting"}
    events = run("show", journal, "--events", "-n", 3, "--format", "csv").output.splitlines()
    assert events[0].startswith("sequence,time,kind")
    assert len(events) == 4
    assert "stream" in run("show", journal, "--all-columns").output
    assert "stream" not in run("show", journal).output


def test_sql(journal: Path) -> None:
    pytest.importorskip("duckdb")
    query = (
        "select name, count(*), avg(metric_seconds) from decisions join arms using (arm) group by 1"
    )
    lines = run("sql", journal, query + " order by 1", "--format", "csv").output.splitlines()[1:]
    counted = {line.split(",")[0]: line.split(",")[1:] for line in lines}
    assert sum(int(count) for count, _ in counted.values()) == 120
    assert float(counted["'lz4'"][1]) == 1.0
    assert float(counted["'[zstd]'"][1]) == 2.0
    result = run("sql", journal, "select count(*) as n from events where kind = 'feedback'")
    assert result.output.split() == ["n", "80"]
    result = run("sql", journal, "select field, name from names order by name", "--format", "json")
    assert json.loads(result.output.splitlines()[0]) == {"field": "kind", "name": "json"}
    result = run("sql", journal, "select nothing from nowhere")
    assert result.exit_code == 2
    assert result.output.startswith("acumen: Catalog Error")
    assert len(result.output.splitlines()) == 1


def test_sql_without_duckdb(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    result = run("sql", journal, "select 1")
    assert result.exit_code == 2
    assert "pip install 'acumen[sql]'" in result.output


def test_verify_and_compact(tmp_path: Path) -> None:
    for part in range(3):
        choice = make(tmp_path)
        assert choice.journal is not None
        for sealed in range(3):
            for i in range(40):
                choice.choose(size=float(i), kind="x").feedback(seconds=float(part))
            assert choice.journal.flush()
            deadline = time.monotonic() + 10
            while choice.journal.health.sealed <= sealed:  # or all may go into one segment
                assert time.monotonic() < deadline, "it was not sealed"
                time.sleep(0.001)
        assert choice.journal.close()
    result = run("verify", tmp_path)
    assert result.exit_code == 0, result.output
    assert "segments, 7" in result.output
    result = run("compact", tmp_path, "--compression", "lz4")
    assert result.exit_code == 0
    assert int(result.output.split()[0]) == 6
    assert run("verify", tmp_path).exit_code == 0
    damaged = sorted((tmp_path / "codec").glob("*.arrow"))[0]
    contents = bytearray(damaged.read_bytes())
    # More than the seven bytes of padding that may lie between two columns: they mean nothing, so
    # damage to them alone is none.
    for place in range(len(contents) // 2, len(contents) // 2 + 8):
        contents[place] ^= 1
    damaged.write_bytes(contents)
    result = run("verify", tmp_path)
    assert result.exit_code == 2
    assert damaged.name in result.output
    assert "problems" in result.output.splitlines()[-1]


@pytest.mark.parametrize("command", ["ls", "show", "verify", "compact"])
def test_what_is_no_journal(tmp_path: Path, command: str) -> None:
    for directory, says in ((tmp_path / "missing", "no such directory"), (tmp_path, "no journal")):
        result = run(command, directory)
        assert result.exit_code == 2
        assert says in result.output
        assert len(result.output.splitlines()) == 1


def test_several_choices(tmp_path: Path) -> None:
    for name in ("one", "two"):
        choice = make(tmp_path, name)
        choice.choose(size=1.0, kind="x")
        assert choice.journal is not None
        assert choice.journal.close()
    result = run("show", tmp_path)
    assert result.exit_code == 2
    assert "name one with --choice: one, two" in result.output
    assert run("show", tmp_path, "--choice", "two").exit_code == 0
    assert "no choice 'three'" in run("ls", tmp_path, "--choice", "three").output
    assert len(run("ls", tmp_path).output.splitlines()) == 3


def test_show_modes(tmp_path: Path) -> None:
    choice = acumen.Choice(
        "codec",
        ["a", "b"],
        context={"x": float},
        default="a",
        metric=acumen.maximize("gain"),
        mode="shadow",
        journal=tmp_path,
    )
    assert run("show", tmp_path, "--modes").exit_code in (0, 2)  # nothing is on the disk yet
    choice.set_mode("canary", 0.1, why='she said "go"\n[bold]', by="ann")
    choice.kill(why="incident 42")
    gate = acumen.Promotion(choice, canary=(0.1,), probe=0.05)
    gate.rollback("enough")
    assert choice.journal is not None
    assert choice.journal.flush()
    result = run("show", tmp_path, "--modes", "--format", "json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.output.splitlines()]
    told = [(row["mode"], row["killed"], row["by"], row["why"]) for row in rows]
    assert told == [
        ("canary", False, "ann", 'she said "go"\n[bold]'),
        ("canary", True, None, "incident 42"),
        ("canary", True, "acumen.Promotion, as it stood", "the gate begins"),
        ("shadow", True, "acumen.Promotion", "by hand: enough"),
    ]
    table = run("show", tmp_path, "--modes", "-n", 1).output
    assert "by hand: enough" in table
    assert "she said" not in table
