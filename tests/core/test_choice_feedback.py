"""Feedback and objectives: late, twice, never, for nobody; sums, limits, changes of mind."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import acumen

Make = Callable[..., acumen.Choice]


def fates(choice: acumen.Choice) -> dict[str, int]:
    counters = choice.counters()
    return {k.removeprefix("feedback_"): v for k, v in counters.items() if "feedback" in k and v}


def test_late_and_out_of_order(make_choice: Make) -> None:
    choice = make_choice()
    decisions = [choice.choose(size=float(i)) for i in range(100)]
    for decision in reversed(decisions):
        assert decision.feedback(reward=1.0)
    assert choice.model_version == 100
    assert fates(choice) == {"learned": 100}


def test_twice_counts_once(make_choice: Make) -> None:
    choice = make_choice()
    decision = choice.choose(size=1.0)
    assert decision.feedback(1.0)
    before = choice._state()
    assert not decision.feedback(5.0)
    assert not choice.feedback(decision.id, reward=5.0)
    for name, array in choice._state().items():
        np.testing.assert_array_equal(array, before[name])
    assert fates(choice) == {"learned": 1, "duplicate": 2}


@pytest.mark.parametrize("unknown", [0, 1, -1, 2**64 - 1, 2**70, 1.5, None, "id", object()])
def test_for_an_unknown_id(make_choice: Make, unknown: Any) -> None:
    choice = make_choice()
    choice.choose(size=1.0)
    assert not choice.feedback(unknown, reward=1.0)
    assert fates(choice) == {"unknown": 1}


def test_ids_of_another_choice_are_unknown(make_choice: Make) -> None:
    first, second = make_choice(), make_choice()
    assert not second.feedback(first.choose(size=1.0).id, 1.0)


def test_feedback_without_an_id_is_a_programming_error(make_choice: Make) -> None:
    with pytest.raises(TypeError, match="id"):
        make_choice().feedback(reward=1.0)


@pytest.mark.parametrize(
    ("args", "metrics"),
    [
        ((), {}),
        ((math.nan,), {}),
        ((math.inf,), {}),
        (("fast",), {}),
        ((None,), {}),
        ((1.0, 2.0), {}),
        ((), {"speed": 1.0}),
        ((1.0,), {"speed": 1.0}),
        ((), {"reward": 10**400}),
    ],
)
def test_bad_feedback_may_be_mended(
    make_choice: Make, args: tuple[Any, ...], metrics: dict[str, Any]
) -> None:
    choice = make_choice()
    decision = choice.choose(size=1.0)
    assert not decision.feedback(*args, **metrics)
    assert fates(choice) == {"bad": 1}
    assert decision.feedback(reward=1.0)
    assert fates(choice) == {"bad": 1, "learned": 1}


def test_what_falls_out_is_counted(make_choice: Make) -> None:
    choice = make_choice(pending_max=1000)  # 1,024
    decisions = [choice.choose(size=1.0) for _ in range(1100)]
    assert choice.counters()["overwritten"] == 76
    assert [d.feedback(1.0) for d in decisions].index(True) == 76
    assert len(choice.records()) == 1024


def test_time_outs(make_choice: Make) -> None:
    choice = make_choice(timeout=0.02, holdback=0.0)
    lost = choice.choose(size=1.0)
    time.sleep(0.03)
    choice.choose(size=1.0)
    assert choice.counters()["timed_out"] == 1
    assert choice.model_version == 0  # no timeout_reward: nothing is learned
    assert lost.feedback(1.0)  # late, but welcome
    assert choice.model_version == 1


def test_time_outs_with_a_reward(make_choice: Make) -> None:
    choice = make_choice(timeout=0.02, timeout_reward=-5.0, holdback=0.0)
    lost = choice.choose(size=1.0)
    time.sleep(0.03)
    choice.choose(size=1.0)
    assert choice.model_version == 1
    assert choice.records()["state"].to_pylist() == ["timed_out", "waiting"]
    assert lost.feedback(1.0)  # recorded, but its default reward was learned already
    assert choice.model_version == 1
    assert fates(choice) == {"recorded": 1}
    assert choice.records()["metric.reward"].to_pylist()[0] == 1.0


def test_records(make_choice: Make) -> None:
    metric = acumen.minimize("seconds") + acumen.observe("bytes")
    choice = make_choice(metric=metric, pending_max=4, holdback=0.0)
    for i in range(514):
        choice.choose(size=float(i)).feedback(seconds=float(i), bytes=7.0)
    choice.choose(size=9.0)
    table = choice.records()
    assert len(table) == 512  # the least that a choice keeps
    table = table.slice(508)
    assert table["context.size"].to_pylist() == [511.0, 512.0, 513.0, 9.0]
    assert table["state"].to_pylist() == ["done"] * 3 + ["waiting"]
    seconds = table["metric.seconds"].to_pylist()
    # The last decision sits where another one was: its metrics are not shown as its own.
    assert seconds[:3] == [511.0, 512.0, 513.0]
    assert math.isnan(seconds[3])
    assert table["metric.bytes"].to_pylist()[:3] == [7.0] * 3
    assert table["reason"].to_pylist() == ["learned"] * 4
    assert table["model_version"].to_pylist() == [511, 512, 513, 514]
    assert table.schema.metadata == {b"schema": b"size:number", b"choice": b"test"}


def test_sums_weights_limits_and_logarithms() -> None:
    objective = (
        2 * acumen.minimize("seconds", log=True)
        + acumen.maximize("hits") * 0.5
        + acumen.at_most("errors", 0.5, penalty=4.0)
        + acumen.at_least("hits", 10.0, penalty=1.0)
        + acumen.observe("note")
    )
    assert objective.metrics == ("seconds", "hits", "errors", "note")
    reward = objective.reward(seconds=math.e, hits=20.0, errors=0.25)
    assert reward == pytest.approx(-2 + 10)
    assert objective.reward(seconds=1.0, hits=5.0, errors=1.0) == pytest.approx(2.5 - 4 - 0.5)
    assert objective.reward(seconds=0.0, hits=10.0, errors=0.0) == pytest.approx(
        -2 * math.log(1e-9) + 5
    )
    for bad in ({"hits": 1.0}, {"seconds": -1.0}, {"errors": math.inf}):
        values = {"seconds": 1.0, "hits": 10.0, "errors": 0.0} | bad
        if bad == {"hits": 1.0}:
            assert objective.reward(**values) == pytest.approx(0.5 - 0.9)
        else:
            assert math.isnan(objective.reward(**values))
    assert math.isnan(objective.reward(hits=1.0, errors=0.0))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: acumen.minimize("a b"), "identifier"),
        (lambda: acumen.minimize("x") * 0, "positive"),
        (lambda: acumen.minimize("x") * math.nan, "positive"),
        (lambda: acumen.at_most("x", math.inf), "finite"),
        (lambda: acumen.at_most("x", 1.0, penalty=-1), "positive"),
        (lambda: acumen.minimize("x") + acumen.minimize("x", log=True), "ratios"),
        (lambda: acumen.at_most("x", 2, penalty=1) + acumen.at_least("x", 1, penalty=2), "pena"),
        (lambda: acumen.Objective(()), "1 to 64"),
    ],
)
def test_wrong_objectives(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


numbers = st.floats(-1e6, 1e6)


@given(numbers, numbers, st.floats(0.1, 10), st.floats(0.01, 100) | st.floats(-100, -0.01))
def test_objectives_add_up(a: float, b: float, weight: float, limit: float) -> None:
    first, second = weight * acumen.minimize("a"), acumen.at_most("b", limit, penalty=weight)
    separate = first.reward(a=a) + second.reward(b=b)
    assert (first + second).reward(a=a, b=b) == pytest.approx(separate, rel=1e-9, abs=1e-6)
    assert second.reward(b=b) <= 0


def test_another_objective_is_learned_from_the_past(make_choice: Make) -> None:
    metric = acumen.minimize("seconds") + acumen.observe("bytes")
    choice = make_choice(metric=metric, learner=acumen.learners.EpsilonGreedy(epsilon=0.3))
    for _ in range(500):
        decision = choice.choose(size=1.0)
        fast = decision.index == 0
        decision.feedback(seconds=1.0 if fast else 2.0, bytes=9.0 if fast else 3.0)
    served = [choice.choose(size=1.0).arm for _ in range(200)]
    assert served.count("a") > 120
    choice.objective = acumen.minimize("bytes")
    assert choice.objective.metrics == ("seconds", "bytes")
    served = [choice.choose(size=1.0).arm for _ in range(200)]
    assert served.count("a") < 60
    with pytest.raises(ValueError, match="observe"):
        choice.objective = acumen.minimize("watts")
    with pytest.raises(TypeError, match="minimize"):
        choice.objective = "bytes"  # type: ignore[assignment]


def test_feedback_many(make_choice: Make) -> None:
    choice = make_choice(metric=acumen.maximize("reward") + acumen.observe("note"))
    decisions = choice.choose_many(np.ones((50, 1)))
    assert choice.feedback_many(decisions.ids, reward=np.ones(50), note=3) == 50
    assert choice.feedback_many(decisions.ids, reward=1.0) == 0
    assert fates(choice) == {"learned": 50, "duplicate": 50}
    assert choice.records()["metric.note"].to_pylist() == [3.0] * 50
    with pytest.raises(ValueError, match="no metric"):
        choice.feedback_many(decisions.ids, speed=1.0)
    with pytest.raises(ValueError, match="broadcast"):
        choice.feedback_many(decisions.ids, reward=np.ones(3))


def test_choose_many_decides_like_choose_row(make_choice: Make) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 1))
    together = make_choice().choose_many(rows)
    choice = make_choice()
    singly = [choice.choose_row(row) for row in rows]
    assert together.indices.tolist() == [d.index for d in singly]
    np.testing.assert_array_equal(together.propensities, [d.propensity for d in singly])
    assert len(set(together.ids.tolist())) == 300
    with pytest.raises(ValueError, match="columns"):
        choice.choose_many(np.ones((2, 3)))


def test_a_coarse_clock_is_no_bad_feedback(make_choice: Make) -> None:
    choice = make_choice(metric=acumen.minimize("seconds", log=True))
    assert choice.choose(size=1.0).feedback(seconds=0.0)
    assert not choice.choose(size=1.0).feedback(seconds=-1.0)
