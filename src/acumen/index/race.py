"""Races look-ups in sorted keys: time and memory of the learned index against the best without.

A cell is one set of keys, one kind of query, and a number of keys. Everybody answers the same
batches, in turns, in one process; see measuring.py.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from acumen.evaluation import Ask, Contender, Metric, Prepared, RaceError, Workload, WorkloadError
from acumen.index.heuristics import INSTALL, heuristic_contenders, missing_rivals
from acumen.index.learned import learned_contenders
from acumen.index.measuring import Task, bound_contender
from acumen.index.workloads import ABOUT, KINDS, KeySet, cities, files_in, name_of

SIZES = (100_000, 1_000_000, 10_000_000)
QUICK_SIZES = (100_000, 1_000_000)
# A quick race looks at so many keys of a file, and at so many files.
QUICK_KEYS, QUICK_FILES = 1_000_000, 3
QUERIES, QUICK_QUERIES = 1 << 18, 1 << 14
ROUNDS, QUICK_ROUNDS = 15, 12

METRIC = Metric(
    name="ns_per_lookup",
    goal="minimize",
    label="nanoseconds per look-up",
    setting="number of keys",
    operation="look-ups",
    timed=True,
    price="bytes_per_key",
    price_label="bytes per key",
    digits=1,
)


@dataclass(frozen=True, slots=True)
class IndexRace:
    """The race of this domain."""

    domain: str = "index"
    summary: str = (
        "which structure finds a key among sorted ones: nanoseconds, and bytes beside them"
    )
    metric: Metric = METRIC

    def workloads(self, ask: Ask) -> Sequence[Workload]:
        """Files named one by one, those of a folder, cities, and drawn keys; each asked in 3 ways.

        Raises:
            RaceError: the folder holds no file of keys.
        """
        return [
            Workload(
                f"{label}, {kind}",
                functools.partial(
                    prepare, Task(keys, kind, QUICK_QUERIES if ask.quick else QUERIES), sizes
                ),
                size,
            )
            for keys, label, sizes, size in _key_sets(ask)
            for kind in KINDS
        ]

    def contenders(self, ask: Ask) -> Sequence[Contender]:
        """The learned index, and the rivals that are installed."""
        rounds = _rounds(ask)
        return [*learned_contenders(rounds), *heuristic_contenders(rounds)]

    def bound(self, ask: Ask) -> Contender | None:
        """The memory's own speed, and no byte."""
        return bound_contender(_rounds(ask))

    def notes(self, ask: Ask) -> Sequence[str]:
        """Says which rivals are missing, and where there are no real keys."""
        notes = [missing_rivals()]
        if ask.data is None and not ask.files and not len(cities()):
            notes.append(
                "No real keys here, only drawn ones: --data DIR or --workload FILE names some;"
                f" {INSTALL} brings latitudes of cities"
            )
        return [note for note in notes if note]


RACE = IndexRace()


def prepare(task: Task, sizes: tuple[int, ...] | int | None, scratch: Path) -> Prepared:
    """Reads the keys and says what they are.

    Args:
        task: whose keys, which queries.
        sizes: numbers of keys, if they are drawn; else how many to take at most.
        scratch: not used: keys are read, or drawn, where they are raced on.

    Raises:
        WorkloadError: the file cannot be used.
    """
    del scratch
    if isinstance(sizes, tuple):
        return Prepared(task, tuple(map(float, sizes)), task.queries, f"uint64; {ABOUT[task.kind]}")
    try:
        keys = task.keys.keys(sizes)
    except WorkloadError as error:
        raise WorkloadError(f"{error} ({task.keys.path})") from error
    what = type(keys[0]).__name__ if keys.dtype.kind == "O" else keys.dtype
    return Prepared(task, (float(len(keys)),), task.queries, f"{what}; {ABOUT[task.kind]}")


def _rounds(ask: Ask) -> int:
    return QUICK_ROUNDS if ask.quick else ROUNDS


def _key_sets(ask: Ask) -> Iterator[tuple[KeySet, str, tuple[int, ...] | int | None, int]]:
    """Keys, what they are called, how many, and a hint of how long reading takes."""
    limit = QUICK_KEYS if ask.quick else None
    for keys, size in _files(ask):
        yield keys, keys.name if limit is None else f"{keys.name}[:{limit}]", limit, size
    if ask.files and ask.data is None:
        return
    if len(cities()):
        yield KeySet("cities"), "cities", None, 2
    for name in ("uniform", "lognormal"):
        sizes = QUICK_SIZES if ask.quick else SIZES
        yield KeySet(name, seed=ask.seed), name, sizes, 1


def _files(ask: Ask) -> Iterator[tuple[KeySet, int]]:
    paths = list(ask.files)
    if ask.data is not None:
        found = list(files_in(ask.data))
        if not found:
            raise RaceError(f"no files of keys in {ask.data}")
        paths += found[:QUICK_FILES] if ask.quick else found
    taken: set[str] = set()
    once: dict[Path, Path] = {}
    for path in paths:
        once.setdefault(path.resolve(), path)
    for path in once.values():
        name, number = name_of(path), 2
        while name in taken or name in ("cities", "uniform", "lognormal"):
            name, number = f"{name_of(path)}-{number}", number + 1
        taken.add(name)
        yield KeySet(name, str(path)), path.stat().st_size if path.is_file() else 3
