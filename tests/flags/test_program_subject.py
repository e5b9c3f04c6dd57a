"""A program as something to be tuned: what is checked, and which settings have failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from acumen.evaluation.programs.pairs import RunFailedError
from acumen.flags import Check, Limits, ProgramSubject, TuneError, make_goal, make_template
from acumen.flags.goal import GoalError

# Does as its argument says; without one it is good.
PROGRAM = """
import os, sys, time
how = sys.argv[1] if len(sys.argv) > 1 else "good"
if how == "crash": os.abort()
if how == "hang": time.sleep(60)
if how == "flood":
    while True: print("x" * 100000)
if how == "grow":
    x = bytearray(b"x") * 300_000_000
    time.sleep(5)
if how == "daemon" and os.fork() == 0:
    os.setsid()
    time.sleep(60)
if how == "wrong": print("nearly right")
else: print("right")
if how != "lazy":
    with open("result", "w") as file: file.write("wrong" if how == "forge" else "right")
if how == "count": print(os.getpid())
"""
HOWS = "'{how:[good*,crash,hang,flood,grow,daemon,wrong,lazy,forge,count]?on}'"


def subject(tmp_path: Path, check: Check | None = None) -> ProgramSubject:
    (tmp_path / "program.py").write_text(PROGRAM)
    words = [sys.executable, "-I", "-S", "program.py", HOWS.strip("'")]
    goal = make_goal(limits=["peak_memory=200M"])
    limits = Limits(seconds=20, output=20_000_000)
    template = make_template(words)
    return ProgramSubject(template, goal, check, limits=limits, cwd=tmp_path)


def problem(of: ProgramSubject, how: str, hurry: bool = True) -> str:
    with pytest.raises(RunFailedError) as error:
        of.measure({"how": how}, hurry)
    return str(error.value)


def test_hostile_settings_have_failed(tmp_path: Path) -> None:
    with subject(tmp_path) as of:
        assert of.prepare() == []
        assert of.measure({"how": "good"}).value > 0
        assert problem(of, "crash") == "crashed with SIGABRT"
        assert problem(of, "hang") == "took too long"
        assert problem(of, "flood") == "wrote too much output"
        assert problem(of, "grow") == "used too much memory"
        assert problem(of, "daemon", hurry=False) == "left processes behind"
        assert problem(of, "wrong") == "its output differs from the default's"
        assert problem(of, "count") == "its output differs from the default's"
        assert of.measure({"how": "forge"}).value > 0


def test_a_file_can_be_checked(tmp_path: Path) -> None:
    with subject(tmp_path, Check("file:result")) as of:
        of.prepare()
        assert of.measure({"how": "wrong"}).value > 0
        assert problem(of, "forge") == "its output differs from the default's"
        # What an earlier run has left is not this one's work.
        assert (tmp_path / "result").exists()
        assert problem(of, "lazy") == f"{tmp_path / 'result'} was not written"


def test_a_command_can_check(tmp_path: Path) -> None:
    with subject(tmp_path, Check("exit", ("grep", "-qx", "right"))) as of:
        of.prepare()
        assert of.measure({"how": "count"}).value > 0
        assert problem(of, "wrong").startswith("grep -qx right does not accept its output")
    with (
        subject(tmp_path, Check("exit", ("grep", "-qx", "left"))) as of,
        pytest.raises(TuneError, match="does not accept"),
    ):
        of.prepare()


def changing(tmp_path: Path, check: Check) -> ProgramSubject:
    template = make_template(["sh", "-c", "echo $$", "{a:-x?}"])
    return ProgramSubject(template, make_goal(), check, cwd=tmp_path)


def test_a_default_whose_output_changes_cannot_be_compared(tmp_path: Path) -> None:
    with (
        changing(tmp_path, Check("output")) as of,
        pytest.raises(TuneError, match="changes from run to run"),
    ):
        of.prepare()
    with changing(tmp_path, Check("auto")) as of:
        assert "only exit codes are checked" in of.prepare()[0]
        of.measure({"a": True})


def test_a_default_that_fails_is_explained(tmp_path: Path) -> None:
    def prepared(*words: str) -> str:
        with ProgramSubject(make_template([*words, "{a:-x?}"]), make_goal(), cwd=tmp_path) as of:
            with pytest.raises(TuneError) as error:
                of.prepare()
            return str(error.value)

    assert prepared("no-such") == "the default failed: No such file or directory: no-such"
    assert prepared("sh", "-c", "echo oh >&2; exit 3") == "the default failed: exit code 3: oh"
    (tmp_path / "once").write_text("#!/bin/sh\nrm $0\n")
    (tmp_path / "once").chmod(0o755)
    assert prepared(f"{tmp_path}/once") == (
        f"the default worked once, then failed: No such file or directory: {tmp_path}/once"
    )
    with pytest.raises(TuneError, match="'outptu' is no check"):
        Check("outptu")


def test_what_prints_nothing_is_noted(tmp_path: Path) -> None:
    with ProgramSubject(make_template(["true", "{a:-x?}"]), make_goal(), cwd=tmp_path) as of:
        assert "prints nothing" in of.prepare()[0]


def test_an_output_that_is_to_be_smaller_is_another_one(tmp_path: Path) -> None:
    template = make_template(["seq", "{n:[5..9=9]}"])
    with ProgramSubject(template, make_goal(minimize="output_size"), cwd=tmp_path) as of:
        assert "--check-with" in of.prepare()[0]
        assert of.measure({"n": 6}).value == 12


def test_only_what_is_measured_has_to_be_fast(tmp_path: Path) -> None:
    """A slow build is patiently waited for; a slow program is given up."""
    template = make_template(
        ["sh", "-c", "sleep {build:[0.0..9.0=0.0]}", "&&", "sleep", "{run:[0.1..60.0=0.1]}"]
    )
    with ProgramSubject(template, make_goal(), cwd=tmp_path) as of:
        of.prepare()
        found = of.measure({"build": 1.0, "run": 0.1}, hurry=True)
        assert found.metrics["time"] < 1.0
        with pytest.raises(RunFailedError, match="sleep: took too long"):
            of.measure({"build": 0.0, "run": 50.0}, hurry=True)


def test_what_is_shown_reads_what_it_read(tmp_path: Path) -> None:
    (tmp_path / "in put").write_text("c\na\nb\n")
    for words, shell in ((["sort", "{r:-r?}"], False), (["sort {r:-r?} | cat"], True)):
        with ProgramSubject(
            make_template(words, shell=shell), make_goal(), cwd=tmp_path, stdin=Path("in put")
        ) as sort:
            shown = sort.shown({"r": True})
        done = subprocess.run(
            ["sh", "-c", shown], cwd=tmp_path, capture_output=True, text=True, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.stdout == "c\nb\na\n"


def test_other_flags_of_the_same_name_are_another_tuning() -> None:
    def fingerprint(flag: str, stdin: str | None = None) -> str:
        template = make_template(["true", flag])
        with ProgramSubject(
            template, make_goal(), stdin=None if stdin is None else Path(stdin)
        ) as one:
            return one.fingerprint

    assert fingerprint("{a:-x?}") == fingerprint("{a:-x?}")
    assert len({fingerprint("{a:-x?}"), fingerprint("{a:-y?}"), fingerprint("{a:-x?}", "in")}) == 3


def test_what_was_built_once_runs_several_times(tmp_path: Path) -> None:
    count = "n=$(cat runs 2>/dev/null || echo 0); echo $((n+1)) > runs; echo v=$((n*n))"
    words = ["sh", "-c", "echo x >> builds; rm -f runs", "&&", "sh", "-c", count, "{a:-x?}"]
    goal = make_goal(maximize="v", regex="v=([0-9]+)", runs=5)
    template = make_template(words)
    with ProgramSubject(template, goal, Check("exit"), cwd=tmp_path) as subject:
        subject.prepare()
        assert subject.measure(subject.space.default).value == 4  # of 0, 1, 4, 9, 16
    assert (tmp_path / "builds").read_text() == "x\n" * 4
    with pytest.raises(GoalError, match="1 to 1000 times, not 0"):
        make_goal(runs=0)


def test_one_bad_run_of_several_is_a_failure(tmp_path: Path) -> None:
    third = "n=$(cat runs || echo 0); echo $((n+1)) > runs; [ $n -lt 6 ] || exit 3"
    words = ["true", "&&", "sh", "-c", third, "{a:-x?}"]
    with ProgramSubject(make_template(words), make_goal(runs=2), Check("exit"), cwd=tmp_path) as of:
        of.prepare()
        with pytest.raises(RunFailedError, match="exit"):
            of.measure(of.space.default)


def test_a_long_build_is_spoken_of(tmp_path: Path) -> None:
    words = ["sleep", "0.1", "&&", "true", "{a:-x?}"]
    for runs, said in ((1, 1), (2, 0)):
        with ProgramSubject(make_template(words), make_goal(runs=runs), Check("exit")) as subject:
            assert len([note for note in subject.prepare() if "--runs 10" in note]) == said
