"""What is asked (a task), what a planner answers (plans), and what a plan is worth (a score).

A planner is a function that yields plans, each meant to be better than the one before, until its
time is up or it has nothing more to say:

    def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]: ...

It scores nothing for others to believe: whoever asked scores every plan by `score` himself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import numpy as np

from acumen.placement.cluster import Cluster
from acumen.placement.graph import Floats, Graph, Indices, Ints

Objective = Literal["latency", "throughput"]


class PlanError(ValueError):
    """There is no plan, or one cannot be used; the message is one line for a person."""


@dataclass(frozen=True)
class Task:
    """What is to be placed, on what, and what for.

    Attributes:
        graph: the operators.
        cluster: the devices. Every operator can run on one of them.
        objective: "latency": seconds from the first operator's start to the last one's end, of one
            step by itself; "throughput": the largest load of any device, in seconds a step, when
            steps follow each other in a pipeline.
    """

    graph: Graph
    cluster: Cluster
    objective: Objective

    def seconds(self) -> Floats:
        """How long each operator runs on each device; infinite where it cannot; shape (d, n).

        Raises:
            PlanError: an operator runs on none of the devices.
        """
        nowhere = np.full(len(self.graph), np.inf)
        rows = [self.graph.seconds.get(one.kind, nowhere) for one in self.cluster.devices]
        table = np.ascontiguousarray(np.stack(rows))
        bad = np.flatnonzero(~np.isfinite(table).any(axis=0))
        if len(bad):
            raise PlanError(
                f"operator {self.graph.operators[bad[0]]!r} runs on none of the devices"
            )
        return table


@dataclass(frozen=True)
class Plan:
    """Where every operator runs.

    Attributes:
        device: the number of each operator's device; shape (n,), int32.
        priority: of the operators that could run next on a device the one of the lowest number is
            run; None: in the graph's own order; shape (n,), int32.
        contiguous: the devices can be ordered so that data never flow back, which is what a
            pipeline without interleaving needs; None: not looked at.
    """

    device: Indices
    priority: Indices | None = None
    contiguous: bool | None = None


@dataclass(frozen=True)
class Score:
    """What a plan is worth.

    Attributes:
        seconds: the objective's value; infinite if an operator lies where it cannot run.
        memory_bytes: the most that each device ever holds; shape (d,).
        excess_bytes: by how much devices are too small for that, in all; 0: the plan is feasible.
    """

    seconds: float
    memory_bytes: Ints
    excess_bytes: int

    def better_than(self, other: Score | None) -> bool:
        """Feasible before infeasible, less excess before more, then quicker before slower."""
        mine = (self.excess_bytes, self.seconds)
        return other is None or mine < (other.excess_bytes, other.seconds)


_clock: ContextVar[Callable[[], float]] = ContextVar("clock", default=time.monotonic)


@contextmanager
def by_processor_time() -> Iterator[None]:
    """In this block deadlines count the processor time of this process, all threads together.

    So other programs on the machine do not pass for slowness.
    """
    token = _clock.set(time.process_time)
    try:
        yield
    finally:
        _clock.reset(token)


@dataclass(frozen=True)
class Deadline:
    """Until when a planner may think, in seconds of `time.monotonic`; see `by_processor_time`."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """So many seconds from now on."""
        return cls(_clock.get()() + seconds)

    @property
    def left(self) -> float:
        """Seconds that are left, at least 0."""
        return max(0.0, self.at - _clock.get()())

    def __bool__(self) -> bool:
        """Whether there is time left."""
        return self.left > 0


Planner = Callable[[Task, Deadline, int], Iterator[Plan]]
