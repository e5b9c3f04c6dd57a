"""What `acumen place` reads: the graph, its costs, devices, and what has to be where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from acumen.placement.cluster import Cluster
    from acumen.placement.formats import Loaded
    from acumen.placement.graph import Graph
    from acumen.placement.plan import Task

AUTO = "auto"
"""As a pattern of modules to keep whole: those that the model itself names."""


def note(lines: Sequence[str]) -> None:
    """Says what had to be interpreted; apart from results."""
    for line in lines:
        Console(stderr=True).print(
            f"note: {line}", highlight=False, markup=False, soft_wrap=True, style="dim"
        )


def read(source: str, spec: str | None, measured: bool) -> Loaded:
    """A file's graph, or the training step of a PyTorch model.

    Args:
        source: a path, or package.module:factory.
        spec: devices as a line of text; None: those of the file.
        measured: operators are timed on those devices that are here.

    Raises:
        ValueError: there is nothing to be measured; it cannot be read; see `load_graph`.
        ImportError: PyTorch is needed, and not installed.
    """
    from acumen.placement.devices import parse_devices
    from acumen.placement.formats import load_graph
    from acumen.placement.formats.captured_step import loaded
    from acumen.placement.pytorch import saved
    from acumen.placement.pytorch.measured_step import measured_step
    from acumen.placement.pytorch.model_source import capture_example, is_source

    path = Path(source)
    is_model = is_source(source) and not path.exists()
    if measured:
        if spec is None:
            raise ValueError("say what to measure for with --devices, as in 'gpu:v100*2,cpu'")
        kinds = [device.kind for device in parse_devices(spec).devices]
        step = capture_example(source) if is_model else saved.load(path)
        return measured_step(step, list(dict.fromkeys(kinds)))
    return loaded(capture_example(source)) if is_model else load_graph(path)


def asked(
    loaded: Loaded,
    spec: str | None,
    memory: float | None,
    objective: str | None,
    pins: Mapping[str, str],
    whole: Sequence[str],
) -> tuple[Task, list[str]]:
    """What is to be placed, and what to know of it.

    Raises:
        ValueError: there are no such devices, modules or operators; see `Task`.
    """
    from acumen.placement.plan import Task

    cluster, of_devices = cluster_of(loaded.graph, loaded.cluster, spec, memory)
    aim = objective or (loaded.objective if loaded.cluster and not spec else "latency")
    graph, of_modules = kept_whole(loaded.graph, whole, loaded.no_split)
    task = Task(graph, cluster, aim, pins)  # type: ignore[arg-type]
    return task, [*loaded.notes, *of_devices, *of_modules]


def cluster_of(
    graph: Graph, named: Cluster | None, spec: str | None, memory: float | None
) -> tuple[Cluster, list[str]]:
    """The devices to use, of kinds that the graph has times for; and what to know of them.

    Raises:
        ValueError: there are none, or the graph has no times for one.
    """
    from acumen.placement.devices import parse_devices

    notes: dict[str, None] = {}
    if spec is not None:
        cluster = parse_devices(spec)
        renamed = []
        for device in cluster.devices:
            kind = _kind(graph, device.name, device.kind)
            renamed.append(replace(device, kind=kind))
            if kind != device.kind:
                notes[f"the graph has no times of a {device.kind}: those of its {kind} stand"] = (
                    None
                )
        cluster = replace(cluster, devices=renamed)
    elif named is not None:
        cluster = named
    else:
        raise ValueError("the file names no devices: say which with --devices, as in 'gpu*4'")
    if memory is None:
        return cluster, list(notes)
    limited = [
        device if device.kind == "cpu" else replace(device, memory_bytes=int(memory))
        for device in cluster.devices
    ]
    return replace(cluster, devices=limited), list(notes)


def _kind(graph: Graph, name: str, kind: str) -> str:
    """What the graph calls such a device: times that were measured are of one kind only."""
    family = name.partition(":")[0]
    for known in (kind, family, "accelerator" if family != "cpu" else ""):
        if known in graph.seconds:
            return known
    raise ValueError(
        f"the graph has no times for a {kind}: it has them for {', '.join(graph.kinds)}"
    )


def pins_of(texts: Sequence[str]) -> dict[str, str]:
    """Devices by patterns, from PATTERN=DEVICE; patterns may have an equals sign themselves.

    >>> pins_of(["embedding*=cpu", "head=gpu:1"])
    {'embedding*': 'cpu', 'head': 'gpu:1'}

    Raises:
        ValueError: that is not what a text is, or a pattern is there twice.
    """
    pins: dict[str, str] = {}
    for one in texts:
        pattern, _, device = one.rpartition("=")
        if not pattern or not device:
            raise ValueError(f"--pin {one!r}: write PATTERN=DEVICE, as in 'embedding*=cpu'")
        if pins.setdefault(pattern, device) != device:
            raise ValueError(f"--pin {pattern!r} names two devices, {pins[pattern]} and {device}")
    return pins


def kept_whole(
    graph: Graph, patterns: Sequence[str], own: Mapping[str, str]
) -> tuple[Graph, list[str]]:
    """The graph in which modules that patterns mean stay whole; and what to know of it.

    Args:
        graph: as it was read.
        patterns: see `keep_whole`; `AUTO`: the modules of `own`.
        own: modules that the model itself wants whole, and their classes.

    Raises:
        ValueError: there are no such modules.
    """
    from acumen.placement.no_split import keep_whole

    if AUTO in patterns:
        if not own:
            raise ValueError(
                "--no-split auto: the model names no modules that stay whole (_no_split_modules)"
            )
        patterns = [*(one for one in patterns if one != AUTO), *own]
    if not patterns:
        return graph, []
    classes = ", ".join(dict.fromkeys(own.values()))
    shown = [one for one in patterns if one not in own]
    if len(shown) < len(patterns):
        shown.append(f"{len(own)} of class {classes}")
    return keep_whole(graph, patterns), [f"modules that stay whole: {', '.join(shown)}"]
