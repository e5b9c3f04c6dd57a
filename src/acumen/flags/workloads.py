"""What is searched in the race: drawn objectives, recorded times, and programs themselves."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acumen.evaluation import Ask, Prepared, RaceError, Workload, WorkloadError
from acumen.flags import recorded, synthetic
from acumen.flags.live import COMPILERS, LiveEntry
from acumen.flags.measuring import Entry, Objective
from acumen.learners.search import Setting, Space

# Evaluations; a table has some hundred settings, so that less has to do there.
BUDGETS, TABLE_BUDGETS = (50.0, 100.0, 200.0), (25.0, 50.0, 100.0)
QUICK_FAMILIES = ("branches", "noisy", "pairs")
QUICK_TABLES = 2
QUICK_BUDGETS, QUICK_LIVE_BUDGETS = (50.0,), (25.0,)
ENDING, SOURCE = ".npz", ".c"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A synthetic objective, to be drawn where it is searched."""

    family: str
    seed: int

    @property
    def name(self) -> str:
        """The workload's name."""
        return self.family

    def open(self) -> Objective:
        """Draws it."""
        return _drawn(self.family, self.seed)


@dataclass(frozen=True, slots=True)
class FromTable:
    """A recorded objective, to be read where it is searched."""

    path: Path
    name: str

    def open(self) -> Objective:
        """Reads it; raises WorkloadError."""
        return _recorded(self.path, self.name)


@functools.lru_cache(maxsize=4)
def _drawn(family: str, seed: int) -> synthetic.Synthetic:
    return synthetic.draw(family, seed)


@functools.lru_cache(maxsize=4)
def _recorded(path: Path, name: str) -> Recorded:
    return Recorded(recorded.read_table(path, name))


class Recorded:
    """A table as an objective: searches draw from the even rounds, the odd ones are the truth.

    The truth is the least time, as other work on a machine only ever adds to it.
    """

    def __init__(self, table: recorded.Table) -> None:
        self._space, self._row = table.space, table.rows()
        self._seen: NDArray[np.float64] = table.seconds[:, 0::2]
        self._truth = table.seconds[:, 1::2].min(axis=1)

    @property
    def space(self) -> Space:
        """What may be set."""
        return self._space

    @property
    def best(self) -> float:
        """The best setting's least time in the odd rounds, in seconds."""
        return float(np.nanmin(self._truth))

    def measure(self, setting: Setting, rng: np.random.Generator) -> float | None:
        """A run of an even round, in seconds; None where the program failed."""
        found = float(rng.choice(self._seen[self._row[self._space.key(setting)]]))
        return found if np.isfinite(found) else None

    def true(self, setting: Setting) -> float:
        """The least time of the odd rounds, in seconds; infinite where the program failed."""
        found = float(self._truth[self._row[self._space.key(setting)]])
        return found if np.isfinite(found) else float("inf")


def workloads_of(ask: Ask) -> Sequence[Workload]:
    """Tables and C programs named one by one, tables of a folder; else what Acumen brings itself.

    Raises:
        RaceError: the folder holds no table.
    """
    paths = list(ask.files)
    if ask.data is not None:
        found = sorted(ask.data.glob(f"*{ENDING}"))
        if not found:
            raise RaceError(f"no tables of measurements (*{ENDING}) in {ask.data}")
        paths += found
    loads = []
    for path in dict.fromkeys(paths):
        loads += _live(path, ask.quick) if path.suffix == SOURCE else _tables(path, ask.quick)
    if not paths:
        families = QUICK_FAMILIES if ask.quick else tuple(synthetic.FAMILIES)
        loads = [_workload(Drawn(family, ask.seed), 1, ask.quick) for family in families]
        loads += _tables(recorded.SHIPPED, ask.quick)
    return loads


def prepare(entry: Entry, budgets: tuple[float, ...], scratch: Path) -> Prepared:
    """Opens an objective, to see whether that works; raises WorkloadError."""
    del scratch
    objective = entry.open()
    space = objective.space
    detail = f"{len(space.parameters)} parameters, {space.size():.4g} settings"
    if objective.best is not None:
        room = objective.true(space.default) / objective.best
        detail += f"; the default costs {room:.2f} times the best"
    return Prepared(entry, budgets, round(max(budgets)), detail)


def _tables(path: Path, quick: bool) -> list[Workload]:
    """The tables of a file; a file that cannot be read is a workload that says so."""
    try:
        names = recorded.table_names(path)
    except WorkloadError as error:
        return [Workload(path.name, functools.partial(_refuse, f"{error} ({path})"))]
    most = QUICK_TABLES if quick else None
    return [_workload(FromTable(path, name), 2, quick) for name in names[:most]]


def _live(path: Path, quick: bool) -> list[Workload]:
    """A program with each compiler; its compiling and running are the work."""
    budgets = QUICK_LIVE_BUDGETS if quick else TABLE_BUDGETS
    entries = [LiveEntry(path, compiler) for compiler in COMPILERS]
    return [
        Workload(entry.name, functools.partial(prepare, entry, budgets), 3) for entry in entries
    ]


def _refuse(message: str, scratch: Path) -> Prepared:
    del scratch
    raise WorkloadError(message)


def _workload(entry: Drawn | FromTable, size: int, quick: bool) -> Workload:
    usual = BUDGETS if isinstance(entry, Drawn) else TABLE_BUDGETS
    budgets: tuple[float, ...] = QUICK_BUDGETS if quick else usual
    return Workload(entry.name, functools.partial(prepare, entry, budgets), size)
