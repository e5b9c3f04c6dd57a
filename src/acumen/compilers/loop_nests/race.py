"""Races whole programs: their loops chosen by search, or by the rules of compilers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acumen.compilers.loop_nests.heuristics import heuristic_contenders, missing_rivals
from acumen.compilers.loop_nests.learned import learned_contenders, missing_learned
from acumen.compilers.loop_nests.workloads import workloads_of
from acumen.evaluation import Ask, Contender, Metric, Workload

ROUNDS, QUICK_ROUNDS = 7, 6

METRIC = Metric(
    name="seconds",
    goal="minimize",
    label="seconds of the whole program",
    setting="size",
    operation="runs",
    timed=True,
    digits=3,
)


@dataclass(frozen=True, slots=True)
class LoopNestRace:
    """The race of this domain."""

    domain: str = "loop_nests"
    summary: str = "in which order, tiles, vectors and threads the loops of a program run"
    metric: Metric = METRIC

    def workloads(self, ask: Ask) -> Sequence[Workload]:
        """Programs named one by one, those of a folder, or the kernels at PolyBench's sizes.

        Raises:
            RaceError: the folder holds no C file.
        """
        return workloads_of(ask)

    def contenders(self, ask: Ask) -> Sequence[Contender]:
        """The search and the compilers that are installed."""
        rounds = QUICK_ROUNDS if ask.quick else ROUNDS
        return [*learned_contenders(rounds), *heuristic_contenders(rounds)]

    def bound(self, ask: Ask) -> Contender | None:
        """Nobody knows one."""
        return None

    def notes(self, ask: Ask) -> Sequence[str]:
        """Who is missing."""
        return [note for note in (missing_learned(), missing_rivals()) if note]


RACE = LoopNestRace()
