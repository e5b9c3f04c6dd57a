"""Means with intervals, and what a race says when all its cells are put together.

The residual of a contender in a cell is the share of what could be gained that it leaves:
(value - bound) / (default - bound), 0 at the bound and 1 at today's default. It makes cells
comparable whose metrics lie far apart. A cell without a gap has no residual.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from acumen.evaluation.race import Goal, Row, Setting

Verdict = Literal["won", "tied", "lost"]

# Below this share of the better value, a difference is called a tie: about what a change of seed
# or of a hash function makes.
TIE_MARGIN = 0.001
# A cell whose default lies this close to the bound leaves nothing to gain; dividing by such a gap
# would only enlarge noise.
GAP_MIN = 0.001

# Two-sided 95 % points of Student's t by degrees of freedom; beyond the table, the normal's.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179)
_Z95 = 1.96


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of independent runs and its 95 % interval (Student's t).

    >>> mean_interval([0.5])
    (0.5, 0.5, 0.5)
    >>> tuple(round(x, 3) for x in mean_interval([0.49, 0.50, 0.51]))
    (0.5, 0.475, 0.525)
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1 or min(values) == max(values):
        return values[0], values[0], values[0]
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)
    t = _T95[n - 2] if n - 2 < len(_T95) else _Z95
    return mean, mean - t * spread, mean + t * spread


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Median of independent runs and its 95 % interval: order statistics, of any distribution.

    Below six runs no interval covers so much; it is then all of them.

    >>> median_interval([3.0, 1.0, 2.0])
    (2.0, 1.0, 3.0)
    >>> median_interval(range(1, 10))
    (5.0, 2.0, 8.0)
    """
    ordered = sorted(float(value) for value in values)
    n = len(ordered)
    # Values cut off at each end; in so many of 2**n ways do so few and one more lie on one side.
    outside, ways = 0, 1 + n
    while 40 * ways <= 2**n:
        outside += 1
        ways += math.comb(n, outside + 1)
    return median(ordered), ordered[outside], ordered[n - 1 - outside]


@dataclass(frozen=True, slots=True)
class Cell:
    """One workload at one setting, with everybody who ran there.

    `excess` is how much worse than the best heuristic the learned contender is, relative to that
    heuristic: negative where it is better. None where one of the two did not run. `noise` is how
    far apart the learned contender and its control are, relatively; None without a control.
    """

    workload: str
    setting: Setting
    rows: dict[str, Row]
    learned: Row | None
    best: Row | None
    bound: Row | None
    default: Row | None
    excess: float | None
    verdict: Verdict | None
    noise: float | None = None

    def residual(self, row: Row | None) -> float | None:
        """What `row` leaves of the gap from default to bound; None where there is no gap."""
        if row is None or self.bound is None or self.default is None:
            return None
        gap = self.default.value - self.bound.value
        if abs(gap) <= GAP_MIN * max(abs(self.default.value), abs(self.bound.value)):
            return None
        return (row.value - self.bound.value) / gap


