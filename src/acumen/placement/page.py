"""One self-contained page that shows a plan: the timeline of a step, memory, and headline numbers.

It opens offline, light and dark, on a phone too. Numbers and tables are written here and need no
JavaScript; the timeline is drawn in the page (`page_assets/plan.js`) on a canvas.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from acumen.evaluation import write_atomically
from acumen.evaluation.page_parts import embedded, shared_style, text, tile
from acumen.placement.boxes import BOXES_MAX, POINTS_MAX, Boxes, Picture, picture
from acumen.placement.graph import Ints
from acumen.placement.loads import loads
from acumen.placement.plan import PlanError, Task
from acumen.placement.portfolio import Result, Row
from acumen.placement.simulator import Simulator, Timeline
from acumen.placement.stages import stages

TICKS = 10**9
"""Times in the page are whole numbers of this part of the step."""
BASELINES = frozenset(
    {"single", "layers", "expert", "metis", "heft", "mtopo", "metf", "msct", "dp"}
)
"""Planners of the literature; others are ours."""
NOTHING = "\u2013"


def save_page(
    path: str | Path, task: Task, result: Result, modules: Sequence[str] | None = None
) -> None:
    """Simulates one step and writes the page, whole or not at all; `modules` as for `stages`.

    A page has `boxes.BOXES_MAX` boxes at most, some 2 MB, however many operators there are.

    Raises:
        PlanError: some operators never run with this plan.
        OSError: the folder is missing, read-only or full; an old file is then untouched.
    """
    timeline = Simulator(task).timeline(result.plan)
    try:
        shown = picture(task, result.plan, timeline)
    except ValueError as error:
        raise PlanError(str(error)) from None
    assets = resources.files(__package__).joinpath("page_assets")
    graph, latency = task.graph, task.objective == "latency"
    fields = {
        "title": text(f"Acumen plan: {graph.name}"),
        "name": text(graph.name),
        "lead": f"{len(graph):,} operators on {len(task.cluster)} devices; "
        + ("one step is to be short" if latency else "steps follow each other in a pipeline"),
        "facts": text(", ".join(f"{one.name} ({one.kind})" for one in task.cluster.devices[:12]))
        + (", …" if len(task.cluster) > 12 else ""),
        "remarks": "\n".join(f'<p class="remark">{text(line)}</p>' for line in _remarks(result)),
        "tiles": "\n".join(_tiles(task, result)),
        "step": text(seconds_text(shown.seconds)),
        "hint": text(_hint(task, shown)),
        "devices": _devices(task, result, timeline),
        "stages": _stages(task, result, modules),
        "planners": _planners(result),
        "data": embedded(_data(task, result, timeline, shown)),
        "style": shared_style() + assets.joinpath("plan.css").read_text("utf-8"),
        "script": assets.joinpath("plan.js").read_text("utf-8"),
    }
    template = string.Template(assets.joinpath("plan.html").read_text("utf-8"))
    write_atomically(Path(path), [template.substitute(fields)])


def seconds_text(seconds: float) -> str:
    """A time as a person reads it, four digits of it.

    >>> seconds_text(0.46238), seconds_text(2.5e-6), seconds_text(81.0), seconds_text(0.0)
    ('462.4 ms', '2.500 µs', '81.00 s', '0 s')
    """
    if not 0.0 < seconds < math.inf:
        return f"{seconds:.0f} s"
    power = math.floor(math.log10(seconds))
    unit, size = ("s", 1.0) if power >= 0 else ("ms", 1e-3) if power >= -3 else ("µs", 1e-6)
    digits = max(0, 3 - math.floor(math.log10(seconds / size)))
    return f"{seconds / size:,.{digits}f} {unit}"


def bytes_text(count: float) -> str:
    """A size as a person reads it.

    >>> bytes_text(1_500_000_000), bytes_text(2_000_000), bytes_text(12)
    ('1.50 GB', '2.00 MB', '12 bytes')
    """
    for name, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.2f} {name}"
    return f"{count:,.0f} bytes"


def _remarks(result: Result) -> Iterator[str]:
    if result.score.excess_bytes:
        yield (
            "This plan does not fit: its devices are too small by "
            f"{bytes_text(result.score.excess_bytes)} in all. No plan that fits was found."
        )
    if result.interrupted:
        yield "The search was stopped early: this was the best plan by then."


def _hint(task: Task, shown: Picture) -> str:
    lines = []
    if task.objective == "throughput":
        lines.append(
            "This is one step by itself; in the pipeline the next ones begin meanwhile, and the "
            "busiest device sets the pace. Sizes in words are of what stays on a device; the curve "
            "has the tensors of this step, too."
        )
    if shown.merged:
        lines.append(
            f"Only {BOXES_MAX:,} boxes are kept: {shown.merged:,} operators and copies, each "
            f"shorter than {seconds_text(shown.tolerance)}, are drawn together with neighbours. "
            "The taller such a box, the more of its time something runs; it says for how many it "
            "stands, and has the colour of the longest."
        )
    if shown.coarse:
        lines.append(f"Memory is the most that is held in each {POINTS_MAX:,}th of the step.")
    return " ".join(lines)


def _alone(result: Result) -> Row | None:
    return next((row for row in result.rows if row.name == "single" and row.score), None)


def _tiles(task: Task, result: Result) -> Iterator[str]:
    latency, best = task.objective == "latency", result.score.seconds
    yield tile(
        "A step" if latency else "Largest load, a step",
        text(seconds_text(best)),
        "as simulated" if latency else "of the busiest device, in a full pipeline",
    )
    yield tile(
        "No plan is below",
        text(seconds_text(result.bound)),
        f"at most {result.gap:.1%} are left to be gained",
    )
    alone = _alone(result)
    if alone is None or alone.score is None:
        yield tile("Speed-up over one device", NOTHING, "no device runs all of it")
    elif alone.score.excess_bytes:
        missing = text(bytes_text(alone.score.excess_bytes))
        yield tile("Speed-up over one device", NOTHING, f"it is too small by {missing}")
    else:
        yield _against("Speed-up over one device", best, alone.score.seconds, "one device")
    rivals = [
        (row.score.seconds, row.name)
        for row in result.rows
        if row.name in BASELINES and row.score and not row.score.excess_bytes
    ]
    if rivals:
        yield _against("Speed-up over the best baseline", best, *min(rivals))
    limited = [
        (held / device.memory_bytes, int(held), device)
        for held, device in zip(result.score.memory_bytes, task.cluster.devices, strict=True)
        if device.memory_bytes
    ]
    if limited:
        share, held, device = max(limited, key=lambda one: one[0])
        note = f"{bytes_text(held)} of {bytes_text(device.memory_bytes or 0)} on {device.name}"
        yield tile("Fullest device", f"{share:.0%}", text(note))


def _against(name: str, mine: float, other: float, whose: str) -> str:
    verdict = "won" if mine < other else "lost" if mine > other else "tied"
    number = "the same" if mine == other else f"{other / mine:.2f}\u00d7"
    number = f'<span class="{verdict}-text">{number}</span>'
    return tile(name, number, text(f"{whose}: {seconds_text(other)}"))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int]) -> str:
    """A table of texts; columns but those in `words` are numbers."""

    def cells(kind: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{kind}>{text(one)}</{kind}>"
            if i in words
            else f'<{kind} class="n">{text(one)}</{kind}>'
            for i, one in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', heads)}</tr></thead><tbody>{body}</tbody></table>"


def _devices(task: Task, result: Result, timeline: Timeline) -> str:
    where, names = result.plan.device, task.cluster.devices
    d, step = len(names), float(timeline.end.max())
    count = np.bincount(where, minlength=d)
    computing = np.bincount(where, timeline.end - timeline.start, d)
    copies = timeline.copies
    sent = np.bincount(copies.source, task.graph.tensors.size_bytes[copies.tensor], d)
    load = loads(task, where)
    rows = []
    for i, (device, held) in enumerate(zip(names, result.score.memory_bytes, strict=True)):
        share = computing[i] / step if step else 0.0
        limit = NOTHING if device.memory_bytes is None else bytes_text(device.memory_bytes)
        times = [seconds_text(computing[i]), f"{share:.1%}", seconds_text(load[i])]
        sizes = [bytes_text(sent[i]), bytes_text(int(held)), limit]
        rows.append([device.name, device.kind, f"{count[i]:,}", *times, *sizes])
    heads = ["device", "kind", "operators", "computes", "of the step", "load in a pipeline"]
    return table([*heads, "sends", "memory at most", "it holds"], rows, (0, 1))


def _stages(task: Task, result: Result, modules: Sequence[str] | None) -> str:
    found = stages(task, result.plan, modules)
    if found is None:
        return (
            "<p>This plan is no pipeline of stages: data flow back and forth between devices.</p>"
        )
    rows = []
    for number, one in enumerate(found):
        words = [task.cluster.devices[one.device].name, one.first, one.module or NOTHING]
        counts = [f"{one.operators:,}", f"{one.entry_count:,}"]
        rows.append([f"{number}", *words, *counts, seconds_text(one.load_seconds)])
    heads = ["stage", "device", "begins with", "module", "operators", "read from before", "load"]
    return table(heads, rows, (0, 1, 2, 3))


def _planners(result: Result) -> str:
    rows = []
    for row in result.rows:
        value = row.problem or "nothing better"
        fits = ""
        if row.score:
            value = seconds_text(row.score.seconds)
            fits = "no" if row.score.excess_bytes else "yes"
        rows.append([row.name, value, fits, f"{row.seconds:.2f} s"])
    return table(["planner", "value", "fits", "thought for"], rows, (0,))


def _data(task: Task, result: Result, timeline: Timeline, shown: Picture) -> dict[str, Any]:
    per_tick = TICKS / shown.seconds if shown.seconds else 0.0
    return {
        "seconds": shown.seconds,
        "ticks": TICKS,
        "devices": [
            {
                "name": device.name,
                "kind": device.kind,
                "limit": device.memory_bytes,
                "peak": int(held),
                "lanes": [
                    _lane(task, timeline, boxes, per_tick)
                    for boxes in shown.boxes
                    if boxes.lane.device == number and len(boxes)
                ],
                "times": np.rint(times * per_tick).astype(np.int64).tolist(),
                "bytes": amounts.tolist(),
            }
            for number, (device, held, (times, amounts)) in enumerate(
                zip(task.cluster.devices, result.score.memory_bytes, shown.curves, strict=True)
            )
        ],
    }


def _lane(task: Task, timeline: Timeline, boxes: Boxes, per_tick: float) -> dict[str, Any]:
    lane, first = boxes.lane, boxes.first
    graph, copies = task.graph, timeline.copies
    longest: Ints = lane.item[boxes.longest]
    found: dict[str, Any] = {"kind": lane.kind, "label": lane.label}
    if lane.kind == "compute":
        makers = longest.tolist()
        found["backward"] = graph.backward[longest].astype(int).tolist()
    else:
        makers = graph.tensors.producer[copies.tensor[longest]].tolist()
        found["to"] = copies.destination[longest].tolist()
        sizes = graph.tensors.size_bytes[copies.tensor[lane.item]]
        found["bytes"] = np.add.reduceat(sizes, first[:-1]).tolist()
    names = [graph.operators[maker] for maker in makers]

    def ticks(values: Any) -> list[int]:
        return [int(value) for value in np.rint(values * per_tick).tolist()]

    return found | {
        "name": names,
        "start": ticks(lane.start[first[:-1]]),
        "end": ticks(np.maximum.reduceat(lane.end, first[:-1])),
        "busy": ticks(boxes.busy),
        "count": np.diff(first).tolist(),
    }
