"""The simulator's rules once more, word by word and slowly: what the native one is compared with.

Nothing is clever here: every round looks at every operator, every copy and every tensor.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from acumen.placement.plan import Plan, Task

WAITS, RUNS, DONE = "waits", "runs", "done"


@dataclass
class Run:
    """An operator or a copy, and when; a copy counts as running once its times are known."""

    state: str = WAITS
    start: float = math.inf
    end: float = math.inf

    def begin(self, now: float, seconds: float) -> None:
        self.state, self.start, self.end = RUNS, now, now + seconds

    def is_over(self, now: float) -> bool:
        return self.state == RUNS and self.end <= now


@dataclass
class Copy(Run):
    tensor: int = 0
    source: int = 0
    destination: int = 0


class SlowSimulator:
    """One step, simulated when it is made."""

    def __init__(self, task: Task, plan: Plan, contention: bool = True) -> None:
        self.task, self.contention = task, contention
        graph = task.graph
        self.on = plan.device.tolist()
        self.priority = [0] * len(graph) if plan.priority is None else plan.priority.tolist()
        bounds = graph.tensors.start.tolist()
        self.readers = [
            graph.tensors.consumers[a:b].tolist() for a, b in itertools.pairwise(bounds)
        ]
        self.producer = graph.tensors.producer.tolist()
        self.operators = [Run() for _ in range(len(graph))]
        self.copies: list[Copy] = []
        self.busy = [0.0] * len(task.cluster)
        self.peak = [0] * len(task.cluster)
        self.rounds()
        self.seconds = max(run.end for run in self.operators)

    def rounds(self) -> None:
        now = 0.0
        while True:
            self.start_operators(now)
            self.peak = [max(p, self.held(device, now)) for device, p in enumerate(self.peak)]
            coming = [run.end for run in [*self.operators, *self.copies] if run.state == RUNS]
            if not coming:
                return
            now = min(coming)
            ending = [op for op, run in enumerate(self.operators) if run.is_over(now)]
            for operator in ending:
                self.operators[operator].state = DONE
            for copy in sorted(self.copies_of(ending), key=lambda c: (c.tensor, c.destination)):
                self.plan_copy(copy, now)
            for copy in self.copies:
                copy.state = DONE if copy.is_over(now) else copy.state

    def copies_of(self, operators: list[int]) -> list[Copy]:
        return [
            Copy(tensor=tensor, source=self.on[self.producer[tensor]], destination=there)
            for tensor, readers in enumerate(self.readers)
            if self.producer[tensor] in operators
            for there in range(len(self.task.cluster))
            if there != self.on[self.producer[tensor]]
            if any(self.on[reader] == there for reader in readers)
        ]

    def plan_copy(self, copy: Copy, now: float) -> None:
        tensors, cluster = self.task.graph.tensors, self.task.cluster
        channel = cluster.route[copy.source, copy.destination]
        before = [
            other.end
            for other in self.copies
            if cluster.route[other.source, other.destination] == channel
        ]
        if tensors.copy_seconds is not None:
            seconds = float(tensors.copy_seconds[copy.tensor])
        else:
            how = cluster.channels[channel]
            size = float(tensors.size_bytes[copy.tensor])
            seconds = how.latency_seconds + size / how.bytes_per_second
        copy.begin(max([now, *before]) if self.contention else now, seconds)
        self.copies.append(copy)

    def start_operators(self, now: float) -> None:
        for device, one in enumerate(self.task.cluster.devices):
            here = [op for op, on in enumerate(self.on) if on == device]
            ready = [op for op in here if self.operators[op].state == WAITS and self.has_all(op)]
            if not ready or any(self.operators[op].state == RUNS for op in here):
                continue
            operator = min(ready, key=lambda op: (self.priority[op], op))
            seconds = self.task.graph.seconds.get(one.kind)
            takes = math.inf if seconds is None else float(seconds[operator])
            self.operators[operator].begin(now, takes)
            self.busy[device] += takes

    def has_all(self, operator: int) -> bool:
        return all(
            self.is_on(tensor, self.on[operator])
            for tensor, readers in enumerate(self.readers)
            if operator in readers
        )

    def is_on(self, tensor: int, device: int) -> bool:
        if self.on[self.producer[tensor]] == device:
            return self.operators[self.producer[tensor]].state == DONE
        return any(
            copy.state == DONE
            for copy in self.copies
            if copy.tensor == tensor and copy.destination == device
        )

    def held(self, device: int, now: float) -> int:
        graph = self.task.graph
        resident = sum(
            int(graph.resident_bytes[op]) for op, on in enumerate(self.on) if on == device
        )
        return resident + sum(
            int(graph.tensors.size_bytes[tensor])
            for tensor in range(len(self.readers))
            if self.is_held(tensor, device, now)
        )

    def is_held(self, tensor: int, device: int, now: float) -> bool:
        is_needed = any(
            self.operators[reader].state != DONE
            for reader in self.readers[tensor]
            if self.on[reader] == device
        )
        copies = [copy for copy in self.copies if copy.tensor == tensor]
        producer = self.operators[self.producer[tensor]]
        if self.on[self.producer[tensor]] != device:
            begun = any(c.start <= now for c in copies if c.destination == device)
            return begun and is_needed
        if producer.state == DONE:
            return is_needed or any(copy.state != DONE for copy in copies)
        return producer.state == RUNS
