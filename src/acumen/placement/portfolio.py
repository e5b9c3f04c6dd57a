"""Many planners under one time budget; the best plan that any of them has found.

Planners run in the order given, the quick ones first, then improvers, which begin with the best
plan so far. Every plan is scored here, so that a planner's own opinion counts for nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec

from acumen.placement import loads
from acumen.placement.bounds import lower_bound
from acumen.placement.load_bound import certified_bounds, throughput_bound
from acumen.placement.plan import Deadline, Plan, PlanError, Planner, Score, Task
from acumen.placement.planners import (
    anneal,
    dp,
    heft,
    hierarchical,
    layers,
    local,
    metf,
    metis,
    milp,
    modules,
    msct,
    mtopo,
    refine,
    sequence,
    single,
)
from acumen.placement.simulator import Simulator

# Of the time, for certifying how far from optimal a pipeline's plan is.
_BOUND_SHARE = 0.3

Scorer = Callable[[Plan], Score]
Improver = Callable[[Task, Deadline, int, Plan, Scorer], Iterator[Plan]]

# By what they cost: the first ones take milliseconds, HEFT less than a second on 80,000 operators.
LATENCY_PLANNERS: Mapping[str, Planner] = {
    "single": single.plan,
    "layers": layers.plan,
    "mtopo": mtopo.plan,
    "heft": heft.plan,
    "metf": metf.plan,
    "metis": metis.plan,
    "msct": msct.plan,
    "modules": modules.plan,
}
IMPROVERS: Mapping[str, Improver] = {"refine": refine.plan, "anneal": anneal.plan}
LEARNED: Mapping[str, Improver] = {
    "sequence": sequence.improve,
    "hierarchical": hierarchical.improve,
}
# What learns begins with loading PyTorch, a second or two; of a small graph local search, which
# moves single units, sees enough.
_LEARNING_SECONDS_MIN, _LEARNING_OPERATORS_MIN = 5.0, 2_000
# Of a pipeline.
THROUGHPUT_PLANNERS: Mapping[str, Planner] = {
    "single": single.plan,
    "layers": layers.plan,
    "metis": metis.plan,
    "modules": modules.plan,
    "dp": dp.plan,
}
# The program ends at once where it is too large, and all of the time is local search's.
THROUGHPUT_IMPROVERS: Mapping[str, Improver] = {"milp": milp.improve, "local": local.improve}


def improvers_for(operators: int, seconds: float) -> Mapping[str, Improver]:
    """Who improves a step's plan in that time: where PyTorch is installed, a learned planner too.

    Of the learned ones the hierarchical planner, on large graphs: there it finds what local search
    does not. The other one has improved no plan of a real graph.
    """
    small = seconds < _LEARNING_SECONDS_MIN or operators < _LEARNING_OPERATORS_MIN
    if small or find_spec("torch") is None:
        return IMPROVERS
    return {"hierarchical": LEARNED["hierarchical"], "refine": refine.plan}


def place(
    task: Task,
    seconds: float,
    seed: int = 0,
    progress: Callable[[str, Score], None] | None = None,
) -> Result:
    """The best plan that all planners of the task's objective find in the time given.

    Args:
        task: what is placed.
        seconds: for all of them, and for the bound.
        seed: of everything drawn.
        progress: is told of each plan that is better than all before, and by whom it is.

    Raises:
        PlanError: there is no plan, or none was found; the message says why.
    """
    if task.objective == "latency":
        simulator = Simulator(task)
        bound = lower_bound(task)
        return best_plan(
            task,
            seconds,
            seed,
            score=simulator.score,
            improvers=improvers_for(len(task.graph), seconds),
            bound=bound,
            progress=progress,
        )
    result = best_plan(
        task,
        seconds * (1 - _BOUND_SHARE),
        seed,
        score=partial(loads.score, task),
        planners=THROUGHPUT_PLANNERS,
        improvers=THROUGHPUT_IMPROVERS,
        bound=throughput_bound(task),
        progress=progress,
    )
    if result.interrupted or result.score.excess_bytes or not result.gap:
        return result
    known = [result.plan.device]
    time_left = Deadline.after(seconds * _BOUND_SHARE)
    try:
        for certified in certified_bounds(task, result.score.seconds, known, time_left):
            result = replace(result, bound=max(result.bound, certified))
    except KeyboardInterrupt:  # the plan is there, and what is certified by now
        return replace(result, interrupted=True)
    return result


@dataclass(frozen=True)
class Row:
    """What one planner did.

    Attributes:
        name: of the planner.
        seconds: that it took, scoring included.
        score: of its best plan; None: it has found none.
        problem: why it stopped before it was done, in one line; None: it did not.
    """

    name: str
    seconds: float
    score: Score | None
    problem: str | None = None


@dataclass(frozen=True)
class Result:
    """The best plan, and how it was found.

    Attributes:
        plan: the best one.
        score: what it is worth.
        bound: what no plan can be below, in seconds; 0: not known.
        rows: a row a planner, in the order in which they ran.
        interrupted: someone pressed Ctrl-C, and this was the best plan by then.
    """

    plan: Plan
    score: Score
    bound: float
    rows: tuple[Row, ...]
    interrupted: bool = False

    @property
    def gap(self) -> float:
        """By which share of its seconds the plan could at most be better; from 0 to 1."""
        if not self.score.seconds > 0.0:
            return 0.0
        return max(0.0, 1.0 - self.bound / self.score.seconds)


@dataclass
class _Run:
    """The best so far, and what has been said."""

    task: Task
    score: Scorer
    bound: float
    progress: Callable[[str, Score], None] | None
    plan: Plan | None = None
    best: Score | None = None
    rows: list[Row] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Nothing can be better."""
        best = self.best
        return best is not None and best.excess_bytes == 0 and best.seconds <= self.bound

    def take(self, name: str, planned: Callable[[], Iterator[Plan]], deadline: Deadline) -> None:
        """Scores all that a planner yields, until its time is up; it may raise what it likes.

        What cannot run, as it breaks a pin or a group, is no plan.
        """
        began, mine, problem = time.monotonic(), None, None
        try:
            for plan in planned():
                score = self.score(plan)
                if not score.seconds < math.inf:
                    problem = f"its plan cannot run{self.task.with_pins}"
                    continue
                if score.better_than(mine):
                    mine = score
                if score.better_than(self.best):
                    self.plan, self.best = plan, score
                    if self.progress is not None:
                        self.progress(name, score)
                if self.done or not deadline:
                    break
        except PlanError as error:
            problem = str(error)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        finally:
            self.rows.append(Row(name, time.monotonic() - began, mine, problem))

    def explain(self) -> None:
        """Says of a planner that has found nothing, and not said why, what it had to heed."""
        last = self.rows[-1]
        if last.score is None and last.problem is None:
            self.rows[-1] = replace(last, problem=f"no plan found{self.task.with_pins}")


