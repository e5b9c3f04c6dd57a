"""A captured step as a graph that planners place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np

from acumen.placement.costs import DeviceKind
from acumen.placement.graph import NO_GROUP, Floats, Graph, Indices, Tensors
from acumen.placement.pytorch.captured import NO_CALL, Captured, CaptureError

Weights = Literal["with_users", "variables"]


def to_graph(
    captured: Captured,
    kinds: Mapping[str, DeviceKind | Floats],
    weights: Weights = "with_users",
) -> Graph:
    """The graph of a captured step.

    Args:
        captured: n operators.
        kinds: for each kind of device the model of it (`DEVICE_KINDS`), or how long each of
            `captured.calls` was measured to take there, in seconds; shape (calls,).
        weights: "with_users": all operators that use a parameter are one group, as a PyTorch
            program without copies of weights wants it, and the first of them has its bytes. So is
            what makes its gradient, which stays: such a program holds all gradients from
            `backward()` to `step()`.
            "variables": each parameter is an operator of its own, before the others, that takes
            no time; readers elsewhere get a copy once a step, as in TensorFlow. Its update runs
            where it is, either way.

    Returns:
        n operators, and before them in "variables" one for each parameter. Resident are
        parameters, buffers and the optimiser's state, and "with_users" gradients; in "variables"
        these are tensors that live from their operator to their own update. What must wait
        without reading anything (an update in place for those who read the weight) reads a tensor
        of no bytes. Operators that write a tensor in place are in the group of the one that made
        it.

    Raises:
        CaptureError: measured times do not fit the calls.
        GraphError: an operator can run on none of the kinds.
    """
    variables = len(captured.parameters) if weights == "variables" else 0
    names = [one.name for one in captured.operators]
    n = variables + len(names)
    resident = np.zeros(n, np.int64)
    groups = _Groups(n)
    for index, (parameter, home, users) in enumerate(
        zip(captured.parameters, captured.homes, captured.users(), strict=True)
    ):
        place = index if variables else home
        resident[place] += parameter.size_bytes + parameter.state_bytes
        for user in users:
            if not variables or captured.operators[user].phase == "update":
                groups.join(place, variables + user)
    kept = {} if variables else _gradients(captured)
    for tensor, of in kept.items():
        home = captured.homes[of]
        resident[home] += captured.tensor_bytes[tensor]
        groups.join(home, captured.made_by[tensor])
    for number, operator in enumerate(captured.operators):
        for tensor in operator.replaces:
            groups.join(variables + captured.made_by[tensor], variables + number)
    later = [one.phase in ("backward", "update") for one in captured.operators]
    return Graph(
        captured.name,
        (*_variable_names(captured, variables), *names),
        {kind: _seconds(captured, kind, model, variables) for kind, model in kinds.items()},
        resident,
        _tensors(captured, variables, kept),
        group=groups.numbers(),
        backward=np.array([False] * variables + later),
    )


def _variable_names(captured: Captured, variables: int) -> list[str]:
    return [f"variable/{one.names[0]}" for one in captured.parameters[:variables]]


def _seconds(captured: Captured, kind: str, model: DeviceKind | Floats, variables: int) -> Floats:
    if isinstance(model, DeviceKind):
        each = [
            model.seconds(call.flops, call.read_bytes + call.written_bytes, call.precision)
            for call in captured.calls
        ]
    else:
        each = np.asarray(model, np.float64).tolist()
        if len(each) != len(captured.calls):
            raise CaptureError(f"{len(each)} times on {kind} for {len(captured.calls)} calls")
    table = np.array([*each, 0.0])  # the last one is for inputs, whose call is -1
    assert NO_CALL == -1
    calls = [one.call for one in captured.operators]
    return np.concatenate([np.zeros(variables), table[calls]])


def _gradients(captured: Captured) -> dict[int, int]:
    """Tensors of the backward pass that one parameter's update reads, and nobody else."""
    found: dict[int, int] = {}
    others = set()
    for operator in captured.operators:
        for tensor in operator.reads:
            if (
                operator.phase != "update"
                or not operator.parameters
                or found.setdefault(tensor, operator.parameters[0]) != operator.parameters[0]
            ):
                others.add(tensor)
    return {
        tensor: parameter
        for tensor, parameter in found.items()
        if tensor not in others and captured.operators[captured.made_by[tensor]].phase == "backward"
    }


def _tensors(captured: Captured, variables: int, kept: Collection[int]) -> Tensors:
    """The tensors of the step, read or not, then the weights', then those that only wait.

    Of `kept` the bytes are counted elsewhere, and no copies are needed.
    """
    readers: dict[int, list[int]] = {tensor: [] for tensor in captured.made_by}
    of_weights: dict[int, list[int]] = defaultdict(list)
    waiting: dict[int, list[int]] = defaultdict(list)
    for number, operator in enumerate(captured.operators):
        for tensor in operator.reads:
            readers[tensor].append(number + variables)
        if variables and operator.phase != "update":
            for parameter in operator.parameters:
                of_weights[parameter].append(number + variables)
        for before in operator.after:
            # Who reads a weight elsewhere has a copy, and its update need not wait for that one.
            if not variables or captured.operators[before].phase == operator.phase:
                waiting[before + variables].append(number + variables)
    rows = [
        *(
            (captured.made_by[t] + variables, 0 if t in kept else captured.tensor_bytes[t], rest)
            for t, rest in readers.items()
        ),
        *(
            (index, captured.parameters[index].size_bytes, of_weights[index])
            for index in of_weights
        ),
        *((before, 0, waiting[before]) for before in waiting),
    ]
    return Tensors(
        producer=np.array([row[0] for row in rows], np.int32),
        size_bytes=np.array([row[1] for row in rows], np.int64),
        start=np.cumsum([0, *(len(row[2]) for row in rows)]).astype(np.int64),
        consumers=np.array([one for row in rows for one in row[2]], np.int32),
    )


class _Groups:
    """Which operators must be together: a forest of those that were joined (union-find)."""

    def __init__(self, n: int) -> None:
        self.parent = list(range(n))

    def root(self, one: int) -> int:
        while self.parent[one] != one:
            self.parent[one] = self.parent[self.parent[one]]
            one = self.parent[one]
        return one

    def join(self, one: int, other: int) -> None:
        a, b = sorted((self.root(one), self.root(other)))
        self.parent[b] = a

    def numbers(self) -> Indices:
        """Groups of two or more are 0, 1, ... in the order of their first operator."""
        roots = np.array([self.root(one) for one in range(len(self.parent))])
        sizes = np.bincount(roots, minlength=len(roots))
        large = np.flatnonzero(sizes > 1)
        number = np.full(len(roots), NO_GROUP, np.int32)
        number[large] = np.arange(len(large))
        grouped: Indices = number[roots]
        return grouped
