"""MutableRangeIndex beside sortedcontainers, NumPy and native maps, in one run and in turns.

    python benchmarks/index_mutable.py [--n 1000000] [--json FILE] [--seed 1] [--rounds 5]

Scalar operations come from Python, one key a call. Keys are put in at random. NumPy's rival is a
sorted array: np.searchsorted to look up, np.insert to put in. Native rivals (absl::btree_map where
libabsl-dev is installed, std::map) are compiled with g++ when there is one. Times are of the
thread's processor; medians of the rounds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sortedcontainers import SortedDict

from acumen.index import MutableRangeIndex
from json_file import write_rows

ROOT = Path(__file__).resolve().parents[1]
ASKED = 100_000
OURS, THEIRS, ARRAY = "Acumen", "SortedDict", f"numpy {np.__version__}"
Row = dict[str, Any]
Times = dict[tuple[str, str], list[float]]


def data_sets(n: int, random: np.random.Generator) -> Iterator[tuple[str, NDArray[np.uint64]]]:
    """(name, n distinct keys in no order): evenly random ones, and tweets where there are some."""
    yield "uniform", random.permutation(np.unique(random.integers(0, 2**63, n, dtype=np.uint64)))
    for path in sorted((Path(os.environ.get("ACUMEN_DATA", "")) / "index").glob("*.parquet")):
        keys = pq.read_table(path).column(0).drop_null().to_numpy()
        if keys.dtype == np.uint64:
            yield path.stem, random.permutation(np.unique(keys))[:n]


def timed(run: Callable[[], Any], count: int) -> float:
    """Nanoseconds for each of `count`."""
    start = time.thread_time()
    run()
    return (time.thread_time() - start) / count * 1e9


def fill(mapping: Any, numbers: list[int]) -> None:
    for number in numbers:
        mapping[number] = 1


def look_up(mapping: Any, numbers: list[int]) -> None:
    for number in numbers:
        mapping[number]


def rank(mapping: Any, numbers: list[int]) -> None:
    find = mapping.bisect_left
    for number in numbers:
        find(number)


def walk(mapping: Any, starts: list[int], width: int) -> None:
    for start in starts:
        deque(mapping.irange(start, start + width), 0)


def remove(mapping: Any, numbers: list[int]) -> None:
    for number in numbers:
        del mapping[number]


def scalar_round(made: dict[str, Any], keys: NDArray[Any], asked: NDArray[Any]) -> Iterator[Any]:
    """(structure, operation, nanoseconds) of one key a call; `made` is filled on the way."""
    numbers, some = keys.tolist(), asked.tolist()
    few, gap = some[:2000], int(np.median(np.diff(np.sort(keys)).astype(np.int64)))
    fresh = {name: type(mapping)() for name, mapping in made.items()}
    if isinstance(made[OURS], MutableRangeIndex):
        fresh[OURS] = MutableRangeIndex(dtype=np.uint64)
    for name, mapping in fresh.items():
        yield name, "insert", timed(lambda m=mapping: fill(m, numbers), len(numbers))
    for name, mapping in fresh.items():
        yield name, "get", timed(lambda m=mapping: look_up(m, some), len(some))
        yield name, "bisect", timed(lambda m=mapping: rank(m, some[:20_000]), 20_000)
        yield name, "iterate", timed(lambda m=mapping: deque(m, 0), len(numbers))
        yield name, "items", timed(lambda m=mapping: deque(m.items(), 0), len(numbers))
        for width in (10, 1000):
            taken = timed(lambda m=mapping, w=width: walk(m, few, w * gap), len(few))
            yield name, f"irange of {width} median gaps", taken
        yield name, "snapshot", timed(getattr(mapping, "snapshot", mapping.copy), 1)
        gone = list(dict.fromkeys(some))[:20_000]
        yield name, "delete", timed(lambda m=mapping, g=gone: remove(m, g), len(gone))
    yield OURS, "bytes", fresh[OURS].nbytes / max(len(fresh[OURS]), 1)


def batch_round(keys: NDArray[Any], asked: NDArray[Any], more: NDArray[Any]) -> Iterator[Any]:
    """The same for arrays of keys; nanoseconds a key."""
    ascending = np.sort(keys)
    positions = np.arange(len(keys))
    index = MutableRangeIndex(dtype=keys.dtype)
    yield OURS, "append batch", timed(lambda: index.append(ascending, positions), len(keys))
    yield OURS, "build", timed(lambda: MutableRangeIndex(keys, positions), len(keys))
    pairs = zip(keys.tolist(), positions.tolist(), strict=True)
    oracle: list[SortedDict] = []
    yield THEIRS, "build", timed(lambda: oracle.append(SortedDict(pairs)), len(keys))
    count = len(asked)
    yield OURS, "get batch", timed(lambda: index.get(asked), count)
    theirs = oracle[0]
    yield THEIRS, "get batch", timed(lambda: [theirs[k] for k in asked.tolist()], count)
    yield ARRAY, "get batch", timed(lambda: positions[np.searchsorted(ascending, asked)], count)
    yield OURS, "searchsorted batch", timed(lambda: index.searchsorted(asked), count)
    yield ARRAY, "searchsorted batch", timed(lambda: np.searchsorted(ascending, asked), count)
    find = theirs.bisect_left
    some = asked[:20_000].tolist()
    yield THEIRS, "searchsorted batch", timed(lambda: [find(k) for k in some], len(some))
    for size in (100, 10_000):
        new = more[:size]
        taken = timed(lambda n=new: index.insert(n, np.arange(len(n))), size)
        yield OURS, f"insert batch of {size}", taken
        fresh = np.sort(new)
        at = np.searchsorted(ascending, fresh)
        taken = timed(lambda a=at, f=fresh: np.insert(ascending, a, f), size)
        yield ARRAY, f"insert batch of {size}", taken
        taken = timed(lambda n=new: theirs.update(dict.fromkeys(n.tolist(), 0)), size)
        yield THEIRS, f"insert batch of {size}", taken
        yield OURS, f"delete batch of {size}", timed(lambda n=new: index.delete(n), size)


def python_rows(name: str, keys: NDArray[Any], options: Any) -> list[Row]:
    random = np.random.default_rng([options.seed, 1])  # not the keys' own numbers again
    times: Times = {}
    for turn in range(options.rounds):
        asked = keys[random.integers(0, len(keys), min(ASKED, len(keys)))]
        more = np.setdiff1d(random.integers(0, 2**63, 20_000, dtype=np.uint64), keys)
        more = random.permutation(more)
        order = [OURS, THEIRS] if turn % 2 else [THEIRS, OURS]
        made = {one: {OURS: MutableRangeIndex(), THEIRS: SortedDict()}[one] for one in order}
        for structure, operation, taken in scalar_round(made, keys, asked):
            times.setdefault((structure, operation), []).append(taken)
        for structure, operation, taken in batch_round(keys, asked, more):
            times.setdefault((structure, operation), []).append(taken)
    size = float(np.median(times.pop((OURS, "bytes"))))
    return [
        row(structure, operation, name, len(keys), float(np.median(all_)),
            size if structure == OURS else None)
        for (structure, operation), all_ in times.items()
    ]  # fmt: skip


def row(
    structure: str, operation: str, data: str, n: int, nanoseconds: float, size: float | None
) -> Row:
    return {
        "structure": structure,
        "operation": operation,
        "data": data,
        "n": n,
        "ns_per_lookup": round(nanoseconds, 2),
        "bytes_per_key": size,
        "build_ns_per_key": None,
    }


def compiled(folder: Path) -> Path | None:
    """The native rivals' program, or None with a reason printed."""
    compiler = shutil.which("g++")
    if compiler is None:
        print("no g++: the native rivals are left out", file=sys.stderr)
        return None
    native = ROOT / "native"
    sources = [ROOT / "benchmarks" / "native" / "mutable_rivals.cpp"]
    sources += sorted((native / "src").glob("leaf_tree_*.cpp"))
    absl = Path("/usr/include/absl").exists()
    libraries = ["-labsl_throw_delegate", "-labsl_raw_logging_internal"] if absl else []
    program = folder / "mutable_rivals"
    command = [compiler, "-std=c++20", "-O3", f"-I{native / 'include'}", *map(str, sources)]
    subprocess.run([*command, *libraries, "-o", str(program)], check=True)
    return program


