"""What the race places: a graph, devices, and the split that an expert would make by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from acumen.placement.cluster import Cluster, Device
from acumen.placement.formats import load_graph, msr
from acumen.placement.graph import Graph, GraphError, Indices
from acumen.placement.plan import Objective

# For graphs whose file names no devices: 4 accelerators, each pair on a PCIe 3 channel of its own.
DEVICES = 4
LATENCY_SECONDS = 10e-6
BYTES_PER_SECOND = 12e9


@dataclass(frozen=True)
class Problem:
    """What is to be placed, and on what.

    Attributes:
        graph: the operators.
        cluster: the devices.
        objectives: what plans are raced for.
        expert: the device of each operator in the split that people make; None: nobody has made
            one, and a split into consecutive layers of equal work stands for it; shape (n,), int32.
    """

    graph: Graph
    cluster: Cluster
    objectives: tuple[Objective, ...]
    expert: Indices | None = None


class Source(Protocol):
    """Where a problem comes from; travels to the processes that measure."""

    def __hash__(self) -> int:
        """Equal sources have the same problem."""

    def open(self) -> Problem:
        """Reads or computes it.

        Raises:
            GraphError: it cannot be read; the message is one line.
        """


@dataclass(frozen=True, slots=True)
class GraphFile:
    """A graph in a file of any format that `load_graph` knows.

    Where the file names devices and their limits, plans are raced on those for what the format is
    for; else for one step's latency on four devices without limits of memory.
    """

    path: Path

    def open(self) -> Problem:
        """Reads the file; raises GraphError."""
        loaded = load_graph(self.path)
        graph = loaded.graph
        if loaded.cluster is None:
            return Problem(graph, four_devices(graph), ("latency",))
        return Problem(graph, loaded.cluster, (loaded.objective,), _human_split(self.path, graph))


def four_devices(graph: Graph) -> Cluster:
    """Four devices of the first kind, other than a host, that the graph has times for."""
    kind = next((kind for kind in graph.kinds if kind != "cpu"), graph.kinds[0])
    devices = [Device(f"{kind}:{number}", kind) for number in range(DEVICES)]
    return Cluster.full_mesh(devices, LATENCY_SECONDS, BYTES_PER_SECOND)


def _human_split(path: Path, graph: Graph) -> Indices | None:
    """The split in `human-experts`, a folder beside one of the file's, if it is of this graph."""
    stem = path.name.partition(".")[0]
    for folder in path.parents[1:4]:
        split = folder / "human-experts" / f"{stem}_expert.json.zst"
        if split.is_file():
            try:
                return msr.read_split(split, graph)
            except GraphError:  # of another graph of the same name
                return None
    return None
