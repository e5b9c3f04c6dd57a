"""Local search: small changes to a plan, kept while they are no worse than some changes ago.

Burke and Bykov, "The late acceptance hill-climbing heuristic", European Journal of Operational
Research 258(1), 2017: what is compared with is the value that the search had some steps before, so
it may go through worse plans as long as it has been improving; there is no temperature to set. When
nothing better has turned up for long it goes back to the best plan, changes it at random a few
times, and goes on from there, perhaps with other priorities, looking back twice as far.

A change moves a unit, or units that hang together, or units that follow each other in the graph's
order, to another device, mostly one where a neighbour is; or it exchanges two units.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

import numpy as np

from acumen.placement.graph import Ints
from acumen.placement.plan import Deadline, Plan, Score, Task
from acumen.placement.planners.lists import Lists, ranked
from acumen.placement.planners.units import Units, units_of

_MEMORY, _MEMORY_MAX = 50, 5_000
_KICKS_MAX = 5

Value = tuple[int, float]
Change = tuple[list[int], int]  # units, and the device they move to


def plan(
    task: Task,
    deadline: Deadline,
    seed: int,
    start: Plan,
    score: Callable[[Plan], Score],
    evaluations_max: int | None = None,
) -> Iterator[Plan]:
    """Plans that are each better than `start` and than the one before.

    Args:
        task: what is placed.
        deadline: until when to search.
        seed: the same seed finds the same plans, in the same order, as far as time allows.
        start: where to begin; groups must be together in it.
        score: what a plan is worth.
        evaluations_max: after how many scores to stop; None: at the deadline.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """
    search = _Search(task, seed, start, score)
    if not search.neighbourhood.movable:
        return
    left = math.inf if evaluations_max is None else evaluations_max
    if left > 1 and deadline:
        yield from search.priorities()
    left -= search.scored
    while deadline and left > 0:
        left -= 1
        better = search.step()
        if better is not None:
            yield better


class _Search:
    """Where the search is, and the best plan that it has met."""

    def __init__(self, task: Task, seed: int, start: Plan, score: Callable[[Plan], Score]) -> None:
        self._score, self.scored = score, 0
        self._units = units_of(task)
        self._random = random.Random(seed)
        self.neighbourhood = Neighbourhood(task, self._units, self._random)
        first = np.zeros(len(self._units), np.int64)
        first[self._units.of] = start.device
        self._device: list[int] = first.tolist()
        # Other priorities may have other best placements.
        given = [] if start.priority is None else [start.priority]
        self._priorities = [*given, None, ranked(Lists(task, units=self._units).order())]
        self._number = self._best_priority = 0
        self._best = self._device.copy()
        self._best_value = self._value = self._evaluate(self._plan())
        self._memory = _MEMORY
        self._history = [self._value] * self._memory
        self._steps = self._last_success = 0

    def _plan(self) -> Plan:
        device = np.array(self._device, np.int32)[self._units.of]
        return Plan(device, self._priorities[self._number])

    def _evaluate(self, plan: Plan) -> Value:
        self.scored += 1
        score = self._score(plan)
        return score.excess_bytes, score.seconds

    def priorities(self) -> Iterator[Plan]:
        """Whether the graph's order or upward ranks are better priorities than the plan's own."""
        for number in range(1, len(self._priorities)):
            self._return(number)
            if self._value < self._best_value:
                self._best_value, self._best_priority = self._value, number
                yield self._plan()
        self._return(self._best_priority)

    def _return(self, number: int, kicks: int = 0) -> None:
        """To the best placement, with any of the priorities, and after some changes."""
        self._device, self._number = self._best.copy(), number
        for _ in range(kicks):
            self._change()
        self._value = self._evaluate(self._plan())
        self._history = [self._value] * self._memory
        self._last_success = self._steps

    def _change(self) -> list[tuple[int, int]]:
        """Moves some units; those, and where they were."""
        changes = self.neighbourhood.draw(self._device)
        before = [(unit, self._device[unit]) for units, _ in changes for unit in units]
        for units, there in changes:
            for unit in units:
                self._device[unit] = there
        return before

    def step(self) -> Plan | None:
        """One change; the plan, if it is the best so far."""
        if self._steps - self._last_success > 10 * self._memory:
            self._memory = min(2 * self._memory, _MEMORY_MAX)
            number = self._random.randrange(len(self._priorities))
            self._return(number, kicks=self._random.randint(1, _KICKS_MAX))
        before = self._change()
        value = self._evaluate(self._plan())
        slot = self._steps % self._memory
        self._steps += 1
        if value <= self._value or value <= self._history[slot]:
            self._value = value
        else:
            for unit, device in before:
                self._device[unit] = device
        self._history[slot] = min(self._history[slot], self._value)
        if self._value < self._best_value:
            self._best, self._best_value = self._device.copy(), self._value
            self._best_priority = self._number
            self._last_success = self._steps
            return self._plan()
        return None


class Neighbourhood:
    """Changes to where units are, drawn at random.

    Args:
        task: what is placed.
        units: its units.
        generator: draws.
    """

    def __init__(self, task: Task, units: Units, generator: random.Random) -> None:
        self._random = generator
        self._able = np.isfinite(units.seconds).T.tolist()
        self.movable = [unit for unit, row in enumerate(self._able) if sum(row) > 1]
        self._units, self._devices = len(units), units.devices
        self._starts, self._ends = _neighbours(task, units)

    def draw(self, device: list[int]) -> list[Change]:
        """A change that changes something, or none if a few draws have found none."""
        for _ in range(20):
            unit = self._random.choice(self.movable)
            kind = self._random.random()
            if kind < 0.1:
                changes = self._exchange(unit, device)
            else:
                there = self._somewhere(unit, device)
                if there is None:
                    continue
                if kind < 0.5:
                    members = [unit]
                elif kind < 0.8:
                    members = self._region(unit, device)
                else:
                    members = self._stretch(unit)
                changes = [([one for one in members if self._able[one][there]], there)]
            if any(device[one] != there for members, there in changes for one in members):
                return changes
        return []

    def _around(self, unit: int) -> list[int]:
        return self._ends[self._starts[unit] : self._starts[unit + 1]]

    def _somewhere(self, unit: int, device: list[int]) -> int | None:
        """Another device that can run the unit: one of a neighbour's, if there is one."""
        around = self._around(unit)
        if around and self._random.random() < 0.7:
            there = device[self._random.choice(around)]
        else:
            there = self._random.randrange(self._devices)
        return there if there != device[unit] and self._able[unit][there] else None

    def _size(self) -> int:
        """From 2 to half of all, small ones as likely as large ones on a scale of powers."""
        return max(
            2, int(math.exp(self._random.uniform(math.log(2), math.log(self._units / 2 + 2))))
        )

    def _region(self, unit: int, device: list[int]) -> list[int]:
        """Units on the same device that hang together with this one, the nearest ones."""
        size, here = self._size(), device[unit]
        members, seen = [unit], {unit}
        for one in members:
            for other in self._around(one):
                if other not in seen and device[other] == here:
                    seen.add(other)
                    members.append(other)
            if len(members) >= size:
                break
        return members[:size]

    def _stretch(self, unit: int) -> list[int]:
        first = unit - self._random.randrange(size := self._size())
        return list(range(max(0, first), min(self._units, first + size)))

    def _exchange(self, unit: int, device: list[int]) -> list[Change]:
        other = self._random.choice(self.movable)
        here, there = device[unit], device[other]
        if not (self._able[unit][there] and self._able[other][here]):
            return []
        return [([unit], there), ([other], here)]


def _neighbours(task: Task, units: Units) -> tuple[list[int], list[int]]:
    """The units that read from or make for each unit, as compressed rows."""
    sources, targets = (units.of[end].astype(np.int64) for end in task.graph.edges)
    ends: Ints = np.concatenate([sources, targets])
    others: Ints = np.concatenate([targets, sources])
    pairs = np.unique((ends * len(units) + others)[ends != others])
    starts = np.searchsorted(pairs // len(units), np.arange(len(units) + 1))
    return starts.tolist(), (pairs % len(units)).tolist()
