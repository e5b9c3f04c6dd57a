"""The hierarchical planner: a grouper and a placer, taught together by whole steps.

Mirhoseini et al., "A hierarchical model for device placement", ICLR 2018: a feed-forward network
puts operators into groups, a sequence-to-sequence network with attention puts groups on devices,
and both learn by policy gradient from how long a step takes. Here the step is simulated, so that
a lesson is of many placements, and the mean of the others is the baseline of each (Kool, van Hoof
and Welling, "Buy 4 REINFORCE samples, get a baseline for free!", 2019). What is not in the paper:

* Groups begin as what exchanges much (`coarsening`), and the grouper moves what lies at their
  borders; the placer reads groups as they were to begin with.
* A policy begins as an imitation of the best plan known: a heuristic's, and again when better ones
  were found, the best of those. Begun cold, it imitates nothing until it has found some.
* From coarse to fine: few groups first, then each is split; and again from there, with other
  groups and new policies, for as long as there is time.
* A plan has priorities: upward ranks, with the copies that the plan itself makes.

It needs PyTorch: the extra `torch`.
"""

from __future__ import annotations

from collections.abc import Iterator

from acumen.placement.plan import Deadline, Plan, PlanError, Planner, Score, Task
from acumen.placement.planners import heft, layers, metf, metis, modules, msct, mtopo, single
from acumen.placement.planners.batch_scores import Scorer, batch_scores
from acumen.placement.planners.hierarchical_search import Search
from acumen.placement.planners.sequence import scorer
from acumen.placement.pytorch.library import torch

HEURISTICS: tuple[Planner, ...] = (
    single.plan, layers.plan, mtopo.plan, heft.plan, metf.plan, metis.plan, msct.plan,
    modules.plan,
)  # fmt: skip
_SHARE_OF_HEURISTICS = 0.3


def improve(
    task: Task,
    deadline: Deadline,
    seed: int,
    start: Plan,
    score: Scorer,
    cycles_max: int | None = None,
    taught: bool = True,
) -> Iterator[Plan]:
    """Plans that are each better than `start` and than the one before.

    Args:
        task: what is placed.
        deadline: until when to learn; looked at between lessons.
        seed: the same seed finds the same plans, in the same order, as far as time allows.
        start: what is imitated first; groups must be together in it.
        score: what a plan is worth. Where the objective is a step's latency, policies are rewarded
            by simulators of their own, as in `Simulator.score`.
        cycles_max: how often to go from few groups to many; None: until the deadline.
        taught: policies begin with the best plan known; else the first one begins cold.

    Raises:
        PlanError: there is no plan; see `units_of`.
        ImportError: PyTorch is not installed.
    """
    torch()
    best = score(start)
    cycles = 0
    with batch_scores(task, score) as scores:
        search = Search(task, start, scores, seed)
        while deadline and (cycles_max is None or cycles < cycles_max):
            for one in search.cycle(deadline, taught or cycles > 0):
                worth = score(one)
                if worth.better_than(best):
                    best = worth
                    yield one
            cycles += 1


def plan(
    task: Task,
    deadline: Deadline,
    seed: int,
    cycles_max: int | None = None,
    taught: bool = True,
) -> Iterator[Plan]:
    """The best of the heuristics, and then what is learned from there; as `improve`.

    Args:
        task: what is placed.
        deadline: until when to learn.
        seed: as for `improve`.
        cycles_max: as for `improve`.
        taught: whether the best heuristic is imitated; else learning begins cold, and one device
            is the only plan that is known before.

    Raises:
        PlanError: there is no plan; the message is the first heuristic's.
        ImportError: PyTorch is not installed.
    """
    torch()
    score = scorer(task)
    start: Plan | None = None
    best: Score | None = None
    problem: PlanError | None = None
    until = Deadline.after(deadline.left * _SHARE_OF_HEURISTICS)
    for planner in HEURISTICS if taught else HEURISTICS[:1]:
        if start is not None and not until:
            break
        try:
            for one in planner(task, Deadline.after(until.left / 2), seed):
                worth = score(one)
                if worth.better_than(best):
                    start, best = one, worth
                    yield one
        except PlanError as error:
            problem = problem or error
    if start is None:
        raise problem or PlanError(f"no heuristic has found a plan{task.with_pins}")
    yield from improve(task, deadline, seed, start, score, cycles_max, taught)
