"""Range indexes beside NumPy, pandas, Polars and native rivals, in one run and in turns.

    python benchmarks/index.py [--n 10000000] [--keys FILE.parquet] [--json FILE] [--pgm FOLDER]

Contenders from Python, and how they are timed, are those of `acumen race index`, with larger
batches: keys drawn at random, such keys sorted, and absent ones; every contender answers the same
queries in every round, in an order drawn anew; medians. Before, every key and its neighbours are
looked up, and compared with NumPy's ranks. The native rivals are compiled with g++ when there is
one: std::lower_bound, an Eytzinger array, absl::btree_map (libabsl-dev), and the PGM-index where
--pgm names a folder with pgm/pgm_index.hpp. All tables lie in huge pages, those of the libraries
too (glibc.malloc.hugetlb). Times are of CPU, so that a busy machine disturbs them less.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from acumen.evaluation.statistics import median_interval
from acumen.evaluation.turns import take_turns
from acumen.index import RangeIndex
from acumen.index.heuristics import heuristic_contenders, missing_rivals
from acumen.index.learned import as_column, learned_contenders
from acumen.index.measuring import Task, bound_contender, field_of
from acumen.index.workloads import KINDS, Keys, KeySet, cities
from json_file import write_rows

ROOT = Path(__file__).resolve().parents[1]
QUERIES = 1 << 19
ROUNDS = 7

Row = dict[str, Any]


def data_sets(n: int, file: Path | None, seed: int) -> Iterator[tuple[KeySet, int]]:
    """Keys and how many: a file's, or everything there is."""
    folder = os.environ.get("ACUMEN_DATA")
    files = [file] if file else sorted((Path(folder) / "index").glob("*.parquet")) if folder else []
    for path in files:
        keys = KeySet(path.name.partition(".")[0], str(path))
        yield keys, len(keys.keys())
    if file is None:
        for name in ("uniform", "lognormal"):
            yield KeySet(name, seed=seed), n
        if len(cities()):
            yield KeySet("cities"), len(cities())


def checked(index: RangeIndex, keys: Keys) -> None:
    """Looks up every key, and what lies beside it on either side."""
    if keys.dtype.kind == "O":
        return
    lower, upper = (
        (np.nextafter(keys, end) for end in (-np.inf, np.inf))
        if (keys.dtype.kind == "f")
        else (keys - (keys > np.iinfo(keys.dtype).min), keys + (keys < np.iinfo(keys.dtype).max))
    )
    for queries in (keys, lower, upper):
        for side in ("left", "right"):
            if not np.array_equal(
                index.searchsorted(queries, side), keys.searchsorted(queries, side)
            ):
                raise SystemExit("a wrong rank: please report this")
    print(f"{len(keys)} keys and their neighbours: every rank is NumPy's")


def python_rows(source: KeySet, keys: Keys, seed: int) -> list[Row]:
    """Who runs in `acumen race index` too, and in the same way."""
    contenders = [
        *learned_contenders(ROUNDS),
        *heuristic_contenders(ROUNDS),
        bound_contender(ROUNDS),
    ]
    n, rows = len(keys), []
    for kind in KINDS:
        task = Task(source, kind, QUERIES)
        for name, outcome in take_turns(contenders, task, n, seed):
            if outcome.error is not None:
                print(f"{name}, {kind}: {outcome.error}", file=sys.stderr)
                continue
            seconds = field_of(source, n).build_seconds.get(name)
            build = None if seconds is None else seconds / n * 1e9
            value, _, _ = median_interval([run.value for run in outcome.result])
            price = outcome.result[0].price
            rows.append(row(shown_name(name), kind, source.name, n, value, price, build))
    return rows


def shown_name(contender: str) -> str:
    own = {"acumen": "Acumen", "again": "Acumen, again"}
    mine = contender in ("cells", "tree", "search")
    return own.get(contender, f"Acumen {contender}" if mine else contender)


def scalar_row(name: str, keys: Keys, index: RangeIndex, seed: int) -> Row:
    """One Python number at a time, the loop's own cost taken off."""
    numbers = keys[np.random.default_rng(seed).integers(0, len(keys), 1 << 17)].tolist()
    look_up = index.searchsorted
    empty, calls = [], []
    for _ in range(ROUNDS):
        start = time.thread_time()
        for _number in numbers:
            pass
        middle = time.thread_time()
        for number in numbers:
            look_up(number)
        calls.append(time.thread_time() - middle)
        empty.append(middle - start)
    nanoseconds = (float(np.median(calls)) - float(np.median(empty))) / len(numbers) * 1e9
    return row("Acumen", "scalar from Python", name, len(keys), nanoseconds, None, None)


