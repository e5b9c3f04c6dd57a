"""What is certified about a pipeline's load: nothing false, in time, and all of it where easy."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from acumen import _native
from acumen.placement import Cluster, Device, Graph, portfolio
from acumen.placement.load_bound import STATES_MAX, certified_bound, certified_bounds, relaxed
from acumen.placement.loads import score
from acumen.placement.plan import Deadline, Plan, Task
from acumen.placement.planners import layers, local, metis, milp, single


def pipeline(
    seconds: dict[str, list[float]],
    kinds: list[str],
    edges: list[tuple[int, int]],
    copies: list[float],
    memory: int | None = None,
    size: int = 0,
    resident: int = 0,
) -> Task:
    n = len(next(iter(seconds.values())))
    graph = Graph.from_edges(
        "pipeline",
        [f"op{i}" for i in range(n)],
        seconds,
        [resident] * n,
        edges,
        [size] * len(edges),
        copies,
    )
    devices = [Device(f"d{i}", kind, memory) for i, kind in enumerate(kinds)]
    return Task(graph, Cluster.full_mesh(devices, 0.0, np.inf), "throughput")


def split_of_many(parts: int) -> Task:
    """An operator with many outputs, each read by another operator."""
    copies = [1e-4 * (1 + i / parts) for i in range(parts)]  # so that no two are the same tensor
    return pipeline(
        {"gpu": [1.0] * (parts + 1)}, ["gpu"] * 2, [(0, 1 + i) for i in range(parts)], copies
    )


def test_nothing_false_is_certified_where_a_thousand_tensors_are_open_at_once() -> None:
    pytest.importorskip("highspy")
    task = split_of_many(1000)
    halves = score(task, Plan((np.arange(1001) % 2).astype(np.int32))).seconds
    everything = np.zeros(1001, np.int32)
    one = score(task, Plan(everything)).seconds
    assert halves < 0.51 * one
    pricing = _native.DearestSet(relaxed(task, one).model_of(0), STATES_MAX)
    assert not pricing.small
    assert certified_bound(task, one, [everything], Deadline.after(1.0)) <= halves


def test_an_order_of_a_wide_graph_is_not_looked_for_for_ever() -> None:
    rng, n = np.random.default_rng(0), 20_000
    edges = [(i, n + int(j)) for i in range(n) for j in rng.integers(0, n, 3)]
    task = pipeline({"gpu": [1.0] * (2 * n)}, ["gpu"] * 2, edges, [1e-4] * len(edges))
    items, began = relaxed(task, 1e9), time.process_time()
    assert not _native.DearestSet(items.model_of(0), STATES_MAX).small
    assert time.process_time() - began < 2


def test_small_programs_are_solved_to_the_end() -> None:
    pytest.importorskip("highspy")
    # Each alone where it is quick: but then the copy takes as long as both together.
    task = pipeline({"gpu": [3.0, 1e-9], "cpu": [1e-8, 10.0]}, ["gpu", "cpu"], [(0, 1)], [3.0])
    together = np.zeros(2, np.int32)
    best = score(task, Plan(together)).seconds
    bound = certified_bound(task, best, [together], Deadline.after(5))
    assert 0.999 * best <= bound <= best


def test_what_would_have_to_be_together_and_cannot_be_is_a_proof() -> None:
    pytest.importorskip("highspy")
    # The copy cannot be avoided, and nothing else takes time.
    task = pipeline({"a": [0.0, np.inf], "b": [np.inf, 0.0]}, ["a", "b"], [(0, 1)], [9.0])
    bounds = list(certified_bounds(task, 9.0, [np.array([0, 1], np.int32)], Deadline.after(5)))
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(9.0, rel=1e-5)


def test_a_graph_that_no_device_runs_whole_is_annealed() -> None:
    n = 8
    seconds = {"a": [1.0] * n, "b": [1.0] * n}
    seconds["a"][0] = seconds["b"][1] = np.inf
    task = pipeline(seconds, ["a", "a", "b"], [(i, i + 1) for i in range(n - 1)], [0.1] * (n - 1))
    assert not list(single.plan(task, Deadline.after(1), 0))
    plans = list(local.plan(task, Deadline.after(0.2), 0))
    assert score(task, plans[-1]).seconds < 4
    pytest.importorskip("highspy")
    assert milp.bound(task, Deadline.after(1), 0) >= 8 / 3 * 0.999


def test_a_pipeline_holds_what_stays_and_nothing_else() -> None:
    n = 12
    edges = [(i, i + 1) for i in range(n - 1)]
    task = pipeline({"gpu": [1.0] * n}, ["gpu"] * 3, edges, [0.1] * (n - 1), 10, 1000, 2)
    for planner in (layers, metis):
        if planner is metis:
            pytest.importorskip("pymetis")
        worth = score(task, next(planner.plan(task, Deadline.after(1), 0)))
        assert worth.excess_bytes == 0
        assert worth.seconds < 6


def test_where_nothing_takes_time_there_is_nothing_to_solve() -> None:
    pytest.importorskip("highspy")
    task = pipeline({"gpu": [0.0] * 3}, ["gpu"] * 2, [(0, 1), (1, 2)], [0.0, 0.0])
    plans = list(milp.plan(task, Deadline.after(0.2), 0))
    assert score(task, plans[-1]).seconds == 0


def test_annealing_begins_with_the_best_plan_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    task = split_of_many(60)
    good = Plan((np.arange(61) % 2).astype(np.int32))

    def known(_task: Task, _deadline: Deadline, _seed: int) -> Iterator[Plan]:
        yield good

    monkeypatch.setattr(portfolio, "THROUGHPUT_PLANNERS", {"known": known})
    monkeypatch.setattr(local, "IDLE_ROUNDS", 2)
    rows = {row.name: row for row in portfolio.place(task, 0.5).rows}
    found = rows["local"].score
    assert found is None or found.better_than(score(task, good))
