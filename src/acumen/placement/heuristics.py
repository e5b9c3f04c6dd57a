"""The rivals of the learned placers: planners of the literature, and the bound.

A contiguous plan lets data flow one way through the devices, as a pipeline without interleaving
needs it; the others may use a device again and again, and are another class of plans.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec

from acumen.evaluation import BrokenError, Contender, Measurement
from acumen.evaluation.race import Kind
from acumen.placement import portfolio
from acumen.placement.bounds import lower_bound
from acumen.placement.graph import OPERATORS_MAX
from acumen.placement.measuring import MILLISECONDS, Contest, Entry, Finder, contest_of, measure
from acumen.placement.plan import (
    Deadline,
    Objective,
    Plan,
    PlanError,
    Planner,
    Score,
    by_processor_time,
)
from acumen.placement.planners import (
    dp,
    heft,
    layers,
    local,
    metf,
    metis,
    milp,
    msct,
    mtopo,
    refine,
    single,
)
from acumen.placement.pytorch.library import torch

DEFAULT = "single"
INSTALL = "pip install 'acumen[placement]'"


@dataclass(frozen=True, slots=True)
class Rival:
    """One planner.

    Attributes:
        name: in the rows.
        find: yields its plans.
        about: one line for people.
        contiguous: all its plans are.
        uses_time: it searches until its time is up, or nothing is left to be found.
    """

    name: str
    find: Finder
    about: str
    contiguous: bool = False
    uses_time: bool = False


def planned(planner: Planner, contest: Contest, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """What a planner yields for the contest's task."""
    return planner(contest.task, deadline, seed)


def find_expert(contest: Contest, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """The split made by hand or, without one, consecutive layers of equal work."""
    if contest.problem.expert is not None:
        yield Plan(contest.problem.expert)
    else:
        yield from layers.plan(contest.task, deadline, seed)


def find_split(contest: Contest, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """The best contiguous split, of a pipeline only."""
    _of_pipelines(contest)
    return dp.plan(contest.task, deadline, seed)


def find_by_program(contest: Contest, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """The mixed-integer program, of a pipeline only."""
    _of_pipelines(contest)
    return milp.plan(contest.task, deadline, seed)


def find_locally(contest: Contest, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """Annealing of a pipeline; of a step late acceptance, from the better of one device and HEFT.

    Raises:
        PlanError: there is no plan to start from.
    """
    if contest.task.objective == "throughput":
        yield from local.plan(contest.task, deadline, seed)
        return
    start: Plan | None = None
    best: Score | None = None
    for planner in (single, heft):
        for plan in planner.plan(contest.task, deadline, seed):
            worth = contest.score(plan)
            if worth.better_than(best):
                start, best = plan, worth
                yield plan
    if start is None:
        raise PlanError("neither one device nor a list schedule is a plan")
    yield from refine.plan(contest.task, deadline, seed, start, contest.score)


def find_by_all(contest: Contest, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """What `acumen place` finds: all planners of the objective, one after the other."""
    yield portfolio.place(contest.task, deadline.left, seed).plan


def _of_pipelines(contest: Contest) -> None:
    if contest.task.objective != "throughput":
        raise PlanError("it is of pipelines only")


def _rival(name: str, planner: Planner, about: str, **more: bool) -> Rival:
    return Rival(name, functools.partial(planned, planner), about, **more)


RIVALS = (
    _rival("single", single.plan, "everything on one device", contiguous=True),
    Rival("expert", find_expert, "people's split, or layers of equal work", contiguous=True),
    _rival("metis", metis.plan, "parts of equal work, least bytes between them (METIS)"),
    _rival("heft", heft.plan, "list scheduling by upward rank (HEFT, TPDS 2002)"),
    _rival("mtopo", mtopo.plan, "topological order, bytes of equal parts (m-TOPO, SoCC 2020)"),
    _rival("metf", metf.plan, "earliest start first (m-ETF, SoCC 2020)"),
    _rival("msct", msct.plan, "small communication times (m-SCT, SoCC 2020)"),
    Rival(
        "dp",
        find_split,
        "the best contiguous split: dynamic programming over ideals (NeurIPS 2020)",
        contiguous=True,
        uses_time=True,
    ),
    Rival("local", find_locally, "annealing, or late acceptance of one step", uses_time=True),
    Rival("milp", find_by_program, "mixed-integer program (HiGHS), from annealing", uses_time=True),
)
CONTIGUOUS = tuple(rival.name for rival in RIVALS if rival.contiguous)
PORTFOLIO = Rival("acumen", find_by_all, "all planners in turns, as `acumen place`", uses_time=True)


def heuristic_contenders() -> list[Contender]:
    """All planners that learn nothing."""
    return [contender(rival, "heuristic") for rival in RIVALS]


def portfolio_contender(seconds: float) -> Contender:
    """All planners under one budget; it is learned where a learned placer may be one of them."""
    if not set(portfolio.LEARNED) & set(portfolio.improvers_for(OPERATORS_MAX, seconds)):
        return contender(PORTFOLIO, "heuristic")
    return replace(contender(PORTFOLIO, "learned"), measure=measure_portfolio)


def measure_portfolio(entry: Entry, setting: Objective, seed: int) -> Measurement:
    """As `measure`; that loading PyTorch takes seconds is not the planners' fault."""
    torch()
    return measure(PORTFOLIO.find, entry, setting, seed)


def contender(rival: Rival, kind: Kind) -> Contender:
    """A planner as the race runs it."""
    return Contender(
        name=rival.name,
        kind=kind,
        measure=functools.partial(measure, rival.find),
        cost=1.0 if rival.uses_time else 0.05,
        default=rival.name == DEFAULT,
        by_clock=rival.uses_time,
        about=f"{'contiguous: ' if rival.contiguous else ''}{rival.about}",
    )


def bound_contender() -> Contender:
    """What no plan is below."""
    return Contender(
        name="bound",
        kind="bound",
        measure=measure_bound,
        cost=1.0,
        by_clock=True,
        about="no plan is below: critical path and work; of a pipeline prices of sets (HiGHS)",
    )


def measure_bound(entry: Entry, setting: Objective, seed: int) -> Measurement:
    """A certified bound, in milliseconds.

    Raises:
        BrokenError: there is no plan at all.
    """
    task = contest_of(entry.source, setting).task
    began = time.process_time()
    try:
        if setting == "latency":
            seconds = lower_bound(task)
        else:
            with by_processor_time():
                seconds = milp.bound(task, Deadline.after(entry.budget_seconds), seed)
    except PlanError as error:
        raise BrokenError(str(error)) from error
    return Measurement(seconds * MILLISECONDS, len(task.graph), time.process_time() - began)


def missing_rivals() -> str:
    """One line about what is not installed, or nothing."""
    needed = {"pymetis": "metis", "highspy": "milp, and the tight bound of a pipeline"}
    missing = [what for package, what in needed.items() if find_spec(package) is None]
    return f"Left out, not installed: {'; '.join(missing)}. For them: {INSTALL}" if missing else ""
