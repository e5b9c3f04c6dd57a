"""Parts of equal work with as few bytes as possible between them (METIS, through pymetis).

Karypis and Kumar, "A fast and high quality multilevel scheme for partitioning irregular graphs",
SIAM Journal on Scientific Computing 20(1), 1998. What runs when is not looked at. pymetis is
optional: the extra `placement`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from acumen.placement.graph import Floats, Ints
from acumen.placement.plan import Deadline, Plan, PlanError, Task
from acumen.placement.planners.lists import mean_copies
from acumen.placement.planners.units import NO_LIMIT, Units, units_of

# METIS counts in integers of 32 bits, sums included.
_WEIGHTS_MAX = 1_000_000_000


def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """A plan over all devices, then plans over fewer of them.

    A part's share of the work is as large as its device is quick. A part that is too large for its
    device, or cannot run there, gives units away to where there is room.

    Raises:
        PlanError: there is no plan, see `units_of`; or pymetis is not installed.
    """
    units = units_of(task)
    able = np.isfinite(units.seconds)
    quickest = units.seconds.min(axis=0)
    speed = np.where(able, quickest / np.maximum(units.seconds, 1e-300), 0.0)
    speed[able & (quickest == 0.0)] = 1.0
    speeds = speed.mean(axis=1)
    order = np.argsort(-speeds, kind="stable")
    starts, ends, weights = _adjacency(task, units)
    # METIS complains, on the screen, of parts that it finds no units for.
    for count in range(min(units.devices, len(units) // 2), 1, -1):
        if not deadline:
            return
        chosen = order[:count]
        share = np.maximum(speeds[chosen], 1e-3)
        part = _parts(starts, ends, weights, quickest, share / share.sum(), seed)
        device = chosen[part]
        _make_room(device, units)
        yield Plan(device[units.of].astype(np.int32))


def _adjacency(task: Task, units: Units) -> tuple[Ints, Ints, Floats]:
    """The neighbours of each unit as compressed rows, and the seconds of copies between them."""
    sources, targets = (units.of[end].astype(np.int64) for end in task.graph.edges)
    cost = mean_copies(task)[task.graph.tensors.reads]
    apart = sources != targets
    low = np.minimum(sources, targets)[apart]
    high = np.maximum(sources, targets)[apart]
    pairs, which = np.unique(low * len(units) + high, return_inverse=True)
    weight = np.bincount(which, cost[apart], len(pairs))
    low, high = pairs // len(units), pairs % len(units)
    ends = np.concatenate([low, high])
    rank = np.argsort(ends, kind="stable")
    starts = np.searchsorted(ends[rank], np.arange(len(units) + 1))
    return starts, np.concatenate([high, low])[rank], np.concatenate([weight, weight])[rank]


def _parts(
    starts: Ints, ends: Ints, weights: Floats, work: Floats, share: Floats, seed: int
) -> Ints:
    try:
        import pymetis
    except ImportError as error:
        raise PlanError("pymetis is not installed: pip install 'acumen[placement]'") from error
    _, part = pymetis.part_graph(
        len(share),
        pymetis.CSRAdjacency(starts.tolist(), ends.tolist()),
        vweights=_whole(work, 0).tolist(),
        eweights=_whole(weights, 1).tolist(),
        tpwgts=share.tolist(),
        options=pymetis.Options(seed=seed % 2**31),
    )
    return np.asarray(part, np.int64)


def _whole(values: Floats, least: int) -> Ints:
    total = float(values.sum())
    scale = _WEIGHTS_MAX / total if total > 0.0 else 0.0
    return np.maximum((values * scale).astype(np.int64), least)


def _make_room(device: Ints, units: Units) -> None:
    """Moves units, the largest first, off devices that cannot run or hold them."""
    held = units.resident_bytes + units.made_bytes
    able = np.isfinite(units.seconds)
    free = [
        limit if limit == NO_LIMIT else limit - int(held[device == number].sum())
        for number, limit in enumerate(units.limit_bytes.tolist())
    ]
    for unit in np.argsort(-held, kind="stable").tolist():
        here, size = int(device[unit]), int(held[unit])
        runs = bool(able[here, unit])
        if runs and free[here] >= 0:
            continue
        there = max(np.flatnonzero(able[:, unit]).tolist(), key=free.__getitem__)
        if runs and free[there] < size:
            continue
        free[here] += size
        free[there] -= size
        device[unit] = there
