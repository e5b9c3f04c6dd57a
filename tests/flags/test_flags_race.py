"""The race of searches: its objectives, its tables, its rules, and what it writes."""

from __future__ import annotations

import inspect
import json
import logging
import os
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from acumen.evaluation import Ask, RaceError, WorkloadError
from acumen.flags import heuristics, learned, recorded, synthetic
from acumen.flags.measuring import Seen, active_part, measure_search, sweep_search
from acumen.flags.race import RACE
from acumen.flags.recorded import Table, every_setting, read_table, save_tables
from acumen.flags.workloads import Drawn, FromTable, Recorded, workloads_of
from acumen.learners.search import Categorical, Flag, Real, Search, Setting, Space, When

ACUMEN = Path(sysconfig.get_path("scripts")) / "acumen"
HERE = [rival for rival in heuristics.RIVALS if not rival.missing]
SPACE = Space(
    {"level": Categorical(["1", "2", "3"], default="2"), "wide": Flag(), "lanes": Flag()},
    conditions={"lanes": When("wide", True)},
)


def small_table() -> Table:
    """Nine settings of four programs; the third one fails."""
    program = np.array([0, 1, 1, 0, 2, 3, 0, 1, 3], np.uint16)
    rounds = 0.01 + 0.001 * np.arange(6)
    seconds = np.stack([1.0 * rounds, 0.5 * rounds, np.nan * rounds, 2.0 * rounds])
    return Table(SPACE, program, seconds)


# ---- drawn objectives ----------------------------------------------------------------------------


@pytest.mark.parametrize("family", synthetic.FAMILIES)
def test_an_objective_is_its_seeds(family: str) -> None:
    one, same, other = (synthetic.draw(family, seed) for seed in (5, 5, 6))
    rng = np.random.default_rng(1)
    settings = [one.space.sample(rng) for _ in range(200)]
    costs = [one.true(setting) for setting in settings]
    assert costs == [same.true(setting) for setting in settings]
    assert costs != [other.true(setting) for setting in settings]
    assert min(costs) >= one.best == 1.0
    room = one.true(one.space.default)
    assert synthetic.ROOM[0] - 1e-9 <= room <= synthetic.ROOM[1] + 1e-9


@pytest.mark.parametrize("family", ["pairs", "landscape", "traps"])
def test_the_optimum_of_flags_is_reached(family: str) -> None:
    objective = synthetic.draw(family, 2)
    rng, least = np.random.default_rng(0), np.inf
    for _ in range(60):  # climbs that change up to four flags of a block or a pair at once
        here = objective.space.sample(rng)
        cost = objective.true(here)
        names = list(here)
        for _ in range(400):
            start = int(rng.integers(len(names)))
            some = names[start - start % 4 : start - start % 4 + 4] if family == "traps" else names
            flip = rng.choice(some, rng.integers(1, min(4, len(some)) + 1), replace=False)
            near = {**here, **{str(name): not here[str(name)] for name in flip}}
            if (found := objective.true(near)) <= cost:
                here, cost = near, found
        least = min(least, cost)
        if least < 1.0 + 1e-9:
            break
    assert least == pytest.approx(1.0, abs=1e-9)


def test_what_crashes_is_never_measured() -> None:
    objective = synthetic.draw("crashes", 1)
    rng = np.random.default_rng(2)
    settings = [objective.space.sample(rng) for _ in range(300)]
    failed = [objective.measure(setting, rng) is None for setting in settings]
    assert failed == [bool(np.isinf(objective.true(setting))) for setting in settings]
    assert 0.1 < np.mean(failed) < 0.6


def test_noise_is_as_large_as_is_said() -> None:
    objective, rng = synthetic.draw("noisy", 1), np.random.default_rng(3)
    setting = objective.space.default
    runs = np.array([objective.measure(setting, rng) or np.nan for _ in range(4000)])
    logs = np.log(runs / objective.true(setting))
    assert np.median(logs) == pytest.approx(0.0, abs=0.02)
    assert np.std(logs[np.abs(logs) < 0.3]) == pytest.approx(0.08, rel=0.1)
    assert np.mean(logs > 0.35) == pytest.approx(0.05, abs=0.02)


# ---- tables --------------------------------------------------------------------------------------


def test_tables_come_back_as_they_were(tmp_path: Path) -> None:
    path, table = tmp_path / "mine.npz", small_table()
    save_tables(path, {"mine": table, "other": table}, {"machine": "here"})
    assert recorded.table_names(path) == ["mine", "other"]
    assert recorded.about_tables(path) == {"machine": "here"}
    again = read_table(path, "mine")
    assert again.space.describe() == SPACE.describe()
    assert np.array_equal(again.program, table.program)
    np.testing.assert_allclose(again.seconds, table.seconds, atol=1e-6)


