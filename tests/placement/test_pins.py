"""Pins and modules that stay whole, against all placements of small graphs one by one."""

from __future__ import annotations

import fnmatch
import itertools
import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_cases import task_of, tasks

from acumen.placement import loads, portfolio
from acumen.placement.bounds import lower_bound
from acumen.placement.cluster import Device
from acumen.placement.fitting import fitting
from acumen.placement.graph import NO_GROUP, Graph
from acumen.placement.load_bound import certified_bound, throughput_bound
from acumen.placement.no_split import keep_whole
from acumen.placement.pipeline import place_pipeline
from acumen.placement.plan import Deadline, Plan, PlanError, Planner, Score, Task
from acumen.placement.plan_file import load_plan, plan_document, save_plan
from acumen.placement.planners import local, milp, refine, sequence, single
from acumen.placement.portfolio import LATENCY_PLANNERS, THROUGHPUT_PLANNERS, best_plan
from acumen.placement.simulator import Simulator


@dataclass(frozen=True)
class Pinned:
    """A task without pins, and pins that may or may not be heeded there."""

    task: Task
    pins: dict[str, str]


@st.composite
def pinned(draw: Any, operators_max: int = 5) -> Pinned:
    task = draw(tasks(operators_max))
    n, devices = len(task.graph), task.cluster.devices
    patterns = [f"op{i}" for i in range(n)] + ["op[01]", "*", "op*"]
    names = [*(one.name for one in devices), *{one.kind for one in devices}]
    pins = st.dictionaries(
        st.sampled_from(patterns), st.sampled_from(names), min_size=1, max_size=3
    )
    return Pinned(task, draw(pins))


def heeded(one: Pinned, device: tuple[int, ...]) -> bool:
    """Whether a placement runs, keeps groups together, and has all that is pinned where it is."""
    graph, devices = one.task.graph, one.task.cluster.devices
    for number, name in enumerate(graph.operators):
        there: Device = devices[device[number]]
        if not np.isfinite(graph.seconds[there.kind][number]):
            return False
        for pattern, wanted in one.pins.items():
            if fnmatch.fnmatchcase(name, pattern) and wanted not in (there.name, there.kind):
                return False
        group = graph.group[number]
        mates = np.flatnonzero(graph.group == group) if group != NO_GROUP else [number]
        if any(device[mate] != device[number] for mate in mates):
            return False
    return True


def every(one: Pinned) -> Iterator[tuple[int, ...]]:
    return itertools.product(range(len(one.task.cluster)), repeat=len(one.task.graph))


def scorer(task: Task) -> Any:
    return Simulator(task).score if task.objective == "latency" else partial(loads.score, task)


def with_pins(one: Pinned, objective: str) -> Task | None:
    """The task; None: it is refused, and nothing heeds the pins."""
    try:
        return replace(one.task, objective=objective, pins=one.pins)
    except PlanError as error:
        refusal = str(error)
    assert "pin" in refusal
    assert "\n" not in refusal
    assert not any(heeded(one, device) for device in every(one))
    return None


@settings(max_examples=60, deadline=None)
@given(pinned(), st.sampled_from(["latency", "throughput"]))
def test_what_heeds_no_pin_is_infinite_and_the_best_of_the_rest_is_above_the_bound(
    one: Pinned, objective: str
) -> None:
    task = with_pins(one, objective)
    if task is None:
        return
    score, free = scorer(task), scorer(replace(one.task, objective=objective))
    best: Score | None = None
    for device in every(one):
        plan = Plan(np.array(device, np.int32))
        if heeded(one, device):
            mine = score(plan)
            assert mine.seconds == free(plan).seconds
            best = mine if best is None or mine.seconds < best.seconds else best
        else:
            assert score(plan).seconds == np.inf
    if best is None:  # without the pins there is none either
        with pytest.raises(PlanError):
            portfolio.place(task, 0.1)
        return
    assert lower_bound(task) <= best.seconds
    if objective == "throughput":
        assert throughput_bound(task) <= best.seconds
        assert certified_bound(task, best.seconds, [], Deadline.after(0.1)) <= best.seconds


PLANNERS: dict[str, Planner] = {
    **LATENCY_PLANNERS,
    **THROUGHPUT_PLANNERS,
    "local": local.plan,
    "milp": milp.plan,
    "sequence": partial(sequence.plan, episodes_max=3),
}


