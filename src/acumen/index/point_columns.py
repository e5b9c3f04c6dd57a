"""Columns of keys and queries as the point index reads them: in place wherever that is possible.

A column is a NumPy array of numbers (times as the integers that they are stored as), or the parts
of a column of strings: bytes, offsets, width. What had to be copied (`columns.read` says when) is
counted in `copied`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from acumen.index import columns

# bytes (uint8), offsets (int32 or int64, or None: fixed width), width, whether zeros at the end of
# a row are none of it, rows: what the native side takes.
Strings = tuple[NDArray[np.uint8], NDArray[Any] | None, int, bool, int]

_NO_STRINGS: Strings = (np.empty(0, np.uint8), None, 0, False, 0)
_NAT = np.iinfo(np.int64).min
_TYPES = (
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float32", "float64"),
)
_CODES = {name: code for code, name in enumerate(_TYPES)}  # as WordType on the native side


@dataclass(frozen=True)
class Column:
    """One column. `family`: "int", "float", "datetime64", "timedelta64", "text" or "bytes"."""

    family: str
    data: NDArray[Any] | Strings
    rows: int
    unit: str = ""
    missing: NDArray[np.bool_] | None = None
    copied: int = 0  # bytes made for this column

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled is what the keys are, and not what else lies in a slice's buffers."""
        data = self.data
        if isinstance(data, tuple):
            every, offsets, width, trimmed, rows = data
            if offsets is not None:
                first, end = offsets[0], offsets[-1]
                data = (every[first:end], offsets - first, width, trimmed, rows)
        parts = (self.family, data, self.rows, self.unit, self.missing, self.copied)
        return Column, parts

    @property
    def label(self) -> str:
        """The keys' type in words: int64, datetime64[ns], text."""
        if self.unit:
            return f"{self.family}[{self.unit}]"
        return str(self.data.dtype) if isinstance(self.data, np.ndarray) else self.family

    @property
    def code(self) -> int:
        """The type's number on the native side; strings have none."""
        return _CODES[str(self.data.dtype)] if isinstance(self.data, np.ndarray) else 0


def read_column(values: Any) -> Column:
    """Any column that Python knows, of one dimension.

    Raises:
        TypeError: its type is none that can be looked up.
        ValueError: it has more than one dimension.
    """
    source = columns.read(values)
    if isinstance(source.values, np.ndarray):
        return _of_numpy(source.values, source.made)
    return _of_arrow(source.values, source.made)


def refuse_missing(column: Column) -> None:
    """Raises ValueError if there is NaN, NaT or null: it is equal to nothing, itself included."""
    missing = column.missing
    if isinstance(column.data, np.ndarray) and column.data.size:
        if column.family == "float" and np.isnan(np.min(column.data)):
            missing = np.isnan(column.data)
        elif column.unit and column.data.dtype == np.int64 and np.min(column.data) == _NAT:
            missing = column.data == _NAT
    if missing is not None and missing.any():
        raise ValueError(
            f"key {int(np.argmax(missing))} is missing (NaN, NaT or null): it could never be found"
        )


def match(queries: Column, keys: Column) -> tuple[Column, NDArray[np.bool_] | None]:
    """Queries as the keys' family has them, and which of them can be no key for certain.

    Raises:
        TypeError: no query can be a key, whatever its value.
    """
    absent = queries.missing
    if queries.rows == 0:
        return Column(keys.family, _nothing(keys), 0, keys.unit), None
    if queries.family == keys.family:
        if keys.unit:
            queries, other = _in_unit(queries, keys.unit)
            absent = _either(absent, other)
        elif keys.family == "int":
            absent = _either(absent, _other_sign(queries.data, keys.data))
        return queries, absent
    if {queries.family, keys.family} == {"int", "float"}:
        convert = _whole if keys.family == "int" else _as_double
        data, other = convert(queries.data, keys.data)
        return Column(keys.family, data, queries.rows), _either(absent, other)
    raise TypeError(f"queries are {queries.label}, keys are {keys.label}")


def empty_column(family: str, unit: str, code: int) -> Column:
    """A column without rows of this type.

    Raises:
        ValueError: there is no such type.
    """
    if family not in ("int", "float", "datetime64", "timedelta64", "text", "bytes"):
        raise ValueError(f"{family!r} is no kind of keys")
    if unit:
        np.dtype(f"{family}[{unit}]")  # or TypeError
    data: NDArray[Any] | Strings = _NO_STRINGS
    if family not in ("text", "bytes"):
        data = np.empty(0, _TYPES[code])
    return Column(family, data, 0, unit)


