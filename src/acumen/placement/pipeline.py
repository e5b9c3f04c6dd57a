"""The best plan that is a pipeline of stages, where data never flow back between devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from acumen.placement import loads
from acumen.placement.bounds import lower_bound
from acumen.placement.load_bound import throughput_bound
from acumen.placement.plan import Deadline, Plan, Planner, Score, Task
from acumen.placement.planners import dp, layers, single
from acumen.placement.portfolio import Result, best_plan
from acumen.placement.simulator import Simulator
from acumen.placement.stages import stages

PLANNERS = {"single": single.plan, "layers": layers.plan, "dp": dp.plan}


def place_pipeline(
    task: Task,
    seconds: float,
    seed: int = 0,
    progress: Callable[[str, Score], None] | None = None,
) -> Result:
    """As `acumen.placement.place`, but among contiguous plans only.

    Of a step's latency, too, though no planner here looks for that: a pipeline that is evenly
    loaded is taken if a step of it is short. The bound is that of all plans, contiguous or not.

    Raises:
        PlanError: there is no plan, or none was found; the message says why.
    """
    throughput = task.objective == "throughput"
    return best_plan(
        task,
        seconds,
        seed,
        score=partial(loads.score, task) if throughput else Simulator(task).score,
        planners={name: _only_rows(planner) for name, planner in PLANNERS.items()},
        improvers={},
        bound=throughput_bound(task) if throughput else lower_bound(task),
        progress=progress,
    )


def _only_rows(planner: Planner) -> Planner:
    def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
        for found in planner(task, deadline, seed):
            if stages(task, found) is not None:
                yield found

    return plan
