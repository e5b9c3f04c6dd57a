"""Device placement: where every operation of a program runs, and how far that is from optimal."""

from acumen.placement.bounds import lower_bound
from acumen.placement.cluster import Channel, Cluster, Device
from acumen.placement.graph import Graph, GraphError
from acumen.placement.simulator import Simulator, Step, Timeline

__all__ = [
    "Channel",
    "Cluster",
    "Device",
    "Graph",
    "GraphError",
    "Simulator",
    "Step",
    "Timeline",
    "lower_bound",
]
