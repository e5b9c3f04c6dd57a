"""Reads traces from Parquet, oracleGeneral and .npy files: keys in batches, checked.

Everything here may also raise what the libraries below raise on damaged files;
`workloads.read_trace` turns all of it into one line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from acumen.evaluation import WorkloadError

Keys = npt.NDArray[np.uint64]

# Requests read at once, by every reader.
BATCH = 1 << 20

_ORACLE = np.dtype([("time", "<u4"), ("key", "<u8"), ("size", "<u4"), ("next", "<i8")])
# Never requested again is -1, or the largest number in files of older converters; -2 stands for
# "not computed".
_NEVER = np.iinfo(np.int64).max
# No trace is as long as this; text, read as numbers, lies beyond it.
_PLACE_MAX = 1 << 48


def read_parquet(path: Path) -> Iterator[Keys]:
    """The column `key` of a Parquet file, in batches."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        names = file.schema_arrow.names
        if "key" not in names:
            raise WorkloadError(f"has no column `key`; its columns are {', '.join(names)[:200]}")
        for batch in file.iter_batches(batch_size=BATCH, columns=["key"]):
            yield keys_of_column(batch.column(0))


def keys_of_column(column: Any) -> Keys:
    """A pyarrow array of keys as uint64: integers keep their bits, strings are hashed.

    Raises:
        WorkloadError: there are nulls, or the type is neither.
    """
    if column.null_count:
        raise WorkloadError("holds requests without a key")
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_integer(kind):
        return as_keys(column.to_numpy(zero_copy_only=False))
    if _is_text(kind):
        coded = column.dictionary_encode()
        hashes = np.array([_hash(value.as_py()) for value in coded.dictionary], np.uint64)
        texts: Keys = hashes[coded.indices.to_numpy(zero_copy_only=False)]
        return texts
    raise WorkloadError(f"keys are {kind}; they must be integers or strings")


def as_keys(values: npt.NDArray[Any]) -> Keys:
    """An integer array of any width and byte order as uint64; negative numbers keep their bits."""
    wide = np.int64 if values.dtype.kind == "i" else np.uint64
    return np.ascontiguousarray(values, dtype=wide).view(np.uint64)


def _is_text(kind: Any) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    return any(test(kind) for test in (*tests, pa.types.is_large_binary))


def _hash(value: str | bytes) -> int:
    # Python's own hash changes with every process; a race must not.
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def read_oracle_general(path: Path) -> Iterator[Keys]:
    """The objects of libCacheSim's packed records, in batches; .zst is decompressed."""
    record = _ORACLE.itemsize
    seen = 0
    with open_bytes(path) as file:
        while data := read_fully(file, BATCH * record):
            if len(data) % record:
                raise WorkloadError(
                    f"ends in the middle of a record: {len(data) % record} bytes after record"
                    f" {seen + len(data) // record:,} where {record} are due"
                )
            records = np.frombuffer(data, dtype=_ORACLE)
            _check_next_accesses(records["next"], seen)
            seen += len(records)
            yield as_keys(records["key"])


def _check_next_accesses(following: npt.NDArray[np.int64], seen: int) -> None:
    """The only redundancy of the format: nothing is requested next before it is requested."""
    place = np.arange(seen, seen + len(following))
    wrong = (following < -2) | ((following >= 0) & (following < place))
    wrong |= (following > _PLACE_MAX) & (following != _NEVER)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise WorkloadError(
            f"is not oracleGeneral, or damaged: record {seen + first:,} names"
            f" {following[first]:,} as the next request for its object"
        )


def read_npy(path: Path) -> Iterator[Keys]:
    """An array saved by numpy.save, mapped, in batches."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise WorkloadError("is an archive; save one array with numpy.save")
    if array.dtype.names is not None:
        if "key" not in array.dtype.names:
            raise WorkloadError(f"has no field `key`; its fields are {array.dtype.names}"[:300])
        array = array["key"]
    if array.ndim != 1:
        raise WorkloadError(f"has {array.ndim} dimensions; a trace has one")
    if array.dtype.kind not in "iu":
        raise WorkloadError(f"holds {array.dtype}; keys are integers")
    for start in range(0, len(array), BATCH):
        yield as_keys(array[start : start + BATCH])


def open_bytes(path: Path) -> Any:
    """A binary stream over the file, decompressed if its name ends in .zst or .gz."""
    codec = {".zst": "zstd", ".gz": "gzip"}.get(path.suffix.lower())
    raw = pa.OSFile(str(path), "rb")
    return pa.CompressedInputStream(raw, codec) if codec else raw


def read_fully(file: Any, size: int) -> bytes:
    """Reads `size` bytes, or fewer at the end only: a stream may answer with less at any time."""
    parts = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
