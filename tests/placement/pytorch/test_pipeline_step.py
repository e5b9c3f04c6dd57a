"""Plans as stages, and a step of them: against slow searches and against sums by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acumen.placement import Cluster, Device, Plan, PlanError
from acumen.placement.pytorch import Call, Captured, Operator
from acumen.placement.pytorch.pipeline_cut import _best_starts, fit_cut
from acumen.placement.pytorch.pipeline_step import StageCosts, simulated_seconds, stage_costs

COSTS = [
    StageCosts(1.0, 2.0, 0.25, 0.5, {1: 8}, {}),
    StageCosts(1.0, 2.0, 0.25, 0.5, {}, {0: 8}),
]


def cluster(latency: float = 0.0) -> Cluster:
    devices = [Device(f"cpu:{one}", "here") for one in range(2)]
    return Cluster.full_mesh(devices, latency, 16.0)


@pytest.mark.parametrize(
    ("microbatches", "latency", "seconds"),
    [
        # Forward twice, back twice, an update; two copies of half a second.
        (1, 0.0, 2 * 1 + 2 * 2 + 0.5 + 2 * 0.5),
        (1, 0.125, 2 * 1 + 2 * 2 + 0.5 + 2 * 0.625),
        # The second stage is busy from 1.5 on: 4 forwards, 4 backwards, of which 3 add gradients;
        # then the last gradient is sent, and the first stage does its last backward and update.
        (4, 0.0, 1.5 + 4 * 1 + 4 * 2 + 3 * 0.25 + 0.5 + 2.25 + 0.5),
    ],
)
def test_a_step_in_the_order_of_gpipe(microbatches: int, latency: float, seconds: float) -> None:
    assert simulated_seconds(COSTS, microbatches, cluster(latency), (0, 1)) == seconds
    assert simulated_seconds(COSTS, microbatches, cluster(latency), (1, 0)) == seconds


def test_one_stage_is_its_own_sum() -> None:
    alone = [StageCosts(1.0, 2.0, 0.25, 0.5, {}, {})]
    assert simulated_seconds(alone, 3, cluster(), (1,)) == 3 * 3 + 2 * 0.25 + 0.5


@given(st.data())
def test_the_best_cut_is_the_best_of_all(data: Any) -> None:
    n, s = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 4))
    times = st.lists(st.integers(0, 9), min_size=s, max_size=s)
    wanted = np.array([data.draw(times) for _ in range(n)], np.float64)
    if n < s:
        with pytest.raises(PlanError, match="cannot be cut"):
            _best_starts(wanted)
        return
    starts, kept = _best_starts(wanted)

    def kept_by(cut: Any) -> float:
        ends = [0, *cut, n]
        return float(sum(wanted[ends[k] : ends[k + 1], k].sum() for k in range(s)))

    every = itertools.combinations(range(1, n), s - 1)
    assert kept == kept_by(starts) == max(kept_by(cut) for cut in every)
    assert all(a < b for a, b in itertools.pairwise([0, *starts, n]))


def operator(module: str, phase: Any, number: int, **others: Any) -> Operator:
    fields = dict.fromkeys(("reads", "makes", "replaces", "parameters", "after"), ())
    return Operator(f"{module}/{phase}{number}", module, phase, 0, **(fields | others))


def captured(*operators: Operator, tensors: int = 0) -> Captured:
    call = Call("aten.relu.default", "[[],{}]", 0, 4, 4, "float32")
    return Captured("made", [call], operators, [16] * tensors, [])


def test_a_cut_follows_the_plan_and_says_what_moves() -> None:
    step = captured(*(operator(one, "forward", n) for n, one in enumerate("abbcd")))
    modules = ["a", "b", "b", "", "c", "d"]
    seconds = np.ones(1)
    cut = fit_cut(step, seconds, Plan(np.array([1, 1, 1, 0, 0], np.int32)), modules)
    assert cut.devices == (1, 0)
    assert cut.starts in ((3,), (4,))
    assert cut.moved == 0
    back = fit_cut(step, seconds, Plan(np.array([1, 1, 1, 0, 1], np.int32)), modules)
    assert back.moved == pytest.approx(1 / 5)
    alone = fit_cut(step, seconds, Plan(np.zeros(5, np.int32)), modules)
    assert (alone.devices, alone.starts) == ((0,), ())
    with pytest.raises(PlanError, match="a plan for 3 operators; 5 were"):
        fit_cut(step, seconds, Plan(np.zeros(3, np.int32)), modules)


def test_what_flows_between_stages_is_counted_once() -> None:
    first, second = "split_gm.submod_pp_0.a", "split_gm.submod_pp_1.b"
    step = captured(
        operator(first, "forward", 0, makes=(0,)),
        operator(second, "forward", 0, reads=(0,), makes=(1,)),
        operator(second, "forward", 1, reads=(0, 1), makes=(2,)),
        operator("", "forward", 0, reads=(2,), makes=(3,)),
        operator("", "backward", 0, reads=(3,), makes=(4,)),
        operator(second, "backward", 0, reads=(4, 0), makes=(5,)),
        operator(first, "backward", 0, reads=(5,), makes=(6,)),
        operator(first, "update", 0, reads=(6,)),
        tensors=7,
    )
    assert stage_costs(step, [np.array([1.0]), np.array([2.0])], {}) == [
        StageCosts(1.0, 1.0, 0.0, 1.0, {1: 16}, {}),
        StageCosts(6.0, 4.0, 0.0, 0.0, {}, {0: 16}),
    ]
