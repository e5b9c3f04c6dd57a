"""Index files: what an index adds to its keys, in one file that can be memory-mapped.

How the bytes lie, and what of them is checked: `acumen.core.array_file`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen.core.array_file import ArrayFile, Arrays

__all__ = ["IndexFileError", "load_arrays", "save_arrays"]


class IndexFileError(ValueError):
    """An index file that is truncated, altered, foreign, or made for other keys."""


_INDEX = ArrayFile(
    what="an index file",
    magic=b"ACUMEN\x00I",
    format=1,
    dtypes=frozenset(
        {"|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8"},
    ),
    bytes_max=1 << 44,
    error=IndexFileError,
)


def save_arrays(
    path: str | os.PathLike[str],
    kind: str,
    meta: Mapping[str, Any],
    arrays: Mapping[str, NDArray[np.generic]],
) -> None:
    """Writes an index file, whole or not at all.

    Args:
        path: where; an existing file is replaced by one rename.
        kind: which structure it is; only a reader of the same kind takes it.
        meta: JSON values.
        arrays: one-dimensional arrays of integers or floats by name.

    Raises:
        OSError: the folder is missing, read-only or full; an old file is then untouched.
    """
    _INDEX.write(path, {"kind": kind, "meta": dict(meta)}, arrays)


def load_arrays(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], Arrays]:
    """Reads an index file.

    Args:
        path: where.
        kind: the structure that is expected.

    Returns:
        What `save_arrays` was given. The arrays lie in the file, read-only.

    Raises:
        IndexFileError: it is damaged, no index file, or one of another kind.
        OSError: it cannot be opened.
    """
    header, arrays = _INDEX.read(path, mapped=True)
    meta = header.get("meta")
    if header.get("kind") != kind or not isinstance(meta, dict):
        raise IndexFileError(f"{path}: holds {header.get('kind')!r}, and not {kind!r}")
    return meta, arrays
