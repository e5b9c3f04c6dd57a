"""A pipeline's load as a mixed-integer program: nets that a set cuts, and the plan of all devices.

Paper: Tarnawski et al., "Efficient Algorithms for Device Placement of DNN Graph Operators",
NeurIPS 2020, section 5.3, without the rows that make parts contiguous.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acumen.placement.graph import Floats, Ints
from acumen.placement.load_items import Items
from acumen.placement.solver import Program


def add_nets(
    program: Program, items: Items, inside: Sequence[int], busy: dict[int, float], unit: float
) -> None:
    """Nets that a set cuts take time too: the difference of "some pin is inside" and "every".

    Args:
        program: gets two more variables a net.
        items: whose nets they are.
        inside: the variable that is 1 where an item is in the set; one an item.
        busy: gets the factors of the new variables.
        unit: what seconds are divided by.
    """
    for net, takes in enumerate(items.copy.tolist()):
        some, every = program.add(0.0), program.add(0.0)
        for pin in items.pins[items.start[net] : items.start[net + 1]].tolist():
            program.row(0.0, (some, inside[pin]), (1.0, -1.0), np.inf)
            program.row(0.0, (inside[pin], every), (1.0, -1.0), np.inf)
        busy[some], busy[every] = takes / unit, -takes / unit


def variables(items: Items) -> int:
    """How many the program of all devices has."""
    cut = int(np.count_nonzero(items.pays)) * len(items.copy)
    return items.seconds.size + 1 + 2 * cut


def program_of(items: Items, unit: float) -> Program:
    """Minimises the largest load, in units of `unit` seconds, over all plans of the items.

    Variables: d x q places, the largest load, then the nets' device by device.
    """
    d, q = items.seconds.shape
    program = Program()
    for device in range(d):
        for i in range(q):
            can = bool(np.isfinite(items.seconds[device, i]))
            program.add(0.0, 1.0 if can else 0.0, whole=True)
    most = program.add(1.0, np.inf)
    for i in range(q):
        program.row(1.0, range(i, d * q, q), [1.0] * d, 1.0)
    for device in range(d):
        here = range(device * q, (device + 1) * q)
        own = items.seconds[device]
        busy = {here[i]: own[i] / unit for i in np.flatnonzero(np.isfinite(own)).tolist()}
        if items.pays[device]:
            add_nets(program, items, here, busy, unit)
        program.row(-np.inf, [most, *busy], [-1.0, *busy.values()], 0.0)
        limit = float(items.limit[device])
        if np.isfinite(limit) and items.resident_bytes.sum() > limit:
            shares = items.resident_bytes / max(limit, 1.0)
            program.row(-np.inf, here, shares.tolist(), limit / max(limit, 1.0))
    return program


def point_of(items: Items, where: Ints) -> Floats:
    """The values of the program's variables for a plan whose largest load is the unit."""
    d, q = items.seconds.shape
    x = np.zeros(variables(items))
    x[where * q + np.arange(q)] = 1.0
    sizes = np.diff(items.start.astype(np.int64))
    at = d * q + 1
    for device in np.flatnonzero(items.pays).tolist():
        inside = np.bincount(items.nets, where[items.pins] == device, minlength=len(sizes))
        x[at : at + 2 * len(sizes) : 2] = inside > 0
        x[at + 1 : at + 2 * len(sizes) : 2] = inside == sizes
        at += 2 * len(sizes)
    x[d * q] = 1.0  # loads are in units of this plan's largest
    return x
