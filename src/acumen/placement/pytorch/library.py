"""The one place that imports PyTorch, when it is first needed."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def torch() -> Any:
    """The module `torch`, with the parts of it that a capture uses.

    Raises:
        ImportError: PyTorch is not installed; the message says how to install it.
    """
    try:
        import torch
        import torch._subclasses.fake_tensor
        import torch.export
        import torch.fx
        import torch.multiprocessing.reductions
        import torch.utils._python_dispatch
        import torch.utils._pytree
        import torch.utils.flop_counter
    except ImportError as error:
        message = f"reading models needs PyTorch: pip install 'acumen[torch]' ({error})"
        raise ImportError(message) from error
    return torch


@cache
def pipelining() -> Any:
    """The module `torch.distributed.pipelining`, which takes a second to import.

    Raises:
        ImportError: PyTorch is not installed, or was built without it.
    """
    torch()
    try:
        import torch.distributed.pipelining as found
    except ImportError as error:
        raise ImportError(f"this PyTorch has no pipelines: {error}") from error
    return found
