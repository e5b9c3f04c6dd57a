"""Sums per time bucket: fine for the last minutes, ever coarser further back; constant memory.

A round-robin archive: every range of the page is a ring of buckets of one width, and an event
counts in all whose window it lies in. What falls out of one ring is still in the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]


GROUP = 4  # buckets that are shown as one where a single one is too noisy


@dataclass(frozen=True)
class Span:
    """One range of time: `slots` buckets of `width_s` seconds."""

    name: str
    width_s: int
    slots: int


SPANS = (
    Span("5m", 1, 300),
    Span("1h", 15, 240),
    Span("24h", 360, 240),
    Span("14d", 5400, 224),
    Span("1y", 129_600, 244),
)


class Ring:
    """The buckets of one span.

    Attributes:
        span: width and number.
        bucket: int64[slots], which bucket (time / width) a slot holds; -1 if none.
        values: float64[slots, columns], sums.
    """

    def __init__(self, span: Span, columns: int) -> None:
        self.span = span
        self.bucket = np.full(span.slots, -1, np.int64)
        self.values = np.zeros((span.slots, columns))
        self.newest = -1

    def place(self, times_s: Integers) -> tuple[NDArray[np.bool_], Integers]:
        """Which times lie in the window, and the slots of those; older buckets make room.

        Args:
            times_s: int64[n], at least one.
        """
        buckets = times_s // self.span.width_s
        self.newest = max(self.newest, int(buckets.max()))
        keep = buckets > self.newest - self.span.slots
        fresh = np.unique(buckets[keep])
        slots = fresh % self.span.slots
        stale = self.bucket[slots] != fresh
        self.values[slots[stale]] = 0
        self.bucket[slots[stale]] = fresh[stale]
        return keep, buckets[keep] % self.span.slots

    def window(self, end_s: float) -> tuple[Integers, Numbers]:
        """Starts (seconds) and sums of the buckets up to `end_s`, oldest first, zeros for none.

        The last ones may lie behind `end_s`: groups of `GROUP` buckets always begin at the same
        times, or their sums would dance while the window moves.
        """
        last = (int(end_s) // self.span.width_s // GROUP + 1) * GROUP - 1
        wanted = np.arange(last - self.span.slots + 1, last + 1)
        slots = wanted % self.span.slots
        known = self.bucket[slots] == wanted
        return wanted * self.span.width_s, np.where(known[:, None], self.values[slots], 0.0)


class Series:
    """One choice's sums in all spans.

    Args:
        columns: names of the single sums.
        groups: names of sums by a code, and how many codes there are.
    """

    def __init__(self, columns: tuple[str, ...], groups: dict[str, int]) -> None:
        self._columns = {name: i for i, name in enumerate(columns)}
        self._groups: dict[str, tuple[int, int]] = {}
        width = len(columns)
        for name, count in groups.items():
            self._groups[name] = (width, count)
            width += count
        self.rings = {span.name: Ring(span, width) for span in SPANS}

    def add(
        self,
        times_s: Integers,
        sums: dict[str, Any],
        codes: dict[str, Any] | None = None,
    ) -> None:
        """Counts events.

        Args:
            times_s: int64[n].
            sums: column → float[n], or 1 for a count.
            codes: group → int[n], each within its number of codes.
        """
        if len(times_s) == 0:
            return
        for ring in self.rings.values():
            keep, slots = ring.place(times_s)
            n = ring.span.slots
            if len(slots) == 0:
                continue
            for name, weights in sums.items():
                part = None if np.isscalar(weights) else np.asarray(weights, np.float64)[keep]
                ring.values[:, self._columns[name]] += np.bincount(slots, part, n)
            for name, of in (codes or {}).items():
                first, count = self._groups[name]
                flat = np.bincount(slots * count + of[keep], minlength=n * count)
                ring.values[:, first : first + count] += flat.reshape(n, count)

    def put(self, time_s: int, values: dict[str, float]) -> None:
        """Sets columns of the bucket of a time: the last value in it stays."""
        for ring in self.rings.values():
            _, slots = ring.place(np.array([time_s], np.int64))
            for slot in slots:
                for name, value in values.items():
                    ring.values[slot, self._columns[name]] = value

    def forget(self, names: tuple[str, ...]) -> None:
        """Columns become zero, in every bucket."""
        for ring in self.rings.values():
            for name in names:
                ring.values[:, self._columns[name]] = 0

    def read(self, span: str, end_s: float) -> tuple[Integers, dict[str, Numbers]]:
        """Starts of the buckets; every column (float[slots]) and group (float[slots, codes])."""
        starts, values = self.rings[span].window(end_s)
        found = {name: values[:, i] for name, i in self._columns.items()}
        for name, (first, count) in self._groups.items():
            found[name] = values[:, first : first + count]
        return starts, found
