"""How fast positions are found by key: acumen.index.PointIndex beside its rivals, in one run.

    python benchmarks/index_point.py [--n N] [--keys FILE] [--json FILE] [--rounds N] [--threads N]

Every contender answers the same batches, of as many queries as there are keys: present ones at
random, and absent ones (present ones plus 1 that are no keys). Rounds are interleaved, their order
is drawn anew; shown are medians, and medians of ratios to PointIndex within a round. A second
PointIndex takes part as the A/A control. A Polars join makes its table anew each time: that is how
it is used; the others are built once, and building is timed apart. `reads` is the memory's own
speed: one independent line a query from as many bytes as the table of hashed keys, in the same
pages.

Keys: uniform 64-bit ones in no order; row numbers of which one in eight is missing, shuffled; keys
with regular gaps, shuffled; and those of FILE (Parquet, the first column of integers; else
index/tweet_ids_1.parquet of $ACUMEN_DATA) in the order they have, and shuffled. absl::flat_hash_map
is compiled if Debian's libabsl-dev and a compiler are there. `scalar` rows are calls from Python,
one key each, for loops included.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acumen import _native
from acumen.index import PointIndex
from json_file import write_rows

Find = Callable[[np.ndarray, np.ndarray], np.ndarray | None]
SCALARS = 100_000
DICT_KEYS_MAX = 1_000_000


@dataclass
class Contender:
    """`find(queries, out)` fills out or returns positions; None answers nothing."""

    name: str
    find: Find
    bytes_per_key: float | None
    build_ns_per_key: float | None
    answers: bool = True
    get: Callable[[int], Any] | None = None


class Native:
    """The rivals in C++, or None in their place."""

    def __init__(self, folder: str) -> None:
        source = Path(__file__).parent / "native" / "point_rivals.cpp"
        library = Path(folder) / "rivals.so"
        command = [os.environ.get("CXX", "c++"), "-std=c++20", "-O3", "-mavx2", "-shared", "-fPIC"]
        parts = ["raw_hash_set", "hash", "city", "low_level_hash", "throw_delegate"]
        links = [f"-labsl_{part}" for part in parts]
        built = subprocess.run(
            [*command, str(source), "-o", str(library), *links], capture_output=True, text=True
        )
        self.library = ctypes.CDLL(str(library)) if built.returncode == 0 else None
        if self.library is None:
            print("absl::flat_hash_map: left out, it could not be compiled", file=sys.stderr)
            return
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        self.library.absl_build.restype = pointer
        self.library.absl_build.argtypes = [pointer, size]
        self.library.absl_bytes.restype = size
        self.library.absl_bytes.argtypes = [pointer]
        self.library.absl_free.argtypes = [pointer]
        self.library.absl_find.argtypes = [pointer, pointer, size, pointer]
        self.library.read_lines.argtypes = [pointer, size, pointer, size, pointer]

    def contenders(self, keys: np.ndarray) -> Iterator[Contender]:
        """The map, built from these keys, and reads of as much memory as hashing takes."""
        library = self.library
        if library is None:
            return
        begin = time.perf_counter()
        table = library.absl_build(keys.ctypes.data, len(keys))
        build = (time.perf_counter() - begin) / len(keys) * 1e9

        def find(queries: np.ndarray, out: np.ndarray) -> None:
            library.absl_find(table, queries.ctypes.data, len(queries), out.ctypes.data)

        yield Contender("absl::flat_hash_map", find, library.absl_bytes(table) / len(keys), build)
        block = _native.aligned_zeros(16 * len(keys) // 64 * 64 + 64)
        block.fill(1)  # untouched pages are all the same one

        def read(queries: np.ndarray, out: np.ndarray) -> None:
            library.read_lines(
                block.ctypes.data,
                len(block) // 64,
                queries.ctypes.data,
                len(queries),
                out.ctypes.data,
            )

        yield Contender("reads", read, None, None, answers=False)


def acumen(name: str, keys: np.ndarray, threads: int, **options: Any) -> Contender:
    begin = time.perf_counter()
    index = PointIndex(keys, **options)
    build = (time.perf_counter() - begin) / len(keys) * 1e9
    each = index.nbytes / len(keys)
    print(f"  {name}: {str(index.explain()).replace(chr(10), chr(10) + '    ')}")

    def find(queries: np.ndarray, out: np.ndarray) -> np.ndarray:
        return index.get_indexer(queries, out=out, threads=threads)

    return Contender(name, find, each, build, get=index.get)


def pandas_index(keys: np.ndarray) -> Contender:
    import pandas as pd

    index = pd.Index(keys)
    begin = time.perf_counter()
    index.get_indexer(keys[:1])  # makes its hash table
    build = (time.perf_counter() - begin) / len(keys) * 1e9
    return Contender(
        "pandas", lambda queries, _: index.get_indexer(queries), None, build, get=index.get_loc
    )


def polars_join(keys: np.ndarray) -> Contender:
    import polars as pl

    table = pl.DataFrame({"key": keys, "position": np.arange(len(keys))})

    def find(queries: np.ndarray, _: np.ndarray) -> np.ndarray:
        asked = pl.DataFrame({"key": queries})
        found = asked.join(table, on="key", how="left", maintain_order="left")
        return found["position"].fill_null(-1).to_numpy()

    return Contender("polars join", find, None, None)


def contenders(keys: np.ndarray, native: Native, threads: int) -> list[Contender]:
    found = [
        acumen("PointIndex", keys, threads),
        acumen("PointIndex again", keys, threads),
        acumen("PointIndex, memory", keys, threads, prefer="memory"),
        *native.contenders(keys),
    ]
    for make in (pandas_index, polars_join):
        try:
            found.append(make(keys))
        except ImportError as error:
            print(f"left out: {error}", file=sys.stderr)
    if len(keys) <= DICT_KEYS_MAX:
        begin = time.perf_counter()
        table = {key: at for at, key in enumerate(keys.tolist())}
        build = (time.perf_counter() - begin) / len(keys) * 1e9

        def find(queries: np.ndarray, _: np.ndarray) -> np.ndarray:
            return np.array([table.get(key, -1) for key in queries.tolist()])

        found.append(Contender("dict", find, None, build, get=table.get))
    return found


def data_sets(n: int, file: Path | None, draw: np.random.Generator) -> Iterator[tuple[str, Any]]:
    uniform = np.unique(draw.integers(-(2**63), 2**63 - 1, n + n // 100 + 9, dtype=np.int64))
    yield "uniform", draw.permutation(uniform)[:n]
    yield "row numbers", draw.permutation(n + n // 7)[:n]
    yield "regular gaps", draw.permutation(np.arange(n) * 1000 + draw.integers(0, 200, n))
    if file is None and "ACUMEN_DATA" in os.environ:
        file = Path(os.environ["ACUMEN_DATA"]) / "index" / "tweet_ids_1.parquet"
    if file is None or not file.exists():
        return
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    keys = next(column for column in table.columns if str(column.type) in ("int64", "uint64"))
    keys = keys.to_numpy()[:n]
    yield file.stem, keys
    yield f"{file.stem}, shuffled", draw.permutation(keys)


def batches(keys: np.ndarray, draw: np.random.Generator) -> Iterator[tuple[str, Any, Any]]:
    positions = draw.integers(0, len(keys), len(keys))
    yield "present", keys[positions], positions
    ordered = np.sort(keys)
    others = draw.permutation(keys) + keys.dtype.type(1)
    at = np.minimum(np.searchsorted(ordered, others), len(keys) - 1)
    others = others[ordered[at] != others]
    if len(others) < len(keys) // 4:  # row numbers: beyond the last one there is room
        others = keys + keys.dtype.type(2 * len(keys))
    yield "absent", others, np.full(len(others), -1)


def run(
    table: list[Contender], queries: np.ndarray, right: np.ndarray, rounds: int
) -> dict[str, list[float]]:
    out, times = np.empty(len(queries), np.int64), {each.name: [] for each in table}
    for turn in range(rounds + 1):
        for each in random.sample(table, len(table)):
            gc.collect()
            begin = time.perf_counter()
            answer = each.find(queries, out)
            spent = (time.perf_counter() - begin) / len(queries) * 1e9
            if turn > 0:  # the first one warms up, and is checked
                times[each.name].append(spent)
            elif each.answers:
                np.testing.assert_array_equal(out if answer is None else answer, right)
    return times


def run_scalars(table: list[Contender], keys: list[int], rounds: int) -> dict[str, list[float]]:
    table = [each for each in table if each.get is not None]
    times: dict[str, list[float]] = {each.name: [] for each in table}
    for _ in range(rounds):
        for each in random.sample(table, len(table)):
            get = each.get
            assert get is not None
            begin = time.perf_counter()
            for key in keys:
                get(key)
            times[each.name].append((time.perf_counter() - begin) / len(keys) * 1e9)
    return times


def rows(
    table: list[Contender], times: dict[str, list[float]], operation: str, data: str, n: int
) -> Iterator[dict[str, Any]]:
    own = times["PointIndex"]
    for each in table:
        if each.name not in times:
            continue
        ratios = [theirs / ours for theirs, ours in zip(times[each.name], own, strict=True)]
        row = {
            "structure": each.name,
            "operation": operation,
            "data": data,
            "n": n,
            "ns_per_lookup": round(statistics.median(times[each.name]), 2),
            "bytes_per_key": each.bytes_per_key and round(each.bytes_per_key, 3),
            "build_ns_per_key": each.build_ns_per_key and round(each.build_ns_per_key, 1),
            "times_point_index": round(statistics.median(ratios), 3),
        }
        cells = (row["ns_per_lookup"], row["times_point_index"], row["bytes_per_key"])
        print(f"  {operation:8} {each.name:20} {cells[0]:9.1f} ns  {cells[1]:7.2f} x", end="")
        print("" if cells[2] is None else f"  {cells[2]:6.2f} B", end="")
        build = row["build_ns_per_key"]
        print("" if build is None else f"  built in {build:.1f} ns a key")
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=10_000_000)
    parser.add_argument("--keys", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    draw, found = np.random.default_rng(1), []
    with tempfile.TemporaryDirectory() as folder:
        native = Native(folder)
        for data, keys in data_sets(arguments.n, arguments.keys, draw):
            print(f"{data}, {len(keys)} keys")
            table = contenders(np.ascontiguousarray(keys), native, arguments.threads)
            for operation, queries, right in batches(keys, draw):
                times = run(table, queries, right, arguments.rounds)
                found += rows(table, times, operation, data, len(keys))
            wanted = keys[draw.integers(0, len(keys), SCALARS)].tolist()
            times = run_scalars(table, wanted, arguments.rounds)
            found += rows(table, times, "scalar", data, len(keys))
    write_rows(arguments.json, found)


if __name__ == "__main__":
    main()
