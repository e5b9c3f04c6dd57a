"""How a contender of the race is measured: the best plan that it finds in its time."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from acumen.evaluation import BrokenError, Measurement
from acumen.placement import loads
from acumen.placement.plan import (
    Deadline,
    Objective,
    Plan,
    PlanError,
    Score,
    Task,
    by_processor_time,
)
from acumen.placement.problems import Problem, Source
from acumen.placement.simulator import Simulator

MILLISECONDS = 1e3


@dataclass(frozen=True, slots=True)
class Entry:
    """A cell's workload, as contenders get it.

    Attributes:
        source: of the graph and the devices.
        budget_seconds: how long each contender may think, in seconds of processor time.
    """

    source: Source
    budget_seconds: float


@dataclass(frozen=True)
class Contest:
    """One problem, one objective, and what says what a plan is worth there."""

    problem: Problem
    task: Task
    score: Callable[[Plan], Score]


Finder = Callable[[Contest, Deadline, int], Iterator[Plan]]


@functools.lru_cache(maxsize=2)
def contest_of(source: Source, objective: Objective) -> Contest:
    """The contest, kept for the next contender: reading a graph is no contender's work."""
    problem = source.open()
    task = Task(problem.graph, problem.cluster, objective)
    score = (
        Simulator(task).score if objective == "latency" else functools.partial(loads.score, task)
    )
    return Contest(problem, task, score)


def measure(find: Finder, entry: Entry, setting: Objective, seed: int) -> Measurement:
    """The objective's value of the best plan that fits, in milliseconds.

    The contender's opinion counts for nothing: each of its plans is scored here, and is part of its
    time. It is asked no more once its time is up.

    Raises:
        BrokenError: it has found no plan, or none that fits into memory.
    """
    contest = contest_of(entry.source, setting)
    best: Score | None = None
    began = time.process_time()
    try:
        with by_processor_time():
            deadline = Deadline.after(entry.budget_seconds)
            for plan in find(contest, deadline, seed):
                score = contest.score(plan)
                if score.better_than(best):
                    best = score
                if not deadline:
                    break
    except (PlanError, ImportError) as error:
        if best is None:
            raise BrokenError(str(error)) from error
    elapsed = time.process_time() - began
    if best is None or not math.isfinite(best.seconds):
        raise BrokenError("it has found no plan")
    if best.excess_bytes:
        raise BrokenError(f"its best plan needs {best.excess_bytes:,} bytes more than there are")
    return Measurement(best.seconds * MILLISECONDS, len(contest.task.graph), elapsed)
