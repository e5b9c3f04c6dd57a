"""Mutable range index: a sorted dictionary over numbers, with batches and snapshots."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.index.columns import as_array
from acumen.index.keys import Numbers, as_keys
from acumen.index.mutable_reading import FILE_KIND, RangeSnapshot, SortedReading
from acumen.index.queries import as_queries
from acumen.index.storage import IndexFileError, load_arrays

__all__ = ["MutableRangeIndex"]

_MISSING: Any = object()
_VALUE_DTYPES = {np.dtype(np.int64), np.dtype(np.float64), np.dtype(object)}


class MutableRangeIndex(SortedReading):
    """A sorted dictionary whose keys are numbers or times: appended to, written, asked in batches.

    It has the habits of `sortedcontainers.SortedDict`, with the same errors, takes and gives NumPy
    arrays where there are many keys, and hands out snapshots that stay as they are. Keys are each
    there once: putting one again replaces its value. -0.0 is the key 0.0.

    One thread at a time writes, others wait; a large batch is made without the interpreter's lock
    and is there in whole or not at all, and until then everybody else reads what was before.

    Memory: at most 25 bytes a key, mostly 18 (8 of the key, 8 of the value), after deletions too,
    and 24 KB; see docs/index_mutable.md.

    >>> from acumen.index import MutableRangeIndex
    >>> index = MutableRangeIndex([30, 10, 20])  # values: positions
    >>> index[15] = 7
    >>> list(index.items()), list(index.irange(15, 25)), index.bisect_left(20)
    ([(10, 1), (15, 7), (20, 2), (30, 0)], [15, 20], 2)
    >>> before = index.snapshot()
    >>> index.append([40, 50], [3, 4]), index.delete([10, 11])
    (2, 1)
    >>> index.get([50, 10]), before.get([50, 10])
    (array([ 4, -1]), array([-1,  1]))

    References: Ding et al.: "ALEX: an updatable adaptive learned index", SIGMOD 2020; Ferragina,
    Vinciguerra: "The PGM-index", PVLDB 13(8), 2020; Bayer, McCreight: "Organization and maintenance
    of large ordered indexes", Acta Informatica 1, 1972.
    """

    def __init__(
        self, keys: Any = (), values: Any = None, *, dtype: Any = None, value_dtype: Any = None
    ) -> None:
        """Builds an index.

        Args:
            keys: (n,) in any order: NumPy, Arrow, Polars, pandas or a sequence. Integers of 8 to 64
                bits, float32, float64, datetime64, timedelta64. Of equal ones the last counts. Or a
                mapping of such keys, whose values are then objects unless `value_dtype` says else;
                another index or a snapshot is shared until one is written.
            values: (n,) integers, floats or any objects. None: the positions of the keys.
            dtype: the keys' type; None: that of `keys`, or int64 if there are none.
            value_dtype: int64, float64 or object; None: what `values` are, or int64.

        Raises:
            TypeError: keys of another type (texts, bytes, pairs), values of another type.
            ValueError: there is NaN, NaT or null among the keys; a key is no number of `dtype`, or
                a value none of `value_dtype`; keys and values differ in number.
        """
        if isinstance(keys, Mapping):
            if values is not None:
                raise TypeError("a mapping has its own values")
            if isinstance(keys, SortedReading) and keys._is_of(dtype, value_dtype):
                self._attach(keys._map.copy(frozen=False), keys.dtype, keys.value_dtype)
                return
            keys, values, dtype, value_dtype = _of_mapping(keys, dtype, value_dtype)
        count = len(keys)
        if dtype is None:
            dtype = np.dtype(np.int64) if not count else _numbers(keys).kind
        if values is None:
            values = np.arange(count)
        if value_dtype is None:
            value_dtype = _kind_of(values)
        dtype, value_dtype = np.dtype(dtype), np.dtype(value_dtype)
        if value_dtype not in _VALUE_DTYPES:
            raise TypeError(f"values are int64, float64 or object, not {value_dtype}")
        if dtype.kind in "mM" and np.datetime_data(dtype)[0] == "generic":
            raise TypeError(f"{dtype} keys need a unit, as in datetime64[us]")
        stored = as_keys(np.empty(0, dtype))
        if not isinstance(stored, Numbers):
            raise TypeError(_unfit(dtype))
        self._attach(_native.LeafMap(stored.values, str(value_dtype)), stored.kind, value_dtype)
        if count:
            self.insert(keys, values)

    # Many keys at a time -----------------------------------------------------------------------

    def insert(self, keys: Any, values: Any) -> int:
        """Puts many keys, in any order; as if one after the other, but all at once.

        Args:
            keys: (m,) keys.
            values: (m,) their values.

        Returns:
            How many of them are new; the values of the others were replaced.

        Raises:
            TypeError, ValueError: as when an index is built. Nothing is changed then.
        """
        numbers = self._exactly(keys)
        order = None
        if len(numbers) > 1 and not bool((numbers[1:] >= numbers[:-1]).all()):
            order = np.argsort(numbers).astype(np.int64, copy=False)
        return self._put_many(numbers, values, order)

    def append(self, keys: Any, values: Any) -> int:
        """Puts keys that ascend and are above all that there are: the fastest way in.

        Args:
            keys: (m,) keys.
            values: (m,) their values.

        Returns:
            m.

        Raises:
            ValueError: a key is not above the one before it; `insert` takes such. Nothing is
                changed then.
            TypeError, ValueError: as when an index is built; likewise.
        """
        numbers = self._exactly(keys)
        if not (numbers[1:] > numbers[:-1]).all():
            falls = np.flatnonzero(numbers[1:] <= numbers[:-1])
            raise ValueError(
                f"the key at {falls[0] + 1} is not above the one before it: insert() takes keys "
                "in any order"
            )
        if len(numbers) and len(self):
            last = self._item(len(self) - 1)[0]
            if not numbers[0] > last:
                raise ValueError(
                    "the first key is not above the last one in the index: insert() takes it"
                )
        return self._put_many(numbers, values, None)

    def delete(self, keys: Any) -> int:
        """Removes many keys, all at once; those that are not there are passed over.

        Args:
            keys: (m,) keys, or numbers of any type, as for `contains`.

        Returns:
            How many there were.
        """
        asked = as_queries(self._column(keys), self._keys, False)
        numbers = asked.values if asked.exact is None else asked.values[asked.exact]
        if numbers.dtype.kind == "f":
            numbers = numbers[numbers == numbers]
        return self._map.erase(np.sort(numbers))

    def _put_many(self, numbers: NDArray[Any], values: Any, order: Any) -> int:
        if self._of_objects:
            objects = values if isinstance(values, list) else list(values)
            if len(objects) != len(numbers):
                raise ValueError(f"{len(numbers)} keys, but {len(objects)} values")
            return self._map.insert_objects(numbers, objects, order)
        words = _words(values, self.value_dtype)
        if len(words) != len(numbers):
            raise ValueError(f"{len(numbers)} keys, but {len(words)} values")
        return self._map.insert(numbers, words, order)

    def _exactly(self, keys: Any) -> NDArray[Any]:
        """Keys as they are stored; none is rounded."""
        if len(keys) == 0:
            return self._keys.values
        numbers = _numbers(keys)
        exact: Any = None
        if numbers.kind == self.dtype:
            stored = np.ascontiguousarray(numbers.values)
        else:
            asked = as_queries(keys, self._keys, False)
            stored, exact = asked.values, asked.exact
        if stored.dtype.kind == "f":
            exact = (stored == stored) if exact is None else exact & (stored == stored)
        if exact is not None and not exact.all():
            at = int(np.flatnonzero(~exact)[0])
            raise ValueError(
                f"the key at {at} is NaN, or none that {self.dtype} has exactly; nothing is rounded"
            )
        return stored

    # Dictionary habits -------------------------------------------------------------------------

    def _setitem(self, key: Any, value: Any) -> None:
        number = self._number(key)
        if number is None:
            self._exactly([key])  # says what is wrong with it
            raise TypeError(f"{key!r} is no {self.dtype} key")
        self._put(number, value)

    def _delitem(self, key: Any) -> None:
        number = self._number(key)
        if number is None or not self._take(number):
            raise KeyError(key)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value of a key, which is `default` from now on if it has none."""
        value = self.get(key, _MISSING)
        if value is _MISSING:
            self[key] = value = default
        return value

    def pop(self, key: Any, default: Any = _MISSING) -> Any:
        """Removes a key and returns its value.

        Raises:
            KeyError: it is not there, and there is no default.
        """
        value = self.get(key, _MISSING)
        if value is _MISSING:
            if default is _MISSING:
                raise KeyError(key)
            return default
        del self[key]
        return value

    def popitem(self, index: int = -1) -> tuple[Any, Any]:
        """Removes the key at a rank; returns it and its value.

        Raises:
            KeyError: the index is empty.
            IndexError: there are not so many.
        """
        if not len(self):
            raise KeyError("popitem(): dictionary is empty")
        item = self.peekitem(index)
        del self[item[0]]
        return item

    def update(self, other: Any = (), /) -> None:
        """Puts what another mapping has, or pairs of key and value, all at once."""
        if isinstance(other, SortedReading):
            self.insert(*other.arrays())
        elif isinstance(other, Mapping):
            self.insert(list(other.keys()), list(other.values()))
        else:
            pairs = [(key, value) for key, value in other]
            self.insert([key for key, _ in pairs], [value for _, value in pairs])

    def clear(self) -> None:
        """Removes everything; snapshots keep what they have."""
        self._map.clear()

    def __or__(self, other: Any) -> MutableRangeIndex:
        if not isinstance(other, Mapping):
            return NotImplemented
        made: MutableRangeIndex = self.copy()
        made.update(other)
        return made

    def __ror__(self, other: Any) -> MutableRangeIndex:
        if not isinstance(other, Mapping):
            return NotImplemented
        made = MutableRangeIndex(dtype=self.dtype, value_dtype=self.value_dtype)
        made.update(other)
        made.update(self)
        return made

    def __ior__(self, other: Any) -> MutableRangeIndex:
        self.update(other)
        return self

    # Versions ----------------------------------------------------------------------------------

    def snapshot(self) -> RangeSnapshot:
        """What is there now, in O(1): it stays so, and other threads may read it without a lock.

        Afterwards each leaf is copied when it is first written; see docs/index_mutable.md.
        """
        snapshot: RangeSnapshot = self._with(RangeSnapshot, self._map.copy(frozen=True))
        return snapshot

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MutableRangeIndex:
        """Reads an index that was saved.

        Raises:
            IndexFileError: the file is damaged, or holds no mutable range index.
            OSError: it cannot be opened.
        """
        meta, arrays = load_arrays(path, FILE_KIND)
        try:
            keys, values = arrays["keys"], arrays["values"]
            dtype = np.dtype(str(meta["dtype"]))
            if dtype.kind in "mM":
                keys = keys.view(dtype)
            fits = dtype.kind in "iufmM" and keys.dtype == dtype and len(keys) == len(values)
            if not fits or values.dtype not in _VALUE_DTYPES:
                raise ValueError("keys and values do not fit together")
            index = cls(dtype=dtype, value_dtype=values.dtype)
            index.append(keys, values)
        except (KeyError, TypeError, ValueError) as error:
            raise IndexFileError(f"{path}: the arrays make no sense: {error}") from None
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        keys, values = self.arrays()
        return _unpickled, (type(self), keys, values, self.dtype, self.value_dtype)


