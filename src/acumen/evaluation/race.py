"""The noun `Race`: learned against heuristics against the bound, on real workloads.

A race is four things: `workloads`, `contenders`, `metric` and `bound`. It measures nothing by
itself: `runner.run` does, so that every domain is measured by the same rules.

    metric       what is measured, and whether less or more of it is better
    workloads    what it is measured on; each one is prepared once (read, checked, laid out) and
                 then handed to every contender at every setting
    contenders   who runs: today's heuristics and the learned choice
    bound        the best that is possible at all, or None where nobody knows it

A cell is one workload at one setting. Everything here is immutable and can be pickled, because
contenders run in other processes.

A domain takes part by holding a module named `race` with one object named `RACE`; a package of
somebody else's by naming such an object in the entry point group `acumen.races`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Goal = Literal["minimize", "maximize"]
Kind = Literal["heuristic", "learned", "bound"]
# Where on its scale a workload is measured (a size), or under which name (an objective).
Setting = float | str


class RaceError(Exception):
    """The race cannot start as it was asked for; the message is one line for a person."""


class WorkloadError(Exception):
    """One workload cannot be used; the message is one line for a person, without its name."""


class BrokenError(Exception):
    """A contender cannot be measured fairly in this cell; its row is left out and said so."""


def shown_setting(setting: Setting) -> str:
    """A setting for people.

    >>> shown_setting(0.01), shown_setting(1e7), shown_setting("latency")
    ('0.01', '10,000,000', 'latency')
    """
    if isinstance(setting, str):
        return setting
    return f"{setting:,.0f}" if setting == int(setting) else f"{setting:g}"


@dataclass(frozen=True, slots=True)
class Metric:
    """What a race measures.

    Attributes:
        name: the JSON's name for it, e.g. `miss_ratio`.
        goal: whether less or more is better.
        label: the axis label of `value`, for people.
        setting: the axis label of what a workload is measured at, for people.
        operation: what `throughput` counts, in the plural, e.g. `requests`.
        timed: `value` is itself a time. Then all contenders of a cell take turns in one process,
            while nothing else of the race runs, and rows bear the median of their runs.
        price: what a contender costs beside, as the JSON names it in each row, e.g.
            `bytes_per_key`; None: there is no such thing.
        price_label: the axis label of the price, for people.
        digits: behind the point, when a value is shown to people.
        medians: rows bear the median of a contender's runs, not their mean, and contenders are
            compared by their median rank, too: where single runs go far astray.
    """

    name: str
    goal: Goal
    label: str
    setting: str
    operation: str = "operations"
    timed: bool = False
    price: str | None = None
    price_label: str = ""
    digits: int = 4
    medians: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """What the user asked for: the same for every race.

    Attributes:
        data: a folder of workloads that exists, or None for the race's own small one.
        files: workloads named one by one; with these and no `data`, only these run.
        quick: under a minute, for a first look: fewer and shorter workloads, fewer contenders.
        seed: the first of the seeds that random contenders run with.
        only: names of the contenders to run; empty for the race's own choice.
    """

    data: Path | None = None
    files: tuple[Path, ...] = ()
    quick: bool = False
    seed: int = 0
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A workload that was read and found good.

    Attributes:
        payload: what contenders receive; small and picklable (large data go by file name).
        settings: at which settings this workload is measured; empty if at none, with `detail`
            saying why.
        operations: how many operations one run takes, for the order of work.
        detail: one line for people, e.g. "914,145 requests for 186,880 keys".
    """

    payload: Any
    settings: tuple[Setting, ...]
    operations: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Workload:
    """Something to measure on, not read yet.

    Attributes:
        name: unique within the race.
        prepare: `prepare(scratch)` reads and checks it; it may write into the folder `scratch`,
            which is its own and is removed after the race. Raises WorkloadError.
        size: a hint in any unit; smaller ones are prepared first.
    """

    name: str
    prepare: Callable[[Path], Prepared]
    size: int = 0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one contender in one cell.

    Attributes:
        value: the metric.
        operations: how many operations the run took.
        cpu_seconds: processor time that they took, in seconds, without reading the input. Time of
            the clock would count other programs on the machine too.
        price: what it costs beside, in a race whose metric has a price.
    """

    value: float
    operations: int
    cpu_seconds: float
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who runs.

    Attributes:
        name: lower case without punctuation.
        kind: heuristic, learned or bound.
        measure: `measure(payload, setting, seed)` runs it once from a cold start. It may raise
            BrokenError; any other exception is reported and costs only this cell.
        cost: expected seconds per million operations, roughly; it only orders the work.
        repeats: runs with consecutive seeds; more than one where something is random, and then
            the row bears their mean and its 95 % interval.
        default: this is what the program does today; residuals are measured against it.
        by_clock: it searches until a time is up: what it finds differs from run to run.
        control: the learned contender once more (an A/A control): how far the two are apart is
            noise, and it is judged nowhere.
        patience: where times are compared in turns, two runs suffice of who takes so many times as
            long as the fastest, and three of who has used `seconds_max`.
        seconds_max: see there; processor time of all its runs.
        about: one line for people.
        sweep: `sweep(payload, settings, seed)` does in one run what `measure` does at each of a
            workload's settings, a measurement for each: for whoever comes past the smaller ones
            on the way to the largest. Not in a race whose metric is a time.
    """

    name: str
    kind: Kind
    measure: Callable[[Any, Any, int], Measurement]
    cost: float = 1.0
    repeats: int = 1
    default: bool = False
    by_clock: bool = False
    control: bool = False
    patience: float = math.inf
    seconds_max: float = math.inf
    about: str = ""
    sweep: Callable[[Any, tuple[Setting, ...], int], Sequence[Measurement]] | None = None


class Race(Protocol):
    """What a domain shows of itself, to be measured by `runner.run`."""

    @property
    def domain(self) -> str:
        """The name on the command line: lower case, without spaces."""

    @property
    def summary(self) -> str:
        """One line for people: what is chosen here."""

    @property
    def metric(self) -> Metric:
        """What is measured."""

    def workloads(self, ask: Ask) -> Sequence[Workload]:
        """What to measure on, listed without reading anything.

        Raises:
            RaceError: `ask` names nothing that could be measured on.
        """

    def contenders(self, ask: Ask) -> Sequence[Contender]:
        """Heuristics and the learned choice, those only that are installed.

        Of several learned ones the first is the one that is judged.
        """

    def bound(self, ask: Ask) -> Contender | None:
        """The best that is possible, or None where nobody knows it."""

    def notes(self, ask: Ask) -> Sequence[str]:
        """Lines that a reader of the results must know: what is missing, and how to get it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One contender in one cell: a row of the JSON.

    `value` is the mean over the runs; `low` and `high` are its 95 % interval, equal to `value`
    where nothing is random; of a metric that is a time, or that says so, it is the median.
    `throughput` is in operations per second of processor time (of the run that was timed; of a
    median run, where the metric is a time), `seconds` the processor time of all runs together. The
    JSON has `price` under the name that the metric gives it.
    """

    workload: str
    setting: Setting
    contender: str
    kind: Kind
    value: float
    low: float
    high: float
    throughput: float
    seconds: float
    price: float | None = None
