"""What is asked (a task), what a planner answers (plans), and what a plan is worth (a score).

A planner is a function that yields plans, each meant to be better than the one before, until its
time is up or it has nothing more to say:

    def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]: ...

It scores nothing for others to believe: whoever asked scores every plan by `score` himself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from acumen.placement.cluster import Cluster
from acumen.placement.graph import Bools, Floats, Graph, Indices, Ints
from acumen.placement.pins import allowed, said
from acumen.placement.plan_error import PlanError

__all__ = [
    "Deadline",
    "Objective",
    "Plan",
    "PlanError",
    "Planner",
    "Score",
    "Task",
    "by_processor_time",
]

Objective = Literal["latency", "throughput"]


@dataclass(frozen=True)
class Task:
    """What is to be placed, on what, and what for.

    Attributes:
        graph: the operators.
        cluster: the devices. Every operator can run on one of them.
        objective: "latency": seconds from the first operator's start to the last one's end, of one
            step by itself; "throughput": the largest load of any device, in seconds a step, when
            steps follow each other in a pipeline.
        pins: devices by patterns of the operators that have to run there, such as
            `{"embedding*": "cpu"}`; see `acumen.placement.pins`.

    Raises:
        PlanError: pins name nothing, or cannot be heeded; the message names them.
    """

    graph: Graph
    cluster: Cluster
    objective: Objective
    pins: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _ = self.allowed  # whether pins can be heeded

    @cached_property
    def allowed(self) -> Bools | None:
        """On which devices pins let each operator run; None: there are none; shape (d, n)."""
        return allowed(self.graph, self.cluster, self.pins) if self.pins else None

    @cached_property
    def classes(self) -> Indices:
        """Devices of the same number take as long as each other for everything; shape (d,)."""
        numbers: dict[tuple[str, bytes], int] = {}
        rows = [b""] * len(self.cluster) if self.allowed is None else map(bytes, self.allowed)
        keys = [(one.kind, row) for one, row in zip(self.cluster.devices, rows, strict=True)]
        return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int32)

    @property
    def with_pins(self) -> str:
        """For the end of a sentence about plans: with which pins; empty: there are none."""
        return f" with the {said(self.pins)}" if self.pins else ""

    def seconds(self) -> Floats:
        """How long each operator runs on each device; shape (d, n).

        Infinite where it cannot run, or pins do not let it.

        Raises:
            PlanError: an operator runs on none of the devices.
        """
        nowhere = np.full(len(self.graph), np.inf)
        rows = [self.graph.seconds.get(one.kind, nowhere) for one in self.cluster.devices]
        table = np.ascontiguousarray(np.stack(rows))
        if self.allowed is not None:
            table[~self.allowed] = np.inf
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
