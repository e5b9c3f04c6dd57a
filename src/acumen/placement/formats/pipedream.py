r"""PipeDream's profiles: a line a layer, with its times and sizes, then a line an edge.

    node4 -- Embedding(…) -- forward_compute_time=0.073, backward_compute_time=6.949,
        activation_size=6291456.0, parameter_size=132382720.000        (one line)
    \tnode4 -- node5

Times are milliseconds of a minibatch, sizes are bytes. A layer becomes two operators of one group,
forward and backward. What a layer makes is read by the layers behind it, in both directions: a
backward pass needs the inputs and the output of its forward one, and so they stay in memory until
then. Gradients flow back, as large as what they are the gradients of.

Source: Narayanan et al., "PipeDream: Generalized Pipeline Parallelism for DNN Training", SOSP 2019.
"""

from __future__ import annotations

import re

import numpy as np

from acumen.placement.formats.loaded import Loaded
from acumen.placement.graph import Graph, GraphError

__all__ = ["KIND", "read", "recognises"]

KIND = "gpu"
MILLISECOND = 1e-3
# Of numbers, so that their multiples are finite.
LARGEST = 1e300
# Weights, their gradients, and momentum of the same size.
COPIES_OF_PARAMETERS = 3
NOTES = (
    "a layer is an operator forward and one backward, on the same device; it keeps its parameters "
    f"{COPIES_OF_PARAMETERS} times: with their gradients, and momentum",
)
_NODE = re.compile(r"^(\S+) -- (.*) -- (forward_compute_time=.*)$")
_EDGE = re.compile(r"^\s+(\S+) -- (\S+)\s*$")
_FIELDS = ("forward_compute_time", "backward_compute_time", "activation_size", "parameter_size")


def recognises(text: str) -> bool:
    """Whether a text looks like such a file."""
    return "forward_compute_time=" in text.partition("\n")[0]


def read(text: str, name: str, *, training: bool = True) -> Loaded:
    """The graph of one training step; no devices are named.

    Args:
        text: of the file.
        name: of the graph.
        training: forward and backward; False: forward alone.

    Raises:
        GraphError: the file is damaged; the message names the node, or the line.
    """
    place: dict[str, int] = {}
    kinds: list[str] = []
    rows: list[float] = []
    edges: list[tuple[int, int]] = []
    for at, line in enumerate(text.splitlines(), 1):
        if node := _NODE.match(line):
            if node[1] in place:
                raise GraphError(f"node {node[1]!r} is there twice")
            place[node[1]] = len(kinds)
            kinds.append(node[2].partition("(")[0])
            rows.extend(_values(node[1], node[3]))
        elif edge := _EDGE.match(line):
            for end in edge.groups():
                if end not in place:
                    raise GraphError(f"line {at}: there is no node {end!r}")
            edges.append((place[edge[1]], place[edge[2]]))
        elif line.strip():
            raise GraphError(f"line {at} is neither a node nor an edge: {line[:40]!r}")
    if not kinds:
        raise GraphError("there are no nodes")
    names = [f"{node} {kind}" for node, kind in zip(place, kinds, strict=True)]
    graph = _graph(name, names, np.array(rows).reshape(-1, len(_FIELDS)), edges, training)
    return Loaded(graph, None, "pipedream", notes=NOTES if training else ())


def _values(node: str, text: str) -> list[float]:
    found = dict(part.strip().partition("=")[::2] for part in text.split(" -- ")[0].split(","))
    values = []
    for field in _FIELDS:
        try:
            # What has several outputs lists their sizes.
            parts = found[field].strip("[]").split(";")
            values.append(sum(float(part) for part in parts))
        except (KeyError, ValueError):
            raise GraphError(f"node {node!r} has no number {field!r}") from None
        if not abs(values[-1]) < LARGEST:
            raise GraphError(f"node {node!r}: {field} is {values[-1]}")
    return values


def _graph(
    name: str, names: list[str], rows: np.ndarray, edges: list[tuple[int, int]], training: bool
) -> Graph:
    forward, backward, activation, parameters = rows.T
    n = len(names)
    pairs, sizes = list(edges), [activation[a] for a, _ in edges]
    if not training:
        return Graph.from_edges(
            name, names, {KIND: forward * MILLISECOND}, parameters, pairs, sizes
        )
    for a, b in edges:  # the activation stays for the backward pass; its gradient comes back
        pairs += [(a, n + b), (n + b, n + a)]
        sizes += [activation[a], activation[a]]
    pairs += [(v, n + v) for v in range(n)]
    sizes += [activation[v] for v in range(n)]
    return Graph.from_edges(
        name,
        [f"{one} forward" for one in names] + [f"{one} backward" for one in names],
        {KIND: np.concatenate([forward, backward]) * MILLISECOND},
        np.concatenate([parameters * COPIES_OF_PARAMETERS, np.zeros(n)]),
        pairs,
        sizes,
        group=np.tile(np.arange(n, dtype=np.int32), 2),
        backward=np.repeat([False, True], n),
    )
