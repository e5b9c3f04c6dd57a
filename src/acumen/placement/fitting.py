"""What would fit, where nothing does: how much memory a device, or how many such devices.

Each answer is two numbers. Less than the first never fits, for a reason that holds for every plan;
the second does fit, for a plan was found that needs no more. Between them nothing is known.

The devices whose memory or number is varied are the accelerators that have a limit, or all devices
with a limit if no accelerator has one. The reasons are
those of `acumen.placement.memory_bound`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from acumen.placement.cluster import Cluster, Device
from acumen.placement.loads import HOST_KIND, score
from acumen.placement.memory_bound import MemoryBound, with_memory
from acumen.placement.plan import Deadline, Plan, PlanError, Score, Task
from acumen.placement.planners import layers, metf
from acumen.placement.planners.units import units_of
from acumen.placement.simulator import Simulator

COUNT_MAX = 128
CHANNELS_MAX = 32_000
CLOSE = 1.01
"""The search for less memory ends at so many times the bound."""


@dataclass(frozen=True)
class Fit:
    """What would fit.

    Attributes:
        devices: the numbers of the devices that are varied.
        memory_bytes: what each of them holds.
        least_bytes: with as many devices, less a device never fits.
        enough: a plan that fits if they hold `enough_bytes`; None: none was found.
        enough_bytes: so much a device fits; None: see `enough`.
        score: what that plan is worth with the memory there is; None: see `enough`.
        least_count: with the memory they have, fewer never fit; None: no number does.
        enough_count: so many fit; None: no plan was found.
        widest: the operator that needs most by itself, and how much; it needs more than a device
            has where `least_count` is None.
        pinned_bytes: what pins have on one of the devices.
        pins: with which pins that is so, as `Task.with_pins` says it.
    """

    devices: tuple[int, ...]
    memory_bytes: int
    least_bytes: int
    enough: Plan | None
    enough_bytes: int | None
    score: Score | None
    least_count: int | None
    enough_count: int | None
    widest: tuple[str, int]
    pinned_bytes: int = 0
    pins: str = ""

    def sentence(self, cluster: Cluster) -> str:
        """One line for a person."""
        name, many = cluster.devices[self.devices[0]].name, len(self.devices)
        what, each = (name, "") if many == 1 else (f"{many} devices like {name}", " each")
        proven = self.least_bytes > self.memory_bytes
        said = (
            f"{'no plan fits' if proven else 'no plan was found that fits'} on {what} of "
            f"{_amount(self.memory_bytes)}{each}{self.pins}: "
        )
        said += _both(
            None if self.enough_bytes is None else f"{_amount(self.enough_bytes, up=True)}{each}",
            f"{_amount(self.least_bytes)}{each}",
            "less",
            self.enough_bytes == self.least_bytes,
        )
        if self.least_count is None:
            widest, needed = self.widest
            why = ""
            if needed > self.memory_bytes:
                why = f", for operator {widest!r} alone needs {_amount(needed, up=True)}"
            elif self.pinned_bytes > self.memory_bytes:
                why = f", for pins keep {_amount(self.pinned_bytes, up=True)} on one of them"
            return f"{said}; more devices do not help{why}"
        count = None if self.enough_count is None else f"{self.enough_count} devices"
        exact = self.enough_count == self.least_count
        return f"{said}; of this size {_both(count, f'{self.least_count}', 'fewer', exact)}"


def _both(enough: str | None, least: str, fewer: str, exact: bool) -> str:
    if enough is None:
        return f"{fewer} than {least} never fits"
    return f"{enough} are enough" + (
        f", {fewer} never fits" if exact else f", {fewer} than {least} never fits"
    )


def fitting(task: Task, deadline: Deadline, known: Plan | None = None) -> Fit | None:
    """What would fit where `task` does not.

    Args:
        task: what is placed.
        deadline: until when to look for plans; one of each kind is tried whatever it is.
        known: the best plan so far, which tells how much would be enough, too.

    Returns:
        None: no device has a limit.

    Raises:
        PlanError: there is no plan for other reasons than memory.
    """
    devices = _varied(task.cluster)
    if not devices:
        return None
    units_of(with_memory(task, devices, None))  # whether the others are large enough
    bounds = MemoryBound.of(task, devices)
    memory = min(task.cluster.devices[one].memory_bytes or 0 for one in devices)
    least = bounds.memory(len(devices))
    half = Deadline.after(deadline.left / 2)
    enough, needs = _enough_memory(task, devices, least, half, known)
    count = bounds.count(memory)
    found = None if count is None else _enough_devices(task, devices, count, deadline)
    worth = None if enough is None else _scorer(task)(enough)
    return Fit(
        devices, memory, least, enough, needs, worth, count, found, bounds.widest, bounds.pinned,
        task.with_pins,
    )  # fmt: skip


def _varied(cluster: Cluster) -> tuple[int, ...]:
    limited = [i for i, one in enumerate(cluster.devices) if one.memory_bytes is not None]
    chosen = [i for i in limited if cluster.devices[i].kind != HOST_KIND] or limited
    # Of one kind only, so that "more of them" means something: the most frequent one.
    kinds = [cluster.devices[i].kind for i in chosen]
    most = max(dict.fromkeys(kinds), key=kinds.count) if kinds else None
    return tuple(i for i in chosen if cluster.devices[i].kind == most)


def _scorer(task: Task) -> Callable[[Plan], Score]:
    return partial(score, task) if task.objective == "throughput" else Simulator(task).score


def _attempts(task: Task) -> Iterator[tuple[Plan, Score]]:
    """Plans that spread memory, and what each is worth."""
    worth = _scorer(task)
    free = with_memory(task, (), None, every=True)
    graph = task.graph
    made = np.zeros(len(graph), np.int64)
    np.add.at(made, graph.tensors.producer, graph.tensors.size_bytes)
    tries = [(layers.plan, task), (metf.plan, task)]
    # Stretches of layers that are as even in bytes as they are otherwise in time.
    for held in (graph.resident_bytes + made, graph.resident_bytes):
        costs = {
            kind: np.where(np.isfinite(column), held.astype(np.float64), np.inf)
            for kind, column in graph.seconds.items()
        }
        tries.append((layers.plan, replace(free, graph=replace(graph, seconds=costs))))
    for planner, asked in tries:
        try:
            for plan in planner(asked, Deadline.after(0.0), 0):
                yield plan, worth(plan)
        except PlanError:  # what does not fit is what is asked here
            continue


def _enough_memory(
    task: Task, devices: tuple[int, ...], least: int, deadline: Deadline, known: Plan | None
) -> tuple[Plan | None, int | None]:
    """A plan that needs as little memory on each device as is found in time, and how much."""
    found: Plan | None = None
    best: int | None = None

    def take(plan: Plan, worth: Score) -> None:
        nonlocal found, best
        held = worth.memory_bytes
        fits = all(
            one.memory_bytes is None or i in devices or held[i] <= one.memory_bytes
            for i, one in enumerate(task.cluster.devices)
        )
        most = max(int(held[i]) for i in devices)
        if fits and np.isfinite(worth.seconds) and (best is None or most < best):
            found, best = plan, most

    if known is not None:
        take(known, _scorer(task)(known))
    for memory in (None, least):
        for plan, worth in _attempts(with_memory(task, devices, memory)):
            take(plan, worth)
    low = least
    while best is not None and best > low * CLOSE and deadline:
        middle = (low + best) // 2
        for plan, worth in _attempts(with_memory(task, devices, middle)):
            take(plan, worth)
        if best > middle:
            low = middle + 1
    return found, best


def _enough_devices(
    task: Task, devices: tuple[int, ...], count: int, deadline: Deadline
) -> int | None:
    """How many devices are enough, as few as are found in time, from `count` on."""
    more, there = task, len(devices)
    count, last = max(count, there), False
    while count <= COUNT_MAX:
        while there < count:
            if not 0 < len(more.cluster.channels) < CHANNELS_MAX:
                return None
            more = replace(more, cluster=with_another(more.cluster, devices))
            there += 1
        for _, worth in _attempts(more):
            if worth.excess_bytes == 0 and np.isfinite(worth.seconds):
                return count
        if last:
            return None
        last = not deadline  # then one that is likely to be enough
        count += count if last else max(1, count // 8)
    return None


def with_another(cluster: Cluster, devices: tuple[int, ...]) -> Cluster:
    """One more device like the last of `devices`, connected as that one is.

    A channel that only that one has is there again for the new one; others are shared.
    """
    like, d, route = devices[-1], len(cluster), cluster.route
    channels = list(cluster.channels)
    apart = ~np.eye(d, dtype=np.bool_)
    own: dict[tuple[int, int], int] = {}

    def again(other: int, sends: bool) -> int:
        there = peer if other == like else other
        channel = int(route[like, there] if sends else route[there, like])
        line = np.zeros((d, d), np.bool_)
        line[(like, slice(None)) if sends else (slice(None), like)] = True
        if (route[apart & ~line] == channel).any():
            return channel
        # A link for each peer is one for each again; what leads to several still does.
        lone = int((route[apart & line] == channel).sum()) == 1
        key = (channel, other if lone else -1)
        if key not in own:
            own[key] = len(channels)
            channels.append(cluster.channels[channel])
        return own[key]

    peers = [*devices[:-1], *(i for i in range(d) if i != like), like]
    peer = peers[0]
    fresh = np.zeros((d + 1, d + 1), np.int16)
    fresh[:d, :d] = route
    for other in range(d):
        fresh[d, other] = again(other, sends=True)
    own.clear()
    for other in range(d):
        fresh[other, d] = again(other, sends=False)
    one = cluster.devices[like]
    names = {device.name for device in cluster.devices}
    family, number = one.name.partition(":")[0], d
    while f"{family}:{number}" in names:
        number += 1
    added = Device(f"{family}:{number}", one.kind, one.memory_bytes)
    return Cluster([*cluster.devices, added], channels, fresh)


def _amount(count: int, up: bool = False) -> str:
    """Rounded so that "enough" stays enough."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            hundredths = count * 100 // size if not up else -(-count * 100 // size)
            return f"{hundredths / 100:,.2f} {unit}"
    return f"{count:,} bytes"
