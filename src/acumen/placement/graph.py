"""One step of a program as a graph: operators, what they cost, and the tensors between them.

Everything that places operators reads this one record: readers of files and the capture of a
PyTorch model make it, planners and the simulator take it. It is immutable; arrays are read-only.

    operator  runs once a step, on one device, for `seconds[kind of device][operator]`
    tensor    is made by one operator (its producer) and read by any number of others (consumers);
              on another device it is copied there once, whoever reads it there
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

OPERATORS_MAX = 10_000_000
NO_GROUP = -1
# Of all operators together, so that no sum of some of them overflows.
BYTES_MAX = 2**62


class GraphError(ValueError):
    """A graph that cannot be used; the message is one line that names the operator."""


@dataclass(frozen=True, slots=True)
class Tensors:
    """What operators hand to each other: m tensors, read k times in all.

    Attributes:
        producer: the operator that makes each one; shape (m,).
        size_bytes: how large each one is, in bytes, at least 0; shape (m,).
        start: tensor t is read by `consumers[start[t]:start[t + 1]]`; shape (m + 1,).
        consumers: operators, each at most once a tensor; shape (k,).
        copy_seconds: how long a copy to any other device takes, where a file states the time
            itself; None: what the channel's latency and bandwidth make of its size. Shape (m,).
    """

    producer: Indices
    size_bytes: Ints
    start: Ints
    consumers: Indices
    copy_seconds: Floats | None = None

    def __len__(self) -> int:
        return len(self.producer)

    @property
    def reads(self) -> Indices:
        """Which tensor each entry of `consumers` reads; shape (k,)."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.start))


