"""The mixed-integer program of all devices, solved by HiGHS from the best plan of local search.

A variable says for each device and item whether it is there, two more for each device and net
whether some pin of it is, and whether all are. It is exact, and of use for graphs of some dozens of
items; devices that are alike make it hopeless for large ones, whose bound is therefore that of
`acumen.placement.load_bound`.

Paper: Tarnawski et al., "Efficient Algorithms for Device Placement of DNN Graph Operators",
NeurIPS 2020, section 5.3, without the rows that make parts contiguous.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from acumen.placement.graph import Floats, Ints
from acumen.placement.load_bound import add_nets, certified_bound
from acumen.placement.load_items import Items, condense, grouped, merge_heavy, merge_leaves
from acumen.placement.load_order import contiguous
from acumen.placement.loads import score
from acumen.placement.plan import Deadline, Plan, Task
from acumen.placement.planners import local
from acumen.placement.solver import Program, solve

VARIABLES_MAX = 200_000
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
    if best is None:
        return
    worth = score(task, best)
    items = merge_leaves(condense(task, grouped(task.graph)))
    if worth.excess_bytes == 0:
        items = merge_heavy(items, worth.seconds)
    if len(task.cluster) * (len(items) + 2 * len(items.copy)) > VARIABLES_MAX or not deadline:
        return
    where = np.empty(len(items), np.int64)
    where[items.item] = best.device
    program = _program(items, worth.seconds)
    answer = solve(program, deadline.left, gap=1e-4, start=_point(items, where, len(program.cost)))
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


def _program(items: Items, unit: float) -> Program:
    """Variables: d x q places, the largest load in units, then the nets' device by device."""
    d, q = items.seconds.shape
    program = Program()
    for device in range(d):
        for i in range(q):
            can = bool(np.isfinite(items.seconds[device, i]))
            program.add(0.0, 1.0 if can else 0.0, whole=True)
    most = program.add(1.0, np.inf)
    for i in range(q):
        program.row(1.0, range(i, d * q, q), [1.0] * d, 1.0)
    for device in range(d):
        here = range(device * q, (device + 1) * q)
        own = items.seconds[device]
        busy = {here[i]: own[i] / unit for i in np.flatnonzero(np.isfinite(own)).tolist()}
        if items.pays[device]:
            add_nets(program, items, here, busy, unit)
        program.row(-np.inf, [most, *busy], [-1.0, *busy.values()], 0.0)
        limit = float(items.limit[device])
        if np.isfinite(limit) and items.resident_bytes.sum() > limit:
            shares = items.resident_bytes / max(limit, 1.0)
            program.row(-np.inf, here, shares.tolist(), limit / max(limit, 1.0))
    return program


def _point(items: Items, where: Ints, variables: int) -> Floats:
    """The values of the program's variables for a plan."""
    d, q = items.seconds.shape
    x = np.zeros(variables)
    x[where * q + np.arange(q)] = 1.0
    sizes = np.diff(items.start.astype(np.int64))
    at = d * q + 1
    for device in np.flatnonzero(items.pays).tolist():
        inside = np.bincount(items.nets, where[items.pins] == device, minlength=len(sizes))
        x[at : at + 2 * len(sizes) : 2] = inside > 0
        x[at + 1 : at + 2 * len(sizes) : 2] = inside == sizes
        at += 2 * len(sizes)
    x[d * q] = 1.0  # loads are in units of this plan's largest
    return x
