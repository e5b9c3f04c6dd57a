"""Doppler's compute graphs: text with edges in two lines, then a line for each node.

    7               how many nodes, those counted that only stand for inputs
    0, 1, 2,        the inputs, which have no costs and no edges
    0, 0, 1, 2,     where each edge begins ...
    1, 2, 3, 3,     ... and where it ends; nodes are numbered from 0, without the inputs
    100,400         a node's arithmetic, and what copying its result costs;
    100,400,einsummable     some files name its type, too

Costs are counts of 0.1 nanoseconds, as the authors' simulator reads them: `Simulator` in
`env/cost.py` of their program divides by 1e10 for seconds.

Source: Yao, Bourgeois, Jain, Tang, Yao, Ding, Silva, Jermaine, "DOPPLER: Dual-Policy Learning for
Device Assignment in Asynchronous Dataflow Graphs", ICLR 2026.
"""

from __future__ import annotations

import math
import re

import numpy as np

from acumen.placement.cluster import Cluster, Device
from acumen.placement.formats.loaded import Loaded
from acumen.placement.formats.reading import shown
from acumen.placement.graph import Graph, GraphError

__all__ = ["KIND", "read", "recognises"]

KIND = "gpu"
TICK = 1e-10
DEVICES = 4
_HEAD = re.compile(r"[ \t]*\d+[ \t]*\r?\n[\d, \t]*\r?\n")
_NAMED_DEVICES = re.compile(r"([1-9]\d?)gpu_")


def recognises(text: str) -> bool:
    """Whether a text looks like such a file."""
    return _HEAD.match(text) is not None


def read(text: str, name: str) -> Loaded:
    """The graph, and as many devices as its authors run it on.

    Args:
        text: of the file.
        name: of the graph; "8gpu_..." is for eight devices, as the authors' files are called.

    Raises:
        GraphError: the file is damaged; the message names the node, or the line.
    """
    lines = text.splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) < 4:
        raise GraphError("has no lines of edges")
    total, inputs = _numbers(lines[0], 1), _numbers(lines[1], 2)
    n = len(lines) - 4
    if total != [n + len(inputs)]:
        raise GraphError(
            f"{lines[0].strip()[:40]} nodes, {len(inputs)} of them inputs, but {n} lines of nodes"
        )
    names, costs = [], []
    for number, line in enumerate(lines[4:]):
        label, one = _node(number, line)
        names.append(label)
        costs.append(one)
    work, copies = np.array(costs, np.float64).reshape(-1, 2).T * TICK
    sources, targets = _numbers(lines[2], 3), _numbers(lines[3], 4)
    if len(sources) != len(targets):
        raise GraphError(f"{len(sources)} edges begin, {len(targets)} end")
    for ends, at in ((sources, 3), (targets, 4)):
        if max(ends, default=0) >= n:
            raise GraphError(f"line {at}: there is no node {shown(max(ends))}")
    pairs = np.array([sources, targets], np.int64).T
    copying = copies[pairs[:, 0]]
    graph = Graph.from_edges(
        name, names, {KIND: work}, np.zeros(n), pairs, np.zeros(len(pairs)), copying
    )
    named = _NAMED_DEVICES.match(name)
    many = int(named[1]) if named else DEVICES
    devices = [Device(f"{KIND}:{k}", KIND) for k in range(many)]
    notes = (
        "costs are taken as units of 0.1 ns, as in the authors' simulator; the file names no unit",
        "the file has no sizes: memory is not counted, and copies take the times that it states, "
        "whatever lies between the devices",
        f"the file names no devices: {many} are taken where none are named, as its authors do",
    )
    return Loaded(graph, Cluster.full_mesh(devices, 0.0, math.inf), "doppler", notes=notes)


def _numbers(line: str, at: int) -> list[int]:
    """Whole numbers between commas; one may follow the last, too."""
    parts = line.strip().removesuffix(",").split(",")
    if parts == [""]:
        return []
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        # Digits alone are refused, too, where there are thousands of them.
        wrong = next((part for part in parts if not part.strip().isdecimal()), max(parts, key=len))
        raise GraphError(f"line {at}: {shown(wrong.strip())} is no node's number") from None
    if min(numbers) < 0:
        raise GraphError(f"line {at}: {shown(min(numbers))} is no node's number")
    return numbers


def _node(number: int, line: str) -> tuple[str, tuple[float, float]]:
    """A node's name, and its costs."""
    parts = line.split(",")
    label = f"{parts[2].strip() if len(parts) == 3 else 'node'}#{number}"
    try:
        work, copy = (float(part) for part in parts[:2])
    except ValueError:
        raise GraphError(f"node {label!r} has no two costs: {shown(line)}") from None
    if len(parts) > 3 or not (0 <= work < math.inf and 0 <= copy < math.inf):
        raise GraphError(f"node {label!r} has costs {shown(line)}")
    return label, (work, copy)
