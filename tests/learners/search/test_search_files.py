"""The file of a search: killed, shared, damaged, read-only, full."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import acumen
from acumen.learners.search import Flag, Integer, Search, SearchFileError, Space

SPACE = Space({"n": Integer(1, 100, default=10), "fast": Flag()})
PROGRAM = """
    import os, sys, time
    from acumen.learners.search import Flag, Integer, RegularizedEvolution, Search, Space

    space = Space({"n": Integer(1, 100, default=10), "fast": Flag()})
    file, budget, hang = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    search = Search(space, learner=RegularizedEvolution(), budget=budget, file=file, seed=1)
    if hang < 0:
        print("ready", flush=True)
        sys.stdin.readline()
    for trial in search:
        if trial.number == hang:
            print("hanging", flush=True)
            time.sleep(60)
        search.tell(trial, seconds=trial.setting["n"])
        time.sleep(0.001)
"""


def start(file: Path, budget: int, hang: int = -1) -> subprocess.Popen[str]:
    program = textwrap.dedent(PROGRAM)
    return subprocess.Popen(
        [sys.executable, "-c", program, str(file), str(budget), str(hang)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def opened(file: Path, budget: int | None = 40) -> Search:
    return Search(SPACE, budget=budget, file=file, seed=1)


def test_a_killed_search_goes_on_where_it_was(tmp_path: Path) -> None:
    """Everything that was told is there, and the trial that hung is given out again, first."""
    file = tmp_path / "search.sqlite"
    with start(file, 40, hang=17) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hanging\n"
        process.send_signal(signal.SIGKILL)
    search = opened(file)
    before = search.trials
    assert len(before) == 18
    assert [t.state for t in before] == ["done"] * 17 + ["running"]
    again = search.ask()
    assert (again.number, again.setting) == (17, before[17].setting)
    search.tell(again, seconds=1.0)
    for trial in search:
        search.tell(trial, seconds=trial.setting["n"])
    assert len(search.trials) == 40
    assert search.trials[:17] == before[:17]
    assert search.best is not None
    search.close()
    more = opened(file, budget=45)
    assert more.left == 5


def test_several_processes_search_together(tmp_path: Path) -> None:
    file = tmp_path / "search.sqlite"
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(start(file, 90)) for _ in range(3)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
    assert [process.returncode for process in processes] == [0, 0, 0]
    trials = opened(file, 90).trials
    assert [t.number for t in trials] == list(range(90))
    assert {t.state for t in trials} == {"done"}
    with sqlite3.connect(file) as connection:
        owners = connection.execute("SELECT count(DISTINCT process) FROM trials").fetchone()[0]
    connection.close()
    assert owners >= 2


def test_a_forked_child_may_tell(tmp_path: Path) -> None:
    search = opened(tmp_path / "search.sqlite")
    trial = search.ask()
    child = os.fork()
    if not child:
        search.tell(trial, seconds=5.0)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert search.trials[0].value == 5.0
    assert not search.tell(trial, seconds=1.0)


def test_another_search_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "search.sqlite"
    opened(file).close()
    with pytest.raises(SearchFileError, match="its metric is"):
        Search(SPACE, acumen.maximize("tps"), file=file)
    with pytest.raises(SearchFileError, match="its space is"):
        Search(Space({"m": Integer(1, 9)}), file=file)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE people (name)")
    connection.close()
    content = other.read_bytes()
    with pytest.raises(SearchFileError, match="something else"):
        opened(other)
    assert other.read_bytes() == content


def test_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are my notes, and no database at all\n" * 40)
    before = file.read_bytes()
    with pytest.raises(SearchFileError, match="not a database"):
        opened(file)
    assert file.read_bytes() == before


def test_damage_is_said(tmp_path: Path) -> None:
    file = tmp_path / "search.sqlite"
    search = opened(file, budget=400)
    for trial in search:
        search.tell(trial, seconds=trial.setting["n"])
    search.close()
    content = bytearray(file.read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xa5" * 200
    file.write_bytes(content)
    with pytest.raises(SearchFileError, match=r"malformed|disk image|not a database"):
        opened(file, budget=500).ask()


def test_damaged_rows_are_said(tmp_path: Path) -> None:
    file = tmp_path / "search.sqlite"
    search = opened(file)
    search.tell(search.ask(), seconds=1.0)
    search.close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE trials SET setting = '{broken'")
    connection.close()
    with pytest.raises(SearchFileError, match=str(file)):
        opened(file)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SearchFileError, match="unable to open"):
        opened(tmp_path / "nowhere" / "search.sqlite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    file = tmp_path / "search.sqlite"
    opened(file).close()
    file.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(SearchFileError, match=r"readonly|read-only|unable"):
            opened(file).ask()
    finally:
        tmp_path.chmod(0o755)


def test_a_full_disk_is_said_and_costs_nothing_that_was_told(tmp_path: Path) -> None:
    """SQLite's own limit of pages stands for the disk's: it fails in the same place."""
    file = tmp_path / "search.sqlite"
    search = opened(file, budget=5000)
    connection = search._store._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 3}")
    with pytest.raises(SearchFileError, match="full"):
        fill(search)
    told = sum(t.state == "done" for t in search.trials)
    assert told > 5
    search.close()
    again = opened(file, budget=told + 10)
    assert sum(t.state == "done" for t in again.trials) == told
    for trial in again:
        again.tell(trial, seconds=1.0)
    assert again.evaluations == told + 10


def fill(search: Search) -> None:
    for trial in search:
        search.tell(trial, seconds=trial.setting["n"])
