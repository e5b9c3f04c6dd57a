"""Programs in the wild: they crash, hang, fork, flood, lie about time, clean up badly."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acumen.evaluation.programs.run import Limits, Program, ProgramError, Runner


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner(Limits(seconds=20, output=50_000_000)) as made:
        yield made


def python(text: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", text]


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that waits to be collected has."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_run_is_measured_from_outside(runner: Runner) -> None:
    run = runner.run(["sleep", "0.2"])
    assert run.seconds >= 0.2
    assert run.cpu_seconds < 0.2
    assert (run.exit, run.ended, run.problem) == (0, "exit", None)


def test_memory_is_that_of_the_program(runner: Runner) -> None:
    run = runner.run(python("x = bytearray(b'x') * 200_000_000"))
    assert run.problem is None
    assert 200e6 < run.peak_memory < 300e6


def test_arguments_reach_it_as_they_are(runner: Runner) -> None:
    run = runner.run(["printf", "%s|", "$HOME", "*", "a b", "&&", ";", ""])
    assert run.output.text == "$HOME|*|a b|&&|;||"


def test_environment_folder_and_input(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from a file")
    run = runner.run(
        ["sh", "-c", 'cat; printf " $GREETING "; pwd'],
        cwd=tmp_path,
        env={"GREETING": "hello"},
        stdin=tmp_path / "in",
    )
    assert run.output.text == f"from a file hello {tmp_path}\n"


def test_who_waits_for_input_gets_none(runner: Runner) -> None:
    run = runner.run(["cat"])
    assert (run.output.size, run.problem) == (0, None)


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["sh", "-c", "kill -SEGV $$"], "crashed with SIGSEGV"),
        (["sh", "-c", "kill -9 $$"], "crashed with SIGKILL"),
        (["sh", "-c", "echo why >&2; exit 3"], "exit code 3: why"),
        (["false"], "exit code 1"),
    ],
)
def test_failures_have_words(runner: Runner, argv: list[str], problem: str) -> None:
    assert runner.run(argv).problem == problem


def test_who_is_not_there(runner: Runner, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="No such file or directory: no-such-program"):
        runner.run(["no-such-program"])
    with pytest.raises(ProgramError, match="nowhere"):
        runner.run(["true"], cwd=tmp_path / "nowhere")
    (tmp_path / "text").write_text("no program")
    with pytest.raises(ProgramError, match="Permission denied"):
        runner.run([str(tmp_path / "text")])
    assert runner.run(["true"]).problem is None


def test_who_hangs_is_ended_with_all_of_its_children(runner: Runner, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"""
        trap '' TERM
        setsid sh -c 'trap "" TERM; echo $$ >> {pids}; sleep 60' &
        (setsid setsid sh -c 'echo $$ >> {pids}; sleep 60' &)
        echo $$ >> {pids}
        sleep 60
    """
    run = runner.run(["sh", "-c", script], seconds=0.6)
    assert run.problem == "took too long"
    seen = [int(line) for line in pids.read_text().split()]
    assert len(seen) == 3
    assert all(map(is_gone, seen))


def test_work_moved_to_the_background_still_counts(runner: Runner) -> None:
    run = runner.run(["sh", "-c", "(setsid sleep 0.5 &) ; exit 0"])
    assert run.problem is None
    assert run.seconds >= 0.5


def test_who_leaves_processes_behind_has_failed(runner: Runner, tmp_path: Path) -> None:
    script = f"(setsid sh -c 'echo $$ > {tmp_path}/pid; sleep 60' &); exit 0"
    run = runner.run(["sh", "-c", script])
    assert run.problem == "left processes behind"
    assert is_gone(int((tmp_path / "pid").read_text()))
    with Runner(Limits(end_leftovers=True)) as forgiving:
        # Nothing waits for it here, so it may not even have begun.
        run = forgiving.run(["sh", "-c", "(setsid sleep 60 &); exit 0"])
    assert run.problem is None


def test_who_multiplies_is_ended(tmp_path: Path) -> None:
    """Each leaves the others' session, and no parent waits for its child."""
    text = f"""
import os, time
while True:
    if os.fork() == 0:
        os.setsid()
        with open({str(tmp_path / "pids")!r}, "a") as file: file.write(f"{{os.getpid()}} ")
        time.sleep(60)
    time.sleep(0.005)
"""
    with Runner(Limits(seconds=20, processes=20)) as bounded:
        run = bounded.run(python(text))
        assert run.problem == "started too many processes"
        assert bounded.run(["true"]).problem is None
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) > 15
    assert all(map(is_gone, pids))


