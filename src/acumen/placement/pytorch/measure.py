"""What operators take on a device that is here: each different call is run on real tensors."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from acumen.placement.costs import DeviceKind
from acumen.placement.graph import Floats
from acumen.placement.pytorch.captured import Call, Captured, CaptureError
from acumen.placement.pytorch.encoding import decode_call
from acumen.placement.pytorch.library import torch

FORMAT = "acumen measured operators"
RUNS_MIN, RUNS_MAX = 3, 30
# They trust a workspace that the forward pass has filled, and crash on any other.
UNSAFE = ("_rnn", "from_file")


def measure(
    captured: Captured,
    device: str = "cpu",
    cache: Path | None = None,
    otherwise: DeviceKind | None = None,
    seconds_per_call: float = 0.05,
) -> Floats:
    """The median time of each different call.

    The first run of each is not counted. Times are from the start of a call until its result is
    there, so they hold what starting it takes; what a program does between operators (autograd,
    modules, Python) is in none of them.

    Args:
        captured: a step.
        device: as PyTorch calls it: "cpu", "cuda:0".
        cache: a JSON file that is read before, and gets what is measured now; times of other
            devices and other versions of PyTorch stay apart in it.
        otherwise: whose roofline counts where a call cannot run on the device (a kernel that it
            has not, a tensor too large for it); None: that is an error.
        seconds_per_call: until this much time was spent on a call it is repeated, 3 to 30 times.

    Returns:
        Seconds, for `to_graph`; shape (calls,).

    Raises:
        CaptureError: a call cannot run here; the message names it.
    """
    t = torch()
    place = t.device(device)
    known = _read(cache) if cache is not None else {}
    times = known.setdefault(_label(place), {})
    before = len(times)
    seconds = []
    with t.no_grad():
        for call in captured.calls:
            key = f"{call.op} {call.arguments}"
            if key not in times:
                try:
                    times[key] = _median(call, place, seconds_per_call)
                except (RuntimeError, NotImplementedError, AttributeError) as error:
                    if otherwise is None:
                        reason = str(error).strip().partition("\n")[0]
                        raise CaptureError(f"{call.op} cannot run on {device}: {reason}") from error
                    moved = call.read_bytes + call.written_bytes
                    seconds.append(otherwise.seconds(call.flops, moved, call.precision))
                    continue
            seconds.append(times[key])
    if cache is not None and len(times) > before:
        _write(cache, known)
    return np.array(seconds, np.float64)


def _label(device: Any) -> str:
    t = torch()
    if device.type == "cuda":
        name = t.cuda.get_device_name(device)
    else:
        name = f"{device.type} {platform.machine()} {t.get_num_threads()} threads"
    return f"{name}, torch {t.__version__}"


def _median(call: Call, device: Any, budget_seconds: float) -> float:
    op = _operator(call.op)
    args, kwargs = decode_call(call.arguments, device)
    wait: Callable[[], Any] = torch().cuda.synchronize if device.type == "cuda" else lambda: None
    op(*args, **kwargs)
    wait()
    runs: list[float] = []
    while len(runs) < RUNS_MIN or (len(runs) < RUNS_MAX and sum(runs) < budget_seconds):
        start = time.perf_counter()
        op(*args, **kwargs)
        wait()
        runs.append(time.perf_counter() - start)
    return statistics.median(runs)


def _operator(name: str) -> Any:
    """An operator by its name, which may come from a file: nothing that opens files or crashes."""
    t = torch()
    namespace, _, rest = name.partition(".")
    packet, _, overload = rest.partition(".")
    found = getattr(getattr(getattr(t.ops, namespace), packet), overload or "default")
    if not isinstance(found, t._ops.OpOverload) or any(part in name for part in UNSAFE):
        raise NotImplementedError(f"{name!r} cannot be run on made-up tensors")
    return found


def _read(path: Path) -> dict[str, dict[str, float]]:
    """What was measured before; nothing if the file is missing or damaged."""
    try:
        whole = json.loads(path.read_bytes())
        known = whole["devices"] if whole["format"] == FORMAT else {}
        return {
            str(device): {
                key: float(seconds)
                for key, seconds in times.items()
                if math.isfinite(seconds) and seconds >= 0
            }
            for device, times in known.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(path: Path, known: dict[str, dict[str, float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps({"format": FORMAT, "devices": known}))
    partial.replace(path)
