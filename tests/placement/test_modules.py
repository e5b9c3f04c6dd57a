"""Whole modules on devices: what names tell, and that blocks find their places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from planner_cases import task_of, tasks

from acumen.placement.graph import NO_GROUP
from acumen.placement.plan import Deadline, Plan, PlanError, Task
from acumen.placement.planners import modules
from acumen.placement.simulator import Simulator


def named(task: Task, names: list[str]) -> Task:
    return replace(task, graph=replace(task.graph, operators=names))


def soon() -> Deadline:
    return Deadline.after(60)


@settings(max_examples=40, deadline=None)
@given(tasks())
def test_plans_are_valid_and_ever_better(task: Task) -> None:
    names = [
        f"list.{i % 3}.part/op#{i}" if i % 4 else f"backward/op#{i}" for i in range(len(task.graph))
    ]
    task = named(task, names)
    score, last = Simulator(task).score, None
    try:
        for plan in modules.plan(task, soon(), 0):
            graph = task.graph
            assert np.isfinite(task.seconds()[plan.device, np.arange(len(graph))]).all()
            for group in np.unique(graph.group[graph.group != NO_GROUP]):
                assert len(set(plan.device[graph.group == group].tolist())) == 1
            found = score(plan)
            assert found.better_than(last)
            last = found
    except PlanError:
        return
    assert last is not None


def recurrent(layers: int, words: int) -> Task:
    """Cells that read their own last state and the layer below; layers may run side by side."""
    names = [f"cells.{k}/cell#{w}" for w in range(words) for k in range(layers)]
    edges = [(i, i + layers) for i in range(layers * (words - 1))]
    edges += [(i, i + 1) for i in range(layers * words) if i % layers < layers - 1]
    task = task_of(np.ones(layers * words), edges, 1, [None] * layers, bytes_per_second=100.0)
    return named(task, names)


def test_a_layer_gets_a_device() -> None:
    task = recurrent(4, 12)
    best = list(modules.plan(task, soon(), 0))[-1]
    layer = np.arange(48) % 4
    assert [len(set(best.device[layer == k].tolist())) for k in range(4)] == [1] * 4
    assert len(set(best.device.tolist())) == 4
    assert Simulator(task).score(best).seconds < 12 + 4 + 1


def test_modules_that_are_in_no_list_go_where_their_data_are() -> None:
    task = recurrent(2, 6)
    names = [*task.graph.operators[:-1], "head/logits"]
    best = list(modules.plan(named(task, names), soon(), 0))[-1]
    assert best.device[-1] == best.device[-3]  # the last layer's


@pytest.mark.parametrize("name", ["op", "/op", "backward/op"])
def test_names_that_tell_of_no_modules(name: str) -> None:
    task = recurrent(2, 3)
    with pytest.raises(PlanError, match="no modules"):
        next(modules.plan(named(task, [f"{name}#{i}" for i in range(6)]), soon(), 0))


def test_what_a_variable_belongs_to() -> None:
    assert modules._module("variable/encoder.3.inward.weight") == "encoder.3"
    assert modules._module("encoder.3.inward/mm#7") == "encoder.3"
    assert modules._module("attention.query/backward/add#70") == "attention"
    assert modules._module("0.4.1/conv") == "0"
    assert modules._module("head.weight/update/add_") == "head"
    assert modules._module("embed/add") == "embed"


def test_a_plan_does_not_fear_devices_that_run_little() -> None:
    seconds = np.ones((2, 12))
    seconds[1, ::2] = np.inf
    task = task_of(seconds, [(i, i + 1) for i in range(11)], 1, [None, None])
    names = [f"layers.{i // 3}/op#{i}" for i in range(12)]
    plans = list(modules.plan(named(task, names), soon(), 0))
    assert isinstance(plans[-1], Plan)
    assert np.isfinite(Simulator(named(task, names)).score(plans[-1]).seconds)
