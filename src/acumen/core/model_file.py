r"""The file a model lives in: versioned, checksummed, replaced atomically.

Layout::

    magic "ACUMEN\x00M" | u32 format | u32 length of the header | header (JSON, UTF-8)
    arrays, each at a multiple of 64 bytes, little-endian       | 32 bytes BLAKE2b of all before

The header names each array with its dtype, count and offset. Everything is checked before a byte
of it is used: sizes against the file's own, the digest over the whole, dtypes against a short list.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"ACUMEN\x00M"
FORMAT = 1
BYTES_MAX = 1 << 30
_HEADER_BYTES_MAX = 1 << 24
_ALIGNMENT = 64
_DIGEST_BYTES = 32
_PREFIX = struct.Struct("<8sII")
_DTYPES = {"<f4", "<f8", "<u8"}

Arrays = dict[str, NDArray[np.generic]]


class ModelError(ValueError):
    """A model file that is truncated, altered, foreign, or made for another choice."""


def write(path: str | os.PathLike[str], header: dict[str, Any], arrays: Mapping[str, Any]) -> None:
    """Writes a model file, whole or not at all.

    Args:
        path: where; an existing file is replaced by one rename, after the new one is on the disk.
        header: what to say about the model; JSON values.
        arrays: one-dimensional arrays of float32, float64 or uint64 by name.

    Raises:
        ModelError: it is larger than `read` allows; see `encode`. The old file is then untouched.
        OSError: the folder is missing, read-only or full; likewise.
    """
    contents = encode(header, arrays)
    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    sync_folder(target.parent)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Arrays]:
    """Reads a model file.

    Raises:
        ModelError: the file is damaged or no model file.
        OSError: it cannot be opened.
    """
    size = os.stat(path).st_size
    if size > BYTES_MAX:
        raise ModelError(f"{path}: {size} bytes is more than a model may have")
    try:
        return decode(Path(path).read_bytes())
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def encode(header: dict[str, Any], arrays: Mapping[str, Any]) -> bytes:
    """The bytes of a model file.

    Raises:
        ModelError: there would be more of them, or of the header's, than `read` and `decode` allow:
            what nobody could read again is not to be taken for kept.
        TypeError: an array is of another dtype, or has more than one dimension.
    """
    blobs: list[bytes] = []
    index = []
    offset = 0
    for name, values in arrays.items():
        array = np.ascontiguousarray(values)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.ndim != 1 or array.dtype.str not in _DTYPES:
            raise TypeError(f"array {name!r} has dtype {array.dtype} and {array.ndim} dimensions")
        blob = array.tobytes()
        padding = -len(blob) % _ALIGNMENT
        index.append([name, array.dtype.str, len(array), offset])
        blobs.append(blob + bytes(padding))
        offset += len(blob) + padding
    text = json.dumps({**header, "arrays": index}, sort_keys=True).encode()
    text += b" " * (-(_PREFIX.size + len(text)) % _ALIGNMENT)
    size = _PREFIX.size + len(text) + offset + _DIGEST_BYTES
    if len(text) > _HEADER_BYTES_MAX or size > BYTES_MAX:
        raise ModelError(f"a header of {len(text)} bytes, {size} in all, is more than a model has")
    body = _PREFIX.pack(MAGIC, FORMAT, len(text)) + text + b"".join(blobs)
    return body + _digest(body)


def decode(contents: bytes) -> tuple[dict[str, Any], Arrays]:
    """Reads the bytes of a model file; ModelError if they are none."""
    if len(contents) < _PREFIX.size + _DIGEST_BYTES:
        raise ModelError("too short to be a model file")
    magic, version, header_bytes = _PREFIX.unpack_from(contents)
    if magic != MAGIC:
        raise ModelError("not a model file")
    if version != FORMAT:
        raise ModelError(f"format {version}; this version of Acumen reads format {FORMAT}")
    body = memoryview(contents)[:-_DIGEST_BYTES]
    if _digest(body) != contents[-_DIGEST_BYTES:]:
        raise ModelError("truncated or altered: the checksum does not match")
    start = _PREFIX.size + header_bytes
    if header_bytes > _HEADER_BYTES_MAX or start > len(body):
        raise ModelError("the header is longer than the file")
    try:
        header = json.loads(bytes(body[_PREFIX.size : start]))
        arrays = _arrays(body[start:], header.pop("arrays"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"the header makes no sense: {error}") from None
    return header, arrays


def _arrays(payload: memoryview, index: list[tuple[str, str, int, int]]) -> Arrays:
    arrays: Arrays = {}
    end = 0
    for name, dtype, count, offset in index:
        # In order and apart, so that a small file cannot ask for much memory.
        if not isinstance(name, str) or name in arrays or offset < end:
            raise ValueError(f"array {name!r} is repeated, or overlaps another")
        arrays[name] = _array(payload, dtype, count, offset)
        end = offset + arrays[name].nbytes
    return arrays


def _array(payload: memoryview, dtype: str, count: int, offset: int) -> NDArray[np.generic]:
    if dtype not in _DTYPES:
        raise ValueError(f"dtype {dtype!r}")
    bytes_needed = count * np.dtype(dtype).itemsize
    if count < 0 or offset < 0 or offset % 8 or offset + bytes_needed > len(payload):
        raise ValueError("an array lies outside the file")
    array = np.frombuffer(payload[offset : offset + bytes_needed], dtype=dtype)
    return array.astype(array.dtype.newbyteorder("="))


def _digest(data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


def sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