def test_a_flood_of_output_is_counted_hashed_and_cut(runner: Runner) -> None:
    run = runner.run(["head", "-c", "30000000", "/dev/zero"])
    assert run.problem is None
    assert run.output.size == 30_000_000
    assert run.output.sha256 == hashlib.sha256(bytes(30_000_000)).hexdigest()
    assert len(run.output.head) == len(run.output.tail) == 1 << 20
    assert "[...]" in run.output.text
    run = runner.run(["yes"])
    assert run.problem == "wrote too much output"
    assert run.output.size < 60_000_000


def test_memory_is_limited() -> None:
    text = "import time; x = bytearray(b'x') * 400_000_000; time.sleep(5)"
    with Runner(Limits(seconds=20, process_memory=100_000_000)) as bounded:
        assert bounded.run(python(text)).problem == "used too much memory"
    child = "import os, time; [os.fork() for _ in range(2)]; x = bytearray(b'x') * 60_000_000"
    with Runner(Limits(seconds=20, memory=150_000_000)) as bounded:
        run = bounded.run(python(child + "; time.sleep(5)"))
        assert run.problem == "used too much memory"


def test_files_are_limited(tmp_path: Path) -> None:
    with Runner(Limits(file_size=1000)) as bounded:
        run = bounded.run(["sh", "-c", "head -c 5000 /dev/zero > big"], cwd=tmp_path)
        assert run.problem is not None
    assert (tmp_path / "big").stat().st_size == 1000


def test_who_kills_its_watcher_has_failed(runner: Runner) -> None:
    with pytest.raises(ProgramError, match="ended from outside"):
        runner.run(["sh", "-c", "kill -9 $PPID; exit 0"])
    assert runner.run(["true"]).problem is None


def test_who_lies_about_time_is_timed_all_the_same(runner: Runner) -> None:
    lie = (
        "import time; time.sleep(0.3); time.perf_counter = lambda: 0.0; print(time.perf_counter())"
    )
    run = runner.run(python(lie))
    assert run.output.text == "0.0\n"
    assert run.seconds > 0.3


def test_commands_run_one_after_the_other_until_one_fails(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("read")
    program = Program((("touch", "a"), ("cat",)), tmp_path, stdin=tmp_path / "in")
    runs = runner.run_program(program)
    assert [run.output.text for run in runs] == ["", "read"]
    assert (tmp_path / "a").exists()
    runs = runner.run_program(Program((("false",), ("touch", "b")), tmp_path))
    assert len(runs) == 1
    assert not (tmp_path / "b").exists()
    with pytest.raises(ValueError, match="needs a command"):
        Program(())


def test_all_output_can_be_kept(runner: Runner, tmp_path: Path) -> None:
    runner.run(["seq", "200000"], spool=tmp_path / "all")
    assert (tmp_path / "all").read_text() == "".join(f"{i}\n" for i in range(1, 200_001))


def test_a_program_ends_with_who_asked(tmp_path: Path) -> None:
    """Also when that one is killed without a chance to clean up."""
    text = (
        "from acumen.evaluation.programs.run import Runner\n"
        f"Runner().run(['sh', '-c', 'echo $$ > {tmp_path}/pid; exec setsid sleep 60'])\n"
    )
    asker = subprocess.Popen([sys.executable, "-c", text])
    for _ in range(500):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip():
            break
        time.sleep(0.02)
    asker.kill()
    asker.wait()
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_an_interruption_ends_the_program(tmp_path: Path) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Runner() as interrupted:
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(KeyboardInterrupt):
                interrupted.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"])
            assert is_gone(int((tmp_path / "pid").read_text()))
            assert interrupted.run(["true"]).problem is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_processors_can_be_chosen() -> None:
    one = min(os.sched_getaffinity(0))
    with Runner(cpus=[one]) as pinned:
        run = pinned.run(python("import os; print(os.sched_getaffinity(0))"))
    assert run.output.text == f"{{{one}}}\n"


def test_who_kills_its_watcher_does_not_survive_it(runner: Runner, tmp_path: Path) -> None:
    """Neither what it has started and hidden."""
    text = (
        "import os, signal, time\n"
        "watcher = os.getppid()\n"
        "for _ in range(2):\n"
        "    if os.fork() == 0: os.setsid()\n"
        f"open(os.path.join({str(tmp_path)!r}, str(os.getpid())), 'w')\n"
        "time.sleep(0.3)\n"
        "os.kill(watcher, signal.SIGKILL)\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(ProgramError, match="ended from outside"):
        runner.run([sys.executable, "-I", "-S", "-c", text])
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert pids
    assert all(is_gone(pid) for pid in pids)
