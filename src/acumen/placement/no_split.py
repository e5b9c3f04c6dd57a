"""Modules that stay whole: all of their operators are one group, so on one device in every plan.

What cannot be moved between devices in the middle (a block with a residual connection, as
`_no_split_modules` of transformers' models has them) is planned as it will be loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from acumen.placement.graph import NO_GROUP, Graph, Indices, Ints
from acumen.placement.load_order import components
from acumen.placement.module_names import outermost
from acumen.placement.plan_error import PlanError


def keep_whole(graph: Graph, patterns: Iterable[str]) -> Graph:
    """The graph with each module that a pattern means as one group; groups that they share join.

    Args:
        graph: whose operators are called after modules; see `acumen.placement.module_names`.
        patterns: modules' paths, such as "layers.3", or with * ? [abc], such as "layers.*". Of
            modules within each other the outermost one that a pattern means is kept whole.

    Raises:
        PlanError: a pattern means no module.
    """
    grouped = np.flatnonzero(graph.group != NO_GROUP)
    # Who is with whom: operators, and the number of the set that each is in.
    members, sets = [grouped], [graph.group[grouped].astype(np.int64)]
    count = int(graph.group.max()) + 1
    for pattern in patterns:
        modules = outermost(graph.operators, pattern)
        inside = np.array([bool(one) for one in modules])
        if not inside.any():
            raise PlanError(f"no module is called {pattern!r}: there is nothing to keep whole")
        names, number = np.unique(np.array(modules)[inside], return_inverse=True)
        members.append(np.flatnonzero(inside))
        sets.append(number + count)
        count += len(names)
    group = _joined(len(graph), np.concatenate(members), np.concatenate(sets), count)
    return replace(graph, group=group)


def _joined(n: int, members: Ints, sets: Ints, count: int) -> Indices:
    """Groups of operators that are in one set, or in sets that share some; shape (n,)."""
    label = components(
        n + count, np.concatenate([members, n + sets]), np.concatenate([n + sets, members])
    )[:n]
    _, first, number, size = np.unique(
        label, return_index=True, return_inverse=True, return_counts=True
    )
    large = size > 1
    rank = np.full(len(size), NO_GROUP, np.int32)
    rank[np.flatnonzero(large)[np.argsort(first[large])]] = np.arange(large.sum(), dtype=np.int32)
    return np.asarray(rank[number], np.int32)
