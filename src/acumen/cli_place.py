"""The command `acumen place`: where every operator of a graph runs, and how far that is from best.

Exit codes: 0 there is a plan that fits; 2 the command was wrong, or nothing fits.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from acumen.cli_parts import fail

if TYPE_CHECKING:
    from acumen.placement.plan import Score, Task
    from acumen.placement.portfolio import Result

    Search = Callable[[Task, float, int, Callable[[str, Score], None] | None], Result]

_UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "m": 60.0, "min": 60.0}
_SIZES = {"gb": 10**9, "gib": 2**30, "mb": 10**6, "mib": 2**20}
_FILE = click.Path(path_type=Path, dir_okay=False)


class Amount(click.ParamType[float]):
    """A number with a unit, such as 60s or 16GiB."""

    def __init__(self, name: str, units: dict[str, float]) -> None:
        self.name, self.units = name, units

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number in the first unit of all."""
        found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([a-z]*)", str(value).strip().lower())
        if not found or found[2] not in self.units:
            known = ", ".join(unit for unit in self.units if unit)
            self.fail(f"{value!r} is no number with a unit ({known})", param, ctx)
        return float(found[1]) * self.units[found[2]]


@click.command()
@click.argument("graph", type=_FILE)
@click.option(
    "--devices",
    metavar="SPEC",
    help="Such as 'gpu:v100*4,cpu*1' or 'gpu:k80@12GiB*2/pcie4'. Without it, those of the file.",
)
@click.option(
    "--memory",
    type=Amount("size", dict(_SIZES)),
    metavar="SIZE",
    help="What each accelerator holds, such as 16GiB, whatever the file or SPEC says.",
)
@click.option(
    "--objective",
    type=click.Choice(["latency", "throughput"]),
    help="One step by itself, or the largest load of a pipeline. [default: what the file's format "
    "is for, if its devices are taken, else latency]",
)
@click.option(
    "--budget", type=Amount("time", _UNITS), default="60s", show_default=True, metavar="TIME",
    help="How long to search, such as 90s or 5m.",
)  # fmt: skip
@click.option("--out", type=_FILE, metavar="FILE", help="Write the plan there, as JSON.")
@click.option(
    "--trace", type=_FILE, metavar="FILE",
    help="Write one step there, for chrome://tracing or ui.perfetto.dev.",
)  # fmt: skip
@click.option(
    "--html", "page", type=_FILE, metavar="FILE",
    help="Write a page there that shows the plan and the timeline of one step.",
)  # fmt: skip
@click.option(
    "--contiguous", is_flag=True,
    help="Only plans that are a pipeline of stages: data never flow back between devices.",
)  # fmt: skip
@click.option(
    "--pin", "pinned", multiple=True, metavar="PATTERN=DEVICE",
    help="Operators or modules of such names run there, as in 'embedding*=cpu'; DEVICE is a name "
    "(gpu:0), a family (gpu) or a kind (k80). May be given again.",
)  # fmt: skip
@click.option(
    "--no-split", "whole", multiple=True, metavar="PATTERN",
    help="Each module of such a name, as in 'layers.*', stays on one device; auto: those of the "
    "classes in the model's _no_split_modules. May be given again.",
)  # fmt: skip
@click.option(
    "--measured", is_flag=True,
    help="Time the operators of a MODEL or a captured step on the devices that are here; of others "
    "they are estimates, which is said.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--run", is_flag=True,
    help="Run the plan of a MODEL as a pipeline, in a process a device, on the GPUs that are here "
    "or else on the CPU; say what a step takes beside what the simulator expects.",
)  # fmt: skip
@click.option(
    "--microbatches", type=click.IntRange(1, 1024), default=1, show_default=True,
    help="With --run: into how many parts a step's batch is cut.",
)  # fmt: skip
@click.option(
    "--steps", type=click.IntRange(1, 10_000), default=20, show_default=True,
    help="With --run: how many steps are measured.",
)  # fmt: skip
def place(
    graph: Path,
    devices: str | None,
    memory: float | None,
    objective: str | None,
    budget: float,
    out: Path | None,
    trace: Path | None,
    page: Path | None,
    contiguous: bool,
    pinned: tuple[str, ...],
    whole: tuple[str, ...],
    measured: bool,
    seed: int,
    run: bool,
    microbatches: int,
    steps: int,
) -> None:
    """Place the operators of GRAPH on devices, and say how far the plan is from optimal.

    GRAPH is a file of Acumen's own (save_graph), a captured step of a PyTorch module, a cost graph
    of Microsoft's study or of Piper (.json), a PipeDream profile or a Doppler graph (.txt), as they
    are or packed (.zst, .gz). It may also be a PyTorch model, as package.module:factory: a
    function that answers the module and its example inputs, then, if wanted, loss, targets and
    optimiser.

    \b
      acumen place bert24_training.json.zst                 devices and limits of the file
      acumen place gnmt.txt --devices 'gpu*4' --memory 16GiB --out plan.json --trace trace.json
      acumen place gpt2.json.gz --devices 'gpu:a100*2,cpu' --html plan.html
      acumen place inception_v3.txt --devices 'gpu*4' --objective throughput --contiguous
      acumen place examples.split_gpt2:model --devices 'gpu:k80*2,cpu' --pin 'tokens=cpu'
      acumen place examples.split_gpt2:untied --run --microbatches 4

    Every planner gets a share of the time; the best plan is kept, and is never worse than one
    device. The bound beside it is what no plan at all can be below. Ctrl-C ends the search and
    keeps the best plan. Where nothing fits, it is said what would.
    """  # noqa: D301 (a real backspace is how click is told to leave lines as they are)
    from acumen.cli_place_in import asked, note, pins_of, read
    from acumen.cli_place_out import check_outputs, search_or_say, show_stages, write
    from acumen.cli_place_run import run_here
    from acumen.placement.pipeline import place_pipeline
    from acumen.placement.portfolio import place as place_anyhow

    check_outputs(graph, out, trace, page)
    try:
        pins, source = pins_of(pinned), str(graph)
        if run:
            constraints, outputs = (pins, whole), (out, trace, page)
            run_here(
                source, devices, memory, budget, seed, microbatches, steps, constraints, outputs
            )
            return
        loaded = read(source, devices, measured)
        task, notes = asked(loaded, devices, memory, objective, pins, whole)
        note(notes)
        planned = partial(search, by=place_pipeline if contiguous else place_anyhow)
        result, problem = search_or_say(task, budget, seed, planned)
    except (ValueError, OSError, ImportError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped before there was a plan")
    show(task, result)
    show_stages(task, result, loaded.modules)
    try:
        write(task, result, loaded.modules, out, trace, page, notes)
    except (OSError, ValueError) as error:
        fail(str(error))
    if problem is not None:
        fail(problem)


def search(task: Task, budget: float, seed: int, by: Search) -> Result:
    """The best plan that is found, with a bar that shows how the search goes."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        began = time.monotonic()
        line = bar.add_task("searching", total=budget)

        def told(name: str, score: Score) -> None:
            bar.update(
                line,
                completed=min(time.monotonic() - began, budget),
                description=f"{_time(score.seconds)} by {name}",
            )

        return by(task, budget, seed, told)


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:,.3f} ms"


def show(task: Task, result: Result) -> None:
    """Prints what each planner found, what each device holds, and how far it is from best."""
    console = Console()
    what = "a step" if task.objective == "latency" else "largest load, a step"
    table = Table(title=f"{escape(task.graph.name)}: {len(task.graph):,} operators, {what}")
    for name in ("planner", "value", "fits", "thought for"):
        table.add_column(name, justify="left" if name == "planner" else "right")
    for row in result.rows:
        value = _time(row.score.seconds) if row.score else row.problem or "nothing better"
        fits = ("yes" if row.score.excess_bytes == 0 else "no") if row.score else ""
        table.add_row(row.name, value, fits, f"{row.seconds:.1f} s")
    console.print(table)
    for device, held in zip(task.cluster.devices, result.score.memory_bytes, strict=True):
        limit = "" if device.memory_bytes is None else f" of {device.memory_bytes / 1e9:,.2f}"
        console.print(f"  {escape(device.name)}: {held / 1e9:,.2f}{limit} GB", highlight=False)
    alone = [row.score for row in result.rows if row.name == "single" and row.score]
    beside = f"one device: {_time(alone[0].seconds)}" if alone else "no device runs all of it"
    if alone and alone[0].excess_bytes:
        beside += ", but it does not fit"
    console.print(
        f"{'stopped early; ' if result.interrupted else ''}best: {_time(result.score.seconds)}; "
        f"{beside}; no plan is below {_time(result.bound)}: at most {result.gap:.1%} are left",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
