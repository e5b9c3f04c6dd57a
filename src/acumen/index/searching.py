"""What a range index asks: numbers, texts and pairs, each narrowed down by tables over numbers."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.index.candidates import STRUCTURES, Chosen, choose, described
from acumen.index.keys import Keys, Numbers, Pairs, Texts, as_keys
from acumen.index.queries import as_queries
from acumen.index.storage import IndexFileError

__all__ = ["NumberSearch", "PairSearch", "Search", "TextSearch", "build", "restore"]

Ranks = NDArray[np.int64]
State = tuple[dict[str, Any], dict[str, NDArray[Any]]]
_STRIDE = 16  # as TextColumn::kStride


class Search(Protocol):
    """Sorted keys, and a structure over them."""

    chosen: Chosen

    @property
    def keys(self) -> Keys:
        """The keys."""

    @property
    def nbytes(self) -> int:
        """Bytes that the structure takes, without the keys."""

    def ranks(self, queries: Any, right: bool, out: Ranks, threads: int) -> Ranks:
        """The number of keys below each query, or up to it; in `out`."""

    def find(self, queries: Any, out: Ranks, threads: int) -> Ranks:
        """The first position of each query, -1 where it is no key; in `out`."""

    def state(self) -> State:
        """What `restore` needs beside the keys."""


def build(
    keys: Keys, structure: str | None, *, bytes_per_key_max: float = math.inf, seed: int = 0
) -> Search:
    """Finds the structure for keys; see `RangeIndex`."""
    if isinstance(keys, Numbers):
        return NumberSearch(keys, structure, bytes_per_key_max, seed)
    if isinstance(keys, Pairs):
        return PairSearch(keys, structure, bytes_per_key_max, seed)
    return TextSearch(keys, structure, bytes_per_key_max, seed)


def restore(keys: Keys, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Search:
    """A search as it was.

    Raises:
        IndexFileError: it was over other keys, or the tables make no sense.
    """
    if meta.get("fingerprint") != _fingerprint(keys) or meta.get("structure") not in STRUCTURES:
        raise IndexFileError("made for other keys")
    search = build(keys, "search")
    numbers: Any = search
    while not isinstance(numbers, NumberSearch):
        numbers = numbers.inner
    try:
        tables: dict[str, Any] = {**arrays, **meta.get("facts", {})}
        restored = numbers.searcher.restore(meta["structure"], tables)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise IndexFileError(f"the tables make no sense: {error}") from None
    if not restored:
        raise IndexFileError("the tables make no sense")
    structure = meta["structure"]
    candidate = described(numbers.searcher, structure, numbers.keys.values, math.nan)
    search.chosen = numbers.chosen = Chosen((candidate,), structure, "as it was saved")
    return search


class NumberSearch:
    """Over numbers, or times as integers."""

    def __init__(
        self, keys: Numbers, structure: str | None, bytes_per_key_max: float, seed: int
    ) -> None:
        self.keys = keys
        self.searcher = _native.RangeSearcher(keys.values)
        if self.searcher.has_nan:
            raise ValueError("keys must not be NaN")
        if not self.searcher.sorted:
            falls = np.flatnonzero(keys.values[1:] < keys.values[:-1])
            raise ValueError(
                f"keys are not sorted: the first one below its predecessor is at {falls[0] + 1}"
            )
        self.chosen = choose(
            self.searcher,
            keys.values,
            structure=structure,
            bytes_per_key_max=bytes_per_key_max,
            seed=seed,
        )

    @property
    def nbytes(self) -> int:
        """See `Search`."""
        return int(self.searcher.bytes(self.chosen.structure))

    def ranks(self, queries: Any, right: bool, out: Ranks, threads: int) -> Ranks:
        """See `Search`."""
        asked = as_queries(queries, self.keys, right)
        self.searcher.ranks(_apart(asked.values, out), out, right, threads)
        if asked.none is not None:
            out[asked.none] = 0 if right else len(self.keys)
        return out

    def find(self, queries: Any, out: Ranks, threads: int) -> Ranks:
        """See `Search`."""
        asked = as_queries(queries, self.keys, False)
        self.searcher.find(_apart(asked.values, out), out, threads)
        if asked.exact is not None:
            out[~asked.exact] = -1
        return out

    def contains(self, queries: Any, threads: int) -> NDArray[np.bool_]:
        """Whether each query is a key."""
        asked = as_queries(queries, self.keys, False)
        inside = np.empty(len(asked.values), np.bool_)
        self.searcher.contains(asked.values, inside, threads)
        return inside if asked.exact is None else inside & asked.exact

    def state(self) -> State:
        """See `Search`."""
        structure = self.chosen.structure
        facts = {name: int(value) for name, value in self.searcher.facts(structure).items()}
        meta = {"structure": structure, "fingerprint": _fingerprint(self.keys), "facts": facts}
        return meta, dict(self.searcher.tables())


class PairSearch:
    """Over two columns: the first narrows down to a run of equal ones, the second ascends there."""

    def __init__(
        self, keys: Pairs, structure: str | None, bytes_per_key_max: float, seed: int
    ) -> None:
        self.keys = keys
        self.inner = NumberSearch(keys.first, structure, bytes_per_key_max, seed)
        if keys.second.values.dtype.kind == "f" and np.isnan(keys.second.values).any():
            raise ValueError("keys must not be NaN")
        if not _native.pairs_ascend(keys.first.values, keys.second.values):
            raise ValueError("keys are not sorted by the second column where the first is equal")
        self.chosen = self.inner.chosen

    @property
    def nbytes(self) -> int:
        """See `Search`."""
        return self.inner.nbytes

    def ranks(self, queries: Any, right: bool, out: Ranks, threads: int) -> Ranks:
        """See `Search`."""
        first, second = self._columns(queries, out)
        self.inner.ranks(first, False, out, threads)
        high = self.inner.ranks(first, True, np.empty_like(out), threads)
        asked = as_queries(second, self.keys.second, right)
        low = out.copy() if asked.none is not None else out
        _native.ranks_between(self.keys.second.values, asked.values, out, high, right)
        if asked.none is not None:
            out[asked.none] = (low if right else high)[asked.none]
        if asked.values.dtype.kind == "f":  # NaN comes after all numbers
            nan = np.isnan(asked.values)
            out[nan] = high[nan]
        return out

    def find(self, queries: Any, out: Ranks, threads: int) -> Ranks:
        """See `Search`."""
        queries = self._columns(queries, out)
        self.ranks(queries, False, out, threads)
        after = self.ranks(queries, True, np.empty_like(out), threads)
        out[after <= out] = -1
        return out

    def state(self) -> State:
        """See `Search`."""
        meta, arrays = self.inner.state()
        return meta | {"fingerprint": _fingerprint(self.keys)}, arrays

    @staticmethod
    def _columns(queries: Any, out: Ranks) -> tuple[Any, Any]:
        if not isinstance(queries, tuple) or len(queries) != 2:
            raise TypeError("queries among keys of two columns are a tuple of two columns")
        if len(queries[0]) != len(queries[1]):
            raise ValueError("the columns of the queries differ in length")
        return _apart(queries[0], out), _apart(queries[1], out)


class TextSearch:
    """Over strings or bytes: numbers made of what every 16th has behind the common beginning."""

    def __init__(
        self, keys: Texts, structure: str | None, bytes_per_key_max: float, seed: int
    ) -> None:
        self.keys = keys
        self._texts = _column(keys)
        if not self._texts.ascend():
            raise ValueError("keys are not sorted, byte by byte")
        self._skip = self._texts.common()
        numbers = np.empty(-(-len(keys) // _STRIDE), np.uint64)
        self._texts.numbers(self._skip, numbers)
        left = max(bytes_per_key_max - 8 / _STRIDE, 0) * _STRIDE
        self.inner = NumberSearch(Numbers(numbers, numbers.dtype), structure, left, seed)
        self.chosen = self.inner.chosen

    @property
    def nbytes(self) -> int:
        """See `Search`."""
        return self.inner.nbytes + int(self.inner.keys.values.nbytes)

    def ranks(self, queries: Any, right: bool, out: Ranks, threads: int) -> Ranks:
        """See `Search`."""
        asked = self._asked(queries)
        numbers = np.empty(len(out), np.uint64)
        self._texts.query_numbers(asked, self._skip, numbers)
        self.inner.ranks(numbers, False, out, threads)
        upto = self.inner.ranks(numbers, True, np.empty_like(out), threads)
        self._texts.ranks(asked, out, upto, right)
        return out

    def find(self, queries: Any, out: Ranks, threads: int) -> Ranks:
        """See `Search`."""
        self.ranks(queries, False, out, threads)
        self._texts.keep_found(self._asked(queries), out)
        return out

    def state(self) -> State:
        """See `Search`."""
        meta, arrays = self.inner.state()
        return meta | {"fingerprint": _fingerprint(self.keys)}, arrays

    def _asked(self, queries: Any) -> Any:
        asked = as_keys(queries) if len(queries) else self.keys.none()
        if not isinstance(asked, Texts) or asked.kind != self.keys.kind:
            raise TypeError(f"queries among {self.keys.kind} keys are {self.keys.kind}")
        return _column(asked)


def _apart(queries: Any, out: Ranks) -> Any:
    """Queries that stay as they are while `out` is written."""
    if isinstance(queries, np.ndarray) and np.may_share_memory(queries, out):
        return queries.copy()
    return queries


def _column(texts: Texts) -> Any:
    return _native.TextColumn(texts.data, texts.offsets, texts.width, texts.padded)


def _fingerprint(keys: Keys) -> str:
    if isinstance(keys, Numbers):
        return f"{len(keys)} {keys.kind.str} {_hash(keys.values)}"
    if isinstance(keys, Pairs):
        return f"{_fingerprint(keys.first)}, {_fingerprint(keys.second)}"
    offsets, data = keys.offsets, keys.data
    if offsets is None:
        return f"{len(keys)} {keys.kind} {keys.width} {_hash(data)}"
    # An Arrow array may be a slice of its buffers.
    lengths, text = np.diff(offsets), data[offsets[0] : offsets[-1]]
    return f"{len(keys)} {keys.kind} {_hash(lengths)} {_hash(text)}"


def _hash(values: NDArray[Any]) -> str:
    return f"{_native.fingerprint(values.view(np.uint8)):016x}"
