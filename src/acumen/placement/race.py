"""Races device placement: a step's latency, or a pipeline's largest load, by who placed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acumen.evaluation import Ask, Contender, Metric, Workload
from acumen.placement.heuristics import (
    CONTIGUOUS,
    bound_contender,
    heuristic_contenders,
    missing_rivals,
    portfolio_contender,
)
from acumen.placement.learned import learned_contenders, missing_learned
from acumen.placement.workloads import BUDGET_SECONDS, QUICK_SECONDS, workloads_of

METRIC = Metric(
    name="ms_per_step",
    goal="minimize",
    label="milliseconds a step",
    setting="objective",
    operation="operators",
    digits=3,
)


@dataclass(frozen=True, slots=True)
class PlacementRace:
    """The race of this domain."""

    domain: str = "placement"
    summary: str = "on which device every operator of a program runs"
    metric: Metric = METRIC

    def workloads(self, ask: Ask) -> Sequence[Workload]:
        """Graphs of files, captured steps, or else a network of the race's own.

        Raises:
            RaceError: the folder holds no graph.
        """
        return workloads_of(ask)

    def contenders(self, ask: Ask) -> Sequence[Contender]:
        """Those that learn, the planners of the literature, and all of them under one budget."""
        everybody = portfolio_contender(QUICK_SECONDS if ask.quick else BUDGET_SECONDS)
        return [*learned_contenders(), everybody, *heuristic_contenders()]

    def bound(self, ask: Ask) -> Contender | None:
        """What no plan is below."""
        return bound_contender()

    def notes(self, ask: Ask) -> Sequence[str]:
        """Which plans are contiguous, and who is missing."""
        contiguous = f"Contiguous plans: {', '.join(CONTIGUOUS)}; the others may be any"
        return [note for note in (contiguous, missing_rivals(), missing_learned()) if note]


RACE = PlacementRace()
