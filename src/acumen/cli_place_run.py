"""What `acumen place MODEL --run` does: plans a pipeline and runs it, beside its simulation.

Costs are measured on the devices that are used, before the search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from acumen.cli_parts import fail

if TYPE_CHECKING:
    from acumen.placement.cluster import Cluster
    from acumen.placement.pytorch.rehearsal import Bench, Rehearsal

# For everything but the search: starting processes, measuring, running.
_SECONDS_MAX = 900.0


def run_here(
    source: str,
    devices: str | None,
    memory: float | None,
    budget: float,
    seed: int,
    microbatches: int,
    steps: int,
    constraints: tuple[Mapping[str, str], Sequence[str]],
    outputs: tuple[Path | None, Path | None, Path | None],
) -> None:
    """Plans, writes the plan, runs it, compares; ends the program with code 2 where that fails.

    Args:
        source: package.module:factory.
        devices: as of `parse_devices`; None: those that are here.
        memory: bytes of each of them, if they are limited.
        budget: seconds for the search.
        seed: of everything drawn.
        microbatches: into how many parts a batch is cut.
        steps: that are measured.
        constraints: pins, and patterns of modules that stay whole.
        outputs: where to write the plan, the trace and the page.
    """
    from acumen.cli_place import search, show
    from acumen.cli_place_in import kept_whole, note
    from acumen.cli_place_out import search_or_say, show_stages, write
    from acumen.placement.pipeline import place_pipeline
    from acumen.placement.pytorch.processes import RunError
    from acumen.placement.pytorch.rehearsal import Bench

    console = Console()
    say = partial(console.print, highlight=False, soft_wrap=True)
    try:
        with Bench(source, _cluster(devices, memory), microbatches, _SECONDS_MAX + budget) as bench:
            pins, whole = constraints
            task = bench.task()
            graph, notes = kept_whole(task.graph, whole, bench.captured.no_split)
            task = replace(task, graph=graph, pins=pins)
            note(notes)
            planned = partial(search, by=place_pipeline)
            result, problem = search_or_say(task, budget, seed, planned)
            show(task, result)
            show_stages(task, result, None)
            write(task, result, None, *outputs, notes)
            if problem is not None:
                fail(problem)
            found = bench.run(result.plan, steps, task.allowed)
            _tell(say, bench, found)
    except (RunError, ValueError, OSError) as error:
        fail(str(error))


def _cluster(spec: str | None, memory: float | None) -> Cluster:
    """The devices to run on; here a limit of memory holds for CPUs too."""
    from acumen.placement.devices import parse_devices
    from acumen.placement.pytorch.rehearsal import devices_here

    cluster = devices_here() if spec is None else parse_devices(spec)
    if memory is None:
        return cluster
    limited = [replace(device, memory_bytes=int(memory)) for device in cluster.devices]
    return replace(cluster, devices=limited)


def _tell(say: Callable[[str], None], bench: Bench, found: Rehearsal) -> None:
    names = [bench.cluster.devices[one].name for one in found.cut.devices]
    say(f"run: {len(names)} stages, {found.microbatches} microbatches a step")
    rows = zip(names, found.stages, found.spent_seconds, strict=True)
    for stage, (name, costs, spent) in enumerate(rows):
        sent = sum(costs.sends.values()) + sum(costs.returns.values())
        computed = costs.step_seconds(found.microbatches)
        say(
            f"  stage {stage} on {name}: its operators take {_ms(computed)} a step, its process "
            f"{_ms(spent)} of CPU time; it sends {sent:,} bytes a microbatch"
        )
    for a, b in zip(found.cut.devices, found.cut.devices[1:], strict=False):
        link = bench.cluster.channels[bench.cluster.route[a, b]]
        say(
            f"  from stage to stage: {link.latency_seconds * 1e6:,.0f} µs + bytes / "
            f"{link.bytes_per_second / 1e9:,.2f} GB/s"
        )
    low, high = found.quartiles
    say("  outputs and gradients are those of the model in one piece, bit for bit")
    say(
        f"measured a step: {_ms(found.measured_seconds)} (half of {len(found.steps)} steps lie in "
        f"{low * 1e3:,.3f} to {high * 1e3:,.3f}); simulated: {_ms(found.simulated_seconds)}; "
        f"error {found.error:+.1%}"
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.3f} ms"
