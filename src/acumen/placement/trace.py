"""A step as a trace: what ran where and when, for chrome://tracing and Perfetto (ui.perfetto.dev).

The format is Chrome's trace events (JSON): a process for each device, with a track of what it
computes, a track for each channel of what it carries, and a counter of the memory it holds.
Times are microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from acumen.evaluation import write_atomically
from acumen.placement.graph import Floats, Ints
from acumen.placement.plan import Plan, Task
from acumen.placement.simulator import Simulator, Timeline

MICROSECONDS = 1e6
_COMPUTE, _CHANNEL = 0, 1  # tracks: the first channel's is the second one


def save_trace(path: str | Path, task: Task, plan: Plan) -> None:
    """Simulates one step and writes what happens in it, whole or not at all.

    Raises:
        ValueError: the plan does not fit, or the step never ends.
        OSError: the folder is missing, read-only or full; an old file is then untouched.
    """
    timeline = Simulator(task).timeline(plan)
    if not np.isfinite(timeline.end).all():
        raise ValueError("some operators never run with this plan: there is nothing to show")
    lines = (json.dumps(event, separators=(",", ":")) for event in events(task, plan, timeline))
    write_atomically(Path(path), _joined(lines))


def _joined(lines: Iterator[str]) -> Iterator[str]:
    before = '{"displayTimeUnit":"ms","traceEvents":[\n'
    for line in lines:
        yield before + line
        before = ",\n"
    yield "\n]}\n"


def events(task: Task, plan: Plan, timeline: Timeline) -> Iterator[dict[str, Any]]:
    """The trace's events: names first, then operators, copies, and memory as it changes."""
    graph, cluster, copies = task.graph, task.cluster, timeline.copies
    carried = cluster.route[copies.source, copies.destination].tolist()
    for number, device in enumerate(cluster.devices):
        yield _named("process_name", number, 0, f"{device.name} ({device.kind})")
        yield _named("thread_name", number, _COMPUTE, "compute")
    for channel, source in sorted(set(zip(carried, copies.source.tolist(), strict=True))):
        yield _named("thread_name", source, _CHANNEL + channel, f"copies, channel {channel}")
    start, end = timeline.start.tolist(), timeline.end.tolist()
    for operator, where in enumerate(plan.device.tolist()):
        yield _span(graph.operators[operator], where, _COMPUTE, start[operator], end[operator], {})
    sizes = graph.tensors.size_bytes[copies.tensor].tolist()
    makers = graph.tensors.producer[copies.tensor].tolist()
    columns = (makers, copies.source, copies.destination, copies.start, copies.end)
    rows = zip(*(np.asarray(column).tolist() for column in columns), sizes, carried, strict=True)
    for maker, sender, target, begin, finish, size, channel in rows:
        about = {"to": cluster.devices[target].name, "bytes": size}
        name = f"{graph.operators[maker]} to {cluster.devices[target].name}"
        yield _span(name, sender, _CHANNEL + channel, begin, finish, about)
    for number, (times, held) in enumerate(memory(task, plan, timeline)):
        for moment, count in zip(times.tolist(), held.tolist(), strict=True):
            yield {
                "name": "memory", "ph": "C", "pid": number,
                "ts": moment * MICROSECONDS, "args": {"bytes": count},
            }  # fmt: skip


def memory(task: Task, plan: Plan, timeline: Timeline) -> list[tuple[Floats, Ints]]:
    """For each device when what it holds changes, and the bytes from then on.

    It is the simulator's account (see `acumen.placement.simulator`), from its own timeline: what is
    let go at a moment is let go before anything new is held.
    """
    graph, copies, d = task.graph, timeline.copies, len(task.cluster)
    tensors, here = graph.tensors, plan.device[graph.tensors.producer]
    # One holding a tensor and a device: where it is made, and wherever it is copied to.
    tensor = np.concatenate([np.arange(len(tensors)), copies.tensor])
    device = np.concatenate([here, copies.destination])
    since = np.concatenate([timeline.start[tensors.producer], copies.start])
    until = np.concatenate([timeline.end[tensors.producer], copies.end])
    np.maximum.at(until, copies.tensor, copies.end)  # the original stays until it is copied
    key = tensor.astype(np.int64) * d + device
    rank = np.argsort(key, kind="stable")
    read = tensors.reads.astype(np.int64) * d + plan.device[tensors.consumers]
    holding = rank[np.searchsorted(key[rank], read)]
    np.maximum.at(until, holding, timeline.end[tensors.consumers])
    sizes = tensors.size_bytes[tensor]
    kept = np.zeros(d, np.int64)
    np.add.at(kept, plan.device, graph.resident_bytes)
    found = []
    for number in range(d):
        mine = np.flatnonzero((device == number) & (sizes > 0))
        times = np.concatenate([until[mine], since[mine]])
        change = np.concatenate([-sizes[mine], sizes[mine]])
        order = np.lexsort((change, times))
        held = kept[number] + np.cumsum(change[order])
        found.append((np.append(0.0, times[order]), np.append(kept[number], held)))
    return found


def _span(
    name: str, device: int, track: int, start: float, end: float, about: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": name, "ph": "X", "pid": device, "tid": track,
        "ts": start * MICROSECONDS, "dur": (end - start) * MICROSECONDS, "args": about,
    }  # fmt: skip


def _named(kind: str, device: int, track: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": device, "tid": track, "args": {"name": name}}
