"""One search, as the race runs it: so many evaluations, then the true cost of what was chosen."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping
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


def measure_search(make: Maker, entry: Entry, budget: float, seed: int) -> Measurement:
    """A whole search from a cold start.

    Returns:
        The true cost of what was chosen over that of the default; processor time of asking and
        telling alone, without the measurements and without building the tuner.
    """
    objective = entry.open()
    space, evaluations = objective.space, round(float(budget))
    noise = np.random.default_rng([seed, evaluations, zlib.crc32(entry.name.encode())])
    tuner = make(space, evaluations, seed)
    seconds = 0.0
    for _ in range(evaluations):
        began = time.process_time()
        setting = tuner.ask()
        seconds += time.process_time() - began
        value = objective.measure(setting, noise) if space.valid(setting) else None
        began = time.process_time()
        tuner.tell(value)
        seconds += time.process_time() - began
    return Measurement(relative(objective, tuner.best()), evaluations, seconds)


def relative(objective: Objective, setting: Setting) -> float:
    """True cost over the default's."""
    return objective.true(setting) / objective.true(objective.space.default)