def test_every_setting_is_listed_once() -> None:
    settings = list(every_setting(SPACE))
    assert len(settings) == SPACE.size() == len({SPACE.key(setting) for setting in settings})
    for setting in settings:
        SPACE.check(setting)
    with pytest.raises(ValueError, match="'x' is not categorical"):
        list(every_setting(Space({"x": Real(0, 1)})))


def test_searches_and_truth_see_different_rounds() -> None:
    objective, table = Recorded(small_table()), small_table()
    rng = np.random.default_rng(0)
    default = SPACE.default  # of the first program
    assert {objective.measure(default, rng) for _ in range(100)} == set(table.seconds[0, 0::2])
    assert objective.true(default) == pytest.approx(table.seconds[0, 1::2].min())
    failing = {"level": "2", "wide": True, "lanes": False}
    assert objective.measure(failing, rng) is None
    assert objective.true(failing) == np.inf
    assert objective.best == pytest.approx(0.5 * objective.true(default))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"mine/program": np.zeros(4, np.uint16)}, "a program for each of 9 settings"),
        ({"mine/program": np.full(9, 7, np.uint16)}, "names a program that is not there"),
        ({"mine/microseconds": np.zeros((4, 6), np.float32)}, "whole microseconds"),
        ({"mine/microseconds": np.zeros((4, 6), np.uint32)}, "the default failed"),
        ({"mine/space": np.frombuffer(b"[1", np.uint8)}, "cannot be read"),
    ],
)
def test_damaged_tables_are_refused(
    tmp_path: Path, change: dict[str, np.ndarray], complaint: str
) -> None:
    save_tables(tmp_path / "fine.npz", {"mine": small_table()}, {})
    arrays = dict(np.load(tmp_path / "fine.npz"))
    np.savez(tmp_path / "bad.npz", **{**arrays, **change})
    with pytest.raises(WorkloadError, match=complaint):
        read_table(tmp_path / "bad.npz", "mine")


def test_the_shipped_tables_are_whole() -> None:
    names = recorded.table_names(recorded.SHIPPED)
    assert len(names) >= 12
    assert len({name.rpartition("-")[0] for name in names}) >= 6
    assert recorded.SHIPPED.stat().st_size < 300_000
    about = recorded.about_tables(recorded.SHIPPED)
    assert {"machine", "compilers", "date", "rounds"} <= set(about)
    for name in (names[0], names[-1]):
        objective = FromTable(recorded.SHIPPED, name).open()
        default = objective.true(objective.space.default)
        assert objective.best is not None
        assert 0 < objective.best <= default < 1
        assert len(list(every_setting(objective.space))) == objective.space.size()


