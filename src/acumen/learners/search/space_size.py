"""How many settings a space has: a product of its parts, conditional ones where they are active."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from acumen.learners.search.parameters import Subset

if TYPE_CHECKING:
    from acumen.learners.search.space import Space

_Children = dict[str | None, list[str]]


def count(space: Space) -> float:
    """Settings, constraints not counted; infinite with a `Real`, or beyond what a float holds."""
    children: _Children = defaultdict(list)
    for name in space.parameters:
        condition = space.conditions.get(name)
        children[condition.parameter if condition else None].append(name)
    return _product(_count(space, name, children) for name in children[None])


def _count(space: Space, name: str, children: _Children) -> float:
    """Values of a parameter, each as often as what depends on it has settings then."""
    parameter, below = space.parameters[name], children.get(name, [])
    if not below:
        return parameter.size
    below_counts = {child: _count(space, child, children) for child in below}
    values = {child: set(space.conditions[child].values) for child in below}
    if isinstance(parameter, Subset):
        return _subsets(len(parameter.items), below_counts, values)
    deciding = set().union(*values.values())
    return (
        parameter.size
        - len(deciding)
        + sum(
            _product(below_counts[child] for child in below if value in values[child])
            for value in deciding
        )
    )


def _subsets(items: int, counts: dict[str, float], values: dict[str, set[str | int]]) -> float:
    """Subsets of so many items, each as often as what depends on its items has settings then.

    Item after item is in or out. What is kept apart meanwhile is only which parameters are active
    of those that later items decide about, too.
    """
    deciding = list(
        dict.fromkeys(item for child in values for item in sorted(values[child], key=repr))
    )
    ways: dict[frozenset[str], float] = {frozenset(): 1}
    for number, item in enumerate(deciding):
        opened = frozenset(child for child in values if item in values[child])
        later = set(deciding[number + 1 :])
        settled = {child for child in opened if not values[child] & later}
        found: dict[frozenset[str], float] = defaultdict(int)
        for active, count_ in ways.items():
            for now in (active, active | opened):
                found[now - settled] += _product([count_, *(counts[c] for c in now & settled)])
        ways = found
    others = items - len(deciding)
    return _product([sum(ways.values()), 2.0**others if others < 1023 else math.inf])


def _product(counts: Iterable[float]) -> float:
    total: float = 1
    for number in counts:
        try:
            total = math.inf if math.inf in (total, number) else total * number
        except OverflowError:
            total = math.inf
    return total
