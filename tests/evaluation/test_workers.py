from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acumen.evaluation.workers import Task, Workers


def test_a_worker_that_died_while_idle_costs_no_task(tmp_path: Path) -> None:
    with Workers(1, tmp_path) as workers:
        (first,) = workers.run([Task(1, "first", os.getpid)])
        os.kill(first[1].result, signal.SIGKILL)
        workers._workers[0].process.join()
        (second,) = workers.run([Task(2, "second", os.getpid)])
        assert second[1].error is None
        assert second[1].result != first[1].result
        assert len(workers._workers) == 1


def test_what_cannot_travel_costs_its_own_task_only(tmp_path: Path) -> None:
    tasks = [Task("bad", "", lambda: 1), Task("good", "", int, ("7",)), Task("bad", "", lambda: 2)]
    with Workers(2, tmp_path) as workers:
        ended = list(workers.run(tasks))
    assert len(ended) == 3
    for task, outcome in ended:
        if task.key == "good":
            assert outcome.result == 7
        else:
            assert outcome.error is not None
            assert outcome.error.startswith("cannot be pickled: ")
            assert not outcome.expected


SLEEPER = """
import pathlib, sys, time
from acumen.evaluation.workers import Task, Workers
with Workers(1, pathlib.Path(sys.argv[1])) as workers:
    workers._fill([Task(1, "", time.sleep, (60,))], 1)
    print(workers._workers[0].process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children")
def test_workers_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLEEPER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        time.sleep(1)  # Until it sleeps, and does not look at its pipe.
        parent.kill()
    for _ in range(100):
        if is_dead(worker):
            return
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


def is_dead(process: int) -> bool:
    try:
        # Nobody may be there to collect it.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
