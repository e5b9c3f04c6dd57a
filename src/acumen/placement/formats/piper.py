"""Piper's inputs: JSON with layers that can be split over several devices, edges, and a cluster.

Each node lists for every degree of tensor parallelism the ways to run it ("TMPCs"), with the time
of forward and backward pass of a sample, and memory `memoryUsageA` for each sample in flight and
`memoryUsageB` besides. An edge says how many bytes go forward, as many come back; a device sends
at `bandwidth` bytes per second.

Here an operator runs on one device: of the ways to run it on one the fastest is taken.

Source: Tarnawski, Narayanan, Phanishayee, "Piper: Multidimensional Planner for DNN
Parallelization", NeurIPS 2021.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from acumen.placement.cluster import Channel, Cluster, Device
from acumen.placement.formats.loaded import Loaded
from acumen.placement.formats.reading import (
    as_mapping,
    ends_of,
    field,
    items,
    json_of,
    memory_limit,
    names_of,
    number,
)
from acumen.placement.graph import Graph, GraphError

__all__ = ["KIND", "read", "recognises"]

KIND = "gpu"
DEVICES_MAX = 4096
# Two of the three files that came with the paper hold milliseconds, although bytes over bandwidth
# are seconds. No layer takes seconds for a sample.
SECONDS_MAX = 1.0
_ALONE = "1"


def recognises(text: str) -> bool:
    """Whether a text looks like such a file."""
    return text[:1000].lstrip()[:1] == "{" and '"maxMemoryPerDevice"' in text


def read(text: str, name: str) -> Loaded:
    """The graph of one sample, forward and backward, and as many devices as the file allows.

    Raises:
        GraphError: the file is damaged, or a node runs on no single device; the message names it.
    """
    file = as_mapping(json_of(text), "the file")
    nodes = [as_mapping(node, "a node") for node in items(file, "nodes", "the file")]
    names, place = names_of(nodes)
    ways = [_ways(node, f"node {label!r}") for node, label in zip(nodes, names, strict=True)]
    seconds, held = np.array([min(one[0]) for one in ways]).reshape(-1, 2).T
    others = sum(len(alone) - 1 + parallel for alone, parallel in ways)
    is_milliseconds = bool((seconds > SECONDS_MAX).any())
    pairs, sizes = [], []
    for edge in items(file, "edges", "the file"):
        pairs.append(ends_of(edge, place))
        label = f"the edge from {edge['sourceId']!r} to {edge['destId']!r}"
        # What goes forward, and its gradient, which comes back.
        sizes.append(2 * number(edge, "communicationCost", label))
    graph = Graph.from_edges(
        name,
        names,
        {KIND: seconds * (1e-3 if is_milliseconds else 1.0)},
        held,
        pairs,
        sizes,
    )
    notes = [
        "an operator is a layer forward and backward; it holds what one sample in flight needs",
        f"times are taken as {'milliseconds' if is_milliseconds else 'seconds'}: the largest is "
        f"{seconds.max():g}, and the file names no unit",
    ]
    if others:
        notes.append(
            f"of each layer the fastest way to run on one device is taken; {others:,} others, "
            "slower or over several devices, are left out"
        )
    return Loaded(graph, _cluster(file), "piper", "throughput", tuple(notes))


def _ways(node: dict[str, Any], label: str) -> tuple[list[tuple[float, float]], int]:
    """Time and memory of each way to run a node on one device, and how many ways need more."""
    degrees = as_mapping(field(node, "TMPCs", label), f"TMPCs of {label}")
    alone = []
    for way in items(degrees, _ALONE, f"TMPCs of {label}") if _ALONE in degrees else ():
        told = as_mapping(way, f"a way to run {label}")
        taken = number(told, "timePerSample", label)
        held = [number(told, key, label) for key in ("memoryUsageA", "memoryUsageB")]
        for key, value in (("timePerSample", taken), ("memory", min(held))):
            if value < 0:
                raise GraphError(f"{label}: {key} is {value:g}")
        alone.append((taken, sum(held)))
    if not alone:
        raise GraphError(f"{label} has no way to run on one device")
    parallel = [items(degrees, degree, label) for degree in degrees if degree != _ALONE]
    return alone, sum(map(len, parallel))


def _cluster(file: dict[str, Any]) -> Cluster:
    many = int(number(file, "maxDevices", "the file"))
    if not 0 < many <= DEVICES_MAX:
        raise GraphError(f"{many} devices: there must be 1 to {DEVICES_MAX}")
    bandwidth = number(file, "bandwidth", "the file")
    if bandwidth <= 0:
        raise GraphError(f"the bandwidth is {bandwidth:g} bytes per second")
    limit = memory_limit(file, "maxMemoryPerDevice", "the file")
    # The bandwidth is a device's to all others together: what it sends shares one channel.
    route = np.repeat(np.arange(many, dtype=np.int16), many).reshape(many, many)
    devices = [Device(f"{KIND}:{k}", KIND, limit) for k in range(many)]
    return Cluster(devices, [Channel(0.0, bandwidth)] * many, route)
