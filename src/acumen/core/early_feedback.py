"""Feedback that came before its decision: heard by another process, whose events were read first.

Streams are read side by side, so what one process heard may come a little before what another
has decided; between machines, a call or two before. It waits here, in bounded memory, until the
decision comes. What never finds one (it was made up, or its decision came long before) ages out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

EARLY_MAX = 1 << 14
_PREFIX = "early:"

Metrics = NDArray[np.float64]


class EarlyFeedback:
    """Waiting feedback, oldest first.

    Args:
        metrics: how many values each has.
    """

    def __init__(self, metrics: int) -> None:
        self._metrics = metrics
        self._waiting: dict[int, tuple[str, Metrics]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._waiting)

    def keep(self, stream: str, ids: NDArray[np.uint64], values: Metrics) -> None:
        """Takes feedback in; the first of each decision counts.

        Args:
            stream: whose process heard it.
            ids: of the decisions, as those who made them have numbered them.
            values: its metrics, one row each.
        """
        for number, row in zip(ids.tolist(), values, strict=True):
            self._waiting.setdefault(number, (stream, row.copy()))
        while len(self._waiting) > EARLY_MAX:
            del self._waiting[next(iter(self._waiting))]

    def due(self, made: NDArray[np.uint64]) -> dict[str, tuple[NDArray[np.uint64], Metrics]]:
        """What waited for these decisions, by the stream that heard it; it waits no longer."""
        if not self._waiting:
            return {}
        found: dict[str, list[tuple[int, Metrics]]] = {}
        for number in made.tolist():
            if number in self._waiting:
                stream, row = self._waiting.pop(number)
                found.setdefault(stream, []).append((number, row))
        return {
            stream: (
                np.array([n for n, _ in pairs], np.uint64),
                np.array([row for _, row in pairs]),
            )
            for stream, pairs in found.items()
        }

    def arrays(self) -> tuple[list[str], dict[str, NDArray[Any]]]:
        """For a checkpoint: names of streams, and arrays that refer to them."""
        streams = list(dict.fromkeys(stream for stream, _ in self._waiting.values()))
        place = {stream: i for i, stream in enumerate(streams)}
        values = np.array([row for _, row in self._waiting.values()], np.float64)
        return streams, {
            f"{_PREFIX}ids": np.array(list(self._waiting), np.uint64),
            f"{_PREFIX}streams": np.array([place[s] for s, _ in self._waiting.values()], np.uint64),
            f"{_PREFIX}values": values.reshape(-1),
        }

    def restore(self, streams: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
        """What `arrays` has said; nothing where it has said nothing.

        Raises:
            ValueError: it makes no sense.
        """
        nothing = np.empty(0, np.uint64)
        names = ("ids", "streams", "values")
        ids, places, values = (arrays.get(f"{_PREFIX}{name}", nothing) for name in names)
        if (
            not isinstance(streams, list)
            or not ids.dtype == places.dtype == np.uint64
            or not len(ids) == len(places) <= EARLY_MAX
            or len(values) != len(ids) * self._metrics
            or (len(places) and int(places.max()) >= len(streams))
        ):
            raise ValueError("early feedback that makes no sense")
        rows = values.reshape(len(ids), self._metrics).astype(np.float64)
        self._waiting = {
            int(number): (str(streams[int(place)]), row)
            for number, place, row in zip(ids.tolist(), places.tolist(), rows, strict=True)
        }


__all__ = ["EARLY_MAX", "EarlyFeedback"]
