"""Cost graphs of Microsoft's study of placement: JSON with nodes, edges and device limits.

Each node has its latency on an accelerator and on a host, the bytes that stay with it, and a colour
class: nodes of one class lie on one device. Each edge says how long copying takes; times are in
milliseconds.

Source: Tarnawski, Phanishayee, Devanur, Mahajan, Nina Paravecino, "Efficient Algorithms for Device
Placement of DNN Graph Operators", NeurIPS 2020.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from acumen.placement.cluster import Cluster, Device
from acumen.placement.files import text_of
from acumen.placement.formats.loaded import Loaded
from acumen.placement.formats.reading import (
    as_mapping,
    ends_of,
    items,
    json_of,
    memory_limit,
    names_of,
    number,
)
from acumen.placement.graph import NO_GROUP, Graph, GraphError, Indices

__all__ = ["ACCELERATOR", "HOST", "is_split", "read", "read_split", "recognises"]

ACCELERATOR, HOST = "accelerator", "cpu"
MILLISECOND = 1e-3
DEVICES_MAX = 128
NOTES = ("copies take the times that the file states, whatever lies between the devices",)


def recognises(text: str) -> bool:
    """Whether a text looks like such a file."""
    return text.lstrip()[:1] == "{" and '"maxFPGAs"' in text


def is_split(text: str) -> bool:
    """Whether a text looks like a split that `read_split` reads."""
    return text.lstrip()[:1] == "{" and '"fpgas"' in text and '"cpus"' in text


def read(text: str, name: str) -> Loaded:
    """The graph, and as many accelerators and hosts as the file allows.

    Raises:
        GraphError: the file is damaged; the message names the node.
    """
    file = as_mapping(json_of(text), "the file")
    nodes = [as_mapping(node, "a node") for node in items(file, "nodes", "the file")]
    names, place = names_of(nodes)
    labels = [f"node {name!r}" for name in names]
    host = [number(n, "cpuLatency", label) for n, label in zip(nodes, labels, strict=True)]
    fast = [
        number(node, "fpgaLatency", label) if node.get("supportedOnFpga", True) else math.inf
        for node, label in zip(nodes, labels, strict=True)
    ]
    pairs, sizes, times = _edges(file, place)
    graph = Graph.from_edges(
        name,
        names,
        {
            ACCELERATOR: np.array(fast) * MILLISECOND,
            HOST: np.array(host) * MILLISECOND,
        },
        [number(n, "size", label, 0.0) for n, label in zip(nodes, labels, strict=True)],
        pairs,
        sizes,
        np.array(times, np.float64) * MILLISECOND,
        group=_groups(nodes),
        backward=np.array([bool(node.get("isBackwardNode", False)) for node in nodes], np.bool_),
    )
    return Loaded(graph, _cluster(file), "msr", "throughput", NOTES)


def read_split(path: str | Path, graph: Graph) -> Indices:
    """A split made by hand: the device of each operator, accelerators first; shape (n,), int32.

    Operators are named by the ids of their nodes, which are in the graph's order.

    Raises:
        GraphError: the file is damaged, or leaves an operator out.
    """
    file = as_mapping(json_of(text_of(Path(path))), "the file")
    device = np.full(len(graph), -1, np.int32)
    ids = {_id_of(name): number for number, name in enumerate(graph.operators)}
    groups = [*items(file, "fpgas", "the file"), *items(file, "cpus", "the file")]
    for number_, one in enumerate(groups):
        for id_ in items(as_mapping(one, "a device"), "nodes", "a device"):
            if str(id_) not in ids:
                raise GraphError(f"{path}: there is no node {id_!r}")
            device[ids[str(id_)]] = number_
    missing = np.flatnonzero(device < 0)
    if len(missing):
        raise GraphError(f"{path}: operator {graph.operators[missing[0]]!r} lies nowhere")
    return device


def _id_of(name: str) -> str:
    return name.rpartition("#")[2]


def _edges(
    file: dict[str, Any], place: dict[Any, int]
) -> tuple[list[tuple[int, int]], list[float], list[float]]:
    pairs, sizes, times = [], [], []
    for edge in items(file, "edges", "the file"):
        pairs.append(ends_of(edge, place))
        label = f"the edge from {edge['sourceId']!r} to {edge['destId']!r}"
        sizes.append(number(edge, "size", label, 0.0))
        times.append(number(edge, "cost", label))
    return pairs, sizes, times


def _groups(nodes: list[dict[str, Any]]) -> Indices:
    """Nodes of one colour class are a group; who is alone in his class is free."""
    numbers: dict[str, int] = {}
    colours = [repr(node["colorClass"]) if "colorClass" in node else None for node in nodes]
    group = np.full(len(nodes), NO_GROUP, np.int32)
    for at, colour in enumerate(colours):
        if colour is not None:
            group[at] = numbers.setdefault(colour, len(numbers))
    sizes = np.bincount(group[group >= 0], minlength=1)
    group[(group >= 0) & (sizes[group] < 2)] = NO_GROUP
    return group


def _cluster(file: dict[str, Any]) -> Cluster:
    many, hosts = (int(number(file, key, "the file")) for key in ("maxFPGAs", "maxCPUs"))
    if not (many >= 0 and hosts >= 0 and 0 < many + hosts <= DEVICES_MAX):
        raise GraphError(f"{many} accelerators and {hosts} hosts")
    limit = memory_limit(file, "maxSizePerFPGA", "the file")
    devices = [
        *(Device(f"{ACCELERATOR}:{k}", ACCELERATOR, limit) for k in range(many)),
        *(Device(f"{HOST}:{k}", HOST) for k in range(hosts)),
    ]
    # The edges say how long copies take: the channels add nothing.
    return Cluster.full_mesh(devices, 0.0, math.inf)
