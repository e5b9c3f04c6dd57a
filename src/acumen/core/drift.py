"""Drift: notices that rewards or contexts are no longer what they were.

A detector watches one stream of numbers or category codes. The guarantee is about false alarms: on
a stationary stream, whatever its distribution, an alarm within any N values has a probability of
at most N / `records_per_alarm`. How soon a real change is noticed depends on its size; see
docs/evaluation.md for measured delays.

What is watched should be stationary while all is well. Rewards of a policy that learns are not:
watch those of the default's share, or for falls alone, which the guarantee allows to rise. Values
that hang together in time (a load that comes and goes with the hour) are not independent, and a
detector takes their ups and downs for drift.

References:
    Vovk et al., "Retrain or not retrain: conformal test martingales for change-point detection",
    COPA 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acumen import _native
from acumen.core.context import Field, Schema

KINDS = ("higher", "lower", "wider", "narrower", "other")


@dataclass(frozen=True)
class Drift:
    """An alarm.

    Attributes:
        name: the stream's.
        index: the value, among those of the call, at which it was given.
        records: values that had been compared until then.
        since: the latest so many of them are what the drift seems to consist of.
        kind: ``higher``, ``lower``, ``wider`` or ``narrower`` than before, missing values counting
            as the highest; or, of categories, ``other``.
    """

    name: str
    index: int
    records: int
    since: int
    kind: str


class DriftDetector:
    """Watches one stream; constant memory, well under a microsecond a value.

    The first 256 numbers choose bins and are compared with nothing; categories are compared
    from the first value on. After an alarm the detector starts afresh: what comes then is its new
    reference.

    Args:
        records_per_alarm: at least so many values come between false alarms on average.
        categories: whether values are codes without an order.
        falls: whether falling values alone are drift. False alarms are then as rare in streams that
            rise, each value stochastically no smaller than the one before.
        name: of the stream, for alarms.
        seed: of the coin that breaks ties.

    Raises:
        ValueError: an impossible `records_per_alarm`, or categories that are to fall.

    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> detector = DriftDetector(name="seconds")
    >>> detector.update(rng.pareto(1.5, 20_000))
    []
    >>> [alarm] = detector.update(rng.pareto(1.5, 500) * 2)
    >>> alarm.kind, alarm.index < 250
    ('higher', True)
    """

    def __init__(
        self,
        *,
        records_per_alarm: float = 1e6,
        categories: bool = False,
        falls: bool = False,
        name: str = "",
        seed: int = 0,
    ) -> None:
        if not (math.isfinite(records_per_alarm) and records_per_alarm >= 1):
            raise ValueError(f"records_per_alarm must be 1 or more, not {records_per_alarm}")
        self.name = name
        self.records_per_alarm = records_per_alarm
        self._detector = _native.DriftDetector(
            records_per_alarm, categories, falls, seed % (1 << 64)
        )

    def update(self, values: ArrayLike) -> list[Drift]:
        """Takes values in their order; the alarms among them, mostly none.

        Args:
            values: float[n], or one; NaN counts as a value of its own: missing.
        """
        return list(self._update(np.atleast_1d(np.ascontiguousarray(values, np.float64))))

    def _update(self, values: NDArray[np.float64]) -> Iterator[Drift]:
        start = 0
        while (found := self._detector.see_all(values[start:])) >= 0:
            kind = KINDS[self._detector.kind]
            yield Drift(
                self.name, start + found, self._detector.records, self._detector.since, kind
            )
            self._detector.restart()
            start += found + 1

    def restart(self) -> None:
        """Forgets the stream: the next values are the new reference."""
        self._detector.restart()

    @property
    def evidence(self) -> float:
        """Of a drift, from 0 to 1, where the alarm is; grows about exponentially during one."""
        return self._detector.evidence

    @property
    def records(self) -> int:
        """Values that were compared since the last alarm."""
        return self._detector.records


def is_old(values: NDArray[np.float64], field: Field) -> NDArray[np.bool_]:
    """Which values of a field a detector should see: all but marks of categories met first.

    A choice records a code as *unseen* when it first appears. That happens early and then no more,
    which is no drift of the world.
    """
    if field.buckets:
        return np.asarray(values != field.buckets)
    return np.ones(len(values), bool)


class DriftMonitor:
    """Watches every field of a context, and a reward: one detector each.

    Args:
        schema: names and types of the fields.
        records_per_alarm: at least so many rows come between false alarms on average, of all
            detectors together.
        seed: of the coins that break ties.

    >>> import numpy as np
    >>> from acumen.core import Schema
    >>> rng = np.random.default_rng(2)
    >>> monitor = DriftMonitor(Schema({"size": float, "kind": str}))
    >>> rows = np.column_stack([rng.lognormal(size=20_000), rng.integers(16, size=20_000)])
    >>> monitor.update(rows, rng.normal(size=20_000))
    []
    >>> rows[:, 1] = np.minimum(rows[:, 1], 3)
    >>> {alarm.name for alarm in monitor.update(rows)}
    {'kind'}
    """

    def __init__(self, schema: Schema, *, records_per_alarm: float = 1e6, seed: int = 0) -> None:
        self._fields = schema.fields
        # Each has its part of the allowance.
        share = records_per_alarm * (len(schema.fields) + 1)
        names = (*schema.names, "reward")
        categories = (*(field.buckets > 0 for field in schema.fields), False)
        self.detectors = tuple(
            DriftDetector(records_per_alarm=share, categories=category, name=name, seed=seed + i)
            for i, (name, category) in enumerate(zip(names, categories, strict=True))
        )

    def update(self, rows: ArrayLike, rewards: ArrayLike | None = None) -> list[Drift]:
        """Takes rows, and rewards where there are new ones; the alarms among them.

        Args:
            rows: float[n, fields], in schema order.
            rewards: float[m]; they need not belong to these rows.

        Raises:
            ValueError: rows of another width.
        """
        matrix = np.asarray(rows, np.float64)
        if matrix.ndim != 2 or matrix.shape[1] != len(self.detectors) - 1:
            raise ValueError(f"rows have shape {matrix.shape}, not (n, {len(self.detectors) - 1})")
        alarms = []
        for column, field, detector in zip(matrix.T, self._fields, self.detectors, strict=False):
            kept = np.flatnonzero(is_old(column, field))
            alarms += [
                replace(alarm, index=int(kept[alarm.index]))
                for alarm in detector.update(column[kept])
            ]
        return alarms + ([] if rewards is None else self.detectors[-1].update(rewards))
