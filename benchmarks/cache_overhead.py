"""How fast a cache answers, and how often it must not: acumen beside its peers, in one run.

Every contender serves the same requests, one after the other, in rounds whose order is drawn anew;
what is shown are medians over rounds, on the wall's clock and of the thread's own processor time,
and ratios of the latter to functools.lru_cache within the same round. A second functools.lru_cache
takes part as the A/A control: its ratio shows the noise.

    python benchmarks/cache_overhead.py [--trace FILE] [--json FILE] [--rounds N]

A request of a function is a call f(key); of a mapping, get(key), and on a miss cache[key] = value.
The trace is FILE (Parquet with a column `key`, or .npy), else arc_OLTP of $ACUMEN_DATA/caching,
else pages that SQLite requests while it is recorded. The cache holds 1 % of the distinct keys among
the first 400,000 requests: 1,089 entries for OLTP.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import acumen

REQUESTS_MAX = 400_000
ENTRIES_FRACTION = 0.01
Keys = list[int]


class Watch:
    """Seconds on the wall, and of this thread on a processor: the latter ignore a busy machine."""

    def __enter__(self) -> Watch:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu = time.thread_time() - self._cpu
        self.wall = time.perf_counter() - self._wall


# Serves all keys with a new cache of so many entries; the time, and the share of misses.
Served = tuple[Watch, float]
Contender = Callable[[Keys, int], Served]


def identity(key: int) -> int:
    return key


def time_function(function: Callable[[int], int], keys: Keys) -> Watch:
    with Watch() as watch:
        for key in keys:
            function(key)
    return watch


def functools_lru(keys: Keys, entries: int) -> Served:
    function = functools.lru_cache(entries)(identity)
    return time_function(function, keys), function.cache_info().misses / len(keys)


def acumen_cached(keys: Keys, entries: int) -> Served:
    function = acumen.cached(entries)(identity)
    return time_function(function, keys), function.cache_info().misses / len(keys)


def time_mapping(cache: Any, keys: Keys) -> Served:
    misses = 0
    get = cache.get
    with Watch() as watch:
        for key in keys:
            if get(key) is None:
                misses += 1
                cache[key] = key
    return watch, misses / len(keys)


def acumen_mapping(keys: Keys, entries: int) -> Served:
    return time_mapping(acumen.Cache(entries), keys)


def cachetools_mapping(name: str) -> Contender:
    def serve(keys: Keys, entries: int) -> Served:
        import cachetools

        return time_mapping(getattr(cachetools, name)(entries), keys)

    return serve


def cachetools_function(keys: Keys, entries: int) -> Served:
    import cachetools

    misses = 0

    @cachetools.cached(cachetools.LRUCache(entries))
    def function(key: int) -> int:
        nonlocal misses
        misses += 1
        return key

    return time_function(function, keys), misses / len(keys)


def theine_mapping(keys: Keys, entries: int) -> Served:
    import theine

    cache = theine.Cache(entries)
    try:
        misses = 0
        get, put = cache.get, cache.set
        with Watch() as watch:
            for key in keys:
                _, found = get(key)
                if not found:
                    misses += 1
                    put(key, key)
        return watch, misses / len(keys)
    finally:
        cache.close()


CONTENDERS: dict[str, Contender] = {
    "functools.lru_cache": functools_lru,
    "functools.lru_cache again": functools_lru,
    "acumen.cached": acumen_cached,
    "acumen.Cache": acumen_mapping,
    "cachetools.LRUCache": cachetools_mapping("LRUCache"),
    "cachetools.LFUCache": cachetools_mapping("LFUCache"),
    "cachetools.cached LRU": cachetools_function,
    "theine.Cache": theine_mapping,
}
BASELINE = "functools.lru_cache"


def installed() -> dict[str, Contender]:
    """Contenders whose library is there; a word about the others."""
    there = {}
    for name, contender in CONTENDERS.items():
        library = name.split(".", maxsplit=1)[0]
        try:
            __import__(library)
        except ImportError:
            print(f"{name}: left out, {library} is not installed", file=sys.stderr)
        else:
            there[name] = contender
    return there


def read_trace(path: Path) -> Keys:
    if path.suffix == ".npy":
        keys = np.load(path, allow_pickle=False)[:REQUESTS_MAX].tolist()
    else:
        import pyarrow.parquet as pq

        keys = pq.read_table(path, columns=["key"])["key"].slice(0, REQUESTS_MAX).to_pylist()
    if not keys:
        raise SystemExit(f"{path}: no requests")
    return list(keys)


def recorded_trace() -> Keys:
    try:
        from acumen.operating_systems.caching.trace_recorder import is_installed, record
    except ImportError:
        raise SystemExit("skipped: no --trace, no $ACUMEN_DATA, and no recorder") from None
    if not is_installed():
        raise SystemExit("skipped: no --trace, no $ACUMEN_DATA, and no apsw to record with")
    with tempfile.TemporaryDirectory() as folder:
        batches = list(record(Path(folder), requests_max=REQUESTS_MAX))
    return list(np.concatenate(batches).tolist())


def find_trace(given: Path | None) -> tuple[str, Keys]:
    if given is None and "ACUMEN_DATA" in os.environ:
        given = Path(os.environ["ACUMEN_DATA"], "caching", "arc_OLTP.parquet")
        given = given if given.exists() else None
    if given is not None:
        return given.stem, read_trace(given)
    return "sqlite", recorded_trace()


def workloads(trace: tuple[str, Keys]) -> Iterator[tuple[str, str, Keys, int]]:
    """(workload, operation, keys, entries): the trace, and the two ends of what it mixes."""
    name, keys = trace
    entries = max(1, int(ENTRIES_FRACTION * len(set(keys))))
    yield name, "request", keys, entries
    # Equal but not identical ints, as they come from outside; all in the cache after one pass.
    generator = random.Random(0)
    present = [generator.randrange(10**6, 10**6 + 1000) for _ in range(len(keys) // 2)]
    yield "resident", "hit", present, 1000
    yield "scan", "miss", list(range(10**6, 10**6 + len(keys) // 4)), 1000


def interval(values: list[float]) -> tuple[float, float]:
    """A 95 % bootstrap interval of the median."""
    generator = random.Random(0)
    medians = sorted(
        statistics.median(generator.choices(values, k=len(values))) for _ in range(1000)
    )
    return medians[24], medians[974]


def measure(trace: tuple[str, Keys], rounds: int, seed: int) -> list[dict[str, Any]]:
    contenders = installed()
    generator = random.Random(seed)
    rows = []
    for workload, operation, keys, entries in workloads(trace):
        wall: dict[str, list[float]] = {name: [] for name in contenders}
        cpu: dict[str, list[float]] = {name: [] for name in contenders}
        misses: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name in generator.sample(list(contenders), len(contenders)):
                gc.collect()
                watch, share = contenders[name](keys, entries)
                wall[name].append(len(keys) / watch.wall)
                cpu[name].append(len(keys) / watch.cpu)
                misses[name].append(share)
        for name in contenders:
            ratios = [a / b for a, b in zip(cpu[name], cpu[BASELINE], strict=True)]
            low, high = interval(ratios)
            wall_low, wall_high = interval(wall[name])
            rows.append(
                {
                    "contender": name,
                    "workload": workload,
                    "operation": operation,
                    "entries": entries,
                    "requests": len(keys),
                    "ops_per_second": statistics.median(wall[name]),
                    "ops_per_second_low": wall_low,
                    "ops_per_second_high": wall_high,
                    "ops_per_cpu_second": statistics.median(cpu[name]),
                    "ratio": statistics.median(ratios),
                    "ratio_low": low,
                    "ratio_high": high,
                    "miss_ratio": statistics.median(misses[name]),
                }
            )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    shown = None
    for row in rows:
        if shown != row["workload"]:
            shown = row["workload"]
            print(f"\n{shown}: {row['requests']:,} requests, {row['entries']:,} entries")
            print(
                f"  {'contender':<26}{'M ops/s':>8}{'M/CPU s':>9}"
                f"  {'/ functools [95 %]':<20}{'miss ratio':>11}"
            )
        ratio = f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"
        wall, cpu = row["ops_per_second"] / 1e6, row["ops_per_cpu_second"] / 1e6
        speeds = f"{wall:>8.2f}{cpu:>9.2f}"
        print(f"  {row['contender']:<26}{speeds}  {ratio:<20}{row['miss_ratio']:>11.4f}")


def commit() -> str:
    """The commit of the sources, "-dirty" if they have changes; empty outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trace", type=Path, help="Parquet with a column `key`, or .npy")
    parser.add_argument("--json", type=Path, help="where the rows are written")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = measure(find_trace(options.trace), options.rounds, options.seed)
    show(rows)
    if options.json:
        machine = {"platform": platform.platform(), "python": platform.python_version()}
        machine |= {"acumen": version("acumen"), "commit": commit(), "processor": processor()}
        document = {"seed": options.seed, "machine": machine, "rows": rows}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
