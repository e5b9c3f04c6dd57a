"""What operators take on a device that is here: the step is replayed, call after call.

Calls run on made-up tensors, in the step's order, and what each makes is held as long as the step
holds it. So caches hold what they would hold then, and memory is as fresh: a call alone, again and
again, finds its result's pages where it has just left them. Of the backward pass of a small model
it takes half of what it takes in a step.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from acumen.placement.costs import DeviceKind
from acumen.placement.graph import Floats
from acumen.placement.pytorch.captured import NO_CALL, Call, Captured, CaptureError
from acumen.placement.pytorch.encoding import decode_call
from acumen.placement.pytorch.library import torch

FORMAT = "acumen operators measured in their steps"
ROUNDS_MIN, ROUNDS_MAX = 3, 30
# They trust a workspace that the forward pass has filled, and crash on any other.
UNSAFE = ("_rnn", "from_file")


def measure(
    captured: Captured,
    device: str = "cpu",
    cache: Path | None = None,
    otherwise: DeviceKind | None = None,
    seconds_per_call: float = 0.05,
) -> Floats:
    """How long each different call takes: the median over rounds of its mean in a step.

    The first round is not counted. Times are from the start of a call until its result is there,
    so they hold what starting it takes; what a program does between operators (autograd, modules,
    Python) is in none of them. Where a step does not fit into half of the memory that is free, each
    call has its tensors for itself.

    Args:
        captured: a step.
        device: as PyTorch calls it: "cpu", "cuda:0".
        cache: a JSON file that is read before, and gets what is measured now; times of other
            devices and other versions of PyTorch stay apart in it.
        otherwise: whose roofline counts where a call cannot run on the device (a kernel that it
            has not, a tensor too large for it); None: that is an error.
        seconds_per_call: until this much time was spent for each different call the step is
            repeated, 3 to 30 times.

    Returns:
        Seconds, for `to_graph`; shape (calls,).

    Raises:
        CaptureError: a call cannot run here; the message names it.
    """
    t = torch()
    place = t.device(device)
    known = _read(cache) if cache is not None else {}
    times = known.setdefault(_label(place), {})
    keys = [f"{call.op} {call.arguments}" for call in captured.calls]
    if any(key not in times for key in keys):
        replay = _Replay(captured, place)
        with t.no_grad():
            found = replay.medians(seconds_per_call * len(keys))
        times.update({keys[number]: seconds for number, seconds in found.items()})
        for number, reason in replay.failed.items():
            if otherwise is None:
                raise CaptureError(f"{captured.calls[number].op} cannot run on {device}: {reason}")
        if cache is not None and found:
            _write(cache, known)
    return np.array(
        [
            times[key] if key in times or otherwise is None else _estimate(otherwise, call)
            for key, call in zip(keys, captured.calls, strict=True)
        ],
        np.float64,
    )


def _estimate(kind: DeviceKind, call: Call) -> float:
    return kind.seconds(call.flops, call.read_bytes + call.written_bytes, call.precision)


def _label(device: Any) -> str:
    t = torch()
    if device.type == "cuda":
        name = t.cuda.get_device_name(device)
    else:
        name = f"{device.type} {platform.machine()} {t.get_num_threads()} threads"
    return f"{name}, torch {t.__version__}"


class _Replay:
    """A step's calls on a device, round after round.

    Attributes:
        failed: calls that cannot run here, and why.
    """

    def __init__(self, captured: Captured, device: Any) -> None:
        self.captured, self.device = captured, device
        self.failed: dict[int, str] = {}
        self._wait: Callable[[], Any] = (
            torch().cuda.synchronize if device.type == "cuda" else lambda: None
        )
        called = {operator.call for operator in captured.operators}
        # What no operator calls comes last.
        self._apart = [number for number in range(len(captured.calls)) if number not in called]
        self._ends = _last_uses(captured)
        self._together = _bytes_at_once(captured, self._ends) < _free_bytes(device) / 2
        self._kept: dict[int, Any] = {}

    def medians(self, budget_seconds: float) -> dict[int, float]:
        """Seconds of each call that runs."""
        rounds: list[dict[int, float]] = []
        spent = 0.0
        self._round()
        while len(rounds) < ROUNDS_MIN or (len(rounds) < ROUNDS_MAX and spent < budget_seconds):
            runs = self._round()
            spent += sum(map(sum, runs.values()))
            rounds.append({call: statistics.fmean(each) for call, each in runs.items()})
        return {
            call: statistics.median(one[call] for one in rounds if call in one)
            for call in rounds[0]
            if call not in self.failed
        }

    def _round(self) -> dict[int, list[float]]:
        """How long each call took each time."""
        runs: dict[int, list[float]] = defaultdict(list)
        held: dict[int, Any] = {}
        for number, call in self._order():
            if call in self.failed or call == NO_CALL:
                continue
            try:
                op, args, kwargs = self._program(call)
                start = time.perf_counter()
                made = op(*args, **kwargs)
                self._wait()
                runs[call].append(time.perf_counter() - start)
            except (RuntimeError, NotImplementedError, AttributeError) as error:
                self.failed[call] = str(error).strip().partition("\n")[0]
                continue
            if self._together and number >= 0:
                held[number] = made
                for ended in self._ends.get(number, ()):
                    held.pop(ended, None)
            # Or the next call would find this one's memory taken.
            del made
        return runs

    def _order(self) -> Iterator[tuple[int, int]]:
        """Operators' numbers and their calls; -1 for what none calls."""
        for number, operator in enumerate(self.captured.operators):
            yield number, operator.call
        for call in self._apart:
            yield -1, call

    def _program(self, number: int) -> tuple[Any, list[Any], dict[str, Any]]:
        if number in self._kept:
            return self._kept[number]  # type: ignore[no-any-return]
        call = self.captured.calls[number]
        program = (_operator(call.op), *decode_call(call.arguments, self.device))
        if self._together:
            self._kept[number] = program
        return program


def _last_uses(captured: Captured) -> dict[int, list[int]]:
    """After which operator the results of which others are read no more."""
    last = {number: number for number in range(len(captured.operators))}
    for number, operator in enumerate(captured.operators):
        for tensor in operator.reads:
            last[captured.made_by[tensor]] = number
    ends: dict[int, list[int]] = defaultdict(list)
    for made, number in last.items():
        ends[number].append(made)
    return ends


def _bytes_at_once(captured: Captured, ends: dict[int, list[int]]) -> int:
    """What a replay holds at most: made-up arguments, and results that are still read."""
    size = [sum(captured.tensor_bytes[one] for one in each.makes) for each in captured.operators]
    held = most = 0
    for number, made in enumerate(size):
        held += made
        most = max(most, held)
        held -= sum(size[one] for one in ends.get(number, ()))
    return most + sum(call.read_bytes for call in captured.calls)


def _free_bytes(device: Any) -> float:
    if device.type == "cuda":
        return float(torch().cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        (kilobytes,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError):  # another system
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2
    return 1024.0 * float(kilobytes)


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
