"""What can be chosen: a fixed list, candidates that come with the call, or a range of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

ARMS_MAX = 4096


@dataclass(frozen=True)
class Candidates:
    """Arms that come with each call, described by features instead of by name.

    ``choice.choose(candidates=matrix, **context)`` takes float[n, features] with 1 ≤ n ≤ `most`;
    the decision's arm is the index of a row.

    Args:
        features: how many features a candidate has.
        most: how many candidates a call may bring.
    """

    features: int
    most: int = 256

    def __post_init__(self) -> None:
        if not 1 <= self.features <= 64:
            raise ValueError(f"candidates have 1 to 64 features, not {self.features}")
        if not 1 <= self.most <= ARMS_MAX:
            raise ValueError(f"a call may bring 1 to {ARMS_MAX} candidates, not {self.most}")


@dataclass(frozen=True)
class Range:
    """A number between two bounds, chosen from a grid whose neighbours learn from each other.

    The learner sees a value through the first three Legendre polynomials of its place in the
    range, so that one measurement says something about the whole curve. Keep the default learner,
    or `SoftmaxGradient`, where the best value depends on the context: the linear learners mistake
    what the context alone explains for the arm's merit, and then stay near the best fixed value.

    Args:
        low: smallest value.
        high: largest value.
        log: whether equal steps are equal ratios; then `low` must be positive.
        points: values in the grid, both ends included.

    If both bounds are integers, so are the values.

    >>> Range(1, 64, log=True, points=7).values()
    (1, 2, 4, 8, 16, 32, 64)
    """

    low: float
    high: float
    log: bool = False
    points: int = 16

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"a range needs finite low < high, not {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range must be positive, low is {self.low}")
        if not 2 <= self.points <= 256:
            raise ValueError(f"a range has 2 to 256 points, not {self.points}")

    def values(self) -> tuple[float, ...]:
        """The grid, ascending, without repetitions."""
        space = np.geomspace if self.log else np.linspace
        grid = [float(v) for v in space(self.low, self.high, self.points)]
        if isinstance(self.low, int) and isinstance(self.high, int):
            return tuple(sorted({round(v) for v in grid}))
        return (float(self.low), *grid[1:-1], float(self.high))

    def features(self, values: Sequence[float]) -> list[float]:
        """Three features a value, one value behind the other."""
        flat: list[float] = []
        for value in values:
            v, low, high = (math.log(t) if self.log else t for t in (value, self.low, self.high))
            u = 2.0 * (v - low) / (high - low) - 1.0
            flat += [u, 1.5 * u * u - 0.5, 2.5 * u**3 - 1.5 * u]
        return flat


@runtime_checkable
class Described(Protocol):
    """Anything whose arms come with each call as rows of features: a space to be searched."""

    def as_candidates(self) -> Candidates:
        """How many features, and how many at once."""
        ...


@dataclass(frozen=True)
class ArmSet:
    """Arms as the native core takes them."""

    arms: tuple[Any, ...]
    features: int
    arm_features: list[float]
    index_of: dict[Hashable, int]
    default_index: int
    heuristic: Callable[..., Any] | None
    takes_candidates: bool = False
    signature: list[str] = field(default_factory=list)
    declared: object = None

    @property
    def settings(self) -> dict[str, Any]:
        """What the signature does not say, as JSON values."""
        if isinstance(self.declared, Candidates):
            return {"most": self.declared.most}
        if isinstance(self.declared, Range):
            return {"range": asdict(self.declared)}
        return {}

    @property
    def default_signature(self) -> str:
        """Names the default, to tell whether two choices have the same."""
        if self.heuristic is None:
            return repr(self.arms[self.default_index])
        name = getattr(self.heuristic, "__qualname__", type(self.heuristic).__qualname__)
        return f"{getattr(self.heuristic, '__module__', '')}.{name}()"


def arm_set(arms: object, default: object) -> ArmSet:
    """Checks what a `Choice` was given as arms and default, and spells it out.

    Raises:
        TypeError: arms of no known kind, or not hashable.
        ValueError: no arms, too many, repeated, or a default that is none of them.
    """
    if isinstance(arms, Candidates):
        return replace(_candidates(arms, default), declared=arms)
    if isinstance(arms, Range):
        return replace(_range(arms, default), declared=arms)
    if isinstance(arms, Described):
        return replace(_candidates(arms.as_candidates(), default), declared=arms.as_candidates())
    if isinstance(arms, (str, bytes)) or not isinstance(arms, Sequence):
        raise TypeError(f"arms must be a sequence, Candidates(...) or Range(...), not {arms!r}")
    return _fixed(tuple(arms), default, features=0, arm_features=[])


def _candidates(arms: Candidates, default: object) -> ArmSet:
    heuristic = default if callable(default) else None
    index = 0 if default is None or heuristic else default
    if not isinstance(index, int) or not 0 <= index < arms.most:
        raise ValueError(
            "the default of Candidates is an index or heuristic(context, candidates) -> index, "
            f"not {default!r}"
        )
    indices = tuple(range(arms.most))
    return ArmSet(
        arms=indices,
        features=arms.features,
        arm_features=[],
        index_of={},
        default_index=index,
        heuristic=heuristic,
        takes_candidates=True,
        signature=[f"candidates[{arms.features}]"],
    )


def _range(arms: Range, default: object) -> ArmSet:
    values = arms.values()
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        if not arms.low <= default <= arms.high:
            raise ValueError(f"the default {default} lies outside {arms.low} … {arms.high}")
        if default not in values:
            values = tuple(sorted((*values, default)))
    return _fixed(values, default, features=3, arm_features=arms.features(values))


def _fixed(
    arms: tuple[Any, ...], default: object, features: int, arm_features: list[float]
) -> ArmSet:
    if not 1 <= len(arms) <= ARMS_MAX:
        raise ValueError(f"a choice has 1 to {ARMS_MAX} arms, not {len(arms)}")
    try:
        index_of = {arm: i for i, arm in enumerate(arms)}
    except TypeError as error:
        raise TypeError(f"arms must be hashable (tuples instead of lists): {error}") from None
    if len(index_of) < len(arms):
        raise ValueError("two arms are equal")
    known = isinstance(default, Hashable) and default in index_of
    if not known and not callable(default):
        raise ValueError(f"the default {default!r} is neither an arm nor a heuristic(context)")
    return ArmSet(
        arms=arms,
        features=features,
        arm_features=arm_features,
        index_of=index_of,
        default_index=index_of[default] if known else 0,
        heuristic=None if known or not callable(default) else default,
        signature=[repr(arm) for arm in arms],
    )
