"""Placing pieces one after the other, each a choice, with one feedback for all of them.

A placement is an episode of an `acumen.Choice` whose candidates are the devices. The policy first
imitates a plan that is known, a choice at a time, and then learns in the simulator from whole
placements: what it is told is how many times as long as the known plan the step takes.

Mirhoseini et al., "Device placement optimization with reinforcement learning", ICML 2017, learn a
placement by policy gradient; Addanki et al., "Placeto: learning generalizable device placement
algorithms for distributed machine learning", NeurIPS 2019, one that carries over to other graphs.
Here the policy is linear in features of the devices, so that an episode takes milliseconds, and
what it maximises is a regression of the reward: it imitates better than a policy gradient does.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

import acumen
from acumen.core.learner import LearnerSpec
from acumen.learners import LinUCB
from acumen.placement import loads
from acumen.placement.plan import Deadline, Plan, PlanError, Score, Task
from acumen.placement.planners import heft, single
from acumen.placement.planners.pieces import CONTEXT, FEATURES, PIECES_MAX, Pieces, Walk, cut
from acumen.placement.simulator import Simulator

Scorer = Callable[[Plan], Score]

LOSS_MAX = 2.0
IMITATIONS = 20
AGAIN = 10
"""Episodes after which the best placement so far is imitated again, so that nothing drifts off."""
GAIN = 0.1
MEMORY = 0.95
LEARNER = LinUCB()


class Policy:
    """Which device a piece is put on; it carries over between graphs and clusters.

    Args:
        seed: of what it draws.
        learner: a learner that takes candidates; its lessons are of single choices.
    """

    def __init__(self, seed: int, learner: LearnerSpec = LEARNER) -> None:
        self.choice = acumen.Choice(
            "placement",
            acumen.Candidates(len(FEATURES), most=4096),
            context=dict.fromkeys(CONTEXT, float),
            metric=acumen.minimize("loss"),
            learner=learner,
            holdback=0.0,
            seed=seed,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes what it has learned; see `acumen.Choice.save`."""
        self.choice.save(path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Reads what another has learned; see `acumen.Choice.load`, and what it raises."""
        self.choice.load(path)

    def imitate(self, pieces: Pieces, devices: list[int]) -> float:
        """One pass over a known placement: each choice is told whether it was the teacher's.

        The walk goes on with the teacher's device, whatever was chosen.

        Returns:
            The share of the pieces that were put where the teacher has them.
        """
        walk, agreed = Walk(pieces), 0
        for device in devices:
            context, able, rows = walk.offers()
            decision = self.choice.choose_row(context, _matrix(rows))
            same = able[decision.arm] == device
            decision.feedback(loss=1.0 - same)
            agreed += same
            walk.put(device)
        return agreed / len(devices)

    def place(self, pieces: Pieces, loss: Callable[[list[int]], float] | None = None) -> list[int]:
        """One episode.

        Args:
            pieces: what is placed.
            loss: what a placement costs; None: nothing is learned.

        Returns:
            The device of each piece.
        """
        walk = Walk(pieces)
        with self.choice.episode() as episode:
            for _ in range(len(pieces)):
                context, able, rows = walk.offers()
                walk.put(able[episode.choose_row(context, _matrix(rows)).arm])
            if loss is not None:
                episode.feedback(loss=loss(walk.devices))
        return walk.devices


def _matrix(rows: list[list[float]]) -> npt.NDArray[np.float64]:
    return np.array(rows, np.float64)


class Baseline:
    """What is fed back: how much worse an episode was than those before, in their deviations.

    Seconds alone would mostly say how good the policy is, which no single choice is to blame for.
    """

    def __init__(self) -> None:
        self.level = 0.0
        self._mean: float | None = None
        self._square = 0.0

    def relative(self, loss: float) -> float:
        """The feedback for an episode's loss, around `level`."""
        if self._mean is None:
            self._mean = loss
        ahead = loss - self._mean
        deviation = math.sqrt(self._square)
        self._square += (1.0 - MEMORY) * (ahead * ahead - self._square)
        self._mean += (1.0 - MEMORY) * ahead
        scaled = ahead / deviation if deviation > 0.0 else 0.0
        return self.level + GAIN * min(max(scaled, -3.0), 3.0)


class Trainer:
    """Teaches a policy on one task, from one plan on.

    Args:
        task: what is placed.
        start: a plan that keeps groups together: the first that is imitated.
        score: what a plan is worth.
        policy: learns.
        pieces_max: into how many pieces large graphs are cut, about.

    Attributes:
        pieces: what is placed, in order.
        teacher: the best placement so far, which is imitated.
        best: what it is worth.
        last: what the last episode's was.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """

    def __init__(
        self, task: Task, start: Plan, score: Scorer, policy: Policy, pieces_max: int = PIECES_MAX
    ) -> None:
        self.pieces = cut(task, start, pieces_max)
        self.teacher = self.pieces.devices(start)
        self._score, self._policy, self._baseline = score, policy, Baseline()
        # The start's own worth: with pieces' priorities its plan may be worth something else.
        self.best = self.last = score(start)
        self._episodes = 0

    def imitate(self) -> float:
        """One pass over the best placement; the share of choices like that one's."""
        agreed = self._policy.imitate(self.pieces, self.teacher)
        self._baseline.level = 1.0 - agreed
        return agreed

    def episode(self, learning: bool = True) -> Plan | None:
        """One placement; the plan, if it is better than all before and than the start."""
        self._episodes += 1
        if learning and self._episodes % AGAIN == 0:
            self.imitate()
        devices = self._policy.place(self.pieces, self._feedback if learning else None)
        if not learning:
            self._feedback(devices)
        if not self.last.better_than(self.best):
            return None
        self.best, self.teacher = self.last, devices
        return self.pieces.plan(devices)

    def _feedback(self, devices: list[int]) -> float:
        self.last = score = self._score(self.pieces.plan(devices))
        return self._baseline.relative(loss_of(score, self.pieces))


def loss_of(score: Score, pieces: Pieces) -> float:
    """Logarithm of seconds over their ideal; more if memory does not suffice."""
    if not math.isfinite(score.seconds):
        return LOSS_MAX + math.log(len(pieces.limits))
    loss = math.log(max(score.seconds / pieces.ideal, 1e-9))
    if score.excess_bytes:
        loss += 0.5 + score.excess_bytes / (1 + sum(pieces.resident))
    return min(loss, LOSS_MAX + math.log(len(pieces.limits)))


def improve(
    task: Task,
    deadline: Deadline,
    seed: int,
    start: Plan,
    score: Scorer,
    episodes_max: int | None = None,
    policy: Policy | None = None,
) -> Iterator[Plan]:
    """Plans that are each better than `start` and than the one before.

    Args:
        task: what is placed.
        deadline: until when to learn; looked at between episodes.
        seed: the same seed finds the same plans, in the same order, as far as time allows.
        start: what is imitated first; groups must be together in it.
        score: what a plan is worth.
        episodes_max: after how many placements to stop; None: at the deadline.
        policy: learns on from what it has learned elsewhere, with draws of its own; None: a new
            one.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """
    trainer = Trainer(task, start, score, Policy(seed) if policy is None else policy)
    for _ in range(IMITATIONS):
        if deadline:
            trainer.imitate()
    left = math.inf if episodes_max is None else episodes_max
    while deadline and left > 0:
        left -= 1
        better = trainer.episode()
        if better is not None:
            yield better


def plan(
    task: Task,
    deadline: Deadline,
    seed: int,
    score: Scorer | None = None,
    episodes_max: int | None = None,
    policy: Policy | None = None,
) -> Iterator[Plan]:
    """The better of HEFT and one device, and then what is learned from there; as `improve`.

    Args:
        task: what is placed.
        deadline: until when to learn.
        seed: as for `improve`.
        score: what a plan is worth; None: by the task's objective.
        episodes_max: as for `improve`.
        policy: as for `improve`.

    Raises:
        PlanError: there is no plan; see `units_of`.
    """
    score = scorer(task) if score is None else score
    start: Plan | None = None
    best: Score | None = None
    for planner in (single, heft):
        for one in planner.plan(task, Deadline.after(deadline.left / 4), seed):
            worth = score(one)
            if worth.better_than(best):
                start, best = one, worth
                yield one
    if start is None:
        raise PlanError("neither one device nor a list schedule is a plan")
    yield from improve(task, deadline, seed, start, score, episodes_max, policy)


def scorer(task: Task) -> Scorer:
    """What scores plans by the task's objective."""
    if task.objective == "latency":
        return Simulator(task).score
    return lambda one: loads.score(task, one)
