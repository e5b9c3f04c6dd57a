"""Device placement: where every operation of a program runs, and how far that is from optimal."""

from acumen.placement.bounds import lower_bound
from acumen.placement.cluster import Channel, Cluster, Device
from acumen.placement.costs import DEVICE_KINDS, DeviceKind
from acumen.placement.devices import parse_devices
from acumen.placement.formats import Loaded, load_graph, save_graph
from acumen.placement.graph import Graph, GraphError
from acumen.placement.page import save_page
from acumen.placement.pipeline import place_pipeline
from acumen.placement.plan import Plan, PlanError, Score, Task
from acumen.placement.plan_file import load_plan, save_plan
from acumen.placement.portfolio import Result, place
from acumen.placement.simulator import Simulator, Step, Timeline
from acumen.placement.trace import save_trace

__all__ = [
    "DEVICE_KINDS",
    "Channel",
    "Cluster",
    "Device",
    "DeviceKind",
    "Graph",
    "GraphError",
    "Loaded",
    "Plan",
    "PlanError",
    "Result",
    "Score",
    "Simulator",
    "Step",
    "Task",
    "Timeline",
    "load_graph",
    "load_plan",
    "lower_bound",
    "parse_devices",
    "place",
    "place_pipeline",
    "save_graph",
    "save_page",
    "save_plan",
    "save_trace",
]
