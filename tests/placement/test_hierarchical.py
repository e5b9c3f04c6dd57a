"""The hierarchical planner: what groups hold, what is imitated, what is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from planner_cases import task_of, tasks

from acumen.placement import loads
from acumen.placement.plan import Deadline, Plan, PlanError, Task
from acumen.placement.planners import hierarchical, hierarchical_search
from acumen.placement.planners.batch_scores import batch_scores
from acumen.placement.planners.coarsening import coarsen, flow_of
from acumen.placement.planners.grouping import Atoms, Groups, fits
from acumen.placement.planners.lists import Lists, mean_copies
from acumen.placement.planners.units import units_of
from acumen.placement.simulator import Simulator


def soon() -> Deadline:
    return Deadline.after(60)


def draws() -> np.random.Generator:
    return np.random.default_rng(0)


def chains(count: int, length: int, devices: int, **others: Any) -> Task:
    """Chains that do not need each other; a copy takes as long as an operator."""
    edges = [
        (chain * length + i, chain * length + i + 1)
        for chain in range(count)
        for i in range(length - 1)
    ]
    limits = others.pop("limits", [None] * devices)
    return task_of(np.ones(count * length), edges, 1, limits, **others)


@given(tasks())
@settings(max_examples=20, deadline=None)
def test_clusters_are_nested_able_and_never_across_devices(task: Task) -> None:
    try:
        units = units_of(task)
    except PlanError:
        return
    device = np.where(np.isfinite(units.seconds[0]), 0, np.isfinite(units.seconds).argmax(axis=0))
    fine, coarse = coarsen(task, units, device, (5, 2), draws())
    for of in (fine, coarse):
        assert sorted(set(of.tolist())) == list(range(int(of.max()) + 1))
        for cluster in range(int(of.max()) + 1):
            members = of == cluster
            assert len(set(device[members].tolist())) == 1
            assert np.isfinite(units.seconds[:, members]).all(axis=1).any()
            assert len(set(coarse[members].tolist())) == 1
    assert coarse.max() <= fine.max() < max(5, len(units))


def test_what_hangs_together_is_merged() -> None:
    task = chains(4, 8, 2)
    units = units_of(task)
    (of,) = coarsen(task, units, np.zeros(32, np.int64), (4,), draws())
    assert of.reshape(4, 8).tolist() == [[chain] * 8 for chain in range(4)]


@given(tasks())
@settings(max_examples=20, deadline=None)
def test_a_tensor_counts_once_for_each_cluster_that_reads_it(task: Task) -> None:
    of = np.arange(len(task.graph)) // 2
    flow = flow_of(task, of)
    tensors, expected = task.graph.tensors, dict[tuple[int, int], float]()
    for t, cost in enumerate(mean_copies(task).tolist()):
        made = int(of[tensors.producer[t]])
        readers = tensors.consumers[tensors.start[t] : tensors.start[t + 1]]
        for reader in set(of[readers].tolist()) - {made}:
            expected[made, reader] = expected.get((made, reader), 0.0) + cost
    found = zip(flow.source.tolist(), flow.target.tolist(), flow.seconds.tolist(), strict=True)
    assert {(a, b): cost for a, b, cost in found} == pytest.approx(expected)


@given(tasks())
@settings(max_examples=20, deadline=None)
def test_what_is_said_to_fit_fits_and_no_group_becomes_unable(task: Task) -> None:
    try:
        units = units_of(task)
    except PlanError:
        return
    atom = np.arange(len(units))
    atoms = Atoms.of_task(task, units, atom, Lists(task, units=units))
    groups = Groups.of_atoms(atoms, atom // 2, len(units) // 2 + 1)
    assert np.isfinite(atoms.features).all()
    assert np.isfinite(groups.features).all()
    able = np.isfinite(atoms.seconds)
    for a, row in enumerate(groups.candidates):
        assert row[0] == a // 2
        for candidate, usable in zip(row.tolist(), groups.usable[a].tolist(), strict=True):
            assert not usable or (able[a] | ~groups.able[candidate]).all() or candidate == row[0]
    rng = draws()
    runs = [[rng.choice(np.flatnonzero(row)) for row in able] for _ in range(4)]
    device = np.array(runs)
    score = Simulator(task).score
    for row, roomy in zip(device, fits(atoms, device), strict=True):
        assert not roomy or score(Plan(row[units.of].astype(np.int32))).excess_bytes == 0


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_a_batch_is_worth_what_its_plans_are(objective: Any) -> None:
    task = chains(3, 4, 2, limits=[9, 9], resident=1)
    task = Task(task.graph, task.cluster, objective)
    simulated = Simulator(task).score

    def score(one: Plan) -> Any:
        return simulated(one) if objective == "latency" else loads.score(task, one)

    rows = draws().integers(0, 2, (7, 12), np.int32)
    expected = [score(Plan(row)) for row in rows]
    roomy = np.array([one.excess_bytes == 0 for one in expected])
    with batch_scores(task, score) as scores:
        for known in (roomy, np.zeros(7, np.bool_)):
            seconds, excess = scores.of(rows, None, known)
            assert seconds.tolist() == [one.seconds for one in expected]
            assert excess.tolist() == [one.excess_bytes for one in expected]
    assert 0 < roomy.sum() < 7


def test_without_pytorch_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise ImportError("pip install 'acumen[torch]'")

    monkeypatch.setattr(hierarchical, "torch", missing)
    with pytest.raises(ImportError, match="acumen"):
        next(hierarchical.plan(chains(1, 2, 2), soon(), 0))


@pytest.mark.parametrize(
    ("pins", "taught"),
    [({"op0": "d1", "op7": "d2", "op1?": "d0"}, True), ({"op[3-9]": "d1"}, False)],
)
def test_pins_hold_in_every_plan(
    pins: dict[str, str], taught: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="it learns with torch")
    monkeypatch.setattr(hierarchical_search, "PATIENCE", 2)
    monkeypatch.setattr(hierarchical_search, "PATIENCE_COLD", 10)
    task = replace(chains(4, 5, 3), pins=pins)
    plans = list(hierarchical.plan(task, soon(), 0, cycles_max=1, taught=taught))
    assert len(plans) > 1
    for plan in plans:
        assert np.isfinite(task.seconds()[plan.device, np.arange(20)]).all()
    if not taught:  # one device is all that is known
        with pytest.raises(PlanError, match="no heuristic has found a plan with the pins"):
            next(hierarchical.plan(replace(task, pins=pins | {"op0": "d0"}), soon(), 0, 1, taught))
