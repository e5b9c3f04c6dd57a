"""Keys of a filter as arrays: numbers and times as words, texts and bytes as Arrow has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from acumen import _native
from acumen.index import columns

NEGATIVE = 0x9E3779B97F4A7C15  # so that -1 and 2⁶⁴ - 1 are different keys
WORD = (1 << 64) - 1
_TIMES = (date, timedelta, np.datetime64, np.timedelta64)  # a datetime is a date


@dataclass(frozen=True)
class KeyBatch:
    """Keys of one kind, in order.

    Attributes:
        kind: ``"integer"``, ``"text"``, ``"bytes"``, or ``"none"`` of an empty batch; of times what
            they are, such as ``"datetime64[ns]"``.
        values: uint64 words of integers or times; else an Arrow large_binary array without nulls.
        absent: bool, or None: times that their kind does not have exactly.
    """

    kind: str
    values: Any
    absent: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64]) -> KeyBatch:
        """Those keys alone."""
        if isinstance(self.values, np.ndarray):
            return KeyBatch(self.kind, np.ascontiguousarray(self.values[rows]))
        return KeyBatch(self.kind, self.values.take(pa.array(rows)))

    @cached_property
    def native(self) -> _native.FilterKeys:
        """The same arrays for the kernels, not copied."""
        if isinstance(self.values, np.ndarray):
            return _native.FilterKeys(self.values)
        data, offsets = columns.text_parts(self.values)
        return _native.FilterKeys(offsets, data)

    def hashes(self) -> NDArray[np.uint64]:
        """What tables know of the keys; equal for equal keys."""
        return self.native.hashes()


def word_of(value: int) -> int:
    """An integer of any size as 64 bits: itself if it is an uint64."""
    if 0 <= value <= WORD:
        return value
    if -(1 << 63) <= value < 0:
        return (value & WORD) ^ NEGATIVE
    size = value.bit_length() // 8 + 1
    digest = blake2b(value.to_bytes(size, "little", signed=True), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def is_kind(kind: object) -> bool:
    """Whether this is the kind of some batch."""
    if kind in ("integer", "text", "bytes", "none"):
        return True
    try:
        return isinstance(kind, str) and np.dtype(kind).kind in "mM" and str(np.dtype(kind)) == kind
    except TypeError:
        return False


def bytes_of(text: str) -> bytes:
    """UTF-8; lone surrogates, which it does not have, as what they would be."""
    return text.encode("utf-8", "surrogatepass")


def key_batch(keys: object, like: str = "") -> KeyBatch:
    """Keys of any of the containers that `MembershipFilter` names.

    Args:
        keys: the keys.
        like: a kind; times of that kind in another unit are brought into its unit.

    Raises:
        TypeError: keys of several kinds, or of a kind that filters do not know.
        ValueError: nulls among them, NaT too, or more than one dimension.
    """
    if isinstance(keys, KeyBatch):
        return keys
    if isinstance(keys, str | bytes):
        raise TypeError("keys must be a batch; for one key use `key in filter`")
    if not _is_column(keys):
        if not isinstance(keys, Iterable):
            raise TypeError(f"keys must be an array or an iterable, not {type(keys).__name__}")
        return _from_sequence(keys if isinstance(keys, list | tuple) else list(keys), like)
    if _kind_of_numpy(keys) in tuple("OTU"):
        objects = np.asarray(keys)
        if objects.ndim == 1:  # whose integers may have any size
            return _from_sequence(objects.tolist(), like)
    values = columns.read(keys).values
    if not isinstance(values, np.ndarray):
        return _from_arrow(values, like)
    if values.dtype.kind == "S" and len(values):
        return _from_arrow(pa.array(values, pa.large_binary()))
    return _from_numbers(values, like)


def _kind_of_numpy(keys: object) -> str:
    dtype = getattr(keys, "dtype", None)
    return dtype.kind if isinstance(dtype, np.dtype) else ""


def _is_column(keys: object) -> bool:
    names = ("__arrow_c_stream__", "__arrow_c_array__", "__arrow_array__", "to_numpy")
    return isinstance(keys, np.ndarray | pa.Array | pa.ChunkedArray) or any(
        hasattr(keys, name) for name in names
    )


def _from_times(keys: NDArray[Any], like: str) -> KeyBatch:
    if np.isnat(keys).any():
        raise ValueError("keys must not be NaT")
    kind, absent = str(keys.dtype), None
    numbers = keys.view(np.int64)
    if kind != like and kind.split("[")[0] == like.split("[")[0]:
        numbers, exact = columns.in_unit(keys, np.dtype(like))
        kind, absent = like, ~exact
    return replace(_from_numbers(numbers), kind=kind, absent=absent)


def _from_numbers(keys: NDArray[Any], like: str = "") -> KeyBatch:
    if not len(keys):
        return KeyBatch("none", np.zeros(0, np.uint64))
    if keys.dtype.kind in "Mm":
        return _from_times(keys, like)
    if keys.dtype.kind in "bu":
        return KeyBatch("integer", np.ascontiguousarray(keys, np.uint64))
    if keys.dtype.kind != "i":
        raise TypeError(f"keys must be integers, times, texts or byte strings, not {keys.dtype}")
    # A signed array of smaller width is sign-extended before its bits are looked at.
    wide = np.ascontiguousarray(keys, np.int64)
    words = wide.view(np.uint64)
    below = wide < 0
    return KeyBatch(
        "integer", np.where(below, words ^ np.uint64(NEGATIVE), words) if below.any() else words
    )


def _from_arrow(keys: Any, like: str = "") -> KeyBatch:
    if keys.null_count:
        raise ValueError(f"keys must not be null: {keys.null_count} are")
    if not len(keys):
        return KeyBatch("none", np.zeros(0, np.uint64))
    kind = keys.type
    if columns.is_text(kind):
        of_strings = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        return KeyBatch("text" if of_strings else "bytes", keys.cast(pa.large_binary()))
    if pa.types.is_fixed_size_binary(kind):
        return KeyBatch("bytes", keys.cast(pa.binary()).cast(pa.large_binary()))
    if pa.types.is_boolean(kind):
        keys = keys.cast(pa.uint8())
    stored, meaning = columns.number_parts(keys)
    if meaning.kind in "mM":
        stored = stored.astype(np.int64, copy=False).view(meaning)
    return _from_numbers(stored, like)


def _from_sequence(keys: Sequence[Any], like: str = "") -> KeyBatch:
    if not keys:
        return KeyBatch("none", np.zeros(0, np.uint64))
    kinds = {type(key) for key in keys}
    if all(issubclass(kind, str) for kind in kinds):
        try:
            texts = pa.array(keys, pa.large_string()).cast(pa.large_binary())
        except UnicodeEncodeError:
            texts = pa.array([bytes_of(key) for key in keys], pa.large_binary())
        return KeyBatch("text", texts)
    if all(issubclass(kind, bytes | bytearray) for kind in kinds):
        return KeyBatch("bytes", pa.array(keys, pa.large_binary()))
    if all(issubclass(kind, _TIMES) for kind in kinds):
        times = columns.read(keys).values
        return (_from_numbers if isinstance(times, np.ndarray) else _from_arrow)(times, like)
    if all(issubclass(kind, int | np.integer) for kind in kinds):
        words = (word_of(int(key)) for key in keys)
        return KeyBatch("integer", np.fromiter(words, np.uint64, len(keys)))
    if any(key is None for key in keys):
        raise ValueError("keys must not be null: there is a None among them")
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise TypeError(
        f"keys must be all integers, all times, all texts or all byte strings, not {names}"
    )
