"""`acumen tune` as its users meet it, on real programs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from acumen import cli

ACUMEN = Path(sysconfig.get_path("scripts")) / "acumen"


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def tune(tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["tune", *map(str, arguments)]
    handlers = {
        one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        with contextlib.chdir(tmp_path):
            done = CliRunner().invoke(cli.main, command)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)


def verdict(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


# Faster with -DFAST; faster still, and wrong, with -DWRONG.
KERNEL = """
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int main(void) {
#ifdef WRONG
  puts("0");
#else
  struct timespec wait = {0, 20000000};
#ifdef FAST
  wait.tv_nsec = 4000000;
#endif
  nanosleep(&wait, 0);
  puts("42");
#endif
#ifdef CRASH
  abort();
#endif
}
"""


@needs("gcc")
def test_the_flag_that_matters_is_found(tmp_path: Path) -> None:
    """And a wrong result in no time, and a crash, are no wins."""
    (tmp_path / "kernel.c").write_text(KERNEL)
    done = tune(
        tmp_path,
        *("--minimize", "time", "--repeat", "auto", "--check", "output", "--budget", "8"),
        *("--seed", 1, "--json", "out.json", "--html", "out.html", "--state", "state.db"),
        *("--", "gcc", "{fast:-DFAST?}", "{wrong:-DWRONG?}", "{crash:-DCRASH?}"),
        *("kernel.c", "-o", "kernel", "&&", "./kernel"),
    )
    assert done.returncode == 0, done.stderr
    found = verdict(tmp_path / "out.json")
    assert found["verdict"] == "better"
    assert found["flags_that_matter"] == ["-DFAST"]
    assert 1.1 < found["low"] <= found["ratio"] < 8
    # The interval is wide where other tests disturb the few pairs that there are.
    assert found["ratio"] <= found["high"]
    assert found["n"] >= 8
    assert found["failures"] > 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("faster by ")
    assert lines[0].endswith("one flag matters")
    assert lines[-1] == found["command"] == "gcc -DFAST kernel.c -o kernel && ./kernel"
    assert "searching" in done.stderr
    page = (tmp_path / "out.html").read_text()
    for part in ("faster by", "-DFAST", "<svg", "its output differs", "SIGABRT"):
        assert part in page
    # What it found can be pasted.
    subprocess.run(lines[-1], shell=True, check=True, cwd=tmp_path, capture_output=True)
    # It is all there still: nothing is searched again.
    again = tune(
        tmp_path, "--budget", "8", "--check", "output", "--state", "state.db", "--",
        "gcc", "{fast:-DFAST?}", "{wrong:-DWRONG?}", "kernel.c",
    )  # fmt: skip
    assert again.returncode == 2
    assert "made for another search" in again.stderr


def test_of_nothing_nothing_is_said(tmp_path: Path) -> None:
    done = tune(tmp_path, "--budget", "3s", "--json", "o.json", "--", "true", "{a:-n[1..9=4]}")
    assert done.returncode == 0, done.stderr
    assert verdict(tmp_path / "o.json")["verdict"] == "no_difference"
    assert "no setting is better than the default beyond the noise" in done.stdout
    assert done.stdout.splitlines()[-1] == "true -n4"


@needs("zstd")
def test_a_size_is_made_smaller_within_a_limit(tmp_path: Path) -> None:
    text = " ".join(f"{i * i % 977} {'abc' * (i % 7)}" for i in range(20_000))
    (tmp_path / "data").write_text(text)
    done = tune(
        tmp_path,
        *("--minimize", "file_size:out.zst", "--limit", "time=10s"),
        *("--check-with", "sh -c 'zstd -dqc out.zst | cmp - data'", "--budget", "12"),
        *("--seed", 2, "--json", "out.json", "--", "zstd", "-qf", "{level:-[1..12=3]}"),
        *("{long:--long=[16..27]}", "data", "-o", "out.zst"),
    )
    assert done.returncode == 0, done.stderr
    found = verdict(tmp_path / "out.json")
    assert found["verdict"] == "better"
    assert found["words"].startswith("less file_size:out.zst by ")
    assert found["low"] == pytest.approx(found["ratio"]) == pytest.approx(found["high"])
    assert found["noise_floor"] == 1.0


def test_trials_side_by_side_do_not_disturb_each_other(tmp_path: Path) -> None:
    """All write the same file, each in a folder of its own; nothing is left of those."""
    program = 'head -c "$1" /dev/zero > out; case $PWD in */folder) sleep 0.1; esac'
    done = tune(
        tmp_path,
        *("--jobs", 2, "--minimize", "file_size:out", "--budget", 8, "--seed", 1),
        *("--state", "state.db", "--", "sh", "-c", program, "x", "{size:[100..900=500]}"),
    )
    assert done.returncode == 0
    assert done.stdout.startswith("less file_size:out by")
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as state:
        trials = state.execute("SELECT setting, metrics, started, ended FROM trials").fetchall()
    assert len(trials) == 8
    for setting, metrics, _, _ in trials:
        assert json.loads(metrics)["file_size:out_"] == json.loads(setting)["size"]
    assert any(one[2] < other[2] < one[3] for one in trials for other in trials)
    assert {path.name for path in tmp_path.iterdir()} == {"out", "state.db"}


@needs("sqlite3")
def test_pragmas_come_in_the_environment_and_a_number_from_the_output(tmp_path: Path) -> None:
    bench = """#!/bin/sh
