"""Everything on one device: what every other plan has to beat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from acumen.placement.plan import Deadline, Plan, Task
from acumen.placement.planners.units import units_of


def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """A plan for each kind and size of device that runs all operators, the best first.

    None where there is no such device, as where pins name two.

    With one device neither copies nor waiting count, so this holds for every objective.

    Args:
        task: what is placed.
        deadline: not looked at.
        seed: not looked at.

    Yields:
        Plans: those on devices that are too small for what operators keep come last.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """
    if task.objective == "latency":  # a step holds its tensors, too
        units_of(task)
    seconds = task.seconds().sum(axis=1)
    kept = int(task.graph.resident_bytes.sum())
    found = []
    seen = set()
    for number, device in enumerate(task.cluster.devices):
        like = (task.classes[number], device.memory_bytes)
        if np.isfinite(seconds[number]) and like not in seen:
            seen.add(like)
            limit = kept if device.memory_bytes is None else device.memory_bytes
            found.append((max(0, kept - limit), seconds[number], number))
    for _, _, number in sorted(found):
        yield Plan(np.full(len(task.graph), number, np.int32), contiguous=True)
