"""Keys of a range index: numbers, texts, and pairs of numbers, as the buffers that they lie in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from acumen.index import columns

__all__ = ["Keys", "Numbers", "Pairs", "Texts", "as_keys"]


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
            float64, datetime64, timedelta64, fixed-width bytes ("S12"), strings. What is copied,
            `columns.read` says.

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
    values = columns.read(keys).values
    return _of_numpy(values) if isinstance(values, np.ndarray) else _of_arrow(values)


def _of_numpy(values: NDArray[Any]) -> Keys:
    kind = values.dtype
    if kind.kind == "S":
        return Texts(values.view(np.uint8), None, kind.itemsize, True, "bytes")
    if kind.kind in "mM":
        if np.isnat(values).any():
            raise ValueError("keys must not be NaT")
        return Numbers(values.view(np.int64), kind)
    return _numbers(values, kind)


def _of_arrow(column: Any) -> Keys:
    if column.null_count:
        raise ValueError(f"keys must not be null or masked; {column.null_count} are")
    kind = column.type
    if columns.is_text(kind):
        data, offsets = columns.text_parts(column)
        of_strings = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        wide = offsets.astype(np.int64, copy=False)
        return Texts(data, wide, 0, False, "str" if of_strings else "bytes")
    if pa.types.is_fixed_size_binary(kind):
        data, width = columns.fixed_part(column)
        if not width:  # all of them empty
            return Texts(data, np.zeros(len(column) + 1, np.int64), 0, False, "bytes")
        return Texts(data, None, width, False, "bytes")
    return _numbers(*columns.number_parts(column))


def _numbers(values: NDArray[Any], kind: np.dtype[Any]) -> Numbers:
    if values.dtype not in _PLAIN:
        raise TypeError(
            f"keys of dtype {kind} cannot be indexed: convert them to integers of 8 to 64 bits, "
            "float32, float64, datetime64, timedelta64, bytes or strings"
        )
    return Numbers(values, kind)
