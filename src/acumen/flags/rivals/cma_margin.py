"""CatCMA with margin, of the package cmaes: what its authors advise for mixed spaces.

Categories and flags have a categorical distribution, whole numbers a normal one that never gets
narrower than a step allows, real numbers a normal one. (Hamano et al., "CatCMA with margin:
stochastic optimization for continuous, integer, and categorical variables", GECCO 2025.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from acumen.flags.measuring import Seen, active_part
from acumen.learners.search import Categorical, Integer, Real, Setting, Space, cma_es

# Whole numbers of more values than this are real ones that are rounded.
WHOLE_MAX = 512


def make(space: Space, budget: int, seed: int) -> CmaMargin:
    """The distribution at its authors' defaults; `budget` does not matter to it."""
    del budget
    return CmaMargin(space, seed)


class CmaMargin:
    """See the module. A distribution that has converged begins anew, twice as large."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seen, self._seed = space, Seen(space), seed
        self._reals: list[str] = []
        self._wholes: dict[str, list[float]] = {}
        self._categories: dict[str, tuple[Any, ...]] = {}
        for name, parameter in space.parameters.items():
            if isinstance(parameter, Categorical):
                self._categories[name] = tuple(parameter.values)
            elif isinstance(parameter, Integer) and parameter.size == 2:
                self._categories[name] = (parameter.low, parameter.high)
            elif isinstance(parameter, Integer) and parameter.size <= WHOLE_MAX:
                values = range(parameter.low, parameter.high + 1)
                self._wholes[name] = [parameter.genes(value)[0] for value in values]
            elif isinstance(parameter, (Integer, Real)):
                self._reals.append(name)
            else:
                raise TypeError(f"{name!r} is neither categorical nor a number")
        # A category of one value is none.
        self._fixed = {n: v[0] for n, v in self._categories.items() if len(v) == 1}
        self._categories = {n: v for n, v in self._categories.items() if len(v) > 1}
        self._optimizer = self._begin(None)
        self._generation: list[tuple[Any, float]] = []
        self._solution: Any = None
        self._setting: Setting = {}
        self._first = True

    def _begin(self, population: int | None) -> Any:
        self._seed += 1
        return cma_es.package().CatCMAwM(
            x_space=[[0.0, 1.0]] * len(self._reals) or None,
            z_space=list(self._wholes.values()) or None,
            c_space=[len(values) for values in self._categories.values()] or None,
            population_size=population,
            seed=self._seed % (1 << 31),
        )

    def ask(self) -> Setting:
        """The default first, then draws."""
        if self._first:
            self._setting = dict(self._space.default)
            return self._setting
        self._solution = self._optimizer.ask()
        values: dict[str, Any] = dict(self._fixed)
        places = list(zip(self._reals, np.atleast_1d(self._solution.x), strict=False))
        places += zip(self._wholes, np.atleast_1d(self._solution.z), strict=False)
        for name, place in places:
            values[name] = self._space.parameters[name].value([float(place)])
        for (name, given), row in zip(
            self._categories.items(), self._solution.c if self._categories else (), strict=True
        ):
            values[name] = given[int(np.argmax(row))]
        self._setting = active_part(self._space, values)
        return self._setting

    def tell(self, value: float | None) -> None:
        """A whole generation moves the distribution."""
        self._seen.add(self._setting, value)
        if self._first:
            self._first = False
            return
        self._generation.append((self._solution, self._seen.penalty() if value is None else value))
        if len(self._generation) < self._optimizer.population_size:
            return
        self._optimizer.tell(self._generation)
        self._generation = []
        # Categorical distributions alone never end.
        if (self._reals or self._wholes) and self._optimizer.should_stop():
            self._optimizer = self._begin(2 * self._optimizer.population_size)

    def best(self) -> Setting:
        """The best that was measured."""
        return self._seen.best()
