"""m-ETF: of all operators that could run next, the one that can start first, where it can.

Jeon et al., "Baechi: fast device placement of machine learning graphs", SoCC 2020, after Hwang et
al., "Scheduling precedence graphs in systems with interprocessor communication times", SIAM Journal
on Computing 18(2), 1989. Ties go to the operator of the higher upward rank.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from acumen.placement.graph import Indices
from acumen.placement.plan import Deadline, Plan, Task
from acumen.placement.planners.lists import Lists, Schedule, plans


def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """Plans by earliest start time, which are the priorities too; `seed` is not used.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """
    return plans(task, deadline, _schedule)


def _schedule(lists: Lists, contention: bool) -> tuple[Schedule, Indices]:
    order = lists.order()
    made = lists.earliest_first(order, np.empty(0, np.int32), contention)
    return made, order[np.argsort(made.start[order], kind="stable")].astype(np.int32)
