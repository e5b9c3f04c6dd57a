"""Keys of a filter as arrays: integers as words, texts and byte strings as Arrow has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from acumen import _native

NEGATIVE = 0x9E3779B97F4A7C15  # so that -1 and 2⁶⁴ - 1 are different keys
WORD = (1 << 64) - 1


@dataclass(frozen=True)
class KeyBatch:
    """Keys of one kind, in order.

    Attributes:
        kind: ``"integer"``, ``"text"``, ``"bytes"``, or ``"none"`` of an empty batch.
        values: uint64 words of integers; else an Arrow large_binary array without nulls.
    """

    kind: str
    values: Any

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
        _, offsets, data = self.values.buffers()
        first, count = self.values.offset, len(self.values)
        # Arrow may leave out the offsets of an empty array, and the bytes of empty texts.
        ends = np.zeros(1, np.int64) if not count else np.frombuffer(offsets, np.int64)
        content = np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
        return _native.FilterKeys(ends[first : first + count + 1], content)

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


def bytes_of(text: str) -> bytes:
    """UTF-8; lone surrogates, which it does not have, as what they would be."""
    return text.encode("utf-8", "surrogatepass")


def key_batch(keys: object) -> KeyBatch:
    """Keys of any of the containers that `MembershipFilter` names.

    Raises:
        TypeError: keys of several kinds, or of a kind that filters do not know.
        ValueError: nulls among them, or more than one dimension.
    """
    if isinstance(keys, KeyBatch):
        return keys
    if isinstance(keys, str | bytes):
        raise TypeError("keys must be a batch; for one key use `key in filter`")
    if isinstance(keys, np.ndarray):
        return _from_numpy(keys)
    if isinstance(keys, pa.Array | pa.ChunkedArray):
        return _from_arrow(keys)
    if hasattr(keys, "__arrow_c_stream__"):
        return _from_arrow(pa.chunked_array(keys))
    if hasattr(keys, "to_numpy"):  # pandas before 3.0
        return _from_numpy(np.asarray(keys.to_numpy()))
    if isinstance(keys, Iterable):
        return _from_sequence(keys if isinstance(keys, list | tuple) else list(keys))
    raise TypeError(f"keys must be an array or an iterable, not {type(keys).__name__}")


def _from_numpy(keys: NDArray[Any]) -> KeyBatch:
    if keys.ndim != 1:
        raise ValueError(f"keys must have one dimension, not {keys.ndim}")
    if not len(keys):
        return KeyBatch("none", np.zeros(0, np.uint64))
    if keys.dtype.kind in "Mm":
        keys = keys.astype(keys.dtype.newbyteorder("="), copy=False).view(np.int64)
    if keys.dtype.kind in "bu":
        return KeyBatch("integer", np.ascontiguousarray(keys, np.uint64))
    if keys.dtype.kind == "i":
        # A signed array of smaller width is sign-extended before its bits are looked at.
        wide = np.ascontiguousarray(keys, np.int64)
        words = wide.view(np.uint64)
        below = wide < 0
        if below.any():
            words = np.where(below, words ^ np.uint64(NEGATIVE), words)
        return KeyBatch("integer", words)
    if keys.dtype.kind == "S":
        return _from_arrow(pa.array(keys, pa.large_binary()))
    if keys.dtype.kind in "UTO":
        return _from_sequence(keys.tolist())
    raise TypeError(f"keys must be integers, texts or byte strings, not {keys.dtype}")


def _from_arrow(keys: Any) -> KeyBatch:
    if isinstance(keys, pa.ChunkedArray):
        keys = keys.combine_chunks()
        if isinstance(keys, pa.ChunkedArray):  # older versions of pyarrow, or no chunk at all
            keys = pa.concat_arrays(keys.chunks) if keys.num_chunks else pa.nulls(0)
    if keys.null_count:
        raise ValueError(f"keys must not be null: {keys.null_count} are")
    if not len(keys):
        return KeyBatch("none", np.zeros(0, np.uint64))
    if pa.types.is_dictionary(keys.type):
        keys = keys.dictionary_decode()
    kind = keys.type
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind) or pa.types.is_boolean(kind):
        return _from_numpy(keys.to_numpy(zero_copy_only=False))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        # By way of its own text type: there is no cast from a view of text to bytes.
        return KeyBatch("text", keys.cast(pa.large_string()).cast(pa.large_binary()))
    if pa.types.is_fixed_size_binary(kind):
        keys, kind = keys.cast(pa.binary()), pa.binary()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or kind == pa.binary_view():
        return KeyBatch("bytes", keys.cast(pa.large_binary()))
    raise TypeError(f"keys must be integers, texts or byte strings, not {kind}")


def _from_sequence(keys: Sequence[Any]) -> KeyBatch:
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
    if all(issubclass(kind, int | np.integer) for kind in kinds):
        words = (word_of(int(key)) for key in keys)
        return KeyBatch("integer", np.fromiter(words, np.uint64, len(keys)))
    if any(key is None for key in keys):
        raise ValueError("keys must not be null: there is a None among them")
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise TypeError(f"keys must be all integers, all texts or all byte strings, not {names}")
