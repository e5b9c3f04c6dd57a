"""Functions with parameters that may be set: `tunable` finds better values, in the same process."""

from __future__ import annotations

import functools
import inspect
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np

from acumen.evaluation.programs.pairs import RunFailedError
from acumen.flags.subject import Measured, TuneError
from acumen.flags.tuner import Budget, Progress, Tuned, Tuner
from acumen.learners.search import Categorical, Integer, Real, SearchLearner, Setting, Space

P = ParamSpec("P")
R = TypeVar("R")
Arguments = tuple[Sequence[Any], Mapping[str, Any]]

# A clock that ticks in tens of nanoseconds is read around at least this much work.
_SECONDS_MIN = 0.002


class Tunable(Generic[P, R]):
    """A function some of whose parameters are tuned; called like the function itself.

    Args:
        function: the function.
        parameters: what may be set, by the names of its keyword parameters, which must have
            defaults: those are the default setting.

    Attributes:
        setting: what calls use unless they say otherwise; at first the function's own defaults.
    """

    def __init__(
        self, function: Callable[P, R], parameters: Mapping[str, Categorical | Integer | Real]
    ) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        known = inspect.signature(function).parameters
        space: dict[str, Any] = {}
        for name, parameter in parameters.items():
            own = known.get(name)
            if own is None or own.default is own.empty or own.kind is own.POSITIONAL_ONLY:
                raise TypeError(
                    f"{getattr(function, '__name__', function)} needs a parameter {name!r} that "
                    "can be given by name and has a default"
                )
            space[name] = replace(parameter, default=own.default)
        self.space = Space(space)
        self.setting: Setting = dict(self.space.default)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, with `setting` unless a call says otherwise."""
        bound: dict[str, Any] = {**self.setting, **kwargs}
        return self._function(*args, **bound)

    def tune(
        self,
        *args: Any,
        budget: float | Budget = 10.0,
        fresh: Callable[[], Arguments] | None = None,
        same: Callable[[R, R], bool] | None = None,
        score: Callable[[R], float] | None = None,
        maximize: bool = False,
        learner: SearchLearner | None = None,
        file: Path | None = None,
        seed: int | None = None,
        told: Callable[[Progress], None] = lambda progress: None,
        **kwargs: Any,
    ) -> Tuned:
        """Finds a setting that is faster (or scores better), and uses it from now on if it is.

        A function cannot be interrupted: one that hangs with some setting hangs the tuning.
        Programs of which that is feared are tuned as programs (`tune_program`).

        Args:
            *args: what it is called with.
            budget: seconds for everything, or a `Budget`.
            fresh: makes arguments for each call, for functions that change theirs; its time does
                not count.
            same: whether two results are equally right; equality unless given. One that is not the
                same as the default's is a failure.
            score: what of a result is measured instead of time; above 0.
            maximize: whether more of it is better.
            learner: who searches.
            file: keeps the search.
            seed: makes what is drawn repeatable.
            told: is called often, with where things are.
            **kwargs: what it is called with, by name.

        Returns:
            what was found; `setting` is the winner if the verdict is ``better``.
        """
        make = fresh or (lambda: (args, kwargs))
        subject = FunctionSubject(self._function, self.space, make, same, score, maximize)
        spend = budget if isinstance(budget, Budget) else Budget(seconds=budget)
        tuned = Tuner(subject, spend, learner=learner, file=file, seed=seed, told=told).run()
        if tuned.verdict.kind == "better":
            self.setting = dict(tuned.setting)
        return tuned


def tunable(
    **parameters: Categorical | Integer | Real,
) -> Callable[[Callable[P, R]], Tunable[P, R]]:
    """Marks parameters of a function that may be set to whatever is best.

    Example:
        >>> import acumen.flags
        >>> from acumen.learners.search import Integer
        >>> @acumen.flags.tunable(block=Integer(1, 1024, log=True))
        ... def total(numbers, *, block=1):
        ...     return sum(sum(numbers[i : i + block]) for i in range(0, len(numbers), block))
        >>> total(list(range(1000)))
        499500
        >>> tuned = total.tune(list(range(1000)), budget=1.0, seed=1)
        >>> total(list(range(1000)))
        499500
    """
    return lambda function: Tunable(function, parameters)


class FunctionSubject:
    """A function with settings, called in this process; a `Subject`. See `Tunable.tune`."""

    def __init__(
        self,
        function: Callable[..., R],
        space: Space,
        make: Callable[[], Arguments],
        same: Callable[[R, R], bool] | None,
        score: Callable[[R], float] | None,
        maximize: bool,
    ) -> None:
        self._function, self._make, self._score = function, make, score
        self._same: Callable[[Any, Any], bool] | None = same or equal
        self._given = same is not None
        self._right: Any = None
        self._loops = 1
        self.space, self.maximize = space, maximize
        self.metric = "time" if score is None else "score"
        self.units = {name: (name,) for name in space.parameters}
        name = f"{function.__module__}.{getattr(function, '__qualname__', function)}"
        self.fingerprint = json.dumps([name, space.describe(), self.metric, maximize])

    def prepare(self) -> list[str]:
        """See `Subject`."""
        try:
            results = [self._call(self.space.default) for _ in range(4)]
        except Exception as error:
            raise TuneError(f"the default failed: {error!r}") from error
        # The first call warms up; a generator or the like would be empty when it is compared.
        took = median(seconds for _, seconds in results[1:])
        if self._score is None and took > 0 and self._make_is_cheap():
            self._loops = min(max(math.ceil(_SECONDS_MIN / took), 1), 100_000)
        self._right = results[0][0]
        same = self._same
        assert same is not None
        if all(same(self._right, other) for other, _ in results[1:]):
            return []
        if self._given:
            raise TuneError("the default's own results are not the same from call to call")
        self._same = None
        return ["the default's results change from call to call, so they are not compared"]

    def measure(self, setting: Setting, hurry: bool = False) -> Measured:
        """See `Subject`; nothing here can hurry."""
        try:
            calls = [self._call(setting) for _ in range(self._loops)]
        except Exception as error:
            raise RunFailedError(f"it raised {error!r}") from error
        result = calls[-1][0]
        seconds = sum(took for _, took in calls) / len(calls)
        try:
            right = self._same is None or self._same(self._right, result)
            value = seconds if self._score is None else float(self._score(result))
        except Exception as error:
            raise RunFailedError(f"its result cannot be judged: {error!r}") from error
        if not right:
            raise RunFailedError("its result differs from the default's")
        return Measured(value, {"time": seconds, self.metric: value})

    def shown(self, setting: Setting) -> str:
        """See `Subject`."""
        name = getattr(self._function, "__name__", "function")
        given = ", ".join(self.flag(unit, setting) for unit in self.units)
        return f"{name}(…, {given})"

    def flag(self, unit: str, setting: Setting) -> str:
        """See `Subject`."""
        return f"{unit}={setting[unit]!r}"

    def _call(self, setting: Setting) -> tuple[Any, float]:
        args, kwargs = self._make()
        began = time.perf_counter_ns()
        result = self._function(*args, **{**kwargs, **setting})
        return result, (time.perf_counter_ns() - began) * 1e-9

    def _make_is_cheap(self) -> bool:
        began = time.perf_counter()
        self._make()
        return time.perf_counter() - began < _SECONDS_MIN


def equal(one: Any, other: Any) -> bool:
    """Equality of anything, arrays and collections of arrays included.

    >>> equal([np.ones(3), {"a": 1}], [np.ones(3), {"a": 1}]), equal(np.ones(3), np.ones(4))
    (True, False)
    """
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return type(one) is type(other) and bool(np.array_equal(one, other))
    if type(one) is not type(other):
        return bool(one == other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return bool(one == other)
