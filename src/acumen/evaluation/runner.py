"""Runs a race: the same order, the same clocks and the same rules for every domain.

    1. prepare   every workload is read and checked, in parallel, small ones first
    2. quiet     the learned contender runs once in every cell with no other work beside it: from
                 these runs comes its throughput
    3. the rest  everything else in parallel, cheap work first, so that a reader soon sees most of
                 the table: the bound, the heuristics, the other seeds of whatever is random

Throughput counts processor time, not time of the clock, so that another program on the machine
does not pass for slowness. Contenders of phase 3 still share caches and memory with each other:
their figures are lower limits unless the race runs with one job.
"""

from __future__ import annotations

import difflib
import tempfile
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acumen.evaluation.race import (
    Ask,
    Contender,
    Measurement,
    Prepared,
    Race,
    RaceError,
    Row,
    Setting,
    shown_setting,
)
from acumen.evaluation.statistics import mean_interval, median_interval
from acumen.evaluation.turns import take_turns
from acumen.evaluation.workers import Outcome, Task, Workers


@dataclass(frozen=True, slots=True)
class Ready:
    """A workload was read and found good."""

    workload: str
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class Failed:
    """A workload, or one contender in one cell, gave no result; `message` is one line."""

    workload: str
    message: str
    contender: str | None = None
    setting: Setting | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A contender cannot be measured fairly in this cell, and that is no fault of the race."""

    workload: str
    setting: Setting
    contender: str
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the race is: `done` of `total`, in expected seconds; and what runs now."""

    done: float
    total: float
    running: tuple[str, ...]


Event = Ready | Failed | LeftOut | Progress | Row


@dataclass(frozen=True, slots=True)
class _Run:
    workload: str
    settings: tuple[Setting, ...]
    contender: Contender
    repeat: int
    seconds: float

    def task(self, payload: Any, seed: int) -> Task:
        contender, settings = self.contender, self.settings
        label = f"{contender.name} on {self.workload} at {', '.join(map(shown_setting, settings))}"
        if contender.sweep is not None:
            return Task(self, label, contender.sweep, (payload, settings, seed + self.repeat))
        return Task(self, label, _measure_one, (contender, payload, settings, seed + self.repeat))


def run(race: Race, ask: Ask, jobs: int) -> Generator[Event, None, None]:
    """Measures every contender in every cell, and tells what happens while it happens.

    Closing the iterator, or an exception in it (Ctrl-C), kills all work in progress at once.

    Raises:
        RaceError: before the first event, if the race cannot be run as asked.
    """
    contenders = select_contenders(race, ask)
    workloads = sorted(race.workloads(ask), key=lambda w: w.size)
    with (
        tempfile.TemporaryDirectory(prefix="acumen-race-") as folder,
        Workers(jobs, Path(folder)) as workers,
    ):
        tasks = []
        for number, workload in enumerate(workloads):
            scratch = Path(folder) / f"workload-{number}"
            scratch.mkdir()
            label = f"reading {workload.name}"
            tasks.append(Task(workload.name, label, workload.prepare, (scratch,)))
        ready: dict[str, Prepared] = {}
        yield Progress(0.0, 1.0, tuple(task.label for task in tasks[:jobs]))
        for task, outcome in workers.run(tasks):
            if outcome.error is not None:
                yield Failed(task.key, outcome.error)
            else:
                ready[task.key] = outcome.result
                yield Ready(task.key, outcome.result)
        heat = _Heat(workers, ready, ask.seed, race.metric.medians)
        yield from heat.run_in_turns(contenders) if race.metric.timed else heat.run(contenders)


def select_contenders(race: Race, ask: Ask) -> list[Contender]:
    """Those who run: all, or those asked for with the default and the bound beside them.

    Raises:
        RaceError: a name that was asked for does not exist.
    """
    bound = race.bound(ask)
    everyone = [*race.contenders(ask), *([bound] if bound else [])]
    if not ask.only:
        return everyone
    names = [contender.name for contender in everyone]
    for name in ask.only:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(names)}."
            raise RaceError(f"there is no contender named {name!r} in this race. {hint}")
    # Without these two nobody can tell whether a value is good.
    return [c for c in everyone if c.name in ask.only or c.default or c.kind == "bound"]


