"""The race of placers: its cells, what counts as a result, and the values that are published."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from acumen.evaluation import Ask, BrokenError, RaceError, WorkloadError, run
from acumen.evaluation.race import Row
from acumen.evaluation.runner import Failed, LeftOut
from acumen.placement import loads
from acumen.placement.graph import NO_GROUP
from acumen.placement.heuristics import find_expert, find_split
from acumen.placement.measuring import Contest, Entry, contest_of, measure
from acumen.placement.plan import Deadline, Plan, PlanError, by_processor_time
from acumen.placement.problems import GraphFile
from acumen.placement.race import RACE
from acumen.placement.recurrent import Recurrent
from acumen.placement.workloads import graphs_in, named, prepare

DATA = os.environ.get("ACUMEN_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="ACUMEN_DATA names no folder of data")
SMALL = Recurrent(layers=2, words=2)
PROFILE = (
    "".join(
        f"node{k} -- Linear(a, b) -- forward_compute_time={k}.0, backward_compute_time={2 * k}.0, "
        f"activation_size=1000.0, parameter_size=4000.0\n"
        for k in range(1, 5)
    )
    + "\tnode1 -- node2\n\tnode1 -- node3\n\tnode2 -- node4\n\tnode3 -- node4\n"
)
# Tarnawski et al., NeurIPS 2020, tables of the exact dynamic program, and of experts: milliseconds.
SPLITS = {
    "LayerGraphs/bert24_inference": 17.79,
    "LayerGraphs/bert24_training": 41.75,
    "LayerGraphs/resnet50_inference": 33.77,
    "OperatorGraphs/bert_l-3_training": 65.30,
    "OperatorGraphs/bert_l-6_inference": 29.58,
    "OperatorGraphs/bert_l-12_inference": 147.48,
}
EXPERTS = {
    "LayerGraphs/bert24_inference": 20.08,
    "LayerGraphs/bert24_training": 49.40,
    "LayerGraphs/resnet50_inference": 43.92,
}


LEFT_OUT = {
    "latency": {"dp", "milp"},
    "throughput": set() if find_spec("highspy") else {"milp"},
}
if not find_spec("pymetis"):
    LEFT_OUT = {objective: {*names, "metis"} for objective, names in LEFT_OUT.items()}


def study(name: str) -> GraphFile:
    folder = Path(DATA or "") / "placement" / "dnn-partitioning" / "throughput-inputs"
    return GraphFile(folder / f"{name}.json.zst")


@needs_data
@pytest.mark.parametrize("name", SPLITS)
def test_contiguous_splits_are_as_good_as_published(name: str) -> None:
    entry = Entry(study(name), budget_seconds=1.0)
    assert measure(find_split, entry, "throughput", 0).value == pytest.approx(
        SPLITS[name], rel=1e-3
    )


@needs_data
@pytest.mark.parametrize("name", EXPERTS)
def test_experts_are_as_good_as_published(name: str) -> None:
    entry = Entry(study(name), budget_seconds=1.0)
    assert measure(find_expert, entry, "throughput", 0).value == pytest.approx(
        EXPERTS[name], rel=1e-3
    )


def test_a_race_on_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(PROFILE)
    ask = Ask(files=(path,), quick=True, seed=3, only=("heft", "metf"))
    events = list(run(RACE, ask, jobs=1))
    assert not [event for event in events if isinstance(event, Failed | LeftOut)]
    rows = {event.contender: event for event in events if isinstance(event, Row)}
    assert set(rows) == {"single", "heft", "metf", "bound"}
    assert {(row.workload, row.setting) for row in rows.values()} == {("mine", "latency")}
    assert rows["bound"].kind == "bound"
    # nodes 1, 3 and 4 after each other, both ways; and node 2 meanwhile, with time for copies
    assert rows["bound"].value == pytest.approx(24.0)
    assert rows["heft"].value == pytest.approx(24.0)
    assert rows["single"].value == pytest.approx(30.0)
    assert all(row.seconds >= 0 for row in rows.values())


def test_every_contender_has_a_row_or_a_reason() -> None:
    ask = Ask()
    bound = RACE.bound(ask)
    assert bound is not None
    entry = Entry(SMALL, budget_seconds=0.02)
    learned = {one.name for one in RACE.contenders(ask) if one.kind == "learned"}
    assert "sequence" in learned
    names = []
    for objective in ("latency", "throughput"):
        least = bound.measure(entry, objective, 1).value
        for contender in RACE.contenders(ask):
            # its network has a test of its own
            if contender.name == "hierarchical":
                continue
            names.append(contender.name)
            if contender.name in LEFT_OUT[objective]:
                with pytest.raises(BrokenError, match=r"of pipelines only|install"):
                    contender.measure(entry, objective, 1)
            else:
                assert math.inf > contender.measure(entry, objective, 1).value >= least
    assert len(names) == 2 * len(set(names)) == 24


def finds(plans: list[Plan], contest: Contest, deadline: Deadline, seed: int) -> Iterator[Plan]:
    yield from plans


def raises(contest: Contest, deadline: Deadline, seed: int) -> Iterator[Plan]:
    raise PlanError("no luck")


def test_only_plans_that_fit_are_results() -> None:
    entry, task = Entry(SMALL, 1.0), contest_of(SMALL, "throughput").task
    together, apart = (Plan(np.full(len(task.graph), device, np.int32)) for device in (0, 4))
    worth = {plan.device[0]: loads.score(task, plan).seconds for plan in (together, apart)}
    found = functools.partial(finds, [apart, together, apart])
    assert measure(found, entry, "throughput", 0).value == 1e3 * min(worth.values())
    torn = np.arange(len(task.graph), dtype=np.int32) % 4
    with pytest.raises(BrokenError, match="no plan"):
        measure(functools.partial(finds, [Plan(torn)]), entry, "throughput", 0)
    with pytest.raises(BrokenError, match="no plan"):
        measure(functools.partial(finds, []), entry, "throughput", 0)
    with pytest.raises(BrokenError, match="no luck"):
        measure(raises, entry, "throughput", 0)


def test_time_in_which_others_run_does_not_count() -> None:
    with by_processor_time():
        mine = Deadline.after(0.02)
        time.sleep(0.04)
        assert mine
        while mine:
            pass
    later = Deadline.after(0.01)
    time.sleep(0.02)
    assert not later


@needs_data
def test_what_needs_too_much_memory_is_no_result() -> None:
    entry = Entry(study("LayerGraphs/resnet50_inference"), 1.0)
    graph = entry.source.open().graph
    everything = Plan(np.zeros(len(graph), np.int32))
    with pytest.raises(BrokenError, match="bytes more than there are"):
        measure(functools.partial(finds, [everything]), entry, "throughput", 0)


def test_which_files_are_graphs(tmp_path: Path) -> None:
    for name in (
        "a/gnmt.txt", "b/gnmt.json.zst", "b/x/gnmt.txt", "c/x/gnmt.txt", "notes.csv", "README.txt",
        "human-experts/gnmt_expert.json.zst", "latency-inputs/deep/gnmt.json",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    found = graphs_in(tmp_path)
    assert {name: str(path.relative_to(tmp_path)) for name, path in named(found).items()} == {
        "gnmt": "a/gnmt.txt", "b/gnmt": "b/gnmt.json.zst", "x/gnmt": "b/x/gnmt.txt",
        "x/gnmt-2": "c/x/gnmt.txt",
    }  # fmt: skip
    (tmp_path / "empty").mkdir()
    with pytest.raises(RaceError, match="no graphs in"):
        RACE.workloads(Ask(data=tmp_path / "empty"))


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(PROFILE.replace("node3\n", "node9\n"))
    with pytest.raises(WorkloadError, match="there is no node 'node9'"):
        prepare(Entry(GraphFile(path), 1.0), tmp_path)


def test_the_recurrent_network() -> None:
    layers, words = 3, 5
    graph = Recurrent(layers, words).open().graph
    weights = 2 * layers + 3
    forward = weights + 2 * layers * words + 2 * words + 2
    assert len(graph) == 2 * forward
    assert np.count_nonzero(graph.backward) == forward
    # an update lies with its weight, and nothing else is bound to anything
    assert np.bincount(graph.group[graph.group != NO_GROUP]).max() == 2
    assert np.count_nonzero(graph.group != NO_GROUP) == 2 * weights
    # the logits: two operations for each weight and sentence, forward; twice as many backward
    logits = graph.operators.index("head/0")
    flops = 2 * 64 * 1024 * 32_000
    assert graph.seconds["k80"][logits] == pytest.approx(10e-6 + flops / 4.37e12)
    assert graph.seconds["k80"][forward + logits] == pytest.approx(10e-6 + 2 * flops / 4.37e12)