@dataclass(frozen=True)
class Graph:
    """A directed acyclic graph of n operators: see the module.

    Attributes:
        name: for people and for result files.
        operators: the operators' names, each different.
        seconds: for each kind of device how long each operator runs there, in seconds; infinite
            where it cannot run; shape (n,) each.
        resident_bytes: what an operator keeps on its device during the whole step: parameters,
            gradients, the optimiser's state; shape (n,).
        tensors: what flows between operators.
        group: operators of the same number run on the same device (tied weights, a forward
            operator and its backward one); `NO_GROUP`: free; shape (n,).
        backward: the operator belongs to the backward pass or to the update; shape (n,).

    Raises:
        GraphError: a cost is negative or not a number, an operator can run nowhere, an operator
            is named twice or does not exist, or operators wait for each other.
    """

    name: str
    operators: Sequence[str]
    seconds: Mapping[str, Floats]
    resident_bytes: Ints
    tensors: Tensors
    group: Indices = field(default_factory=lambda: np.empty(0, np.int32))
    backward: Bools = field(default_factory=lambda: np.empty(0, np.bool_))

    def __post_init__(self) -> None:
        if not len(self.group):
            object.__setattr__(self, "group", np.full(len(self), NO_GROUP, np.int32))
        if not len(self.backward):
            object.__setattr__(self, "backward", np.zeros(len(self), np.bool_))
        _check_operators(self)
        _check_tensors(self)
        _ = self.order  # whether there is one
        tensors = self.tensors
        arrays: list[npt.NDArray[Any]] = [*self.seconds.values(), self.resident_bytes]
        arrays += [self.group, self.backward, tensors.producer, tensors.size_bytes, tensors.start]
        for array in [*arrays, tensors.consumers]:
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.operators)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of device that `seconds` knows."""
        return tuple(self.seconds)

    @cached_property
    def edges(self) -> tuple[Indices, Indices]:
        """Producer and consumer of every read; shape (k,) each."""
        return self.tensors.producer[self.tensors.reads], self.tensors.consumers

    @cached_property
    def order(self) -> Indices:
        """A topological order, in which operators that are free keep the file's order; shape (n,).

        Raises:
            GraphError: operators wait for each other; the message names one of them.
        """
        order = _topological_order(len(self), *self.edges)
        if len(order) < len(self):
            waiting = np.ones(len(self), np.bool_)
            waiting[order] = False
            name = _one_in_a_cycle(waiting, *self.edges)
            raise GraphError(f"operator {self.operators[name]!r} waits for its own result")
        return order

    @classmethod
    def from_edges(
        cls,
        name: str,
        operators: Sequence[str],
        seconds: Mapping[str, Any],
        resident_bytes: Any,
        edges: Sequence[tuple[int, int]] | npt.NDArray[np.integer[Any]],
        size_bytes: Any,
        copy_seconds: Any = None,
        **others: Any,
    ) -> Graph:
        """A graph from a list of edges, as files have them.

        Edges that leave the same operator with the same size and time are reads of one tensor;
        others are tensors of their own.

        Args:
            name: of the graph.
            operators: names; shape (n,).
            seconds: see the class.
            resident_bytes: see the class; anything that NumPy makes an array of.
            edges: pairs (from, to) of operators' numbers; shape (k, 2).
            size_bytes: of what flows along each; shape (k,).
            copy_seconds: how long copying it takes, or None; shape (k,).
            others: `group` and `backward`.

        Raises:
            GraphError: see the class.
        """
        pairs = np.asarray(edges, np.int64).reshape(-1, 2)
        sizes = _whole_bytes(
            size_bytes, len(pairs), lambda edge: f"an edge from {_named(operators, pairs[edge, 0])}"
        )
        times = None if copy_seconds is None else np.asarray(copy_seconds, np.float64)
        columns: list[npt.NDArray[Any]] = [pairs[:, 1], sizes, pairs[:, 0]]
        if times is not None:
            columns.insert(1, times)
        rank = np.lexsort(columns)
        keys = np.column_stack([column[rank] for column in columns[1:]]) if len(rank) else None
        new = np.ones(len(rank), np.bool_)
        if keys is not None:
            new[1:] = (keys[1:] != keys[:-1]).any(axis=1)
            # The same operator reading the same tensor twice is one read.
            again = ~new & np.r_[False, pairs[rank][1:, 1] == pairs[rank][:-1, 1]]
            rank, new = rank[~again], new[~again]
        first = np.flatnonzero(new)
        tensors = Tensors(
            producer=pairs[rank[first], 0].astype(np.int32),
            size_bytes=sizes[rank[first]],
            start=np.append(first, len(rank)).astype(np.int64),
            consumers=pairs[rank, 1].astype(np.int32),
            copy_seconds=None if times is None else times[rank[first]],
        )
        n = len(operators)
        return cls(
            name,
            tuple(operators),
            {kind: np.array(column, np.float64) for kind, column in seconds.items()},
            _whole_bytes(resident_bytes, n, lambda one: _named(operators, one)),
            tensors,
            **others,
        )


def _named(operators: Sequence[str], number: int) -> str:
    known = 0 <= number < len(operators)
    return f"operator {operators[number]!r}" if known else f"operator {number}"


def _whole_bytes(values: Any, count: int, label: Callable[[int], str]) -> Ints:
    numbers = np.asarray(values, np.float64)
    if numbers.shape != (count,):
        raise GraphError(f"{len(numbers)} sizes for {count} operators or edges")
    bad = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0) & (numbers < BYTES_MAX)))
    if len(bad):
        raise GraphError(f"{label(int(bad[0]))} has a size of {numbers[bad[0]]:g} bytes")
    return np.ceil(numbers).astype(np.int64)


def _check_operators(graph: Graph) -> None:
    n = len(graph)
    if not 0 < n <= OPERATORS_MAX:
        raise GraphError(f"{n} operators: there must be 1 to {OPERATORS_MAX:,}")
    try:
        "".join(graph.operators).encode()
    except (TypeError, UnicodeEncodeError):
        raise GraphError("an operator's name is no text") from None
    if len(set(graph.operators)) < n:
        counts = Counter(graph.operators)
        raise GraphError(f"operator {counts.most_common(1)[0][0]!r} is there twice")
    if not graph.seconds:
        raise GraphError("no kind of device has costs")
    somewhere = np.zeros(n, np.bool_)
    for kind, column in graph.seconds.items():
        if column.shape != (n,):
            raise GraphError(f"costs on {kind} of shape {column.shape} for {n} operators")
        bad = np.flatnonzero(~(column >= 0))
        if len(bad):
            raise GraphError(
                f"operator {graph.operators[bad[0]]!r} takes {column[bad[0]]} s on {kind}"
            )
        somewhere |= np.isfinite(column)
    if not somewhere.all():
        raise GraphError(f"operator {graph.operators[int(np.argmin(somewhere))]!r} runs nowhere")
    for label, values in (
        ("bytes", graph.resident_bytes),
        ("groups", graph.group),
        ("backward flags", graph.backward),
    ):
        if values.shape != (n,):
            raise GraphError(f"{label} of shape {values.shape} for {n} operators")
    bad = np.flatnonzero(graph.resident_bytes < 0)
    if len(bad):
        raise GraphError(
            f"operator {graph.operators[bad[0]]!r} keeps {graph.resident_bytes[bad[0]]} bytes"
        )
    if graph.resident_bytes.sum(dtype=np.float64) >= BYTES_MAX:
        most = int(np.argmax(graph.resident_bytes))
        raise GraphError(
            f"operators keep 2^62 bytes or more, {graph.operators[most]!r} alone "
            f"{graph.resident_bytes[most]}"
        )
    bad = np.flatnonzero(graph.group < NO_GROUP)
    if len(bad):
        raise GraphError(f"operator {graph.operators[bad[0]]!r} is in group {graph.group[bad[0]]}")


def _check_tensors(graph: Graph) -> None:
    n, tensors = len(graph), graph.tensors
    m = len(tensors)
    if tensors.size_bytes.shape != (m,) or tensors.start.shape != (m + 1,):
        raise GraphError(f"sizes and starts do not fit {m} tensors")
    if tensors.start[0] != 0 or tensors.start[-1] != len(tensors.consumers):
        raise GraphError("the tensors' starts do not span their consumers")
    if m and np.diff(tensors.start).min() < 0:
        raise GraphError("the tensors' starts do not ascend")
    for label, ends in (("made", tensors.producer), ("read", tensors.consumers)):
        bad = np.flatnonzero((ends < 0) | (ends >= n))
        if len(bad):
            raise GraphError(
                f"a tensor is {label} by operator {ends[bad[0]]}, which does not exist"
            )
    bad = np.flatnonzero(tensors.size_bytes < 0)
    if len(bad):
        maker = graph.operators[tensors.producer[bad[0]]]
        raise GraphError(f"operator {maker!r} makes {tensors.size_bytes[bad[0]]} bytes")
    reads = np.sort(tensors.reads.astype(np.int64) * n + tensors.consumers)
    bad = np.flatnonzero(reads[1:] == reads[:-1])
    if len(bad):
        reader = graph.operators[reads[bad[0]] % n]
        raise GraphError(f"operator {reader!r} reads the same tensor twice")
    if tensors.copy_seconds is not None:
        times = tensors.copy_seconds
        if times.shape != (m,):
            raise GraphError(f"copy times of shape {times.shape} for {m} tensors")
        bad = np.flatnonzero(~(np.isfinite(times) & (times >= 0)))
        if len(bad):
            maker = graph.operators[tensors.producer[bad[0]]]
            raise GraphError(f"what operator {maker!r} makes takes {times[bad[0]]} s to copy")


def _topological_order(n: int, sources: Indices, targets: Indices) -> Indices:
    """As much of an order as there is (Kahn): the first in the file of those that are free."""
    import heapq

    if (sources < targets).all():
        return np.arange(n, dtype=np.int32)
    rank = np.argsort(sources, kind="stable")
    start = np.searchsorted(sources[rank], np.arange(n + 1)).tolist()
    after = targets[rank].tolist()
    missing = np.bincount(targets, minlength=n).tolist()
    free = [operator for operator in range(n) if not missing[operator]]
    order = []
    while free:
        operator = heapq.heappop(free)
        order.append(operator)
        for reader in after[start[operator] : start[operator + 1]]:
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(free, reader)
    return np.array(order, np.int32)


def _one_in_a_cycle(waiting: Bools, sources: Indices, targets: Indices) -> int:
    """Of the operators that wait, one that waits for itself: backwards until one is met again."""
    among = waiting[sources] & waiting[targets]
    before = dict(zip(targets[among].tolist(), sources[among].tolist(), strict=True))
    operator, seen = int(np.argmax(waiting)), set()
    while operator not in seen:
        seen.add(operator)
        operator = before[operator]
    return operator
