"""What a choice's learned policy would do, without choosing: for evaluation and for looking at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from acumen.core.choice import Choice


def distributions(choice: Choice, rows: ArrayLike) -> NDArray[np.float32]:
    """The learned policy's probabilities in many contexts; nothing is chosen, learned or counted.

    Neither mode nor holdback take part: these are the probabilities of the learned policy alone.

    Args:
        choice: the choice that is asked; it stays as it is.
        rows: float[n, fields], in schema order.

    Returns:
        float32[n, arms]; NaN in every place of a row that has an unusable value, or for which a
        learner written in Python has no answer.

    Raises:
        TypeError: the choice takes candidates.
        ValueError: rows of another width.
    """
    if choice._arms.takes_candidates:
        raise TypeError("distributions() is for fixed arms; candidates come with single calls")
    return choice._distributions(np.ascontiguousarray(rows, dtype=np.float64))
