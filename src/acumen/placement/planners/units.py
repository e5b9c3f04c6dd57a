"""What is placed as a whole, and whether that can be done at all.

A unit is a group of operators that must share a device, or a single operator without a group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acumen.placement.graph import NO_GROUP, Bools, Floats, Graph, Indices, Ints
from acumen.placement.plan import PlanError, Task

NO_LIMIT = np.iinfo(np.int64).max
BYTES_MAX = 2.0**62  # so that sums of some of them, and what devices hold, stay whole numbers


@dataclass(frozen=True)
class Units:
    """u units, in the order in which their first operators come in the graph's order.

    Attributes:
        of: the unit of each operator; shape (n,).
        seconds: how long all of a unit takes on each device; infinite where some of it cannot run;
            shape (d, u).
        resident_bytes: what a unit keeps on its device; shape (u,).
        made_bytes: the tensors that its operators make, in a step; a pipeline's account knows only
            what stays, and so there it is 0; shape (u,).
        limit_bytes: how much each device holds; `NO_LIMIT`: unknown; shape (d,).
    """

    of: Indices
    seconds: Floats
    resident_bytes: Ints
    made_bytes: Ints
    limit_bytes: Ints

    def __len__(self) -> int:
        return len(self.resident_bytes)

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return len(self.limit_bytes)

    @property
    def bound_bytes(self) -> Ints:
        """What units that can run nowhere else keep on each device; shape (d,)."""
        able = np.isfinite(self.seconds)
        only: Bools = able & (able.sum(axis=0) == 1)
        return np.asarray(only @ self.resident_bytes, np.int64)


def units_of(task: Task) -> Units:
    """The task's units.

    Raises:
        PlanError: operators of a group have no device in common, or memory cannot suffice
            whatever the plan; the message says how many bytes there are and how many are needed.
    """
    graph = task.graph
    total = graph.resident_bytes.sum(dtype=np.float64)
    if total + graph.tensors.size_bytes.sum(dtype=np.float64) >= BYTES_MAX:
        raise PlanError(f"graph {graph.name!r}: its bytes add up to more than 2**62")
    of, count = _numbered(graph)
    table = task.seconds()
    seconds: Floats = np.stack([np.bincount(of, row, count) for row in table]).astype(np.float64)
    _check_devices(graph, of, seconds)
    limits = [device.memory_bytes for device in task.cluster.devices]
    passing = task.objective == "latency"
    units = Units(
        of,
        seconds,
        _sums(of, graph.resident_bytes, count),
        _sums(of[graph.tensors.producer], graph.tensors.size_bytes * passing, count),
        np.array([NO_LIMIT if one is None else one for one in limits], np.int64),
    )
    _check_memory(task, units, passing)
    return units


def _numbered(graph: Graph) -> tuple[Indices, int]:
    """Each operator's unit, and how many there are."""
    n = len(graph)
    label = np.where(graph.group == NO_GROUP, np.arange(n, dtype=np.int64), n + graph.group)
    _, first, inverse = np.unique(label[graph.order], return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int32)
    number[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    of = np.empty(n, np.int32)
    of[graph.order] = number[inverse]
    return of, len(first)


def _sums(of: Indices, values: Ints, count: int) -> Ints:
    # Exact: bincount would add up in floating point.
    sums = np.zeros(count, np.int64)
    np.add.at(sums, of, values)
    return sums


def _check_devices(graph: Graph, of: Indices, seconds: Floats) -> None:
    bad = np.flatnonzero(~np.isfinite(seconds).any(axis=0))
    if len(bad):
        members = np.flatnonzero(of == bad[0])
        raise PlanError(
            f"operators {graph.operators[members[0]]!r} and {graph.operators[members[-1]]!r} must "
            f"share a device, and no device can run all of their group of {len(members)}"
        )


def _check_memory(task: Task, units: Units, passing: bool) -> None:
    graph = task.graph
    if (units.limit_bytes == NO_LIMIT).all():
        return
    needed = units.resident_bytes[units.of]
    if passing:  # while an operator runs, its device holds what it reads and makes, too
        tensors = graph.tensors
        needed += _sums(tensors.producer, tensors.size_bytes, len(graph))
        needed += _sums(tensors.consumers, tensors.size_bytes[tensors.reads], len(graph))
    there = np.where(np.isfinite(units.seconds), units.limit_bytes[:, None], -1).max(axis=0)
    bad = np.flatnonzero(needed > there[units.of])
    if len(bad):
        worst = bad[np.argmax(needed[bad])]
        raise PlanError(
            f"operator {graph.operators[worst]!r} needs {needed[worst]:,} bytes on one device; the "
            f"largest that can run it holds {there[units.of[worst]]:,}{task.with_pins}"
        )
    for number, held in enumerate(units.bound_bytes.tolist()):
        if held > units.limit_bytes[number]:
            raise PlanError(
                f"{task.cluster.devices[number].name} holds {units.limit_bytes[number]:,} bytes, "
                f"and what can run nowhere else keeps {held:,}{task.with_pins}"
            )
    if (units.limit_bytes == NO_LIMIT).any():
        return
    total, held = int(units.resident_bytes.sum()), sum(units.limit_bytes.tolist())
    if total > held:
        raise PlanError(f"the operators keep {total:,} bytes; all devices together hold {held:,}")
