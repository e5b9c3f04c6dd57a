"""Values in the JSON of a graph file, with errors that name the place."""

from __future__ import annotations

import json
import sys
from typing import Any

from acumen.placement.graph import GraphError

__all__ = [
    "as_mapping",
    "ends_of",
    "field",
    "items",
    "json_of",
    "memory_limit",
    "names_of",
    "number",
    "shown",
    "text",
]

# No device holds as much: whoever writes more means that there is no limit.
_MEMORY_MAX = 1 << 62
_FLOAT_MAX = sys.float_info.max


def json_of(text: str) -> Any:
    """What a JSON text holds.

    Raises:
        GraphError: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GraphError(f"is no JSON: {error}") from None


def as_mapping(value: Any, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        GraphError: it is something else.
    """
    if not isinstance(value, dict):
        raise GraphError(f"{what} is {shown(value)}, not an object")
    return value


def items(owner: dict[str, Any], name: str, what: str) -> list[Any]:
    """The list that an object holds under a name.

    Raises:
        GraphError: there is none.
    """
    value = owner.get(name)
    if not isinstance(value, list):
        raise GraphError(f"{what} has no list {name!r}")
    return value


def field(owner: dict[str, Any], name: str, what: str) -> Any:
    """What an object holds under a name.

    Raises:
        GraphError: nothing.
    """
    if name not in owner:
        raise GraphError(f"{what} has no {name!r}")
    return owner[name]


def number(owner: dict[str, Any], name: str, what: str, default: float | None = None) -> float:
    """A finite number that an object holds under a name.

    Raises:
        GraphError: it is none, or is missing and there is no `default`.
    """
    if default is not None and name not in owner:
        return default
    value = field(owner, name, what)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise GraphError(f"{what}: {name} is {shown(value)}, not a number")
    if not abs(value) <= _FLOAT_MAX:
        raise GraphError(f"{what}: {name} is {shown(value)}, not a finite number")
    return float(value)


def text(owner: dict[str, Any], name: str, what: str, default: str | None = None) -> str:
    """A text that an object holds under a name, which can be written to any file or screen.

    Raises:
        GraphError: it is none, or is missing and there is no `default`.
    """
    if default is not None and name not in owner:
        return default
    value = field(owner, name, what)
    if not isinstance(value, str) or any("\ud800" <= one <= "\udfff" for one in value):
        raise GraphError(f"{what}: {name} is {shown(value)}, not a text")
    return value


def memory_limit(owner: dict[str, Any], name: str, what: str) -> int | None:
    """What a device holds, in bytes; None: so much that it is no limit.

    Raises:
        GraphError: it is no number, or negative.
    """
    limit = number(owner, name, what)
    if limit < 0:
        raise GraphError(f"{what}: {name} is {limit:g} bytes")
    return int(limit) if limit < _MEMORY_MAX else None


def names_of(nodes: list[dict[str, Any]]) -> tuple[list[str], dict[Any, int]]:
    """A name for each node, and the nodes' places by id. The same name may be there twice.

    Raises:
        GraphError: a node has no id, or that of another.
    """
    names: list[str] = []
    place: dict[Any, int] = {}
    for node in nodes:
        id_ = field(node, "id", "a node")
        if isinstance(id_, bool) or not isinstance(id_, int | str):
            raise GraphError(f"a node has the id {shown(id_)}: neither a whole number nor a text")
        if id_ in place:
            raise GraphError(f"node {shown(id_)} is there twice")
        place[id_] = len(names)
        label = text(node, "id", "a node") if isinstance(id_, str) else str(id_)
        names.append(f"{text(node, 'name', f'node {label!r}', 'node')}#{label}")
    return names, place


def ends_of(edge: Any, place: dict[Any, int]) -> tuple[int, int]:
    """The places of the nodes at an edge's ends.

    Raises:
        GraphError: there is no such node.
    """
    ends = []
    for end in ("sourceId", "destId"):
        id_ = field(as_mapping(edge, "an edge"), end, "an edge")
        if isinstance(id_, bool) or not isinstance(id_, int | str) or id_ not in place:
            raise GraphError(f"an edge leads to node {shown(id_)}, which does not exist")
        ends.append(place[id_])
    return ends[0], ends[1]


def shown(value: Any) -> str:
    """A value in at most 40 characters of one line."""
    try:
        told = ascii(value)
    except (ValueError, RecursionError):  # numbers of thousands of digits, lists in lists in lists
        return f"a {type(value).__name__} that cannot be shown"
    return told if len(told) <= 40 else told[:37] + "..."
