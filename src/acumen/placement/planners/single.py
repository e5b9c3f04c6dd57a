"""Everything on one device: the one where it is done soonest, of those that hold it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from acumen.placement.plan import Deadline, Plan, Task


def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """The best plan on one device; devices too small, or on which not all can run, come last.

    With one device neither copies nor waiting count, so this holds for every objective.

    Args:
        task: what is placed.
        deadline: not looked at.
        seed: not looked at.

    Yields:
        One plan.

    Raises:
        PlanError: an operator runs on none of the devices.
    """
    seconds = task.seconds().sum(axis=1)
    kept = int(task.graph.resident_bytes.sum())
    excess = [
        0 if device.memory_bytes is None else max(0, kept - device.memory_bytes)
        for device in task.cluster.devices
    ]
    best = min(range(len(excess)), key=lambda d: (np.isinf(seconds[d]), excess[d], seconds[d], d))
    yield Plan(np.full(len(task.graph), best, np.int32), contiguous=True)
