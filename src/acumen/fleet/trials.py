"""Trials of a search on a Ray cluster; a trial whose worker is killed is measured again."""

from __future__ import annotations

import math
import time
from typing import Any

from acumen.fleet.cluster import Tasks, WorkerLostError, connect
from acumen.learners._parameters import check_between
from acumen.learners.search.parallel import Outcome, attempt, drive
from acumen.learners.search.search import Measure, Search
from acumen.learners.search.store import Trial

__all__ = ["RayPool", "connect", "ray_pool", "run_on_ray"]


def run_on_ray(
    search: Search,
    measure: Measure,
    *,
    address: str | None = None,
    workers: int | None = None,
    cpus: float = 1.0,
    timeout: float | None = None,
    attempts: int = 3,
) -> Search:
    """Runs a search to the end of its budget on a Ray cluster; asking and telling stay here.

    Args:
        search: with a budget.
        measure: setting → the metric, or name → metric; it travels to the workers.
        address: of the cluster; None: where Ray is connected already, or `RAY_ADDRESS` says.
        workers: trials at once; None: as many as the cluster has room for.
        cpus: processors that a trial takes up.
        timeout: seconds that a trial may take, waiting for a processor included.
        attempts: workers that a trial may take with it before it counts as failed.

    Returns:
        The search.

    Raises:
        ImportError: Ray is not installed: ``pip install acumen[fleet]``.
        ConnectionError: there is no such cluster.
        ValueError: a search without a budget, or a number out of range.
    """
    pool = ray_pool(measure, address=address, workers=workers, cpus=cpus, timeout=timeout)
    return drive(search, pool, attempts=attempts)


def ray_pool(
    measure: Measure,
    *,
    address: str | None = None,
    workers: int | None = None,
    cpus: float = 1.0,
    timeout: float | None = None,
) -> RayPool:
    """Where `run_on_ray` measures trials; its arguments and errors."""
    check_between("cpus", cpus, 1e-3, 1e6)
    if timeout is not None:
        check_between("timeout", timeout, 1e-3, 1e9)
    tasks = Tasks(_measured, address, cpus)
    count = max(1, int(tasks.processors() / cpus)) if workers is None else workers
    check_between("workers", count, 1, 1e6)
    return RayPool(tasks, measure, count, timeout)


def _measured(measure: Measure, setting: dict[str, Any]) -> tuple[Any, str]:
    return attempt(measure, setting)


class RayPool:
    """Trials that are being measured on a cluster."""

    def __init__(self, tasks: Tasks, measure: Measure, workers: int, timeout: float | None) -> None:
        self._tasks, self._measure = tasks, measure
        self._workers, self._timeout = workers, timeout
        self._running: dict[Any, tuple[Trial, float]] = {}

    def free(self) -> int:
        """How many more may be started now."""
        return self._workers - len(self._running)

    def start(self, trial: Trial) -> None:
        """Sends it to the cluster."""
        deadline = time.monotonic() + (self._timeout or math.inf)
        self._running[self._tasks.begin(self._measure, trial.setting)] = trial, deadline

    def wait(self) -> list[tuple[Trial, Outcome]]:
        """Waits for results, losses and time-outs."""
        ended: list[tuple[Trial, Outcome]] = []
        while self._running and not ended:
            until = min(deadline for _, deadline in self._running.values())
            left = None if math.isinf(until) else max(0.0, until - time.monotonic())
            for call in self._tasks.ended(list(self._running), left):
                trial, _ = self._running.pop(call)
                try:
                    ended.append((trial, Outcome(*self._tasks.result(call))))
                except WorkerLostError as error:
                    ended.append((trial, Outcome(None, f"its worker was lost: {error}", True)))
            for call, (trial, deadline) in list(self._running.items()):
                if time.monotonic() >= deadline:
                    self._tasks.cancel(call)
                    del self._running[call]
                    ended.append((trial, Outcome(None, f"timed out after {self._timeout:g} s")))
        return ended

    def close(self) -> list[Trial]:
        """Cancels what is being measured."""
        for call in self._running:
            self._tasks.cancel(call)
        trials = [trial for trial, _ in self._running.values()]
        self._running.clear()
        return trials
