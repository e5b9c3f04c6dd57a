"""What `acumen place MODEL --run` does: plans a pipeline and runs it, beside its simulation.

Costs are measured on the devices that are used, before the search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from acumen.cli_parts import fail

if TYPE_CHECKING:
    from acumen.placement.cluster import Cluster
    from acumen.placement.plan import Score, Task
    from acumen.placement.portfolio import Result
    from acumen.placement.pytorch.rehearsal import Bench, Rehearsal

# For everything but the search: starting processes, measuring, running.
_SECONDS_MAX = 900.0


def run_here(
    source: str,
    devices: str | None,
    memory: float | None,
    budget: float,
    out: Path | None,
    seed: int,
    microbatches: int,
    steps: int,
) -> None:
    """Plans, runs, compares, prints; ends the program with code 2 where that cannot be done."""
    from acumen.cli_place import search, show
    from acumen.placement.plan import PlanError
    from acumen.placement.plan_file import save_plan
    from acumen.placement.pytorch.processes import RunError
    from acumen.placement.pytorch.rehearsal import Bench

    console = Console()
    say = partial(console.print, highlight=False, soft_wrap=True)
    try:
        with Bench(source, _cluster(devices, memory), microbatches, _SECONDS_MAX + budget) as bench:
            task = bench.task()
            result = search(task, budget, seed, pipelines)
            show(task, result)
            if out is not None:
                save_plan(out, task, result)
            if result.score.excess_bytes:
                fail(f"no plan fits: the best one needs {result.score.excess_bytes:,} bytes more")
            found = bench.run(result.plan, steps)
            _tell(say, bench, found)
    except (RunError, PlanError, OSError) as error:
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


def pipelines(
    task: Task, seconds: float, seed: int, told: Callable[[str, Score], None] | None
) -> Result:
    """The best of the plans whose data never flow back, which a pipeline can run."""
    from acumen.placement import loads
    from acumen.placement.load_bound import throughput_bound
    from acumen.placement.portfolio import THROUGHPUT_PLANNERS, best_plan

    planners = {name: THROUGHPUT_PLANNERS[name] for name in ("single", "layers", "dp")}
    return best_plan(
        task, seconds, seed, score=partial(loads.score, task), planners=planners, improvers={},
        bound=throughput_bound(task), progress=told,
    )  # fmt: skip


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
