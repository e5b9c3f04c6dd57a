"""Captured steps as files: JSON, compressed where the name ends in .gz."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acumen.placement.costs import PRECISIONS
from acumen.placement.pytorch.captured import Call, Captured, CaptureError, Operator, Parameter

FORMAT = "acumen captured step"
VERSION = 1
FILE_BYTES_MAX = 2**32


def save(captured: Captured, path: Path) -> None:
    """Writes a captured step; whoever reads the path sees the old file or the whole new one."""
    whole = {"format": FORMAT, "version": VERSION, "name": captured.name}
    for key in ("calls", "operators", "tensor_bytes", "parameters"):
        whole[key] = list(getattr(captured, key))
    data = json.dumps(whole, separators=(",", ":")).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, 3, mtime=0)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)


def load(path: Path) -> Captured:
    """Reads what `save` wrote.

    Raises:
        CaptureError: the file is damaged, or of another version; the message says which.
        OSError: it cannot be read.
    """
    try:
        whole = json.loads(_bytes(path))
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CaptureError(f"{path}: not JSON: {error}") from error
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise CaptureError(f"{path}: no captured step")
    if whole.get("version") != VERSION:
        raise CaptureError(f"{path}: version {whole.get('version')}, not {VERSION}: capture again")
    try:
        return Captured(
            _typed(whole["name"], str),
            [_call(row) for row in whole["calls"]],
            [_operator(row) for row in whole["operators"]],
            [_typed(size, int) for size in whole["tensor_bytes"]],
            [_parameter(row) for row in whole["parameters"]],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CaptureError(f"{path}: damaged: {error}") from error


def cached(path: Path, capture: Callable[[], Captured]) -> Captured:
    """What the file holds; or, if there is none that can be read, what is captured, and is kept.

    The path stands for the model, its inputs and the optimiser: whoever changes one of them names
    another path.
    """
    if path.exists():
        try:
            return load(path)
        except CaptureError:
            pass
    captured = capture()
    path.parent.mkdir(parents=True, exist_ok=True)
    save(captured, path)
    return captured


def _bytes(path: Path) -> bytes:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise CaptureError(f"{path}: larger than {FILE_BYTES_MAX} bytes")
    return bytes(data)


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} where {kind.__name__} must stand")
    return value


def _call(row: Any) -> Call:
    op, arguments, flops, reads, writes, precision = row
    if precision not in PRECISIONS:
        raise TypeError(f"{row!r} is no call")
    return Call(
        _typed(op, str),
        _typed(arguments, str),
        _typed(flops, int),
        _typed(reads, int),
        _typed(writes, int),
        precision,
    )


def _operator(row: Any) -> Operator:
    name, module, phase, call, *lists = row
    numbers = [tuple(_typed(one, int) for one in each) for each in lists]
    reads, makes, replaces, parameters, after = numbers
    return Operator(
        _typed(name, str),
        _typed(module, str),
        phase,
        _typed(call, int),
        reads,
        makes,
        replaces,
        parameters,
        after,
    )


def _parameter(row: Any) -> Parameter:
    names, size, gradient, state = row
    if not names:
        raise TypeError("a parameter without a name")
    return Parameter(
        tuple(_typed(name, str) for name in names),
        _typed(size, int),
        _typed(gradient, int),
        _typed(state, int),
    )
