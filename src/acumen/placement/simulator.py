"""How long one step takes on several devices, when everything runs, and what every device holds.

The rules, exactly (they are the native simulator's; a plan has one timeline, down to the last bit):

* A device runs one operator at a time. An operator is ready when every tensor that it reads is on
  its device; of those that are ready an idle device starts the one of the lowest (priority,
  operator number).
* When its producer ends, a tensor is copied to every other device where it is read, once. A copy
  takes latency + bytes / bandwidth of its channel, or the tensor's own `copy_seconds`. A channel
  carries one copy at a time, in the order in which they became possible; those that did at the
  same time by tensor, then by destination. Devices compute meanwhile. Without contention a channel
  carries any number of copies at once.
* What ends at the same instant is all looked at before anything starts: a *round*. A copy that
  takes 0 seconds is there in the round in which it became possible; an operator that takes 0
  seconds ends in a later round of the same time.
* A device holds its operators' resident bytes all the time. From its producer's start a tensor's
  bytes are held where it is made, until its last reader there and its last copy from there have
  ended; where it is copied to, from the copy's start until its last reader there has ended. A
  tensor that nobody reads goes when its producer ends: a graph does not say what is to outlive the
  step, so parameters and the optimiser's state belong to the resident bytes.
* An operator on a device where it cannot run never ends: the step takes infinite seconds.

With the rules of Graham's list scheduling ("Bounds on multiprocessing timing anomalies", 1969) come
his anomalies: a quicker channel or operator can make a step slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from acumen._native import StepSimulatorCore
from acumen.placement.graph import NO_GROUP, Floats, Graph, Indices, Ints
from acumen.placement.plan import Plan, Score, Task


@dataclass(frozen=True)
class Step:
    """What one step comes to.

    Attributes:
        seconds: from the first operator's start to the last one's end.
        busy_seconds: for how long each device computes; shape (d,).
        peak_bytes: the most that each device ever holds; shape (d,).
    """

    seconds: float
    busy_seconds: Floats
    peak_bytes: Ints


@dataclass(frozen=True)
class Copies:
    """The copies that a step makes, by tensor and then by destination: c of them.

    Attributes:
        tensor: what is copied; shape (c,).
        source: from which device; shape (c,).
        destination: to which device; shape (c,).
        start: when, in seconds; shape (c,).
        end: until when; shape (c,).
    """

    tensor: Indices
    source: Indices
    destination: Indices
    start: Floats
    end: Floats

    def __len__(self) -> int:
        return len(self.tensor)


@dataclass(frozen=True)
class Timeline:
    """When everything runs; in seconds from the step's start, infinite where it never does.

    Attributes:
        start: of each operator; shape (n,).
        end: of each operator; shape (n,).
        copies: between devices.
    """

    start: Floats
    end: Floats
    copies: Copies


class Simulator:
    """Evaluates plans for one graph on one cluster: see the module.

    Everything is laid out once, here; an evaluation allocates nothing that grows with the graph.
    Threads may share a simulator; they take turns.

    Args:
        task: the graph and the cluster. Its objective is not looked at: this is one step's latency.
        contention: whether a channel carries one copy at a time, or any number, as many papers
            assume.

    Raises:
        PlanError: an operator runs on none of the devices.
        ValueError: the sizes of all tensors and of what is resident add up to more than 2**63 - 1
            bytes.
    """

    def __init__(self, task: Task, contention: bool = True) -> None:
        table = task.seconds()
        self.task = task
        self.contention = contention
        graph, cluster, tensors = task.graph, task.cluster, task.graph.tensors
        _, leaders = np.unique(task.classes, return_index=True)
        self._members, self._leaders = _members(graph)
        held = graph.resident_bytes.sum(dtype=np.float64)
        if held + tensors.size_bytes.sum(dtype=np.float64) >= 2.0**63:
            raise ValueError(f"graph {graph.name!r}: its bytes add up to more than 2**63 - 1")
        self._native = StepSimulatorCore(
            seconds=_array(table[leaders], np.float64),
            resident_bytes=_array(graph.resident_bytes, np.int64),
            producer=_array(tensors.producer, np.int32),
            size_bytes=_array(tensors.size_bytes, np.int64),
            start=_array(tensors.start, np.int64),
            consumers=_array(tensors.consumers, np.int32),
            copy_seconds=_array(
                [] if tensors.copy_seconds is None else tensors.copy_seconds, np.float64
            ),
            kind=_array(task.classes, np.int32),
            latency_seconds=_array([one.latency_seconds for one in cluster.channels], np.float64),
            bytes_per_second=_array([one.bytes_per_second for one in cluster.channels], np.float64),
            route=_array(cluster.route, np.int16),
            contention=contention,
        )

    def simulate(self, plan: Plan) -> Step:
        """What the step comes to.

        Raises:
            ValueError: the plan does not fit the graph, or puts an operator on a device that does
                not exist; the message names the operator.
        """
        device, priority = self._checked(plan)
        d = len(self.task.cluster)
        busy, peak = np.empty(d), np.empty(d, np.int64)
        seconds = self._native.simulate(device, priority, busy, peak)
        return Step(seconds, busy, peak)

    def timeline(self, plan: Plan) -> Timeline:
        """When everything runs.

        Raises:
            ValueError: as for `simulate`.
        """
        device, priority = self._checked(plan)
        start, end = np.empty(len(device)), np.empty(len(device))
        tensor, source, to, begun, done = self._native.timeline(device, priority, start, end)
        order = np.lexsort((to, tensor))
        copies = Copies(tensor[order], source[order], to[order], begun[order], done[order])
        return Timeline(start, end, copies)

    def score(self, plan: Plan) -> Score:
        """What the plan is worth, with a step's latency as the objective.

        `seconds` is infinite if an operator lies where it cannot run or a group is torn apart.

        Raises:
            ValueError: as for `simulate`.
        """
        step = self.simulate(plan)
        peaks = step.peak_bytes.tolist()
        excess = sum(
            max(0, peak - device.memory_bytes)
            for peak, device in zip(peaks, self.task.cluster.devices, strict=True)
            if device.memory_bytes is not None
        )
        device = np.asarray(plan.device)
        torn = bool((device[self._members] != device[self._leaders]).any())
        return Score(np.inf if torn else step.seconds, step.peak_bytes, excess)

    def seconds_of(
        self, devices: npt.NDArray[Any], priority: npt.NDArray[Any] | None = None
    ) -> Floats:
        """How long a step takes with each of b placements, in one call.

        Args:
            devices: a placement a row; shape (b, n), int32.
            priority: for all of them, as in a `Plan`; shape (n,), int32.

        Returns:
            Seconds; shape (b,).

        Raises:
            ValueError: as for `simulate`.
        """
        rows = np.asarray(devices)
        if rows.ndim != 2:
            raise ValueError(f"placements of shape {rows.shape}: there must be rows and columns")
        seconds = np.empty(len(rows))
        self._native.seconds_of(self._places(rows), self._priorities(priority), seconds)
        return seconds

    def _checked(self, plan: Plan) -> tuple[Indices, Indices | None]:
        device = np.asarray(plan.device)
        if device.ndim != 1:
            raise ValueError(f"a plan has a row of devices, not shape {device.shape}")
        return self._places(device), self._priorities(plan.priority)

    def _places(self, devices: npt.NDArray[Any]) -> Indices:
        """Devices that exist, of as many operators as there are, in the last axis."""
        graph, cluster = self.task.graph, self.task.cluster
        if devices.shape[-1] != len(graph):
            raise ValueError(f"devices of {devices.shape[-1]} operators; there are {len(graph)}")
        if devices.dtype.kind not in "iu":
            raise ValueError(f"devices are integers, not {devices.dtype}")
        if devices.size and (devices.min() < 0 or devices.max() >= len(cluster)):
            where = tuple(np.argwhere((devices < 0) | (devices >= len(cluster)))[0])
            raise ValueError(
                f"operator {graph.operators[where[-1]]!r} is on device {devices[where]}; "
                f"there are {len(cluster)}"
            )
        return _array(devices, np.int32)

    def _priorities(self, priority: npt.NDArray[Any] | None) -> Indices | None:
        if priority is None:
            return None
        given = np.asarray(priority)
        if given.shape != (len(self.task.graph),):
            raise ValueError(f"priorities of shape {given.shape}: one for each operator is needed")
        if given.dtype.kind not in "iu":
            raise ValueError(f"priorities are integers, not {given.dtype}")
        limits = np.iinfo(np.int32)
        bad = np.flatnonzero((given < limits.min) | (given > limits.max))
        if len(bad):
            name = self.task.graph.operators[bad[0]]
            raise ValueError(f"operator {name!r} has priority {given[bad[0]]}: 32 bits are enough")
        return _array(given, np.int32)


def _members(graph: Graph) -> tuple[Ints, Ints]:
    """The operators of groups, and for each one the first of its group."""
    members = np.flatnonzero(graph.group != NO_GROUP)
    _, first, inverse = np.unique(graph.group[members], return_index=True, return_inverse=True)
    return members, members[first[inverse]]


def _array(values: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.ascontiguousarray(values, dtype)
