"""The split that an expert makes: consecutive layers, as much work for each device.

The operators stand in topological order; what belongs to the backward pass stands with the forward
operator whose result it reads. Each device takes the next stretch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from acumen.placement.graph import NO_GROUP, Bools, Floats, Graph, Ints
from acumen.placement.plan import Deadline, Plan, Task
from acumen.placement.planners.units import Units, units_of

_BISECTIONS = 60


def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """One plan, of the quickest devices first; `deadline` and `seed` are not used.

    The slowest stretch is as quick as it can be. Devices are filled as if they held everything that
    is made on them to the end; if that is too much for them, as if only what is resident counted;
    and if even so there are no such stretches, memory is not looked at.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """
    units = units_of(task)
    # Units are numbered in the graph's order, and a block has the number of its first unit.
    host = _with_forward(task.graph, units)
    # What no device runs together stands by itself.
    together = np.stack([_sums(host, row, len(units)) for row in units.seconds])
    nowhere: Bools = np.isinf(together.min(axis=0))
    host = np.where(nowhere[host], np.arange(len(units)), host)
    _, block = np.unique(host, return_inverse=True)
    count = int(block.max()) + 1
    seconds = np.stack([_sums(block, row, count) for row in units.seconds])
    able = np.isfinite(seconds)
    finite = np.where(able, seconds, 0.0)
    quick_first = np.argsort(finite[:, able.all(axis=0)].sum(axis=1), kind="stable")
    kept = _sums(block, units.resident_bytes, count)
    made = _sums(block, units.made_bytes, count)
    limits = units.limit_bytes[quick_first].astype(np.float64)
    for held in (kept + made, kept, np.zeros(count)):
        ends = _stretches(finite[quick_first], held, limits)
        if ends is not None:
            stretch = np.searchsorted(ends, np.arange(count), side="right")
            device = quick_first[stretch]
            _elsewhere(device, seconds, able)
            yield Plan(device[block][units.of].astype(np.int32))
            return


def _sums(block: Ints, values: Floats | Ints, count: int) -> Floats:
    return np.bincount(block, values, count).astype(np.float64)


def _with_forward(graph: Graph, units: Units) -> Ints:
    """For each unit the one that it stands with; shape (u,)."""
    host = np.arange(len(units), dtype=np.int64)
    follows = graph.backward & (graph.group == NO_GROUP)
    if not follows.any():
        return host
    sources, targets = graph.edges
    rank = np.argsort(targets, kind="stable")
    start = np.searchsorted(targets[rank], np.arange(len(graph) + 1)).tolist()
    read = sources[rank].tolist()
    of, backward = units.of.tolist(), graph.backward.tolist()
    for operator in graph.order[follows[graph.order]].tolist():
        makers = read[start[operator] : start[operator + 1]]
        # The last one of the forward pass: the first ones may be inputs that everything reads.
        ahead = [of[one] for one in makers if not backward[one]] or [of[one] for one in makers]
        if ahead:
            host[of[operator]] = host[max(ahead)]
    return host


def _stretches(seconds: Floats, held: Floats, limits: Floats) -> Ints | None:
    """Where each device's stretch ends, the slowest one being as quick as it can be; shape (d,).

    None: whatever the stretches, devices are too small.
    """
    work = np.concatenate([np.zeros((len(seconds), 1)), seconds.cumsum(axis=1)], axis=1)
    load = np.concatenate([[0.0], held.cumsum()])

    def cut(slowest: float) -> Ints | None:
        ends, at = [], 0
        for row, limit in zip(work, limits, strict=True):
            fast = np.searchsorted(row, row[at] + slowest, side="right") - 1
            small = np.searchsorted(load, load[at] + limit, side="right") - 1
            at = max(at, min(int(fast), int(small)))
            ends.append(at)
        return np.array(ends) if at == len(held) else None

    low, high = 0.0, float(work[:, -1].max())
    best = cut(high)
    for _ in range(_BISECTIONS if best is not None else 0):
        middle = (low + high) / 2
        ends = cut(middle)
        if ends is None:
            low = middle
        else:
            best, high = ends, middle
    return best


def _elsewhere(device: Ints, seconds: Floats, able: Bools) -> None:
    """Blocks that their device cannot run go where there is least to do."""
    wrong = np.flatnonzero(~able[device, np.arange(len(device))])
    right = np.setdiff1d(np.arange(len(device)), wrong)
    work = _sums(device[right], seconds[device[right], right], len(seconds))
    for block in wrong.tolist():
        chosen = int(np.argmin(work + seconds[:, block]))
        device[block] = chosen
        work[chosen] += seconds[chosen, block]
