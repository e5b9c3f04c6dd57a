"""A captured step with times that were measured on the devices that are here, as far as they are.

Of kinds of device that are not here nobody can measure anything: their times stay estimates, and it
is said which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from acumen.placement.costs import DEVICE_KINDS, DeviceKind
from acumen.placement.formats.captured_step import loaded
from acumen.placement.formats.loaded import Loaded
from acumen.placement.graph import Floats
from acumen.placement.pytorch.captured import Captured
from acumen.placement.pytorch.graphs import to_graph
from acumen.placement.pytorch.library import torch
from acumen.placement.pytorch.measure import measure


def devices_by_kind() -> dict[str, str]:
    """What PyTorch calls a device of each kind that is here, of those in `DEVICE_KINDS`."""
    cuda, found = torch().cuda, {"cpu": "cpu"}
    for number in range(cuda.device_count()):
        words = cuda.get_device_name(number).lower().replace("-", " ").split()
        for kind in DEVICE_KINDS:
            if kind in words:
                found.setdefault(kind, f"cuda:{number}")
    return found


def measured_step(captured: Captured, kinds: Sequence[str], cache: Path | None = None) -> Loaded:
    """The graph of a step for devices of these kinds: measured where they are here.

    Args:
        captured: the step.
        kinds: names in `DEVICE_KINDS`.
        cache: as for `measure`.

    Returns:
        As a file of the step is read, but for the times. A note says of which kinds they were
        measured, and one names each kind that is not here.

    Raises:
        ImportError: PyTorch is not installed.
    """
    here = devices_by_kind()
    costs: dict[str, DeviceKind | Floats] = {}
    notes = []
    for kind in kinds:
        model = DEVICE_KINDS[kind]
        if kind in here:
            costs[kind] = measure(captured, here[kind], cache, otherwise=model)
            notes.append(f"times of a {kind} were measured, on {here[kind]} of this machine")
        else:
            costs[kind] = model
            notes.append(
                f"no {kind} is here: its times were not measured, but are estimates by a roofline"
            )
    return replace(loaded(captured), graph=to_graph(captured, costs), notes=tuple(notes))
