from __future__ import annotations

import math

import numpy as np
import pytest

from acumen.evaluation.race import Goal, Kind, Row
from acumen.evaluation.statistics import cells_of, mean_interval, median_interval, summarize


def row(contender: str, kind: Kind, value: float, half: float = 0.0, **where: object) -> Row:
    workload, setting = str(where.get("workload", "w")), float(str(where.get("setting", 1.0)))
    return Row(workload, setting, contender, kind, value, value - half, value + half, 1.0, 1.0)


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(2000):
        _, low, high = mean_interval(random.normal(3.0, 2.0, 5).tolist())
        covered += low <= 3.0 <= high
    # 95 % of 2000 is 1900; five standard deviations of the count are 49.
    assert abs(covered - 1900) < 49


@pytest.mark.parametrize(
    ("learned", "half", "verdict"),
    [(0.40, 0.0, "won"), (0.50, 0.0, "tied"), (0.5004, 0.0, "tied"), (0.52, 0.0, "lost"),
     (0.52, 0.03, "tied"), (0.45, 0.06, "tied")],
)  # fmt: skip
def test_verdicts(learned: float, half: float, verdict: str) -> None:
    rows = [row("new", "learned", learned, half), row("old", "heuristic", 0.5)]
    (cell,) = cells_of(rows, "minimize", "old")
    assert cell.verdict == verdict


@pytest.mark.parametrize(("goal", "best", "verdict"), [("minimize", "a", "lost"),
                                                       ("maximize", "b", "won")])  # fmt: skip
def test_the_goal_decides_who_is_best(goal: Goal, best: str, verdict: str) -> None:
    rows = [
        row("a", "heuristic", 1.0),
        row("b", "heuristic", 2.0),
        row("new", "learned", 3.0),
        row("limit", "bound", 0.5 if goal == "minimize" else 4.0),
    ]
    (cell,) = cells_of(rows, goal, "b" if goal == "minimize" else "a")
    assert cell.best is not None
    assert (cell.best.contender, cell.verdict) == (best, verdict)
    expected = (3 - 0.5) / (2 - 0.5) if goal == "minimize" else (3 - 4) / (1 - 4)
    assert cell.residual(cell.learned) == pytest.approx(expected)


def test_a_cell_without_a_gap_has_no_residual() -> None:
    rows = [row("old", "heuristic", 0.9), row("new", "learned", 0.95), row("top", "bound", 0.9)]
    (cell,) = cells_of(rows, "minimize", "old")
    assert cell.residual(cell.learned) is None
    assert summarize([cell], "minimize").mean_residual is None


def test_summary_counts_and_names_the_worst() -> None:
    rows = []
    for number, learned in enumerate((0.3, 0.5, 0.504, 0.6)):
        place = {"workload": f"w{number}"}
        rows += [row("new", "learned", learned, **place), row("old", "heuristic", 0.5, **place)]
        rows += [row("top", "bound", 0.1, **place), row("bad", "heuristic", 0.9, **place)]
    rows.append(row("old", "heuristic", 0.5, workload="lonely"))
    summary = summarize(cells_of(rows, "minimize", "old"), "minimize")
    assert (summary.cells, summary.won, summary.tied, summary.lost) == (4, 1, 1, 2)
    assert summary.mean_residual == pytest.approx(math.fsum((0.2, 0.4, 0.404, 0.5)) / 4 / 0.4)
    assert summary.mean_residual_best == pytest.approx(1.0)
    assert summary.within_one_percent == pytest.approx(0.75)
    assert summary.worst is not None
    assert summary.worst.workload == "w3"
    assert summary.worst.excess == pytest.approx(0.2)
    first = next(s for s in summary.standings if s.kind != "bound")
    assert (first.contender, first.best_in) == ("new", 2)


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_ranks_are_among_the_heuristics_and_the_judged_one(goal: Goal) -> None:
    sign, rows = (1 if goal == "minimize" else -1), []
    # The other learned one and the bound would be first everywhere; they take nobody's rank.
    for number, (new, old, bad) in enumerate(((1, 2, 3), (2, 2, 3), (3, 2, 1))):
        place = {"workload": f"w{number}"}
        rows += [row("new", "learned", sign * new, **place), row("more", "learned", 0, **place)]
        rows += [row("old", "heuristic", sign * old, **place), row("top", "bound", 0, **place)]
        rows.append(row("bad", "heuristic", sign * bad, **place))
    summary = summarize(cells_of(rows, goal, "old", "new"), goal)
    ranks = {standing.contender: standing.rank for standing in summary.standings}
    assert ranks == {"new": 1.5, "more": 1.0, "old": 2.0, "bad": 3.0, "top": None}


def test_nothing_at_all() -> None:
    summary = summarize([], "minimize")
    assert (summary.cells, summary.worst, summary.standings) == (0, None, ())


def test_the_medians_interval_covers_it_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    for runs in (6, 12, 15):
        covered = 0
        for _ in range(2000):
            _, low, high = median_interval(random.lognormal(0.0, 2.0, runs).tolist())
            covered += low <= 1.0 <= high
        assert covered >= 1900 - 49
    # Beyond a thousand runs 2**n is no float.
    assert median_interval(range(3001)) == (1500.0, 1446.0, 1554.0)


def test_a_control_is_noise_and_nobody_to_be_judged() -> None:
    rows = [row("new", "learned", 0.50), row("again", "learned", 0.45), row("more", "learned", 0.1)]
    rows += [row("old", "heuristic", 0.54), row("top", "bound", 0.25)]
    (cell,) = cells_of(rows, "minimize", "old", "new", "again")
    assert cell.learned is not None
    assert cell.learned.contender == "new"
    assert cell.noise == pytest.approx(0.1)
    # 7 % ahead is less than the same contender differs from itself.
    assert cell.verdict == "tied"
    assert cells_of(rows, "minimize", "old", "new")[0].verdict == "won"
    summary = summarize([cell], "minimize")
    assert (summary.noise, summary.noise_max) == (cell.noise, cell.noise)
    factors = {s.contender: s.times_bound for s in summary.standings}
    assert factors["new"] == pytest.approx(2.0)
