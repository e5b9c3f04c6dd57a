"""Who waits for whom among items: what contiguous splits of a pipeline have to heed.

A training graph is folded: its backward operators lie with the forward ones of their group, so the
order of the forward pass is what counts. Items without a forward operator are ordered by the
backward pass, reversed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from acumen.placement.graph import Graph, Indices, Ints
from acumen.placement.load_items import Items, merge
from acumen.placement.plan import Task


def flows(graph: Graph, item: Ints) -> tuple[Indices, Indices]:
    """The reads that order a pipeline, as operators from whom and to whom data flow; shape (e,).

    Args:
        graph: the operators.
        item: the item of each operator, from 0 on; shape (n,).
    """
    sources, targets = graph.edges
    backward = graph.backward
    alone = np.bincount(item[~backward], minlength=int(item.max()) + 1) == 0  # no forward operator
    forward = ~backward[sources] & ~backward[targets]
    mirrored = backward[sources] & backward[targets]
    mirrored &= alone[item[sources]] | alone[item[targets]]
    return (
        np.concatenate([sources[forward], targets[mirrored]]),
        np.concatenate([targets[forward], sources[mirrored]]),
    )


def waits(task: Task, items: Items) -> tuple[Ints, Ints]:
    """From whom to whom data flow, each pair of different items once; shape (e,) each."""
    q = len(items)
    sources, targets = flows(task.graph, items.item)
    keys = items.item[sources].astype(np.int64) * q + items.item[targets]
    from_, to = np.divmod(np.unique(keys), q)
    return from_[from_ != to], to[from_ != to]


def merge_cycles(task: Task, items: Items) -> Items:
    """Items that wait for each other become one: no contiguous split has them apart."""
    return merge(items, components(len(items), *waits(task, items)))


def components(count: int, from_: Ints, to: Ints) -> Ints:
    """The strongly connected component of each node, as the number of one in it; shape (count,).

    Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1972.
    """
    after = _lists(count, from_, to)
    label, low, met = [-1] * count, [0] * count, [-1] * count
    stack: list[int] = []
    clock = 0
    for root in range(count):
        if met[root] >= 0:
            continue
        path = [(root, iter(after[root]))]
        met[root] = low[root] = clock
        clock += 1
        stack.append(root)
        while path:
            node, others = path[-1]
            other = next(others, None)
            if other is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == met[node]:
                    while label[node] < 0:
                        label[stack.pop()] = node
            elif met[other] < 0:
                met[other] = low[other] = clock
                clock += 1
                stack.append(other)
                path.append((other, iter(after[other])))
            elif label[other] < 0:
                low[node] = min(low[node], met[other])
    return np.array(label, np.int64)


def contiguous(task: Task, items: Items, device: npt.NDArray[np.integer]) -> bool:
    """Whether devices can be put in a row so that data never flow back; `device`: of each item."""
    d = len(task.cluster)
    from_, to = waits(task, items)
    a, b = device[from_].astype(np.int64), device[to].astype(np.int64)
    label = components(d, a[a != b], b[a != b])
    return len(np.unique(label)) == d


def orders(count: int, from_: Ints, to: Ints, seed: int, many: int) -> list[Ints]:
    """Topological orders: depth first, breadth first, and others with dice; shape (count,) each.

    Raises:
        ValueError: there is none.
    """
    rng = np.random.default_rng(seed)
    after = _lists(count, from_, to)
    degree = np.bincount(to, minlength=count)
    found = []
    for turn in range(many):
        missing = degree.tolist()
        free = np.flatnonzero(degree == 0).tolist()
        order: list[int] = []
        if turn > 1:
            rng.shuffle(free)
        while free:
            # Most of the dice's orders go deep too: chains that are cut in few places cost less.
            shallow = turn == 1 or (turn > 1 and rng.random() < 0.1)
            node = free.pop(0 if shallow else -1)
            order.append(node)
            ready = []
            for other in after[node]:
                missing[other] -= 1
                if not missing[other]:
                    ready.append(other)
            if turn > 1:
                rng.shuffle(ready)
            free.extend(ready)
        if len(order) < count:
            raise ValueError("items wait for each other")
        found.append(np.array(order, np.int64))
    return found


def _lists(count: int, from_: Ints, to: Ints) -> list[list[int]]:
    after: list[list[int]] = [[] for _ in range(count)]
    for a, b in zip(from_.tolist(), to.tolist(), strict=True):
        after[a].append(b)
    return after