@settings(max_examples=25, deadline=None)
@given(pinned(), st.sampled_from(["latency", "throughput"]))
def test_every_planner_heeds_pins(one: Pinned, objective: str) -> None:
    task = with_pins(one, objective)
    if task is None:
        return
    for name, planner in PLANNERS.items():
        plans = []
        try:
            for plan in planner(task, Deadline.after(0.05), 0):
                plans.append(plan)
                assert heeded(one, tuple(plan.device.tolist())), name
            if plans and objective == "latency":
                improved = refine.plan(task, Deadline.after(5), 0, plans[0], scorer(task), 20)
                assert all(heeded(one, tuple(plan.device.tolist())) for plan in improved)
        except PlanError:  # memory does not suffice
            continue


@settings(max_examples=12, deadline=None)
@given(pinned(), st.sampled_from(["latency", "throughput"]))
def test_the_best_of_all_planners_is_no_worse_than_the_best_device(
    one: Pinned, objective: str
) -> None:
    task = with_pins(one, objective)
    if task is None:
        return
    alone = [
        scorer(task)(Plan(np.array(device, np.int32)))
        for device in every(one)
        if len(set(device)) == 1 and heeded(one, device)
    ]
    try:
        result = portfolio.place(task, 0.1)
    except PlanError:
        assert all(score.excess_bytes for score in alone)
        return
    assert heeded(one, tuple(result.plan.device.tolist()))
    assert result.bound <= result.score.seconds
    for score in alone:
        assert not score.better_than(result.score)
    if not alone:
        assert [row.score for row in result.rows if row.name == "single"] == [None]


def chain(**more: Any) -> Task:
    """Layers a.0, a.1, b and an operator without a module on two devices of kind k0, one of k1."""
    task = task_of(np.ones((2, 4)), [(0, 1), (1, 2), (2, 3)], 1, [None] * 3, resident=10)
    names = ["a.0/mm", "a.1/backward/mm", "b/mm", "loss"]
    graph = replace(task.graph, operators=names, **more)
    devices = [Device("gpu:0", "k0"), Device("gpu:1", "k0"), Device("cpu:0", "k1")]
    return replace(task, graph=graph, cluster=replace(task.cluster, devices=devices))


@pytest.mark.parametrize(
    ("pins", "where"),
    [
        ({"a": "cpu:0"}, [(2,), (2,), (0, 1, 2), (0, 1, 2)]),  # a module and all that is in it
        ({"a.1": "gpu"}, [(0, 1, 2), (0, 1), (0, 1, 2), (0, 1, 2)]),  # a family
        ({"*mm": "k1"}, [(2,), (2,), (2,), (0, 1, 2)]),  # operators, a kind
        ({"loss": "gpu:k0"}, [(0, 1, 2)] * 3 + [(0, 1)]),
        ({"*": "gpu", "a.?": "gpu:1"}, [(1,), (1,), (0, 1), (0, 1)]),  # all that mean one hold
    ],
)
def test_patterns_and_devices(pins: dict[str, str], where: list[tuple[int, ...]]) -> None:
    task = replace(chain(), pins=pins)
    able = np.isfinite(task.seconds())
    assert [tuple(np.flatnonzero(able[:, one]).tolist()) for one in range(4)] == where
    assert (pickle.loads(pickle.dumps(task)).seconds() == task.seconds()).all()


GROUPED = np.array([0, 0, -1, -1], np.int32)
INF = np.inf
NOT_BOTH = {"k0": np.array([1.0, 1, INF, 1]), "k1": np.array([1.0, 1, 1, 1])}
NOT_ON_K1 = {"k0": np.ones(4), "k1": np.array([1.0, np.inf, 1.0, 1.0])}


