"""Races cache eviction: misses of the learned policy against the strongest heuristics.

A cache holds a fraction of the objects that a trace ever asks for, starts empty, and every object
counts one. Cells with fewer than 100 objects are left out: there chance decides.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acumen.evaluation import (
    Ask,
    Contender,
    Metric,
    Prepared,
    RaceError,
    Workload,
    WorkloadError,
)
from acumen.operating_systems.caching import trace_recorder
from acumen.operating_systems.caching.heuristics import (
    bound_contender,
    heuristic_contenders,
    missing_rivals,
)
from acumen.operating_systems.caching.learned import learned_contender
from acumen.operating_systems.caching.workloads import (
    Trace,
    is_trace,
    lay_out,
    layout_of,
    read_trace,
    trace_name,
)

FRACTIONS = (0.001, 0.01, 0.1)
OBJECTS_MIN = 100
# A quick race reads so many requests of so many traces.
QUICK_REQUESTS = 400_000
QUICK_TRACES = 3

METRIC = Metric(
    name="miss_ratio",
    goal="minimize",
    label="miss ratio",
    setting="cache size / distinct keys",
    operation="requests",
)


@dataclass(frozen=True, slots=True)
class CachingRace:
    """The race of this domain."""

    domain: str = "caching"
    summary: str = "which object a full cache drops, and which it does not even take in"
    metric: Metric = METRIC

    def workloads(self, ask: Ask) -> Sequence[Workload]:
        """Traces named one by one, those of a folder, or else a trace recorded on the spot.

        Raises:
            RaceError: the folder holds no trace.
        """
        limit = QUICK_REQUESTS if ask.quick else None
        paths = list(ask.files)
        if ask.data is not None:
            found = sorted(path for path in ask.data.iterdir() if is_trace(path))
            if not found:
                raise RaceError(f"no traces in {ask.data}")
            paths += found[:QUICK_TRACES] if ask.quick else found
        workloads = [_workload(name, path, limit) for name, path in _named(paths).items()]
        if not paths or (ask.quick and not ask.files and trace_recorder.is_installed()):
            recorded = functools.partial(prepare_recorded, ask.seed)
            workloads.insert(0, Workload("sqlite_mixed", recorded, size=0))
        return workloads

    def contenders(self, ask: Ask) -> Sequence[Contender]:
        """The learned policy and the rivals that are installed."""
        return [learned_contender(), *heuristic_contenders(ask.quick, ask.only)]

    def bound(self, ask: Ask) -> Contender | None:
        """Belady's optimum."""
        return bound_contender()

    def notes(self, ask: Ask) -> Sequence[str]:
        """Says which rivals are missing."""
        missing = missing_rivals(ask.quick, ask.only)
        return [missing] if missing else []


RACE = CachingRace()


def prepare_file(path: Path, limit: int | None, scratch: Path) -> Prepared:
    """Reads a trace file; raises WorkloadError."""
    try:
        return _prepared(lay_out(read_trace(path), scratch, limit), layout_of(path))
    except WorkloadError as error:
        raise WorkloadError(f"{error} ({path})") from error


def prepare_recorded(seed: int, scratch: Path) -> Prepared:
    """Records a page trace from SQLite; raises WorkloadError."""
    return _prepared(lay_out(trace_recorder.record(scratch, seed), scratch))


def _prepared(trace: Trace, layout: str = "") -> Prepared:
    settings = tuple(f for f in FRACTIONS if trace.capacity(f) >= OBJECTS_MIN)
    detail = f"{trace.requests:,} requests for {trace.distinct:,} keys"
    if not settings:
        detail += f": too few for a cache of {OBJECTS_MIN} objects, not raced"
    if layout:
        detail += f" ({layout})"
    return Prepared(trace, settings, trace.requests, detail)


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """A name for every file, unique: the same file twice is one, a second of a name is numbered."""
    named: dict[str, Path] = {}
    for path in {os.path.realpath(path): path for path in reversed(paths)}.values():
        name, number = trace_name(path), 2
        while name in named:
            name, number = f"{trace_name(path)}-{number}", number + 1
        named[name] = path
    return named


def _workload(name: str, path: Path, limit: int | None) -> Workload:
    size = path.stat().st_size if path.is_file() else 0
    # A part of a trace is another workload than the trace: its name must say so.
    label = name if limit is None else f"{name}[:{limit}]"
    return Workload(label, functools.partial(prepare_file, path, limit), size)
