"""PyTorch models: their steps as graphs, what operators cost here, plans as device maps.

PyTorch is imported when a function first needs it, by `library` alone.
"""

from acumen.placement.pytorch import models
from acumen.placement.pytorch.capture import capture_inference, capture_training_step
from acumen.placement.pytorch.captured import Call, Captured, CaptureError, Operator, Parameter
from acumen.placement.pytorch.device_map import check_device_map, device_map, parameter_devices
from acumen.placement.pytorch.graphs import to_graph
from acumen.placement.pytorch.measure import measure
from acumen.placement.pytorch.saved import cached, load, save

__all__ = [
    "Call",
    "CaptureError",
    "Captured",
    "Operator",
    "Parameter",
    "cached",
    "capture_inference",
    "capture_training_step",
    "check_device_map",
    "device_map",
    "load",
    "measure",
    "models",
    "parameter_devices",
    "save",
    "to_graph",
]
