"""How the hierarchical planner learns on one task: `hierarchical` says what, this is how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from acumen.placement.graph import Floats, Indices, Ints
from acumen.placement.plan import Deadline, Plan, Task
from acumen.placement.planners.batch_scores import BatchScores
from acumen.placement.planners.coarsening import coarsen
from acumen.placement.planners.grouping import Atoms, Groups, fits
from acumen.placement.planners.hierarchical_policy import Policy
from acumen.placement.planners.lists import Lists, ranked
from acumen.placement.planners.units import units_of

ATOMS_MAX = 4_000
GROUPS = (512, 128, 32)
SAMPLES, SAMPLES_MAX = 16, 96
"""Placements an update: the fewer, the longer one takes to evaluate."""
OPERATORS_AN_UPDATE = 500_000
STRAY_GROUPS = 2.0
"""How many groups of a placement are elsewhere than in the best one, on average, to begin with."""
STRAY_ATOMS = 2.0
AGAIN = 4
"""Updates after which policies begin again with what was found."""
PATIENCE = 16
"""Updates without a better placement by `GAIN_MIN`, after which groups are split."""
PATIENCE_COLD = 100
GAIN_MIN = 1e-3
ENTROPY = 1e-3
LOSS_MAX = 2.0


@dataclass(frozen=True)
class Found:
    """A placement, and what it is worth.

    Attributes:
        device: of each unit; shape (u,).
        priority: as in a plan.
        seconds: the objective.
        excess: bytes by which devices are too small.
    """

    device: Ints
    priority: Indices | None
    seconds: float
    excess: float

    def better_than(self, other: Found) -> bool:
        """As for scores."""
        return (self.excess, self.seconds) < (other.excess, other.seconds)


class Search:
    """One task, and the best plan that was found for it.

    Args:
        task: what is placed.
        start: the first plan; groups must be together in it.
        scores: evaluates placements.
        seed: of everything drawn.

    Attributes:
        best: so far.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """

    def __init__(self, task: Task, start: Plan, scores: BatchScores, seed: int) -> None:
        self.task, self.scores = task, scores
        self.units = units_of(task)
        self.lists = Lists(task, units=self.units)
        self._draw = np.random.default_rng(seed)
        self._table = task.seconds()
        device = np.empty(len(self.units), np.int64)
        device[self.units.of] = start.device
        self.best = self._worth(device, start.priority)

    def _worth(self, device: Ints, priority: Indices | None) -> Found:
        rows = device[self.units.of][None].astype(np.int32)
        seconds, excess = self.scores.of(rows, priority, np.zeros(1, np.bool_))
        return Found(device, priority, float(seconds[0]), float(excess[0]))

    def plan(self) -> Plan:
        """The best so far."""
        return Plan(self.best.device[self.units.of].astype(np.int32), self.best.priority)

    def prioritise(self) -> bool:
        """Whether other priorities make the best placement better, which then has them."""
        if self.task.objective != "latency":
            return False
        before = self.best
        for priority in (None, self._ranks()):
            other = self._worth(before.device, priority)
            if other.better_than(self.best):
                self.best = other
        return self.best is not before

    def _ranks(self) -> Indices:
        """By upward rank, with the seconds and the copies of the best placement."""
        tensors, lists = self.task.graph.tensors, self.lists
        device = self.best.device[self.units.of]
        away = device[tensors.producer[tensors.reads]] != device[tensors.consumers]
        copied = np.zeros(len(tensors), np.bool_)
        copied[tensors.reads[away]] = True
        seconds = np.ascontiguousarray(self._table[device, np.arange(len(device))])
        rank = lists.upward_ranks(seconds, np.where(copied, lists.mean_copies, 0.0))
        order = np.lexsort((ranked(lists.topological), -rank))
        return ranked(order.astype(np.int32))

    def cycle(self, deadline: Deadline, taught: bool = True) -> Iterator[Plan]:
        """Once from few groups to many; plans, each better than all before.

        Args:
            deadline: until when.
            taught: policies begin with the best plan; else the first one begins with none.
        """
        units, d = self.units, len(self.task.cluster)
        device = self.best.device if taught else np.zeros(len(units), np.int64)
        atom, *nested = coarsen(self.task, units, device, (ATOMS_MAX, *GROUPS), self._draw)
        last = 0
        for group in reversed(nested):
            if not deadline or group.max() + 1 == last:
                continue  # there are no more groups than there were
            last, mine = int(group.max()) + 1, atom
            if taught:  # what the best plan has torn apart is apart
                place = self.best.device
                mine, group = (_renumbered(one * d + place) for one in (atom, group))
            stage = Stage(self, mine, group, taught, int(self._draw.integers(2**31)))
            yield from stage.run(deadline)
            taught = True


def _renumbered(labels: Ints) -> Ints:
    """0, 1, ... in the order in which labels come first."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return ranked(np.argsort(first).astype(np.int32))[inverse].astype(np.int64)


