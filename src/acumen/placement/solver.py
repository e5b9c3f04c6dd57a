"""Mixed-integer linear programs, solved by HiGHS: the one place that knows `highspy`.

Huangfu & Hall, "Parallelizing the dual revised simplex method", Math. Prog. Comp. 2018.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acumen.placement.graph import Floats

MISSING = "HiGHS is needed: pip install 'acumen[placement]'"


@dataclass
class Program:
    """Minimise cost x subject to lower <= x <= upper, row bounds, and x whole where it must be."""

    cost: list[float] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    rows: list[tuple[float, Sequence[int], Sequence[float], float]] = field(default_factory=list)

    def add(self, cost: float, upper: float = 1.0, whole: bool = False, lower: float = 0.0) -> int:
        """A new variable; its number."""
        self.cost.append(cost)
        self.lower.append(lower)
        self.upper.append(upper)
        self.whole.append(whole)
        return len(self.cost) - 1

    def row(
        self, lower: float, variables: Sequence[int], factors: Sequence[float], upper: float
    ) -> None:
        """A constraint: lower <= factors x variables <= upper."""
        self.rows.append((lower, variables, factors, upper))


@dataclass(frozen=True)
class Solution:
    """What came of a program.

    Attributes:
        value: of `x`, or infinity if none was found.
        bound: no solution has a lower value; minus infinity if nothing is known.
        x: the best solution found, or None; one value a variable.
        prices: the rows' dual values, of a program without whole variables.
    """

    value: float
    bound: float
    x: Floats | None
    prices: Floats


def available() -> bool:
    """Whether HiGHS can be imported."""
    try:
        import highspy  # noqa: F401
    except ImportError:
        return False
    return True


def solve(
    program: Program, seconds: float, gap: float = 0.0, start: Floats | None = None
) -> Solution:
    """Solves for so long at most, or until value and bound are within `gap` of each other.

    One thread, so that the same program has the same solution if there is time enough.

    Raises:
        ImportError: HiGHS is not installed.
    """
    try:
        import highspy
    except ImportError as error:
        raise ImportError(MISSING) from error
    solver = _silent(highspy)
    for option, setting in (
        ("threads", 1),
        ("time_limit", max(seconds, 0.01)),
        ("mip_rel_gap", gap),
    ):
        solver.setOptionValue(option, setting)
    solver.passModel(_model(program, highspy))
    if start is not None:
        known = highspy.HighsSolution()
        known.col_value = start.tolist()
        solver.setSolution(known)
    solver.run()
    info, answer = solver.getInfo(), solver.getSolution()
    mixed = any(program.whole)
    status = solver.getModelStatus()
    done = status == highspy.HighsModelStatus.kOptimal
    found = done or (mixed and math.isfinite(info.objective_function_value) and info.valid)
    value = info.objective_function_value if found else math.inf
    bound = info.mip_dual_bound if mixed else (value if done else -math.inf)
    if status == highspy.HighsModelStatus.kInfeasible:
        bound = math.inf
    x = np.array(answer.col_value, np.float64) if found and math.isfinite(value) else None
    return Solution(value, bound, x, np.array(answer.row_dual, np.float64))


def _silent(highspy: Any) -> Any:
    """A solver that prints nothing: others greet while they are built, before options are heard."""

    class Silent(highspy.Highs):  # type: ignore[misc]
        def enableCallbacks(self) -> None:  # noqa: N802
            self.silent()
            super().enableCallbacks()

    solver = Silent()
    solver.silent()
    return solver


def _model(program: Program, highspy: Any) -> Any:
    columns, rows = len(program.cost), program.rows
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = columns, len(rows)
    lp.col_cost_ = np.array(program.cost, np.float64)
    lp.col_lower_ = np.array(program.lower, np.float64)
    lp.col_upper_ = np.array(program.upper, np.float64)
    lp.row_lower_ = np.array([row[0] for row in rows], np.float64)
    lp.row_upper_ = np.array([row[3] for row in rows], np.float64)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.cumsum([0, *(len(row[1]) for row in rows)]).astype(np.int32)
    lp.a_matrix_.index_ = np.array([v for row in rows for v in row[1]], np.int32)
    lp.a_matrix_.value_ = np.array([f for row in rows for f in row[2]], np.float64)
    if any(program.whole):
        kinds = highspy.HighsVarType
        lp.integrality_ = [kinds.kInteger if w else kinds.kContinuous for w in program.whole]
    return lp
