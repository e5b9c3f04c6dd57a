from __future__ import annotations

import dataclasses
import multiprocessing
import time
from typing import Any

import pytest
import toy_race
from toy_race import ToyRace, trouble

from acumen.evaluation import (
    Ask,
    Contender,
    Measurement,
    RaceError,
    Row,
    run,
    runner,
    select_contenders,
    workers,
)
from acumen.evaluation.turns import take_turns
from acumen.evaluation.workers import Task, Workers


def events(race: ToyRace, ask: Ask | None = None, jobs: int = 2) -> list[runner.Event]:
    return list(run(race, ask or Ask(), jobs))


def of(kind: type, happened: list[runner.Event]) -> list[Any]:
    return [event for event in happened if isinstance(event, kind)]


def test_every_contender_runs_in_every_cell() -> None:
    happened = events(ToyRace(("alpha", "beta")))
    rows = of(Row, happened)
    assert {(r.workload, r.setting, r.contender) for r in rows} == {
        (workload, setting, name)
        for workload in ("alpha", "beta")
        for setting in (1.0, 2.0)
        for name in ("learner", "today", "other", "oracle")
    }
    assert len(rows) == 16
    assert not of(runner.Failed, happened)
    last = of(runner.Progress, happened)[-1]
    assert last.done == pytest.approx(last.total)


def test_random_contenders_get_an_interval_and_the_others_none() -> None:
    rows = {(r.setting, r.contender): r for r in of(Row, events(ToyRace()))}
    learned, fixed = rows[1.0, "learner"], rows[1.0, "today"]
    # Seeds 0, 1, 2 give 0.50, 0.51, 0.52; the standard error is 0.01 / sqrt(3), t is 4.303.
    assert learned.value == pytest.approx(0.51)
    assert learned.high - learned.value == pytest.approx(4.303 * 0.01 / 3**0.5, rel=1e-3)
    assert fixed.low == fixed.value == fixed.high == 1.0
    # The timed run is the first one, with the seed that was asked for.
    assert learned.throughput == pytest.approx(1000 / 0.001)
    assert learned.seconds == pytest.approx(0.001 + 0.002 + 0.003)


def test_rows_bear_medians_where_the_metric_says_so() -> None:
    metric = dataclasses.replace(toy_race.METRIC, medians=True)
    rows = {
        (r.setting, r.contender): r for r in of(Row, events(ToyRace(metric=metric), Ask(seed=1)))
    }
    learned = rows[1.0, "learner"]
    # Seeds 1, 2, 3 give 0.51, 0.52, 0.50; of three runs no interval is 95 %: it is all of them.
    assert [learned.low, learned.value, learned.high] == pytest.approx([0.50, 0.51, 0.52])


def test_who_sweeps_runs_once_for_all_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_here(task: Task) -> workers.Outcome:
        return workers.attempt(task.call, *task.arguments)

    def ran(self: Workers, tasks: list[Task], width: int | None = None) -> Any:
        labels.extend(task.label for task in tasks)
        return [(task, in_here(task)) for task in tasks]

    labels: list[str] = []
    monkeypatch.setattr(Workers, "run", ran)
    extra = [
        dataclasses.replace(trouble("sweeps", toy_race.measure_raises), repeats=2, sweep=sweep)
        for sweep in (toy_race.sweep, toy_race.sweep_raises)
    ]
    extra[1] = dataclasses.replace(extra[1], name="stuck")
    happened = events(ToyRace(extra=tuple(extra)), Ask(seed=5))
    assert labels.count("sweeps on alpha at 1, 2") == 2  # seeds
    found = [(r.setting, r.value) for r in of(Row, happened) if r.contender == "sweeps"]
    assert found == [(1.0, 0.7), (2.0, 0.35)]
    failed = of(runner.Failed, happened)
    assert [(event.contender, event.setting) for event in failed] == [("stuck", 1), ("stuck", 2)]


def test_the_seed_reaches_the_contenders() -> None:
    rows = {(r.setting, r.contender): r for r in of(Row, events(ToyRace(), Ask(seed=10)))}
    assert rows[1.0, "learner"].throughput == pytest.approx(1000 / 0.011)


def test_a_workload_that_fails_leaves_the_others_unharmed() -> None:
    happened = events(ToyRace(("malformed", "alpha", "crash", "small")))
    failed = {event.workload: event.message for event in of(runner.Failed, happened)}
    assert failed == {
        "malformed": "ends in the middle",
        "crash": "its process died (exit code 7)",
    }
    assert {row.workload for row in of(Row, happened)} == {"alpha"}
    assert {event.workload for event in of(runner.Ready, happened)} == {"alpha", "small"}


