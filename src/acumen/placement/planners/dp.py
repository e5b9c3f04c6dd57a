"""The best contiguous split of a pipeline, by dynamic programming over ideals.

First over a few topological orders, which gives good splits at once (the linearised program); then
over all ideals of the graph, as long as there are not too many. What cannot be better than the best
split known is left out, so the second mostly proves that the first has found the optimum.

Paper: Tarnawski et al., "Efficient Algorithms for Device Placement of DNN Graph Operators",
NeurIPS 2020, sections 5.1 and 5.2.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from acumen import _native
from acumen.placement.graph import Floats, Ints
from acumen.placement.load_items import Items, condense, grouped, merge, merge_heavy, merge_leaves
from acumen.placement.load_order import merge_cycles, orders, waits
from acumen.placement.plan import Deadline, Plan, Task

ORDERS = 8
BLOCKS_MAX = 2_000
VALUES_MAX = 20_000_000
"""Of ideals times ways to have used devices: what is remembered stays below 500 MB."""
PAIRS_A_STEP = 100_000


def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """Ever better contiguous splits; the last is the best there is if it ends before its time.

    It does not promise that where there are too many ideals (or more than `BLOCKS_MAX` items).
    Where nothing contiguous fits into memory, nothing is yielded.

    Args:
        task: what is placed; its largest load counts, whatever its objective.
        deadline: until when to look.
        seed: of the topological orders.

    Yields:
        Plans, each contiguous, each of a lower largest load than the one before.

    Raises:
        PlanError: an operator runs on none of the devices.
    """
    task.seconds()
    items = merge_cycles(task, merge_leaves(condense(task, grouped(task.graph))))
    bound = np.inf
    for order in orders(len(items), *waits(task, items), seed, ORDERS):
        few, chain = _blocks(items, order)
        for found, load in list(_search(few, chain[:-1], chain[1:], bound, deadline)):
            yield found
            bound = load
        if not deadline:
            return
    while True:  # nets too heavy to be cut, and cycles that this makes
        fewer = merge_cycles(task, merge_heavy(items, bound))
        if fewer is items:
            break
        items = fewer
    if len(items) <= BLOCKS_MAX:
        for found, _ in _search(items, *waits(task, items), bound, deadline):
            yield found


def _blocks(items: Items, order: Ints) -> tuple[Items, Ints]:
    """The items in this order; runs of them as one where there are more than `BLOCKS_MAX`."""
    if len(order) <= BLOCKS_MAX:
        return items, order
    work = np.where(np.isfinite(items.seconds), items.seconds, 0.0).max(axis=0)[order]
    done = np.cumsum(work / max(work.sum(), 1e-300) + 1 / len(order))
    label = np.empty(len(order), np.int64)
    label[order] = np.floor(done / done[-1] * (BLOCKS_MAX - 1)).astype(np.int64)
    return merge(items, label), np.arange(len(np.unique(label)))


def _search(
    items: Items, from_: Ints, to: Ints, bound: float, deadline: Deadline
) -> Iterator[tuple[Plan, float]]:
    """The best split below `bound` that heeds these edges, if there is one, and its load."""
    members = _classes(items)
    seconds, size, limit, pay, *nets = items.model
    first = [devices[0] for devices in members]
    count = np.array([len(devices) for devices in members], np.uint32)
    split = _native.IdealSplit(
        (np.ascontiguousarray(seconds[first]), size, limit[first], pay[first], *nets),
        count,
        np.ascontiguousarray(from_, np.uint32),
        np.ascontiguousarray(to, np.uint32),
        bound,
        int(VALUES_MAX / np.prod(count + 1.0)),
    )
    while split.step(PAIRS_A_STEP) == 0 and deadline:
        pass
    if split.found:
        part, kind = split.plan()
        free = [list(devices) for devices in members]
        device = np.array([free[number].pop(0) for number in kind], np.int32)
        yield Plan(device[part][items.item], contiguous=True), split.bound


def _classes(items: Items) -> list[list[int]]:
    """Which devices are alike: the devices of each class."""
    rows: Floats = np.column_stack([items.seconds, items.limit, items.pays])
    kinds: dict[bytes, int] = {}
    classes = np.array([kinds.setdefault(row.tobytes(), len(kinds)) for row in rows])
    return [np.flatnonzero(classes == number).tolist() for number in range(len(kinds))]
