"""The contract of a race: what every one of them keeps, whoever wrote it."""

import math
import pickle
import re
from pathlib import Path
from typing import ClassVar

from acumen.evaluation import (
    Ask,
    BrokenError,
    Contender,
    Measurement,
    Prepared,
    Race,
    Setting,
    Workload,
)
from acumen.evaluation.discovery import find_races


def discover_races() -> list[Race]:
    """Every race that the command line would list; there is no list to keep by hand."""
    return [load() for load in find_races().values()]


class RaceContract:
    """Inherit from this, set ``race``, and let pytest collect the class.

    Only the smallest workload of ``ask`` is measured, at its first setting: seconds, not minutes.
    ``bound_slack`` is how far, relatively, a contender may lie beyond the bound, where the bound
    holds under a rule that contenders need not follow.

    Example:
        >>> from acumen.operating_systems.caching.race import RACE
        >>> class TestMine(RaceContract):
        ...     race = RACE
    """

    race: ClassVar[Race]
    ask: ClassVar[Ask] = Ask(quick=True)
    bound_slack: ClassVar[float] = 0.0

    def everyone(self) -> list[Contender]:
        """Contenders and the bound."""
        bound = self.race.bound(self.ask)
        return [*self.race.contenders(self.ask), *([bound] if bound else [])]

    def smallest(self) -> Workload:
        """The workload that is prepared first."""
        return min(self.race.workloads(self.ask), key=lambda workload: workload.size)

    def test_names_are_plain_and_unique(self) -> None:
        """Lower case without punctuation, because they stand in files and on command lines."""
        assert re.fullmatch(r"[a-z][a-z0-9_]*", self.race.domain)
        names = [contender.name for contender in self.everyone()]
        assert len(set(names)) == len(names)
        for name in names:
            assert re.fullmatch(r"[a-z0-9]+", name), name
        workloads = [workload.name for workload in self.race.workloads(self.ask)]
        assert len(set(workloads)) == len(workloads) > 0

    def test_the_field_is_complete(self) -> None:
        """Somebody learns, somebody is today's heuristic, and at most one is the default."""
        field = self.everyone()
        kinds = [contender.kind for contender in field]
        assert kinds.count("learned") >= 1
        assert kinds.count("heuristic") >= 1
        assert kinds.count("bound") <= 1
        assert all(contender.kind == "learned" for contender in field if contender.control)
        defaults = [contender for contender in field if contender.default]
        assert [contender.kind for contender in defaults] in ([], ["heuristic"])
        assert all(contender.repeats >= 1 and contender.cost > 0 for contender in field)

    def test_everything_travels_to_other_processes(self) -> None:
        """Contenders run elsewhere, so both they and the workloads must pickle."""
        parts: list[Contender | Workload] = [*self.everyone()]
        parts += self.race.workloads(self.ask)
        for part in parts:
            assert pickle.loads(pickle.dumps(part)).name == part.name

    def test_the_metric_is_named_for_machines_and_for_people(self) -> None:
        """A name for the JSON, labels for the axes, a line for the list of races."""
        metric = self.race.metric
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        assert metric.goal in ("minimize", "maximize")
        assert metric.label
        assert metric.setting
        assert self.race.summary

    def test_runs_are_finite_repeatable_and_within_the_bound(self, tmp_path: Path) -> None:
        """What is not random gives the same twice; what learns gives the same for a seed.

        Times are never the same, nor what is found in a time; of them only the bound is checked.
        """
        prepared: Prepared = self.smallest().prepare(tmp_path)
        assert prepared.operations > 0
        assert len(set(prepared.settings)) == len(prepared.settings)
        setting = prepared.settings[0]
        values = {}
        for contender in self.everyone():
            try:
                first = self.measure(contender, prepared, setting)
                second = self.again(contender, prepared, setting)
            except BrokenError:  # It is left out of this cell, as a race would say.
                continue
            assert math.isfinite(first.value), contender.name
            assert first.operations > 0
            assert first.cpu_seconds >= 0
            assert (first.price is None) == (self.race.metric.price is None), contender.name
            fixed = contender.repeats == 1 or contender.kind == "learned"
            fixed = fixed or contender.sweep is not None
            if fixed and not (self.race.metric.timed or contender.by_clock):
                assert first.value == second.value, contender.name
            values[contender.name] = first.value
        assert values
        bound = self.race.bound(self.ask)
        if bound is not None:
            sign = 1 if self.race.metric.goal == "minimize" else -1
            limit = values[bound.name] - sign * self.bound_slack * abs(values[bound.name])
            assert all(sign * (value - limit) >= 0 for value in values.values()), values

    def measure(self, contender: Contender, prepared: Prepared, setting: Setting) -> Measurement:
        """One run, with the first seed."""
        return contender.measure(prepared.payload, setting, self.ask.seed)

    def again(self, contender: Contender, prepared: Prepared, setting: Setting) -> Measurement:
        """The same run once more, on the way to the largest setting where it comes past."""
        if contender.sweep is None:
            return self.measure(contender, prepared, setting)
        found = contender.sweep(prepared.payload, prepared.settings, self.ask.seed)
        return found[prepared.settings.index(setting)]
