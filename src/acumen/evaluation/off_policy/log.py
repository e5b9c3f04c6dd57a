"""The log that a policy is judged from: what was decided, how surely, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acumen.core.context import Category, Schema

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Propensities come as float32: a sum of probabilities may exceed 1 by its rounding.
ROUNDING = 1e-5


class LogError(ValueError):
    """A log that nothing can be said from: impossible values, or columns that are missing."""


@dataclass(frozen=True)
class DecisionLog:
    """Decisions of one place in a program, one row each.

    What an estimate assumes of it: in every row the arm was drawn with the probability that
    stands there; rewards that are missing are missing whatever they would have been, given context
    and arm; and what one decision does has no effect on the context of a later one.

    Attributes:
        arm: int64[n], indices of the arms that were taken.
        propensity: float64[n], the probability with which each was taken, in (0, 1].
        reward: float64[n], more is better; NaN where none has come.
        arms: how many arms there are.
        context: float64[n, fields], in the order of `schema`; NaN where a value is missing.
        schema: names and types of the context's columns.
        levels: for columns that came as text: name → the texts that their codes stand for.
        logging: float64[n, arms] or None: the whole distribution of the logging policy, where it
            is known. `Switch` needs it, and the sample size is judged more exactly with it.
        id: uint64[n] or None.
        default: int64[n] or None: the arms that the program's default would have taken.
        labels: the arms' names, where the records tell them.
        excluded: reason → rows left out, because no coin decided there (see `read_records`).
        duplicates: rows left out because their id had been met before.

    Raises:
        LogError: shapes that differ, arms that are none, or propensities outside (0, 1].

    >>> log = DecisionLog.of(arm=[0, 1, 1], propensity=[0.5, 0.5, 0.5], reward=[1.0, 0.0, 1.0])
    >>> log.arms, len(log)
    (2, 3)
    """

    arm: Indices
    propensity: Floats
    reward: Floats
    arms: int
    context: Floats
    schema: Schema
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    logging: Floats | None = None
    id: NDArray[np.uint64] | None = None
    default: Indices | None = None
    labels: tuple[str, ...] = ()
    excluded: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0

    def __post_init__(self) -> None:
        n = len(self.arm)
        if not (self.propensity.shape == self.reward.shape == self.arm.shape == (n,)):
            raise LogError("arm, propensity and reward must be of one length")
        if self.context.shape != (n, len(self.schema.fields)):
            raise LogError(
                f"the context has shape {self.context.shape}, not {(n, len(self.schema.fields))}"
            )
        if self.logging is not None and self.logging.shape != (n, self.arms):
            raise LogError(f"logging has shape {self.logging.shape}, not {(n, self.arms)}")
        _refuse(
            (self.arm < 0) | (self.arm >= self.arms), f"is no index of {self.arms} arms", self.arm
        )
        _refuse(
            ~((self.propensity > 0) & (self.propensity <= 1)),
            "is no probability with which an arm can have been taken",
            self.propensity,
        )
        _refuse(np.isinf(self.reward), "is no reward", self.reward)

    def __len__(self) -> int:
        """Rows, those without a reward included."""
        return len(self.arm)

    @classmethod
    def of(
        cls,
        arm: ArrayLike,
        propensity: ArrayLike,
        reward: ArrayLike,
        *,
        arms: int | None = None,
        context: ArrayLike | None = None,
        schema: Schema | None = None,
        logging: ArrayLike | None = None,
        ids: ArrayLike | None = None,
    ) -> DecisionLog:
        """A log from arrays; see the class for what they are.

        Args:
            arm: int[n].
            propensity: float[n]; what exceeds 1 by the rounding of float32 counts as 1.
            reward: float[n].
            arms: None: as many as the largest index tells.
            context: float[n, fields]; None: nothing is known.
            schema: None: every column is a number.
            logging: float[n, arms].
            ids: int[n]; of rows with one id the first that has a reward counts.

        Raises:
            LogError: as the class.
        """
        taken = np.asarray(arm)
        if taken.dtype.kind not in "iu":
            raise LogError(f"arms are indices, not {taken.dtype}")
        chances = np.asarray(propensity, np.float64)
        chances = np.where((chances > 1) & (chances <= 1 + ROUNDING), 1.0, chances)
        rows = np.zeros((len(taken), 0)) if context is None else np.asarray(context, np.float64)
        if rows.ndim != 2:
            raise LogError(f"the context has {rows.ndim} dimensions, not rows and columns")
        log = cls(
            arm=taken.astype(np.int64),
            propensity=chances,
            reward=np.asarray(reward, np.float64),
            arms=int(taken.max(initial=0)) + 1 if arms is None else arms,
            context=rows,
            schema=schema or numbers(rows),
            logging=None if logging is None else np.asarray(logging, np.float64),
            id=None if ids is None else np.asarray(ids, np.uint64),
        )
        return log.without_duplicates()

    def take(self, rows: NDArray[np.bool_] | Indices) -> DecisionLog:
        """Only these rows; counts stay what they are."""
        return DecisionLog(
            arm=self.arm[rows],
            propensity=self.propensity[rows],
            reward=self.reward[rows],
            arms=self.arms,
            context=self.context[rows],
            schema=self.schema,
            levels=self.levels,
            logging=None if self.logging is None else self.logging[rows],
            id=None if self.id is None else self.id[rows],
            default=None if self.default is None else self.default[rows],
            labels=self.labels,
            excluded=self.excluded,
            duplicates=self.duplicates,
        )

    def without_duplicates(self) -> DecisionLog:
        """One row an id: the first that has a reward, or else the first.

        Raises:
            LogError: rows of one id tell of different arms or propensities.
        """
        if self.id is None or len(np.unique(self.id)) == len(self):
            return self
        order = np.lexsort((np.arange(len(self)), np.isnan(self.reward), self.id))
        ids = self.id[order]
        first = np.r_[True, ids[1:] != ids[:-1]]
        leader = order[first][np.cumsum(first) - 1]
        same = (self.arm[order] == self.arm[leader]) & (
            self.propensity[order] == self.propensity[leader]
        )
        if not same.all():
            row = order[np.flatnonzero(~same)[0]]
            raise LogError(f"two different decisions have the id {self.id[row]}")
        kept = self.take(np.sort(order[first]))
        object.__setattr__(kept, "duplicates", self.duplicates + len(self) - len(kept))
        return kept


def numbers(rows: Floats) -> Schema:
    """The schema of a matrix of numbers, which may lack any.

    Raises:
        LogError: more columns than a context may have.
    """
    try:
        return Schema({f"x{i}": float | None for i in range(rows.shape[1])})
    except ValueError as error:
        raise LogError(str(error)) from None


def categories(levels: int) -> Category:
    """The type of a column with so many different texts."""
    return Category(buckets=max(levels, 1), optional=True)


def _refuse(bad: NDArray[np.bool_], complaint: str, values: NDArray[np.generic]) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise LogError(f"row {row}: {values[row]} {complaint} ({int(bad.sum())} such rows)")
