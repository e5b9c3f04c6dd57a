"""Races searches for good settings: the true cost of what each chose, at equal evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acumen.evaluation import Ask, Contender, Metric, Workload
from acumen.flags.heuristics import bound_contender, heuristic_contenders, missing_rivals
from acumen.flags.learned import learned_contenders
from acumen.flags.workloads import workloads_of

# Searches of each contender in each cell, with seeds of their own.
SEEDS, QUICK_SEEDS = 11, 3

METRIC = Metric(
    name="relative_cost",
    goal="minimize",
    label="true cost of the chosen setting / the default's",
    setting="evaluations",
    operation="suggestions",
    medians=True,
)


@dataclass(frozen=True, slots=True)
class FlagsRace:
    """The race of this domain."""

    domain: str = "flags"
    summary: str = "which setting of a program's flags to measure next, and which to choose"
    metric: Metric = METRIC

    def workloads(self, ask: Ask) -> Sequence[Workload]:
        """Tables of files; else drawn objectives and the tables of compilers' flags.

        Raises:
            RaceError: the folder holds no table.
        """
        return workloads_of(ask)

    def contenders(self, ask: Ask) -> Sequence[Contender]:
        """Acumen's search, and the rivals that are installed."""
        seeds = QUICK_SEEDS if ask.quick else SEEDS
        return [*learned_contenders(seeds, ask.only), *heuristic_contenders(seeds)]

    def bound(self, ask: Ask) -> Contender | None:
        """The best setting there is."""
        return bound_contender()

    def notes(self, ask: Ask) -> Sequence[str]:
        """Says which rivals are missing."""
        missing = missing_rivals()
        return [missing] if missing else []


RACE = FlagsRace()
