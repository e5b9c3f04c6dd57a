"""Pins: the user says where operators have to run.

A pin is a pattern of names (see `module_names`) and a device: its name ("gpu:0"), its family
("gpu") or its kind ("k80", "gpu:k80"). All pins that mean an operator hold for it, and what holds
for an operator holds for its whole group.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from acumen.placement.cluster import Cluster, Device
from acumen.placement.graph import NO_GROUP, Bools, Graph, Ints
from acumen.placement.module_names import meant
from acumen.placement.plan_error import PlanError


def said(pins: Mapping[str, str]) -> str:
    """Pins as they are written.

    >>> said({"embedding*": "cpu", "head": "gpu:1"})
    "pins 'embedding*=cpu', 'head=gpu:1'"
    """
    each = ", ".join(repr(f"{pattern}={device}") for pattern, device in pins.items())
    return f"{'pin' if len(pins) == 1 else 'pins'} {each}"


def allowed(graph: Graph, cluster: Cluster, pins: Mapping[str, str]) -> Bools:
    """On which devices each operator may run; shape (d, n).

    Raises:
        PlanError: a pin means no operator or no device, or an operator can run nowhere with the
            pins that hold for it and its group; the message is one line that names them.
    """
    each = {}
    for pattern, device in pins.items():
        there = np.array([_is_called(one, device) for one in cluster.devices])
        if not there.any():
            known = ", ".join(f"{one.name} ({one.kind})" for one in cluster.devices[:8])
            more = ", ..." if len(cluster) > 8 else ""
            one = said({pattern: device})
            raise PlanError(f"{one}: there is no device {device!r}; devices are {known}{more}")
        operators = meant(graph.operators, pattern)
        if not operators.any():
            raise PlanError(f"{said({pattern: device})}: no operator or module is called that")
        each[pattern] = there, operators
    own = np.ones((len(cluster), len(graph)), np.bool_)
    for there, operators in each.values():
        own &= there[:, None] | ~operators
    together = _with_groups(graph, own)
    nowhere = np.full(len(graph), np.inf)
    able = np.isfinite([graph.seconds.get(one.kind, nowhere) for one in cluster.devices])
    # Who runs nowhere without pins is named by whoever asks for its seconds.
    lost = np.flatnonzero(able.any(axis=0) & ~(together & able).any(axis=0))
    if len(lost):
        raise PlanError(_reason(graph, pins, {k: v[1] for k, v in each.items()}, own, able, lost))
    return together


def _is_called(device: Device, name: str) -> bool:
    family = device.name.partition(":")[0]
    return name in (device.name, device.kind, family, f"{family}:{device.kind}")


def _with_groups(graph: Graph, own: Bools) -> Bools:
    """What all operators of a group may, each of them may; shape (d, n)."""
    grouped = np.flatnonzero(graph.group != NO_GROUP)
    if not len(grouped):
        return own
    _, number = np.unique(graph.group[grouped], return_inverse=True)
    together = own.copy()
    for row, mine in zip(together, own, strict=True):
        row[grouped] = (np.bincount(number, ~mine[grouped]) == 0)[number]
    return together


def _reason(
    graph: Graph,
    pins: Mapping[str, str],
    means: Mapping[str, Bools],
    own: Bools,
    able: Bools,
    lost: Ints,
) -> str:
    """Why operators can run nowhere: pins of one, a device that cannot run it, or its group."""

    def holding(operator: int) -> dict[str, str]:
        return {one: pins[one] for one, operators in means.items() if operators[operator]}

    alone = lost[~(own & able)[:, lost].any(axis=0)]
    for operator in alone.tolist():
        name = repr(graph.operators[operator])
        if own[:, operator].any():
            return f"{said(holding(operator))}: operator {name} cannot run there"
        return f"operator {name} is meant by {said(holding(operator))}, which share no device"
    members = np.flatnonzero(graph.group == graph.group[lost[0]])
    pinned = members[~own[:, members].all(axis=0)].tolist()
    first = pinned[0]
    apart = [one for one in pinned if not (own[:, first] & own[:, one]).any()]
    unable = [one for one in members.tolist() if not (own[:, first] & able[:, one]).any()]
    # Two that are enough by themselves, or else all of them.
    others = [one for one in members.tolist() if one != first]
    culprits = [first, *(apart[:1] or unable[:1] or others)]
    names = f"{graph.operators[first]!r} and {graph.operators[culprits[1]]!r}"
    holds = {pattern: pins[pattern] for one in culprits for pattern in holding(one)}
    return f"operators {names} must share a device, and have none in common with {said(holds)}"
