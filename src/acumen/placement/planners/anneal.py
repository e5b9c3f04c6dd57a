"""Simulated annealing: small changes to a plan, kept by chance while they make it little worse.

Kirkpatrick, Gelatt and Vecchi, "Optimization by simulated annealing", Science 220, 1983. It begins
with a plan that local search has found already, warm enough to undo single moves and too cold to
lose the plan, and cools down once, over all of the time that there is. The changes are those of
`refine`; what a change costs is compared with how long a unit runs, which is what it moves.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

import numpy as np

from acumen.placement.plan import Deadline, Plan, Score, Task
from acumen.placement.planners.refine import Neighbourhood
from acumen.placement.planners.units import Units, units_of

# Temperatures, as parts of how long a unit runs on average: at first, and in the end.
_HOT, _COLD = 0.4, 0.015
# With fewer changes a unit there is no time to cool down, so it begins that much colder.
_CHANGES_A_UNIT = 20
_TRIAL = 20  # changes by which the pace is measured


def plan(
    task: Task,
    deadline: Deadline,
    seed: int,
    start: Plan,
    score: Callable[[Plan], Score],
    evaluations_max: int | None = None,
) -> Iterator[Plan]:
    """Plans that are each better than `start` and than the one before, with its priorities.

    Args:
        task: what is placed.
        deadline: until when to search; how far it is says how slowly to cool down.
        seed: the same seed finds the same plans, in the same order, if `evaluations_max` is given
            and time allows.
        start: where to begin; groups must be together in it.
        score: what a plan is worth.
        evaluations_max: after how many scores to stop; None: at the deadline.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """
    units, generator = units_of(task), random.Random(seed)
    neighbourhood = Neighbourhood(task, units, generator)
    if not neighbourhood.movable:
        return
    device = np.zeros(len(units), np.int64)
    device[units.of] = start.device
    walk = _Walk(device.tolist(), start, units, neighbourhood, generator, score)
    cooling = _Cooling(units, deadline, evaluations_max)
    while deadline and (evaluations_max is None or walk.changes < evaluations_max):
        better = walk.step(cooling.temperature(walk.changes))
        if better is not None:
            yield better


class _Walk:
    """Where the search is, and how good the best plan is that it has met."""

    def __init__(
        self,
        device: list[int],
        start: Plan,
        units: Units,
        neighbourhood: Neighbourhood,
        generator: random.Random,
        score: Callable[[Plan], Score],
    ) -> None:
        self._device, self._priority, self._of = device, start.priority, units.of
        self._neighbourhood, self._random, self._score = neighbourhood, generator, score
        self.changes = 0
        self._best = self._here = score(start)

    def step(self, temperature: float) -> Plan | None:
        """One change; the plan, if it is the best so far."""
        self.changes += 1
        drawn = self._neighbourhood.draw(self._device)
        if not drawn:
            return None
        before = [(unit, self._device[unit]) for units, _ in drawn for unit in units]
        for units, there in drawn:
            for unit in units:
                self._device[unit] = there
        plan = Plan(np.array(self._device, np.int32)[self._of], self._priority)
        score = self._score(plan)
        if not self._accepts(score, temperature):
            for unit, device in before:
                self._device[unit] = device
            return None
        self._here = score
        if not score.better_than(self._best):
            return None
        self._best = score
        return plan

    def _accepts(self, score: Score, temperature: float) -> bool:
        if not self._here.better_than(score):
            return True
        if score.excess_bytes > self._here.excess_bytes or temperature <= 0.0:
            return False
        worse = score.seconds - self._here.seconds
        return self._random.random() < math.exp(-worse / temperature)


class _Cooling:
    """The temperature, by the share of the changes or of the time that is over."""

    def __init__(self, units: Units, deadline: Deadline, changes_max: int | None) -> None:
        able = np.isfinite(units.seconds)
        sums = np.where(able, units.seconds, 0.0).sum(axis=0)
        self._unit_seconds, self._units = float((sums / able.sum(axis=0)).mean()), len(units)
        self._deadline, self._changes_max = deadline, changes_max
        self._whole = deadline.left

    def temperature(self, changes: int) -> float:
        """In seconds, after some changes."""
        total = self._changes_max
        if total is None:
            if changes < _TRIAL:  # the pace is not known
                return 0.0
            over = 1.0 - self._deadline.left / self._whole
            total = max(changes, int(changes / max(over, 1e-9)))
        hot = _HOT * min(1.0, total / (_CHANGES_A_UNIT * self._units))
        factor: float = (min(_COLD, hot) / hot) ** min(1.0, changes / total)
        return self._unit_seconds * hot * factor
