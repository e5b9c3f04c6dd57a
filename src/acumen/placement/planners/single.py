"""Everything on one device: what every other plan has to beat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from acumen.placement.plan import Deadline, Plan, Task
from acumen.placement.planners.units import units_of


def single(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """A plan for each kind and size of device that can run all operators; `seed` is not used.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """
    able: list[bool] = np.isfinite(units_of(task).seconds).all(axis=1).tolist()
    seen = set()
    for number, device in enumerate(task.cluster.devices):
        if able[number] and (device.kind, device.memory_bytes) not in seen:
            seen.add((device.kind, device.memory_bytes))
            yield Plan(np.full(len(task.graph), number, np.int32))
