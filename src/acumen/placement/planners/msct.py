"""m-SCT: as m-ETF, but a device waits for the favourite child of what it has just run.

Jeon et al., "Baechi: fast device placement of machine learning graphs", SoCC 2020, after Hanen and
Munier, "An approximation algorithm for scheduling dependent tasks on m processors with small
communication delays", ETFA 1995. Each operator has at most one favourite child, whose copy is to be
saved, and each child at most one parent. Which, says a linear program: with x = 0 for a favourite,
the step takes w seconds on devices without number,

    minimise w:  start[j] ≥ start[i] + seconds[i] + copy[i, j] · x[i, j],
                 w ≥ start[i] + seconds[i],
                 Σ_j (1 - x[i, j]) ≤ 1,   Σ_i (1 - x[i, j]) ≤ 1,   0 ≤ x ≤ 1,   start ≥ 0,

and x < 1/2 counts as 0. It is solved by HiGHS, which is optional. Without it, for more than
`PAIRS_MAX` pairs of operators, or if time is short, favourites are chosen one by one: the
pair first after which most is still to be done.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from acumen.placement.graph import Floats, Indices, Ints
from acumen.placement.plan import Deadline, Plan, Task
from acumen.placement.planners.lists import Lists, Schedule, plans
from acumen.placement.solver import Program, available, solve

PAIRS_MAX = 20_000
_SHARE_OF_TIME = 0.5


def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """Plans by earliest start time and favourite children; `seed` is not used.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """
    favourite: Indices | None = None

    def schedule(lists: Lists, contention: bool) -> tuple[Schedule, Indices]:
        nonlocal favourite
        order = lists.order()
        if favourite is None:
            favourite = favourites(task, lists, deadline.left * _SHARE_OF_TIME)
        made = lists.earliest_first(order, favourite, contention)
        return made, order[np.argsort(made.start[order], kind="stable")].astype(np.int32)

    return plans(task, deadline, schedule)


def favourites(task: Task, lists: Lists, seconds: float) -> Indices:
    """Each operator's favourite child, or -1; shape (n,).

    Args:
        task: what is placed.
        lists: its mean costs.
        seconds: how long the linear program may take.
    """
    sources, targets, copies = _pairs(task, lists)
    chosen = np.full(len(task.graph), -1, np.int32)
    if not len(sources):
        return chosen
    apart = None
    if len(sources) <= PAIRS_MAX and available():
        apart = _relaxed(lists.mean_seconds, sources, targets, copies, seconds)
    if apart is not None:
        near = apart < 0.5
        chosen[sources[near]] = targets[near]
        return chosen
    length = copies + lists.upward_ranks()[targets]
    taken = np.zeros(len(task.graph), np.bool_)
    for pair in np.argsort(-length, kind="stable").tolist():
        parent, child = int(sources[pair]), int(targets[pair])
        if chosen[parent] < 0 and not taken[child]:
            chosen[parent] = child
            taken[child] = True
    return chosen


def _pairs(task: Task, lists: Lists) -> tuple[Ints, Ints, Floats]:
    """Operators of which one reads what the other makes, and what the slowest copy takes."""
    n = len(task.graph)
    sources, targets = (end.astype(np.int64) for end in task.graph.edges)
    pairs, which = np.unique(sources * n + targets, return_inverse=True)
    copies = np.zeros(len(pairs))
    np.maximum.at(copies, which, lists.mean_copies[task.graph.tensors.reads])
    return pairs // n, pairs % n, copies


def _relaxed(
    work: Floats, sources: Ints, targets: Ints, copies: Floats, seconds: float
) -> Floats | None:
    """The x of each pair, if the program is solved in time. Columns: start, then x, then w."""
    n, k = len(work), len(sources)
    unit = max(float(work.max()), float(copies.max())) or 1.0  # solvers like numbers around 1
    work, copies = work / unit, copies / unit
    program = Program()
    for _ in range(n):
        program.add(0.0, np.inf)
    for _ in range(k):
        program.add(0.0, 1.0)
    last = program.add(1.0, np.inf)
    takes = work.tolist()
    children: list[list[int]] = [[] for _ in range(n)]
    parents: list[list[int]] = [[] for _ in range(n)]
    for x, (i, j, copy) in enumerate(
        zip(sources.tolist(), targets.tolist(), copies.tolist(), strict=True), n
    ):
        program.row(takes[i], (j, i, x), (1.0, -1.0, -copy), np.inf)
        children[i].append(x)
        parents[j].append(x)
    for i in range(n):
        program.row(takes[i], (last, i), (1.0, -1.0), np.inf)
    for near in (*children, *parents):
        if len(near) > 1:  # all but one of them are 1
            program.row(len(near) - 1.0, near, [1.0] * len(near), np.inf)
    solved = solve(program, seconds).x
    return None if solved is None else solved[n : n + k]
