"""Threads of upkeep: what fails in them is told once and ends nothing; at exit they end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import warnings

import pytest
from journaled import wait_for

from acumen.core import background
from acumen.core.background import Background, Regular


class Worker:
    """Fails at every step."""

    def __init__(self) -> None:
        self.steps = 0
        self.background = Regular("acumen-test", self.step, self.begin)

    def step(self) -> None:
        self.steps += 1
        raise LookupError(f"step {self.steps}")

    def begin(self) -> None:
        """In a child."""


@pytest.mark.filterwarnings("error")
def test_what_fails_ends_nothing() -> None:
    worker = Worker()
    worker.background.start_every(0.001)
    wait_for(lambda: worker.steps > 3)
    assert worker.background.alive
    assert worker.background.stop()
    assert worker.background.last_error == f"step {worker.steps}"


def test_it_is_warned_of_once() -> None:
    worker = Worker()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        worker.background.start_every(0.001)
        wait_for(lambda: worker.steps > 3)
        worker.background.stop()
    assert [str(w.message)[:25] for w in warned] == ["acumen-test: a step faile"]


def test_who_is_thrown_away_is_not_kept() -> None:
    worker = Worker()
    background = worker.background
    background.start_every(0.001)
    del worker
    wait_for(lambda: not background.alive)


def test_at_exit_a_step_is_waited_for() -> None:
    code = """
import time
from acumen.core.background import Background, Regular
class Worker:
    def step(self):
        time.sleep(0.2)
        print("whole", flush=True)
    def begin(self): pass
worker = Worker()
background = Regular("acumen-test", worker.step, worker.begin)
background.start_every(0.001)
time.sleep(0.1)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split()[-1] == "whole"
    assert len(run.stdout.split()) <= 2


def test_after_fork_a_slow_step_and_its_successor_do_not_meet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fork waits for it, but not for ever; whoever goes on in the parent waits then."""
    monkeypatch.setattr(background, "PAUSE_SECONDS", 0.01)
    inside, most, free, steps = [0], [0], threading.Event(), [0]

    class Slow:
        def step(self) -> None:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            steps[0] += 1
            free.wait(30)
            inside[0] -= 1

        def begin(self) -> None:
            """In a child."""

    slow = Slow()
    thread = Regular("acumen-test", slow.step, slow.begin)
    thread.start_every(0.001)
    wait_for(lambda: steps[0] == 1)
    background._before_fork()
    background._after_fork_in_parent()
    time.sleep(0.1)  # long enough for a successor to be at work
    assert (steps[0], thread.alive) == (1, True)
    free.set()
    wait_for(lambda: steps[0] > 3)
    assert thread.stop()
    assert most[0] == 1


def test_who_starts_twice_has_one_thread_and_can_stop_it() -> None:
    seen: list[int] = []

    def run(stop: threading.Event) -> None:
        while not stop.wait(0.001):
            seen.append(threading.get_ident())

    thread = Background("acumen-test", run)
    thread.start()
    wait_for(lambda: seen)
    first = thread._thread
    thread.start()
    assert first is not None
    wait_for(lambda: seen[-1] != first.ident)
    assert not first.is_alive()
    assert thread.stop(30)
