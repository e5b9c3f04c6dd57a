"""Warm starts: what was good in earlier runs is tried first."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from acumen.learners._parameters import check_between
from acumen.learners.search.portfolio import Portfolio
from acumen.learners.search.searcher import Searcher, SearchLearner, Suggestion
from acumen.learners.search.space import Setting, Space
from acumen.learners.search.store import read_trials


@dataclass(frozen=True)
class EarlierRun:
    """An earlier run: what was measured, and of what.

    Attributes:
        results: settings with their values, less is better; None where it failed.
        features: numbers that describe what was tuned then (sizes, counts); runs are compared by
            them.
    """

    results: tuple[tuple[Setting, float | None], ...]
    features: tuple[float, ...] = ()

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], features: Sequence[float] = ()) -> EarlierRun:
        """The trials of another search's file; only whole measurements count.

        Raises:
            SearchFileError: it is not there, damaged or something else.
        """
        ended = [t for t in read_trials(path) if t.state in ("done", "failed")]
        results = [(t.setting, t.value) for t in ended if t.fidelity >= 1.0]
        return cls(tuple(results), tuple(float(v) for v in features))

    def best_first(self) -> list[Setting]:
        """Its settings that did not fail, by their mean value."""
        values: dict[str, list[float]] = {}
        settings: dict[str, Setting] = {}
        for setting, value in self.results:
            key = json.dumps(setting, sort_keys=True)
            settings[key] = setting
            values.setdefault(key, []).append(math.inf if value is None else value)
        means = {key: sum(found) / len(found) for key, found in values.items()}
        good = [key for key, mean in means.items() if math.isfinite(mean)]
        return [settings[key] for key in sorted(good, key=means.__getitem__)]


@dataclass(frozen=True)
class WarmStart:
    """Suggest first what was best in earlier runs; then let another learner go on.

    When to use it: where something alike has been tuned before: the same program on another input,
    another kernel, yesterday's version. Earlier values are not believed, only the order of the
    settings: each is measured again here. Parameters that are unknown here, or have values that
    are not allowed here, are left as by default.

    Args:
        runs: Earlier runs.
        features: Of what is tuned now; then runs of the most similar come first, by the Euclidean
            distance of standardised features. Empty: all runs count alike.
        first: Settings that are taken over at most.
        inner: The learner that goes on.

    Raises:
        ValueError: A parameter is out of range, or a run has features of another length.

    References:
        Feurer, Springenberg & Hutter, "Initializing Bayesian hyperparameter optimization via
        meta-learning", AAAI 2015.
    """

    runs: tuple[EarlierRun, ...]
    features: tuple[float, ...] = ()
    first: int = 6
    inner: SearchLearner = field(default_factory=Portfolio)

    def __post_init__(self) -> None:
        check_between("first", self.first, 1, 1e6)
        if self.features and any(len(run.features) != len(self.features) for run in self.runs):
            raise ValueError(f"every run needs {len(self.features)} features")

    def build(self, space: Space, seed: int) -> WarmStartSearcher:
        """Build the searcher."""
        return WarmStartSearcher(self, space, seed)

    def ordered(self) -> list[EarlierRun]:
        """The runs, the most similar one first."""
        if not self.features:
            return list(self.runs)
        columns = list(zip(*(run.features for run in self.runs), strict=True))
        spreads = [_spread(column) for column in columns]

        def distance(run: EarlierRun) -> float:
            return math.sqrt(
                sum(
                    ((one - other) / spread) ** 2
                    for one, other, spread in zip(self.features, run.features, spreads, strict=True)
                )
            )

        return sorted(self.runs, key=distance)


class WarmStartSearcher:
    """Hands out what is taken over, then asks the inner one; see `WarmStart`."""

    def __init__(self, spec: WarmStart, space: Space, seed: int) -> None:
        self._inner: Searcher = spec.inner.build(space, seed)
        self._space = space
        self._first = taken_over(spec.ordered(), space, spec.first)

    def ask(self) -> Suggestion:
        """What was best earlier, as long as there is some."""
        if self._first:
            return Suggestion(self._first.pop(0), "transfer")
        return self._inner.ask()

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """Told to the inner learner; what was measured already is not suggested any more."""
        if self._first:
            key = self._space.key(suggestion.setting)
            self._first = [s for s in self._first if self._space.key(s) != key]
        self._inner.tell(suggestion, value)


def taken_over(runs: Sequence[EarlierRun], space: Space, count: int) -> list[Setting]:
    """The best settings of runs, the best of each first, as far as they fit into a space.

    Args:
        runs: in the order of importance.
        space: of the new search; its default is never among them.
        count: how many at most.
    """
    lists = [run.best_first()[:count] for run in runs]
    found: dict[str, Setting] = {}
    default = space.key(space.default)
    for rank in range(count):
        for settings in lists:
            if rank < len(settings) and len(found) < count:
                setting = fitted(settings[rank], space)
                if setting is not None and space.key(setting) != default:
                    found.setdefault(space.key(setting), setting)
    return list(found.values())


def fitted(setting: Mapping[str, Any], space: Space) -> Setting | None:
    """The same in another space: what does not fit is as by default, None if that is forbidden."""
    partial = {}
    for name, value in setting.items():
        if name in space.parameters:
            try:
                space.parameters[name].check(value)
            except ValueError:
                continue
            partial[name] = value
    try:
        return space.complete(partial)
    except ValueError:
        return None


def _spread(column: Sequence[float]) -> float:
    mean = sum(column) / len(column)
    spread = math.sqrt(sum((value - mean) ** 2 for value in column) / len(column))
    return spread if spread > 0 else 1.0
