"""What users have as keys, as the buffers that it lies in: nothing is copied that need not be.

Taken are NumPy arrays, Arrow arrays, Polars and pandas series and indexes, and sequences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["Keys", "Numbers", "Pairs", "Texts", "as_array", "as_keys"]


@dataclass(frozen=True)
class Numbers:
    """Integers, floats, or times, which are integers.

    Attributes:
        values: (n,) integers of 8 to 64 bits, or float32 or float64; contiguous, native-endian.
        kind: what they are to the user: their dtype, or a datetime64 or timedelta64 of some unit.
    """

    values: NDArray[Any]
    kind: np.dtype[Any]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Texts:
    """Strings as UTF-8, or bytes; compared byte by byte, a prefix before what it begins.

    Attributes:
        data: uint8, all of them one after the other.
        offsets: (n + 1,) int64: text i is data[offsets[i] : offsets[i + 1]]. None: each takes
            `width` bytes.
        width: of each, or 0.
        padded: trailing NULs are padding, as in NumPy's bytes.
        kind: "str" or "bytes".
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64] | None
    width: int
    padded: bool
    kind: str

    def __len__(self) -> int:
        if self.offsets is not None:
            return len(self.offsets) - 1
        return len(self.data) // self.width

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled is what the texts are, and not what else lies in a slice's buffers."""
        data, offsets = self.data, self.offsets
        if offsets is not None:
            data, offsets = data[offsets[0] : offsets[-1]], offsets - offsets[0]
        return Texts, (data, offsets, self.width, self.padded, self.kind)

    def none(self) -> Texts:
        """No text, of the same kind."""
        return Texts(np.zeros(0, np.uint8), np.zeros(1, np.int64), 0, False, self.kind)


@dataclass(frozen=True)
class Pairs:
    """Keys of two columns, the first of which weighs more.

    Attributes:
        first: (n,) numbers.
        second: (n,) numbers.
    """

    first: Numbers
    second: Numbers

    def __len__(self) -> int:
        return len(self.first)


Keys = Numbers | Texts | Pairs

_PLAIN = frozenset(np.dtype(code) for code in "bBhHiIqQfd")


def as_keys(keys: Any) -> Keys:
    """Finds the buffers of keys.

    Args:
        keys: a column, or a tuple of two columns of numbers. Integers of 8 to 64 bits, float32,
            float64, datetime64, timedelta64, fixed-width bytes ("S12"), strings. Zero-copy if it is
            contiguous and native-endian, an Arrow array of one chunk without nulls, or a Polars or
            pandas series of such; strings of NumPy ("U12", object) and of sequences are copied.

    Raises:
        TypeError: no such type.
        ValueError: there are nulls, NaT, or more than one dimension; or two columns differ in
            length.
    """
    if isinstance(keys, Numbers | Texts | Pairs):
        return keys
    if isinstance(keys, tuple) and len(keys) == 2 and not np.isscalar(keys[0]):
        first, second = as_keys(keys[0]), as_keys(keys[1])
        if not isinstance(first, Numbers) or not isinstance(second, Numbers):
            raise TypeError("the columns of a composite key must be numbers or times")
        if len(first) != len(second):
            raise ValueError(f"the columns have {len(first)} and {len(second)} rows")
        return Pairs(first, second)
    if isinstance(keys, pa.ChunkedArray | pa.Array):
        return _of_arrow(keys)
    if isinstance(getattr(keys, "dtype", None), np.dtype):
        return _of_numpy(as_array(keys))
    if hasattr(keys, "__arrow_c_stream__"):  # Polars; pandas on Arrow
        return _of_arrow(pa.chunked_array(keys))
    if hasattr(keys, "__arrow_c_array__"):
        return _of_arrow(pa.array(keys))
    if isinstance(keys, list | tuple) and keys and isinstance(keys[0], str | bytes):
        return _of_arrow(pa.array(keys))
    values = as_array(keys)
    if values.dtype.kind in "US":  # NumPy makes strings of numbers among strings
        raise TypeError("keys of different types")
    return _of_numpy(values)


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