rm -f t.db t.db-*
{ echo "$ACUMEN_FLAGS"
  echo "CREATE TABLE t(a); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 500)"
  echo "INSERT INTO t SELECT x FROM c; SELECT 'rows', count(*) FROM t;"
} | sqlite3 t.db | grep rows
cache=$(echo "$ACUMEN_FLAGS" | sed -n 's/.*cache_size=-\\([0-9]*\\).*/\\1/p')
echo "tps=$((1000 + cache / 10))"
"""
    (tmp_path / "bench.sh").write_text(bench)
    (tmp_path / "bench.sh").chmod(0o755)
    space = '[flags]\ncache = "PRAGMA cache_size=-[500..1000000 log=2000];"\n'
    space += 'mode = "PRAGMA journal_mode=[delete*,memory,off];"\n'
    (tmp_path / "sqlite.toml").write_text(space)
    done = tune(
        tmp_path,
        *("--space", "sqlite.toml", "--maximize", "tps", "--metric-regex", "tps=([0-9.]+)"),
        *("--check", "exit", "--budget", "15", "--seed", 3, "--json", "o.json", "--", "./bench.sh"),
    )
    assert done.returncode == 0, done.stderr
    found = verdict(tmp_path / "o.json")
    assert found["verdict"] == "better"
    assert len(found["flags_that_matter"]) == 1
    assert found["flags_that_matter"][0].startswith("PRAGMA cache_size=-")
    assert found["command"].startswith("ACUMEN_FLAGS='PRAGMA cache_size=-")
    assert found["command"].endswith("./bench.sh")
    assert "more tps by" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--"], "no command"),
        (["--", "true"], "nothing may vary"),
        (["--minimize", "tps", "--", "true", "{a:-x?}"], "there is no metric 'tps'"),
        (["--limit", "memory", "--", "true", "{a:-x?}"], "no limit such as"),
        (["--space", "nowhere", "--", "true"], "there is no space file nowhere"),
        (["--budget", "soon", "--", "true", "{a:-x?}"], "no time such as 30s"),
        (["--repeat", "often", "--", "true", "{a:-x?}"], "--repeat is auto or a number"),
        (["--check", "outptu", "--", "true", "{a:-x?}"], "is no check"),
        (["--json", "no/where.json", "--", "true", "{a:-x?}"], "no/where.json: there is no folder"),
        (["--html", "/proc/a.html", "--", "true", "{a:-x?}"], "cannot write /proc/a.html"),
        (["--budget", "2s", "--", "false", "{a:-x?}"], "the default failed: exit code 1"),
        (["--budget", "2s", "--", "no-such", "{a:-x?}"], "No such file or directory: no-such"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = tune(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_help_teaches_and_spaces_are_listed(tmp_path: Path) -> None:
    shown = tune(tmp_path, "--help").stdout
    for part in ("{opt:-funroll-loops?}", "acumen tune -- gcc -O3", "'&&' ./k\n", "--list-spaces",
                 "one in a hundred", "Ctrl-C"):  # fmt: skip
        assert part in shown
    listed = tune(tmp_path, "--list-spaces").stdout
    assert all(name in listed for name in ("gcc", "clang", "sqlite", "postgresql", "zstd", "xz"))


def test_ctrl_c_ends_the_search_and_nothing_is_left_running(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [str(ACUMEN), "tune", "--budget", "10m", "--json", "o.json", "--state", "s.db", "--shell",
         "--", "echo $$ >> pids; sleep 0.0{a:[1..9=5]}"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
        # A shell's background jobs, and the tests may be one, begin with it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    for _ in range(600):
        with contextlib.suppress(sqlite3.Error), sqlite3.connect(tmp_path / "s.db") as state:
            done = "SELECT count(*) FROM trials WHERE state = 'done'"
            if state.execute(done).fetchone()[0] >= 8:
                break
        time.sleep(0.05)
    state.close()
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 130
    found = verdict(tmp_path / "o.json")
    assert found["interrupted"]
    assert found["words"] == out.splitlines()[0]
    assert found["verdict"] in ("better", "no_difference")
    assert found["n"] > 0
    last = int((tmp_path / "pids").read_text().split()[-1])
    assert not Path(f"/proc/{last}").exists()


@pytest.fixture
def postgres() -> Path:
    """The folder of a real server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    if not found or (os.geteuid() == 0 and shutil.which("setpriv") is None):
        pytest.skip("PostgreSQL's server is not installed")
    return found[-1].parent