def best_plan(
    task: Task,
    seconds: float,
    seed: int,
    *,
    score: Scorer,
    planners: Mapping[str, Planner] = LATENCY_PLANNERS,
    improvers: Mapping[str, Improver] = IMPROVERS,
    bound: float = 0.0,
    progress: Callable[[str, Score], None] | None = None,
) -> Result:
    """The best plan that is found in the time given.

    Where `single` is among the planners, it is never worse than one device, if pins leave one. A
    planner that raises is reported in its row. Time is looked at between plans, so the last planner
    may overrun it.

    Args:
        task: what is placed.
        seconds: for everything. The first planner runs whatever it is.
        seed: for all planners.
        score: what a plan is worth, by the task's objective.
        planners: run one after the other; each may use half of what is left.
        improvers: run after them, each with as large a share of what is left.
        bound: what no plan can be below, in seconds; where a plan reaches it, the search ends.
        progress: is told of each plan that is better than all before, and by whom it is.

    Raises:
        PlanError: no planner has found a plan; the message is that of the first one.
        KeyboardInterrupt: before there was a plan; later it ends the search.
    """
    run = _Run(task, score, bound, progress)
    whole = Deadline.after(seconds)
    interrupted = False
    try:
        for number, (name, planner) in enumerate(planners.items()):
            if run.done or (number and not whole):
                break
            mine = Deadline.after(whole.left / 2)
            run.take(name, partial(planner, task, mine, seed), mine)
            run.explain()
        for number, (name, improver) in enumerate(improvers.items()):
            start = run.plan
            if run.done or not whole or start is None:
                break
            mine = Deadline.after(whole.left / (len(improvers) - number))
            run.take(name, partial(improver, task, mine, seed, start, score), mine)
    except KeyboardInterrupt:
        if run.plan is None:
            raise
        interrupted = True
    if run.plan is None or run.best is None:
        reasons = [row.problem for row in run.rows if row.problem is not None]
        raise PlanError(reasons[0] if reasons else "no planner has found a plan")
    return Result(run.plan, run.best, bound, tuple(run.rows), interrupted)
