"""What a model expects of every arm in every row, taught with the other rows only.

The models are the library's own learners, by default the binned additive one: a ridge regression
an arm plus a curve for each input. Doubly robust estimates stay unbiased however bad the model is,
as long as it has not seen the reward that it is compared with; hence the folds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.core.choice import Choice
from acumen.core.learner import LearnerSpec
from acumen.evaluation.off_policy.log import DecisionLog, LogError


def expected_rewards(
    log: DecisionLog, spec: LearnerSpec | None = None, *, folds: int = 5, seed: int = 0
) -> NDArray[np.float64]:
    """Cross-fitted expectations.

    Args:
        log: rows that all have a reward.
        spec: a learner that models rewards, from `acumen.learners`; None: what choices use.
        folds: parts into which the rows are dealt at random; every row is predicted by a model
            that was taught with the other parts.
        seed: of the dealing.

    Returns:
        float64[n, arms].

    Raises:
        ValueError: fewer than 2 folds.
        LogError: the learner models no rewards, or the context is too wide for it.
    """
    if folds < 2:
        raise ValueError(f"cross-fitting needs at least 2 folds, not {folds}")
    spec = spec or Choice.default_learner
    if spec is None:
        raise TypeError("no learner was given, and acumen.learners has set no default")
    # An indicator for values that are never missing would only make the model slower.
    gaps = np.asarray(np.isnan(log.context).any(axis=0))
    fields = tuple(
        (field.kind, bool(gap), field.buckets)
        for field, gap in zip(log.schema.fields, gaps, strict=True)
    )
    dimension = _native.schema_dimension(fields)
    try:
        x = _native.encode(fields, np.ascontiguousarray(log.context))
        learner = spec.build(dimension, log.arms, 0)
    except ValueError as error:
        raise LogError(f"no reward model can be taught: {error}") from None
    if not isinstance(learner, _native.Learner):
        raise LogError(f"{spec!r} is no learner that models rewards")
    bad = np.isnan(x).any(1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise LogError(f"row {row}: unusable context {log.context[row]}")
    fold = np.random.default_rng(seed).permutation(len(log)) % folds
    try:
        predicted = _native.cross_fit(
            learner,
            x,
            log.arm.astype(np.uint32),
            log.reward.astype(np.float32),
            fold.astype(np.uint32),
            folds,
        )
    except ValueError as error:
        raise LogError(f"{spec!r}: {error}") from None
    return predicted.astype(np.float64)