@dataclass(slots=True)
class _Heat:
    """The measuring part of a race."""

    workers: Workers
    ready: dict[str, Prepared]
    seed: int
    medians: bool = False
    done: float = 0.0
    total: float = 0.0
    runs: dict[tuple[str, Setting, str], dict[int, Measurement]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    lost: set[tuple[str, Setting, str]] = field(default_factory=set)

    def run(self, contenders: Sequence[Contender]) -> Iterator[Event]:
        everything = list(self._plan(contenders))
        self.total = sum(run.seconds for run in everything)
        quiet = [run for run in everything if _is_timed(run)]
        rest = [run for run in everything if not _is_timed(run)]
        yield from self._phase(quiet, width=1)
        yield from self._phase(rest, width=None)

    def run_in_turns(self, contenders: Sequence[Contender]) -> Iterator[Event]:
        each = 1e-6 * sum(contender.cost * contender.repeats for contender in contenders)
        cells = [
            (setting, name, each * prepared.operations)
            for name, prepared in self.ready.items()
            for setting in prepared.settings
        ]
        # Small ones first; and neighbours stay so, who may have built something for each other.
        cells.sort(key=lambda cell: cell[0])
        self.total = sum(seconds for *_, seconds in cells)
        tasks = [
            Task(
                cell,
                f"{cell[1]} at {shown_setting(cell[0])}",
                take_turns,
                (contenders, self.ready[cell[1]].payload, cell[0], self.seed),
            )
            for cell in cells
        ]
        for task, outcome in self.workers.run(tasks, width=1):
            setting, name, seconds = task.key
            self.done += seconds
            if outcome.error is not None:
                yield Failed(name, f"at {shown_setting(setting)}: {outcome.error}")
            for contender, (_, found) in zip(contenders, outcome.result or (), strict=False):
                run = _Run(name, (setting,), contender, 0, 0.0)
                if found.error is not None:
                    yield from self._take(run, found)
                else:
                    yield _row_of_times(run, setting, found.result)
            yield Progress(self.done, self.total, tuple(self.workers.running))

    def _plan(self, contenders: Sequence[Contender]) -> Iterable[_Run]:
        runs = [
            _Run(name, settings, contender, repeat, 1e-6 * prepared.operations * contender.cost)
            for name, prepared in self.ready.items()
            for contender in contenders
            for settings in _settings_by_run(contender, prepared.settings)
            for repeat in range(contender.repeats)
        ]
        # The learned rows and the bound first, then by price.
        late = {"learned": 0, "bound": 1, "heuristic": 2}
        return sorted(runs, key=lambda r: (r.seconds > 1, late[r.contender.kind], r.seconds))

    def _phase(self, runs: Sequence[_Run], width: int | None) -> Iterator[Event]:
        tasks = [run.task(self.ready[run.workload].payload, self.seed) for run in runs]
        for task, outcome in self.workers.run(tasks, width):
            self.done += task.key.seconds
            yield from self._take(task.key, outcome)
            yield Progress(self.done, self.total, tuple(self.workers.running))

    def _take(self, run: _Run, outcome: Outcome) -> Iterator[Event]:
        workload, name = run.workload, run.contender.name
        for place, setting in enumerate(run.settings):
            cell = (workload, setting, name)
            if outcome.error is None:
                runs = self.runs[cell]
                runs[run.repeat] = outcome.result[place]
                if len(runs) == run.contender.repeats:
                    ordered = [runs[repeat] for repeat in sorted(runs)]
                    yield _row(run, setting, ordered, self.medians)
            # One line a cell, however many of its runs fail.
            elif cell not in self.lost:
                self.lost.add(cell)
                if outcome.expected:
                    yield LeftOut(workload, setting, name, outcome.error)
                else:
                    yield Failed(workload, outcome.error, name, setting)


def _settings_by_run(
    contender: Contender, settings: tuple[Setting, ...]
) -> list[tuple[Setting, ...]]:
    if contender.sweep is not None and settings:
        return [settings]
    return [(setting,) for setting in settings]


def _measure_one(
    contender: Contender, payload: Any, settings: tuple[Setting], seed: int
) -> list[Measurement]:
    return [contender.measure(payload, settings[0], seed)]


def _is_timed(run: _Run) -> bool:
    return run.contender.kind == "learned" and run.repeat == 0


def _row(run: _Run, setting: Setting, measurements: Sequence[Measurement], medians: bool) -> Row:
    interval = (median_interval if medians else mean_interval)([m.value for m in measurements])
    return _row_with(run, setting, measurements, interval, measurements[0])


def _row_of_times(run: _Run, setting: Setting, measurements: Sequence[Measurement]) -> Row:
    interval = median_interval([m.value for m in measurements])
    ordered = sorted(measurements, key=lambda m: m.cpu_seconds)
    return _row_with(run, setting, measurements, interval, ordered[len(ordered) // 2])


def _row_with(
    run: _Run,
    setting: Setting,
    measurements: Sequence[Measurement],
    interval: tuple[float, float, float],
    timed: Measurement,
) -> Row:
    value, low, high = interval
    return Row(
        workload=run.workload,
        setting=setting,
        contender=run.contender.name,
        kind=run.contender.kind,
        value=value,
        low=low,
        high=high,
        throughput=timed.operations / max(timed.cpu_seconds, 1e-9),
        seconds=sum(m.cpu_seconds for m in measurements),
        price=timed.price,
    )
