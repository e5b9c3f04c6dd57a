"""What no plan can beat: lower bounds of a task's objective, whatever runs where.

They hold for the simulator's own numbers, rounding included: a bound is never above the seconds of
any plan by even the last bit.
"""

from __future__ import annotations

import numpy as np

from acumen import _native
from acumen.placement.graph import Floats, Graph
from acumen.placement.plan import Task

_WINDOW_MAX, _PAIRS = 200, 8e7  # so that 80,000 operators take a second or two
_ROUNDING = 1e-9  # relative: more than sums along a chain lose
_COST_MAX = 1e100


def critical_path(task: Task) -> float:
    """Seconds of the longest chain of operators, each on its quickest device, copies left out.

    An operator starts when all that it reads is there, so no step is shorter. Rounding keeps the
    order of sums, so the simulator's are not below these.

    Raises:
        PlanError: an operator runs on none of the devices.
    """
    quickest = task.seconds().min(axis=0)
    return max(_chain_ends(task.graph, quickest), default=0.0)


def _chain_ends(graph: Graph, seconds: Floats) -> list[float]:
    sources, targets = graph.edges
    rank = np.argsort(sources, kind="stable")
    start = np.searchsorted(sources[rank], np.arange(len(graph) + 1)).tolist()
    readers = targets[rank].tolist()
    takes = seconds.tolist()
    end = [0.0] * len(graph)  # of what is read; then of the operator
    for operator in graph.order.tolist():
        end[operator] += takes[operator]
        for reader in readers[start[operator] : start[operator + 1]]:
            end[reader] = max(end[reader], end[operator])
    return end


def copying_path(task: Task) -> float:
    """Seconds of the longest chain, if forks and joins cost either copies or their branches' work.

    Of two operators and all that lies between them: on one device the branches take turns, and
    on several their data are copied. `interval_bound.hpp` has the argument, and `one_machine.hpp`
    that of turns. An operator counts with
    its quickest device, a tensor with the quickest copy between any two devices, and copies do not
    wait for each other, so that it holds without contention too. Never below `critical_path`, but
    for rounding; 0 where a cost is above 1e100.

    Raises:
        PlanError: an operator runs on none of the devices.
    """
    graph, quickest = task.graph, task.seconds().min(axis=0)
    if not len(graph) or quickest.max() > _COST_MAX:
        return 0.0
    place = np.empty(len(graph), np.uint32)
    place[graph.order] = np.arange(len(graph), dtype=np.uint32)
    sources, targets = graph.edges
    ends = _native.earliest_ends(
        np.ascontiguousarray(quickest[graph.order]),
        place[sources],
        place[targets],
        np.ascontiguousarray(_quickest_copies(task)[graph.tensors.reads]),
        len(task.cluster),
        max(1, min(_WINDOW_MAX, int((_PAIRS / len(graph)) ** 0.5))),
    )
    return float(ends.max()) * (1.0 - _ROUNDING)


def _quickest_copies(task: Task) -> Floats:
    """How long each tensor's quickest copy to another device takes; shape (m,)."""
    tensors, cluster = task.graph.tensors, task.cluster
    if len(cluster) == 1:
        return np.full(len(tensors), np.inf)
    if tensors.copy_seconds is not None:
        return tensors.copy_seconds
    takes = np.full(len(tensors), np.inf)
    for number in np.unique(cluster.route[~np.eye(len(cluster), dtype=np.bool_)]):
        one = cluster.channels[number]
        np.minimum(
            takes, one.latency_seconds + tensors.size_bytes / one.bytes_per_second, out=takes
        )
    return takes


def work_bound(task: Task) -> float:
    """Seconds that the operators' work takes if it could be split at will over all devices.

    With devices of one kind: total work / devices. With several kinds, g_k devices of kind k, let
    T be the seconds of a plan, so that what its operators take on kind k adds up to at most
    g_k · T. Weigh the kinds by any w_k ≥ 0 that add up to 1; then

        T = Σ_k w_k T  ≥  Σ_k (w_k / g_k) · (seconds on kind k)  ≥  Σ_op min_k (w_k / g_k) s[k, op]

    because every operator runs on some kind. So each choice of weights gives a bound; the best one
    is the value of the linear program that splits operators between kinds (its dual). The right
    side is concave in w, and there are few kinds, so it is climbed nearly to the top. Devices that
    pins tell apart count as of different kinds.

    Raises:
        PlanError: an operator runs on none of the devices.
    """
    table = task.seconds()
    _, leaders, counts = np.unique(task.classes, return_index=True, return_counts=True)
    rows = table[leaders] / counts[:, None]
    best = _climb(rows)
    # Those who add up n numbers one after the other may be so much too low.
    slack = (2.0 * table.shape[1] + 100.0) * np.finfo(np.float64).eps
    return max(0.0, best * float(1.0 - slack))


def lower_bound(task: Task) -> float:
    """The best of what is known: no plan's seconds are fewer, be it feasible or not.

    When steps follow each other in a pipeline the longest chain is no bound, only the work is.

    Raises:
        PlanError: an operator runs on none of the devices.
    """
    work = work_bound(task)
    if task.objective == "throughput":
        return work
    return max(critical_path(task), copying_path(task), work)


def _climb(rows: Floats) -> float:
    """The largest Σ_op min_k w_k · rows[k, op] of weights that add up to 1; rows may be infinite.

    By the ellipsoid method, in weights u of any sum: D(u) = Σ_op min_k u_k · rows[k, op] scales
    with u, so what has a better ratio D(u) / Σu than the centre lies on that side of it to which
    the gradient of D(u) - ratio · Σu points.
    """
    kinds = len(rows)
    best = 0.0
    centre, shape = np.full(kinds, 0.5), np.eye(kinds) * kinds / 4
    for _ in range(100 * kinds if kinds > 1 else 0):
        if centre.min() < 0.0:
            cut = (np.arange(kinds) == centre.argmin()).astype(np.float64)
        else:
            work = _cheapest(rows, centre)
            ratio = float(centre @ work / centre.sum())
            best = max(best, ratio)
            cut = work - ratio
            if np.sqrt(cut @ shape @ cut) <= 1e-5 * ratio * centre.sum():
                break
        length = np.sqrt(cut @ shape @ cut)
        if not length > 0.0:
            break
        step = shape @ cut / length
        centre = centre + step / (kinds + 1)
        shape = kinds**2 / (kinds**2 - 1) * (shape - 2 / (kinds + 1) * np.outer(step, step))
    return best if kinds > 1 else float(rows[0].sum())


def _cheapest(rows: Floats, weights: Floats) -> Floats:
    """The seconds on each kind if every operator runs where they weigh least; shape (kinds,)."""
    # A kind without weight costs nothing, except where it cannot run an operator at all.
    weighed = np.full(rows.shape, np.inf)
    np.multiply(rows, weights[:, None], out=weighed, where=np.isfinite(rows))
    kind = weighed.argmin(axis=0)
    seconds = np.take_along_axis(rows, kind[None], axis=0)[0]
    return np.bincount(kind, seconds, len(rows)).astype(np.float64)
