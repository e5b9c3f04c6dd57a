"""Which structure a range index uses: all that these keys can have are built, and measured here.

A learned structure is not always the fastest, and which one is depends on the keys as much as on
the machine. So the builder takes queries from the keys, times every structure on them in turn,
several times over, and keeps the fastest; of two that are about equally fast, the smaller one.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["STRUCTURES", "Candidate", "Chosen", "choose", "described"]

LINEAR, LOGARITHMIC = "linear cells", "logarithmic cells"
STRUCTURES = (LINEAR, LOGARITHMIC, "tree", "values", "search")

_KEYS_PER_ROOT = 1024
_ROOTS_MAX = 1 << 13
_QUERIES = 1 << 14
_ROUNDS = 5
_EVEN_WITH = 1.05  # so much slower, and still taken if it is smaller
_BEATEN = 2.0  # so much slower than the fastest, and not measured any more


@dataclass(frozen=True)
class Candidate:
    """One structure, built and measured.

    Attributes:
        structure: its name.
        nanoseconds: for one of many look-ups of random keys, in one thread; NaN: not measured.
        bytes: of the structure, without the keys.
        probes: steps that a look-up takes at most: nodes, lines or keys that it reads.
        wrong_lines: the share of keys that do not lie in the line of keys that is predicted; NaN
            where nothing is predicted.
    """

    structure: str
    nanoseconds: float
    bytes: int
    probes: int
    wrong_lines: float


@dataclass(frozen=True)
class Chosen:
    """What the builder saw, and what it took.

    Attributes:
        candidates: all that were built.
        structure: the one in use.
        reason: why.
    """

    candidates: tuple[Candidate, ...]
    structure: str
    reason: str


def roots_for(count: int) -> int:
    """Root cells for so many keys."""
    return max(16, min(count // _KEYS_PER_ROOT, _ROOTS_MAX))


def choose(
    searcher: Any,
    keys: NDArray[Any],
    *,
    structure: str | None = None,
    bytes_per_key_max: float = math.inf,
    seed: int = 0,
) -> Chosen:
    """Builds what the keys can have, measures, and puts the best to use.

    Args:
        searcher: a `_native.RangeSearcher` of the keys.
        keys: (n,) the keys.
        structure: use this one and measure nothing.
        bytes_per_key_max: structures that take more are left out.
        seed: of the queries that are measured.

    Raises:
        ValueError: `structure` cannot be built over these keys.
    """
    roots = roots_for(len(keys))
    if structure is not None:
        if structure != "search" and not searcher.build(structure, roots):
            raise ValueError(f"{structure!r} cannot be built over these keys")
        searcher.use(structure)
        return Chosen((described(searcher, structure, keys, math.nan),), structure, "asked for")
    built = ["search", *_built(searcher, keys, roots)]
    limit = bytes_per_key_max * max(len(keys), 1)
    built = [name for name in built if searcher.bytes(name) <= limit]
    times = _measured(searcher, keys, built, seed)
    candidates = tuple(described(searcher, name, keys, times[name]) for name in built)
    best = min(candidates, key=lambda one: one.nanoseconds)
    smaller = [c for c in candidates if c.nanoseconds <= best.nanoseconds * _EVEN_WITH]
    taken = min(smaller, key=lambda one: (one.bytes, one.nanoseconds))
    searcher.use(taken.structure)
    searcher.keep_used()
    reason = "fastest here" if taken is best else f"as fast as {best.structure!r}, and smaller"
    return Chosen(candidates, taken.structure, reason)


def _built(searcher: Any, keys: NDArray[Any], roots: int) -> list[str]:
    # Of the two kinds of cells the one whose root cells are filled more evenly; only that is built.
    uneven = {kind: searcher.unevenness(kind, roots) for kind in (LINEAR, LOGARITHMIC)}
    cells = min(uneven, key=uneven.__getitem__)
    return [name for name in ("values", cells, "tree") if searcher.build(name, roots)]


def _measured(
    searcher: Any, keys: NDArray[Any], structures: list[str], seed: int
) -> dict[str, float]:
    """Nanoseconds a look-up: the least of some rounds, in which the structures take turns.

    Who is clearly beaten in two of them leaves: plain search would take most of the time. (In one
    alone, something else may have held the processor.)
    """
    random = np.random.default_rng(seed)
    out = np.empty(_QUERIES, np.int64)
    times = dict.fromkeys(structures, math.inf)
    if not len(keys):
        return times
    for turn in range(_ROUNDS):
        queries = keys[random.integers(0, len(keys), _QUERIES)]
        limit = min(times.values()) * _BEATEN if turn >= 2 else math.inf
        for name in [name for name in structures if times[name] <= limit]:
            searcher.use(name)
            start = time.perf_counter()
            searcher.ranks(queries, out, False)
            times[name] = min(times[name], (time.perf_counter() - start) / _QUERIES * 1e9)
    return times


def described(searcher: Any, structure: str, keys: NDArray[Any], nanoseconds: float) -> Candidate:
    """A structure that was built, with what is known about it."""
    facts = searcher.facts(structure)
    wrong = math.nan
    if structure in (LINEAR, LOGARITHMIC):
        per_line = 64 // keys.dtype.itemsize
        error = max(-facts["error_low"], facts["error_high"])
        # Root cell, cell, line, the one beside it, and keys: doubling steps, then bisection.
        further = 3 + 2 * int(math.log2(error + per_line)) if error >= per_line else 0
        probes = 4 + further
        wrong = facts["wrong_lines"] / len(keys)
    elif structure == "tree":
        probes = facts["levels"] + 1
    else:
        probes = 1 if structure == "values" else math.ceil(math.log2(len(keys) + 1))
    return Candidate(structure, nanoseconds, searcher.bytes(structure), probes, wrong)
