"""Membership filters beside each other: bytes, false positives, and time of look-ups and building.

    python benchmarks/index_membership.py [--n N] [--keys FILE --negatives FILE] [--json FILE]

Random integers always; texts if two files of lines are given (.zst or plain): of the negatives, a
part that no filter sees is asked for. They are split in two ways: line by line, and by host (what
is before the first slash), where no host of the asked ones was seen. Rivals: rbloom (a Bloom filter
in Rust) and pyfusefilter (8-bit binary fuse in C), whose look-ups are calls one at a time; so are
the rows "scalar" of ours; "batch" is of an array of NumPy or Arrow. Times are medians over
interleaved rounds. The speed of the kernels beside a plain one in C++:
benchmarks/native/membership_speed.cpp.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from acumen.index import MembershipFilter
from acumen.index.membership_rates import measured

ROUNDS = 5
RATES = (0.001, 0.01, 0.05)
SCALAR_MAX = 20_000


def read_lines(path: Path) -> list[str]:
    raw = path.read_bytes()
    if path.suffix == ".zst":
        with pa.CompressedInputStream(pa.BufferReader(raw), "zstd") as stream:
            raw = stream.read()
    return [line for line in raw.decode().split("\n") if line]


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Contender:
    """A filter that was built, how long that took, and how it answers a batch."""

    def __init__(self, name: str, operation: str, build: Callable[[], Any], keys: int) -> None:
        self.name, self.operation = name, operation
        start = time.perf_counter()
        self.filter = build()
        self.build_ns = (time.perf_counter() - start) * 1e9 / keys
        self.rounds: list[float] = []

    def answers(self, batch: Any) -> np.ndarray:
        """Whether each is inside."""
        if self.operation == "batch":
            return self.filter.contains(batch)
        items = batch.tolist()
        if hasattr(self.filter, "contains") and not isinstance(self.filter, MembershipFilter):
            return np.array([self.filter.contains(item) for item in items])
        return np.array([item in self.filter for item in items])

    @property
    def nbytes(self) -> int:
        """By its own account."""
        if isinstance(self.filter, MembershipFilter):
            return self.filter.nbytes
        if hasattr(self.filter, "size_in_bits"):
            return self.filter.size_in_bits // 8
        return self.filter.size_in_bytes()


def rivals(keys: Any, fpr: float) -> Iterator[tuple[str, Callable[[], Any]]]:
    listed = keys.tolist()
    try:
        import rbloom

        def bloom() -> Any:
            made = rbloom.Bloom(len(listed), fpr)
            made.update(listed)
            return made

        yield "rbloom", bloom
    except ImportError:
        print("rbloom is not installed: left out")
    try:
        import pyfusefilter

        def fuse8() -> Any:
            made = pyfusefilter.Fuse8(len(listed))
            made.populate(listed)
            return made

        yield "pyfusefilter Fuse8", fuse8
    except ImportError:
        print("pyfusefilter is not installed: left out")


def race(
    keys: Any, absent: Any, fpr: float, learned: dict[str, Any] | None, label: str,
    groups: np.ndarray | None = None,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    n = len(keys)
    field = [Contender("binary fuse", "batch", lambda: MembershipFilter(keys, fpr), n)]
    field.append(Contender("binary fuse", "scalar", lambda: field[0].filter, n))
    field[1].build_ns = field[0].build_ns
    if learned is not None:
        made = Contender("learned", "batch", lambda: MembershipFilter(keys, fpr, **learned), n)
        made.name = made.filter.explain().chosen
        print(made.filter.explain())
        field.append(made)
    field += [Contender(name, "scalar", build, n) for name, build in rivals(keys, fpr)]
    for _ in range(ROUNDS):
        for contender in field:
            asked = absent if contender.operation == "batch" else absent[:SCALAR_MAX]
            taken = seconds(lambda c=contender, a=asked: c.answers(a))
            contender.rounds.append(taken * 1e9 / len(asked))
    for contender in field:
        sample = keys if contender.operation == "batch" else keys[:SCALAR_MAX]
        assert contender.answers(sample).all(), contender.name
        rate = measured(contender.answers(absent).astype(float), "absent", groups)
        yield {
            "structure": contender.name,
            "operation": contender.operation,
            "data": label,
            "n": n,
            "asked_fpr": fpr,
            "ns_per_lookup": statistics.median(contender.rounds),
            "bytes_per_key": contender.nbytes / n,
            "build_ns_per_key": contender.build_ns,
            "fpr": rate.rate,
            "fpr_low": rate.low,
            "fpr_high": rate.high,
        }


def text_rows(keys: list[str], negatives: list[str], seed: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    _, host = np.unique([line.partition("/")[0] for line in negatives], return_inverse=True)
    for split in ("line by line", "by host"):
        if split == "by host":
            asked = (rng.random(int(host.max()) + 1) < 0.3)[host]
        else:
            asked = rng.random(len(negatives)) < 0.3
        known = {"negatives": [x for x, a in zip(negatives, asked, strict=True) if not a]}
        if split == "by host":
            known["groups"] = host[~asked]
        unseen = [x for x, a in zip(negatives, asked, strict=True) if a]
        groups = np.unique(host[asked], return_inverse=True)[1] if split == "by host" else None
        for fpr in RATES:
            label = f"texts, split {split}, seed {seed}"
            yield from race(
                pa.array(keys), pa.array(unseen), fpr, {**known, "seed": seed}, label, groups
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1_000_000, metavar="N", help="random integers")
    parser.add_argument("--keys", type=Path, metavar="FILE")
    parser.add_argument("--negatives", type=Path, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="splits of the texts")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = []
    # The upper bit tells absent keys from present ones.
    keys = rng.integers(0, 1 << 63, given.n, np.uint64)
    absent = rng.integers(1 << 63, 1 << 64, min(given.n, 1_000_000), np.uint64)
    for fpr in RATES:
        rows += list(race(keys, absent, fpr, None, "random integers"))
    if given.keys and given.negatives:
        lines = read_lines(given.keys), read_lines(given.negatives)
        for seed in range(given.seeds):
            rows += list(text_rows(*lines, seed))
    for row in rows:
        print(
            f"{row['data']:36} {row['asked_fpr']:<6g} {row['structure']:34} {row['operation']:7}"
            f"{row['ns_per_lookup']:8.1f} ns  {8 * row['bytes_per_key']:7.3f} bits/key  "
            f"build {row['build_ns_per_key']:9.0f} ns  "
            f"{row['fpr']:.3%} [{row['fpr_low']:.3%}, {row['fpr_high']:.3%}]"
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
