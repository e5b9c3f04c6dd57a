"""Optuna's TPE: multivariate, and by groups where parts are conditional, as its authors advise.

What failed is told as infinitely bad: TPE only ranks, and it would learn nothing from a trial
that is marked as failed.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from acumen.flags.measuring import Seen
from acumen.learners.search import Categorical, Integer, Real, Setting, Space, optuna_samplers


def make(space: Space, budget: int, seed: int) -> OptunaTpe:
    """A study in memory; `budget` does not matter to it."""
    del budget
    return OptunaTpe(space, seed)


class OptunaTpe:
    """See the module."""

    def __init__(self, space: Space, seed: int) -> None:
        optuna = optuna_samplers.package()
        self._space, self._seen = space, Seen(space)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of its arguments are called experimental
            sampler = optuna.samplers.TPESampler(
                seed=seed % (1 << 32),
                multivariate=True,
                group=bool(space.conditions),
                warn_independent_sampling=False,
            )
        self._study = optuna.create_study(sampler=sampler)
        self._study.enqueue_trial(dict(space.default))
        self._trial: Any = None
        self._setting: Setting = {}

    def ask(self) -> Setting:
        """The default first, then what the sampler draws."""
        self._trial = self._study.ask()
        chosen: Setting = {}
        for name in self._space.parents_first:
            if self._space.active_in(name, chosen):
                chosen[name] = self._suggest(name)
        self._setting = {name: chosen[name] for name in self._space.parameters if name in chosen}
        return self._setting

    def _suggest(self, name: str) -> Any:
        parameter = self._space.parameters[name]
        if isinstance(parameter, Categorical):
            return self._trial.suggest_categorical(name, parameter.values)
        if isinstance(parameter, Integer):
            return self._trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log)
        if isinstance(parameter, Real):
            return self._trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
        raise TypeError(f"{name!r} is neither categorical nor a number")

    def tell(self, value: float | None) -> None:
        """Told to the study."""
        self._seen.add(self._setting, value)
        self._study.tell(self._trial, math.inf if value is None else value)

    def best(self) -> Setting:
        """The best that was measured."""
        return self._seen.best()
