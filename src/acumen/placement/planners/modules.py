"""Whole modules, as people place them: a layer a device, then one module after the other moved.

Operators of a captured step are called after the module that they belong to, such as
"decoder.3.again/mm#36". A block is a module of a list ("decoder.3"), or one that is in none
("attention"). Blocks of a list are dealt to the devices in their order, as many to each, and other
blocks lie where most of their data come from or go to. From the best of these splits (over one
device, two, …) blocks move to other devices as long as that makes the plan better. There are few of
them, so this finds in seconds what moves of single operators would not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import numpy as np

from acumen.placement import loads
from acumen.placement.graph import Floats, Graph, Indices, Ints
from acumen.placement.plan import Deadline, Plan, PlanError, Score, Task
from acumen.placement.planners.units import Units, units_of
from acumen.placement.simulator import Simulator

BLOCKS_MAX = 1024
_VARIABLE = "variable/"
_IN_LIST = re.compile(r"(?:[^.]+\.)*?(\d+)(?=\.|$)")


def plan(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    """Ever better plans, until no block can be moved to advantage.

    Args:
        task: what is placed.
        deadline: until when to look.
        seed: of the order in which moves are tried.

    Raises:
        PlanError: the operators' names tell of no modules, or of one only; or there is no plan.
    """
    units = units_of(task)
    block, names = _blocks(task.graph, units)
    score = Simulator(task).score if task.objective == "latency" else partial(loads.score, task)
    able = np.isfinite(units.seconds)
    # The devices that run everything quickest come first; what one cannot run goes elsewhere.
    total = np.where(able, units.seconds, np.nanmax(units.seconds[able]) * len(units)).sum(axis=1)
    quick_first = np.argsort(total, kind="stable")
    elsewhere = np.where(able, units.seconds, np.inf).argmin(axis=0)

    def planned(device: Ints) -> Plan:
        wanted = device[block]
        at = np.where(able[wanted, np.arange(len(units))], wanted, elsewhere)
        return Plan(at[units.of].astype(np.int32))

    best: Score | None = None
    held = quick_first[np.zeros(len(names), np.int64)]
    ties = _ties(task.graph, block[units.of], len(names))
    for count in range(1, units.devices + 1):
        device = quick_first[_dealt(names, ties, count)]
        candidate = planned(device)
        found = score(candidate)
        if found.better_than(best):
            best, held = found, device
            yield candidate
        if not deadline:
            return
    rng = np.random.default_rng(seed)
    moves = [(one, there) for one in range(len(names)) for there in range(units.devices)]
    last_better = tried = 0
    while tried - last_better < len(moves):
        if tried % len(moves) == 0:
            order = rng.permutation(len(moves))
        one, there = moves[order[tried % len(moves)]]
        tried += 1
        if held[one] == there:
            continue
        device = held.copy()
        device[one] = there
        candidate = planned(device)
        found = score(candidate)
        if found.better_than(best):
            best, held, last_better = found, device, tried
            yield candidate
        if not deadline:
            return


def _blocks(graph: Graph, units: Units) -> tuple[Ints, list[str]]:
    """The block of each unit, and the blocks' names."""
    number: dict[str, int] = {}
    of_operator = np.full(len(graph), -1, np.int64)
    for operator, name in enumerate(graph.operators):
        path = _module(name)
        if path:
            of_operator[operator] = number.setdefault(path, len(number))
    if not 2 <= len(number) <= BLOCKS_MAX or (of_operator < 0).sum() > len(graph) / 2:
        raise PlanError("the operators' names tell of no modules")
    block = np.full(len(units), -1, np.int64)
    named = np.flatnonzero(of_operator >= 0)[::-1]
    block[units.of[named]] = of_operator[named]  # of a unit's operators the first one's
    # Whatever has no name stands with what it reads, or else with who reads it.
    sources, targets = (units.of[ends] for ends in graph.edges)
    for _ in range(len(units)):
        open_ends = block < 0
        if not open_ends.any():
            break
        before = block.copy()
        for one, other in ((targets, sources), (sources, targets)):
            edge = (block[one] < 0) & (block[other] >= 0)
            block[one[edge]] = block[other[edge]]
        if (before == block).all():
            block[open_ends] = 0
    return block, list(number)


def _module(name: str) -> str:
    """The block of an operator by its name; empty: it tells of none."""
    path, slash, _ = name.removeprefix(_VARIABLE).partition("/")
    if name.startswith(_VARIABLE):
        path, slash = path.rpartition(".")[0], "/"
    if not slash or path in ("backward", "update"):
        return ""
    in_list = _IN_LIST.match(path)
    return in_list[0] if in_list else path.partition(".")[0]


def _ties(graph: Graph, block: Indices | Ints, count: int) -> Floats:
    """Bytes that each two blocks hand to each other; shape (blocks, blocks)."""
    reads = graph.tensors.reads
    between = np.zeros((count, count))
    sizes = graph.tensors.size_bytes[reads].astype(np.float64)
    np.add.at(
        between, (block[graph.tensors.producer[reads]], block[graph.tensors.consumers]), sizes
    )
    return between + between.T


def _dealt(names: list[str], ties: Floats, devices: int) -> Ints:
    """For each block which of the first devices it gets."""
    lists: dict[str, list[int]] = {}
    for one, name in enumerate(names):
        if name.rpartition(".")[2].isdigit():
            lists.setdefault(name.rpartition(".")[0], []).append(one)
    device = np.full(len(names), -1, np.int64)
    for members in lists.values():
        members.sort(key=lambda one: int(names[one].rpartition(".")[2]))
        for place, one in enumerate(members):
            device[one] = place * devices // len(members)
    for one in np.flatnonzero(device < 0).tolist():
        weight = np.bincount(device[device >= 0], ties[one][device >= 0], devices)
        device[one] = int(weight.argmax())
    return device
