"""A model named as text, "package.module:factory", as command lines name one.

The factory takes no arguments and answers what `capture_training_step` takes, in its order: the
module and its example inputs, then, as far as they are wanted, loss, targets and optimiser:

    def model():
        return nn.Linear(4, 2), (torch.randn(8, 4),), nn.functional.mse_loss, (torch.randn(8, 2),)

Called with "meta" as the default device it makes tensors that have shapes and no memory.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acumen.placement.pytorch.capture import STATES, Optimizer, capture_training_step
from acumen.placement.pytorch.captured import Captured, CaptureError
from acumen.placement.pytorch.library import torch

_SOURCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_SEED = 0


@dataclass(frozen=True)
class Example:
    """A module, a batch for it, and how it is trained: see `capture_training_step`."""

    model: Any
    inputs: tuple[Any, ...] | Mapping[str, Any]
    loss: Callable[..., Any] | None = None
    targets: tuple[Any, ...] = ()
    optimizer: Optimizer = "sgd"


def is_source(text: str) -> bool:
    """Whether a text names a factory.

    >>> is_source("examples.split_gpt2:model"), is_source("gnmt.txt")
    (True, False)
    """
    return _SOURCE.fullmatch(text) is not None


def load_example(source: str, device: str = "meta") -> Example:
    """Calls a factory; its module is looked for in the current folder too.

    The same source on the same device has the same weights and inputs every time.

    Args:
        source: as in `is_source`.
        device: where what the factory makes lies; "meta": nowhere.

    Raises:
        CaptureError: there is no such factory, or it fails, or makes something else; the message
            is one line.
        ImportError: PyTorch is not installed.
    """
    t = torch()
    factory = _factory(source)
    try:
        with t.random.fork_rng(), t.device(device):
            t.manual_seed(_SEED)
            made = factory()
    except Exception as error:  # it is the user's code
        raise CaptureError(f"{source} fails: {type(error).__name__}: {error}") from error
    if not isinstance(made, tuple) or not 2 <= len(made) <= 5:
        raise CaptureError(f"{source} must answer (module, inputs[, loss, targets[, optimizer]])")
    example = Example(*made)
    if not isinstance(example.model, t.nn.Module):
        raise CaptureError(f"{source} answers a {type(example.model).__name__}, not an nn.Module")
    if not isinstance(example.inputs, tuple | Mapping) or not isinstance(example.targets, tuple):
        raise CaptureError(f"{source}: inputs are a tuple or a mapping, and targets are a tuple")
    if example.optimizer not in STATES:
        raise CaptureError(f"{source}: there is no optimiser {example.optimizer!r}: sgd or adam")
    return example


def capture_example(source: str) -> Captured:
    """A factory's training step, captured; no weight is allocated.

    Raises:
        CaptureError: see `load_example` and `capture_training_step`.
        ImportError: PyTorch is not installed.
    """
    one = load_example(source)
    name = source.rpartition(":")[2]
    return capture_training_step(one.model, one.inputs, one.loss, one.targets, one.optimizer, name)


def _factory(source: str) -> Callable[[], Any]:
    if not is_source(source):
        raise CaptureError(f"{source!r} names no model: write package.module:factory")
    module, _, name = source.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise CaptureError(f"{source}: {error}") from error
    if not callable(found):
        raise CaptureError(f"{source} is a {type(found).__name__}, not a function")
    factory: Callable[[], Any] = found
    return factory


def microbatches(values: Any, count: int) -> list[Any]:
    """Tensors anywhere in tuples, lists and mappings, cut along their first axis.

    Args:
        values: every tensor in it has the same length n along its first axis.
        count: how many equal parts, n / count long.

    Raises:
        CaptureError: n is no multiple of `count`.
    """
    pytree = torch().utils._pytree
    leaves, spec = pytree.tree_flatten(values)
    parts = [[one] * count for one in leaves]
    for number, leaf in enumerate(leaves):
        if isinstance(leaf, torch().Tensor):
            length = len(leaf) if leaf.dim() else 0
            if not length or length % count:
                raise CaptureError(f"a batch of {length} cannot be cut into {count} equal parts")
            parts[number] = list(leaf.split(length // count))
    return [pytree.tree_unflatten(list(row), spec) for row in zip(*parts, strict=True)] or [
        values
    ] * count
