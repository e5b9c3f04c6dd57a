"""What many placements are worth, in one call: simulators beside each other, a thread for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from acumen.placement.graph import Bools, Floats, Indices
from acumen.placement.plan import Plan, Score, Task
from acumen.placement.simulator import Simulator

_THREADS_MAX = 8

Scorer = Callable[[Plan], Score]


class BatchScores:
    """Scores placements of one task; made by `batch_scores`.

    Args:
        task: what is placed.
        score: what a plan is worth, where the objective is no step's latency.
        threads: how many simulators there are; none: `score` says it all.
        pool: with as many threads.
    """

    def __init__(self, task: Task, score: Scorer, threads: int, pool: ThreadPoolExecutor) -> None:
        self._score, self._pool = score, pool
        self._simulators = [Simulator(task) for _ in range(threads)]
        limits = [one.memory_bytes for one in task.cluster.devices]
        self._limits = np.array([np.inf if one is None else one for one in limits])

    def of(
        self, device: npt.NDArray[np.integer], priority: Indices | None, roomy: Bools
    ) -> tuple[Floats, Floats]:
        """Seconds, and by how many bytes devices are too small, of each; shape (b,) each.

        Args:
            device: of each operator, a row a placement; shape (b, n).
            priority: of all of them, as in a `Plan`.
            roomy: those known to fit into memory, which need not be looked at; shape (b,).
        """
        count = max(1, len(self._simulators))
        shares = [np.arange(first, len(device), count) for first in range(count)]
        seconds, excess = np.empty(len(device)), np.zeros(len(device))

        def evaluate(number: int, rows: npt.NDArray[np.int64]) -> None:
            for row in rows.tolist():
                one = Plan(device[row], priority)
                if not self._simulators:
                    worth = self._score(one)
                    seconds[row], excess[row] = worth.seconds, worth.excess_bytes
                elif roomy[row]:
                    simulator = self._simulators[number]
                    seconds[row] = simulator.seconds_of(device[row : row + 1], priority)[0]
                else:
                    step = self._simulators[number].simulate(one)
                    seconds[row] = step.seconds
                    excess[row] = np.maximum(step.peak_bytes - self._limits, 0.0).sum()

        if count == 1:
            evaluate(0, shares[0])
        else:
            list(self._pool.map(evaluate, range(count), shares))
        return seconds, excess


@contextmanager
def batch_scores(task: Task, score: Scorer) -> Iterator[BatchScores]:
    """For this block: what scores placements by the task's objective."""
    threads = min(os.cpu_count() or 1, _THREADS_MAX) if task.objective == "latency" else 0
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        yield BatchScores(task, score, threads, pool)
