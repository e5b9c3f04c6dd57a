"""What HEFT, m-ETF and m-SCT share: the native list scheduler of a task, and retries for memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from acumen._native import ListScheduler
from acumen.placement.graph import Floats, Indices, Ints
from acumen.placement.plan import Deadline, Plan, Task
from acumen.placement.planners.units import NO_LIMIT, Units, units_of

# A schedule counts bytes in the order in which it places; when it is run, other operators may be
# under way, and a device may hold more. So it is asked again to leave some of it free.
MARGINS = (1.0, 0.85, 0.7, 0.5)


@dataclass(frozen=True)
class Schedule:
    """When everything would run; seconds.

    Attributes:
        device: shape (n,).
        start: shape (n,).
        end: shape (n,).
        peak_bytes: the most that each device held while operators were placed; shape (d,).
    """

    device: Indices
    start: Floats
    end: Floats
    peak_bytes: Ints

    @property
    def seconds(self) -> float:
        """Until the last operator ends."""
        return float(self.end.max())


class Lists:
    """List schedules of a task.

    Args:
        task: what is placed.
        margin: the share of each device's memory that may be used.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """

    def __init__(self, task: Task, margin: float = 1.0, units: Units | None = None) -> None:
        self.units = units_of(task) if units is None else units
        graph, cluster, tensors = task.graph, task.cluster, task.graph.tensors
        table = task.seconds()
        limits = self.units.limit_bytes
        if margin < 1.0:
            limits = np.where(limits == NO_LIMIT, limits, (limits * margin).astype(np.int64))
        times = tensors.copy_seconds
        latency = np.array([one.latency_seconds for one in cluster.channels], np.float64)
        speed = np.array([one.bytes_per_second for one in cluster.channels], np.float64)
        self._native = ListScheduler(
            table.reshape(-1),
            np.ascontiguousarray(self.units.of, np.int32),
            self.units.resident_bytes,
            np.ascontiguousarray(tensors.producer, np.int32),
            np.ascontiguousarray(tensors.size_bytes, np.int64),
            np.ascontiguousarray(tensors.start, np.int64),
            np.ascontiguousarray(tensors.consumers, np.int32),
            np.empty(0) if times is None else np.ascontiguousarray(times, np.float64),
            latency,
            speed,
            np.ascontiguousarray(cluster.route, np.int16).reshape(-1),
            np.ascontiguousarray(limits, np.int64),
        )
        self.mean_seconds = _mean_seconds(table)
        self.mean_copies = mean_copies(task)
        self.topological = np.ascontiguousarray(graph.order, np.int32)

    def upward_ranks(self, seconds: Floats | None = None, copies: Floats | None = None) -> Floats:
        """From each operator's start to the end of all that depends on it; shape (n,).

        Args:
            seconds: of each operator; None: at mean costs; shape (n,).
            copies: of each tensor, to whoever reads it; None: at mean costs; shape (m,).
        """
        return self._native.upward_ranks(
            self.topological,
            self.mean_seconds if seconds is None else seconds,
            self.mean_copies if copies is None else copies,
        )

    def order(self) -> Indices:
        """The operators by descending upward rank, which is a topological order; shape (n,)."""
        position = np.empty(len(self.topological), np.int32)
        position[self.topological] = np.arange(len(position), dtype=np.int32)
        return np.lexsort((position, -self.upward_ranks())).astype(np.int32)

    def in_order(self, order: Indices, contention: bool) -> Schedule:
        """Each operator in turn where it ends first, in idle times between others too."""
        return Schedule(*self._native.in_order(order, contention))

    def earliest_first(self, order: Indices, favourite: Indices, contention: bool) -> Schedule:
        """The operator and the device that start first; `favourite`: of each operator, or empty."""
        return Schedule(*self._native.earliest_first(order, favourite, contention))


def plans(
    task: Task, deadline: Deadline, schedule: Callable[[Lists, bool], tuple[Schedule, Indices]]
) -> Iterator[Plan]:
    """Plans with copies that do not disturb each other, as in the papers, and with such that do.

    Args:
        task: what is placed.
        deadline: until when.
        schedule: makes a schedule, with contention or without, and the operators' order in it.
    """
    units = units_of(task)
    for margin in MARGINS:
        lists = Lists(task, margin, units)
        fullest = 0.0
        for contention in (False, True):
            made, order = schedule(lists, contention)
            yield Plan(made.device, ranked(order))
            fullest = max(fullest, _fullest(made.peak_bytes, units.limit_bytes))
            if not deadline:
                return
        if fullest <= MARGINS[-1]:  # less memory would change nothing
            return


def ranked(order: Indices) -> Indices:
    """The place of each operator in an order; shape (n,)."""
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return place


def mean_copies(task: Task) -> Floats:
    """How long copying each tensor takes, on average over all pairs of devices; shape (m,)."""
    tensors, cluster = task.graph.tensors, task.cluster
    if len(cluster) == 1:
        return np.zeros(len(tensors))
    if tensors.copy_seconds is not None:
        return np.ascontiguousarray(tensors.copy_seconds, np.float64)
    routes = cluster.route[~np.eye(len(cluster), dtype=np.bool_)]
    latency = np.array([one.latency_seconds for one in cluster.channels])[routes]
    per_byte = 1.0 / np.array([one.bytes_per_second for one in cluster.channels])[routes]
    return np.asarray(latency.mean() + tensors.size_bytes * per_byte.mean(), np.float64)


def _mean_seconds(table: Floats) -> Floats:
    able = np.isfinite(table)
    return np.asarray(np.where(able, table, 0.0).sum(axis=0) / able.sum(axis=0), np.float64)


def _fullest(peaks: Ints, limits: Ints) -> float:
    return max(
        (peak / max(limit, 1) for peak, limit in zip(peaks.tolist(), limits.tolist(), strict=True)),
        default=0.0,
    )
