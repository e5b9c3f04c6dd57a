"""What is to be made better: one number out of the metrics that feedback brings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acumen import _native


@dataclass(frozen=True)
class Term:
    """One metric's part in an objective; see `minimize`, `maximize`, `at_most`, `at_least`."""

    metric: str
    weight: float = 0.0
    log: bool = False
    upper: float = math.inf
    lower: float = -math.inf
    penalty: float = 0.0


@dataclass(frozen=True)
class Objective:
    """A weighted sum of metrics and penalties for broken limits; more is better.

    Objectives add up and scale:

    >>> objective = minimize("seconds") + 0.001 * minimize("bytes") + at_most("errors", 0.01)
    >>> objective.metrics
    ('seconds', 'bytes', 'errors')
    >>> round(objective.reward(seconds=2.0, bytes=1000.0, errors=0.02), 6)
    -13.0
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        names = [term.metric for term in self.terms]
        if not 1 <= len(names) <= _native.METRICS_MAX:
            raise ValueError(f"an objective has 1 to {_native.METRICS_MAX} metrics")
        for name in names:
            if not name.isidentifier():
                raise ValueError(f"a metric's name must be an identifier, not {name!r}")
            if names.count(name) > 1:
                raise ValueError(f"the metric {name!r} appears twice")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names, in the order of positional feedback."""
        return tuple(term.metric for term in self.terms)

    def __add__(self, other: Objective) -> Objective:
        """Both together; limits and weights of one metric merge into one term."""
        merged = {term.metric: term for term in self.terms}
        for term in other.terms:
            before = merged.get(term.metric)
            merged[term.metric] = term if before is None else _merge(before, term)
        return Objective(tuple(merged.values()))

    def __mul__(self, factor: float) -> Objective:
        """The same, `factor` times as important."""
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(f"a weight must be positive and finite, not {factor}")
        return Objective(
            tuple(
                replace(t, weight=t.weight * factor, penalty=t.penalty * factor) for t in self.terms
            )
        )

    __rmul__ = __mul__

    def reward(self, **metrics: float) -> float:
        """The reward of one feedback, NaN if a metric that is needed is missing or not finite."""
        values = [float(metrics.get(name, math.nan)) for name in self.metrics]
        return _native.reward(self.native(), values)

    def describe(self) -> tuple[dict[str, Any], ...]:
        """Terms as JSON values, what is as by default left out; see `from_description`."""
        plain = Term("")
        return tuple(
            {k: v for k, v in asdict(term).items() if v != getattr(plain, k)} for term in self.terms
        )

    @classmethod
    def from_description(cls, terms: Iterable[Mapping[str, Any]]) -> Objective:
        """What `describe` describes.

        Raises:
            TypeError, ValueError: it describes nothing.
        """
        return cls(tuple(Term(**term) for term in terms))

    def rewards(self, metrics: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """The rewards of many feedbacks; see `reward`.

        Args:
            metrics: name → float[n]; those that the objective does not need may be left out.

        Returns:
            float64[n].

        Raises:
            ValueError: none of the objective's metrics is there, or their lengths differ.

        >>> minimize("seconds").rewards({"seconds": [1.0, float("nan")]}).tolist()
        [-1.0, nan]
        """
        known = [np.asarray(metrics[n], np.float64) for n in self.metrics if n in metrics]
        if len({len(column) for column in known}) != 1:
            raise ValueError(f"one column a metric is needed, all of one length: {self.metrics}")
        values = np.full((len(known[0]), len(self.terms)), math.nan)
        for i, name in enumerate(self.metrics):
            if name in metrics:
                values[:, i] = metrics[name]
        return _native.rewards(self.native(), values)

    def native(self) -> tuple[tuple[float, bool, float, float, float], ...]:
        """As the native core takes it."""
        return tuple((t.weight, t.log, t.upper, t.lower, t.penalty) for t in self.terms)


def minimize(metric: str, *, log: bool = False) -> Objective:
    """Less of a metric is better.

    Args:
        metric: its name, a keyword of `feedback`.
        log: count ratios instead of differences, for metrics whose size spans decades (seconds,
            bytes); 0 then counts as 1e-9, and negative values make a feedback unusable.
    """
    return Objective((Term(metric, weight=-1.0, log=log),))


def maximize(metric: str, *, log: bool = False) -> Objective:
    """More of a metric is better; see `minimize`."""
    return Objective((Term(metric, weight=1.0, log=log),))


def observe(metric: str) -> Objective:
    """Records a metric without any part in the reward: the objective may change later."""
    return Objective((Term(metric),))


def at_most(metric: str, limit: float, *, penalty: float = 10.0) -> Objective:
    """A limit: `penalty` is lost for each 100 % beyond it (each 1.0 if the limit is 0)."""
    return Objective((Term(metric, upper=_finite(limit), penalty=_positive(penalty)),))


def at_least(metric: str, limit: float, *, penalty: float = 10.0) -> Objective:
    """A limit from below; see `at_most`."""
    return Objective((Term(metric, lower=_finite(limit), penalty=_positive(penalty)),))


def _merge(a: Term, b: Term) -> Term:
    if a.weight and b.weight and a.log != b.log:
        raise ValueError(f"the metric {a.metric!r} cannot count both in ratios and in differences")
    if a.penalty and b.penalty and a.penalty != b.penalty:
        raise ValueError(f"the limits of the metric {a.metric!r} have different penalties")
    return Term(
        a.metric,
        weight=a.weight + b.weight,
        log=a.log or b.log,
        upper=min(a.upper, b.upper),
        lower=max(a.lower, b.lower),
        penalty=max(a.penalty, b.penalty),
    )


def _finite(limit: float) -> float:
    if not math.isfinite(limit):
        raise ValueError(f"a limit must be finite, not {limit}")
    return float(limit)


def _positive(penalty: float) -> float:
    if not (math.isfinite(penalty) and penalty > 0):
        raise ValueError(f"a penalty must be positive and finite, not {penalty}")
    return float(penalty)
