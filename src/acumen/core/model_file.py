"""The file a model lives in: array_file.py says how it is laid out and what is checked."""

from __future__ import annotations

import os

from acumen.core.array_file import ArrayFile, Contents

BYTES_MAX = 1 << 30


class ModelError(ValueError):
    """A model file that is truncated, altered, foreign, or made for another choice."""


_MODEL = ArrayFile(
    what="a model file",
    magic=b"ACUMEN\x00M",
    format=1,
    dtypes=frozenset({"<f4", "<f8", "<u8"}),
    bytes_max=BYTES_MAX,
    error=ModelError,
)

write = _MODEL.write
encode = _MODEL.encode


def read(path: str | os.PathLike[str]) -> Contents:
    """Reads a model file into memory of its own.

    Raises:
        ModelError: the file is damaged or no model file.
        OSError: it cannot be opened.
    """
    return _own(_MODEL.read(path))


def decode(contents: bytes) -> Contents:
    """Reads the bytes of a model file; ModelError if they are none."""
    return _own(_MODEL.decode(contents))


def _own(contents: Contents) -> Contents:
    """Learners go on from these arrays, in place."""
    header, arrays = contents
    return header, {name: array.copy() for name, array in arrays.items()}
