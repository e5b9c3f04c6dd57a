"""A graph cut into pieces that are placed one after the other, and what speaks for each device.

A piece is a unit or, in large graphs, units that lie together in a given plan and exchange much.
Features are shares and ratios, so that what they say holds in other graphs, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from acumen.placement.graph import Indices
from acumen.placement.plan import Plan, Task
from acumen.placement.planners.lists import Lists, mean_copies, ranked
from acumen.placement.planners.units import NO_LIMIT, Units, units_of

PIECES_MAX = 300
FEATURES = (
    "slower",  # than on the best device, as a share of the time there
    "load",  # above the least loaded device's, as a share of the ideal load
    "share",  # of the ideal load that the device would have by then
    "later",  # its end, after the earliest one possible: from 0 to 1
    "earliest",  # whether it ends earliest here
    "critical",  # by how much it makes the step longer, as a share of the ideal load
    "away",  # the share of what it exchanges with placed pieces that is to be copied
    "near",  # whether most of that is here
    "full",  # the share of the device's memory that would be resident
    "previous",  # whether the piece before was put here
    "empty",  # whether nothing is here yet
    "first",  # whether it is the first of the empty ones
)
CONTEXT = ("progress", "size", "talk")
Rows = list[list[float]]


@dataclass(frozen=True)
class Pieces:
    """What is to be placed, in order: p pieces.

    Attributes:
        of: the piece of each operator; shape (n,).
        seconds: on each device; infinite where it cannot run; p rows of d.
        resident: bytes that each keeps.
        limits: bytes that each device holds; `NO_LIMIT`: unknown.
        before: of each piece those placed earlier that it exchanges tensors with: the piece, the
            seconds a copy takes, and whether it waits for it.
        tail: seconds from each piece's end to the step's end at least, at mean costs.
        ideal: seconds of all pieces where they are quickest, divided by the devices.
        priority: of operators, for plans; shape (n,).
    """

    of: Indices
    seconds: list[list[float]]
    resident: list[int]
    limits: list[int]
    before: list[list[tuple[int, float, bool]]]
    tail: list[float]
    ideal: float
    priority: Indices | None

    def __len__(self) -> int:
        return len(self.seconds)

    def plan(self, devices: list[int]) -> Plan:
        """The plan that puts each piece on its device."""
        return Plan(np.array(devices, np.int32)[self.of], self.priority)

    def devices(self, plan: Plan) -> list[int]:
        """The device of each piece in a plan that does not divide pieces."""
        devices = np.empty(len(self), np.int64)
        devices[self.of] = plan.device
        found: list[int] = devices.tolist()
        return found


def cut(task: Task, teacher: Plan, pieces_max: int = PIECES_MAX) -> Pieces:
    """The task's pieces, by descending upward rank.

    Args:
        task: what is placed.
        teacher: a plan that keeps groups together; what lies apart in it stays apart.
        pieces_max: how many there may be about.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """
    units = units_of(task)
    lists = Lists(task, units=units)
    place = ranked(lists.order())
    merged = _merged(task, units, place, teacher, pieces_max)[units.of]
    count = int(merged.max()) + 1
    first = np.full(count, len(place))
    np.minimum.at(first, merged, place)
    of = ranked(np.argsort(first).astype(np.int32))[merged].astype(np.int32)

    seconds = np.zeros((count, len(task.cluster)))
    np.add.at(seconds, of, task.seconds().T)
    resident = np.zeros(count, np.int64)
    np.add.at(resident, of, task.graph.resident_bytes)
    # From the end of a piece on: the longest way from any of its operators' ends.
    tail = np.zeros(count)
    np.maximum.at(tail, of, lists.upward_ranks() - lists.mean_seconds)
    best = seconds.min(axis=1)
    return Pieces(
        of,
        seconds.tolist(),
        resident.tolist(),
        units.limit_bytes.tolist(),
        _before(task, of, count),
        tail.tolist(),
        max(float(best[np.isfinite(best)].sum()) / len(task.cluster), 1e-30),
        place if teacher.priority is None else teacher.priority,
    )


def _before(task: Task, of: Indices, count: int) -> list[list[tuple[int, float, bool]]]:
    """What each piece exchanges with earlier ones; a tensor counts once for all who read it."""
    tensors = task.graph.tensors
    made, read = of[tensors.producer[tensors.reads]], of[tensors.consumers]
    apart = made != read
    triples = np.column_stack([tensors.reads[apart], made[apart], read[apart]])
    triples = np.unique(triples, axis=0)
    copies = mean_copies(task).tolist()
    sums: dict[tuple[int, int], list[float]] = {}
    for tensor, maker, reader in triples.tolist():
        pair = sums.setdefault((max(maker, reader), min(maker, reader)), [0.0, 0.0])
        pair[0] += copies[tensor]
        pair[1] += maker < reader
    before: list[list[tuple[int, float, bool]]] = [[] for _ in range(count)]
    for (later, earlier), (cost, waits) in sums.items():
        before[later].append((earlier, cost, waits > 0))
    return before


def _merged(task: Task, units: Units, place: Indices, teacher: Plan, pieces_max: int) -> Indices:
    """The piece of each unit: what exchanges most is merged first, as long as it stays small."""
    count = len(units)
    if count <= pieces_max:
        return np.arange(count, dtype=np.int32)
    where = np.empty(count, np.int64)
    where[units.of] = teacher.device
    weight = units.seconds[where, np.arange(count)]
    limit = 2.0 * float(weight[np.isfinite(weight)].sum()) / pieces_max
    size, parent = weight.tolist(), list(range(count))

    def root(unit: int) -> int:
        while parent[unit] != unit:
            parent[unit] = parent[parent[unit]]
            unit = parent[unit]
        return unit

    def merge(one: int, other: int, limit: float) -> bool:
        one, other = root(one), root(other)
        if one == other or size[one] + size[other] > limit:
            return False
        parent[other] = one
        size[one] += size[other]
        return True

    tensors = task.graph.tensors
    a, b = units.of[tensors.producer[tensors.reads]], units.of[tensors.consumers]
    cost = mean_copies(task)[tensors.reads]
    for edge in np.argsort(-cost, kind="stable").tolist():
        if count > pieces_max and where[a[edge]] == where[b[edge]]:
            count -= merge(int(a[edge]), int(b[edge]), limit)
    if count > pieces_max:  # what hangs together no longer: neighbours in the order
        first = np.full(len(units), len(place))
        np.minimum.at(first, units.of, place)
        order = np.lexsort((first, where)).tolist()
        for one, other in pairwise(order):
            if count > pieces_max and where[one] == where[other]:
                count -= merge(one, other, limit)
    roots = np.array([root(unit) for unit in range(len(units))])
    return np.unique(roots, return_inverse=True)[1].astype(np.int32)


class Walk:
    """Where the pieces placed so far are, and when they would end: a list schedule in the making.

    Args:
        pieces: all of them, none placed yet.
    """

    def __init__(self, pieces: Pieces) -> None:
        devices = len(pieces.limits)
        self._pieces = pieces
        self.devices: list[int] = []
        self._end: list[float] = []
        self._load = [0.0] * devices
        self._free = [0.0] * devices
        self._held = [0] * devices
        self._span = 0.0
        self._starts = [0.0] * devices

    def offers(self) -> tuple[list[float], list[int], Rows]:
        """The next piece's context, the devices that can take it, and a row of features for each.

        Devices that are too small are offered only where all are.
        """
        pieces, number = self._pieces, len(self.devices)
        seconds, resident = pieces.seconds[number], pieces.resident[number]
        able = [j for j, one in enumerate(seconds) if one < np.inf]
        fits = [j for j in able if self._held[j] + resident <= pieces.limits[j]]
        able = fits or able
        best = min(seconds[j] for j in able)
        near, ready, talk = self._exchange(number)
        ends = {j: max(ready[j], self._free[j]) + seconds[j] for j in able}
        earliest, least = min(ends.values()), min(self._load[j] + seconds[j] for j in able)
        ideal, tail = pieces.ideal, pieces.tail[number]
        most = max(near)
        previous = self.devices[-1] if number else -1
        empty, rows = True, []
        for j in able:
            load, late, limit = self._load[j] + seconds[j], ends[j] - earliest, pieces.limits[j]
            unused = self._load[j] == 0.0 and self._held[j] == 0
            rows.append(
                [
                    (seconds[j] - best) / (seconds[j] or 1.0),
                    (load - least) / ideal,
                    load / ideal,
                    late / (late + best + talk) if late > 0.0 else 0.0,
                    float(late <= 0.0),
                    max(0.0, ends[j] + tail - max(self._span, earliest + tail)) / ideal,
                    1.0 - near[j] / talk if talk > 0.0 else 0.0,
                    float(0.0 < near[j] == most),
                    0.0 if limit == NO_LIMIT else (self._held[j] + resident) / max(limit, 1),
                    float(j == previous),
                    float(unused),
                    float(unused and empty),
                ]
            )
            empty = empty and not unused
        self._starts = ready
        size = best / ideal
        context = [number / len(pieces), size / (size + 0.01), talk / (talk + best or 1.0)]
        return context, able, rows

    def _exchange(self, number: int) -> tuple[list[float], list[float], float]:
        """What is near on each device, when its inputs are there, and all that it exchanges."""
        d = len(self._load)
        near, here, away, talk = [0.0] * d, [0.0] * d, [0.0] * d, 0.0
        for other, cost, waits in self._pieces.before[number]:
            at = self.devices[other]
            near[at] += cost
            talk += cost
            if waits:
                end = self._end[other]
                here[at] = max(here[at], end)
                away[at] = max(away[at], end + cost)
        top = max(range(d), key=away.__getitem__)
        second = max((away[j] for j in range(d) if j != top), default=0.0)
        ready = [max(here[j], second if j == top else away[top]) for j in range(d)]
        return near, ready, talk

    def put(self, device: int) -> None:
        """Places the piece that `offers` has just described."""
        number = len(self.devices)
        seconds = self._pieces.seconds[number][device]
        end = max(self._starts[device], self._free[device]) + seconds
        self.devices.append(device)
        self._end.append(end)
        self._free[device] = end
        self._load[device] += seconds
        self._held[device] += self._pieces.resident[number]
        self._span = max(self._span, end + self._pieces.tail[number])
