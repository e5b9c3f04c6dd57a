"""Reads logs in the format of the Open Bandit Dataset.

One row is one item shown at one of three positions of a page: timestamp, item_id, position, click
and propensity_score, the probability with which the logging policy showed this item at this
position; then hashed user features and the user's affinity to each item. Where positions stand,
the arms' probabilities differ, so that a policy has one distribution for each: `at_positions`
spreads such a matrix over the rows. Clicks at different positions count alike, as in the paper: the
value of a policy is its clicks a shown item.

References:
    Saito, Aihara, Matsutani & Narita, "Open Bandit Dataset and Pipeline: towards realistic and
    reproducible off-policy evaluation", NeurIPS 2021, Datasets and Benchmarks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acumen.core.context import Category, Schema
from acumen.evaluation.off_policy import DecisionLog, LogError

if TYPE_CHECKING:
    import pyarrow as pa

_NEEDED = ("item_id", "position", "click", "propensity_score")
_USER = "user_feature_"
_AFFINITY = "user-item_affinity_"
# So many buckets at most a hashed user feature: more values share them.
_BUCKETS_MAX = 16
_INDEX_MAX = 1 << 31


@dataclass(frozen=True)
class OpenBanditLog:
    """A log of shown items.

    Attributes:
        log: the decisions; context: position, user features and, if asked for, affinities.
        position: int64[n], from 0.
        positions: how many there are.
    """

    log: DecisionLog
    position: NDArray[np.int64]
    positions: int

    def at_positions(self, policy: ArrayLike) -> NDArray[np.float64]:
        """float64[n, arms] from float[positions, arms], a policy that does not look at users.

        Raises:
            ValueError: another shape.
        """
        matrix = np.asarray(policy, np.float64)
        if matrix.shape != (self.positions, self.log.arms):
            raise ValueError(
                f"the policy has shape {matrix.shape}, not {(self.positions, self.log.arms)}"
            )
        return np.asarray(matrix[self.position])


def read_open_bandit(
    path: str | os.PathLike[str],
    *,
    items: int | None = None,
    positions: int | None = None,
    affinity: bool = False,
) -> OpenBanditLog:
    """Reads one of the data set's CSV files.

    Args:
        path: the file, such as ``random/all/all.csv``.
        items: how many there are; None: as many as the file has affinities for, or else as its
            largest item_id tells.
        positions: how many there are; None: as many as the largest in the file.
        affinity: whether the context has the user's affinity to every item.

    Raises:
        LogError: columns are missing, or values are impossible.
        OSError: the file cannot be read.
    """
    try:
        return _read(_table(os.fspath(path)), items, positions, affinity)
    except LogError as error:
        raise LogError(f"{os.fspath(path)}: {error}") from None


def _table(path: str) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    try:
        table = csv.read_csv(path)
        names = table.column_names
    except pa.ArrowException as error:
        raise LogError(_first_line(error)) from None
    except UnicodeDecodeError as error:
        raise LogError(f"a column's name is no text: {error}") from None
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise LogError(f"no column {missing[0]!r}")
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise LogError(f"two columns {repeated[0]!r}")
    return table


def _read(
    table: pa.Table, items: int | None, positions: int | None, affinity: bool
) -> OpenBanditLog:
    item, place = _indices(table, "item_id"), _indices(table, "position") - 1
    count = positions or int(place.max(initial=0)) + 1
    if ((place < 0) | (place >= count)).any():
        raise LogError(f"positions count from 1 to {count}")
    affinities = [name for name in table.column_names if name.startswith(_AFFINITY)]
    context = [place.astype(np.float64)]
    try:
        types: dict[str, object] = {"position": Category(buckets=count)}
        for name in table.column_names:
            if name.startswith(_USER):
                codes = _codes(table, name)
                types[name] = Category(buckets=int(codes.max(initial=0)) + 1)
                context.append(codes)
        for name in affinities if affinity else ():
            types[name.replace("-", "_")] = float
            context.append(_numbers(table, name))
        schema = Schema(types)
    except LogError:
        raise
    except ValueError as error:
        raise LogError(str(error)) from None
    log = DecisionLog.of(
        item,
        _numbers(table, "propensity_score"),
        _numbers(table, "click"),
        arms=items or len(affinities) or None,
        context=np.column_stack(context),
        schema=schema,
    )
    return OpenBanditLog(log, place, count)


def bernoulli_thompson(
    successes: ArrayLike,
    failures: ArrayLike,
    *,
    positions: int = 3,
    draws: int = 100_000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """The probability with which Bernoulli Thompson sampling shows each item at each position.

    Rates are drawn from Beta(successes, failures), and the items with the largest go to the
    positions in order: the data set's other policy, with the parameters that its authors publish.

    Args:
        successes: float[items], first parameter of each item's Beta distribution.
        failures: float[items], the second.
        positions: items on a page.
        draws: how many; the error of a probability p is about sqrt(p / draws).
        seed: of the draws.

    Returns:
        float64[positions, items]; rows sum to 1.

    >>> bernoulli_thompson([1, 90], [99, 10], positions=1, draws=100).tolist()
    [[0.0, 1.0]]
    """
    a, b = np.asarray(successes, np.float64), np.asarray(failures, np.float64)
    rng = np.random.default_rng(seed)
    shown = np.zeros((positions, len(a)))
    left = draws
    while left:
        batch = min(left, 10_000)
        rates = rng.beta(a, b, (batch, len(a)))
        best = np.argsort(-rates, axis=1)[:, :positions]
        for place in range(positions):
            shown[place] += np.bincount(best[:, place], minlength=len(a))
        left -= batch
    return shown / draws


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    import pyarrow as pa

    try:
        return np.array(table[name].cast(pa.float64()).to_numpy(), np.float64)
    except pa.ArrowException as error:
        raise LogError(f"column {name!r} holds no numbers: {_first_line(error)}") from None


def _indices(table: pa.Table, name: str) -> NDArray[np.int64]:
    values = _numbers(table, name)
    if not ((values == np.floor(values)) & (np.abs(values) < _INDEX_MAX)).all():
        raise LogError(f"column {name!r} must hold indices")
    return values.astype(np.int64)


def _codes(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Places of the most frequent values; all others share the last."""
    import pyarrow as pa

    try:
        column = table[name].cast(pa.string())
    except pa.ArrowException as error:
        raise LogError(f"column {name!r} is no text: {_first_line(error)}") from None
    texts = np.asarray(column.fill_null("").to_pylist(), dtype=np.str_)
    values, inverse, counts = np.unique(texts, return_inverse=True, return_counts=True)
    rank = np.empty(len(values))
    rank[np.lexsort((values, -counts))] = np.arange(len(values))
    return np.asarray(np.minimum(rank[inverse], _BUCKETS_MAX - 1), np.float64)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
