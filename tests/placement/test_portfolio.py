"""The portfolio: never worse than one device, whatever planners do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from planner_cases import task_of, tasks

from acumen.placement import load_bound, portfolio
from acumen.placement.plan import Deadline, Plan, PlanError, Score, Task
from acumen.placement.planners.single import plan as single
from acumen.placement.portfolio import LATENCY_PLANNERS, best_plan
from acumen.placement.simulator import Simulator


def fork() -> Task:
    """Two chains that do not need each other: one device takes 8 s, two take 4 s."""
    return task_of(np.ones(8), [(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (6, 7)], 1, [None, None])


def raises(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    raise RuntimeError("out of luck")


def nonsense(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    yield Plan(np.full(3, 99, np.int32))


def pressed(task: Task, deadline: Deadline, seed: int) -> Iterator[Plan]:
    raise KeyboardInterrupt


def test_the_best_of_all_planners_is_kept() -> None:
    task, told = fork(), []
    result = best_plan(
        task, 20, 0, score=Simulator(task).score, bound=4.0,
        progress=lambda name, score: told.append((name, score.seconds)),
    )  # fmt: skip
    assert result.score.seconds == 4.0
    assert result.gap == 0.0
    assert told[0] == ("single", 8.0)
    assert [seconds for _, seconds in told] == sorted({s for _, s in told}, reverse=True)
    assert result.rows[-1].score is not None
    assert result.rows[-1].score.seconds == 4.0  # nobody is asked once the bound is reached
    assert Simulator(task).score(result.plan).seconds == 4.0


def test_the_gap_says_what_could_be_left() -> None:
    task = fork()
    result = best_plan(
        task,
        5,
        0,
        score=Simulator(task).score,
        planners={"single": single},
        improvers={},
        bound=4.0,
    )
    assert result.score.seconds == 8.0
    assert result.gap == 0.5


def test_planners_that_raise_are_survived_and_reported() -> None:
    task = fork()
    result = best_plan(
        task, 5, 0, score=Simulator(task).score, improvers={},
        planners={"first": raises, "second": nonsense, "single": single},
    )  # fmt: skip
    assert result.score.seconds == 8.0
    first, second, third = result.rows
    assert (first.name, first.score, first.problem) == ("first", None, "RuntimeError: out of luck")
    assert second.score is None
    assert second.problem is not None
    assert third.problem is None
    assert third.seconds >= 0.0


def test_ctrl_c_keeps_the_best_so_far() -> None:
    task = fork()
    planners = {"single": single, "pressed": pressed, "layers": LATENCY_PLANNERS["layers"]}
    result = best_plan(task, 5, 0, score=Simulator(task).score, planners=planners)
    assert result.interrupted
    assert result.score.seconds == 8.0
    assert [row.name for row in result.rows] == ["single", "pressed"]
    with pytest.raises(KeyboardInterrupt):
        best_plan(task, 5, 0, score=Simulator(task).score, planners={"pressed": pressed})


def test_without_a_plan_the_first_reason_is_given() -> None:
    task = task_of([1.0, 1], [], 0, [5], resident=10)
    with pytest.raises(PlanError, match="needs 10 bytes"):
        best_plan(task, 5, 0, score=Simulator(task).score)
    with pytest.raises(PlanError, match="out of luck"):
        best_plan(task, 5, 0, score=Simulator(task).score, planners={"raises": raises})


def test_time_that_is_up_still_gives_one_device() -> None:
    task = fork()
    result = best_plan(task, 0, 0, score=Simulator(task).score)
    assert result.score.seconds == 8.0
    assert [row.name for row in result.rows] == ["single"]


@given(tasks())
@settings(max_examples=10, deadline=None)
def test_it_is_never_worse_than_one_device_or_any_planner(task: Task) -> None:
    score = Simulator(task).score
    alone: list[Score] = []
    try:
        alone = [score(plan) for plan in single(task, Deadline.after(9), 0)]
        result = best_plan(task, 60, 0, score=score, improvers={})
    except PlanError:
        return
    scores = alone + [row.score for row in result.rows if row.score is not None]
    assert not any(one.better_than(result.score) for one in scores)


def test_ctrl_c_while_the_bound_is_sought_keeps_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: object) -> Iterator[float]:
        yield 3.9999999  # a little more than is said of 4 seconds of work a device
        raise KeyboardInterrupt

    monkeypatch.setattr(portfolio, "certified_bounds", pressed)
    task = Task(fork().graph, fork().cluster, "throughput")
    result = portfolio.place(task, 0.5)
    assert result.interrupted
    assert result.score.seconds < 8.0
    assert result.bound == 3.9999999
    assert result.bound > load_bound.throughput_bound(task)


def test_the_learned_placer_may_take_part() -> None:
    task = fork()
    score = Simulator(task).score
    improvers = {"sequence": portfolio.LEARNED["sequence"], **portfolio.IMPROVERS}
    result = best_plan(task, 1.0, 0, score=score, planners={"single": single}, improvers=improvers)
    assert [row.name for row in result.rows] == ["single", "sequence", "refine", "anneal"]
    assert result.score.seconds < 8.0
