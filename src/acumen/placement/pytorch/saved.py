"""Captured steps as files: JSON, packed where their names end in .gz or .zst."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acumen.placement.costs import PRECISIONS
from acumen.placement.files import save_text, text_of
from acumen.placement.graph import BYTES_MAX, GraphError
from acumen.placement.pytorch.captured import Call, Captured, CaptureError, Operator, Parameter

FORMAT = "acumen captured step"
VERSION = 1


def save(captured: Captured, path: Path) -> None:
    """Writes a captured step; whoever reads the path sees the old file or the whole new one."""
    whole: dict[str, Any] = {"format": FORMAT, "version": VERSION, "name": captured.name}
    for key in ("calls", "operators", "tensor_bytes", "parameters"):
        whole[key] = list(getattr(captured, key))
    whole["no_split"] = dict(captured.no_split)
    save_text(path, json.dumps(whole, separators=(",", ":")))


def load(path: Path) -> Captured:
    """Reads what `save` wrote.

    Raises:
        CaptureError: the file cannot be read, is damaged, or of another version; the message says
            which.
    """
    try:
        whole = json.loads(text_of(path))
    except GraphError as error:  # with the file's name
        raise CaptureError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise CaptureError(f"{path}: not JSON: {error}") from None
    try:
        return parse(whole)
    except CaptureError as error:
        raise CaptureError(f"{path}: {error}") from None


def parse(whole: Any) -> Captured:
    """The captured step that a file's JSON describes.

    Raises:
        CaptureError: it describes none, or one of another version.
    """
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise CaptureError("no captured step")
    if whole.get("version") != VERSION:
        raise CaptureError(
            f"version {ascii(whole.get('version'))[:40]}, not {VERSION}: capture again"
        )
    try:
        return Captured(
            _typed(whole["name"], str),
            [_call(row) for row in whole["calls"]],
            [_operator(row) for row in whole["operators"]],
            [_typed(size, int) for size in whole["tensor_bytes"]],
            [_parameter(row) for row in whole["parameters"]],
            {  # files from before it was kept have none
                _typed(path, str): _typed(kind, str)
                for path, kind in dict(whole.get("no_split", {})).items()
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CaptureError(f"damaged: {error}") from None


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


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{ascii(value)[:40]} where {kind.__name__} must stand")
    if isinstance(value, int) and abs(value) >= BYTES_MAX:
        raise TypeError(f"a number of {value.bit_length()} bits")
    return value


def _call(row: Any) -> Call:
    op, arguments, flops, reads, writes, precision = row
    if precision not in PRECISIONS:
        raise TypeError(f"{ascii(row)[:80]} is no call")
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
