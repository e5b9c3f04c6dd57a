"""The mixed-integer program of all devices, solved by HiGHS from the best plan of local search.

A variable says for each device and item whether it is there, two more for each device and net
whether some pin of it is, and whether all are. It is exact, and of use for graphs of some dozens of
items; devices that are alike make it hopeless for large ones, whose bound is therefore that of
`acumen.placement.load_bound`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from acumen.placement.load_bound import certified_bound
from acumen.placement.load_items import condense, grouped, merge_heavy, merge_leaves
from acumen.placement.load_order import contiguous
from acumen.placement.load_program import point_of, program_of, variables
from acumen.placement.loads import score
from acumen.placement.plan import Deadline, Plan, Score, Task
from acumen.placement.planners import local
from acumen.placement.solver import solve

VARIABLES_MAX = 3_000
"""Of seven graphs of Microsoft's study those of 549 to 2,255 variables got better from the best
contiguous split on (12 s each, a quarter of a processor), the two of some 3,350 did not."""
SHARE = 0.5
"""Of its time as an improver, so that local search, which comes after it, has most of all time:
from what that one finds nothing was found in any of the seven."""
START = 0.3
"""The part of the time that local search has."""


def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """What local search finds, and then what the program finds that is better.

    Args:
        task: what is placed; its largest load counts, whatever its objective.
        deadline: until when to look.
        seed: of the local search.

    Yields:
        Plans, each better than the one before.

    Raises:
        PlanError: an operator runs on none of the devices.
        ImportError: HiGHS is not installed.
    """
    best = None
    for found in local.plan(task, Deadline.after(deadline.left * START), seed):
        best = found
        yield found
    if best is not None:
        yield from _solved(task, deadline, best)


def improve(
    task: Task,
    deadline: Deadline,
    seed: int,
    start: Plan,
    worth_of: Callable[[Plan], Score] | None = None,
) -> Iterator[Plan]:
    """What the program finds that is better than a plan.

    Args:
        task: what is placed; its largest load counts, whatever its objective.
        deadline: half of the time until then is used.
        seed: not used: the program draws nothing.
        start: which the program begins with; groups must be together in it.
        worth_of: not used: loads are what the program knows.

    Raises:
        PlanError: an operator runs on none of the devices.
        ImportError: HiGHS is not installed.
    """
    yield from _solved(task, Deadline.after(deadline.left * SHARE), start)


def _solved(task: Task, deadline: Deadline, start: Plan) -> Iterator[Plan]:
    worth = score(task, start)
    if not 0.0 < worth.seconds < np.inf:
        return
    items = merge_leaves(condense(task, grouped(task.graph)))
    if worth.excess_bytes == 0:
        items = merge_heavy(items, worth.seconds)
    if variables(items) > VARIABLES_MAX or not deadline:
        return
    where = np.empty(len(items), np.int64)
    where[items.item] = start.device
    program = program_of(items, worth.seconds)
    answer = solve(program, deadline.left, gap=1e-4, start=point_of(items, where))
    if answer.x is None:
        return
    there = answer.x[: len(task.cluster) * len(items)].reshape(len(task.cluster), -1)
    device = there.argmax(axis=0)
    found = Plan(device[items.item].astype(np.int32), contiguous=contiguous(task, items, device))
    if score(task, found).better_than(worth):
        yield found


def bound(task: Task, deadline: Deadline, seed: int) -> float:
    """A largest load in seconds that no plan is below, for the plans that local search finds.

    Raises:
        PlanError: an operator runs on none of the devices.
    """
    plans = list(local.plan(task, Deadline.after(deadline.left * START), seed))
    reached = score(task, plans[-1])
    if reached.excess_bytes:
        return certified_bound(task, np.inf, [], deadline)
    return certified_bound(task, reached.seconds, [one.device for one in plans], deadline)
