"""The rivals of Acumen's search: random search, other people's tuners, and the bound.

What a rival chooses is the setting whose measurements have the least mean. Everybody measures the
default first, as their authors advise where there is one.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from acumen.evaluation import BrokenError, Contender, Measurement
from acumen.flags.measuring import (
    Budget,
    Entry,
    Maker,
    Seen,
    measure_search,
    relative,
    sweep_search,
)
from acumen.flags.rivals import cma_margin, nevergrad_ngopt, open_tuner, optuna_tpe
from acumen.learners.search import Setting, Space

INSTALL = "pip install 'acumen[search,tuners]'"


class RandomDraws:
    """Random search: the default, then every setting as likely as the others."""

    def __init__(self, space: Space, budget: int, seed: int) -> None:
        del budget
        self._space, self._seen = space, Seen(space)
        self._rng = np.random.default_rng(seed)
        self._setting: Setting = {}

    def ask(self) -> Setting:
        """A setting, drawn anew; the default first."""
        first = not self._setting
        self._setting = dict(self._space.default) if first else self._space.sample(self._rng)
        return self._setting

    def tell(self, value: float | None) -> None:
        """Nothing is learned."""
        self._seen.add(self._setting, value)

    def best(self) -> Setting:
        """The best that was measured."""
        return self._seen.best()


@dataclass(frozen=True, slots=True)
class Rival:
    """A tuner.

    Attributes:
        name: in the rows.
        make: builds it.
        packages: what it needs, as modules.
        cost: seconds per million suggestions, roughly.
        about: one line for people.
        budgeted: what it does depends on how many evaluations it will have. The others come past
            smaller budgets on the way to the largest one.
    """

    name: str
    make: Maker
    packages: tuple[str, ...]
    cost: float
    about: str
    budgeted: bool = False

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [package for package in self.packages if find_spec(package) is None]

    def contender(self, repeats: int) -> Contender:
        """As it races, with so many seeds."""
        return Contender(
            name=self.name,
            kind="heuristic",
            measure=functools.partial(measure_search, self.make),
            cost=self.cost,
            repeats=repeats,
            about=self.about,
            sweep=None if self.budgeted else functools.partial(sweep_search, self.make),
        )


RIVALS = (
    Rival("random", RandomDraws, (), 30.0, "random search: the control"),
    Rival("tpe", optuna_tpe.make, ("optuna",), 5000.0, "Optuna's TPE, multivariate"),
    Rival(
        "cmaes", cma_margin.make, ("cmaes", "scipy"), 500.0, "CatCMA with margin (package cmaes)"
    ),
    Rival("opentuner", open_tuner.make, ("opentuner",), 12000.0, "OpenTuner's AUC bandit"),
    Rival("ngopt", nevergrad_ngopt.make, ("nevergrad",), 15000.0, "Nevergrad's NGOpt", True),
)


def heuristic_contenders(repeats: int) -> list[Contender]:
    """The default as it is, and the rivals that are installed."""
    default = Contender(
        name="default",
        kind="heuristic",
        measure=measure_default,
        default=True,
        about="nothing searched: the default",
    )
    return [default, *(rival.contender(repeats) for rival in RIVALS if not rival.missing)]


def missing_rivals() -> str:
    """One line about the rivals that do not run, or nothing: a smaller field is easier to lead."""
    left_out = [f"{r.name} (needs {', '.join(r.missing)})" for r in RIVALS if r.missing]
    if not left_out:
        return ""
    return f"Left out, not installed: {'; '.join(left_out)}. For them: {INSTALL}"


def bound_contender() -> Contender:
    """The best setting there is."""
    return Contender(
        name="best",
        kind="bound",
        measure=measure_best,
        cost=1.0,
        about="the optimum by construction; of a table its best setting, known with hindsight",
    )


def measure_default(entry: Entry, budget: Budget, seed: int) -> Measurement:
    """The default costs what it costs."""
    del budget, seed
    objective = entry.open()
    began = time.process_time()
    return Measurement(relative(objective, objective.space.default), 1, time.process_time() - began)


def measure_best(entry: Entry, budget: Budget, seed: int) -> Measurement:
    """The least true cost of any setting, over the default's.

    Raises:
        BrokenError: nobody knows it.
    """
    del budget, seed
    objective = entry.open()
    if objective.best is None:
        raise BrokenError("nobody knows the best setting")
    return Measurement(objective.best / objective.true(objective.space.default), 1, 0.0)
