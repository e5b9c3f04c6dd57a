"""What users have as columns, as one array of NumPy's or Arrow's: in place wherever possible.

This is the one place that knows containers (NumPy, Arrow, Polars, pandas, sequences), and what lies
in an Arrow array's buffers. What a column may hold, range, point and membership indexes each say
for themselves: `keys.py`, `point_columns.py`, `membership_keys.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = [
    *("Source", "as_array", "fixed_part", "in_unit", "is_text", "number_parts", "read"),
    *("text_parts", "time_of"),
]


@dataclass(frozen=True)
class Source:
    """A column as it lies in memory.

    Attributes:
        values: (n,) a NumPy array of numbers, times or fixed-width bytes, contiguous, aligned and
            native-endian; or an Arrow array, no dictionary, no runs and no view of strings.
            NumPy's texts and objects become Arrow's.
        made: whether it lies in memory that was made for it.
    """

    values: Any
    made: bool


def read(values: Any) -> Source:
    """Any column that Python knows.

    Taken as they are: NumPy arrays, Arrow arrays of one chunk, Polars and pandas series and indexes
    over such. Copied: several chunks, dictionaries, runs, views of strings, NumPy's and Python's
    texts and objects, strided and byte-swapped arrays, sequences. Masked values become nulls.

    Raises:
        TypeError: values of different types.
        ValueError: there is more than one dimension.
    """
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return _of_arrow(values, False)
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        return _of_arrow(pa.array(values), True)
    if isinstance(getattr(values, "dtype", None), np.dtype):  # pandas, too, hands out what it has
        return _of_numpy(np.asarray(values), False)
    if hasattr(values, "__arrow_c_stream__"):  # Polars; pandas on Arrow
        return _of_arrow(pa.chunked_array(values), False)
    if hasattr(values, "__arrow_c_array__") or hasattr(values, "__arrow_array__"):
        return _of_arrow(pa.array(values), False)
    if hasattr(values, "__array__") or _is_buffer(values):
        return _of_numpy(np.asarray(values), False)
    values = list(values)
    if any(isinstance(value, str | bytes) for value in values):
        return _of_arrow(_inferred(values), True)
    if values and all(type(value) is int for value in values):
        return Source(_integers(values), True)
    return _of_numpy(as_array(values), True)


def as_array(values: Any) -> NDArray[Any]:
    """A NumPy array of the same values; integers that NumPy would round stay Python's own.

    Raises:
        ValueError: some are masked, or null.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        raise ValueError("masked values are null, and have no place among keys or queries")
    is_null = getattr(values, "isna", None)  # pandas' columns
    if is_null is not None and not isinstance(values.dtype, np.dtype) and is_null().any():
        raise ValueError("keys and queries must not be null")
    array = np.asarray(values)
    of_python = isinstance(values, list | tuple) and array.dtype.kind == "f"
    if of_python and any(isinstance(k, int | np.integer) and abs(int(k)) > 2**53 for k in values):
        return np.asarray(values, dtype=object)
    return array


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is one of texts, or of bytes of any length: what text_parts() takes."""
    types = pa.types
    strings = types.is_string(kind) or types.is_large_string(kind)
    return bool(strings or types.is_binary(kind) or types.is_large_binary(kind))


def text_parts(column: Any) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Of an Arrow array of texts or bytes: all bytes, and (n + 1,) int32 or int64 offsets.

    Text i is bytes[offsets[i] : offsets[i + 1]].
    """
    wide = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    offsets = _buffer(column, 1, np.int64 if wide else np.int32)
    if not len(column) or not len(offsets):  # Arrow may leave them out where there are no texts
        return np.zeros(0, np.uint8), np.zeros(1, offsets.dtype)
    ends = offsets[column.offset : column.offset + len(column) + 1]
    return _buffer(column, 2, np.uint8), ends


def fixed_part(column: Any) -> tuple[NDArray[np.uint8], int]:
    """Of an Arrow array of bytes of one width: all bytes, and the width."""
    width = column.type.byte_width
    data = _buffer(column, 1, np.uint8)
    return data[column.offset * width : (column.offset + len(column)) * width], width


