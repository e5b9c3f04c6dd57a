"""What can be set: one kind of parameter a class, each with a default and a way into numbers.

A value becomes *genes*, a fixed count of numbers that searches change without knowing what they
stand for (`genes` explains the three kinds), and genes become a value again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Categorical:
    """One of several values that have no order.

    Args:
        values: JSON scalars, all different; ``True`` and ``1`` are two values.
        default: one of them; the first, if none is given.

    >>> Categorical(["lz4", "zstd"]).default
    'lz4'
    """

    values: Sequence[Scalar]
    default: Any = ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values:
            raise ValueError("a categorical parameter needs values")
        for value in self.values:
            if not isinstance(value, (str, int, float, bool, type(None))):
                raise TypeError(f"values must be text, numbers, flags or None, not {value!r}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"values must be finite, not {value}")
        if len({_exact(v) for v in self.values}) < len(self.values):
            raise ValueError(f"two values are equal: {self.values}")
        if self.default is ...:
            object.__setattr__(self, "default", self.values[0])
        object.__setattr__(
            self, "_codes", {_exact(value): code for code, value in enumerate(self.values)}
        )
        self.check(self.default)

    def check(self, value: Any) -> None:
        """Raises ValueError unless it is one of the values."""
        if _exact(value) not in self._codes:  # type: ignore[attr-defined]
            raise ValueError(f"{value!r} is none of {list(self.values)}")

    def genes(self, value: Any) -> list[float]:
        """Its number among the values."""
        code: int = self._codes[_exact(value)]  # type: ignore[attr-defined]
        return [float(code)]

    def value(self, genes: Sequence[float]) -> Scalar:
        """What `genes` was made of."""
        return self.values[int(genes[0])]

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)


def Flag(default: bool = False) -> Categorical:  # noqa: N802 - reads like its siblings
    """On or off.

    >>> Flag().values
    (False, True)
    """
    return Categorical((False, True), default=default)


@dataclass(frozen=True)
class Integer:
    """A whole number between two bounds, both included.

    Args:
        low: smallest.
        high: largest.
        log: whether equal steps are equal ratios; then `low` must be positive.
        default: None: the middle (of logarithms, if `log`).

    >>> Integer(1, 1024, log=True).default
    32
    """

    low: int
    high: int
    log: bool = False
    default: int | None = None

    def __post_init__(self) -> None:
        if any(isinstance(v, bool) or not isinstance(v, int) for v in (self.low, self.high)):
            raise TypeError(f"whole bounds are needed, not {self.low!r} and {self.high!r}")
        _check_bounds(self.low, self.high, self.log, 2**53)
        if self.default is None:
            object.__setattr__(self, "default", round(_middle(self.low, self.high, self.log)))
        self.check(self.default)

    def check(self, value: Any) -> None:
        """Raises ValueError unless it is a whole number within the bounds."""
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise ValueError(f"{value!r} is no whole number")
        if not self.low <= value <= self.high:
            raise ValueError(f"{value} lies outside {self.low} … {self.high}")

    def genes(self, value: Any) -> list[float]:
        """Its place in the range, in [0, 1]."""
        return [place(float(value), self.low, self.high, self.log)]

    def value(self, genes: Sequence[float]) -> int:
        """The whole number nearest to a place."""
        found = round(at_place(float(genes[0]), self.low, self.high, self.log))
        return min(max(found, self.low), self.high)

    @property
    def size(self) -> float:
        """How many values there are."""
        return self.high - self.low + 1


@dataclass(frozen=True)
class Real:
    """A number between two bounds, both included.

    Args:
        low: smallest.
        high: largest.
        log: whether equal steps are equal ratios; then `low` must be positive.
        default: None: the middle (of logarithms, if `log`).
    """

    low: float
    high: float
    log: bool = False
    default: float | None = None

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log, math.inf)
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))
        default = _middle(self.low, self.high, self.log) if self.default is None else self.default
        self.check(default)
        object.__setattr__(self, "default", float(default))

    def check(self, value: Any) -> None:
        """Raises ValueError unless it is a number within the bounds."""
        numbers = (int, float, np.integer, np.floating)
        if isinstance(value, bool) or not isinstance(value, numbers):
            raise ValueError(f"{value!r} is no number")
        if not self.low <= value <= self.high:
            raise ValueError(f"{value} lies outside {self.low} … {self.high}")

    def genes(self, value: Any) -> list[float]:
        """Its place in the range, in [0, 1]."""
        return [place(float(value), self.low, self.high, self.log)]

    def value(self, genes: Sequence[float]) -> float:
        """The number at a place, to twelve digits: 0.1, not 0.10000000000000006."""
        found = float(f"{at_place(float(genes[0]), self.low, self.high, self.log):.12g}")
        return min(max(found, self.low), self.high)

    @property
    def size(self) -> float:
        """Infinite."""
        return math.inf


@dataclass(frozen=True)
class Permutation:
    """All of several items, in some order.

    Args:
        items: text or whole numbers, all different.
        default: an order; the one given, if None. A value is a list.
    """

    items: Sequence[str | int]
    default: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", _items(self.items))
        object.__setattr__(self, "default", list(self.default or self.items))
        self.check(self.default)

    def check(self, value: Any) -> None:
        """Raises ValueError unless it has every item once."""
        if not isinstance(value, (list, tuple)) or sorted(map(repr, value)) != sorted(
            map(repr, self.items)
        ):
            raise ValueError(f"{value!r} is no order of {list(self.items)}")

    def genes(self, value: Any) -> list[float]:
        """The place of each item, in [0, 1]."""
        last = max(1, len(self.items) - 1)
        return [value.index(item) / last for item in self.items]

    def value(self, genes: Sequence[float]) -> list[str | int]:
        """The items in the order of their genes."""
        order = np.argsort(np.asarray(genes), kind="stable")
        return [self.items[i] for i in order]

    @property
    def size(self) -> float:
        """How many orders there are; infinite beyond what a float holds."""
        return math.factorial(len(self.items)) if len(self.items) < 171 else math.inf


@dataclass(frozen=True)
class Subset:
    """Any of several items; their order does not matter.

    Args:
        items: text or whole numbers, all different.
        default: those that are in it by default; None: none of them. A value is a list, in the
            order of `items`.
    """

    items: Sequence[str | int]
    default: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", _items(self.items))
        given = self.default or ()
        self.check(given)
        object.__setattr__(self, "default", [item for item in self.items if item in given])

    def check(self, value: Any) -> None:
        """Raises ValueError unless it is a list of different items."""
        if not isinstance(value, (list, tuple)) or len(set(map(repr, value))) < len(value):
            raise ValueError(f"{value!r} is no list of different items")
        for item in value:
            if item not in self.items:
                raise ValueError(f"{item!r} is none of {list(self.items)}")

    def genes(self, value: Any) -> list[float]:
        """1 for each item that is in it, else 0."""
        return [float(item in value) for item in self.items]

    def value(self, genes: Sequence[float]) -> list[str | int]:
        """The items whose gene is 1."""
        return [item for item, gene in zip(self.items, genes, strict=True) if gene >= 0.5]

    @property
    def size(self) -> float:
        """How many subsets there are; infinite beyond what a float holds."""
        return 2.0 ** len(self.items) if len(self.items) < 1023 else math.inf


Parameter = Categorical | Integer | Real | Permutation | Subset
KINDS: dict[str, type[Any]] = {
    "categorical": Categorical,
    "integer": Integer,
    "real": Real,
    "permutation": Permutation,
    "subset": Subset,
}


def tidier(parameter: Parameter) -> Callable[[Any], Any] | None:
    """What makes equal values look alike."""
    if isinstance(parameter, Real):
        return lambda value: float(value) + 0.0  # no -0.0
    if isinstance(parameter, Integer):
        return int
    if isinstance(parameter, Subset):
        return lambda value: [item for item in parameter.items if item in value]
    return list if isinstance(parameter, Permutation) else None


def place(value: float, low: float, high: float, log: bool) -> float:
    """Where a number stands in its range, in [0, 1]."""
    if log:
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


def at_place(unit: float, low: float, high: float, log: bool) -> float:
    """The number that stands there; the inverse of `place`."""
    if log:
        return math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
    return low + unit * (high - low)


def _exact(value: Any) -> tuple[type, Any]:
    """Tells True from 1, and 1 from 1.0: they are different words on a command line."""
    return (type(value), value) if isinstance(value, (str, int, float)) else (type(value), None)


def _middle(low: float, high: float, log: bool) -> float:
    return min(max(at_place(0.5, low, high, log), low), high)


def _items(items: Sequence[str | int]) -> tuple[str | int, ...]:
    if isinstance(items, str) or not items or len(set(items)) < len(items):
        raise ValueError(f"different items are needed, not {items!r}")
    if any(isinstance(item, bool) or not isinstance(item, (str, int)) for item in items):
        raise TypeError(f"items must be text or whole numbers: {items!r}")
    return tuple(items)


def _check_bounds(low: float, high: float, log: bool, most: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"finite bounds, low < high, are needed, not {low} and {high}")
    if max(abs(low), abs(high)) > most:
        raise ValueError(f"bounds beyond ±{most:g}: {low}, {high}")
    if not math.isfinite(high - low):
        raise ValueError(f"the range {low} … {high} is too wide")
    if log and low <= 0:
        raise ValueError(f"a logarithmic range must be positive, low is {low}")
