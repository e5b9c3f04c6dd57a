"""Device placement: where every operation of a program runs, and how far that is from optimal."""

from acumen.placement.cluster import Channel, Cluster, Device
from acumen.placement.graph import Graph, GraphError

__all__ = ["Channel", "Cluster", "Device", "Graph", "GraphError"]