@pytest.mark.parametrize(
    ("more", "pins", "complaint"),
    [
        (
            {},
            {"a": "gpu:7"},
            r"pin 'a=gpu:7': there is no device 'gpu:7'; devices are gpu:0 \(k0\)",
        ),
        ({}, {"c*": "cpu"}, r"pin 'c\*=cpu': no operator or module is called that"),
        ({"seconds": NOT_ON_K1}, {"a.1": "cpu"}, r"'a.1=cpu': operator 'a.1/.*' cannot run there"),
        ({}, {"a": "cpu", "a.0": "gpu"}, r"'a.0/mm' is meant by pins 'a=cpu', 'a.0=gpu', which "),
        (
            {"group": GROUPED},
            {"a.0": "gpu:0", "a.1": "gpu:1"},
            r"'a.0/mm' and 'a.1/backward/mm' must share a device, and have none in common with "
            r"pins 'a.0=gpu:0', 'a.1=gpu:1'",
        ),
        (
            {"group": GROUPED, "seconds": NOT_ON_K1},
            {"a.0": "cpu"},
            r"'a.0/mm' and 'a.1/.*' must share a device, and have none in .* with pin 'a.0=cpu'",
        ),
        (
            {"group": np.array([0, 0, 0, -1], np.int32), "seconds": NOT_ON_K1},
            {"b": "gpu:0", "a.0": "gpu:0", "[ab]*": "gpu:1"},
            r"'a.0/mm' is meant by pins 'a.0=gpu:0', '\[ab\]\*=gpu:1', which share no device",
        ),
        (
            {"group": np.array([0, 0, 0, -1], np.int32), "seconds": NOT_BOTH},
            {"loss": "gpu", "a.0": "gpu"},
            r"'a.0/mm' and 'b/mm' must share a device, and have none in .* with pin 'a.0=gpu'",
        ),
    ],
)
def test_what_cannot_be_heeded_is_said(more: Any, pins: dict[str, str], complaint: str) -> None:
    with pytest.raises(PlanError, match=complaint):
        replace(chain(**more), pins=pins)


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_one_device_is_not_enough_where_pins_name_two(objective: Any) -> None:
    task = replace(chain(), objective=objective, pins={"a": "gpu:1", "loss": "cpu"})
    assert list(single.plan(task, Deadline.after(1), 0)) == []
    for result in (portfolio.place(task, 0.2), place_pipeline(task, 0.2)):
        assert result.plan.device.tolist()[:2] == [1, 1]
        assert result.plan.device.tolist()[3] == 2
        row = result.rows[0]
        assert (row.name, row.score) == ("single", None)
        assert row.problem == "no plan found with the pins 'a=gpu:1', 'loss=cpu'"
        assert plan_document(task, result)["single_device_seconds"] is None
        assert plan_document(task, result)["pins"] == {"a": "gpu:1", "loss": "cpu"}


