r"""Files of named arrays: versioned, checksummed, replaced atomically, fit to be memory-mapped.

Layout::

    magic (8 bytes) | u32 format | u32 length of the header     | header (JSON, UTF-8)
    arrays, each at a multiple of 64 bytes, little-endian       | 32 bytes BLAKE2b of all before

The header names each array with its dtype, count and offset. Everything is checked before a byte
of it is used: sizes against the file's own, the digest over the whole, dtypes against a short list.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import secrets
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES_MAX = 1 << 24
_ALIGNMENT = 64
_DIGEST_BYTES = 32
_PREFIX = struct.Struct("<8sII")

Arrays = dict[str, NDArray[np.generic]]
Contents = tuple[dict[str, Any], Arrays]


@dataclass
class ArrayFile:
    """One kind of file.

    Attributes:
        what: a word for it, in error messages.
        magic: its first eight bytes.
        format: the version that is written, and the only one that is read.
        dtypes: the little-endian dtypes that an array may have, as NumPy spells them.
        bytes_max: a file may have no more.
        error: what is raised about one that is truncated, altered or foreign.
    """

    what: str
    magic: bytes
    format: int
    dtypes: frozenset[str]
    bytes_max: int
    error: type[ValueError]

    def write(
        self, path: str | os.PathLike[str], header: Mapping[str, Any], arrays: Mapping[str, Any]
    ) -> None:
        """Writes a file, whole or not at all; an existing one is replaced by one rename.

        Args:
            path: where.
            header: JSON values.
            arrays: one-dimensional arrays by name; not copied on the way.

        Raises:
            ValueError: `error`: it is larger than `read` allows. The old file is untouched.
            TypeError: an array is of another dtype, or has more than one dimension; likewise.
            OSError: the folder is missing, read-only or full; likewise.
        """
        pieces = self._pieces(header, arrays)
        target = Path(path)
        name = target.parent / f".{target.name}.{secrets.token_hex(8)}"
        try:
            with open(name, "xb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        sync_folder(target.parent)

    def read(self, path: str | os.PathLike[str], *, mapped: bool = False) -> Contents:
        """Reads a file.

        Args:
            path: where.
            mapped: arrays then lie in the file, read-only, and take memory as they are touched.

        Raises:
            ValueError: `error`: the file is damaged or of another kind.
            OSError: it cannot be opened.
        """
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > self.bytes_max:
                raise self.error(f"{path}: {size} bytes is more than {self.what} may have")
            contents: bytes | mmap.mmap = b""
            if mapped and size:
                contents = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            elif size:
                contents = file.read()
        try:
            return self.decode(contents)
        except self.error as error:
            raise self.error(f"{path}: {error}") from None

    def encode(self, header: Mapping[str, Any], arrays: Mapping[str, Any]) -> bytes:
        """The bytes of a file.

        Raises:
            ValueError: `error`: there would be more of them, or of the header's, than `decode`
                allows: what nobody could read again is not to be taken for kept.
            TypeError: an array is of another dtype, or has more than one dimension.
        """
        return b"".join(self._pieces(header, arrays))

    def decode(self, contents: bytes | mmap.mmap) -> Contents:
        """Reads the bytes of a file; the arrays lie in them. Raises `error` if they are none."""
        if len(contents) < _PREFIX.size + _DIGEST_BYTES:
            raise self.error(f"too short to be {self.what}")
        view = memoryview(contents)
        magic, version, header_bytes = _PREFIX.unpack_from(view)
        if magic != self.magic:
            raise self.error(f"not {self.what}")
        if version != self.format:
            raise self.error(f"format {version}; this Acumen reads format {self.format}")
        body = view[:-_DIGEST_BYTES]
        if _digest(body).digest() != view[-_DIGEST_BYTES:]:
            raise self.error("truncated or altered: the checksum does not match")
        start = _PREFIX.size + header_bytes
        if header_bytes > _HEADER_BYTES_MAX or start > len(body):
            raise self.error("the header is longer than the file")
        try:
            header = json.loads(bytes(body[_PREFIX.size : start]))
            arrays = self._arrays(body[start:], header.pop("arrays"))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise self.error(f"the header makes no sense: {error}") from None
        return header, arrays

    def _pieces(
        self, header: Mapping[str, Any], arrays: Mapping[str, Any]
    ) -> Iterator[bytes | memoryview]:
        """The file from its first byte to its last; what is wrong with it is said beforehand."""
        blobs: list[NDArray[np.generic]] = []
        index = []
        offset = 0
        for name, values in arrays.items():
            array = np.ascontiguousarray(values)
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            if array.ndim != 1 or array.dtype.str not in self.dtypes:
                raise TypeError(f"array {name!r} has dtype {array.dtype}, {array.ndim} dimensions")
            index.append([name, array.dtype.str, len(array), offset])
            blobs.append(array)
            offset += array.nbytes + -array.nbytes % _ALIGNMENT
        text = json.dumps({**header, "arrays": index}, sort_keys=True).encode()
        text += b" " * (-(_PREFIX.size + len(text)) % _ALIGNMENT)
        size = _PREFIX.size + len(text) + offset + _DIGEST_BYTES
        if len(text) > _HEADER_BYTES_MAX or size > self.bytes_max:
            raise self.error(
                f"a header of {len(text)} bytes, {size} in all, is more than {self.what} may have"
            )
        return self._digested(_PREFIX.pack(self.magic, self.format, len(text)) + text, blobs)

    def _digested(
        self, start: bytes, blobs: list[NDArray[np.generic]]
    ) -> Iterator[bytes | memoryview]:
        digest = _digest(start)
        yield start
        for array in blobs:
            for piece in (array.view(np.uint8).data, bytes(-array.nbytes % _ALIGNMENT)):
                digest.update(piece)
                yield piece
        yield digest.digest()

    def _arrays(self, payload: memoryview, index: list[tuple[str, str, int, int]]) -> Arrays:
        arrays: Arrays = {}
        end = 0
        for name, dtype, count, offset in index:
            # In order and apart, so that a small file cannot ask for much memory.
            if not isinstance(name, str) or name in arrays or offset < end:
                raise ValueError(f"array {name!r} is repeated, or overlaps another")
            arrays[name] = self._array(payload, dtype, count, offset)
            end = offset + arrays[name].nbytes
        return arrays

    def _array(
        self, payload: memoryview, dtype: str, count: int, offset: int
    ) -> NDArray[np.generic]:
        if dtype not in self.dtypes:
            raise ValueError(f"dtype {dtype!r}")
        bytes_needed = count * np.dtype(dtype).itemsize
        if count < 0 or offset < 0 or offset % 8 or offset + bytes_needed > len(payload):
            raise ValueError("an array lies outside the file")
        array = np.frombuffer(payload[offset : offset + bytes_needed], dtype=dtype)
        return array.astype(array.dtype.newbyteorder("="), copy=False)


def _digest(data: bytes | memoryview) -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it that are missing; durable on return.

    A new folder is an entry in the one above it: until that is on the disk, too, whatever was
    synced inside goes with it when the machine stops.

    Raises:
        OSError: it cannot be made, or there is something else of that name.
    """
    missing = []
    for above in (folder, *folder.parents):
        if above.is_dir():
            break
        missing.append(above)
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Makes a rename itself durable, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
