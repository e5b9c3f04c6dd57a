"""A journal's thread, and processes: ends, forks, spawned programs, memory."""

import gc
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from journaled import events, live, make, wait_for

import acumen

FAST = {"commit_seconds": 0.001}


def writer_of(choice: acumen.Choice) -> Any:
    assert choice.journal is not None
    return choice.journal


def test_its_thread_ends_with_its_choice(tmp_path: Path) -> None:
    def journals() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name == "acumen-journal-codec"]

    wait_for(lambda: gc.collect() is not None and not journals())
    choice = make(tmp_path)
    live(choice, 30)
    made = writer_of(choice).sequence
    assert len(journals()) == 1
    del choice
    gc.collect()
    wait_for(lambda: not journals())
    assert events(tmp_path)[-1]["sequence"] == made
    assert list((tmp_path / "codec").glob("*.arrows")) == []  # it was sealed


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise KeyboardInterrupt"])
def test_the_end_of_a_program_loses_nothing(tmp_path: Path, end: str) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from journaled import live, make
choice = make({str(tmp_path)!r})
live(choice, 500)
print(choice.journal.sequence, flush=True)
{end}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert events(tmp_path)[-1]["sequence"] == int(done.stdout)
    assert acumen.Journal(tmp_path).verify().segments[0].state == "sealed"


def test_writing_imports_no_pandas(tmp_path: Path) -> None:
    """PyArrow does when it makes an array, for seconds, and a program that ends has two."""
    pytest.importorskip("pandas")
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from journaled import live, make
choice = make({str(tmp_path)!r})
live(choice, 500)
assert choice._writer.close()
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_an_end_on_a_hanging_disk_is_bounded(tmp_path: Path) -> None:
    program = f"""
import os, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from journaled import live, make
choice = make({str(tmp_path)!r})
os.fdatasync = lambda descriptor: time.sleep(60)
live(choice, 50)
"""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    assert time.monotonic() - started < 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forks_have_streams_of_their_own(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 50)  # part of which is still in the ring
    children = []
    for seed in range(3):
        child = os.fork()
        if child == 0:
            live(choice, 30, seed=seed)
            ok = writer_of(choice).flush()
            os._exit(0 if ok else 1)  # without any farewell
        children.append(child)
        live(choice, 10, seed=seed)
    assert [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children] == [0, 0, 0]
    assert writer_of(choice).flush()
    rows = events(tmp_path)
    replicas = {row["replica"] for row in rows}
    assert len(replicas) == 4
    ids = [row["id"] for row in rows if row["kind"] == "decision"]
    assert len(ids) == len(set(ids)) == 50 + 3 * 30 + 3 * 10
    for replica in replicas:
        numbers = [row["sequence"] for row in rows if row["replica"] == replica]
        assert numbers == list(range(1, len(numbers) + 1))
    verification = acumen.Journal(tmp_path).verify()
    assert verification.good
    # The children did not close theirs; whoever came next did.
    states = sorted(s.state for s in verification.segments)
    assert states == ["live"] + 3 * ["sealed"], (verification, writer_of(choice).health)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forks_under_load(tmp_path: Path) -> None:
    """The writer is busy all the time, and still nothing is half done in any child."""
    choice = make(acumen.Journal(tmp_path, segment_bytes=1 << 14, **FAST))
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            choice.choose(size=1.0, kind="x", hot=True).feedback(seconds=1.0)
            time.sleep(1e-4)

    thread = threading.Thread(target=load)
    thread.start()
    codes = []
    for _ in range(15):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            choice.choose(size=2.0, kind="y", hot=False)
            os._exit(0 if writer_of(choice).flush() and writer_of(choice).close(15) else 1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    stop.set()
    thread.join()
    assert codes == [0] * 15
    assert writer_of(choice).flush()
    verification = acumen.Journal(tmp_path).verify()
    assert verification.good, verification


def test_spawned_programs_do_not_inherit_files(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 5)
    assert writer_of(choice).flush()
    with subprocess.Popen(["sleep", "30"], close_fds=False) as other:
        try:
            assert writer_of(choice).close()
            process = Path(f"/proc/{other.pid}")
            if process.exists():
                wait_for(lambda: b"sleep" in (process / "cmdline").read_bytes())
                files = [os.readlink(f) for f in (process / "fd").iterdir()]
                assert not any(str(tmp_path) in f for f in files)
        finally:
            other.kill()


def test_memory_is_bounded(tmp_path: Path) -> None:
    choice = make(acumen.Journal(tmp_path, ring_bytes=1 << 16, **FAST))
    live(choice, 2000)
    assert writer_of(choice).flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for part in range(10):
        live(choice, 2000, seed=part)
        assert writer_of(choice).flush()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
