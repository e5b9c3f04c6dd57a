"""Acumen's own file of a graph: all of it, bit for bit, and the devices if there are any.

{"format": "acumen graph", "version": 1, "name", "source", "objective", "notes": [text],
"operators": [name], "modules": [n names] or null,
"seconds": {kind: [number, or null where the operator cannot run]},
"resident_bytes": [n], "group": [n], "backward": [n of 0 or 1],
"tensors": {"producer": [m], "size_bytes": [m], "copy_seconds": [m] or null,
    "consumers": [a list of operators' numbers for each of m tensors]},
"cluster": null or {"devices": [{"name", "kind", "memory_bytes" or null}],
    "channels": [{"latency_seconds", "bytes_per_second", or null where it is infinite}],
    "route": [d lists of d channels' numbers]}}

What is kept of a PyTorch module before its costs are known is another file: a captured step.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acumen.placement.cluster import Channel, Cluster, Device
from acumen.placement.files import save_text
from acumen.placement.formats.loaded import Loaded
from acumen.placement.formats.reading import (
    as_mapping,
    field,
    items,
    json_of,
    memory_limit,
    number,
    shown,
    text,
)
from acumen.placement.graph import Floats, Graph, GraphError, Indices, Ints, Tensors
from acumen.placement.plan import Objective

__all__ = ["read", "recognises", "save_graph"]

FORMAT, VERSION = "acumen graph", 1
_MARK = re.compile(rf'\s*\{{\s*"format"\s*:\s*"{FORMAT}"')
_OBJECTIVES: tuple[Objective, ...] = ("latency", "throughput")


def save_graph(
    path: str | Path,
    graph: Graph,
    cluster: Cluster | None = None,
    *,
    objective: Objective = "latency",
    notes: Sequence[str] = (),
    modules: Sequence[str] | None = None,
) -> None:
    """Writes a graph to a file from which `load_graph` makes the same again.

    Args:
        path: packed if its name ends in .zst or .gz.
        graph: any.
        cluster: the devices that `acumen place` takes if none are named.
        objective: what it places for if nobody says otherwise.
        notes: what a reader of the file should know, a line each.
        modules: the module that each operator belongs to, where that is known.

    Raises:
        OSError: the folder is missing, read-only or full; an old file is then untouched.
    """
    tensors = graph.tensors
    document = {
        "format": FORMAT,
        "version": VERSION,
        "name": graph.name,
        "objective": objective,
        "notes": list(notes),
        "operators": list(graph.operators),
        "modules": None if modules is None else list(modules),
        "seconds": {kind: _or_null(column) for kind, column in graph.seconds.items()},
        "resident_bytes": graph.resident_bytes.tolist(),
        "group": graph.group.tolist(),
        "backward": graph.backward.astype(int).tolist(),
        "tensors": {
            "producer": tensors.producer.tolist(),
            "size_bytes": tensors.size_bytes.tolist(),
            "copy_seconds": None if tensors.copy_seconds is None else tensors.copy_seconds.tolist(),
            "consumers": [
                tensors.consumers[a:b].tolist()
                for a, b in itertools.pairwise(tensors.start.tolist())
            ],
        },
        "cluster": None if cluster is None else _cluster_document(cluster),
    }
    save_text(Path(path), json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n")


def recognises(text: str) -> bool:
    """Whether a text looks like such a file."""
    return _MARK.match(text) is not None


def read(text_: str, name: str) -> Loaded:
    """The graph as it was saved, and its devices.

    Args:
        text_: of the file.
        name: of the graph, if the file has none.

    Raises:
        GraphError: the file is damaged, or of another version.
    """
    file = as_mapping(json_of(text_), "the file")
    if file.get("version") != VERSION:
        raise GraphError(f"has version {shown(file.get('version'))}, not {VERSION}")
    names = _texts(file, "operators")
    n = len(names)
    seconds = as_mapping(field(file, "seconds", "the file"), "'seconds'")
    graph = Graph(
        text(file, "name", "the file", name),
        tuple(names),
        {kind: _floats(seconds, kind, names) for kind in seconds},
        _whole(file, "resident_bytes", n),
        _tensors(as_mapping(field(file, "tensors", "the file"), "'tensors'")),
        group=_whole(file, "group", n).astype(np.int32),
        backward=_whole(file, "backward", n).astype(np.bool_),
    )
    modules = None if file.get("modules") is None else _texts(file, "modules")
    if modules is not None and len(modules) != n:
        raise GraphError(f"{len(modules)} modules for {n} operators")
    cluster = file.get("cluster")
    objective = file.get("objective", "latency")
    if objective not in _OBJECTIVES:
        raise GraphError(f"has the objective {shown(objective)}")
    return Loaded(
        graph,
        None if cluster is None else _cluster(as_mapping(cluster, "'cluster'")),
        "acumen",
        objective,
        tuple(_texts(file, "notes")) if "notes" in file else (),
        modules,
    )


def _or_null(values: Floats) -> list[float | None]:
    return [value if value < np.inf else None for value in values.tolist()]


def _cluster_document(cluster: Cluster) -> dict[str, Any]:
    return {
        "devices": [
            {"name": one.name, "kind": one.kind, "memory_bytes": one.memory_bytes}
            for one in cluster.devices
        ],
        "channels": [
            {
                "latency_seconds": one.latency_seconds,
                "bytes_per_second": _or_null(np.array([one.bytes_per_second]))[0],
            }
            for one in cluster.channels
        ],
        "route": cluster.route.tolist(),
    }


def _texts(owner: dict[str, Any], name: str) -> list[str]:
    values = items(owner, name, "the file")
    return [text({name: value}, name, f"number {at}") for at, value in enumerate(values)]


def _floats(owner: dict[str, Any], kind: str, names: list[str]) -> Floats:
    """Seconds of each operator; null is infinite."""
    values = items(owner, kind, "'seconds'")
    if len(values) != len(names):
        raise GraphError(f"{len(values)} times on {kind!r} for {len(names)} operators")
    told = f"seconds on {kind!r}"
    return np.array(
        [
            np.inf if one is None else number({told: one}, told, f"operator {name!r}")
            for one, name in zip(values, names, strict=True)
        ],
        np.float64,
    )


def _whole(owner: dict[str, Any], name: str, count: int | None = None) -> Ints:
    """Whole numbers of a list."""
    values = items(owner, name, "the file")
    if count is not None and len(values) != count:
        raise GraphError(f"{len(values)} numbers in {name!r} for {count} operators")
    for at, value in enumerate(values):
        if type(value) is not int or not -(2**62) < value < 2**62:
            raise GraphError(f"number {at} of {name!r} is {shown(value)}, not a whole number")
    return np.array(values, np.int64)


def _indices(owner: dict[str, Any], name: str) -> Indices:
    """Numbers of operators. Too large ones become -1, which no operator has either."""
    values = _whole(owner, name)
    return np.where(np.abs(values) < 2**31, values, -1).astype(np.int32)


def _tensors(file: dict[str, Any]) -> Tensors:
    readers = items(file, "consumers", "'tensors'")
    for at, some in enumerate(readers):
        if not isinstance(some, list):
            raise GraphError(f"number {at} of 'consumers' is {shown(some)}, not a list")
    times = field(file, "copy_seconds", "'tensors'")
    if times is not None:
        values = items(file, "copy_seconds", "'tensors'")
        told = "copy_seconds"
        times = np.array(
            [number({told: one}, told, f"tensor {at}") for at, one in enumerate(values)],
            np.float64,
        )
    return Tensors(
        _indices(file, "producer"),
        _whole(file, "size_bytes"),
        np.cumsum([0, *map(len, readers)], dtype=np.int64),
        _indices({"consumers": list(itertools.chain.from_iterable(readers))}, "consumers"),
        times,
    )


def _cluster(file: dict[str, Any]) -> Cluster:
    devices = []
    for one in items(file, "devices", "'cluster'"):
        name = text(as_mapping(one, "a device"), "name", "a device")
        label = f"device {name!r}"
        held = field(one, "memory_bytes", label)
        limit = None if held is None else memory_limit(one, "memory_bytes", label)
        devices.append(Device(name, text(one, "kind", label), limit))
    channels = []
    for at, one in enumerate(items(file, "channels", "'cluster'")):
        label = f"channel {at}"
        speed = field(as_mapping(one, label), "bytes_per_second", label)
        channels.append(
            Channel(
                number(one, "latency_seconds", label),
                np.inf if speed is None else number(one, "bytes_per_second", label),
            )
        )
    rows = items(file, "route", "'cluster'")
    if any(not isinstance(row, list) or len(row) != len(devices) for row in rows):
        raise GraphError(f"'route' is no table of {len(devices)} devices")
    numbers = _whole({"route": list(itertools.chain.from_iterable(rows))}, "route")
    if len(rows) != len(devices) or (np.abs(numbers) >= 2**15).any():
        raise GraphError(f"'route' is no table of {len(devices)} devices")
    try:
        route = numbers.astype(np.int16).reshape(len(devices), len(devices))
        return Cluster(devices, channels, route)
    except ValueError as error:
        raise GraphError(str(error)) from None
