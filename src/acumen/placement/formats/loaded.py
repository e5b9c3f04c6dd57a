"""What a file of a graph says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from acumen.placement.cluster import Cluster
from acumen.placement.graph import Graph
from acumen.placement.plan import Objective


@dataclass(frozen=True)
class Loaded:
    """A graph that was read.

    Attributes:
        graph: the operators.
        cluster: the devices that the file names, or None where it names none.
        source: the format, in one word.
        objective: what the format's authors place for.
        notes: what the reader had to interpret, or left out, in a line each.
        modules: the module of a PyTorch model that each operator belongs to, where that is known.
        no_split: modules that the model itself wants on one device, and their classes.
    """

    graph: Graph
    cluster: Cluster | None
    source: str
    objective: Objective = "latency"
    notes: tuple[str, ...] = ()
    modules: Sequence[str] | None = None
    no_split: Mapping[str, str] = field(default_factory=dict)
