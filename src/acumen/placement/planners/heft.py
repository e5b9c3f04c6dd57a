"""HEFT: the operator with the longest way to go first, where it ends first.

Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task scheduling for
heterogeneous computing", IEEE Transactions on Parallel and Distributed Systems 13(3), 2002. The
published algorithm assumes that copies do not disturb each other. It is asked for a plan that way,
and for one in which a channel carries one copy at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

from acumen.placement.graph import Indices
from acumen.placement.plan import Deadline, Plan, Task
from acumen.placement.planners.lists import Lists, Schedule, plans


def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """Plans by earliest finish time, with upward ranks as priorities; `seed` is not used.

    An operator whose group has a device already goes there. Where memory is short a device that
    is too full is passed over, and plans that leave more of it free follow.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """
    return plans(task, deadline, _schedule)


def _schedule(lists: Lists, contention: bool) -> tuple[Schedule, Indices]:
    order = lists.order()
    return lists.in_order(order, contention), order