def _nothing(keys: Column) -> NDArray[Any] | Strings:
    if isinstance(keys.data, np.ndarray):
        return keys.data[:0]
    return _NO_STRINGS


def _either(a: NDArray[np.bool_] | None, b: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    return b if a is None else a if b is None else a | b


def _other_sign(queries: Any, keys: Any) -> NDArray[np.bool_] | None:
    """Numbers that only one of the two types has but whose words look the same."""
    if queries.dtype.kind == "i" and keys.dtype.kind == "u":
        return np.asarray(queries < 0)
    if queries.dtype == np.uint64 and keys.dtype.kind == "i":
        return np.asarray(queries > np.uint64(2**63 - 1))
    return None


def _as_double(queries: Any, _: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Integers as doubles, and which of them no double equals."""
    doubles = queries.astype(np.float64)
    if queries.dtype.itemsize < 8:
        return doubles, None
    beyond = doubles >= (2.0**63 if queries.dtype.kind == "i" else 2.0**64)
    back = np.where(beyond, 0.0, doubles).astype(queries.dtype)
    return doubles, beyond | (back != queries)


def _whole(queries: Any, keys: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Floating-point numbers as integers, and which of them are none."""
    signed = keys.dtype.kind == "i"
    low, high = (-(2.0**63), 2.0**63) if signed else (0.0, 2.0**64)
    good = (queries >= low) & (queries < high) & (np.floor(queries) == queries)
    return np.where(good, queries, 0).astype(np.int64 if signed else np.uint64), ~good


def _in_unit(queries: Column, unit: str) -> tuple[Column, NDArray[np.bool_] | None]:
    data = queries.data
    assert isinstance(data, np.ndarray)
    absent = np.asarray(data == _NAT) if data.dtype == np.int64 else None
    if queries.unit == unit:
        return queries, absent
    own, wanted = (f"{queries.family}[{u}]" for u in (queries.unit, unit))
    numbers, exact = columns.in_unit(data.astype(np.int64).view(own), np.dtype(wanted))
    return Column(queries.family, numbers, queries.rows, unit), _either(absent, ~exact)


def _of_numpy(values: NDArray[Any], made: bool) -> Column:
    rows, copied = len(values), values.nbytes if made else 0
    if values.dtype.kind == "S":
        width = values.dtype.itemsize
        return Column(
            "bytes", (values.view(np.uint8), None, width, True, rows), rows, copied=copied
        )
    if values.dtype.kind in "mM":
        return _numbers(values.view(np.int64), values.dtype, None, copied)
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    return _numbers(values, values.dtype, None, copied)


def _of_arrow(column: Any, made: bool) -> Column:
    kind, rows = column.type, len(column)
    missing = np.asarray(column.is_null()) if column.null_count else None
    copied = column.nbytes if made else 0
    if pa.types.is_null(kind):
        return Column("float", np.zeros(rows), rows, missing=missing)
    if columns.is_text(kind):
        data, offsets = columns.text_parts(column)
        family = "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "bytes"
        strings = (data, offsets, offsets.dtype.itemsize, False, rows)
        return Column(family, strings, rows, missing=missing, copied=copied)
    if pa.types.is_fixed_size_binary(kind):
        data, width = columns.fixed_part(column)
        fixed: Strings = (data, None, width, False, rows)
        return Column("bytes", fixed, rows, missing=missing, copied=copied)
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
        copied = column.nbytes
    return _numbers(*columns.number_parts(column), missing, copied)


def _numbers(
    values: NDArray[Any], kind: np.dtype[Any], missing: NDArray[np.bool_] | None, copied: int
) -> Column:
    """Numbers; or what is stored of times, whose `kind` is no number's."""
    if kind.kind in "mM":
        unit, count = np.datetime_data(kind)
        family = "datetime64" if kind.kind == "M" else "timedelta64"
        unit = unit if count == 1 else f"{count}{unit}"
        return Column(family, values, len(values), unit, missing, copied)
    if values.dtype == np.float16:
        values = values.astype(np.float32)
        copied = values.nbytes
    if str(values.dtype) not in _CODES:
        raise TypeError(f"keys of type {values.dtype} cannot be looked up")
    family = "float" if values.dtype.kind == "f" else "int"
    return Column(family, values, len(values), missing=missing, copied=copied)
