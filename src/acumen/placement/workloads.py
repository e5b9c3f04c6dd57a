"""Which graphs are raced: those of files, the talk's models, and a network of the race's own."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from acumen.evaluation import Ask, Prepared, RaceError, Workload, WorkloadError
from acumen.placement.files import stem_of
from acumen.placement.graph import GraphError
from acumen.placement.measuring import Entry
from acumen.placement.problems import GraphFile, Source
from acumen.placement.pytorch.steps import captured_steps
from acumen.placement.recurrent import Recurrent

# How long each contender may think in each cell, in processor time.
BUDGET_SECONDS, QUICK_SECONDS, OWN_QUICK_SECONDS = 6.0, 1.0, 0.15
OWN, OWN_QUICK = Recurrent(layers=4, words=20), Recurrent(layers=4, words=6)
# A quick race takes so many files of each folder.
QUICK_FILES = 1
ENDINGS = (".json", ".txt")
# Splits made by hand are no graphs; and the study's own graphs for latency are for its own model of
# latency, in which a device runs a contiguous part at once.
NO_GRAPHS = ("human-experts", "latency-inputs")


def workloads_of(ask: Ask) -> Sequence[Workload]:
    """Files named one by one, those of a folder, captured steps; else a network of our own.

    Raises:
        RaceError: the folder holds no graph.
    """
    budget = QUICK_SECONDS if ask.quick else BUDGET_SECONDS
    paths = list(ask.files)
    if ask.data is not None:
        found = graphs_in(ask.data)
        if not found:
            raise RaceError(f"no graphs in {ask.data}")
        paths += _few(found) if ask.quick else found
    loads = [
        _workload(name, GraphFile(path), budget, path.stat().st_size if path.is_file() else 0)
        for name, path in named(paths).items()
    ]
    if not ask.quick and not ask.files:
        loads += [_workload(step.name, step, budget, 10**9) for step in captured_steps()]
    if not paths:
        own = OWN_QUICK if ask.quick else OWN
        loads.append(_workload(own.name, own, OWN_QUICK_SECONDS if ask.quick else budget, 1))
    return loads


def prepare(entry: Entry, scratch: Path) -> Prepared:
    """Reads a graph, or captures it, to see whether that works; raises WorkloadError."""
    del scratch
    try:
        problem = entry.source.open()
    except GraphError as error:
        raise WorkloadError(str(error)) from error
    kinds = [device.kind for device in problem.cluster.devices]
    devices = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    made = "a split made by hand" if problem.expert is not None else "layers of equal work"
    detail = f"{len(problem.graph):,} operators on {devices}; the expert: {made}"
    # Work is ordered by the time that contenders are given, whatever the graph's size.
    return Prepared(entry, problem.objectives, round(1e6 * entry.budget_seconds), detail)


def graphs_in(folder: Path) -> list[Path]:
    """Files that are meant to be graphs, at any depth."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name.removesuffix(".zst").endswith(ENDINGS)
        and path.is_file()
        and not path.name.upper().startswith("README")
        and not any(part in NO_GRAPHS for part in path.relative_to(folder).parts)
    )


def named(paths: Sequence[Path]) -> dict[str, Path]:
    """A name for each file: its stem; where that is taken, with its folder; then with a number."""
    names: dict[str, Path] = {}
    for path in {path.resolve(): path for path in paths}.values():
        names.update({next(name for name in _names(path) if name not in names): path})
    return names


def _names(path: Path) -> Iterator[str]:
    yield stem_of(path)
    within = f"{path.resolve().parent.name}/{stem_of(path)}"
    yield within
    number = 2
    while True:
        yield f"{within}-{number}"
        number += 1


def _few(paths: Sequence[Path]) -> list[Path]:
    """The smallest of each folder."""
    few: dict[Path, list[Path]] = {}
    for path in sorted(paths, key=lambda path: path.stat().st_size):
        few.setdefault(path.parent, []).append(path)
    return [path for group in few.values() for path in group[:QUICK_FILES]]


def _workload(name: str, source: Source, budget: float, size: int) -> Workload:
    return Workload(name, functools.partial(prepare, Entry(source, budget)), size)
