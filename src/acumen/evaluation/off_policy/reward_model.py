"""What a model expects of every arm in every row, without having seen that row's reward.

The models are the library's own learners, by default the binned additive one: a ridge regression
an arm plus a curve for each input. Doubly robust estimates stay unbiased however bad the model is,
as long as it has not seen the reward that it is compared with.

By default every row is predicted from the rows before it. In folds, as is usual elsewhere, models
are taught with more rows, and estimates vary less; but two rows each sway what is expected of the
other, so that their errors go together, which no standard error of single rows knows: intervals
hold a little less often where models have many weights for the rows that there are
(docs/results/off_policy.md). In order, no pair of rows does that, also where the policy of the log
learned from earlier rows.

In order, a model is also listened to no more than it deserves: its expectations are shrunk towards
each arm's mean by the slope of the rewards on them so far, rows weighed with their part in the
estimate's variance.

References:
    Chernozhukov et al., "Double/debiased machine learning for treatment and structural
    parameters", Econometrics Journal 2018. Luedtke & van der Laan, "Statistical inference for the
    mean outcome under a possibly non-unique optimal treatment strategy", Annals of Statistics 2016.
    Farajtabar, Chow & Ghavamzadeh, "More robust doubly robust off-policy evaluation", ICML 2018.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.core.choice import Choice
from acumen.core.learner import LearnerSpec
from acumen.evaluation.off_policy.log import DecisionLog, LogError


def expected_rewards(
    log: DecisionLog,
    spec: LearnerSpec | None = None,
    *,
    folds: int | None = None,
    seed: int = 0,
    weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Cross-fitted expectations.

    Args:
        log: rows that all have a reward.
        spec: a learner that models rewards, from `acumen.learners`; None: what choices use.
        folds: None: every row is predicted from those before it. Else the parts into which rows
            are dealt at random, and every part is predicted from all others.
        seed: of the dealing.
        weight: float64[n], how much it matters that each row is predicted well; None: all alike.
            In order, it tells how far the model is trusted at all; see `Trust` in cross_fit.hpp.

    Returns:
        float64[n, arms].

    Raises:
        ValueError: fewer than 2 folds.
        LogError: the learner models no rewards, or the context is too wide for it.
    """
    if folds is not None and folds < 2:
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
    fold = np.random.default_rng(seed).permutation(len(log)) % (folds or 1)
    try:
        predicted = _native.cross_fit(
            learner,
            x,
            log.arm.astype(np.uint32),
            log.reward.astype(np.float32),
            fold.astype(np.uint32),
            folds or 0,
            np.ones(len(log)) if weight is None else np.ascontiguousarray(weight, np.float64),
        )
    except ValueError as error:
        raise LogError(f"{spec!r}: {error}") from None
    return predicted.astype(np.float64)
