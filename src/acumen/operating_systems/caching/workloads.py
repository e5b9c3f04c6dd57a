"""Request traces: reads them, checks them, and lays them out for every simulator.

    Parquet         a column `key` (integers or strings); `size` and `time` are not needed here
    oracleGeneral   libCacheSim's packed records of 24 bytes, little endian, also as .zst:
                    uint32 time | uint64 object | uint32 size | int64 next access (-1: never)
    CSV             with a header that names the key, or without one: `key`; `time,key`;
                    `time,key,size,...`; MSR Cambridge; delimiter , ; tab or space; also .zst, .gz
    .npy            one dimension of integers, or records with a field `key`

Files come from outside: every reader checks what it reads, says in one line what is wrong, and
holds one batch at a time. Signed keys keep their bits; strings are hashed to 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acumen.evaluation import WorkloadError
from acumen.operating_systems.caching.csv_traces import describe_csv, looks_like_a_table, read_csv
from acumen.operating_systems.caching.trace_files import (
    BATCH,
    Keys,
    read_npy,
    read_oracle_general,
    read_parquet,
)

# Simulators count requests in 32 bits.
REQUESTS_MAX = (1 << 32) - 2


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace laid out in two flat files, so that many processes can share one copy.

    Attributes:
        keys_path: the keys as they were, uint64, native byte order.
        ranks_path: the same requests as uint32, each key replaced by its rank among the sorted
            distinct keys, counted from 1.
        requests: how many.
        distinct: how many different keys.
    """

    keys_path: str
    ranks_path: str
    requests: int
    distinct: int

    def capacity(self, fraction: float) -> int:
        """How many objects a cache of this fraction of the distinct keys holds."""
        return round(fraction * self.distinct)

    def keys(self) -> Keys:
        """The keys, mapped read-only; shape (requests,)."""
        return np.memmap(self.keys_path, dtype=np.uint64, mode="r")


def lay_out(batches: Iterator[Keys], folder: Path, limit: int | None = None) -> Trace:
    """Writes a trace's two files into `folder`, reading at most `limit` requests.

    Memory: one batch and the distinct keys.

    Raises:
        WorkloadError: there are no requests, or too many; or what `batches` raises.
    """
    keys_path, ranks_path = folder / "keys.u64", folder / "ranks.u32"
    requests = 0
    distinct = _DistinctKeys()
    with open(keys_path, "wb") as file:
        for batch in batches:
            if limit is not None:
                batch = batch[: limit - requests]
            requests += len(batch)
            if requests > REQUESTS_MAX:
                raise WorkloadError(f"more than {REQUESTS_MAX:,} requests")
            batch.tofile(file)
            distinct.add(batch)
            if requests == limit:
                break
    if not requests:
        raise WorkloadError("holds no requests")
    known = distinct.sorted()
    keys = np.memmap(keys_path, dtype=np.uint64, mode="r")
    with open(ranks_path, "wb") as file:
        for start in range(0, requests, BATCH):
            ranks = np.searchsorted(known, keys[start : start + BATCH]) + 1
            ranks.astype(np.uint32).tofile(file)
    return Trace(str(keys_path), str(ranks_path), requests, len(known))


class _DistinctKeys:
    """A growing sorted set: runs are merged when together they outgrow what is merged already."""

    def __init__(self) -> None:
        self._merged: Keys = np.empty(0, np.uint64)
        self._runs: list[Keys] = []
        self._pending = 0

    def add(self, batch: Keys) -> None:
        self._runs.append(np.unique(batch))
        self._pending += len(self._runs[-1])
        if self._pending > max(len(self._merged), BATCH):
            self.sorted()

    def sorted(self) -> Keys:
        self._merged = np.unique(np.concatenate([self._merged, *self._runs]))
        self._runs, self._pending = [], 0
        return self._merged


def read_trace(path: Path) -> Iterator[Keys]:
    """The keys of a trace file in order, in batches of at most `BATCH`, uint64.

    Raises:
        WorkloadError: while iterating, as soon as something is wrong: the file cannot be read,
            has no known format, is empty, truncated or malformed.
    """
    if path.is_dir():
        raise WorkloadError("is a folder, not a trace; name the folder with --data")
    reader = _reader_of(path)
    try:
        if path.stat().st_size == 0:
            raise WorkloadError("is empty")
        yield from reader(path)
    except WorkloadError:
        raise
    except FileNotFoundError:
        raise WorkloadError("there is no such file") from None
    except MemoryError:
        raise WorkloadError("asks for more memory than there is: damaged, or not a trace") from None
    except Exception as error:
        # Three libraries parse what may be damaged on purpose, and they may raise anything: numpy
        # alone lets tokenize.TokenError through.
        raise WorkloadError(f"cannot be read: {_first_line(error)}") from error


def is_trace(path: Path) -> bool:
    """Whether a file in a folder of traces is meant to be one.

    By its name; but a table of measured miss ratios, which tends to lie beside traces, is none,
    and neither is prose (README.txt).
    """
    if path.name.startswith(".") or not path.is_file():
        return False
    try:
        _reader_of(path)
    except WorkloadError:
        return False
    try:
        if _plain_name(path).endswith(".txt"):
            return looks_like_a_table(path)
        if path.suffix.lower() == ".csv":
            with open(path, "rb") as file:
                return b"miss_ratio" not in file.readline(1000)
    except Exception:
        return True  # Whoever reads it will say what is wrong.
    return True


def layout_of(path: Path) -> str:
    """How a good trace file is read, in a few words, where that is a guess; else nothing."""
    return describe_csv(path) if _reader_of(path) is read_csv else ""


def trace_name(path: Path) -> str:
    """The workload's name: the file's, without what says its format."""
    name = path.name
    for suffix in (".zst", ".gz", ".parquet", ".csv", ".txt", ".npy", ".bin", ".oracleGeneral"):
        if name.lower().endswith(suffix.lower()) and len(name) > len(suffix):
            name = name[: -len(suffix)]
    return name


def _plain_name(path: Path) -> str:
    return path.name.lower().removesuffix(".zst").removesuffix(".gz")


def _reader_of(path: Path) -> Callable[[Path], Iterator[Keys]]:
    name = path.name.lower()
    compressed = name.endswith(".zst")
    inner = name.removesuffix(".zst")
    if inner.endswith((".csv", ".txt")) or name.endswith((".csv.gz", ".txt.gz")):
        return read_csv
    if inner.endswith((".oraclegeneral", ".bin")) or (compressed and "." not in inner):
        return read_oracle_general
    if compressed and "oraclegeneral" in inner:
        return read_oracle_general
    if name.endswith(".parquet"):
        return read_parquet
    if name.endswith(".npy"):
        return read_npy
    raise WorkloadError(
        "has no known format; known are .parquet, .oracleGeneral, .bin, .csv, .txt (these also"
        " with .zst) and .npy"
    )


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:240] or type(error).__name__
