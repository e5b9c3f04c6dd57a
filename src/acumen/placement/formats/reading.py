"""Text of a graph file, and numbers in it, with errors that name the file and the place."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa

from acumen.placement.graph import GraphError

__all__ = ["TEXT_MAX", "as_mapping", "field", "items", "json_of", "number", "text_of"]

# What a file may hold once it is unpacked: a graph of a million operators takes some 200 MB.
TEXT_MAX = 1 << 30


def text_of(path: Path) -> str:
    """The text of a file, unpacked if its name ends in .zst.

    Raises:
        GraphError: it cannot be read, is no text, is damaged, or is larger than `TEXT_MAX` bytes.
    """
    try:
        with pa.OSFile(str(path)) as file:
            source = pa.CompressedInputStream(file, "zstd") if path.suffix == ".zst" else file
            data = source.read(TEXT_MAX + 1)
    except (OSError, pa.ArrowException) as error:
        raise GraphError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    if len(data) > TEXT_MAX:
        raise GraphError(f"{path}: holds more than {TEXT_MAX:,} bytes")
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise GraphError(f"{path}: is no text: {error}") from None


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
        raise GraphError(f"{what} is {_shown(value)}, not an object")
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
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise GraphError(f"{what}: {name} is {_shown(value)}, not a number")
    return float(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
