"""Columns of keys and queries as the point index reads them: in place wherever that is possible.

A column is a NumPy array of numbers (times as the integers that they are stored as), or the parts
of a column of strings: bytes, offsets, width. NumPy arrays and Arrow's buffers are not copied;
what must be converted first (NumPy's own text, Polars' and Arrow's views of strings, dictionaries,
several chunks, strided arrays) is, and `copied` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# bytes (uint8), offsets (int32 or int64, or None: fixed width), width, whether zeros at the end of
# a row are none of it, rows: what the native side takes.
Strings = tuple[NDArray[np.uint8], NDArray[Any] | None, int, bool, int]

_NO_STRINGS: Strings = (np.empty(0, np.uint8), None, 0, False, 0)
_INT64 = np.dtype(np.int64)
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
    if isinstance(values, np.ndarray):
        return _from_numpy(values)
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return _from_arrow(values)
    if isinstance(getattr(values, "dtype", None), np.dtype):  # pandas; hands out what it has
        return _from_numpy(np.asarray(values))
    if hasattr(values, "__arrow_c_stream__"):  # Polars
        return _from_arrow(pa.chunked_array(values))
    if hasattr(values, "__arrow_array__"):  # pandas, backed by Arrow
        return _from_arrow(pa.array(values))
    values = list(values)
    if any(isinstance(value, bytes | str) for value in values):
        return _from_arrow(_inferred(values), made=True)
    if values and all(isinstance(value, int) for value in values):
        return _from_numpy(_integers(values))
    return _from_numpy(np.asarray(values))


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
    times = data.astype(np.int64).view(own)
    turned = times.astype(wanted)
    absent = _either(absent, turned.astype(own) != times)
    return Column(queries.family, turned.view(np.int64), queries.rows, unit), absent


def _from_numpy(values: NDArray[Any]) -> Column:
    if values.ndim != 1:
        raise ValueError(f"one dimension is needed, not {values.ndim}")
    kind, given = values.dtype.kind, values
    if kind in "OT":
        return _from_arrow(_inferred(values.tolist()), made=True)
    if kind == "U":
        return _from_arrow(_numpy_text(values), made=True)
    if not values.dtype.isnative or not values.flags.aligned or not values.flags.c_contiguous:
        values = np.ascontiguousarray(values, values.dtype.newbyteorder("=")).copy()
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    copied = 0 if np.may_share_memory(values, given) else values.nbytes
    rows = len(values)
    if kind in "Mm":
        family = "datetime64" if kind == "M" else "timedelta64"
        unit, count = np.datetime_data(values.dtype)
        unit = unit if count == 1 else f"{count}{unit}"
        return Column(family, values.view(np.int64), rows, unit, copied=copied)
    if kind == "S":
        width = values.dtype.itemsize
        data = values.view(np.uint8) if rows and width else np.empty(0, np.uint8)
        return Column("bytes", (data, None, width, True, rows), rows, copied=copied)
    if kind == "b":
        values = values.view(np.uint8)
    if str(values.dtype) not in _CODES:
        raise TypeError(f"keys of type {values.dtype} cannot be looked up")
    return Column("float" if kind == "f" else "int", values, rows, copied=copied)


def _numpy_text(values: NDArray[np.str_]) -> Any:
    codes = np.ascontiguousarray(values, values.dtype.newbyteorder("=")).view(np.uint32)
    codes = codes.reshape(len(values), -1)
    # Arrow takes the first zero for the end, which only the last ones are.
    inner_zeros = bool(((codes[:, :-1] == 0) & (codes[:, 1:] != 0)).any())
    return pa.array(values.tolist() if inner_zeros else values, pa.string())


def _integers(values: list[int]) -> NDArray[Any]:
    """Python's integers, exactly: NumPy by itself would round some of them to doubles."""
    for dtype in (np.int64, np.uint64):
        try:
            return np.array(values, dtype)
        except OverflowError:
            continue
    raise TypeError("no type of 64 bits has all these integers")


def _inferred(values: list[Any]) -> Any:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise TypeError(f"keys are of no single type that can be looked up: {error}") from None


def _from_arrow(values: Any, made: bool = False) -> Column:
    copied = values.nbytes if made else 0
    if isinstance(values, pa.ChunkedArray):
        copied = values.nbytes if values.num_chunks > 1 else copied
        values = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    kind = values.type
    if pa.types.is_dictionary(kind):
        names = values.dictionary
        if names.type == pa.string_view():
            values = pa.DictionaryArray.from_arrays(values.indices, names.cast(pa.large_string()))
        values = values.dictionary_decode()
        kind, copied = values.type, values.nbytes
    if kind in (pa.string_view(), pa.binary_view()):
        values = values.cast(pa.large_string() if kind == pa.string_view() else pa.large_binary())
        kind, copied = values.type, values.nbytes
    rows = len(values)
    missing = np.asarray(values.is_null()) if values.null_count else None
    if pa.types.is_null(kind):
        return Column("float", np.zeros(rows), rows, missing=missing)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        strings = _arrow_strings(values)
        return Column("text" if text else "bytes", strings, rows, missing=missing, copied=copied)
    if pa.types.is_fixed_size_binary(kind):
        width, buffer = kind.byte_width, values.buffers()[1]
        data = _bytes_of(buffer)[values.offset * width :]
        return Column("bytes", (data, None, width, False, rows), rows, missing=missing)
    if pa.types.is_boolean(kind):
        values = values.cast(pa.uint8())
    return _arrow_numbers(values, missing, copied)


def _arrow_numbers(values: Any, missing: NDArray[np.bool_] | None, copied: int) -> Column:
    family, unit, stored = _arrow_type(values.type)
    rows, buffer = len(values), values.buffers()[1]
    data = np.empty(0, stored)
    if buffer is not None and rows > 0:
        data = np.frombuffer(buffer, stored)[values.offset : values.offset + rows]
    if data.dtype == np.float16:
        data = data.astype(np.float32)
    return Column(family, data, rows, unit, missing, copied)


def _arrow_type(kind: Any) -> tuple[str, str, np.dtype[Any]]:
    """Family, unit and what is stored of numbers and times."""
    types = pa.types
    if types.is_timestamp(kind) or types.is_duration(kind):
        return "datetime64" if types.is_timestamp(kind) else "timedelta64", kind.unit, _INT64
    if types.is_date32(kind):
        return "datetime64", "D", np.dtype(np.int32)
    if types.is_date64(kind):
        return "datetime64", "ms", _INT64
    if types.is_integer(kind) or types.is_floating(kind):
        return "int" if types.is_integer(kind) else "float", "", np.dtype(kind.to_pandas_dtype())
    raise TypeError(f"keys of type {kind} cannot be looked up")


def _bytes_of(buffer: Any) -> NDArray[np.uint8]:
    empty = buffer is None or buffer.size == 0
    return np.empty(0, np.uint8) if empty else np.frombuffer(buffer, np.uint8)


def _arrow_strings(values: Any) -> Strings:
    wide = pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type)
    dtype = np.dtype(np.int64 if wide else np.int32)
    _, offsets, data = values.buffers()
    if offsets is None or offsets.size == 0:
        return (np.empty(0, np.uint8), np.zeros(1, dtype), dtype.itemsize, False, 0)
    starts = np.frombuffer(offsets, dtype)[values.offset : values.offset + len(values) + 1]
    return (_bytes_of(data), starts, dtype.itemsize, False, len(values))
