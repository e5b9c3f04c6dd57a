"""`Choice.search`: a suggestion is a decision, a measurement is feedback.

Over a `Space`, the choice is offered three candidates a trial: the default, what the search learner
suggests, and a random draw. Which one is measured its learner decides (`Suggested`, unless it was
given another one), with a propensity that is recorded like every other. Over fixed arms or a
`Range` the choice decides alone: its own learner is the search learner. Either way decisions and
measurements are the choice's own, in its counters, its comparison and its journal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen.core.choice import Choice
from acumen.core.objective import Objective
from acumen.learners._parameters import check_between
from acumen.learners.search.parameters import Categorical
from acumen.learners.search.random_search import RandomSearch
from acumen.learners.search.search import Search
from acumen.learners.search.searcher import Suggestion
from acumen.learners.search.space import Space
from acumen.learners.search.store import Trial

OFFERED = ("default", "suggestion", "control")


@dataclass(frozen=True)
class Suggested:
    """Take what is suggested, and a random draw now and then: the control.

    When to use it: it is what a choice over a `Space` uses by itself.

    Args:
        control: Probability of the random draw.

    Raises:
        ValueError: A parameter is out of range.
    """

    control: float = 0.1

    def __post_init__(self) -> None:
        check_between("control", self.control, 0.0, 1.0)

    def build(self, dimension: int, arms: int, features: int) -> SuggestedLearner:
        """Build the learner."""
        return SuggestedLearner(self.control)


class SuggestedLearner:
    """Knows the order of the candidates alone; see `Suggested`."""

    def __init__(self, control: float) -> None:
        self._control = control
        self.version = 0

    def distribution(self, x: Any, features: Any = None, /) -> list[float]:
        """Of default, suggestion and draw; of fewer candidates, the last."""
        count = len(OFFERED) if features is None else len(features)
        if count < len(OFFERED):
            return [0.0] * (count - 1) + [1.0]
        return [0.0, 1.0 - self._control, self._control] + [0.0] * (count - len(OFFERED))

    def learn(self, *lesson: Any) -> None:
        """Counts."""
        self.version += 1

    def reset(self) -> None:
        """Counts from nothing."""
        self.version = 0

    def state(self) -> dict[str, NDArray[Any]]:
        """How many lessons there were."""
        return {"version": np.array([self.version], np.uint64)}

    def restore(self, arrays: dict[str, NDArray[Any]], /) -> None:
        """Becomes that; ValueError if it does not fit."""
        if set(arrays) != {"version"} or arrays["version"].shape != (1,):
            raise ValueError("not the state of this learner")
        self.version = int(arrays["version"][0])


class ChoiceSearch(Search):
    """A search whose trials are decisions of a `Choice`; made by `Choice.search`.

    Args:
        choice: over a `Space`, fixed arms or a `Range`; with fixed arms, a setting is
            ``{"arm": arm}``, and arms must be JSON scalars.
        metric: None: the choice's own objective, which feedback counts by in any case.
        context: the context that is searched for: one workload.
        **settings: as of `Search`: budget, file, seed, and for a space the search learner.

    Raises:
        TypeError: a choice over candidates without a space.
        ValueError: something else does not fit.

    >>> import acumen
    >>> from acumen.learners.search import Integer, Space
    >>> level = acumen.Choice(
    ...     "level",
    ...     arms=Space({"level": Integer(1, 22, default=3)}),
    ...     context={},
    ...     metric=acumen.minimize("seconds"),
    ...     seed=1,
    ... )
    >>> search = level.search(budget=20, seed=1)
    >>> for trial in search:
    ...     told = search.tell(trial, seconds=1.0 + abs(trial.setting["level"] - 9))
    >>> search.best.setting, level.counters()["feedback_learned"]
    ({'level': 9}, 20)
    """

    def __init__(
        self,
        choice: Choice,
        metric: Objective | None = None,
        *,
        context: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.choice = choice
        self._context = dict(context or {})
        self._decisions: dict[int, Any] = {}
        self._held: Suggestion | None = None
        space = choice.space
        self._offers = isinstance(space, Space)
        if not isinstance(space, Space):
            if choice._arms.takes_candidates:
                raise TypeError("candidates come with calls: give the choice a Space to search")
            default = choice.arms[choice._arms.default_index]
            space = Space({"arm": Categorical(choice.arms, default=default)})
            settings.setdefault("learner", RandomSearch())  # it is never asked
        # The control is one of the candidates that the choice is offered.
        super().__init__(
            space, choice.objective if metric is None else metric, control=0.0, **settings
        )

    def _suggest(self, number: int) -> Trial:
        self._absorb()
        if not self._offers:
            decision = self.choice.choose(**self._context)
            self._decisions[number] = decision
            propensity = float(decision.propensity)
            return Trial(number, {"arm": decision.arm}, decision.reason, propensity)
        offered = [Suggestion(dict(self.space.default), "default")]
        if number:
            held = self._searcher.ask() if self._held is None else self._held
            drawn = self.space.sample(np.random.default_rng([self._seed, number]))
            offered += [held, Suggestion(drawn, "control")]
            self._held = held
        features = self.space.features([suggestion.setting for suggestion in offered])
        decision = self.choice.choose(candidates=features, **self._context)
        if decision.arm == 1:
            self._held = None
        self._decisions[number] = decision
        setting, learner, propensity, fidelity = offered[decision.arm]
        propensity *= float(decision.propensity)
        return Trial(number, setting, learner, propensity, fidelity)

    def tell(self, trial: Trial | int, **metrics: float) -> bool:
        """What came of a trial: kept, and given to the choice as feedback; see `Search.tell`."""
        counts = super().tell(trial, **metrics)
        number = trial if isinstance(trial, int) else trial.number
        decision = self._decisions.pop(number, None)
        if counts and decision is not None and math.isfinite(self._reward(metrics)):
            known = {n: float(v) for n, v in metrics.items() if n in self.choice.objective.metrics}
            self.choice.feedback(decision.id, **known)
        return counts

    def fail(self, trial: Trial | int, reason: str) -> bool:
        """A decision without feedback; see `Search.fail`."""
        self._decisions.pop(trial if isinstance(trial, int) else trial.number, None)
        return super().fail(trial, reason)
