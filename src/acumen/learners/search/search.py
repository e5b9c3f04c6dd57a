"""`Search`: asks a learner what to measure, keeps what came of it, distrusts its luck."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from acumen.core.objective import Objective, minimize
from acumen.learners._parameters import check_between
from acumen.learners.search.confirmation import Confirmation, compare
from acumen.learners.search.observations import Observations
from acumen.learners.search.portfolio import Portfolio
from acumen.learners.search.random_search import RandomSearch
from acumen.learners.search.searcher import SearchLearner, Suggestion
from acumen.learners.search.space import Constraint, Setting, Space
from acumen.learners.search.store import ENDED, Store, Trial

FIRST_CONTROLS = 5
Measure = Callable[[Setting], float | Mapping[str, float]]


class BudgetSpentError(Exception):
    """There is nothing more to ask for: every evaluation of the budget has been given out."""


@dataclass(frozen=True)
class Best:
    """The best setting so far.

    Attributes:
        setting: what it is.
        value: what it is believed to cost: the mean of its measurements, drawn towards the
            others' as far as there is noise. Not to be quoted: see `Search.confirm`.
        mean: the plain mean of its measurements.
        count: how many those are.
        is_default: whether it is the default.
    """

    setting: Setting
    value: float
    mean: float
    count: int
    is_default: bool


@dataclass(frozen=True)
class Control:
    """The learner beside random search, in the same search.

    Attributes:
        evaluations: of the control, the default's not among them.
        control: best value that random settings had; None: none succeeded.
        learner_same: best value of as many settings, the learner's first ones.
        learner: best value of all of the learner's settings.
    """

    evaluations: int
    control: float | None
    learner_same: float | None
    learner: float | None


class Search:
    """A search for the best setting of a space: ask for trials, tell what came of them.

    The default is measured first. A share of the trials, the control, is drawn at random. Every
    trial counts as an evaluation, also one that fails. Before anything is said about the winner it
    has to be measured afresh: `confirm`.

    Args:
        space: what may be set.
        metric: `acumen.minimize("seconds")` or any other objective over what is told.
        learner: who suggests; None: `Portfolio()`.
        budget: how many trials there may be; None: no end.
        control: share of the trials for plain random search, below 1.
        file: SQLite file that keeps everything: a search that was interrupted goes on there, and
            several processes may take part at once. None: in memory.
        seed: makes a search repeatable (of one process, told in the order of asking).

    Raises:
        ValueError: something above is wrong.
        SearchFileError: the file cannot be used, or is another search's.

    >>> from acumen.learners.search import Integer, Space
    >>> search = Search(Space({"n": Integer(1, 64)}), minimize("cost"), budget=30, seed=1)
    >>> for trial in search:
    ...     told = search.tell(trial, cost=abs(trial.setting["n"] - 50) + 1)
    >>> search.best.setting, search.evaluations
    ({'n': 50}, 30)
    """

    def __init__(
        self,
        space: Space,
        metric: Objective | None = None,
        *,
        learner: SearchLearner | None = None,
        budget: int | None = None,
        control: float = 0.1,
        file: str | os.PathLike[str] | None = None,
        seed: int | None = None,
    ) -> None:
        check_between("control", control, 0.0, 0.99)
        if budget is not None and budget < 1:
            raise ValueError(f"a budget of at least one evaluation is needed, not {budget}")
        self.space = space
        self.metric = minimize("seconds") if metric is None else metric
        self.budget = math.inf if budget is None else budget
        self.learner: SearchLearner = Portfolio() if learner is None else learner
        self._control = 0.0 if isinstance(self.learner, RandomSearch) else control
        self._seed = int.from_bytes(os.urandom(4)) if seed is None else seed % (1 << 64)
        self._store = Store(file, _header(space, self.metric))
        self._searcher = self.learner.build(space, self._seed + 1000003 * self._store.participant)
        self._lock = threading.RLock()
        self._seen = Observations(space)
        self._unseen: list[Trial] = []
        self._confirmed = 0
        self._refresh()

    # ---- ask and tell --------------------------------------------------------------------------

    def ask(self) -> Trial:
        """The next trial. One whose process has died, or that was given back, comes first.

        Raises:
            BudgetSpentError: all trials of the budget have been given out.
            SearchFileError: it cannot be written down.
        """
        with self._lock:
            trial = self._store.begin(self.budget, self._suggest)
            if trial is None:
                raise BudgetSpentError(f"all {self.budget} evaluations have been given out")
            return trial

    def __iter__(self) -> Iterator[Trial]:
        """Asks until the budget is spent."""
        while True:
            try:
                trial = self.ask()
            except BudgetSpentError:
                return
            yield trial

    def tell(self, trial: Trial | int, **metrics: float) -> bool:
        """What came of a trial; returns whether it counts: only the first word on it does.

        A metric that the objective needs and that is missing or not finite makes it a failure.

        Args:
            trial: what was asked, or its number.
            **metrics: numbers, by the objective's names; others are kept beside them.
        """
        number = trial if isinstance(trial, int) else trial.number
        plain = {name: float(value) for name, value in metrics.items()}
        value = -self._reward(plain)
        if not math.isfinite(value):
            kept = {name: v for name, v in plain.items() if math.isfinite(v)}
            needed = ", ".join(self.metric.metrics)
            return self._store.end(number, "failed", None, kept, f"no usable value of {needed}")
        return self._store.end(number, "done", value + 0.0, plain, "")

    def fail(self, trial: Trial | int, reason: str) -> bool:
        """A trial that crashed, hung or gave a wrong result; see `tell`."""
        number = trial if isinstance(trial, int) else trial.number
        return self._store.end(number, "failed", None, {}, reason or "failed")

    def give_back(self, trial: Trial | int) -> None:
        """A trial that was not measured, through no fault of its setting: it is asked again."""
        self._store.give_back(trial if isinstance(trial, int) else trial.number)

    def named(self, said: float | Mapping[str, float]) -> Mapping[str, float]:
        """What a measurement has said, by name: a single number is the objective's first metric."""
        return said if isinstance(said, Mapping) else {self.metric.metrics[0]: said}

    def _reward(self, metrics: Mapping[str, float]) -> float:
        known = {name: value for name, value in metrics.items() if name in self.metric.metrics}
        return self.metric.reward(**known)

    def _suggest(self, number: int) -> Trial:
        self._absorb()
        if number == 0:
            return Trial(0, dict(self.space.default), "default")
        if self._is_control(number):
            drawn = self.space.sample(np.random.default_rng([self._seed, number]))
            return Trial(number, drawn, "control")
        suggestion = self._searcher.ask()
        return Trial(number, *suggestion)

    def _is_control(self, number: int) -> bool:
        """Some at the start, where chance is as good as anything, then evenly spread."""
        first = FIRST_CONTROLS
        if math.isfinite(self.budget):
            first = min(first, round(self._control * self.budget))
        first = first if self._control else 0

        def until(trials: int) -> int:
            return max(min(trials, first), math.floor(self._control * (trials + 1)))

        return until(number) > until(number - 1)

    def _refresh(self) -> None:
        self._store.refresh()
        self._absorb()

    def _absorb(self) -> None:
        for trial in self._store.news():
            if trial.state in ENDED:
                self._searcher.tell(
                    Suggestion(trial.setting, trial.learner, trial.propensity, trial.fidelity),
                    trial.value,
                )
                if trial.fidelity >= 1.0:
                    self._unseen.append(trial)

    # ---- what is known -------------------------------------------------------------------------

    @property
    def trials(self) -> list[Trial]:
        """All trials so far, of all processes, in the order of asking."""
        with self._lock:
            self._refresh()
            return self._store.trials

    @property
    def evaluations(self) -> int:
        """Measurements that were made or are being made, confirmation included."""
        return len(self.trials) + self._confirmed

    @property
    def left(self) -> float:
        """Trials of the budget that have not been given out; waiting ones count as left."""
        trials = self.trials
        waiting = sum(trial.state == "waiting" for trial in trials)
        return max(0, self.budget - len(trials)) + waiting

    @property
    def best(self) -> Best | None:
        """The best setting so far; None while no trial has succeeded."""
        with self._lock:
            self._refresh()
            for trial in self._unseen:
                self._seen.add(trial.setting, trial.value)
            self._unseen.clear()
            row = self._seen.best()
            if row is None:
                return None
            setting = self._seen.setting(row)
            return Best(
                setting,
                float(self._seen.robust_means()[row]),
                float(self._seen.means()[row]),
                int(self._seen.counts[row]),
                self.space.key(setting) == self.space.key(self.space.default),
            )

    def control(self) -> Control:
        """What random search found in the same search, at equal evaluations."""
        ended = [t for t in self.trials if t.state in ENDED and t.fidelity >= 1.0]
        drawn = [t.value for t in ended if t.learner == "control"]
        learned = [t.value for t in ended if t.learner not in ("control", "default")]
        same = learned[: len(drawn)]
        return Control(len(drawn), _least(drawn), _least(same), _least(learned))

    def confirm(
        self, measure: Measure, repeats: int = 20, *, confidence: float = 0.95
    ) -> Confirmation:
        """Measures the winner afresh, beside the default, in pairs of random order.

        Only this is to be quoted: the winner of many is the luckiest of many.

        Args:
            measure: setting → the metric, or name → metric where there are several. What it raises
                goes through.
            repeats: pairs; fewer than six can prove nothing at 95 %.
            confidence: of the interval, in (0, 1).

        Raises:
            ValueError: no trial has succeeded, or a measurement is not usable.
        """
        best = self.best
        if best is None:
            raise ValueError("no trial has succeeded: there is nothing to confirm")
        rng = np.random.default_rng([self._seed, len(self.trials), 1 + self._confirmed])
        sides = (best.setting, self.space.default)
        values = np.empty((repeats, 2))
        for pair in values:
            for side in rng.permutation(2):
                pair[side] = self._measured(measure, sides[side])
        ratios = any(term.log for term in self.metric.terms) or bool((values > 0).all())
        logs = any(term.log for term in self.metric.terms)
        return compare(best.setting, dict(self.space.default), values, ratios, logs, confidence)

    def _measured(self, measure: Measure, setting: Setting) -> float:
        self._confirmed += 1
        said = self.named(measure(dict(setting)))
        value = -self._reward(said)
        if not math.isfinite(value):
            raise ValueError(f"{setting} was measured as {said}: no usable {self.metric.metrics}")
        return value

    def close(self) -> None:
        """Closes the file; what was told is in it."""
        self._store.close()


def _least(values: list[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _header(space: Space, metric: Objective) -> dict[str, Any]:
    """What makes two searches the same: functions among constraints count by their number."""
    texts: tuple[Constraint, ...] = tuple(c for c in space.constraints if isinstance(c, str))
    plain = Space.__new__(Space)
    plain.__dict__.update(space.__dict__, constraints=texts)
    others = len(space.constraints) - len(texts)
    return {"space": plain.describe() | {"functions": others}, "metric": list(metric.describe())}