def _of_numpy(values: NDArray[Any]) -> Keys:
    if values.ndim != 1:
        raise ValueError(f"keys have one dimension, not {values.ndim}")
    kind = values.dtype
    if kind.kind == "S" and kind.itemsize:
        values = np.ascontiguousarray(values)
        return Texts(values.view(np.uint8), None, kind.itemsize, True, "bytes")
    if kind.kind in "UOTS":
        try:
            return _of_arrow(pa.array(values.tolist()))
        except (pa.ArrowInvalid, OverflowError) as error:
            raise TypeError(f"keys of different types: {error}") from None
    values = np.require(values, kind.newbyteorder("="), ["C", "ALIGNED"])
    if kind.kind in "mM":
        if np.isnat(values).any():
            raise ValueError("keys must not be NaT")
        return Numbers(values.view(np.int64), values.dtype)
    if values.dtype not in _PLAIN:
        raise TypeError(
            f"keys of dtype {kind} cannot be indexed: convert them to integers of 8 to 64 bits, "
            "float32, float64, datetime64, timedelta64, bytes or strings"
        )
    return Numbers(values, values.dtype)


def _of_arrow(column: Any) -> Keys:
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if column.null_count:
        raise ValueError(f"keys must not be null; {column.null_count} are")
    kind = column.type
    if pa.types.is_dictionary(kind):
        if "view" in str(kind.value_type):  # Polars' categories; Arrow cannot take from views
            wanted = pa.large_string() if "string" in str(kind.value_type) else pa.large_binary()
            column = column.cast(pa.dictionary(kind.index_type, wanted))
        return _of_arrow(column.dictionary_decode())
    if _is_text(kind):
        return _texts(column)
    if pa.types.is_fixed_size_binary(kind):
        if not kind.byte_width:  # all of them empty
            offsets = np.zeros(len(column) + 1, np.int64)
            return Texts(np.zeros(0, np.uint8), offsets, 0, False, "bytes")
        data = _buffer(column, 1, np.uint8)
        start = column.offset * kind.byte_width
        stop = start + len(column) * kind.byte_width
        return Texts(data[start:stop], None, kind.byte_width, False, "bytes")
    return _numbers(column)


def _is_text(kind: Any) -> bool:
    types = pa.types
    views = [getattr(types, name, None) for name in ("is_string_view", "is_binary_view")]
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or any(is_view is not None and is_view(kind) for is_view in views)
    )


def _texts(column: Any) -> Texts:
    kind = column.type
    of_strings = not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
    if of_strings and str(kind).startswith("binary"):
        of_strings = False
    wanted = pa.large_string() if of_strings else pa.large_binary()
    if kind != wanted:
        column = column.cast(wanted)  # 64-bit offsets: the text itself is not copied
    offsets = _buffer(column, 1, np.int64)[column.offset : column.offset + len(column) + 1]
    if not len(column):
        offsets = np.zeros(1, np.int64)
    return Texts(_buffer(column, 2, np.uint8), offsets, 0, False, "str" if of_strings else "bytes")


def _numbers(column: Any) -> Numbers:
    kind = column.type
    types = pa.types
    if types.is_temporal(kind) and not types.is_interval(kind):
        unit = {"date32[day]": "D", "date64[ms]": "ms"}.get(str(kind), getattr(kind, "unit", ""))
        code = "m8" if types.is_duration(kind) or types.is_time(kind) else "M8"
        width = np.int32 if kind.bit_width == 32 else np.int64
        logical: np.dtype[Any] = np.dtype(f"{code}[{unit}]")
        values = _buffer(column, 1, width)[column.offset : column.offset + len(column)]
        return Numbers(values, logical)
    if not (types.is_integer(kind) or types.is_float32(kind) or types.is_float64(kind)):
        raise TypeError(f"keys of Arrow type {kind} cannot be indexed")
    plain = np.dtype(kind.to_pandas_dtype())
    values = _buffer(column, 1, plain)[column.offset : column.offset + len(column)]
    return Numbers(values, plain)


def _buffer(column: Any, number: int, dtype: Any) -> NDArray[Any]:
    buffer = column.buffers()[number]
    if buffer is None:
        return np.zeros(0, dtype)
    values = np.frombuffer(buffer, dtype=dtype, count=buffer.size // np.dtype(dtype).itemsize)
    return np.require(values, requirements=["ALIGNED"])