class Stage:
    """A policy at one number of groups.

    Args:
        search: has the task and the best plan, which lies apart between atoms alone.
        atom: of each unit; shape (u,).
        group: of each unit, which holds whole atoms; shape (u,).
        taught: the policy begins with the best plan; else it begins with none.
        seed: of the policy.
    """

    def __init__(self, search: Search, atom: Ints, group: Ints, taught: bool, seed: int) -> None:
        self._search, self._taught, self._atom = search, taught, atom
        self._atoms = Atoms.of_task(search.task, search.units, atom, search.lists)
        of = np.empty(len(self._atoms), np.int64)
        of[atom] = group
        self._count = int(group.max()) + 1
        wanted = OPERATORS_AN_UPDATE // len(search.task.graph)
        self._samples = min(max(wanted, SAMPLES), SAMPLES_MAX)
        self._groups = Groups.of_atoms(self._atoms, of, self._count)
        self._device = np.empty(self._count, np.int64)  # of groups, in the best plan
        self._device[group] = search.best.device
        self._best_of = of
        self._policy = Policy(self._atoms, self._groups, self._prior(), STRAY_ATOMS, seed)

    def run(self, deadline: Deadline) -> Iterator[Plan]:
        """Plans, each better than all before, until nothing better has turned up for long."""
        search = self._search
        patience = PATIENCE if self._taught else PATIENCE_COLD
        idle, updates, news, mark = 0, 0, False, search.best
        while deadline and idle < patience:
            idle, updates = idle + 1, updates + 1
            if self._update():
                news = True
                yield search.plan()
            if search.best.excess < mark.excess or (
                search.best.seconds < (1.0 - GAIN_MIN) * mark.seconds
            ):
                idle, mark = 0, search.best
            if news and updates % AGAIN == 0:
                news = False
                if search.prioritise():
                    yield search.plan()
                self._taught = True
                self._groups = Groups.of_atoms(self._atoms, self._best_of, self._count)
                self._policy.begin(self._groups, self._prior())

    def _prior(self) -> Floats:
        """The best plan, with little doubt: a group may belong where its neighbours are."""
        groups = self._groups
        if not self._taught:
            return groups.able.astype(np.float64)
        devices = len(self._search.task.cluster)
        here = np.zeros((self._count, devices))
        here[np.arange(self._count), self._device] = 1.0
        near = (groups.reads + groups.hands) @ here / 2.0
        doubt = np.where(groups.able & (here == 0.0), near + 0.2 / devices, 0.0)
        doubt *= STRAY_GROUPS / max(float(doubt.sum()), 1e-9)
        doubt /= np.maximum(2.0 * doubt.sum(axis=1, keepdims=True), 1.0)
        prior: Floats = doubt + here * (1.0 - doubt.sum(axis=1, keepdims=True))
        return prior

    def _update(self) -> bool:
        """One update of the policy; whether there was a better placement."""
        search, groups = self._search, self._groups
        samples = self._policy.sample(self._samples)
        device = samples.of_atoms(groups)
        priority = search.best.priority
        rows = device[:, self._atoms.of].astype(np.int32)
        seconds, excess = search.scores.of(rows, priority, fits(self._atoms, device))
        loss = self._losses(seconds, excess)
        deviation = float(loss.std())
        if deviation > 0.0:
            others = (loss.sum() - loss) / (len(loss) - 1)
            self._policy.reinforce(samples, (others - loss) / deviation, ENTROPY)
        best = int(np.lexsort((seconds, excess))[0])
        place = device[best][self._atom]
        found = Found(place, priority, float(seconds[best]), float(excess[best]))
        if not found.better_than(search.best):
            return False
        search.best = found
        self._device = samples.device[best]
        self._best_of = groups.candidates[np.arange(len(self._atoms)), samples.choice[best]]
        return True

    def _losses(self, seconds: Floats, excess: Floats) -> Floats:
        """Logarithms of seconds over the best plan's; more where memory does not suffice."""
        best = self._search.best.seconds
        reference = best if 0.0 < best < np.inf else 1.0
        loss = np.log(np.maximum(seconds, 1e-12) / reference)
        over = excess / max(float(self._atoms.held_bytes.sum()), 1.0)
        loss = np.where(excess > 0.0, loss + 0.5 + over, loss)
        return np.minimum(loss, LOSS_MAX)
