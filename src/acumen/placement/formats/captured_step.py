"""Captured steps of PyTorch modules, as `acumen.placement.pytorch.save` writes them.

Such a file has shapes and no times: each operator takes what a roofline of each known kind of
device makes of it, until somebody measures (`acumen.placement.pytorch.measure`).
"""

from __future__ import annotations

from acumen.placement.costs import DEVICE_KINDS
from acumen.placement.formats.loaded import Loaded
from acumen.placement.formats.reading import json_of
from acumen.placement.graph import GraphError
from acumen.placement.pytorch.captured import Captured, CaptureError
from acumen.placement.pytorch.graphs import to_graph
from acumen.placement.pytorch.saved import FORMAT, parse

__all__ = ["loaded", "read", "recognises"]

NOTES = ("times are estimates: a roofline of each kind of device",)


def recognises(text: str) -> bool:
    """Whether a text looks like such a file."""
    return text[:1000].lstrip()[:1] == "{" and f'"{FORMAT}"' in text[:1000]


def read(text: str, name: str) -> Loaded:
    """The graph, with the costs of all kinds of device; it names no devices.

    Raises:
        GraphError: the file is damaged, or of another version.
    """
    try:
        return loaded(parse(json_of(text)))
    except CaptureError as error:
        raise GraphError(str(error)) from None


def loaded(captured: Captured) -> Loaded:
    """A captured step with the costs of all kinds of device; it names no devices."""
    graph = to_graph(captured, DEVICE_KINDS)
    modules = [operator.module for operator in captured.operators]
    return Loaded(graph, None, "captured", notes=NOTES, modules=modules, no_split=captured.no_split)