def row(
    structure: str,
    operation: str,
    data: str,
    n: int,
    nanoseconds: float,
    size: float | None,
    build: float | None,
) -> Row:
    return {
        "structure": structure,
        "operation": operation,
        "data": data,
        "n": n,
        "ns_per_lookup": round(nanoseconds, 2),
        "bytes_per_key": size,
        "build_ns_per_key": build,
    }


def compiled(folder: Path, pgm: Path | None) -> Path | None:
    """The native rivals' program, or None with a reason printed."""
    compiler = shutil.which("g++")
    if compiler is None:
        print("no g++: the native rivals are left out", file=sys.stderr)
        return None
    native = ROOT / "native"
    flags = [
        "-std=c++20",
        "-O3",
        "-Wno-psabi",
        f"-I{native / 'include'}",
        *([f"-I{pgm}"] if pgm else []),
    ]
    objects = []
    fast = ["-mavx2", "-mbmi2"] if platform.machine() == "x86_64" else []
    for name, more in (("index_avx2", fast), ("index_portable", []), ("index_tables", [])):
        objects.append(str(folder / f"{name}.o"))
        source = str(native / "src" / f"{name}.cpp")
        subprocess.run([compiler, *flags, *more, "-c", source, "-o", objects[-1]], check=True)
    program = folder / "index_native"
    source = str(ROOT / "benchmarks" / "native" / "index_native.cpp")
    libraries = ["-labsl_throw_delegate", "-labsl_raw_logging_internal"]
    absl = Path("/usr/include/absl").exists()
    command = [compiler, *flags, source, *objects, "-o", str(program)]
    subprocess.run([*command, *(libraries if absl else [])], check=True)
    return program


def native_rows(program: Path, name: str, keys: Keys) -> list[Row]:
    if keys.dtype != np.uint64:
        print("keys are not uint64: the native rivals are left out", file=sys.stderr)
        return []
    path = program.parent / "keys.bin"
    keys.tofile(path)
    pages = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    answer = subprocess.run(
        [program, path], check=True, capture_output=True, text=True, env=pages
    ).stdout
    rows = []
    for line in answer.splitlines():
        structure, operation, nanoseconds, size, build = line.split("\t")
        rows.append(
            row(f"{structure} (native)", operation, name, len(keys), float(nanoseconds),
                float(size), float(build))
        )  # fmt: skip
    return rows


def shown(rows: list[Row]) -> None:
    for one in sorted(rows, key=lambda r: (r["operation"], r["ns_per_lookup"])):
        size = "" if one["bytes_per_key"] is None else f"{one['bytes_per_key']:.3f}"
        build = "" if one["build_ns_per_key"] is None else f"{one['build_ns_per_key']:.1f}"
        print(
            f"{one['operation']:<20}{one['structure']:<38}{one['ns_per_lookup']:>10.1f} ns"
            f"{size:>10}{build:>8}"
        )
    random = {r["structure"]: r["ns_per_lookup"] for r in rows if r["operation"] == "random"}
    for structure, nanoseconds in random.items():
        print(f"  Acumen is {nanoseconds / random['Acumen']:.2f} times as fast as {structure}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, default=10_000_000, help="keys of the synthetic data sets")
    parser.add_argument(
        "--keys", type=Path, help="a Parquet file; its first column, instead of all"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pgm", type=Path, help="folder with pgm/pgm_index.hpp")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        program = compiled(Path(folder), options.pgm)
        if missing := missing_rivals():
            print(missing, file=sys.stderr)
        for source, n in data_sets(options.n, options.keys, options.seed):
            keys = field_of(source, n).keys
            print(f"\n{source.name}: {n} keys, {keys.dtype}")
            index = RangeIndex(as_column(keys))
            print(index.explain())
            for one in index.chosen.candidates:
                checked(RangeIndex(as_column(keys), structure=one.structure), keys)
            found = python_rows(source, keys, options.seed)
            found.append(scalar_row(source.name, keys, index, options.seed))
            if program is not None:
                found += native_rows(program, source.name, keys)
            shown(found)
            rows += found
    write_rows(options.json, rows)


if __name__ == "__main__":
    main()
