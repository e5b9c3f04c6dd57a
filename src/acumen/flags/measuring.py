"""One search, as the race runs it: so many evaluations, then the true cost of what was chosen."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from acumen.evaluation import Measurement
from acumen.learners.search import Setting, Space


class Objective(Protocol):
    """What is searched.

    Attributes:
        space: what may be set.
        best: the least true cost that any setting has; None where nobody knows it.
    """

    @property
    def space(self) -> Space:
        """What may be set."""

    @property
    def best(self) -> float | None:
        """The least true cost of any setting."""

    def measure(self, setting: Setting, rng: np.random.Generator) -> float | None:
        """One measurement, as noisy as they are; None: it failed."""

    def true(self, setting: Setting) -> float:
        """What a setting costs, without noise or on measurements that no search has seen."""


class Entry(Protocol):
    """What travels to other processes: knows how to open an objective."""

    @property
    def name(self) -> str:
        """The workload's name."""

    def open(self) -> Objective:
        """The objective; opened once a process."""


class Tuner(Protocol):
    """A search in progress, whoever wrote it: asked, told, asked for its choice."""

    def ask(self) -> Setting:
        """What to measure next."""

    def tell(self, value: float | None) -> None:
        """What came of the last one; None: it failed."""

    def best(self) -> Setting:
        """What it would choose now."""


# Evaluations, as a race names a cell's setting.
Budget = float | str
# space, evaluations, seed → a search.
Maker = Callable[[Space, int, int], Tuner]


class Seen:
    """What a tuner has measured. It chooses the least mean: its library does not look further.

    Attributes:
        worst: the largest value so far; 0 before there is one.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._values: dict[str, tuple[Setting, list[float]]] = {}
        self.worst = 0.0

    def add(self, setting: Setting, value: float | None) -> None:
        """A measurement; one that failed is never chosen."""
        if value is not None:
            self.worst = max(self.worst, value)
            self._values.setdefault(self._space.key(setting), (setting, []))[1].append(value)

    def __contains__(self, setting: Setting) -> bool:
        """Whether it was measured and worked."""
        return self._space.key(setting) in self._values

    def penalty(self) -> float:
        """What to tell a library that knows no failures: worse than all that was seen."""
        return 2.0 * self.worst + 1.0

    def best(self) -> Setting:
        """The setting of the least mean; the default while there is none."""
        if not self._values:
            return dict(self._space.default)
        setting, _ = min(self._values.values(), key=lambda pair: sum(pair[1]) / len(pair[1]))
        return setting


def active_part(space: Space, values: Mapping[str, Any]) -> Setting:
    """A setting from a value for every parameter: those whose condition does not hold are left out.

    For libraries that know no conditional parameters.
    """
    setting: Setting = {}
    for name in space.parents_first:
        if space.active_in(name, setting):
            setting[name] = values[name]
    return {name: setting[name] for name in space.parameters if name in setting}


def measure_search(make: Maker, entry: Entry, budget: Budget, seed: int) -> Measurement:
    """A whole search from a cold start; see `sweep_search`."""
    return sweep_search(make, entry, (budget,), seed)[0]


def sweep_search(
    make: Maker, entry: Entry, budgets: Sequence[Budget], seed: int
) -> list[Measurement]:
    """A whole search from a cold start, and what it would have chosen on the way.

    Args:
        make: builds the tuner, which is told the largest budget.
        entry: what is searched.
        budgets: evaluations after which it is asked for its choice.
        seed: of the tuner and, apart from it, of the measurements' noise.

    Returns:
        For each budget the true cost of the choice over that of the default; processor time of
        asking and telling alone, without the measurements and without building the tuner.
    """
    objective, places = entry.open(), [round(float(budget)) for budget in budgets]
    space = objective.space
    noise = np.random.default_rng([seed, zlib.crc32(entry.name.encode())])
    tuner = make(space, max(places), seed)
    seconds = 0.0
    found = {}
    for evaluations in range(1, max(places) + 1):
        began = time.process_time()
        setting = tuner.ask()
        seconds += time.process_time() - began
        value = objective.measure(setting, noise) if space.valid(setting) else None
        began = time.process_time()
        tuner.tell(value)
        seconds += time.process_time() - began
        if evaluations in places:
            cost = relative(objective, tuner.best())
            found[evaluations] = Measurement(cost, evaluations, seconds)
    return [found[place] for place in places]


def relative(objective: Objective, setting: Setting) -> float:
    """True cost over the default's."""
    return objective.true(setting) / objective.true(objective.space.default)
