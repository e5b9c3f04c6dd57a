"""How look-ups are timed, for the race and the benchmarks: the same for everybody.

All that stand in one field have the same sorted keys, in the same memory (NumPy asks for huge pages
for large arrays), and answer the same queries; these are given to each in the type that it takes,
which is made before the clock starts. Everyone allocates its answer while the clock runs; then it
is compared with NumPy's. Time is of the processor, that of other threads included.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.evaluation import BrokenError, Contender, Measurement
from acumen.index.workloads import Asked, Keys, KeySet, Kind

__all__ = [
    "Field",
    "Lookup",
    "Task",
    "bound_contender",
    "contender",
    "field_of",
    "keys_bytes",
    "measure",
    "timed",
]


@dataclass(frozen=True, slots=True)
class Task:
    """A workload: whose keys, which queries, and how many of them at once."""

    keys: KeySet
    kind: Kind
    queries: int


@dataclass(frozen=True)
class Lookup:
    """A structure over sorted keys.

    Attributes:
        run: positions of queries, as an array that it allocates.
        nbytes: what it holds in memory beside the keys.
        take: makes of queries what `run` wants, outside the clock.
    """

    run: Callable[[Any], Any]
    nbytes: int = 0
    take: Callable[[Keys], Any] = lambda queries: queries


Build = Callable[[Keys], Lookup]


@dataclass
class Field:
    """Keys, and what was built over them so far."""

    keys: Keys
    built: dict[str, Lookup | BrokenError] = field(default_factory=dict)
    build_seconds: dict[str, float] = field(default_factory=dict)
    _asked: tuple[Any, Asked] | None = None

    def lookup(self, name: str, build: Build) -> Lookup:
        """The structure of a contender, built when first asked for.

        Raises:
            BrokenError: it cannot be built over these keys.
        """
        if name not in self.built:
            start = time.process_time()
            try:
                self.built[name] = build(self.keys)
            except BrokenError as error:
                self.built[name] = error
            self.build_seconds[name] = time.process_time() - start
        found = self.built[name]
        if isinstance(found, BrokenError):
            raise found
        return found

    def asked(self, kind: Kind, count: int, seed: int) -> Asked:
        """Queries: the same for all who ask with the same seed."""
        which = (kind, count, seed)
        if self._asked is None or self._asked[0] != which:
            self._asked = which, Asked.among(self.keys, kind, count, seed)
        return self._asked[1]

    @functools.cached_property
    def words(self) -> NDArray[Any]:
        """(n,) unsigned: the bits of each key; of texts the first eight bytes, side by side."""
        if self.keys.dtype.kind != "O":
            return self.keys.view(f"u{self.keys.dtype.itemsize}")
        return np.frombuffer(b"".join(as_bytes(key)[:8].ljust(8) for key in self.keys), np.uint64)


@functools.lru_cache(maxsize=1)
def field_of(keys: KeySet, count: int) -> Field:
    """The field of this process; the one before is forgotten."""
    return Field(keys.keys(count))


def timed(run: Callable[[Any], Any], queries: Any) -> tuple[float, Any]:
    """Seconds of processor time, and the answer."""
    start = time.process_time()
    answer = run(queries)
    return time.process_time() - start, answer


def measure(name: str, build: Build, task: Task, setting: float, seed: int) -> Measurement:
    """One batch of look-ups among `setting` keys.

    Raises:
        BrokenError: the structure cannot be built over these keys.
        RuntimeError: an answer is wrong.
    """
    here = field_of(task.keys, int(setting))
    lookup = here.lookup(name, build)
    asked = here.asked(task.kind, task.queries, seed)
    seconds, answer = timed(lookup.run, lookup.take(asked.queries))
    if not np.array_equal(np.asarray(answer), asked.ranks):
        raise RuntimeError("its answers are not NumPy's")
    return _measurement(seconds, task, lookup.nbytes / len(here.keys))


def measure_reads(task: Task, setting: float, seed: int) -> Measurement:
    """The keys themselves, read at places that are known: what no look-up can be faster than.

    Raises:
        RuntimeError: something else was read.
    """
    here = field_of(task.keys, int(setting))
    asked = here.asked(task.kind, task.queries, seed)
    seconds, total = timed(functools.partial(_native.sum_at, here.words), asked.places)
    if total != int(here.words[asked.places].sum(dtype=np.uint64)):
        raise RuntimeError("something else was read")
    # The keys lie sorted: bisection needs nothing beside them.
    return _measurement(seconds, task, 0.0)


def contender(name: str, build: Build, about: str, **more: Any) -> Contender:
    """Somebody who looks keys up."""
    run = functools.partial(measure, name, build)
    return Contender(name=name, measure=run, about=about, **more)


def bound_contender(repeats: int) -> Contender:
    """The machine's own reads, and no byte."""
    return Contender(
        name="reads",
        kind="bound",
        measure=measure_reads,
        cost=0.02,
        repeats=repeats,
        about="the memory's own speed: one independent read of the key for each query, at a place"
        " that is known beforehand; 0 bytes, for sorted keys can be bisected without any",
    )


def keys_bytes(keys: Keys) -> int:
    """What keys take as a plain column: NumPy's, or Arrow's with 64-bit offsets for texts."""
    if keys.dtype.kind != "O":
        return keys.nbytes
    return sum(len(as_bytes(key)) for key in keys) + 8 * len(keys)


def as_bytes(text: str | bytes) -> bytes:
    """A text as UTF-8."""
    return text.encode() if isinstance(text, str) else text


def _measurement(seconds: float, task: Task, price: float) -> Measurement:
    return Measurement(seconds / task.queries * 1e9, task.queries, seconds, price)
