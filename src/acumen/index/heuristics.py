"""The rivals: what is searched with where nothing is learned, and other libraries' structures.

All of them are called as their users call them: in batches where there are batches, else one query
after the other. Libraries that are not installed are left out, and said so; each is imported here
only, when first needed. `tree` and `search` are Acumen's own, always in use instead of measured.
"""

from __future__ import annotations

import bisect
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np

from acumen.evaluation import BrokenError, Contender
from acumen.index.learned import build_index
from acumen.index.measuring import Lookup, contender, keys_bytes
from acumen.index.workloads import Keys

INSTALL = "pip install 'acumen[race]'"
# Who answers one query after the other needs a microsecond for each, and no precise figure.
ROUNDS_ONE_BY_ONE = 3
# Python's own objects take some forty bytes a key.
OBJECTS_MAX = 2_000_000


@dataclass(frozen=True, slots=True)
class Rival:
    """A way to search; `package` is what has to be installed for it, if anything.

    One that is not in `batches` takes part in the first rounds only.
    """

    name: str
    build: Callable[[Keys], Lookup]
    cost: float
    about: str
    package: str | None = None
    batches: bool = True

    @property
    def is_here(self) -> bool:
        """Whether it can be measured in this installation."""
        return self.package is None or find_spec(self.package) is not None


def build_numpy(keys: Keys) -> Lookup:
    """numpy.searchsorted over the keys themselves."""
    return Lookup(functools.partial(np.searchsorted, keys), _beside(keys, keys))


def build_bisect(keys: Keys) -> Lookup:
    """bisect.bisect_left on a list, one query after the other."""
    column = _objects(keys)
    return Lookup(
        _one_by_one(functools.partial(bisect.bisect_left, column)), _beside(keys, column), _listed
    )


def build_sortedlist(keys: Keys) -> Lookup:
    """sortedcontainers.SortedList.bisect_left, one query after the other."""
    from sortedcontainers import SortedList

    column = _objects(keys)
    return Lookup(_one_by_one(SortedList(column).bisect_left), _beside(keys, column), _listed)


def build_pygm(keys: Keys) -> Lookup:
    """pygm.SortedList.bisect_left (a PGM-index with its default ε of 64), one by one."""
    if keys.dtype.kind == "O":
        raise BrokenError("it has numbers only")
    from pygm import SortedList

    column = SortedList(keys)
    return Lookup(_one_by_one(column.bisect_left), column.stats()["index size"], _listed)


def build_pandas(keys: Keys) -> Lookup:
    """pandas.Index.searchsorted."""
    import pandas

    index = pandas.Index(keys)
    held = keys if index.dtype == object or keys.dtype.kind != "O" else None
    return Lookup(index.searchsorted, 0 if held is None else _beside(keys, held))


def build_polars(keys: Keys) -> Lookup:
    """polars.Series.search_sorted."""
    import polars

    def column(values: Keys) -> Any:
        return polars.Series(values.tolist() if values.dtype.kind == "O" else values)

    return Lookup(functools.partial(column(keys).search_sorted, side="left"), 0, column)


RIVALS = (
    Rival("numpy", build_numpy, 0.5, f"numpy.searchsorted, NumPy {np.__version__}"),
    Rival(
        "tree",
        functools.partial(build_index, structure="tree"),
        0.1,
        "Acumen's S+ tree, always: a static B+ tree whose leaves are the keys, SIMD, prefetch",
    ),
    Rival(
        "search",
        functools.partial(build_index, structure="search"),
        0.3,
        "Acumen's branchless binary search, always: 16 side by side",
    ),
    Rival("polars", build_polars, 0.4, "polars.Series.search_sorted", "polars"),
    Rival("pandas", build_pandas, 0.5, "pandas.Index.searchsorted", "pandas"),
    Rival(
        "pygm", build_pygm, 2.0, "PGM-index of pygm (learned as well), one by one", "pygm", False
    ),
    Rival("bisect", build_bisect, 2.0, "bisect.bisect_left on a list, one by one", None, False),
    Rival(
        "sortedlist",
        build_sortedlist,
        2.0,
        "sortedcontainers.SortedList.bisect_left, one by one",
        "sortedcontainers",
        False,
    ),
)
DEFAULT = "numpy"


def heuristic_contenders(repeats: int) -> list[Contender]:
    """The rivals that are installed."""
    return [
        contender(
            rival.name,
            rival.build,
            _about(rival),
            kind="heuristic",
            repeats=repeats if rival.batches else ROUNDS_ONE_BY_ONE,
            cost=rival.cost,
            default=rival.name == DEFAULT,
        )
        for rival in RIVALS
        if rival.is_here
    ]


def missing_rivals() -> str:
    """One line about the rivals that are not installed, or nothing."""
    missing = [rival.name for rival in RIVALS if not rival.is_here]
    return f"Left out, not installed: {', '.join(missing)}. {INSTALL}" if missing else ""


def _about(rival: Rival) -> str:
    version = f" ({rival.package} {metadata.version(rival.package)})" if rival.package else ""
    return rival.about + version


def _one_by_one(look_up: Callable[[Any], int]) -> Callable[[list[Any]], Any]:
    def run(queries: list[Any]) -> Any:
        return np.fromiter(map(look_up, queries), np.int64, len(queries))

    return run


def _objects(keys: Keys) -> list[Any]:
    if len(keys) > OBJECTS_MAX:
        raise BrokenError(f"more than {OBJECTS_MAX:,} objects of Python's")
    return _listed(keys)


def _listed(queries: Keys) -> list[Any]:
    return list(queries.tolist())


def _beside(keys: Keys, held: Sequence[Any] | Keys) -> int:
    """What is held in memory beyond the keys as a plain column."""
    if isinstance(held, np.ndarray) and held.dtype.kind != "O":
        return 0
    return 8 * len(held) + sum(map(sys.getsizeof, held)) - keys_bytes(keys)
