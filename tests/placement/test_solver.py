"""Programs that HiGHS solves."""

from __future__ import annotations

import numpy as np
import pytest

from acumen.placement.solver import Program, solve

pytest.importorskip("highspy")


def two_variables(whole: bool) -> Program:
    """Maximise x + 2 y where x + y ≤ 4.5, y ≤ 3 and x ≤ 2."""
    program = Program()
    x, y = program.add(-1.0, 2.0, whole), program.add(-2.0, 3.0, whole)
    program.row(-np.inf, (x, y), (1.0, 1.0), 4.5)
    return program


@pytest.mark.parametrize(("whole", "wanted"), [(False, [1.5, 3.0]), (True, [1.0, 3.0])])
def test_a_program_is_solved(whole: bool, wanted: list[float]) -> None:
    solved = solve(two_variables(whole), 10.0)
    assert solved.x is not None
    np.testing.assert_allclose(solved.x, wanted)
    assert solved.value == pytest.approx(solved.bound) == pytest.approx(-wanted[0] - 6.0)


def test_what_contradicts_itself_has_no_solution() -> None:
    program = two_variables(False)
    program.row(9.0, (0,), (1.0,), np.inf)
    assert solve(program, 10.0).x is None


def test_it_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    solve(two_variables(True), 10.0, start=np.array([1.0, 1.0]))
    assert capfd.readouterr() == ("", "")