def native_rows(program: Path, name: str, keys: NDArray[np.uint64], rounds: int) -> list[Row]:
    path = program.parent / "keys.bin"
    keys.tofile(path)
    times: Times = {}
    sizes: dict[str, float] = {}
    for _ in range(rounds):
        answer = subprocess.run([program, path], check=True, capture_output=True, text=True).stdout
        for line in answer.splitlines():
            structure, operation, nanoseconds, size = line.split("\t")
            times.setdefault((f"{structure} (native)", operation), []).append(float(nanoseconds))
            sizes[f"{structure} (native)"] = float(size)
    return [
        row(structure, operation, name, len(keys), float(np.median(all_)), sizes[structure])
        for (structure, operation), all_ in times.items()
    ]


def shown(rows: list[Row]) -> None:
    ours = {r["operation"]: r["ns_per_lookup"] for r in rows if r["structure"] == OURS}
    native = "LeafTree (native)"
    ours_native = {r["operation"]: r["ns_per_lookup"] for r in rows if r["structure"] == native}
    for one in sorted(rows, key=lambda r: (r["operation"], r["ns_per_lookup"])):
        base = ours_native if "native" in one["structure"] else ours
        times = one["ns_per_lookup"] / base[one["operation"]] if one["operation"] in base else 0
        size = "" if one["bytes_per_key"] is None else f"{one['bytes_per_key']:.1f}"
        print(
            f"{one['operation']:<28}{one['structure']:<26}{one['ns_per_lookup']:>12.1f} ns"
            f"{times:>9.2f} x{size:>8}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        program = compiled(Path(folder))
        for name, keys in data_sets(options.n, np.random.default_rng(options.seed)):
            found = python_rows(name, keys, options)
            if program is not None:
                found += native_rows(program, name, keys, options.rounds)
            print(f"\n{name}: {len(keys)} keys; times: as many as Acumen takes")
            shown(found)
            rows += found
    write_rows(options.json, rows)


if __name__ == "__main__":
    main()
