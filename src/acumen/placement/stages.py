"""A pipeline's stages: which device comes after which, and where the program is split between them.

A plan has stages if its devices can be put in a row so that data never flow back (Narayanan et al.,
"PipeDream", SOSP 2019). Backward operators lie with the forward ones of their group and return
along the same row, as `acumen.placement.load_order` has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acumen.placement.graph import Graph, Indices, Ints
from acumen.placement.load_items import grouped
from acumen.placement.load_order import flows
from acumen.placement.loads import loads
from acumen.placement.plan import Plan, Task

ENTRIES_MAX = 20


@dataclass(frozen=True)
class Stage:
    """What one device does for each batch.

    Attributes:
        device: its number.
        operators: how many it runs, backward ones included.
        load_seconds: how long they and its copies keep it busy a step.
        first: its first operator of the forward pass that reads what an earlier stage makes, in
            the graph's order; of a stage that reads nothing its first operator. The program is
            split before it.
        entries: all such operators, at most `ENTRIES_MAX`; see `entry_count`.
        entry_count: how many there are.
        module: the largest module that begins with the stage, as PyTorch's pipelines are split by
            (`split_spec={module: SplitPoint.BEGINNING}`); None: modules are not known, or the
            split lies inside of one that earlier stages have begun.
    """

    device: int
    operators: int
    load_seconds: float
    first: str
    entries: tuple[str, ...]
    entry_count: int
    module: str | None = None


def stages(task: Task, plan: Plan, modules: Sequence[str] | None = None) -> list[Stage] | None:
    """The stages of a plan in the order in which data flow; None: some flow back.

    Args:
        task: what was placed.
        plan: where.
        modules: each operator's module, "" for the whole model, where that is known; n of them.

    Raises:
        PlanError: the plan does not fit the graph.
    """
    graph, device, busy = task.graph, plan.device, loads(task, plan.device)
    sources, targets = flows(graph, grouped(graph))
    row = _in_a_row(device, sources, targets, len(task.cluster))
    if row is None:
        return None
    place = np.full(len(task.cluster), -1, np.int64)
    place[row] = np.arange(len(row))
    stage = place[device]
    rank = np.empty(len(graph), np.int64)
    rank[graph.order] = np.arange(len(graph))
    reads = np.unique(targets[(stage[sources] < stage[targets]) & ~graph.backward[targets]])
    names, found = graph.operators, []
    for number, one in enumerate(row):
        mine = np.flatnonzero(stage == number)
        entries = reads[stage[reads] == number]
        entries = entries[np.argsort(rank[entries])]
        begin = entries if len(entries) else mine
        first = int(begin[np.argmin(rank[begin])])
        found.append(
            Stage(
                int(one),
                len(mine),
                float(busy[one]),
                names[first],
                tuple(names[entry] for entry in entries[:ENTRIES_MAX].tolist()),
                len(entries),
                None if modules is None else _module(graph, modules, stage, first),
            )
        )
    return found


def _in_a_row(device: Indices, sources: Indices, targets: Indices, d: int) -> list[int] | None:
    """The devices that have operators, each after those whose data it reads; None: in a circle."""
    used = np.unique(device).tolist()
    after = np.zeros((d, d), np.bool_)
    after[device[sources], device[targets]] = True
    np.fill_diagonal(after, False)
    row: list[int] = []
    while used:
        free = [one for one in used if not after[used, one].any()]
        if not free:
            return None
        row.append(free[0])
        used.remove(free[0])
    return row


def _module(graph: Graph, modules: Sequence[str], stage: Ints, first: int) -> str | None:
    """The outermost module around an operator that no earlier stage has begun."""
    path = modules[first]
    begun = {
        modules[operator]
        for operator in np.flatnonzero((stage < stage[first]) & ~graph.backward).tolist()
    }
    parts = path.split(".") if path else []
    for length in range(1, len(parts) + 1):
        outer = ".".join(parts[:length])
        if not any(one == outer or one.startswith(outer + ".") for one in begun):
            return outer
    return None