# ---- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rival", HERE, ids=lambda rival: rival.name)
@pytest.mark.parametrize("family", ["branches", "crashes"])
def test_rivals_begin_at_the_default_and_are_valid(
    rival: heuristics.Rival, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    handlers = list(logging.getLogger().handlers)
    objective, rng = synthetic.draw(family, 4), np.random.default_rng(0)
    tuner = rival.make(objective.space, 30, 1)
    told: list[tuple[float, Setting]] = []
    for number in range(30):
        setting = tuner.ask()
        objective.space.check(setting)
        if not number:
            assert setting == objective.space.default
        value = objective.measure(setting, rng)
        tuner.tell(value)
        told.append((np.inf if value is None else value, setting))
    assert len({objective.space.key(setting) for _, setting in told}) > 15
    assert objective.true(tuner.best()) == min(told, key=lambda pair: pair[0])[0]
    # None writes where the user stands, or takes over the logging.
    assert not list(tmp_path.iterdir())
    assert logging.getLogger().handlers == handlers


@pytest.mark.parametrize(
    "rival", [rival for rival in HERE if not rival.budgeted], ids=lambda rival: rival.name
)
def test_who_sweeps_comes_past_smaller_budgets(rival: heuristics.Rival) -> None:
    entry = Drawn("noisy", 6)
    on_the_way, _ = sweep_search(rival.make, entry, (14.0, 24.0), 2)
    alone = measure_search(rival.make, entry, 14.0, 2)
    assert (alone.value, alone.operations) == (on_the_way.value, on_the_way.operations)


def test_opentuner_goes_on_where_it_knows_the_result() -> None:
    (rival,) = (rival for rival in heuristics.RIVALS if rival.name == "opentuner")
    if rival.missing:
        pytest.skip("OpenTuner is not installed")
    tuner, seen = rival.make(SPACE, 9, 1), []
    for number in range(9):
        seen.append(SPACE.key(tuner.ask()))
        tuner.tell(1.0 + number)
    # The space has nine settings, and three more of parts that are not active.
    assert len(set(seen)) == 9


class Counted(heuristics.RandomDraws):
    """Counts what it is asked."""

    asked = 0

    def ask(self) -> Setting:
        Counted.asked += 1
        return super().ask()


def test_a_search_has_its_budget_and_no_more() -> None:
    found = measure_search(Counted, Drawn("pairs", 1), 25.0, 3)
    assert Counted.asked == found.operations == 25
    assert found.value <= 1.05
    again = measure_search(learned.DEFAULT.make, Drawn("pairs", 1), 25.0, 3)
    assert again.value == measure_search(learned.DEFAULT.make, Drawn("pairs", 1), 25.0, 3).value


def test_what_failed_is_never_chosen() -> None:
    seen = Seen(SPACE)
    assert seen.best() == SPACE.default
    good, bad = {"level": "1", "wide": False}, {"level": "3", "wide": False}
    for setting, value in ((bad, None), (good, 3.0), (good, 1.0), (bad, 2.5), (bad, 1.7)):
        seen.add(setting, value)
    assert seen.best() == good
    assert seen.penalty() > seen.worst == 3.0


def test_parts_that_are_not_active_are_left_out() -> None:
    values = {"level": "1", "wide": False, "lanes": True}
    assert active_part(SPACE, values) == {"level": "1", "wide": False}
    assert active_part(SPACE, {**values, "wide": True}) == {**values, "wide": True}


# ---- the race ------------------------------------------------------------------------------------


def test_a_race_on_a_table_of_ones_own(tmp_path: Path) -> None:
    save_tables(tmp_path / "mine.npz", {"mine": small_table()}, {})
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04")
    environment = {k: v for k, v in os.environ.items() if k != "ACUMEN_DATA"}
    done = subprocess.run(
        [
            str(ACUMEN), "race", "flags", "--workload", "mine.npz", "--workload", "bad.npz",
            "--quick", "--contender", "acumen", "--contender", "random",
            "--json", "out.json", "--seed", "7", "--jobs", "1",
        ],
        capture_output=True, text=True, timeout=120, cwd=tmp_path,
        env={**environment, "XDG_CACHE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2  # for bad.npz
    assert "bad.npz" in done.stderr
    assert "median rank" in done.stdout
    loaded = json.loads((tmp_path / "out.json").read_text())
    about = (loaded["domain"], loaded["metric"], loaded["goal"], loaded["seed"])
    assert about == ("flags", "relative_cost", "minimize", 7)
    values = {(row["contender"], row["setting"]): row["value"] for row in loaded["rows"]}
    assert {name for name, _ in values} == {"acumen", "random", "default", "best"}
    assert values["default", 50.0] == 1.0
    # With 50 measurements of nine settings both find the best one.
    assert values["acumen", 50.0] == values["random", 50.0] == values["best", 50.0]


def test_it_needs_no_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heuristics, "find_spec", lambda name: None)
    names = [contender.name for contender in RACE.contenders(Ask(quick=True))]
    assert names == ["acumen", "default", "random"]
    (note,) = RACE.notes(Ask())
    assert "tpe (needs optuna)" in note
    assert heuristics.INSTALL in note


def test_members_run_when_they_are_asked_for() -> None:
    names = [contender.name for contender in RACE.contenders(Ask(only=("surrogate",)))]
    assert names[:2] == ["acumen", "surrogate"]


def test_a_folder_needs_tables(tmp_path: Path) -> None:
    with pytest.raises(RaceError, match="no tables of measurements"):
        workloads_of(Ask(data=tmp_path))
    save_tables(tmp_path / "some.npz", {"a": small_table(), "b": small_table()}, {})
    assert [load.name for load in workloads_of(Ask(data=tmp_path))] == ["a", "b"]


def test_a_quick_race_takes_less_than_a_minute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of processor time, with all rivals there are."""
    monkeypatch.setattr(heuristics, "find_spec", lambda name: name)
    ask = Ask(quick=True)
    loads = [load.prepare(tmp_path) for load in workloads_of(ask)]
    runs = [(load, one) for load in loads for one in RACE.contenders(ask)]
    seconds = sum(
        1e-6 * load.operations * one.cost * one.repeats * (1 if one.sweep else len(load.settings))
        for load, one in runs
    )
    assert len(runs) == 5 * 7
    assert seconds < 30


def test_it_races_what_users_get() -> None:
    assert inspect.signature(Search).parameters["control"].default == learned.CONTROL
