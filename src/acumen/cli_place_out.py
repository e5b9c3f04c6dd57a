"""What `acumen place` writes and says besides the plan: files, stages, and what would fit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from acumen.cli_parts import fail
from acumen.evaluation.results import is_special

if TYPE_CHECKING:
    from acumen.placement.plan import Task
    from acumen.placement.portfolio import Result

SECONDS_MAX = 30.0
"""How long it is looked for what would fit."""


def check_outputs(graph: Path, *outputs: Path | None) -> None:
    """Ends the command if a file cannot be written: better now than after the search."""
    taken = [graph.resolve()]
    for path in outputs:
        if path is None or is_special(path):
            continue
        real = path.resolve()
        if not (real.parent.is_dir() and os.access(real.parent, os.W_OK)):
            fail(f"cannot write {path}: its folder is missing or read-only")
        if real in taken:
            fail(f"cannot write {path}: it is the graph or another output")
        taken.append(real)


def search_or_say(
    task: Task, budget: float, seed: int, search: Callable[[Task, float, int], Result]
) -> tuple[Result, str | None]:
    """The plan; and if it does not fit, what would, in one line.

    What is said about memory takes as long as the search at most, and `SECONDS_MAX`. If a plan that
    fits is met on the way, it is the plan.

    Raises:
        PlanError: there is no plan; if that is for want of memory, with that line.
        KeyboardInterrupt: before there was a plan.
    """
    from acumen.placement.fitting import fitting
    from acumen.placement.plan import Deadline, PlanError
    from acumen.placement.portfolio import Row

    seconds = min(budget, SECONDS_MAX)
    try:
        result = search(task, budget, seed)
    except PlanError as error:
        fit = fitting(task, Deadline.after(seconds))
        if fit is None or fit.least_bytes <= fit.memory_bytes:
            raise
        raise PlanError(fit.sentence(task.cluster)) from error
    excess = result.score.excess_bytes
    if not excess:
        return result, None
    began = time.monotonic()
    try:
        # Whoever has stopped the search does not want to wait for that either.
        left = Deadline.after(0.0 if result.interrupted else seconds)
        fit = fitting(task, left, result.plan)
    except KeyboardInterrupt:
        fit = None
    except PlanError as error:  # what other devices hold is too little
        return result, str(error)
    if fit is None:
        needs = f"the best one needs {excess:,} bytes more"
        return result, f"no plan was found that fits{task.with_pins}: {needs}"
    if fit.enough is None or fit.score is None or fit.score.excess_bytes:
        return result, fit.sentence(task.cluster)
    row = Row("spread", time.monotonic() - began, fit.score)
    return replace(result, plan=fit.enough, score=fit.score, rows=(*result.rows, row)), None


def show_stages(task: Task, result: Result, modules: Sequence[str] | None) -> None:
    """Prints the stages of a pipeline with what each begins with, or that there are none."""
    from acumen.placement.stages import stages

    console = Console()
    row = stages(task, result.plan, modules)
    if row is None:
        console.print("data flow back and forth between devices: no pipeline of stages")
        return
    for number, stage in enumerate(row):
        name = task.cluster.devices[stage.device].name
        module = "" if stage.module is None else f" (module {stage.module})"
        console.print(
            f"stage {number} on {name}: {stage.operators:,} operators from {stage.first}{module}, "
            f"load {stage.load_seconds * 1e3:,.3f} ms",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


def write(
    task: Task,
    result: Result,
    modules: Sequence[str] | None,
    out: Path | None,
    trace: Path | None,
    page: Path | None,
    notes: Sequence[str] = (),
) -> None:
    """Writes what is wanted, each file whole or not at all; `notes` as for `save_plan`.

    Raises:
        OSError: a file cannot be written.
        ValueError: the plan's step never ends, so that there is nothing to show.
    """
    from acumen.placement.page import save_page
    from acumen.placement.plan_file import save_plan
    from acumen.placement.trace import save_trace

    if out is not None:
        save_plan(out, task, result, modules, notes)
    if trace is not None:
        save_trace(trace, task, result.plan)
    if page is not None:
        save_page(page, task, result, modules)
