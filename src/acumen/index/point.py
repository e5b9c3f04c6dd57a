"""Which position has a key: a hash index that learns what it can from the keys."""

from __future__ import annotations

import operator
import os
from dataclasses import asdict
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.index.columns import time_of
from acumen.index.point_columns import Column, empty_column, match, read_column, refuse_missing
from acumen.index.point_structures import Builder, Explanation, Prefer, Structure, structure_from
from acumen.index.queries import thread_count
from acumen.index.storage import IndexFileError, load_arrays, save_arrays

FILE_KIND = "point"
Duplicates = Literal["error", "first", "last"]


class PointIndex(_native.PointCore):
    """An immutable index from keys to their positions, as ``pandas.Index.get_indexer``.

    >>> index = PointIndex([30, 10, 20])
    >>> index.get_indexer([10, 11, 20])
    array([ 1, -1,  2])
    >>> index.get(30), index.get(31), 10 in index, len(index)
    (0, None, True, 3)

    Numbers are equal as in Python, whatever their types: 1 finds 1.0, and -0.0 finds 0.0; integers
    stay exact. Times find equal times of other units.

    Args:
        keys: one dimension: integers, float16/32/64, datetime64 and timedelta64, bytes, text; from
            NumPy, pandas, Polars, Arrow, or a list. Must not change while the index lives: strings,
            and numbers if `explain()` says "ranks" or "tags", are compared where they lie.
        duplicates: what to do if two rows hold the same key: "error", or find the "first" or the
            "last" of them.
        prefer: "speed", or "memory": about 6 bytes a key instead of 16 for keys in no order.
        threads: for checking every key at the end.

    Raises:
        DuplicateKeyError: a ValueError; see `duplicates`.
        ValueError: a key is missing (NaN, NaT, null), or there are more than 2^32 - 2 of them.
        TypeError: keys of this type cannot be looked up.

    References:
        Kraska, Beutel, Chi, Dean & Polyzotis, "The case for learned index structures", SIGMOD 2018;
        Pagh & Rodler, "Cuckoo hashing", Journal of Algorithms 2004.
    """

    _column: Column
    _structure: Structure
    _explanation: Explanation

    def __init__(
        self,
        keys: Any,
        *,
        duplicates: Duplicates = "error",
        prefer: Prefer = "speed",
        threads: int = 1,
    ) -> None:
        if hasattr(self, "_explanation"):  # others may be asking
            raise TypeError("a PointIndex is built once")
        if duplicates not in ("error", "first", "last"):
            raise ValueError(f"duplicates is 'error', 'first' or 'last', not {duplicates!r}")
        if prefer not in ("speed", "memory"):
            raise ValueError(f"prefer is 'speed' or 'memory', not {prefer!r}")
        column = read_column(keys)
        refuse_missing(column)
        builder = Builder(self, column, duplicates, prefer, thread_count(threads))
        self._keep(*builder.build(), column)

    def get_indexer(
        self, queries: Any, out: NDArray[np.int64] | None = None, threads: int = 1
    ) -> NDArray[np.int64]:
        """The position of each query's key, -1 where it is absent.

        Other threads of Python run meanwhile.

        Args:
            queries: a column of any type that the keys could have; NaN, NaT and null are absent.
            out: int64, contiguous, as long as the queries, to be filled and returned.
            threads: as many work at batches of more than some 30,000 queries.

        Raises:
            TypeError: the queries are of a type that no key can equal, such as text for numbers.
            ValueError: `out` does not fit.
        """
        column, absent = match(read_column(queries), self._column)
        if out is None:
            out = np.empty(column.rows, np.int64)
        elif out.dtype != np.int64 or out.shape != (column.rows,) or not out.flags.c_contiguous:
            raise ValueError(f"out must be {column.rows} contiguous int64 values")
        elif not out.flags.writeable:
            raise ValueError("out is read-only")
        _native.point_find(self, column.data, out, thread_count(threads))
        if absent is not None:
            out[absent] = -1
        return out

    @property
    def nbytes(self) -> int:
        """Bytes of the index's own.

        Keys that the user has are not among them; keys that had to be converted are, if look-ups
        compare with them.
        """
        return self._structure.nbytes + self._column.copied

    @property
    def dtype(self) -> str:
        """The keys' type: "int64", "datetime64[ns]", "text"."""
        return self._column.label

    def explain(self) -> Explanation:
        """Which structure was chosen, why, how large it is, and what else was tried."""
        return self._explanation

    def __repr__(self) -> str:
        kind, each = self._structure.name, self._explanation.bytes_per_key
        return f"<PointIndex of {len(self)} {self.dtype} keys: {kind}, {each:.2f} bytes a key>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index, without the keys, to a file: whole or not at all.

        Raises:
            OSError: the folder is missing, read-only or full; an old file is then untouched.
        """
        structure, column = self._structure, self._column
        meta = {
            "structure": structure.name,
            "numbers": structure.numbers,
            "away": structure.away,
            "family": column.family,
            "unit": column.unit,
            "explanation": asdict(self._explanation),
        }
        parts = {"array": structure.array, "ranks": structure.ranks}
        arrays = {name: part for name, part in parts.items() if part is not None}
        save_arrays(path, FILE_KIND, meta, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], keys: Any = None, *, threads: int = 1) -> Self:
        """An index from its file, whose arrays stay there and are mapped into memory.

        Args:
            path: where.
            keys: those that the index was built from; each of them is looked up, so that an index
                of other keys is noticed. None: not checked; only possible where look-ups compare
                with no keys of the user's (`explain()` says neither "ranks" nor "tags").
            threads: for checking the keys.

        Raises:
            IndexFileError: a ValueError: the file is damaged, foreign, or made for other keys.
            OSError: it cannot be opened.
        """
        meta, arrays = load_arrays(path, FILE_KIND)
        index = cls.__new__(cls)
        try:
            structure, explanation = structure_from(meta, arrays)
            known = empty_column(meta["family"], meta["unit"], structure.numbers["type"])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise IndexFileError(f"{path}: not a point index: {error}") from None
        column = known if keys is None else read_column(keys)
        if (column.family, column.unit, column.code) != (known.family, known.unit, known.code):
            raise IndexFileError(f"{path}: an index of {known.label}, not of {column.label} keys")
        if keys is None and structure.reads_keys:
            raise ValueError(f"{path}: look-ups compare with the keys, which must be given")
        try:
            structure.attach(index, None if keys is None else column.data, foreign=True)
        except (TypeError, ValueError, RuntimeError) as error:
            raise IndexFileError(f"{path}: {error}") from None
        if keys is not None and _native.point_verify(index, thread_count(threads)) != column.rows:
            raise IndexFileError(f"{path}: an index of other keys")
        index._keep(structure, explanation, column)
        return index

    def _keep(self, structure: Structure, explanation: Explanation, column: Column) -> None:
        """Lets go of the keys if look-ups compare with none."""
        if not structure.reads_keys:
            structure.attach(self, None)
            column = empty_column(column.family, column.unit, column.code)
        self._structure, self._explanation, self._column = structure, explanation, column

    def __reduce__(self) -> tuple[Any, ...]:
        structure = self._structure
        parts = (structure.kind, structure.numbers, structure.array, structure.ranks)
        return _restored, (type(self), parts, structure.away, self._column, self._explanation)

    def _scalar(self, key: Any) -> int | float | None:
        """A key of no type of Python's own as a number; None: it is absent."""
        if self._column.unit:
            return _time(key, self._column)
        try:
            if hasattr(key, "__index__"):
                return operator.index(key)
            number = float(key)
            return number if number == key else None
        except (TypeError, ValueError, OverflowError):
            return None


def _time(key: Any, keys: Column) -> int | None:
    time = time_of(key)
    if time is None:
        return None
    column = read_column(np.array([time]))
    if column.family != keys.family or np.isnat(time):
        return None
    column, absent = match(column, keys)
    assert isinstance(column.data, np.ndarray)
    return None if absent is not None and absent[0] else int(column.data[0])


def _restored(
    cls: type[PointIndex],
    parts: tuple[Any, ...],
    away: int,
    column: Column,
    explanation: Explanation,
) -> PointIndex:
    kind, numbers, array, ranks = parts
    index = cls.__new__(cls)
    if array is not None:  # unpickled bytes lie anywhere
        array, given = _native.aligned_zeros(array.nbytes), array
        array[:] = given
    structure = Structure(kind, numbers, array, ranks, away)
    structure.attach(index, column.data if structure.reads_keys else None, foreign=True)
    index._keep(structure, explanation, column)
    return index
