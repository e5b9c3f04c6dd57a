"""What a journal costs: the choosing thread, and the writer's own core.

    python benchmarks/journal_overhead.py [--json FILE] [--seed N] [--rounds N] [--seconds S]

Choosing: a choice without a journal, one more without (A/A), and one with, in blocks of 100 calls;
in every pass their order is drawn anew, the first tenth is left out. Figures are medians over the
passes of what a call costs more than without, with bootstrapped 95 % intervals. The three run in
one process, so the writer's thread takes its turns with the interpreter from all of them; what it
takes itself is its CPU time.

Sustained: decisions and feedback in bulk, as fast as they come without filling the ring; events on
the disk by second of wall time, and by second of the writer's CPU time, sealing included.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import acumen
from acumen.evaluation.results import describe_machine

BLOCK, FIELDS, ARMS = 100, 16, 10
NAMES = [f"f{i}" for i in range(FIELDS)]


def make(journal: acumen.Journal | None = None, pending_max: int = 4096) -> acumen.Choice:
    return acumen.Choice(
        "overhead",
        arms=list(range(ARMS)),
        context=dict.fromkeys(NAMES, float),
        default=0,
        metric=acumen.maximize("reward"),
        learner=acumen.learners.LinUCB(),
        pending_max=pending_max,
        journal=journal,
        seed=1,
    )


def block(choice: acumen.Choice, rows: list[tuple[float, ...]]) -> tuple[float, float]:
    """Nanoseconds a choose and a feedback, over one block."""
    choose = choice.choose_row
    start = time.perf_counter_ns()
    decisions = [choose(row) for row in rows]
    middle = time.perf_counter_ns()
    for decision in decisions:
        decision.feedback(0.5)
    end = time.perf_counter_ns()
    return (middle - start) / len(rows), (end - middle) / len(rows)


def interval(values: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    draws = np.median(rng.choice(values, size=(2000, len(values))), axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    named = {"median": float(np.median(values)), "low": float(low), "high": float(high)}
    return {name: round(value, 3) for name, value in named.items()}


def choosing(folder: Path, rounds: int, seed: int) -> dict[str, Any]:
    order, rng = random.Random(seed), np.random.default_rng(seed)
    rows = [tuple(row) for row in rng.normal(size=(BLOCK, FIELDS)).tolist()]
    lineup = {"off": make(), "off again": make(), "on": make(acumen.Journal(folder))}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in lineup}
    writer = lineup["on"].journal
    assert writer is not None
    before = writer_seconds()
    started = time.perf_counter()
    for _ in range(rounds):
        # Dropping is cheaper than keeping: whoever is measured has room.
        while writer.sequence - writer.durable_sequence > 10_000:
            time.sleep(0.001)
        for name in order.sample(list(lineup), len(lineup)):
            times[name].append(block(lineup[name], rows))
    wall = time.perf_counter() - started
    cpu = writer_seconds() - before
    assert writer.flush(), writer.health
    warm = {name: np.array(t)[len(t) // 10 :] for name, t in times.items()}
    result: dict[str, Any] = {
        "dropped": writer.dropped,
        "writer_cpu_share": round(cpu / wall, 4),
        "rows": [],
    }
    for column, call in enumerate(("choose_row", "feedback")):
        plain = warm["off"][:, column]
        for name in lineup:
            result["rows"].append(
                {
                    "call": call,
                    "journal": name,
                    "ns": round(float(np.median(warm[name][:, column])), 1),
                    "more_ns": interval(warm[name][:, column] - plain, rng),
                    "ratio": interval(warm[name][:, column] / plain, rng),
                }
            )
    writer.close(30)
    return result


def writer_seconds() -> float:
    """CPU time of the journals' threads."""
    clocks = [
        time.pthread_getcpuclockid(thread.ident)
        for thread in threading.enumerate()
        if thread.name.startswith("acumen-journal") and thread.ident
    ]
    return sum(time.clock_gettime(clock) for clock in clocks)


def sustained(folder: Path, seconds: float, seed: int) -> dict[str, Any]:
    matrix = np.random.default_rng(seed).normal(size=(2000, FIELDS))
    choice = make(acumen.Journal(folder, ring_bytes=32 << 20), pending_max=1 << 14)
    writer = choice.journal
    assert writer is not None
    writer.flush()
    rewards = np.full(len(matrix), 0.5)
    before, began = writer_seconds(), writer.durable_sequence
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        while writer.sequence - writer.durable_sequence > 100_000:
            time.sleep(0.001)
        choice.feedback_many(choice.choose_many(matrix).ids, reward=rewards)
    assert writer.flush(60), writer.health
    wall = time.perf_counter() - started
    cpu = writer_seconds() - before
    events = writer.durable_sequence - began
    bytes_written = writer.health.bytes
    writer.close(60)
    return {
        "events": events,
        "dropped": writer.dropped,
        "per_wall_second": round(events / wall),
        "per_writer_cpu_second": round(events / cpu),
        "bytes_an_event": round(bytes_written / events, 1),
        "commits": writer.health.batches,
        "segments_sealed": writer.health.sealed,
    }


def floor(folder: Path) -> dict[str, float]:
    """What the disk takes to sync a little, and a commit's worth, in milliseconds (medians)."""
    import os

    result = {}
    for name, size in (("sync_4KiB_ms", 4096), ("sync_4MiB_ms", 4 << 20)):
        descriptor = os.open(folder / name, os.O_CREAT | os.O_WRONLY)
        times = []
        for _ in range(20):
            os.write(descriptor, bytes(size))
            start = time.perf_counter()
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - start)
        os.close(descriptor)
        result[name] = round(1e3 * float(np.median(times)), 2)
    return result


def show(report: dict[str, Any], console: Console) -> None:
    table = Table("call", "journal", "ns", "more than off, ns (95 %)", "ratio (95 %)")
    for row in report["choosing"]["rows"]:
        more, ratio = row["more_ns"], row["ratio"]
        table.add_row(
            row["call"],
            row["journal"],
            f"{row['ns']:.0f}",
            f"{more['median']:.0f} ({more['low']:.0f} … {more['high']:.0f})",
            f"{ratio['median']:.3f} ({ratio['low']:.3f} … {ratio['high']:.3f})",
        )
    console.print(table)
    console.print(report["choosing"] | {"rows": "above"})
    console.print(report["sustained"], report["disk"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3000, help="blocks of each contender")
    parser.add_argument("--seconds", type=float, default=10, help="of the sustained load")
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="journal-", dir=options.folder))
    try:
        report = {
            "benchmark": "journal_overhead",
            "seed": options.seed,
            "machine": describe_machine(),
            "choosing": choosing(folder / "choosing", options.rounds, options.seed),
            "sustained": sustained(folder / "sustained", options.seconds, options.seed),
            "disk": floor(folder),
        }
    finally:
        shutil.rmtree(folder)
    show(report, Console())
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
