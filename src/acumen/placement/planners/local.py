"""Local search for a pipeline's least largest load, contiguous or not.

It starts from the best device alone and from the best contiguous splits, and anneals from the best
plan known again and again: hot and cold, short and long. Nets that are too heavy to be cut in any
better plan are closed first, which makes the graph small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from acumen import _native
from acumen.placement.graph import Indices, Ints
from acumen.placement.load_items import Items, condense, grouped, merge_heavy, merge_leaves
from acumen.placement.load_order import contiguous
from acumen.placement.loads import score
from acumen.placement.plan import Deadline, Plan, PlanError, Score, Task
from acumen.placement.planners import dp, single

TRIES_AN_ITEM = 500
LONGEST = 64
"""How many times as long as the first rounds the longest are."""
TRIES_A_STEP = 100_000
HEATS = (0.02, 0.005, 0.05, 0.01, 0.1)
"""Temperatures to start with, as parts of the largest load; what follows ends 200 times colder."""
IDLE_ROUNDS = 60


def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """Ever better plans, until the time is up or many rounds have found nothing.

    Args:
        task: what is placed; its largest load counts, whatever its objective.
        deadline: until when to look.
        seed: of everything drawn.

    Yields:
        Plans, each better than the one before.

    Raises:
        PlanError: an operator runs on none of the devices.
    """
    best: Score | None = None
    at: Indices | None = None
    for one in _starts(task, deadline, seed):
        worth = score(task, one)
        if worth.better_than(best):
            best, at = worth, one.device
            yield one
    if best is not None and at is not None:
        yield from _annealed(task, deadline, seed, at, best)


def improve(
    task: Task,
    deadline: Deadline,
    seed: int,
    start: Plan,
    worth_of: Callable[[Plan], Score] | None = None,
) -> Iterator[Plan]:
    """The same from a plan on; `worth_of` is not used: loads are what is looked at.

    Raises:
        PlanError: an operator runs on none of the devices.
    """
    yield from _annealed(task, deadline, seed, start.device, score(task, start))


def _annealed(
    task: Task, deadline: Deadline, seed: int, at: Indices, best: Score
) -> Iterator[Plan]:
    items = merge_leaves(condense(task, grouped(task.graph)))
    for device in anneal(task, items, at, best, deadline, seed):
        yield Plan(device[items.item].astype(np.int32), contiguous=contiguous(task, items, device))


def _starts(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    everything = next(single.plan(task, deadline, seed), None)
    yield Plan(_anywhere(task)) if everything is None else everything
    yield from dp.plan(task, Deadline.after(deadline.left / 4), seed)


def _anywhere(task: Task) -> Indices:
    """Every item where it is done soonest."""
    items = condense(task, grouped(task.graph))
    if np.isinf(items.seconds.min(axis=0)).any():
        raise PlanError("no device runs all operators of a group")
    soonest: Indices = items.seconds.argmin(axis=0)[items.item].astype(np.int32)
    return soonest


def anneal(
    task: Task, items: Items, at: Indices, best: Score, deadline: Deadline, seed: int
) -> Iterator[Ints]:
    """Ever better devices of items, from the devices `at` of operators on; shape (q,) each."""
    small, device = items, np.empty(len(items), np.int64)
    device[items.item] = at
    tries, idle, turn = TRIES_AN_ITEM * len(items), 0, 0
    search = None
    while deadline and idle < IDLE_ROUNDS:
        if search is None:
            # Feasible plans alone: what lies apart in an infeasible one may have to.
            if best.excess_bytes == 0:
                small = merge_heavy(items, best.seconds)
            where = np.empty(len(small), np.uint32)
            where[small.item] = device[items.item]
            if not _settle(small, where):
                return  # what must be together in a better plan cannot be
            search = _native.LoadSearch(small.model, where, seed + turn)
        search.restart(where)
        before = (search.best_excess, search.best_load)
        hot = HEATS[turn % len(HEATS)]
        turn += 1
        steps = -(-tries // TRIES_A_STEP)
        for k in range(steps):
            if not deadline:
                break
            search.run(tries // steps, hot * 200 ** (-k / steps), hot * 200 ** (-(k + 1) / steps))
        idle += 1
        if turn % len(HEATS) == 0:
            tries = min(2 * tries, LONGEST * TRIES_AN_ITEM * len(items))
        if (search.best_excess, search.best_load) < before:
            found = np.empty(len(items), np.int64)
            found[items.item] = search.best()[small.item]
            worth = score(task, Plan(found[items.item].astype(np.int32)))
            if worth.better_than(best):
                best, device, idle, search = worth, found, 0, None
                yield found


def _settle(items: Items, where: npt.NDArray[np.uint32]) -> bool:
    """Moves what was merged to where all of it runs; False: that is nowhere."""
    lost = np.isinf(items.seconds[where, np.arange(len(items))])
    soonest = items.seconds.argmin(axis=0)
    where[lost] = soonest[lost]
    return not np.isinf(items.seconds.min(axis=0)).any()