def test_settings_of_a_real_postgresql_server(postgres: Path, tmp_path: Path) -> None:
    """Three short measurements of a server that is started with what was suggested."""
    if os.geteuid() == 0:
        shutil.chown(tmp_path, "postgres")
        # A folder of root's alone is in the way of the server's own user.
        for folder in [tmp_path, *tmp_path.parents][:3]:
            folder.chmod(0o755)
    other = "setpriv --reuid=postgres --regid=postgres --clear-groups" if os.geteuid() == 0 else ""
    run = f"{other} {postgres}"
    bench = f"""#!/bin/sh
cd {tmp_path} || exit 1
{run}/pg_ctl -D data -w -l data/log -o "-c listen_addresses= -k {tmp_path} $ACUMEN_FLAGS" start >&2
{run}/pgbench -h {tmp_path} -n -S -t 100 postgres | grep tps
{run}/psql -h {tmp_path} -qAtc 'show work_mem' postgres
{run}/pg_ctl -D data -w -m fast stop >&2
"""
    (tmp_path / "bench.sh").write_text(bench)
    (tmp_path / "bench.sh").chmod(0o755)
    prepare = f"""cd {tmp_path} && {run}/initdb -D data -A trust -U postgres --no-sync >log 2>&1 &&
export PGUSER=postgres &&
{run}/pg_ctl -D data -w -l data/log -o '-c listen_addresses= -k {tmp_path}' start &&
{run}/pgbench -h {tmp_path} -q -i -s 1 postgres 2>>log && {run}/pg_ctl -D data -w -m fast stop"""
    done = subprocess.run(["sh", "-c", prepare], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "log").read_text()
    os.environ["PGUSER"] = "postgres"
    try:
        found = tune(
            tmp_path, "--space", "postgresql", "--maximize", "tps", "--metric-regex",
            "tps = ([0-9.]+)", "--check", "exit", "--budget", "2s", "--json", "o.json", "--",
            "./bench.sh",
        )  # fmt: skip
    finally:
        del os.environ["PGUSER"]
    assert found.returncode == 0, found.stderr
    result = verdict(tmp_path / "o.json")
    assert result["verdict"] == "no_difference"
    assert "-c work_mem=4MB" in result["command"]
    assert not (tmp_path / "data" / "postmaster.pid").exists()


def test_who_is_not_to_hear_of_a_closed_terminal_does_not(tmp_path: Path) -> None:
    """As under nohup."""
    process = subprocess.Popen(
        ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", str(ACUMEN), "tune", "--budget", "3s",
         "--json", "o.json", "--shell", "--", "touch begun; true {a:-x?} {b:[1..99=5]}"],
        cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=100) == 0
    assert not verdict(tmp_path / "o.json")["interrupted"]


def test_a_number_of_nothing_is_a_failed_default(tmp_path: Path) -> None:
    done = tune(tmp_path, "--budget", "4", "--metric-regex", "m=(.*)", "--minimize", "m", "--json",
                "o.json", "--", "echo", "m=0", "{a:-x?}")  # fmt: skip
    assert done.returncode == 2
    assert verdict(tmp_path / "o.json")["verdict"] == "failed"
    assert "above 0" in done.stdout