def cells_of(
    rows: Iterable[Row],
    goal: Goal,
    default: str | None,
    judged: str | None = None,
    control: str | None = None,
) -> list[Cell]:
    """Groups rows into cells, sorted by workload and setting.

    `judged` is the learned contender that is compared with the heuristics (None: the best of each
    cell), `control` the one that is the same once more.
    """
    groups: dict[str, dict[Setting, dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        groups[row.workload][row.setting][row.contender] = row
    return [
        _cell(workload, setting, by_setting[setting], goal, (default, judged, control))
        for workload, by_setting in sorted(groups.items())
        for setting in sorted(by_setting, key=lambda setting: (isinstance(setting, str), setting))
    ]


def _cell(
    workload: str,
    setting: Setting,
    rows: dict[str, Row],
    goal: Goal,
    names: tuple[str | None, str | None, str | None],
) -> Cell:
    default, judged, control = names
    sign = 1.0 if goal == "minimize" else -1.0
    of_kind = {
        kind: sorted((r for r in rows.values() if r.kind == kind), key=lambda r: sign * r.value)
        for kind in ("heuristic", "learned", "bound")
    }
    of_kind["learned"] = [r for r in of_kind["learned"] if judged in (None, r.contender)]
    learned, best, bound = (
        of_kind[kind][0] if of_kind[kind] else None for kind in ("learned", "heuristic", "bound")
    )
    again = rows.get(control) if control else None
    excess = verdict = noise = None
    if learned is not None and again is not None:
        noise = abs(learned.value - again.value) / max(abs(learned.value), 1e-300)
    if learned is not None and best is not None:
        excess = sign * (learned.value - best.value) / max(abs(best.value), 1e-300)
        verdict = _verdict(learned, best, excess, max(noise or 0.0, TIE_MARGIN))
    return Cell(
        workload=workload,
        setting=setting,
        rows=rows,
        learned=learned,
        best=best,
        bound=bound,
        default=rows.get(default) if default else None,
        excess=excess,
        verdict=verdict,
        noise=noise,
    )


def _verdict(learned: Row, best: Row, excess: float, margin: float) -> Verdict:
    overlap = learned.low <= best.high and best.low <= learned.high
    if overlap or abs(excess) <= margin:
        return "tied"
    return "won" if excess < 0 else "lost"


@dataclass(frozen=True, slots=True)
class Standing:
    """One contender over all cells.

    `cells` says over how many the mean residual is taken. `times_bound` is the geometric mean of
    value / bound, over the cells where both are above zero; `price` the mean price; `rank` the
    median over the cells of its rank, 1 the best, among the heuristics and the learned contender
    that is judged (who is as good as another has the mean of both ranks). None where there is no
    such number.
    """

    contender: str
    kind: str
    mean_residual: float | None
    cells: int
    best_in: int
    times_bound: float | None = None
    price: float | None = None
    rank: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole race in a few numbers.

    `mean_residual_best` is that of the best heuristic of each cell, chosen with hindsight: nobody
    can run it, but it is the hardest rival. `within_one_percent` is the share of cells in which
    the learned contender is at most 1 % behind that heuristic. `noise` is the median of the cells'
    A/A differences, `noise_max` the largest; None without a control.
    """

    cells: int
    won: int
    tied: int
    lost: int
    mean_residual: float | None
    mean_residual_best: float | None
    residual_cells: int
    within_one_percent: float | None
    worst: Cell | None
    standings: tuple[Standing, ...]
    noise: float | None = None
    noise_max: float | None = None


def summarize(cells: Sequence[Cell], goal: Goal) -> Summary:
    """Puts the cells together; those without a learned row count in `standings` only."""
    judged = [cell for cell in cells if cell.excess is not None]
    pairs = [
        (mine, best)
        for cell in judged
        if (mine := cell.residual(cell.learned)) is not None
        and (best := cell.residual(cell.best)) is not None
    ]
    noises = [cell.noise for cell in cells if cell.noise is not None]
    return Summary(
        cells=len(judged),
        won=sum(cell.verdict == "won" for cell in judged),
        tied=sum(cell.verdict == "tied" for cell in judged),
        lost=sum(cell.verdict == "lost" for cell in judged),
        mean_residual=_mean([mine for mine, _ in pairs]),
        mean_residual_best=_mean([best for _, best in pairs]),
        residual_cells=len(pairs),
        within_one_percent=_mean([float(_excess(cell) <= 0.01) for cell in judged]),
        worst=max(judged, key=_excess, default=None),
        standings=_standings(cells, goal),
        noise=median(noises) if noises else None,
        noise_max=max(noises, default=None),
    )


def _rank(cell: Cell, name: str, goal: Goal) -> float:
    """Rank in a cell among the heuristics and the judged one; ties share the mean of theirs."""
    sign, mine = (1.0 if goal == "minimize" else -1.0), cell.rows[name].value
    judged = cell.learned.contender if cell.learned is not None else None
    ahead = [
        sign * (mine - row.value)
        for other, row in cell.rows.items()
        if other != name and (row.kind == "heuristic" or other == judged)
    ]
    return 1.0 + sum(lead > 0 for lead in ahead) + 0.5 * sum(lead == 0 for lead in ahead)


def _excess(cell: Cell) -> float:
    return -math.inf if cell.excess is None else cell.excess


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _standings(cells: Sequence[Cell], goal: Goal) -> tuple[Standing, ...]:
    kinds = {name: row.kind for cell in cells for name, row in cell.rows.items()}
    pick = min if goal == "minimize" else max
    standings = []
    for name, kind in kinds.items():
        here = [cell for cell in cells if name in cell.rows]
        residuals = [r for cell in here if (r := cell.residual(cell.rows[name])) is not None]
        best_in = 0
        for cell in here:
            field = [row.value for row in cell.rows.values() if row.kind != "bound"]
            best_in += kind != "bound" and cell.rows[name].value == pick(field)
        factors = [
            math.log(cell.rows[name].value / cell.bound.value)
            for cell in here
            if cell.bound is not None and min(cell.rows[name].value, cell.bound.value) > 0
        ]
        factor = _mean(factors)
        prices = [price for cell in here if (price := cell.rows[name].price) is not None]
        standings.append(
            Standing(
                contender=name,
                kind=kind,
                mean_residual=_mean(residuals),
                cells=len(residuals),
                best_in=best_in,
                times_bound=None if factor is None else math.exp(factor),
                price=_mean(prices),
                rank=None if kind == "bound" else median(_rank(cell, name, goal) for cell in here),
            )
        )
    worst = math.inf
    return tuple(
        sorted(standings, key=lambda s: worst if s.mean_residual is None else s.mean_residual)
    )
