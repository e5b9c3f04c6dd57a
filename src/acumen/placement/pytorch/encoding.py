"""Arguments of an operator as text: what it was called with, enough to call it again.

A tensor becomes {"tensor": [shape, strides, dtype]}, a dtype {"dtype": name}, a place in memory
{"layout" | "device" | "format": name}; numbers, text, lists and None stay what they are.
"""

from __future__ import annotations

import json
import math
from typing import Any

from acumen.placement.pytorch.captured import CaptureError
from acumen.placement.pytorch.library import torch


def encode(value: Any) -> Any:
    """A value as JSON has it.

    Raises:
        CaptureError: nothing in JSON stands for it.
    """
    t = torch()
    if isinstance(value, t.Tensor):
        shape, strides = list(map(int, value.shape)), list(map(int, value.stride()))
        return {"tensor": [shape, strides, str(value.dtype).removeprefix("torch.")]}
    if isinstance(value, list | tuple):
        return [encode(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    for kind, label in (
        (t.dtype, "dtype"),
        (t.layout, "layout"),
        (t.memory_format, "format"),
    ):
        if isinstance(value, kind):
            return {label: str(value).removeprefix("torch.")}
    if isinstance(value, t.device):
        return {"device": str(value)}
    if isinstance(value, t.SymInt | t.SymFloat | t.SymBool):
        raise CaptureError(f"a size that depends on data ({value}): give inputs of fixed shapes")
    raise CaptureError(f"an argument of type {type(value).__name__} cannot be written down")


def encode_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Arguments as one line of JSON: [positional, by name]."""
    named = {key: encode(value) for key, value in sorted(kwargs.items())}
    return json.dumps([encode(args), named], separators=(",", ":"))


def decode_call(text: str, device: Any) -> tuple[list[Any], dict[str, Any]]:
    """Arguments with real tensors on a device: floats about 1, whole numbers 0.

    Raises:
        CaptureError: the text is not what `encode_call` writes.
    """
    try:
        args, kwargs = json.loads(text)
        return [_decode(one, device) for one in args], {
            key: _decode(value, device) for key, value in kwargs.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CaptureError(f"arguments that cannot be read: {text[:80]} ({error})") from error


def _decode(value: Any, device: Any) -> Any:
    t = torch()
    if isinstance(value, list):
        return [_decode(one, device) for one in value]
    if not isinstance(value, dict):
        return value
    ((label, name),) = value.items()
    if label == "tensor":
        shape, strides, dtype = name
        # The memory is filled, not the tensor, which may have an element in many places.
        spans = (stride * (length - 1) for length, stride in zip(shape, strides, strict=True))
        length = 0 if 0 in shape else 1 + sum(spans)
        memory = t.empty(length, dtype=_named(dtype, t.dtype), device=device)
        # Denormals and infinities take other paths through some kernels; indices must exist.
        memory = memory.uniform_(0.5, 1.5) if memory.dtype.is_floating_point else memory.zero_()
        return memory.as_strided(shape, strides)
    if label == "device":
        return device
    if label == "float":
        return float(name)
    kinds = {"dtype": t.dtype, "layout": t.layout, "format": t.memory_format}
    return _named(name, kinds[label])


def _named(name: str, kind: Any) -> Any:
    """What PyTorch calls so; a name from a file must not reach anything but such constants."""
    found = getattr(torch(), name)
    if not isinstance(found, kind):
        raise CaptureError(f"{name!r} is no {kind.__name__}")
    return found
