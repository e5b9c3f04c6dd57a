"""`Search`: asking, telling, budgets, control, the best, and what may be said about it."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

import acumen
from acumen.learners.search import (
    BudgetSpentError,
    EarlierRun,
    Flag,
    Integer,
    Portfolio,
    RandomSearch,
    Real,
    RegularizedEvolution,
    Search,
    SearchFileError,
    Space,
    SuccessiveHalving,
    WarmStart,
)
from acumen.learners.search.confirmation import interval
from acumen.learners.search.observations import Observations

SPACE = Space({"n": Integer(1, 100, default=10), "fast": Flag()})


def cost(setting: dict[str, Any]) -> float:
    return abs(setting["n"] - 70) + 5.0 - 2.0 * setting["fast"]


def finished(search: Search, value: Any = cost) -> Search:
    for trial in search:
        search.tell(trial, seconds=value(trial.setting))
    return search


def test_the_default_comes_first_and_the_budget_counts_everything() -> None:
    search = Search(SPACE, budget=12, seed=1)
    first = search.ask()
    assert (first.number, first.setting, first.learner) == (0, SPACE.default, "default")
    assert search.fail(first, "crashed")
    finished(search)
    assert search.evaluations == 12
    assert search.left == 0
    assert [t.number for t in search.trials] == list(range(12))
    assert search.trials[0].reason == "crashed"
    with pytest.raises(BudgetSpentError):
        search.ask()


def test_only_the_first_word_on_a_trial_counts() -> None:
    search = Search(SPACE, budget=5, seed=1)
    trial = search.ask()
    assert search.tell(trial, seconds=3.0, bytes=9)
    assert not search.tell(trial, seconds=1.0)
    assert not search.fail(trial, "late")
    assert search.trials[0].metrics == {"seconds": 3.0, "bytes": 9.0}
    assert search.best is not None
    assert search.best.is_default
    with pytest.raises(ValueError, match="no trial 77"):
        search.tell(77, seconds=1.0)


def test_what_cannot_be_used_is_a_failure() -> None:
    search = Search(SPACE, budget=4, seed=1)
    for bad in ({"seconds": math.nan}, {"seconds": math.inf}, {}, {"bytes": 3.0}):
        assert search.tell(search.ask(), **bad)
    assert [t.state for t in search.trials] == ["failed"] * 4
    assert all("seconds" in str(t.reason) for t in search.trials)
    assert search.best is None
    with pytest.raises(ValueError, match="nothing to confirm"):
        search.confirm(cost)


def test_objectives_with_limits() -> None:
    metric = acumen.minimize("seconds") + acumen.at_most("bytes", 100.0)
    search = Search(SPACE, metric, budget=2, seed=1)
    search.tell(search.ask(), seconds=1.0, bytes=300.0)
    search.tell(search.ask(), seconds=5.0, bytes=50.0)
    assert [t.value for t in search.trials] == [21.0, 5.0]
    bigger = Search(SPACE, acumen.maximize("tps"), budget=30, seed=1)
    for trial in bigger:
        bigger.tell(trial, tps=trial.setting["n"])
    assert bigger.best is not None
    assert bigger.best.setting["n"] == 100


def test_a_trial_that_is_given_back_comes_again() -> None:
    search = Search(SPACE, budget=3, seed=1)
    trials = [search.ask() for _ in range(3)]
    search.give_back(trials[1])
    assert search.left == 1
    again = search.ask()
    assert (again.number, again.setting) == (1, trials[1].setting)
    with pytest.raises(BudgetSpentError):
        search.ask()


def test_a_control_is_kept_beside_the_learner() -> None:
    search = finished(Search(SPACE, learner=RegularizedEvolution(), budget=100, seed=1))
    drawn = [t for t in search.trials if t.learner == "control"]
    assert [t.number for t in drawn[:5]] == [1, 2, 3, 4, 5]
    control = search.control()
    assert control.evaluations == len(drawn) == 10
    assert control.control == min(t.value or math.inf for t in drawn)
    assert control.learner is not None
    assert control.learner_same is not None
    assert control.learner <= control.learner_same
    none = finished(Search(SPACE, learner=RegularizedEvolution(), budget=20, control=0, seed=1))
    assert none.control().evaluations == 0
    lone = finished(Search(SPACE, learner=RandomSearch(), budget=20, seed=1))
    assert lone.control().evaluations == 0  # all of it is the control


def test_the_same_seed_searches_the_same() -> None:
    one, two, three = (finished(Search(SPACE, budget=40, seed=s)).trials for s in (5, 5, 6))
    assert one == two
    assert one != three


def test_confirmation_measures_afresh_and_believes_no_luck() -> None:
    """On noise alone, the best of forty is far below the mean; confirmed it is not."""
    won = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)

        def noise(setting: dict[str, Any], rng: Any = rng) -> float:
            return float(10.0 + rng.standard_normal())

        search = finished(Search(SPACE, learner=RandomSearch(), budget=40, seed=seed), noise)
        assert min(t.value or 0.0 for t in search.trials) < 9.0
        confirmation = search.confirm(noise, repeats=12)
        assert search.evaluations == 40 + 24
        won += confirmation.better
    assert won <= 1


def test_confirmation_finds_a_real_difference() -> None:
    rng = np.random.default_rng(0)
    search = finished(Search(SPACE, budget=60, seed=2))

    def noisy(setting: dict[str, Any]) -> float:
        return float(cost(setting) * math.exp(0.05 * rng.standard_normal()))

    confirmation = search.confirm(noisy, repeats=20)
    true = cost(SPACE.default) / cost(confirmation.setting)
    assert confirmation.better
    assert confirmation.low < true < confirmation.high
    assert confirmation.pairs == 20
    assert "factor" in str(confirmation)
    few = search.confirm(noisy, repeats=5)
    assert not few.better  # five pairs prove nothing at 95 %
    assert "no better" in str(few)
    with pytest.raises(ValueError, match="no usable"):
        search.confirm(lambda setting: math.nan)


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(600):
        low, high = interval(rng.laplace(size=9) + 0.5, 0.9)
        covered += low <= 0.5 <= high
    assert covered >= 0.9 * 600 - 3 * math.sqrt(600 * 0.09)
    assert interval(np.ones(3), 0.95) == (-math.inf, math.inf)


def test_the_luckiest_single_measurement_is_not_the_best() -> None:
    seen = Observations(SPACE)
    rng = np.random.default_rng(1)
    good = {"n": 70, "fast": True}
    for _ in range(8):
        seen.add(good, 9.0 + rng.standard_normal())
    for _ in range(20):
        seen.add({"n": 80, "fast": True}, 10.0 + rng.standard_normal())
    for n in range(1, 60):
        seen.add({"n": n, "fast": False}, 10.0 + rng.standard_normal())
    assert seen.means().argmin() != 0
    assert seen.noise() == pytest.approx(1.0, abs=0.5)
    assert seen.best() == 0


def test_without_noise_nothing_is_repeated_but_the_default() -> None:
    search = finished(Search(SPACE, learner=Portfolio(), budget=80, seed=1))
    assert [t.setting for t in search.trials if t.learner == "again"] == [SPACE.default]
    rng = np.random.default_rng(1)
    noisy = finished(
        Search(SPACE, learner=Portfolio(), budget=80, seed=1),
        lambda s: cost(s) + rng.standard_normal(),
    )
    assert 3 <= sum(t.learner == "again" for t in noisy.trials) <= 8


def test_partial_measurements_are_not_the_best() -> None:
    search = Search(SPACE, learner=SuccessiveHalving(least=0.25, factor=2), budget=80, seed=1)
    for trial in search:
        search.tell(trial, seconds=cost(trial.setting) * (1 if trial.fidelity == 1 else 0.1))
    fidelities = {t.fidelity for t in search.trials}
    assert fidelities == {0.25, 0.5, 1.0}
    assert search.best is not None
    assert search.best.value >= 3.0


def test_warm_starts_try_first_what_was_good(tmp_path: Any) -> None:
    other = Space({"n": Integer(1, 80, default=3), "fast": Flag(), "gone": Flag()})
    file = tmp_path / "earlier.sqlite"
    earlier = Search(other, budget=60, file=file, seed=1)
    finished(earlier)
    earlier.close()
    run = EarlierRun.from_file(file, features=(1.0, 5.0))
    far = EarlierRun((({"n": 1, "fast": False}, 1.0),), features=(900.0, -5.0))
    learner = WarmStart((far, run), features=(1.0, 4.0), first=3)
    search = Search(SPACE, learner=learner, budget=10, seed=2, control=0)
    taken = [t.setting for t in finished(search).trials if t.learner == "transfer"]
    assert len(taken) == 3
    assert taken[0] == {"n": 70, "fast": True}
    assert {"n": 1, "fast": False} in taken
    with pytest.raises(ValueError, match="features"):
        WarmStart((far,), features=(1.0,))
    with pytest.raises(SearchFileError):
        EarlierRun.from_file(tmp_path / "nothing.sqlite")


def test_thinking_takes_little() -> None:
    """A suggestion at a thousand trials, of sixty parameters: 1 ms on a quiet machine."""
    space = Space({f"f{i}": Flag() for i in range(50)} | {f"x{i}": Real(0, 1) for i in range(10)})
    search = Search(space, budget=1000, seed=1)
    spent = time.process_time()
    for trial in search:
        search.tell(trial, seconds=1.0 + trial.setting["x1"] + trial.setting["f7"])
        if trial.number == 399:
            break
    spent = time.process_time() - spent
    assert spent / 400 < 0.010


@pytest.mark.parametrize(
    "settings", [{"budget": 0}, {"control": 1.0}, {"control": -0.1}, {"budget": -3}]
)
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Search(SPACE, **settings)


def test_each_confirmation_draws_its_own_orders() -> None:
    search = Search(Space({"n": Integer(1, 9, default=5)}), budget=9, seed=1)
    for trial in search:
        search.tell(trial, seconds=float(trial.setting["n"]))
    order: list[int] = []

    def measure(setting: dict[str, Any]) -> float:
        order.append(setting["n"])
        return 1.0

    for _ in range(2):
        search.confirm(measure, 20)
    orders = order[:40], order[40:]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]