MutableMapping.register(MutableRangeIndex)


def _unpickled(
    cls: type[MutableRangeIndex], keys: Any, values: Any, dtype: Any, value_dtype: Any
) -> MutableRangeIndex:
    return cls(keys, values, dtype=dtype, value_dtype=value_dtype)


def _of_mapping(mapping: Mapping[Any, Any], dtype: Any, value_dtype: Any) -> tuple[Any, ...]:
    if isinstance(mapping, SortedReading):
        keys, values = mapping.arrays()
        return keys, values, dtype or mapping.dtype, value_dtype or mapping.value_dtype
    return list(mapping.keys()), list(mapping.values()), dtype, value_dtype or object


def _numbers(keys: Any) -> Numbers:
    found = as_keys(list(keys) if isinstance(keys, tuple) else keys)
    if not isinstance(found, Numbers):
        raise TypeError(_unfit(getattr(found, "kind", "two columns")))
    return found


def _unfit(kind: Any) -> str:
    return (
        f"keys of {kind} cannot be written: keys are integers of 8 to 64 bits, float32, float64, "
        "datetime64 or timedelta64. RangeIndex takes texts and pairs that stay as they are"
    )


def _kind_of(values: Any) -> np.dtype[Any]:
    """int64 or float64 where values are such, and objects otherwise."""
    if isinstance(values, Iterable) and not hasattr(values, "dtype"):
        values = values if isinstance(values, list | tuple) else list(values)
        if not all(type(value) in (int, float) for value in values):
            return np.dtype(object)
    kind = as_array(values).dtype.kind
    return np.dtype({"i": np.int64, "u": np.int64, "f": np.float64}.get(kind, object))


def _words(values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values of 8 bytes; integers are not rounded."""
    array = as_array(values)
    if array.dtype.kind not in ("biuf" if dtype.kind == "f" else "biu") and array.size:
        raise TypeError(
            f"values of this index are {dtype}, not {array.dtype}: make it with value_dtype=object"
        )
    if array.dtype.kind == "u" and dtype.kind == "i" and array.size and array.max() > 2**63 - 1:
        raise ValueError("a value is above 2^63 - 1, the largest int64")
    return np.ascontiguousarray(array, dtype)
