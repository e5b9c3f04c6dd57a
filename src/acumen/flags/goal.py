"""What is to be better, what must not get worse: metrics of a program, and limits on them.

Time, memory and sizes are measured from outside. A number that a program prints about itself is
what it says: a flag that breaks its clock can make that as good as it likes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from acumen.evaluation.programs.run import Run

OUTSIDE = ("time", "cpu_time", "peak_memory", "output_size")
FILE_SIZE = "file_size:"
RUNS_MAX = 1000
_UNITS = {
    "": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2.0**10, "mi": 2.0**20, "gi": 2.0**30,
    "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30,
    "s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0, "h": 3600.0, "b": 1.0,
}  # fmt: skip


class GoalError(ValueError):
    """A goal is written in a way that cannot be understood, and why."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A metric that must stay on one side of a number."""

    metric: str
    most: bool
    number: float

    def holds(self, value: float) -> bool:
        """Whether a value keeps to it; one that is no number does not."""
        return value <= self.number if self.most else value >= self.number

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.most else '>='} {self.number:g}"


@dataclass(frozen=True)
class Goal:
    """One metric that is minimised or maximised, limits, and where numbers come from.

    Attributes:
        metric: what is to be better.
        maximize: whether more of it is better.
        limits: what must hold; a setting that breaks one has failed.
        patterns: regular expressions that find metrics in what the last command printed: the
            first group of the last match.
        whole: whether time and memory count over all commands, not for the last one alone.
        runs: of the last command, after those before it have run once; medians of them count.
    """

    metric: str = "time"
    maximize: bool = False
    limits: Sequence[Limit] = ()
    patterns: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    runs: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.runs <= RUNS_MAX:
            raise GoalError(f"the last command can run 1 to {RUNS_MAX} times, not {self.runs}")
        for name, pattern in self.patterns.items():
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise GoalError(f"the expression for {name}, {pattern!r}: {error}") from None
            if groups < 1:
                raise GoalError(
                    f"the expression for {name}, {pattern!r}, needs a group: what stands in"
                    " parentheses is the number, as in 'tps=([0-9.]+)'"
                )
        for name in (self.metric, *(limit.metric for limit in self.limits)):
            known = name in OUTSIDE or name in self.patterns or name.startswith(FILE_SIZE)
            if not known:
                raise GoalError(
                    f"there is no metric {name!r}: there are {', '.join(OUTSIDE)}, {FILE_SIZE}PATH,"
                    " and what --metric-regex finds in the output"
                )

    @property
    def files(self) -> list[str]:
        """Files whose sizes are measured."""
        named = [name for name in self._needed if name.startswith(FILE_SIZE)]
        return [name.removeprefix(FILE_SIZE) for name in dict.fromkeys(named)]

    @property
    def names(self) -> list[str]:
        """Every metric that is measured."""
        return [*OUTSIDE, *(FILE_SIZE + name for name in self.files), *self.patterns]

    @property
    def _needed(self) -> list[str]:
        return [self.metric, *(limit.metric for limit in self.limits)]

    def metrics(self, runs: Sequence[Run], cwd: Path | None) -> dict[str, float]:
        """What the runs of a program's commands amount to.

        Raises:
            GoalError: a number that is needed is not in the output, or a file is not there.
        """
        counted = runs if self.whole else runs[-1:]
        found = {
            "time": sum(run.seconds for run in counted),
            "cpu_time": sum(run.cpu_seconds for run in counted),
            "peak_memory": float(max(run.peak_memory for run in counted)),
            "output_size": float(runs[-1].output.size),
        }
        for name in self.files:
            path = Path(cwd or ".", name)
            try:
                found[FILE_SIZE + name] = float(path.stat().st_size)
            except OSError as error:
                raise GoalError(f"{path}: {error.strerror}") from None
        text = runs[-1].output.text + "\n" + runs[-1].errors.text if self.patterns else ""
        for name, pattern in self.patterns.items():
            value = _last(pattern, text)
            if value is not None:
                found[name] = value
            elif name in self._needed:
                raise GoalError(f"{pattern!r} found no number in the output")
        return found

    def medians(self, passes: Sequence[Sequence[Run]], cwd: Path | None) -> dict[str, float]:
        """The same of a program whose last command ran several times.

        Raises:
            GoalError: as of `metrics`.
        """
        each = [self.metrics(runs, cwd) for runs in passes]
        names = [name for name in each[0] if all(name in found for found in each)]
        return {name: median(found[name] for found in each) for name in names}

    def broken(self, metrics: Mapping[str, float]) -> str | None:
        """The first limit that does not hold, in words."""
        for limit in self.limits:
            if not limit.holds(metrics[limit.metric]):
                return f"{limit.metric} = {metrics[limit.metric]:g}, but {limit} is wanted"
        return None


def _last(pattern: str, text: str) -> float | None:
    value = None
    for match in re.finditer(pattern, text):
        try:
            value = float(match[1].replace(",", ""))
        except (ValueError, AttributeError):
            continue
    return value


def parse_limit(text: str) -> Limit:
    """A limit such as ``peak_memory=2G`` (at most), ``p99<=20ms`` or ``tps>=100``.

    Raises:
        GoalError: it is none.

    >>> str(parse_limit("peak_memory=2G"))
    'peak_memory <= 2e+09'
    """
    found = re.fullmatch(r"\s*([\w:./-]+?)\s*(<=|>=|=)\s*(\S+)\s*", text)
    if not found:
        raise GoalError(f"{text!r} is no limit such as peak_memory=2G or tps>=100")
    return Limit(found[1], found[2] != ">=", parse_amount(found[3]))


def parse_amount(text: str) -> float:
    """A number with a unit: 2G, 1.5GiB, 20ms, 300.

    Raises:
        GoalError: it is none.
    """
    found = re.fullmatch(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([a-z]*)", text.lower())
    if not found or found[2] not in _UNITS:
        raise GoalError(f"{text!r} is no number with a unit (k, M, G, Ki, Mi, Gi, ms, s, min, h)")
    return float(found[1]) * _UNITS[found[2]]