def test_planners_that_break_a_pin_are_left_out() -> None:
    task = replace(chain(), pins={"a": "gpu:1"})

    def stubborn(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
        yield Plan(np.zeros(4, np.int32))

    planners = {"stubborn": stubborn, "single": single.plan}
    result = best_plan(task, 1.0, 0, score=Simulator(task).score, planners=planners, improvers={})
    assert result.plan.device.tolist() == [1] * 4
    assert result.rows[0].score is None
    assert result.rows[0].problem == "its plan cannot run with the pin 'a=gpu:1'"
    with pytest.raises(PlanError, match="its plan cannot run with the pin 'a=gpu:1'"):
        best_plan(
            task, 1.0, 0, score=Simulator(task).score, planners={"stubborn": stubborn}, improvers={}
        )


def test_plans_that_break_pins_or_groups_are_not_loaded(tmp_path: Path) -> None:
    free, path = chain(), tmp_path / "plan.json"
    plan = Plan(np.array([0, 1, 1, 1], np.int32))
    save_plan(path, free, portfolio.Result(plan, Simulator(free).score(plan), 0.0, ()))
    assert load_plan(path, free).device.tolist() == plan.device.tolist()
    load_plan(path, replace(free, pins={"b": "gpu:1"}))
    with pytest.raises(
        PlanError, match=r"plan.json: operator 'a.1/backward/mm' is on gpu:1, which"
    ):
        load_plan(path, replace(free, pins={"a": "gpu:0"}))
    whole = replace(free, graph=keep_whole(free.graph, ["a"]))
    with pytest.raises(PlanError, match=r"'a.0/mm' and 'a.1/.*' must share a device"):
        load_plan(path, whole)


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_where_nothing_fits_pins_are_named(objective: Any) -> None:
    small = replace(chain(), objective=objective)
    limited = [replace(one, memory_bytes=25) for one in small.cluster.devices[:2]]
    devices = [*limited, Device("cpu:0", "k1", 1000)]
    task = replace(small, cluster=replace(small.cluster, devices=devices))
    assert portfolio.place(task, 0.2).score.excess_bytes == 0
    task = replace(task, pins={"[ab]*": "gpu:1"})  # 30 bytes on a device of 25
    fit = fitting(task, Deadline.after(0.2))
    assert fit is not None
    assert fit.least_bytes == 30
    assert fit.least_count is None  # others like it do not help
    said = fit.sentence(task.cluster)
    assert said.startswith(
        "no plan fits on 2 devices like gpu:0 of 25 bytes each with the pin '[ab"
    )
    assert said.endswith("more devices do not help, for pins keep 30 bytes on one of them")
    host = [Device("gpu:0", "k0", 1000), Device("gpu:1", "k0", 1000), Device("cpu:0", "k1", 15)]
    task = replace(task, cluster=replace(task.cluster, devices=host), pins={"[ab]*": "cpu"})
    with pytest.raises(PlanError, match=r"cpu:0 holds 15 bytes, .* keeps 30 with the pin '.ab"):
        fitting(task, Deadline.after(0.2))


def test_modules_stay_whole_with_the_groups_that_they_share() -> None:
    names = ["x.0.a/mm", "x.0.b/mm", "x.1.a/mm", "x.1.a/backward/mm", "x.1.a.weight/update/add_"]
    names += ["variable/x.1.b.weight", "y/mm", "loss"]
    group = np.array([-1, -1, 5, -1, -1, -1, 5, -1], np.int32)
    graph = Graph.from_edges("g", names, {"cpu": [1.0] * 8}, [0] * 8, [], [], group=group)
    assert keep_whole(graph, []).group.tolist() == [-1, -1, 0, -1, -1, -1, 0, -1]
    # y is with x.1 because of its group; the outermost module that is meant is the one.
    assert keep_whole(graph, ["x.?"]).group.tolist() == [0, 0, 1, 1, 1, 1, 1, -1]
    assert keep_whole(graph, ["x*"]).group.tolist() == [0] * 7 + [-1]
    assert keep_whole(graph, ["x.0", "y"]).group.tolist() == [0, 0, 1, -1, -1, -1, 1, -1]
    with pytest.raises(PlanError, match="no module is called 'loss'"):
        keep_whole(graph, ["x.0", "loss"])


@settings(max_examples=30, deadline=None)
@given(tasks(6), st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_what_is_kept_whole_is_whole_in_every_plan(task: Task, module: list[int]) -> None:
    graph, before = task.graph, task.graph.group
    names = [f"m.{module[i]}/op{i}" for i in range(len(graph))]
    there = [f"m.{one}" for one in (0, 2) if one in module[: len(graph)]]
    kept = keep_whole(replace(graph, operators=names), there)
    for i, j in itertools.combinations(range(len(graph)), 2):
        together = before[i] == before[j] != NO_GROUP or module[i] == module[j] != 1
        assert not together or kept.group[i] == kept.group[j] != NO_GROUP
    # And no more than that: as many sets as there are when pairs are joined one by one.
    label = list(range(len(graph)))
    for i, j in itertools.combinations(range(len(graph)), 2):
        if before[i] == before[j] != NO_GROUP or module[i] == module[j] != 1:
            label = [label[i] if one == label[j] else one for one in label]
    assert len(set(label)) == len({*kept.group.tolist()} - {NO_GROUP}) + int(
        (kept.group == NO_GROUP).sum()
    )


def test_the_program_is_for_small_graphs_and_leaves_time_to_local_search() -> None:
    assert list(portfolio.THROUGHPUT_IMPROVERS) == ["milp", "local"]
    edges = [(i, i + 1) for i in range(699)]
    task = task_of(np.ones(700), edges, 1, [None] * 4)
    large = replace(task, objective="throughput")
    start = Plan(np.zeros(700, np.int32))
    assert list(milp.improve(large, Deadline.after(30.0), 0, start)) == []  # at once: 5,600 or more


def test_documents_hold_what_is_not_measured(tmp_path: Path) -> None:
    task = chain()
    plan = Plan(np.zeros(4, np.int32))
    result = portfolio.Result(plan, Simulator(task).score(plan), 0.0, ())
    save_plan(tmp_path / "plan.json", task, result, None, ["no k0 is here"])
    assert json.loads((tmp_path / "plan.json").read_text())["notes"] == ["no k0 is here"]
