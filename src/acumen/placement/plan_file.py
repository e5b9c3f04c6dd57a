"""A plan as a file: JSON with where every operator runs, what that is worth, and how far from best.

{"format": "acumen plan", "version": 1, "graph", "objective", "seconds", "bound_seconds", "gap",
"single_device_seconds" (null: none holds it), "contiguous",
"planner_rows": [{"planner", "thought_seconds", "value", "excess_bytes", "problem"}],
"devices": [{"name", "kind", "memory_bytes", "limit_bytes", "operators"}],
"operators": {name: device}, "priority": {name: number} or null}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from acumen.evaluation import write_atomically
from acumen.placement.graph import Graph
from acumen.placement.plan import Plan, PlanError, Task
from acumen.placement.portfolio import Result

FORMAT, VERSION = "acumen plan", 1


def plan_document(task: Task, result: Result) -> dict[str, Any]:
    """What the file of a plan holds; see the module."""
    graph, plan = task.graph, result.plan
    names = [device.name for device in task.cluster.devices]
    counts = np.bincount(plan.device, minlength=len(names)).tolist()
    single = [row.score for row in result.rows if row.name == "single" and row.score]
    alone = [score.seconds for score in single if not score.excess_bytes]
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
        "contiguous": plan.contiguous,
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


def save_plan(path: str | Path, task: Task, result: Result) -> None:
    """Writes a plan, whole or not at all.

    Raises:
        OSError: the folder is missing, read-only or full; an old file is then untouched.
    """
    write_atomically(Path(path), [json.dumps(plan_document(task, result), indent=1), "\n"])


def load_plan(path: str | Path, graph: Graph, devices: list[str]) -> Plan:
    """A plan that was saved, for this graph and devices of these names.

    Raises:
        PlanError: the file is damaged, of another version, or does not fit the graph; the message
            is one line with the file's name.
        OSError: it cannot be read.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise PlanError(f"{path}: is no plan: {error}") from None
    try:
        if document["format"] != FORMAT or document["version"] != VERSION:
            raise PlanError(f"{path}: is no plan of version {VERSION}")
        where, priority = document["operators"], document["priority"]
        numbers = {name: number for number, name in enumerate(devices)}
        strangers = sorted(set(where) - set(graph.operators))
        if strangers:
            raise PlanError(f"{path}: the graph has no operator {strangers[0]!r}")
        device = np.array([numbers[where[name]] for name in graph.operators], np.int32)
        ranks = None
        if priority is not None:
            ranks = np.array([int(priority[name]) for name in graph.operators], np.int32)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, PlanError):
            raise
        raise PlanError(f"{path}: does not fit this graph and these devices: {error}") from None
    return Plan(device, ranks, document.get("contiguous"))
