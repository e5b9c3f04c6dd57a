"""Linear programs, solved by HiGHS through scipy, which is optional: the extra `placement`."""

from __future__ import annotations

import numpy as np

from acumen.placement.graph import Floats, Ints


def minimise(
    cost: Floats, cells: tuple[Ints, Ints, Floats], most: Floats, upper: Floats, seconds: float
) -> Floats | None:
    """The x ≥ 0 of the least cost · x with matrix · x ≤ most and x ≤ upper.

    Args:
        cost: shape (c,).
        cells: rows, columns and values of the matrix's entries; those of one place are added up.
        most: shape (r,).
        upper: may be infinite; shape (c,).
        seconds: how long to try.

    Returns:
        x of shape (c,); None: there is none, it was not found in time, or scipy is not installed.
    """
    try:
        from scipy.optimize import linprog
        from scipy.sparse import csr_array
    except ImportError:
        return None
    rows, columns, values = cells
    matrix = csr_array((values, (rows, columns)), shape=(len(most), len(cost)))
    bounds = np.column_stack([np.zeros(len(cost)), upper])
    answer = linprog(
        cost, A_ub=matrix, b_ub=most, bounds=bounds, options={"time_limit": max(seconds, 0.0)}
    )
    return np.asarray(answer.x, np.float64) if answer.status == 0 else None
