"""What planners of a pipeline move about: operators that stay together as items, tensors as nets.

Items are groups at first. Others are merged where no plan worth looking for has them apart: see
`merge_leaves` and `merge_heavy`. A net is a tensor (or several, with the same ends) between items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from acumen.placement.graph import NO_GROUP, Floats, Graph, Ints
from acumen.placement.loads import copies, pays
from acumen.placement.plan import Task

Numbers = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Items:
    """q items, and r nets between them.

    Attributes:
        item: the item of each operator; shape (n,), int64.
        seconds: how long each runs on each device; shape (d, q).
        resident_bytes: what each keeps; shape (q,), float64.
        limit: what each device holds, infinite without a limit; shape (d,).
        pays: 1 where copies keep a device busy; shape (d,), uint8.
        start: net t has the pins `pins[start[t]:start[t + 1]]`, at least two; shape (r + 1,).
        pins: items.
        copy: how long a copy of each net takes; shape (r,), float64.
    """

    item: Ints
    seconds: Floats
    resident_bytes: Floats
    limit: Floats
    pays: npt.NDArray[np.uint8]
    start: Numbers
    pins: Numbers
    copy: Floats

    def __len__(self) -> int:
        return self.seconds.shape[1]

    @property
    def model(self) -> tuple[npt.NDArray[Any], ...]:
        """As the native kernels want it."""
        return (
            np.ascontiguousarray(self.seconds),
            self.resident_bytes,
            self.limit,
            self.pays,
            self.start,
            self.pins,
            self.copy,
        )

    @property
    def nets(self) -> Ints:
        """Which net each pin belongs to; as many as pins."""
        return np.repeat(np.arange(len(self.copy)), np.diff(self.start.astype(np.int64)))


def grouped(graph: Graph) -> Ints:
    """An item for each group, and one for each operator without; shape (n,)."""
    own = np.arange(len(graph)) + (int(graph.group.max()) + 1)
    return np.unique(np.where(graph.group == NO_GROUP, own, graph.group), return_inverse=True)[1]


def condense(task: Task, item: Ints) -> Items:
    """A task's items and nets, if operator i belongs to item `item[i]` of 0, …, q - 1."""
    q, tensors = int(item.max()) + 1, task.graph.tensors
    table = task.seconds()
    seconds = np.stack([np.bincount(item, row, minlength=q) for row in table])
    ends = np.concatenate([item[tensors.producer], item[tensors.consumers]])
    numbers = np.concatenate([np.arange(len(tensors)), tensors.reads]).astype(np.int64)
    tensor, pin = np.divmod(np.unique(numbers * q + ends), q)
    start = np.searchsorted(tensor, np.arange(len(tensors) + 1))
    alike: dict[bytes, int] = {}
    kept: list[npt.NDArray[np.uint32]] = []
    copy: list[float] = []
    narrow, takes = pin.astype(np.uint32), copies(task).tolist()
    for t in np.flatnonzero((np.diff(start) > 1) & (copies(task) > 0)).tolist():
        pins = narrow[start[t] : start[t + 1]]
        net = alike.setdefault(pins.tobytes(), len(kept))
        if net == len(kept):
            kept.append(pins)
            copy.append(0.0)
        copy[net] += takes[t]
    limits = [device.memory_bytes for device in task.cluster.devices]
    return Items(
        item,
        seconds,
        np.bincount(item, task.graph.resident_bytes, minlength=q),
        np.array([np.inf if limit is None else float(limit) for limit in limits]),
        pays(task).astype(np.uint8),
        np.cumsum([0, *map(len, kept)]).astype(np.uint32),
        np.concatenate(kept) if kept else np.empty(0, np.uint32),
        np.array(copy, np.float64),
    )


def merge(task: Task, items: Items, label: Ints) -> Items:
    """Items of the same label (of anything) become one; the same items if none does."""
    names, number = np.unique(label, return_inverse=True)
    return items if len(names) == len(items) else condense(task, number[items.item])


def merge_leaves(task: Task, items: Items) -> Items:
    """Who costs nothing by itself and has a single neighbour is merged with it.

    Apart from that neighbour it would only make copies; all that could speak for it is memory.
    """
    while True:
        q = len(items)
        nets, pins = items.nets, items.pins.astype(np.int64)
        # The sum and the number of different neighbours, from pairs of nets of two pins.
        two = np.diff(items.start.astype(np.int64)) == 2
        first = items.start[:-1][two].astype(np.int64)
        pairs = np.stack([pins[first], pins[first + 1]])
        pairs = np.unique(np.concatenate([pairs, pairs[::-1]], axis=1), axis=1)
        many = np.bincount(pins[~two[nets]], minlength=q) > 0
        degree = np.bincount(pairs[0], minlength=q)
        leaf = (degree == 1) & ~many & (items.seconds.max(axis=0) <= 0)
        label = np.arange(q)
        at = leaf[pairs[0]] & ~(leaf[pairs[1]] & (pairs[0] < pairs[1]))  # one of two leaves stays
        label[pairs[0][at]] = pairs[1][at]
        fewer = merge(task, items, label)
        if len(fewer) == q:
            return items
        items = fewer


def merge_heavy(task: Task, items: Items, bound: float) -> Items:
    """The pins of a net that no plan of a largest load below `bound` cuts are merged.

    With a single host at most, somebody pays for every cut.
    """
    if (items.pays == 0).sum() > 1:
        return items
    while True:
        label = np.arange(len(items))
        heavy = np.flatnonzero(items.copy >= bound)
        for net in heavy.tolist():
            for pin in items.pins[items.start[net] : items.start[net + 1]].tolist():
                a, b = _root(label, pin), _root(label, int(items.pins[items.start[net]]))
                label[max(a, b)] = min(a, b)
        for one in range(len(label)):
            label[one] = label[label[one]]
        fewer = merge(task, items, label)
        if fewer is items:
            return items
        items = fewer  # nets that have become alike add up


def _root(label: Ints, one: int) -> int:
    while label[one] != one:
        one = int(label[one])
    return one
