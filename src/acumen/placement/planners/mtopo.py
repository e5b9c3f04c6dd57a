"""m-TOPO: operators in topological order, device after device, each as full as the others.

Jeon et al., "Baechi: fast device placement of machine learning graphs", SoCC 2020. A device takes
operators until it holds its share of all bytes and the largest operator's more, which is always
enough; neither times nor copies are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from acumen.placement.plan import Deadline, Plan, Task
from acumen.placement.planners.units import units_of


def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """One plan; `deadline` and `seed` are not used.

    Bytes are what an operator keeps and what it makes. A group goes where its first operator does.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """
    units = units_of(task)
    able = np.isfinite(units.seconds)
    held = units.resident_bytes + units.made_bytes
    share = int(held.sum()) // units.devices + int(held.max()) + 1
    room = np.minimum(units.limit_bytes, share).tolist()
    picky = set(np.flatnonzero(~able.all(axis=0)).tolist())
    device = np.empty(len(units), np.int32)
    current = 0
    for unit, size in enumerate(held.tolist()):
        while current < units.devices - 1 and size > room[current]:
            current += 1
        chosen = current
        if size > room[current] or (unit in picky and not able[current, unit]):
            # Full, or of a kind that cannot run it: the roomiest that can.
            chosen = max(np.flatnonzero(able[:, unit]).tolist(), key=room.__getitem__)
        room[chosen] -= size
        device[unit] = chosen
    yield Plan(device[units.of])
