"""Trials side by side: worker processes on this machine, or any other pool (see `acumen.fleet`)."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any, Protocol

from acumen.learners._parameters import check_between
from acumen.learners.search.search import BudgetSpentError, Measure, Search
from acumen.learners.search.store import Trial


class TrialFailedError(Exception):
    """Raised where a trial is measured: it failed, and the words say why."""


@dataclass(frozen=True)
class Outcome:
    """What came of measuring a trial.

    Attributes:
        metrics: what was measured; None: it failed, or was lost.
        reason: why.
        lost: whether the worker is gone, which need not be the setting's fault.
    """

    metrics: float | Mapping[str, float] | None
    reason: str = ""
    lost: bool = False


class Pool(Protocol):
    """Where trials are measured."""

    def free(self) -> int:
        """How many more may be started now."""
        ...

    def start(self, trial: Trial) -> None:
        """Begins to measure."""
        ...

    def wait(self) -> Sequence[tuple[Trial, Outcome]]:
        """Waits until at least one has ended; empty only if none is being measured."""
        ...

    def close(self) -> Sequence[Trial]:
        """Ends what is being measured; returns the trials that it was."""
        ...


def run_in_processes(
    search: Search,
    measure: Measure,
    *,
    workers: int | None = None,
    timeout: float | None = None,
    attempts: int = 3,
) -> Search:
    """Runs a search to the end of its budget, trials side by side in processes of their own.

    What `measure` raises, and a time-out, makes a trial fail. If a worker dies, the trial is given
    to another one; after so many `attempts` it counts as failed.

    Args:
        search: with a budget.
        measure: setting → the metric, or name → metric; importable by name, since workers are
            fresh interpreters.
        workers: how many; None: as many as there are processors. Programs that are timed disturb
            each other: then 1.
        timeout: seconds that a measurement may take; its process group is then killed.
        attempts: workers that a trial may take with it.

    Returns:
        The search.

    Raises:
        ValueError: a search without a budget, or a number out of range.
    """
    count = len(os.sched_getaffinity(0)) if workers is None else workers
    check_between("workers", count, 1, 4096)
    if timeout is not None:
        check_between("timeout", timeout, 1e-3, 1e9)
    return drive(search, Processes(measure, count, timeout), attempts=attempts)


def drive(
    search: Search,
    pool: Pool,
    *,
    attempts: int = 3,
    until: float = math.inf,
    told: Callable[[], None] = lambda: None,
) -> Search:
    """Keeps a pool busy until the budget is spent; see `run_in_processes`.

    Args:
        search: with a budget, if there is no end of time.
        pool: closed in the end.
        attempts: workers that a trial may take with it.
        until: no trial begins after that, in seconds of `time.monotonic`.
        told: is called whenever trials have ended.
    """
    if math.isinf(search.budget) and math.isinf(until):
        raise ValueError("a search without a budget would never end")
    check_between("attempts", attempts, 1, 1000)
    lost: dict[int, int] = {}
    try:
        while True:
            with contextlib.suppress(BudgetSpentError):
                while time.monotonic() < until and pool.free():
                    pool.start(search.ask())
            ended = pool.wait()
            if not ended:
                return search
            for trial, outcome in ended:
                number = trial.number
                lost[number] = lost.get(number, 0) + outcome.lost
                if outcome.metrics is not None:
                    search.tell(trial, **search.named(outcome.metrics))
                elif outcome.lost and lost[number] < attempts:
                    search.give_back(trial)
                else:
                    search.fail(trial, outcome.reason)
            told()
    finally:
        for trial in pool.close():
            search.give_back(trial)


@dataclass
class _Worker:
    process: Any
    line: Connection
    trial: Trial | None = None
    deadline: float = math.inf


class Processes:
    """A pool of processes on this machine; each leads a group, so that its children end with it."""

    def __init__(self, measure: Measure, workers: int, timeout: float | None) -> None:
        self._measure, self._count, self._timeout = measure, workers, timeout
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def free(self) -> int:
        """Workers without a trial."""
        return self._count - sum(worker.trial is not None for worker in self._workers)

    def start(self, trial: Trial) -> None:
        """Sends it to a worker that has none."""
        idle = [worker for worker in self._workers if worker.trial is None]
        worker = idle[0] if idle else self._hire()
        worker.trial, worker.deadline = trial, math.inf
        # If it has just died, `wait` will find that out.
        with contextlib.suppress(OSError):
            worker.line.send(trial.setting)

    def _hire(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._measure), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def wait(self) -> list[tuple[Trial, Outcome]]:
        """Waits for results, deaths and time-outs."""
        busy = [worker for worker in self._workers if worker.trial is not None]
        if not busy:
            return []
        ended: list[tuple[Trial, Outcome]] = []
        while not ended:
            until = min(worker.deadline for worker in busy)
            left = None if math.isinf(until) else max(0.0, until - time.monotonic())
            ready = connection.wait([worker.line for worker in busy], left)
            for worker in busy:
                outcome = self._outcome(worker, worker.line in ready)
                if outcome is not None and worker.trial is not None:
                    ended.append((worker.trial, outcome))
                    worker.trial = None
        return ended

    def _outcome(self, worker: _Worker, ready: bool) -> Outcome | None:
        if ready:
            try:
                said = worker.line.recv()
                if said is None:  # it begins only now: before, it was starting up
                    worker.deadline = time.monotonic() + (self._timeout or math.inf)
                    return None
                return Outcome(*said)
            except (EOFError, OSError):
                code = self._dismiss(worker)
                return Outcome(None, f"its worker died ({_ending(code)})", lost=True)
        if time.monotonic() >= worker.deadline:
            self._dismiss(worker)
            return Outcome(None, f"timed out after {self._timeout:g} s")
        return None

    def _dismiss(self, worker: _Worker) -> int | None:
        self._workers.remove(worker)
        with contextlib.suppress(OSError):
            os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.join(0.1)
        if worker.process.exitcode is None:  # it had no group of its own yet
            worker.process.kill()
            worker.process.join()
        worker.line.close()
        code: int | None = worker.process.exitcode
        worker.process.close()
        return code

    def close(self) -> list[Trial]:
        """Kills all workers with their children."""
        trials = [worker.trial for worker in self._workers if worker.trial is not None]
        for worker in list(self._workers):
            self._dismiss(worker)
        return trials


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit status {code}"


def _work(line: Connection, measure: Measure) -> None:
    """A worker's life: settings in, metrics out, until nobody is at the other end."""
    with contextlib.suppress(OSError):
        os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            setting = line.recv()
        except (EOFError, OSError):
            return
        line.send(None)
        line.send(attempt(measure, setting))


def _end_with_parent() -> None:
    """Whoever is killed ends nobody: when the parent is gone, the group ends itself."""
    parent = multiprocessing.parent_process()
    if parent is not None and os.getpgrp() == os.getpid():
        connection.wait([parent.sentinel])
        os.killpg(os.getpgrp(), signal.SIGKILL)


def attempt(measure: Measure, setting: dict[str, Any]) -> tuple[Any, str]:
    """Measures; returns the metrics and "", or None and what was raised."""
    try:
        said = measure(setting)
        if isinstance(said, Mapping):
            return {str(name): float(value) for name, value in said.items()}, ""
        return float(said), ""
    except TrialFailedError as error:
        return None, str(error)
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
