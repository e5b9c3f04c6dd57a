"""Clusters of units that exchange much, ever fewer of them: what is placed as a whole at first.

Heavy edges are contracted, round after round, each of which halves the clusters at most (Karypis
and Kumar, "A fast and high quality multilevel scheme for partitioning irregular graphs", SIAM
Journal on Scientific Computing 20(1), 1998). A cluster lies on one device in the plan that was
given, some device can run all of it, and it is not much larger than the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from acumen.placement.graph import Bools, Floats, Ints
from acumen.placement.plan import Task
from acumen.placement.planners.lists import mean_copies
from acumen.placement.planners.units import Units

_SIZE_MAX = 2.5
"""How many times as large as the mean a cluster may be."""


@dataclass(frozen=True)
class Flow:
    """What clusters exchange: k ordered pairs that differ.

    Attributes:
        source: who makes tensors; shape (k,).
        target: who reads them; shape (k,).
        seconds: that copying all of them would take; shape (k,).
    """

    source: Ints
    target: Ints
    seconds: Floats

    def between(self, of: Ints) -> Flow:
        """The same for larger clusters: `of` says which each of today's belongs to."""
        return _flow(of[self.source], of[self.target], self.seconds)


def flow_of(task: Task, of: Ints) -> Flow:
    """What clusters of operators exchange; a tensor counts once for each cluster that reads it.

    Args:
        task: whose graph.
        of: the cluster of each operator; shape (n,).
    """
    tensors = task.graph.tensors
    reads = tensors.reads.astype(np.int64)
    count = int(of.max()) + 1
    key = np.unique(reads * count + of[tensors.consumers])
    tensor, target = key // count, key % count
    return _flow(of[tensors.producer[tensor]], target, mean_copies(task)[tensor])


def _flow(source: Ints, target: Ints, seconds: Floats) -> Flow:
    apart = source != target
    source, target = source[apart].astype(np.int64), target[apart].astype(np.int64)
    count = int(max(source.max(initial=0), target.max(initial=0))) + 1
    pairs, which = np.unique(source * count + target, return_inverse=True)
    total = np.bincount(which, seconds[apart], len(pairs)).astype(np.float64)
    return Flow(pairs // count, pairs % count, total)


def coarsen(
    task: Task,
    units: Units,
    device: npt.NDArray[np.integer],
    counts: Sequence[int],
    draw: np.random.Generator,
) -> list[Ints]:
    """For each of `counts` the cluster of each unit; shape (u,) each.

    Args:
        task: what is placed.
        units: of the task.
        device: where each unit is in a plan; what lies apart stays apart; shape (u,).
        counts: about how many clusters there may be, descending; there are more where they cannot
            be merged.
        draw: makes clusters differ from time to time.

    Returns:
        Clusters, each of which lies within one of the next element's.
    """
    size = _sizes(units)
    able = np.isfinite(units.seconds).T
    flow = flow_of(task, units.of.astype(np.int64))
    of = np.arange(len(units), dtype=np.int64)
    found = []
    for count in counts:
        while len(size) > count:
            target = max(count, len(size) // 2)
            merged = _merged(flow, size, able, np.asarray(device), target, draw)
            last = int(merged.max()) + 1
            if last == len(size):
                break
            of, flow = merged[of], flow.between(merged)
            size = np.bincount(merged, size, last).astype(np.float64)
            able = _all_able(able, merged, last)
            device = _first_of(np.asarray(device), merged, last)
        found.append(of)
    return found


def _sizes(units: Units) -> Floats:
    """Of units, adding up to 1: mostly time, and a little for each, so that they stay countable."""
    finite = np.isfinite(units.seconds)
    work = np.where(finite, units.seconds, 0.0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
    total = float(work.sum())
    share = work / total if total > 0.0 else np.zeros(len(work))
    sizes: Floats = 0.8 * share + 0.2 / len(work)
    return sizes


def _all_able(able: Bools, merged: Ints, count: int) -> Bools:
    unable = np.zeros((count, able.shape[1]), np.int64)
    np.add.at(unable, merged, ~able)
    able_too: Bools = unable == 0
    return able_too


def _first_of(values: npt.NDArray[np.integer], merged: Ints, count: int) -> Ints:
    first = np.empty(count, np.int64)
    first[merged] = values
    return first


def _merged(
    flow: Flow,
    size: Floats,
    able: Bools,
    device: npt.NDArray[np.integer],
    target: int,
    draw: np.random.Generator,
) -> Ints:
    """One round: the new number of each cluster."""
    count = len(size)
    limit = _SIZE_MAX * float(size.sum()) / target
    parent, sizes = list(range(count)), size.tolist()
    picky = not able.all()
    masks = [frozenset(np.flatnonzero(row).tolist()) for row in able] if picky else []

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    def merge(one: int, other: int) -> bool:
        one, other = root(one), root(other)
        if one == other or sizes[one] + sizes[other] > limit:
            return False
        if picky:
            both = masks[one] & masks[other]
            if not both:
                return False
            masks[one] = both
        parent[other] = one
        sizes[one] += sizes[other]
        return True

    together = device[flow.source] == device[flow.target]
    a, b = flow.source[together], flow.target[together]
    # What exchanges much for its size first; else the largest clusters would only grow.
    heavy = flow.seconds[together] / (size[a] + size[b]) * draw.uniform(0.7, 1.0, len(a))
    rank = np.argsort(-heavy, kind="stable")
    for one, other in zip(a[rank].tolist(), b[rank].tolist(), strict=True):
        if count <= target:
            break
        count -= merge(one, other)
    if count > target:  # what hangs together no longer: neighbours in the order
        for one, other in pairwise(np.argsort(device, kind="stable").tolist()):
            if count > target and device[one] == device[other]:
                count -= merge(one, other)
    roots = np.array([root(one) for one in range(len(size))], np.int64)
    # Numbered by their first members, as units are.
    first = np.full(len(size), len(size))
    np.minimum.at(first, roots, np.arange(len(size)))
    _, numbers = np.unique(first[roots], return_inverse=True)
    return np.asarray(numbers, np.int64)
