"""What a picture of a step shows: boxes on lanes, and for each device a curve of its memory.

A step of 80,000 operators has more boxes than a screen has dots, and than a page should hold. So
neighbours that are too short to be told apart are drawn as one box, which says how many they are
and for how much of its length something runs. Nothing that is longer than `Picture.tolerance` is
merged, and no box that was merged is longer than twice that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from acumen.placement.graph import Bools, Floats, Ints
from acumen.placement.plan import Plan, Task
from acumen.placement.simulator import Timeline
from acumen.placement.trace import memory

BOXES_MAX = 20_000
POINTS_MAX = 2_000


@dataclass(frozen=True)
class Lane:
    """What one device computes, or what one device sends over one channel, in the order of time.

    Attributes:
        device: whose lane it is: who computes or sends.
        kind: "compute" or "copies".
        label: "compute", or to whom is copied.
        start: of each item, in seconds; shape (k,).
        end: of each item; shape (k,).
        item: the operator, or the number of the copy in the timeline; shape (k,).
    """

    device: int
    kind: Literal["compute", "copies"]
    label: str
    start: Floats
    end: Floats
    item: Ints


@dataclass(frozen=True)
class Boxes:
    """A lane as it is drawn: b boxes.

    Attributes:
        lane: what it is made of.
        first: box i stands for the lane's items from `first[i]` up to `first[i + 1]`; shape
            (b + 1,).
        longest: the lane's item that takes longest in each; shape (b,).
        busy: for how long something runs in each, in seconds; shape (b,).
    """

    lane: Lane
    first: Ints
    longest: Ints
    busy: Floats

    def __len__(self) -> int:
        return len(self.longest)


@dataclass(frozen=True)
class Picture:
    """A step as it is drawn.

    Attributes:
        seconds: of the whole step.
        boxes: a lane each, by device: what it computes, then what it sends.
        tolerance: nothing longer was merged, in seconds; 0: nothing was.
        merged: how many operators and copies are drawn together with others.
        curves: of each device from when on it holds how many bytes; shape (p,) each.
        coarse: curves show the most that is held in each `POINTS_MAX`-th of the step.
    """

    seconds: float
    boxes: list[Boxes]
    tolerance: float
    merged: int
    curves: list[tuple[Floats, Ints]]
    coarse: bool


def picture(task: Task, plan: Plan, timeline: Timeline, boxes_max: int = BOXES_MAX) -> Picture:
    """A step as it is drawn, with at most so many boxes, but two for each lane at least.

    Raises:
        ValueError: some operators never run.
    """
    if not np.isfinite(timeline.end).all():
        raise ValueError("some operators never run with this plan: there is nothing to show")
    seconds = float(timeline.end.max())
    found = list(lanes(task, plan, timeline))
    tolerance = 0.0
    boxes = [merge(lane, tolerance) for lane in found]
    while sum(map(len, boxes)) > max(boxes_max, 2 * len(found)) and tolerance < seconds:
        tolerance = tolerance * 2 or seconds / 2**22
        boxes = [merge(lane, tolerance) for lane in found]
    sizes = np.concatenate([np.diff(one.first) for one in boxes])
    curves = memory(task, plan, timeline)
    coarse = any(len(times) > POINTS_MAX for times, _ in curves)
    return Picture(
        seconds,
        boxes,
        tolerance,
        int(sizes[sizes > 1].sum()),
        [_envelope(times, held, seconds) for times, held in curves],
        coarse,
    )


def lanes(task: Task, plan: Plan, timeline: Timeline) -> Iterator[Lane]:
    """All lanes on which something is, by device; the copies of a bus lie with their senders."""
    cluster, copies = task.cluster, timeline.copies
    channel = cluster.route[copies.source, copies.destination]
    for number in range(len(cluster)):
        mine = np.flatnonzero(plan.device == number)
        yield _lane(number, "compute", "compute", timeline.start, timeline.end, mine)
        sent = copies.source == number
        for one in np.unique(channel[sent]):
            mine = np.flatnonzero(sent & (channel == one))
            targets = np.unique(copies.destination[mine]).tolist()
            names = [cluster.devices[target].name for target in targets]
            label = f"to {names[0]}" if len(names) == 1 else f"to {len(names)} devices"
            yield _lane(number, "copies", label, copies.start, copies.end, mine)


def _lane(
    device: int,
    kind: Literal["compute", "copies"],
    label: str,
    start: Floats,
    end: Floats,
    items: Ints,
) -> Lane:
    order = items[np.lexsort((end[items], start[items]))]
    return Lane(device, kind, label, start[order], end[order], order)


def merge(lane: Lane, tolerance: float) -> Boxes:
    """A lane's boxes, if what is shorter than `tolerance` may be merged, and what is longer not.

    Neighbours are merged if they begin in the same stretch of that length. With a tolerance of 0
    each item is a box.
    """
    k = len(lane.item)
    length = lane.end - lane.start
    apart: Bools = np.ones(k, np.bool_)
    if tolerance > 0.0 and k:
        long = length >= tolerance
        stretch = np.floor(lane.start / tolerance)
        apart[1:] = long[1:] | long[:-1] | (stretch[1:] != stretch[:-1])
    first = np.flatnonzero(apart)
    box = np.cumsum(apart) - 1
    # Of each box the last one by length: the longest.
    order = np.lexsort((length, box))
    longest = order[np.append(first[1:], k) - 1] if k else np.empty(0, np.int64)
    busy = np.bincount(box, length, len(first)).astype(np.float64)
    return Boxes(lane, np.append(first, k), longest, busy)


def _envelope(times: Floats, held: Ints, seconds: float) -> tuple[Floats, Ints]:
    """The curve, or if it has too many points the most that is held in each part of the step."""
    if len(times) > POINTS_MAX:
        edges: Floats = np.linspace(0.0, seconds, POINTS_MAX, endpoint=False)
        before = np.maximum(np.searchsorted(times, edges, side="right") - 1, 0)
        # In each part: what is held when it begins, and after each change until the next begins.
        top = np.maximum.reduceat(held, before)
        top[:-1] = np.maximum(top[:-1], held[before[1:]])
        times, held = edges, top
    changed = np.append(True, held[1:] != held[:-1])
    return times[changed], held[changed]
