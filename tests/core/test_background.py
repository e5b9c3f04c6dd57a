"""Threads of upkeep: what fails in them is told once and ends nothing; at exit they end."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
from journaled import wait_for

from acumen.core.background import Regular


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
from acumen.core.background import Regular
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