def test_a_contender_that_fails_costs_its_cells_only() -> None:
    race = ToyRace(
        extra=(
            trouble("broken", toy_race.measure_broken),
            trouble("raises", toy_race.measure_raises),
            trouble("dies", toy_race.measure_dies),
        )
    )
    happened = events(race)
    left_out = of(runner.LeftOut, happened)
    assert [(e.contender, e.setting, e.reason) for e in left_out] == [
        ("broken", 1.0, "cannot be this small")
    ]
    messages = {(e.contender, e.setting): e.message for e in of(runner.Failed, happened)}
    assert messages["raises", 1.0] == "RuntimeError: no luck"
    assert messages["dies", 2.0].startswith("its process died (SIGABRT)")
    names = [row.contender for row in of(Row, happened)]
    assert sorted(names) == sorted(2 * ["learner", "today", "other", "oracle"] + ["broken"])


def test_closing_kills_work_in_progress_at_once() -> None:
    stream = run(ToyRace(extra=(trouble("sleeps", toy_race.measure_sleeps),)), Ask(), 2)
    rows = 0
    for event in stream:
        rows += isinstance(event, Row)
        if rows == 8:  # Everything but the sleeper.
            break
    start = time.monotonic()
    stream.close()
    assert time.monotonic() - start < 5
    assert not multiprocessing.active_children()


def test_contenders_are_chosen_by_name_with_default_and_bound_beside_them() -> None:
    def names(*only: str) -> list[str]:
        return [c.name for c in select_contenders(ToyRace(), Ask(only=only))]

    assert names() == ["learner", "today", "other", "oracle"]
    assert names("other") == ["today", "other", "oracle"]
    with pytest.raises(RaceError, match=r"'othr'.*Did you mean other\?"):
        names("othr")


def test_times_are_medians_of_turns_in_one_process() -> None:
    metric = dataclasses.replace(toy_race.METRIC, timed=True)
    extra = (
        trouble("broken", toy_race.measure_broken),
        trouble("raises", toy_race.measure_raises),
    )
    happened = events(ToyRace(("alpha", "beta"), extra, metric=metric))
    rows = {(r.workload, r.setting, r.contender): r for r in of(Row, happened)}
    # Seeds 0, 1, 2 give 0.50, 0.51, 0.52.
    learned = rows["alpha", 1.0, "learner"]
    assert (learned.value, learned.low, learned.high) == pytest.approx((0.51, 0.50, 0.52))
    assert learned.throughput == pytest.approx(1000 / 0.002)
    assert {row.contender for row in rows.values()} == {
        "learner", "today", "other", "oracle", "broken",
    }  # fmt: skip
    assert ("alpha", 1.0, "broken") not in rows
    assert ("alpha", 2.0, "broken") in rows
    assert len(of(runner.LeftOut, happened)) == 2
    assert {e.message for e in of(runner.Failed, happened)} == {"RuntimeError: no luck"}
    assert len(of(runner.Failed, happened)) == 4
    last = of(runner.Progress, happened)[-1]
    assert last.done == pytest.approx(last.total)


def test_who_is_hopeless_gets_no_more_turns() -> None:
    def taking(name: str, seconds: float, **more: float) -> Contender:
        def measure(payload: object, setting: object, seed: int) -> Measurement:
            return Measurement(seconds, 1, seconds)

        return Contender(name, "heuristic", measure, repeats=7, patience=3.0, **more)

    found = take_turns(
        [taking("fast", 1.0), taking("slow", 2.9), taking("hopeless", 3.1),
         taking("long", 2.0, seconds_max=5.0)],
        None, 1, 0,
    )  # fmt: skip
    runs = {name: len(outcome.result) for name, outcome in found}
    assert runs == {"fast": 7, "slow": 7, "hopeless": 2, "long": 3}


def test_a_crash_costs_a_cell_of_turns() -> None:
    metric = dataclasses.replace(toy_race.METRIC, timed=True)
    extra = (trouble("dies", toy_race.measure_dies),)
    happened = events(ToyRace(("alpha",), extra, metric=metric))
    assert not of(Row, happened)
    assert [e.message for e in of(runner.Failed, happened)] == [
        f"at {setting}: its process died (SIGABRT)" for setting in (1, 2)
    ]
