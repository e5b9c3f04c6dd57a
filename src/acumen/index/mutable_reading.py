"""What is asked of a mutable range index and of its snapshots alike."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.index.keys import Numbers
from acumen.index.mutable_views import SortedItems, SortedKeys, SortedValues
from acumen.index.queries import Asked, as_queries, thread_count
from acumen.index.storage import save_arrays

__all__ = ["FILE_KIND", "RangeSnapshot", "SortedReading"]

FILE_KIND = "mutable range index"
_MISSING: Any = object()
# Elements that are made Python's at a time; an iterator that is left early made few.
_CHUNK_FIRST, _CHUNK_MOST = 64, 4096


class SortedReading(_native.LeafMapBase):
    """Look-ups by key and by rank; `RangeSnapshot` and `MutableRangeIndex` add nothing to them.

    Attributes:
        dtype: of the keys: integers of 8 to 64 bits, float32, float64, or times.
        value_dtype: int64, float64 or object.
    """

    _map: _native.LeafMap
    _keys: Numbers  # none of them, of the keys' type
    dtype: np.dtype[Any]
    value_dtype: np.dtype[Any]
    _of_objects: bool

    def _attach(self, map_: _native.LeafMap, dtype: Any, value_dtype: Any) -> None:
        self._map = map_
        self.dtype = np.dtype(dtype)
        self.value_dtype = np.dtype(value_dtype)
        self._of_objects = self.value_dtype.kind == "O"
        self._keys = Numbers(np.empty(0, _stored(self.dtype)), self.dtype)
        self._open(map_, self.dtype.kind not in "mM")

    def _is_of(self, dtype: Any, value_dtype: Any) -> bool:
        """Whether keys and values have these types; None is any."""
        return (dtype is None or self.dtype == dtype) and (
            value_dtype is None or self.value_dtype == value_dtype
        )

    # Dictionary habits -------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        return self._iterate("keys", 0, len(self), False)

    def __reversed__(self) -> Iterator[Any]:
        return self._iterate("keys", 0, len(self), True)

    def keys(self) -> SortedKeys:
        """The keys, ascending: a live view."""
        return SortedKeys(self)

    def values(self) -> SortedValues:
        """The values, in the order of their keys: a live view."""
        return SortedValues(self)

    def items(self) -> SortedItems:
        """Pairs of key and value, in the order of the keys: a live view."""
        return SortedItems(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SortedReading) and self.dtype == other.dtype:
            mine, theirs = self.arrays(), other.arrays()
            return np.array_equal(mine[0], theirs[0]) and mine[1].tolist() == theirs[1].tolist()
        if not isinstance(other, Mapping):
            return NotImplemented
        return len(self) == len(other) and all(
            other.get(key, _MISSING) == value for key, value in self.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: {len(self)} {self.dtype} keys, {self.value_dtype} values, "
            f"{self.nbytes} bytes>"
        )

    # Ranks -------------------------------------------------------------------------------------

    bisect = _native.LeafMapBase.bisect_right

    def index(self, key: Any, start: int | None = None, stop: int | None = None) -> int:
        """The rank of a key.

        Raises:
            ValueError: it is not there, or its rank not in [start, stop).
        """
        first, last, _ = slice(start, stop).indices(len(self))
        if key in self:
            rank = self.bisect_left(key)
            if first <= rank < last:
                return rank
        raise ValueError(f"{key!r} is not in list")

    def peekitem(self, index: int = -1) -> tuple[Any, Any]:
        """The key and the value at a rank, counted from the end where it is negative.

        Raises:
            IndexError: there are not so many.
        """
        rank = index + len(self) if index < 0 else index
        if rank < 0:
            raise IndexError("list index out of range")
        key, value = self._item(rank)
        return (key if self.dtype.kind not in "mM" else _time(key, self.dtype)), value

    def islice(
        self, start: int | None = None, stop: int | None = None, reverse: bool = False
    ) -> Iterator[Any]:
        """Iterates over the keys at ranks [start, stop).

        The index may change meanwhile: what is iterated over is what was there when this was
        called.
        """
        first, last, _ = slice(start, stop).indices(len(self))
        return self._iterate("keys", first, last, reverse)

    def irange(
        self,
        minimum: Any = None,
        maximum: Any = None,
        inclusive: tuple[bool, bool] = (True, True),
        reverse: bool = False,
    ) -> Iterator[Any]:
        """Iterates over the keys between two; like `islice`, over what is there now.

        Args:
            minimum: the least one; None: from the first on.
            maximum: the largest; None: to the last.
            inclusive: whether a key equal to `minimum`, and to `maximum`, is wanted.
            reverse: downwards.
        """
        first, last = self._ranks_between(minimum, maximum, inclusive)
        return self._iterate("keys", first, last, reverse)

    def arrays(
        self,
        minimum: Any = None,
        maximum: Any = None,
        inclusive: tuple[bool, bool] = (True, True),
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Copies of the keys between two, as `irange` has them, and of their values.

        Returns:
            (m,) of `dtype`, ascending, and (m,) of `value_dtype`.
        """
        first, last = self._ranks_between(minimum, maximum, inclusive)
        now = self._map.copy(frozen=True)
        return self._key_array(now, first, last), self._value_array(now, first, last)

    def searchsorted(
        self, queries: Any, side: Literal["left", "right"] = "left", *, threads: int = 1
    ) -> Any:
        """The number of keys below each query; side="right": up to it.

        Args:
            queries: (m,) numbers or times of any type that has an order with the keys; or one.
            side: "left" or "right".
            threads: that share the work on many.

        Returns:
            (m,) int64; an int for one query.

        Raises:
            TypeError: queries cannot be compared with the keys.
            ValueError: there is null or NaT among them; `threads` is below 1.
        """
        if side not in ("left", "right"):
            raise ValueError(f"side is 'left' or 'right', not {side!r}")
        if not _is_many(queries):
            return self._bisect(queries, side == "right")
        asked = as_queries(self._column(queries), self._keys, side == "right")
        return self._ranks(asked, side == "right", threads)

    def contains(self, queries: Any, *, threads: int = 1) -> NDArray[np.bool_]:
        """Whether each query is a key.

        Args:
            queries: (m,) queries, as for `searchsorted`.
            threads: that share the work.

        Returns:
            (m,) bool.
        """
        asked = as_queries(self._column(queries), self._keys, False)
        found = np.empty(len(asked.values), np.bool_)
        self._map.contains(asked.values, found, thread_count(threads))
        return found if asked.exact is None else found & asked.exact

    @property
    def nbytes(self) -> int:
        """Bytes of memory, without objects that values refer to; shared ones count everywhere."""
        return self._map.nbytes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes keys and values into one file, whole or not at all, as they are now.

        Raises:
            TypeError: values are objects, which no file of Acumen's holds.
            OSError: the folder is missing, read-only or full; an old file is then untouched.
        """
        if self._of_objects:
            raise TypeError(
                "objects are not saved: keep int64 positions of them as values, or pickle the index"
            )
        keys, values = self.arrays()
        meta = {"dtype": self.dtype.str, "values": str(self.value_dtype)}
        save_arrays(
            path, FILE_KIND, meta, {"keys": keys.view(_stored(keys.dtype)), "values": values}
        )

    def copy(self) -> Any:
        """A copy, in the time of a snapshot: what both have in common they share until one writes.

        A copy of a snapshot is a snapshot.
        """
        return self._with(type(self), self._map.copy(frozen=isinstance(self, RangeSnapshot)))

    __copy__ = copy

    def _with(self, cls: Any, map_: _native.LeafMap) -> Any:
        made = cls.__new__(cls)
        made.__dict__.update(self.__dict__, _map=map_)
        made._open(map_, self.dtype.kind not in "mM")
        return made

    # What the native base leaves to Python -----------------------------------------------------

    def _number(self, key: Any) -> Any:
        """The number that a key is stored as, or None if it is no key of this type."""
        hash(key)  # what cannot be hashed is no key of any dictionary: its TypeError
        if self.dtype.kind in "mM" and getattr(key, "dtype", None) == self.dtype:
            return None if np.isnat(key) else int(key.view(np.int64))
        try:
            asked = as_queries([key], self._keys, False)
        except (TypeError, ValueError):
            return None
        number = asked.values[0].item()
        if number != number or (asked.exact is not None and not asked.exact[0]):
            return None
        return number

    def _getitem(self, key: Any) -> Any:
        value = self._get(key, _MISSING) if not _is_many(key) else _MISSING
        if value is _MISSING:
            hash(key)
            raise KeyError(key)
        return value

    def _contains(self, key: Any) -> bool:
        number = self._number(key)
        return number is not None and self._at(number, _MISSING) is not _MISSING

    def _get(self, key: Any, default: Any = None, *, threads: int = 1) -> Any:
        if _is_many(key):
            return self._get_many(key, default, thread_count(threads))
        number = self._number(key)
        return default if number is None else self._at(number, default)

    def _get_many(self, queries: Any, default: Any, threads: int) -> NDArray[Any]:
        asked = as_queries(self._column(queries), self._keys, False)
        found = np.empty(len(asked.values), np.bool_)
        if self._of_objects:
            objects = self._map.find_objects(asked.values, found, default)
            if asked.exact is not None:
                for rounded in np.flatnonzero(found & ~asked.exact).tolist():
                    objects[rounded] = default
            return np.fromiter(objects, object, len(objects))
        values = np.empty(len(asked.values), self.value_dtype)
        self._map.find(asked.values, values, found, threads)
        if asked.exact is not None:
            found &= asked.exact
        if not found.all():
            if default is None:
                default = -1 if self.value_dtype == np.int64 else np.nan
            if self.value_dtype == np.int64 and np.int64(default) != default:
                raise ValueError(f"default {default!r} is no int64, and nothing is rounded")
            values[~found] = default
        return values

    def _column(self, queries: Any) -> Any:
        if isinstance(queries, list | tuple):
            return list(queries) if queries else self._keys.values.view(self.dtype)
        return queries

    def _bisect(self, key: Any, right: bool) -> int:
        return int(self._ranks(as_queries([key], self._keys, right), right)[0])

    def _ranks(self, asked: Asked, right: bool, threads: int = 1) -> NDArray[np.int64]:
        ranks = np.empty(len(asked.values), np.int64)
        self._map.ranks(asked.values, ranks, right, thread_count(threads))
        if asked.none is not None:
            ranks[asked.none] = 0 if right else len(self)
        return ranks

    def _ranks_between(
        self, minimum: Any, maximum: Any, inclusive: tuple[bool, bool]
    ) -> tuple[int, int]:
        first, last = 0, len(self)
        if minimum is not None:
            first = self.bisect_left(minimum) if inclusive[0] else self.bisect_right(minimum)
        if maximum is not None:
            last = self.bisect_right(maximum) if inclusive[1] else self.bisect_left(maximum)
        return first, max(first, last)

    # Elements as Python has them ---------------------------------------------------------------

    def _iterate(self, part: str, first: int, last: int, reverse: bool) -> Iterator[Any]:
        if last - first <= _CHUNK_FIRST:
            return iter(self._elements(self._map, part, first, last, reverse))
        now = self._map.copy(frozen=True)
        return chain.from_iterable(self._chunks(now, part, first, last, reverse))

    def _chunks(
        self, now: _native.LeafMap, part: str, first: int, last: int, reverse: bool
    ) -> Iterator[list[Any]]:
        size = _CHUNK_FIRST
        while first < last:
            size = min(size * 2, last - first, _CHUNK_MOST)
            if reverse:
                yield self._elements(now, part, last - size, last, True)
                last -= size
            else:
                yield self._elements(now, part, first, first + size, False)
                first += size

    def _elements(
        self, now: _native.LeafMap, part: str, first: int, last: int, reverse: bool
    ) -> list[Any]:
        if first >= last:
            return []
        elements: list[Any] = []
        if part != "values":
            keys = self._key_array(now, first, last)
            elements = list(keys) if keys.dtype.kind in "mM" else keys.tolist()
        if part != "keys":
            if self._of_objects:
                values = now.read_objects(first, last - first)
            else:
                values = self._value_array(now, first, last).tolist()
            elements = values if part == "values" else list(zip(elements, values, strict=True))
        if reverse:
            elements.reverse()
        return elements

    def _key_array(self, now: _native.LeafMap, first: int, last: int) -> NDArray[Any]:
        keys = np.empty(last - first, self._keys.values.dtype)
        now.read_keys(first, keys)
        return keys.view(self.dtype)

    def _value_array(self, now: _native.LeafMap, first: int, last: int) -> NDArray[Any]:
        if self._of_objects:
            return np.fromiter(now.read_objects(first, last - first), object, last - first)
        values = np.empty(last - first, self.value_dtype)
        now.read_values(first, values)
        return values


class RangeSnapshot(SortedReading):
    """What a `MutableRangeIndex` held when `snapshot()` was called; it never changes.

    Any number of threads may read one without a lock while the index is written. It shares the
    leaves that have not been written since; they are freed with the last version that has them.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _snapshot, self.arrays()


def _snapshot(keys: NDArray[Any], values: NDArray[Any]) -> RangeSnapshot:
    dtype = keys.dtype
    map_ = _native.LeafMap(np.empty(0, _stored(dtype)), str(values.dtype))
    if values.dtype.kind == "O":
        map_.insert_objects(keys.view(_stored(dtype)), values.tolist())
    else:
        map_.insert(keys.view(_stored(dtype)), values)
    snapshot = RangeSnapshot.__new__(RangeSnapshot)
    snapshot._attach(map_.copy(frozen=True), dtype, values.dtype)
    return snapshot


Mapping.register(SortedReading)


def _stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What keys of a type are as numbers."""
    return np.dtype(np.int64) if dtype.kind in "mM" else dtype


def _time(number: int, dtype: np.dtype[Any]) -> Any:
    return np.int64(number).view(dtype)


def _is_many(key: Any) -> bool:
    if isinstance(key, str | bytes | int | float | np.generic):
        return False
    return isinstance(key, list | tuple) or hasattr(key, "__arrow_c_stream__") or np.ndim(key) > 0