def number_parts(column: Any) -> tuple[NDArray[Any], np.dtype[Any]]:
    """Of an Arrow array of numbers or times: what is stored, and what it means.

    Returns:
        (n,) numbers, and their dtype; of times integers of 32 or 64 bits, and the datetime64 or
        timedelta64 that they are. What is stored for nulls is anything.

    Raises:
        TypeError: they are neither.
    """
    kind, types = column.type, pa.types
    if types.is_temporal(kind) and not types.is_interval(kind):
        unit = {"date32[day]": "D", "date64[ms]": "ms"}.get(str(kind), getattr(kind, "unit", ""))
        code = "m8" if types.is_duration(kind) or types.is_time(kind) else "M8"
        stored: Any = np.int32 if kind.bit_width == 32 else np.int64
        meaning: np.dtype[Any] = np.dtype(f"{code}[{unit}]")
    elif types.is_integer(kind) or types.is_floating(kind):
        stored = meaning = np.dtype(kind.to_pandas_dtype())
    else:
        raise TypeError(f"keys of Arrow type {kind} cannot be indexed")
    return _buffer(column, 1, stored)[column.offset : column.offset + len(column)], meaning


def in_unit(
    times: NDArray[Any], kind: np.dtype[Any]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Times as numbers of another unit, and which of them that unit has; none of NaT.

    Args:
        times: (n,) datetime64 or timedelta64.
        kind: the same with another unit.

    Returns:
        (n,) int64, rounded or anything where the unit has them not; (n,) bool.
    """
    try:
        turned = times.astype(kind)
        exact = turned.astype(times.dtype) == times
    except OverflowError:
        if len(times) == 1:  # none that the unit has; or units so far apart that both have but zero
            return np.zeros(1, np.int64), times.view(np.int64) == 0
        # NumPy 2.5 says so if one of them is.
        each = [in_unit(times[at : at + 1], kind) for at in range(len(times))]
        numbers, exact = (np.concatenate(part) for part in zip(*each, strict=True))
        return numbers, exact
    return turned.view(np.int64), np.asarray(exact)


def time_of(key: Any) -> np.datetime64 | np.timedelta64 | None:
    """NumPy's, Python's or pandas' time as one of NumPy's; None: it is no time."""
    if isinstance(key, datetime) and key.tzinfo is not None and not hasattr(key, "to_datetime64"):
        key = key.astimezone(UTC).replace(tzinfo=None)
    for turn in ("to_datetime64", "to_timedelta64"):  # pandas: down to the nanosecond
        if hasattr(key, turn):
            key = getattr(key, turn)()
    if isinstance(key, date):
        return np.datetime64(key)
    if isinstance(key, timedelta):
        return np.timedelta64(key)
    return key if isinstance(key, np.datetime64 | np.timedelta64) else None


def _of_numpy(values: NDArray[Any], made: bool) -> Source:
    if values.ndim != 1:
        raise ValueError(f"one dimension is needed, not {values.ndim}")
    kind = values.dtype
    if kind.kind == "U":
        return _of_arrow(_numpy_text(values), True)
    if kind.kind in "OT" or (kind.kind == "S" and not kind.itemsize):
        return _of_arrow(_inferred(values.tolist()), True)
    if kind.isnative and values.flags.c_contiguous and values.flags.aligned:
        return Source(values, made)
    return Source(np.require(values, kind.newbyteorder("="), ["C", "ALIGNED"]), True)


def _is_buffer(values: Any) -> bool:
    try:
        return not isinstance(values, bytes) and memoryview(values).ndim > 0
    except TypeError:
        return False


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
        raise TypeError(f"keys of different types: {error}") from None


def _of_arrow(values: Any, made: bool) -> Source:
    if isinstance(values, pa.ChunkedArray):
        made = made or values.num_chunks > 1
        values = _one_chunk(values)
    if pa.types.is_run_end_encoded(values.type):
        values, made = pc.run_end_decode(values), True
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, made = _plain(values.dictionary).take(values.indices), True
    elif _plain_type(kind) != kind:
        values, made = _plain(values), True
    return Source(values, made)


def _one_chunk(values: pa.ChunkedArray) -> Any:
    if values.num_chunks == 1:
        return values.chunk(0)
    whole = values.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # no chunk at all, or texts beyond 32-bit offsets
        if not whole.num_chunks:
            return pa.array([], whole.type)
        wide = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
        return pa.concat_arrays(whole.cast(wide.get(whole.type, whole.type)).chunks)
    return whole


def _plain(values: Any) -> Any:
    """Views of texts as texts one after the other: Arrow can hardly do anything with views."""
    kind = _plain_type(values.type)
    return values if kind == values.type else values.cast(kind)


def _plain_type(kind: Any) -> Any:
    if kind == pa.string_view():
        return pa.large_string()
    return pa.large_binary() if kind == pa.binary_view() else kind


def _buffer(column: Any, number: int, dtype: Any) -> NDArray[Any]:
    buffer = column.buffers()[number]
    if buffer is None or not buffer.size:
        return np.zeros(0, dtype)
    values = np.frombuffer(buffer, dtype, buffer.size // np.dtype(dtype).itemsize)
    return np.require(values, requirements=["ALIGNED"])
