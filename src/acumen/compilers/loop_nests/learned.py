"""The search as a contender: what it chose for this program, having learned from others alone."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

from acumen.compilers.loop_nests.errors import LoopNestError
from acumen.compilers.loop_nests.heuristics import SECONDS_MAX, run_once
from acumen.compilers.loop_nests.program import load_program
from acumen.compilers.loop_nests.tuning import Tuner, cores
from acumen.compilers.loop_nests.workloads import Task
from acumen.evaluation import BrokenError, Contender, Measurement

BUDGET, QUICK_BUDGET = 30, 4
# What took less than this part of the original's time needs no confirmation: the race is one.
_OBVIOUS = 0.5


def learned_contenders(rounds: int) -> list[Contender]:
    """The search, and what it chose once more as the control."""
    if find_spec("islpy") is None or find_spec("pycparser") is None:
        return []
    about = "loops chosen by search among those proved legal"
    return [
        Contender(
            "acumen", "learned", measure, repeats=rounds, seconds_max=SECONDS_MAX, about=about
        ),
        Contender(
            "again",
            "learned",
            measure,
            repeats=rounds,
            seconds_max=SECONDS_MAX,
            control=True,
            about="an A/A control",
        ),
    ]


def missing_learned() -> str:
    """What has to be installed; empty if nothing is missing."""
    return "" if learned_contenders(1) else "acumen itself needs: pip install 'acumen[compilers]'"


def measure(task: Task, setting: str, seed: int) -> Measurement:
    """Searches, once, and runs what was found: the time is that of a fresh run.

    Raises:
        BrokenError: the region cannot be modelled, or the program not run.
    """
    del seed
    executable = task.scratch / f"{task.name}-acumen"
    if not executable.exists():
        try:
            program = load_program(task.path, task.scratch, task.flags(setting))
            budget = QUICK_BUDGET if task.quick else BUDGET
            tuner = Tuner(program, cores(), budget, task.seed, without=task.name, obvious=_OBVIOUS)
            tuned = tuner.run(repeats=6)
        except LoopNestError as error:
            raise BrokenError(str(error)) from error
        shutil.copy(tuned.executable, executable)
    return run_once(executable, task, setting)
