"""Which structure a point index is built of: candidates, measured on the data and this machine.

Arithmetic comes first: keys on a grid (counted ids, a clock's ticks) need no search at all, only
the grid point's bit or position. Sorted keys may have their positions predicted by a model of
their distribution. Everything else is hashed: at random, or, where a model spreads the keys more
evenly than chance, by that model (Kraska et al., "The case for learned index structures", SIGMOD
2018, section 4). Where two structures may serve, both are built and timed on a sample of the keys.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.index.point_columns import Column

Prefer = Literal["speed", "memory"]
KINDS = ("sequence", "bitmap", "direct", "ranks", "hash", "learned hash", "tags")
LINE_BYTES = 64
HASH_LOAD = 0.8  # keys per slot: fuller lines send more keys to their second line
LEARNED_LOAD = 0.95
TAGS_LOAD = 0.85
CROWDED_MAX = 0.03  # share without room at home with which a learned hash is worth it
LEARNED_ROWS_MIN = 4096
KEYS_PER_CELL = 16
KEYS_PER_HASH_CELL = 256  # so that the model stays in the second cache
CELLS_SEEN = 512  # of a model, to see how evenly it spreads keys
DIRECT_BYTES_MAX = 16.0  # a key: no more than the hash needs
BITMAP_BYTES_MAX = 4.0
SMALLER_WINS_WITHIN = 1.1  # times the fastest
SEEDS_MAX = 12
SAMPLE = 1 << 14  # queries at once
SAMPLES = 7
ROWS_MAX = 2**32 - 2
# What the native side knows a structure by; most have use for some of them only.
NUMBERS = (
    *("rows", "keys", "last", "bytes", "type", "ask", "portable"),
    *("origin", "span", "stride", "count", "seed", "shift", "lines_per_key"),
)
NOTES = {
    "ranks": "positions are predicted, keys compared where they lie",
    "hash": "keys and positions in one line",
    "learned hash": "the same, at home where a model says",
}
_ORDERS = {"error": 0, "first": 1, "last": 2}


class DuplicateKeyError(ValueError):
    """Two rows hold the same key, and nobody said which one is meant."""


@dataclass(frozen=True)
class Candidate:
    """A structure that was looked at. `ns_per_lookup`: a batch of present keys, if measured."""

    structure: str
    bytes_per_key: float
    ns_per_lookup: float | None
    note: str


@dataclass(frozen=True)
class Explanation:
    """What a point index is built of, and why.

    Attributes:
        structure: the name of what was kept.
        reason: why.
        bytes_per_key: of the index's own arrays.
        lines_max: cache lines of these arrays that the worst look-up reads; keys that are compared
            where the user has them come in addition.
        away_from_home: share of the keys that are found in the second of their two lines.
        candidates: what was looked at, the one that was kept included.
    """

    structure: str
    reason: str
    bytes_per_key: float
    lines_max: int
    away_from_home: float
    candidates: tuple[Candidate, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.structure}: {self.reason}",
            f"{self.bytes_per_key:.2f} bytes a key, at most {self.lines_max} lines a look-up, "
            f"{self.away_from_home:.1%} of the keys in their second line",
        ]
        for candidate in self.candidates:
            speed = "" if candidate.ns_per_lookup is None else f"{candidate.ns_per_lookup:.1f} ns, "
            lines.append(
                f"  {candidate.structure}: {speed}{candidate.bytes_per_key:.2f} bytes a key; "
                f"{candidate.note}"
            )
        return "\n".join(lines)


@dataclass
class Structure:
    """One structure's numbers and arrays, as the native side takes them and files keep them."""

    kind: int
    numbers: dict[str, int]
    array: NDArray[np.uint8] | None = None
    ranks: NDArray[np.uint32] | None = None
    away: int = 0

    @property
    def name(self) -> str:
        """One of KINDS."""
        return KINDS[self.kind]

    @property
    def reads_keys(self) -> bool:
        """Whether look-ups compare with the keys where the user has them."""
        return self.name in ("ranks", "tags")

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(part.nbytes for part in (self.array, self.ranks) if part is not None)

    def bytes_per_key(self) -> float:
        """Bytes of the arrays for each row."""
        return self.nbytes / max(self.numbers["rows"], 1)

    def lines_max(self) -> int:
        """See `Explanation`."""
        # Two ranks of a model may lie on both sides of a boundary.
        return {"sequence": 0, "bitmap": 1, "direct": 1, "learned hash": 4}.get(self.name, 2)

    def attach(
        self, core: _native.PointCore, keys: Any, *, built: bool = True, foreign: bool = False
    ) -> None:
        """Makes `core` an index over the arrays; those that are `foreign` are checked first."""
        _native.point_attach(
            core, self.kind, self.numbers, keys, self.array, self.ranks,
            built=built, foreign=foreign,
        )  # fmt: skip


