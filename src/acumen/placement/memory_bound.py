"""How much memory devices must have, whatever the plan: what no plan can be below.

For every plan

* a device holds all of a group that runs there, and while an operator runs (in a step; a pipeline's
  account knows only what stays) what that one reads and makes;
* what stays lies somewhere, and so does, when an operator runs, every tensor that is made by one
  that must have run before it and read by it or by one that must run after it;
* of the k·N + 1 largest groups one of N devices holds k + 1 (the pigeonhole principle), if they can
  run nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from acumen.placement.graph import Graph, Ints
from acumen.placement.plan import Task
from acumen.placement.planners.units import NO_LIMIT, Units, units_of

MOMENTS = 63
"""At how many operators' runs it is looked at what must be there: one bit each."""


@dataclass(frozen=True)
class MemoryBound:
    """What some devices of a cluster must hold, whatever the plan; see the module.

    Attributes:
        alone: what one of them must hold at least, because no other device can.
        total: what all of them together must hold at least at some moment.
        pieces: what groups that can run nowhere else keep, the largest first.
        widest: the operator that needs most by itself on one of them, and how much.
        pinned: what one of them must keep at least, because pins have it there and not on others
            like it.
    """

    alone: int
    total: int
    pieces: Ints
    widest: tuple[str, int]
    pinned: int = 0

    @classmethod
    def of(cls, task: Task, devices: tuple[int, ...]) -> MemoryBound:
        """The bound for the devices of these numbers; the others keep their limits.

        Raises:
            PlanError: there is no plan for other reasons than memory.
        """
        units = units_of(with_memory(task, devices, None, every=True))
        limits = [
            NO_LIMIT if one.memory_bytes is None else one.memory_bytes
            for one in task.cluster.devices
        ]
        others = [i for i in range(len(task.cluster)) if i not in devices]
        able = np.isfinite(units.seconds)
        needed = _needed(task, units)
        # The most that an operator finds elsewhere.
        room = np.zeros(len(units), np.int64)
        for i in others:
            room = np.maximum(room, np.where(able[i], limits[i], 0))
        here = np.isfinite(units.seconds[list(devices)].min(axis=0))
        tight = np.flatnonzero(here[units.of] & (needed > room[units.of]))
        alone = int(needed[tight].max(initial=0))
        widest = int(tight[np.argmax(needed[tight])]) if len(tight) else 0
        elsewhere = sum(limits[i] for i in others)
        held = int(units.resident_bytes.sum())
        if task.objective == "latency":
            held += live_bytes(task.graph)
        total = max(0, held - elsewhere)
        only = here & ~able[others].any(axis=0) if others else here
        pieces = np.sort(units.resident_bytes[only])[::-1]
        total = max(total, int(pieces.sum()))
        # Of several devices that are alike only pins can single one out.
        pinned = int(units.bound_bytes[list(devices)].max()) if len(devices) > 1 else 0
        return cls(alone, total, pieces, (task.graph.operators[widest], alone), pinned)

    def memory(self, count: int) -> int:
        """Less than this a device never fits so many devices."""
        least = max(self.alone, self.pinned, -(-self.total // count))
        sums = np.append(0, np.cumsum(self.pieces))
        k = np.arange(1, (len(self.pieces) - 1) // count + 1)
        return int((sums[k * count + 1] - sums[k * count - k]).max(initial=least))

    def count(self, memory: int) -> int | None:
        """Fewer devices of that memory never fit; None: no number of them does."""
        if max(self.alone, self.pinned) > memory:
            return None
        low, high = 1, self.total // max(memory, 1) + len(self.pieces) + 1
        if self.memory(high) > memory:
            return None
        while low < high:  # the more devices, the less each needs
            middle = (low + high) // 2
            if self.memory(middle) <= memory:
                high = middle
            else:
                low = middle + 1
        return low


def _needed(task: Task, units: Units) -> Ints:
    """What a device holds at least while each operator runs there; shape (n,)."""
    needed = units.resident_bytes[units.of].astype(np.int64)
    if task.objective == "latency":
        tensors = task.graph.tensors
        np.add.at(needed, tensors.producer, tensors.size_bytes)
        np.add.at(needed, tensors.consumers, tensors.size_bytes[tensors.reads])
    return needed


def live_bytes(graph: Graph) -> int:
    """The tensors that are in memory at some moment of a step, whatever the plan; in bytes.

    A moment is the run of an operator. Looked at are those around the turn from the forward to the
    backward pass, where most is kept, and others at even distances in the graph's order.
    """
    n, tensors = len(graph), graph.tensors
    moments = _moments(graph)
    sources, targets = graph.edges
    rank = np.argsort(sources, kind="stable")
    start = np.searchsorted(sources[rank], np.arange(n + 1)).tolist()
    after, order = targets[rank].tolist(), graph.order.tolist()
    own = [0] * n
    for bit, operator in enumerate(moments):
        own[operator] = 1 << bit
    # Bit by bit: the operator is the moment's or must run after it; or must run before it.
    later, earlier = list(own), [0] * n
    for operator in order:
        for reader in after[start[operator] : start[operator + 1]]:
            later[reader] |= later[operator]
    for operator in reversed(order):
        for reader in after[start[operator] : start[operator + 1]]:
            earlier[operator] |= earlier[reader] | own[reader]
    read = np.zeros(len(tensors), np.int64)
    np.bitwise_or.at(read, tensors.reads, np.array(later, np.int64)[tensors.consumers])
    kept = read & np.array(earlier, np.int64)[tensors.producer]
    made = np.zeros(n, np.int64)
    np.add.at(made, tensors.producer, tensors.size_bytes)
    return max(
        int(tensors.size_bytes[(kept >> bit) & 1 == 1].sum()) + int(made[operator])
        for bit, operator in enumerate(moments)
    )


def _moments(graph: Graph) -> list[int]:
    sources, targets = graph.edges
    turn = ~graph.backward[sources] & graph.backward[targets]
    at = np.empty(len(graph), np.int64)
    at[graph.order] = np.arange(len(graph))
    last = np.unique(sources[turn])
    first = np.unique(targets[turn])
    chosen = [
        *last[np.argsort(-at[last])][: MOMENTS // 4].tolist(),
        *first[np.argsort(at[first])][: MOMENTS // 4].tolist(),
        *graph.order[np.linspace(0, len(graph) - 1, MOMENTS // 2).astype(np.int64)].tolist(),
    ]
    return list(dict.fromkeys(chosen))


def with_memory(
    task: Task, devices: tuple[int, ...], memory: int | None, every: bool = False
) -> Task:
    """The task with another limit of these devices, or of all."""
    changed = [
        replace(one, memory_bytes=memory) if every or i in devices else one
        for i, one in enumerate(task.cluster.devices)
    ]
    return replace(task, cluster=replace(task.cluster, devices=changed))
