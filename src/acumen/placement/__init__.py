"""Device placement: where every operation of a program runs, and how far that is from optimal."""

from acumen.placement.cluster import Channel, Cluster, Device
from acumen.placement.costs import DEVICE_KINDS, DeviceKind
from acumen.placement.devices import parse_devices
from acumen.placement.graph import Graph, GraphError

__all__ = [
    "DEVICE_KINDS",
    "Channel",
    "Cluster",
    "Device",
    "DeviceKind",
    "Graph",
    "GraphError",
    "parse_devices",
]
