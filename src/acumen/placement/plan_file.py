"""A plan as a file: JSON with where every operator runs, what that is worth, and how far from best.

{"format": "acumen plan", "version": 1, "graph", "objective", "seconds", "bound_seconds", "gap",
"single_device_seconds" (null: none holds it), "contiguous", "pins": {pattern: device}, "notes",
"stages": null (data flow back) or [{"device", "operators", "load_seconds", "first_operator",
"entry_operators" (the first 20), "entry_count", "module" (null: see `stages.py`)}],
"planner_rows": [{"planner", "thought_seconds", "value", "excess_bytes", "problem"}],
"devices": [{"name", "kind", "memory_bytes", "limit_bytes", "operators"}],
"operators": {name: device}, "priority": {name: number} or null}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acumen.evaluation import write_atomically
from acumen.placement.graph import NO_GROUP, Graph, Indices
from acumen.placement.pins import said
from acumen.placement.plan import Plan, PlanError, Task
from acumen.placement.portfolio import Result
from acumen.placement.stages import Stage, stages

FORMAT, VERSION = "acumen plan", 1


def plan_document(
    task: Task, result: Result, modules: Sequence[str] | None = None, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """What the file of a plan holds; see `save_plan`."""
    graph, plan = task.graph, result.plan
    names = [device.name for device in task.cluster.devices]
    counts = np.bincount(plan.device, minlength=len(names)).tolist()
    single = [row.score for row in result.rows if row.name == "single" and row.score]
    alone = [score.seconds for score in single if not score.excess_bytes]
    row = stages(task, plan, modules)
    return {
        "format": FORMAT,
        "version": VERSION,
        "graph": graph.name,
        "objective": task.objective,
        "seconds": result.score.seconds,
        "bound_seconds": result.bound,
        "gap": result.gap,
        "excess_bytes": result.score.excess_bytes,
        "single_device_seconds": alone[0] if alone else None,
        "contiguous": row is not None,
        "pins": dict(task.pins),
        "notes": list(notes),
        "stages": None if row is None else [_stage(names, stage) for stage in row],
        "planner_rows": [
            {
                "planner": row.name,
                "thought_seconds": row.seconds,
                "value": row.score.seconds if row.score else None,
                "excess_bytes": row.score.excess_bytes if row.score else None,
                "problem": row.problem,
            }
            for row in result.rows
        ],
        "devices": [
            {
                "name": device.name,
                "kind": device.kind,
                "memory_bytes": int(held),
                "limit_bytes": device.memory_bytes,
                "operators": count,
            }
            for device, held, count in zip(
                task.cluster.devices, result.score.memory_bytes, counts, strict=True
            )
        ],
        "operators": {
            name: names[device]
            for name, device in zip(graph.operators, plan.device.tolist(), strict=True)
        },
        "priority": None
        if plan.priority is None
        else dict(zip(graph.operators, plan.priority.tolist(), strict=True)),
    }


def _stage(names: Sequence[str], stage: Stage) -> dict[str, Any]:
    return {
        "device": names[stage.device],
        "operators": stage.operators,
        "load_seconds": stage.load_seconds,
        "first_operator": stage.first,
        "entry_operators": list(stage.entries),
        "entry_count": stage.entry_count,
        "module": stage.module,
    }


def save_plan(
    path: str | Path,
    task: Task,
    result: Result,
    modules: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Writes a plan, whole or not at all.

    Args:
        path: of the file.
        task: what was placed.
        result: the plan.
        modules: as for `stages`.
        notes: what whoever reads the plan should know of its costs, a line each.

    Raises:
        OSError: the folder is missing, read-only or full; an old file is then untouched.
    """
    document = plan_document(task, result, modules, notes)
    write_atomically(Path(path), [json.dumps(document, indent=1), "\n"])


def load_plan(path: str | Path, task: Task) -> Plan:
    """A plan that was saved, for this task's graph and devices, its pins and groups.

    Raises:
        PlanError: the file is damaged, of another version, does not fit the graph, breaks a pin or
            tears a group apart; the message is one line with the file's name, and the operator's.
        OSError: it cannot be read.
    """
    graph, devices = task.graph, [device.name for device in task.cluster.devices]
    try:
        text = Path(path).read_text(encoding="utf-8")
        document = json.loads(text, object_pairs_hook=_once)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise PlanError("is no plan")
        if document.get("version") != VERSION:
            raise PlanError(f"is of version {document.get('version')!r}, not {VERSION}")
        numbers = {name: number for number, name in enumerate(devices)}
        known = ", ".join(devices[:8]) + (", ..." if len(devices) > 8 else "")
        where = _each(document, "operators", graph)
        for name, device in where.items():
            if not isinstance(device, str) or device not in numbers:
                raise PlanError(f"operator {name!r} is on {_shown(device)}; devices are {known}")
        device = np.array([numbers[where[name]] for name in graph.operators], np.int32)
        _check_constraints(task, device)
        contiguous = document.get("contiguous")
        if contiguous is not None and not isinstance(contiguous, bool):
            raise PlanError(f"'contiguous' is {_shown(contiguous)}, not true, false or null")
        return Plan(device, _priorities(document, graph), contiguous)
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path}: is no plan: {error}") from None


def _check_constraints(task: Task, device: Indices) -> None:
    graph, names = task.graph, [one.name for one in task.cluster.devices]
    if task.allowed is not None:
        bad = np.flatnonzero(~task.allowed[device, np.arange(len(graph))])
        if len(bad):
            name, there = graph.operators[bad[0]], names[device[bad[0]]]
            raise PlanError(f"operator {name!r} is on {there}, which breaks the {said(task.pins)}")
    members = np.flatnonzero(graph.group != NO_GROUP)
    _, first, number = np.unique(graph.group[members], return_index=True, return_inverse=True)
    leaders = members[first[number]]
    torn = np.flatnonzero(device[members] != device[leaders])
    if len(torn):
        one, other = (graph.operators[each[torn[0]]] for each in (leaders, members))
        raise PlanError(f"operators {one!r} and {other!r} must share a device, and do not")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON in which nothing is there twice: the last one would win unseen."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise PlanError(f"{twice!r} is there twice")
    return found


def _each(document: Mapping[str, Any], field: str, graph: Graph) -> dict[str, Any]:
    """An object with a value for each operator and for nothing else."""
    values = document.get(field)
    if not isinstance(values, dict):
        raise PlanError(f"{field!r} is {_shown(values)}, not an object")
    for name in graph.operators:
        if name not in values:
            raise PlanError(f"operator {name!r} is missing in {field!r}")
    if len(values) > len(graph):
        known = set(graph.operators)
        stranger = next(name for name in values if name not in known)
        raise PlanError(f"the graph has no operator {stranger!r}, which is in {field!r}")
    return values


def _priorities(document: Mapping[str, Any], graph: Graph) -> Indices | None:
    if "priority" not in document:
        raise PlanError("'priority' is missing")
    if document["priority"] is None:
        return None
    ranks, limits = _each(document, "priority", graph), np.iinfo(np.int32)
    for name, rank in ranks.items():
        if type(rank) is not int or not limits.min <= rank <= limits.max:
            raise PlanError(f"operator {name!r} has priority {_shown(rank)}, not 32 bits")
    return np.array([ranks[name] for name in graph.operators], np.int32)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
