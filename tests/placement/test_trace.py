"""A step as a trace, and plans as files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_cases import task_of
from small_tasks import Asked, asked

from acumen.placement import Cluster, Device, Graph, loads, portfolio
from acumen.placement.plan import Plan, PlanError, Task
from acumen.placement.plan_file import load_plan, save_plan
from acumen.placement.simulator import Simulator
from acumen.placement.trace import memory, save_trace


def fork() -> Task:
    edges = [(0, 1), (0, 2), (1, 3), (2, 3)]
    return task_of([1.0, 3, 3, 1], edges, 2, [None, None], bytes_per_second=4.0)


@settings(max_examples=60, deadline=None)
@given(asked())
def test_memory_is_what_the_simulator_says(one: Asked) -> None:
    step = Simulator(one.task).simulate(one.plan)
    if not np.isfinite(step.seconds):
        return
    timeline = Simulator(one.task).timeline(one.plan)
    changes = memory(one.task, one.plan, timeline)
    kept = np.zeros(len(one.task.cluster), np.int64)
    np.add.at(kept, one.plan.device, one.task.graph.resident_bytes)
    for (times, held), resident, peak in zip(changes, kept, step.peak_bytes, strict=True):
        assert (np.diff(times) >= 0).all()
        assert held[-1] == resident  # all tensors are gone in the end
        assert held.max() <= peak  # what is held for no time at all is in the peak alone


def test_memory_of_a_fork() -> None:
    task = fork()
    plan = Plan(np.array([0, 0, 1, 0], np.int32))
    changes = memory(task, plan, Simulator(task).timeline(plan))
    # Operator 0 ends at 1, its copy at 1.5; operator 2 ends at 4.5, its copy back at 5.
    for (times, held), wanted in zip(changes, [4, 4], strict=True):
        assert held.max() == wanted
        assert times[-1] <= 6.0
    assert [int(peak) for peak in Simulator(task).simulate(plan).peak_bytes] == [4, 4]


def test_a_trace(tmp_path: Path) -> None:
    task = fork()
    plan = Plan(np.array([0, 0, 1, 0], np.int32))
    save_trace(tmp_path / "trace.json", task, plan)
    found = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    spans = {event["name"]: event for event in found if event["ph"] == "X"}
    assert {name: (e["pid"], e["ts"], e["dur"]) for name, e in spans.items()} == {
        "op0": (0, 0.0, 1e6), "op1": (0, 1e6, 3e6), "op2": (1, 1.5e6, 3e6), "op3": (0, 5e6, 1e6),
        "op0 to d1": (0, 1e6, 0.5e6), "op2 to d0": (1, 4.5e6, 0.5e6),
    }  # fmt: skip
    assert {event["args"]["name"] for event in found if event["name"] == "process_name"} == {
        "d0 (k0)", "d1 (k0)",
    }  # fmt: skip
    assert any(event["ph"] == "C" and event["args"]["bytes"] == 4 for event in found)


def test_a_step_that_never_ends_is_no_trace(tmp_path: Path) -> None:
    task = task_of([[1, np.inf], [1, 1]], [(0, 1)], 1, [None, None])
    with pytest.raises(ValueError, match="never run"):
        save_trace(tmp_path / "trace.json", task, Plan(np.array([0, 0], np.int32)))
    assert not list(tmp_path.iterdir())


PRIORITY = {"op0": 0, "op1": 1, "op2": 2, "op3": 3}


def saved(
    tmp_path: Path, device: npt.NDArray[np.int32] | None = None
) -> tuple[Path, Task, portfolio.Result]:
    task = fork()
    plan = Plan(np.array([0, 0, 1, 0], np.int32) if device is None else device)
    scored = Simulator(task).score
    alone = scored(Plan(np.zeros(4, np.int32)))
    rows = (portfolio.Row("single", 0.0, alone),)
    result = portfolio.Result(plan, scored(plan), 5.0, rows)
    save_plan(tmp_path / "plan.json", task, result)
    return tmp_path / "plan.json", task, result


def test_a_plan_comes_back(tmp_path: Path) -> None:
    path, task, result = saved(tmp_path)
    plan = load_plan(path, task)
    assert plan.device.tolist() == result.plan.device.tolist()
    score = Simulator(task).score
    assert score(plan).seconds == score(result.plan).seconds
    document = json.loads(path.read_text())
    assert document["seconds"] == result.score.seconds <= document["single_device_seconds"] == 8.0
    assert document["bound_seconds"] <= document["seconds"]
    assert [device["operators"] for device in document["devices"]] == np.bincount(
        result.plan.device, minlength=2
    ).tolist()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d.update(version=9), "is of version 9, not 1"),
        (lambda d: d.update(format="acumen race"), "is no plan"),
        (lambda d: d["operators"].update(stranger="d0"), "no operator 'stranger'"),
        (lambda d: d["operators"].pop("op1"), "operator 'op1' is missing in 'operators'"),
        (lambda d: d["operators"].update(op1="d7"), "operator 'op1' is on 'd7'; .* d0, d1"),
        (lambda d: d["operators"].update(op1=1), "operator 'op1' is on 1"),
        (lambda d: d["operators"].update(op1=[]), "operator 'op1' is on "),
        (lambda d: d.update(operators=[1]), "'operators' is .1., not an object"),
        (lambda d: d.pop("priority"), "'priority' is missing"),
        (lambda d: d.update(priority={"op0": 1}), "operator 'op1' is missing in 'priority'"),
        (lambda d: d.update(priority=PRIORITY | {"op2": 2.5}), "operator 'op2' has priority 2.5"),
        (lambda d: d.update(priority=PRIORITY | {"op2": True}), "operator 'op2' has priority True"),
        (lambda d: d.update(priority=PRIORITY | {"op2": 2**31}), "'op2' has priority 2147483648"),
        (lambda d: d.update(contiguous="yes"), "'contiguous' is 'yes'"),
    ],
)
def test_plans_that_do_not_fit(tmp_path: Path, change: Any, complaint: str) -> None:
    path, task, _ = saved(tmp_path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(PlanError, match=complaint) as caught:
        load_plan(path, task)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"op1": "d0"', '"op0": "d0"', "'op0' is there twice"),
        ("{", "", "is no plan"),
        ("d0", "\ud800", "is no plan"),
    ],
)
def test_damaged_files_are_no_plans(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path, task, _ = saved(tmp_path, np.zeros(4, np.int32))
    damaged = path.read_text().replace(old, new)
    path.write_bytes(damaged.encode("utf-8", "surrogatepass"))
    with pytest.raises(PlanError, match=complaint):
        load_plan(path, task)
    path.write_text("[" * 100_000)
    with pytest.raises(PlanError, match="is no plan"):
        load_plan(path, task)


@settings(max_examples=30, deadline=None)
@given(asked())
def test_whatever_is_saved_comes_back(one: Asked) -> None:
    task = replace(one.task, objective="throughput")  # any plan is worth something there
    result = portfolio.Result(one.plan, loads.score(task, one.plan), 0.0, ())
    with TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        save_plan(path, task, result)
        plan = load_plan(path, task)
        assert [entry.name for entry in path.parent.iterdir()] == ["plan.json"]
    assert plan.device.tolist() == one.plan.device.tolist()
    before, after = one.plan.priority, plan.priority
    assert (None if before is None else before.tolist()) == (
        None if after is None else after.tolist()
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**30))
def test_a_pipeline_is_never_worse_than_one_device(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 9))
    edges = [(i, int(rng.integers(i + 1, n))) for i in range(n - 1)]
    devices = [Device(f"acc:{k}", "accelerator", 50) for k in range(2)] + [Device("cpu:0", "cpu")]
    graph = Graph.from_edges(
        "drawn",
        [f"op{i}" for i in range(n)],
        {"accelerator": rng.uniform(0, 3, n), "cpu": rng.uniform(5, 9, n)},
        rng.integers(0, 9, n),
        edges,
        np.ones(len(edges)),
        rng.uniform(0, 1, len(edges)),
    )
    task = Task(graph, Cluster.full_mesh(devices, 0.0, np.inf), "throughput")
    result = portfolio.place(task, 0.2, seed)
    alone = graph.seconds["accelerator"].sum()
    assert result.score.excess_bytes == 0
    assert result.bound <= result.score.seconds <= alone
    assert result.score.seconds <= min(
        row.score.seconds for row in result.rows if row.score and not row.score.excess_bytes
    )