def structure_from(
    meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> tuple[Structure, Explanation]:
    """A structure from its file, and what is to be said about it.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: it is none.
    """
    numbers, away = meta["numbers"], meta["away"]
    if set(numbers) != set(NUMBERS):
        raise ValueError("numbers are missing")
    for value in (*numbers.values(), away):
        if type(value) is not int or not 0 <= value < 2**64:
            raise ValueError(f"{value!r} is no number of 64 bits")
    array, ranks = arrays.get("array"), arrays.get("ranks")
    if (array is not None and array.dtype != np.uint8) or (
        ranks is not None and ranks.dtype != np.uint32
    ):
        raise ValueError("arrays of another type")
    kind = KINDS.index(meta["structure"])
    if (array is None) != (KINDS[kind] in ("sequence", "ranks")):
        raise ValueError("the array is missing, or one too many")
    said = dict(meta["explanation"])
    said["candidates"] = tuple(Candidate(**each) for each in said["candidates"])
    explanation = Explanation(**said)
    str(explanation)  # or TypeError
    return Structure(kind, numbers, array, ranks, away), explanation


@dataclass
class Builder:
    """Tries structures for one column of keys. `core` ends as an index of the one that is kept."""

    core: _native.PointCore
    column: Column
    duplicates: str
    prefer: Prefer
    threads: int
    portable: bool = False
    tried: list[Candidate] = field(default_factory=list)

    def build(self) -> tuple[Structure, Explanation]:
        """The structure that is kept, every key of which was looked up, and why."""
        rows = self.column.rows
        if rows > ROWS_MAX:
            raise ValueError(f"{rows} keys are more than {ROWS_MAX}")
        if self.column.family in ("text", "bytes"):
            return self._keep(self._hashed("tags"), "strings are compared where they lie")
        if rows == 0:
            return self._keep(self._hashed("hash"), "there are no keys")
        return self._build_numbers()

    def _build_numbers(self) -> tuple[Structure, Explanation]:
        least, span, stride, first, step, rising, sequence = _native.point_shape(self._data())
        rows = self.column.rows
        if sequence:
            numbers = self._numbers(origin=first, stride=step, count=rows)
            return self._keep(Structure(0, numbers), "keys are counted up: position by arithmetic")
        points = span // max(stride, 1) + 1
        grid = self._numbers(origin=least, stride=max(stride, 1), count=points)
        if rising and points / 4 <= BITMAP_BYTES_MAX * rows:
            found = self._filled(
                Structure(1, grid, _native.aligned_zeros((points + 63) // 64 * 16))
            )
            return self._keep(found, f"sorted keys on a grid, {rows / points:.0%} of it taken")
        if points * 4 <= DIRECT_BYTES_MAX * rows:
            found = self._filled(Structure(2, grid, _native.aligned_zeros(points * 4)))
            return self._keep(found, f"keys on a grid, {rows / points:.0%} of it taken")
        if rising:
            return self._sorted(least, span)
        if self.prefer == "memory":
            return self._keep(self._hashed("tags"), "the smallest for keys in no order")
        learned = self._learned(least, span)
        if learned is None:
            return self._keep(
                self._hashed("hash"), "keys in no order: no model beats a random hash"
            )
        return self._race("keys with regular gaps", [*learned, *self._entrant("hash")])

    def _sorted(self, least: int, span: int) -> tuple[Structure, Explanation]:
        ranks = self._counted(least, span, KEYS_PER_CELL)
        core = _native.PointCore()
        ranks.attach(core, self.column.data)
        self._check(core)
        if self.prefer == "memory":
            return self._keep(ranks, "sorted keys: the smallest")
        learned = self._learned(least, span) or []
        return self._race("sorted keys", [(ranks, core), *learned, *self._entrant("hash")])

    def _entrant(self, name: str) -> list[tuple[Structure, _native.PointCore]]:
        core = _native.PointCore()
        return [(self._hashed(name, core), core)]

    def _race(
        self, what: str, entrants: list[tuple[Structure, _native.PointCore]]
    ) -> tuple[Structure, Explanation]:
        """Keeps the smallest of those that are about as fast as the fastest."""
        times = self._time(*(core for _, core in entrants))
        for (structure, _), measured in zip(entrants, times, strict=True):
            self._note(structure, measured, NOTES[structure.name])
        close = [
            structure
            for (structure, _), measured in zip(entrants, times, strict=True)
            if measured <= SMALLER_WINS_WITHIN * min(times)
        ]
        kept = min(close, key=lambda structure: structure.nbytes)
        reason = "the fastest" if len(close) == 1 else "the smallest of the fastest"
        kept.attach(self.core, self.column.data)
        return self._keep(kept, f"{what}: {reason}", measured=True)

    def _data(self) -> NDArray[Any]:
        assert isinstance(self.column.data, np.ndarray)
        return self.column.data

    def _numbers(self, **numbers: int) -> dict[str, int]:
        column = self.column
        strings = column.family in ("text", "bytes")
        return dict.fromkeys(NUMBERS, 0) | {
            "rows": column.rows,
            "keys": column.rows,
            "last": int(self.duplicates == "last"),
            "bytes": int(strings),
            "type": column.code,
            "ask": int(column.family == "text" or column.unit != ""),
            "portable": int(self.portable),
            **numbers,
        }

    def _counted(self, least: int, span: int, keys_per_cell: int) -> Structure:
        """A model: how many keys lie before each cell."""
        cells = max(self.column.rows // keys_per_cell, 1)
        shift = 1
        while shift < 63 and (span >> shift) >= cells:
            shift += 1
        numbers = self._numbers(origin=least, span=span, shift=shift)
        ranks = _native.aligned_zeros(4 * ((span >> shift) + 2)).view(np.uint32)
        _native.point_count(self._data(), numbers, ranks)
        return Structure(KINDS.index("ranks"), numbers, ranks=ranks)

    def _learned(self, least: int, span: int) -> list[tuple[Structure, _native.PointCore]] | None:
        """A hash by a model, if hardly any key finds its home full."""
        rows = self.column.rows
        if rows < LEARNED_ROWS_MIN or self.duplicates != "error":
            return None
        model = self._counted(least, span, KEYS_PER_HASH_CELL)
        assert model.ranks is not None
        lines = self._lines(LEARNED_LOAD, 5)
        numbers = model.numbers | {"lines_per_key": (lines << 32) // rows}
        every = 1 << max(len(model.ranks) // CELLS_SEEN, 1).bit_length() - 1
        seen, crowded = _native.point_crowded(self._data(), numbers, model.ranks, lines, every)
        if seen == 0 or crowded > CROWDED_MAX * seen:
            share = crowded / max(seen, 1)
            name, note = "learned hash", f"{share:.0%} of the keys would leave home"
            each = (lines * LINE_BYTES + model.nbytes) / rows
            self.tried.append(Candidate(name, each, None, note))
            return None
        core = _native.PointCore()
        structure = replace(model, kind=KINDS.index("learned hash"), numbers=numbers)
        return [(self._with_seeds(structure, lines, core), core)]

    def _lines(self, load: float, slots: int) -> int:
        return max(2, int(self.column.rows / (load * slots)) + 1)

    def _hashed(self, name: str, core: _native.PointCore | None = None) -> Structure:
        load, slots = (TAGS_LOAD, 12) if name == "tags" else (HASH_LOAD, 5)
        structure = Structure(KINDS.index(name), self._numbers())
        core = self.core if core is None else core
        return self._with_seeds(structure, self._lines(load, slots), core)

    def _with_seeds(self, structure: Structure, lines: int, core: _native.PointCore) -> Structure:
        """Fills lines; who made keys for one seed does not know the next one."""
        seed = 0x5EED
        for attempt in range(SEEDS_MAX):
            structure.array = _native.aligned_zeros((lines + lines * attempt // 8) * LINE_BYTES)
            structure.numbers["seed"] = seed
            if self._fill(structure, core):
                return structure
            seed = int.from_bytes(os.urandom(8), "little")
        raise RuntimeError(f"no seed of {SEEDS_MAX} spreads these keys")

    def _filled(self, structure: Structure) -> Structure:
        self._fill(structure, self.core)
        return structure

    def _fill(self, structure: Structure, core: _native.PointCore) -> bool:
        """Fills the arrays and asks for every key; False: too crowded."""
        structure.attach(core, self.column.data, built=False)
        status, first, second, keys, away = _native.point_build(core, _ORDERS[self.duplicates])
        if status == 1:
            raise DuplicateKeyError(
                f"rows {first} and {second} hold the same key: duplicates='first' or 'last' says "
                "which one is meant"
            )
        structure.numbers["keys"], structure.away = keys, away
        if status == 0:
            self._check(core)
        return bool(status == 0)

    def _check(self, core: _native.PointCore) -> None:
        bad = _native.point_verify(core, self.threads)
        if bad != self.column.rows:
            raise RuntimeError(f"row {bad} is not found: please report this")

    def _time(self, *cores: _native.PointCore) -> list[float]:
        """Nanoseconds a look-up of present keys at random, in batches; medians over turns."""
        data, random = self._data(), np.random.default_rng(0)
        out = np.empty(SAMPLE, np.int64)
        times: list[list[float]] = [[] for _ in cores]
        for _ in range(SAMPLES):
            queries = data[random.integers(0, len(data), SAMPLE)]
            for core, spent in zip(cores, times, strict=True):
                begin = time.perf_counter_ns()
                _native.point_find(core, queries, out, 1)
                spent.append((time.perf_counter_ns() - begin) / SAMPLE)
        return [statistics.median(spent) for spent in times]

    def _note(self, structure: Structure, measured: float | None, note: str) -> None:
        each = structure.bytes_per_key()
        self.tried.append(Candidate(structure.name, each, measured, note))

    def _keep(
        self, structure: Structure, reason: str, *, measured: bool = False
    ) -> tuple[Structure, Explanation]:
        if structure.name == "sequence":
            structure.attach(self.core, self.column.data)
            self._check(self.core)
        if structure.reads_keys:
            structure.attach(self.core, self.column.data)
        if not measured:
            self._note(structure, None, reason)
        keys = max(structure.numbers["keys"], 1)
        return structure, Explanation(
            structure.name,
            reason,
            structure.bytes_per_key(),
            structure.lines_max(),
            structure.away / keys,
            tuple(self.tried),
        )
