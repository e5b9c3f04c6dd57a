"""What planners of a pipeline move about: operators that stay together as items, tensors as nets.

Items are groups at first. Others are merged where no plan worth looking for has them apart: see
`merge_leaves` and `merge_heavy`. A net is a tensor (or several, with the same ends) between items.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
        return len(self.resident_bytes)

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

    def model_of(self, device: int) -> tuple[npt.NDArray[Any], ...]:
        """The same, of one device."""
        seconds, kept, limit, pays, *nets = self.model
        one = slice(device, device + 1)
        return np.ascontiguousarray(seconds[one]), kept, limit[one], pays[one], *nets

    @property
    def nets(self) -> Ints:
        """Which net each pin belongs to; as many as pins."""
        return np.repeat(np.arange(len(self.copy)), np.diff(self.start).astype(np.int64))


def grouped(graph: Graph) -> Ints:
    """An item for each group, and one for each operator without; shape (n,)."""
    own = np.arange(len(graph)) + (int(graph.group.max()) + 1)
    return np.unique(np.where(graph.group == NO_GROUP, own, graph.group), return_inverse=True)[1]


def condense(task: Task, item: Ints) -> Items:
    """A task's items and nets, if operator i belongs to item `item[i]` of 0, …, q - 1."""
    q, tensors = int(item.max()) + 1, task.graph.tensors
    numbers = np.concatenate([np.arange(len(tensors)), tensors.reads])
    ends = np.concatenate([item[tensors.producer], item[tensors.consumers]])
    limits = [device.memory_bytes for device in task.cluster.devices]
    return Items(
        item,
        np.stack([np.bincount(item, row, minlength=q) for row in task.seconds()]),
        np.bincount(item, task.graph.resident_bytes, minlength=q).astype(np.float64),
        np.array([np.inf if limit is None else float(limit) for limit in limits]),
        pays(task).astype(np.uint8),
        *_nets(numbers, ends, copies(task), q),
    )


def merge(items: Items, label: Ints) -> Items:
    """Items of the same label (of anything) become one; the same items if none does."""
    names, number = np.unique(label, return_inverse=True)
    q = len(names)
    if q == len(items):
        return items
    start, pins, copy = _nets(items.nets, number[items.pins], items.copy, q)
    return replace(
        items,
        item=number[items.item],
        seconds=np.stack([np.bincount(number, row, minlength=q) for row in items.seconds]),
        resident_bytes=np.bincount(number, items.resident_bytes, q).astype(np.float64),
        start=start,
        pins=pins,
        copy=copy,
    )


def _nets(numbers: Ints, ends: Ints, takes: Floats, q: int) -> tuple[Numbers, Numbers, Floats]:
    """Start, pins and copy of what is left of nets; those that have become alike add up."""
    net, pin = np.divmod(np.unique(numbers.astype(np.int64) * q + ends), q)
    start = np.searchsorted(net, np.arange(len(takes) + 1))
    alike: dict[bytes, int] = {}
    kept: list[Numbers] = []
    copy: list[float] = []
    narrow, seconds = pin.astype(np.uint32), takes.tolist()
    for t in np.flatnonzero((np.diff(start) > 1) & (takes > 0)).tolist():
        pins = narrow[start[t] : start[t + 1]]
        number = alike.setdefault(pins.tobytes(), len(kept))
        if number == len(kept):
            kept.append(pins)
            copy.append(0.0)
        copy[number] += seconds[t]
    return (
        np.cumsum([0, *map(len, kept)]).astype(np.uint32),
        np.concatenate(kept) if kept else np.empty(0, np.uint32),
        np.array(copy, np.float64),
    )


def only_neighbours(items: Items) -> tuple[Ints, Ints, Floats]:
    """Items with a single neighbour, that neighbour, and how long copies between them take.

    Of two that have only each other, one is listed.
    """
    q, pins = len(items), items.pins.astype(np.int64)
    start = items.start.astype(np.int64)
    two = np.diff(start) == 2
    pairs = np.stack([pins[start[:-1][two]], pins[start[:-1][two] + 1]])
    pairs = np.concatenate([pairs, pairs[::-1]], axis=1)
    takes = np.tile(items.copy[two], 2)
    # Nets of the same pins are one net, so each pair is there once.
    wide = np.bincount(pins[~two[items.nets]], minlength=q)
    alone = (np.bincount(pairs[0], minlength=q) == 1) & (wide == 0)
    here = alone[pairs[0]] & ~(alone[pairs[1]] & (pairs[0] < pairs[1]))
    return pairs[0][here], pairs[1][here], takes[here]


def merge_leaves(items: Items) -> Items:
    """Who costs nothing by itself and has a single neighbour is merged with it.

    Apart from that neighbour it would only make copies; all that could speak for it is memory.
    """
    while True:
        leaf, neighbour, _ = only_neighbours(items)
        free = items.seconds[:, leaf].max(axis=0) <= 0
        label = np.arange(len(items))
        label[leaf[free]] = neighbour[free]
        fewer = merge(items, label)
        if fewer is items:
            return items
        items = fewer


def merge_heavy(items: Items, bound: float) -> Items:
    """The pins of a net that no plan of a largest load below `bound` cuts are merged.

    With a single host at most, somebody pays for every cut.
    """
    if (items.pays == 0).sum() > 1:
        return items
    while True:
        label = np.arange(len(items))
        for net in np.flatnonzero(items.copy >= bound).tolist():
            first, *others = items.pins[items.start[net] : items.start[net + 1]].tolist()
            for pin in others:
                a, b = _root(label, pin), _root(label, first)
                label[max(a, b)] = min(a, b)
        for one in range(len(label)):
            label[one] = label[label[one]]
        fewer = merge(items, label)
        if fewer is items:
            return items
        items = fewer  # nets that have become alike add up


def _root(label: Ints, one: int) -> int:
    while label[one] != one:
        one = int(label[one])
    return one
