"""A race of your own: a learned search against binary search and the bound.

Everything a race needs is in this file. A package names such an object in the entry point group
`acumen.races`, and `acumen race searching` finds it; here it is run directly.

    python examples/race_of_your_own.py
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from acumen.evaluation import (
    Ask,
    Contender,
    Measurement,
    Metric,
    Prepared,
    Result,
    Row,
    Workload,
    run,
)
from acumen.evaluation.terminal import tables

LOOKUPS = 500


def prepare(kind: str, scratch: Path) -> Prepared:
    """Writes sorted keys where every contender finds them."""
    draw = getattr(np.random.default_rng(1), kind)
    np.save(scratch / "keys.npy", np.sort(draw(size=100_000)))
    return Prepared(scratch / "keys.npy", (1_000.0, 10_000.0, 100_000.0), LOOKUPS)


def binary(keys: np.ndarray, key: float) -> int:
    """Keys that binary search looks at: half of what is left goes each time."""
    return len(keys).bit_length()


def learned(keys: np.ndarray, key: float) -> int:
    """Straight lines over 64 pieces say where to start; steps that double, then halve, finish."""
    edges = np.linspace(0, len(keys) - 1, 65).astype(int)
    guess = int(np.interp(key, keys[edges], edges))
    return 1 + 2 * abs(guess - int(np.searchsorted(keys, key))).bit_length()


def oracle(keys: np.ndarray, key: float) -> int:
    """Nobody finds a key without looking at one."""
    return 1


def measure(
    search: Callable[[np.ndarray, float], int], path: Path, setting: float, seed: int
) -> Measurement:
    """The mean number of keys that a search looks at; runs in another process."""
    keys = np.load(path)[:: int(100_000 / setting)]
    wanted = np.random.default_rng(seed).choice(keys, LOOKUPS)
    start = time.process_time()
    value = float(np.mean([search(keys, key) for key in wanted]))
    return Measurement(value, LOOKUPS, time.process_time() - start)


class SearchRace:
    """Four things: workloads, contenders, metric and bound."""

    domain = "searching"
    summary = "where to look first in a sorted array"
    metric = Metric("probes", "minimize", "keys looked at", "number of keys", "lookups")

    def workloads(self, ask: Ask) -> Sequence[Workload]:
        """Three kinds of keys."""
        kinds = ("uniform", "standard_normal", "standard_exponential")
        return [Workload(kind, partial(prepare, kind)) for kind in kinds]

    def contenders(self, ask: Ask) -> Sequence[Contender]:
        """The learned one runs with three seeds: its row gets a 95 % interval."""
        return [
            Contender("learned", "learned", partial(measure, learned), repeats=3),
            Contender("binary", "heuristic", partial(measure, binary), default=True),
        ]

    def bound(self, ask: Ask) -> Contender | None:
        """One look."""
        return Contender("oracle", "bound", partial(measure, oracle))

    def notes(self, ask: Ask) -> Sequence[str]:
        """Nothing to say."""
        return []


if __name__ == "__main__":
    race = SearchRace()
    result = Result(race.domain, race.metric, seed=0, machine="")
    result.rows += [event for event in run(race, Ask(), jobs=2) if isinstance(event, Row)]
    for table in tables(result, default="binary", width=100):
        Console(width=100).print(table)
