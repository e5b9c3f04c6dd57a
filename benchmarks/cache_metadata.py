"""What memory buys: the learned policy's residual by bytes of metadata a cached object.

    python benchmarks/cache_metadata.py DIR [--json FILE] [--requests N]

DIR holds traces as for `acumen race caching`; of each, the first N requests count. For each
budget: the mean residual of the gap from LRU to Belady over all cells, and the metadata really
used, ghosts included, in bytes an object.
LRU in a textbook layout costs 16 bytes (two pointers), and S3-FIFO with its ghosts some 10.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from acumen import _native
from acumen.evaluation.statistics import GAP_MIN
from acumen.operating_systems.caching.race import FRACTIONS, OBJECTS_MIN
from acumen.operating_systems.caching.trace_files import Keys
from acumen.operating_systems.caching.workloads import is_trace, lay_out, read_trace

BUDGETS = (16, 24, 32, 48, 64, 96, 128, 256)


def cells(folder: Path, scratch: Path, requests: int) -> Iterator[tuple[Keys, int]]:
    for path in sorted(filter(is_trace, folder.iterdir())):
        trace = lay_out(read_trace(path), scratch, requests)
        for fraction in FRACTIONS:
            if trace.capacity(fraction) >= OBJECTS_MIN:
                yield trace.keys(), trace.capacity(fraction)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--requests", type=int, default=1_000_000, metavar="N")
    given = parser.parse_args()
    residuals: dict[int, list[float]] = {budget: [] for budget in BUDGETS}
    used: dict[int, list[float]] = {budget: [] for budget in BUDGETS}
    with tempfile.TemporaryDirectory() as scratch:
        for keys, capacity in cells(given.data, Path(scratch), given.requests):
            lru = _native.simulate_lru(keys, capacity)
            belady = _native.simulate_belady(keys, capacity)
            for budget in BUDGETS:
                misses, size = _native.simulate_learned(keys, capacity, metadata_bytes=budget)
                used[budget].append(size / capacity)
                if lru - belady > GAP_MIN * lru:  # as races count
                    residuals[budget].append((misses - belady) / (lru - belady))
    rows = [
        {
            "budget_bytes": budget,
            "mean_residual": statistics.mean(residuals[budget]),
            "used_bytes_median": statistics.median(used[budget]),
            "used_bytes_max": max(used[budget]),
        }
        for budget in BUDGETS
    ]
    print("budget  mean residual  bytes used: median  most")
    for row in rows:
        print("{:6}  {:13.4f}  {:18.1f} {:5.1f}".format(*row.values()))
    if given.json is not None:
        given.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
