"""What a choice costs: Acumen, its peers and the floor, in one process, interleaved.

    python benchmarks/choice_overhead.py [--json FILE] [--seed N] [--rounds N]

Every contender plays the same problem (10 arms, 16 floats, linear rewards with noise) in blocks of
100 rounds; in every pass over the contenders their order is drawn anew. A round is one decision
and one feedback, each timed by itself; the clock's own cost is a row of the table and is part of
every figure. The first tenth of the rounds is left out. Ratios are medians over the passes, with
bootstrapped 95 % intervals. Regret stands beside speed: nobody is fast by being wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import acumen
from acumen.evaluation.results import describe_machine
from choice_contenders import ARMS, FIELDS, NAMES, Contender, Problem, contenders

BLOCK = 100
OURS = "acumen LinUCB"
COMPARED = [
    ("vowpalwabbit squarecb pre-parsed", "acumen SquareCB", 40),
    ("vowpalwabbit squarecb pre-parsed", "acumen SquareCB late", None),
    ("vowpalwabbit squarecb pre-parsed", "acumen LinUCB", 40),
    ("vowpalwabbit squarecb pre-parsed", "acumen LinearThompson", 40),
    ("vowpalwabbit epsilon pre-parsed", "acumen EpsilonGreedy", 40),
    ("vowpalwabbit squarecb strings", "acumen SquareCB", None),
    ("mabwiser LinUCB", "acumen LinUCB", 150),
    ("mabwiser LinTS", "acumen LinearThompson", None),
    ("acumen LinUCB again (A/A)", "acumen LinUCB", None),
]


def play(lineup: list[Contender], rounds: int, seed: int, console: Console) -> None:
    order = random.Random(seed)
    for start in track(range(0, rounds, BLOCK), "rounds", console=console, transient=True):
        for contender in order.sample(lineup, len(lineup)):
            contender.play(start, min(start + BLOCK, rounds))


def rows_of(lineup: list[Contender]) -> list[dict[str, Any]]:
    rows = []
    for contender in lineup:
        regret = contender.problem.regret(contender.arms) if contender.arms else None
        for operation in ("choose", "feedback"):
            times = np.array(getattr(contender, f"{operation}_ns")) / 1000
            times = times[len(times) // 10 :]
            if len(times) == 0:
                continue
            p50, p99 = np.percentile(times, [50, 99])
            rows.append(
                {
                    "contender": contender.name,
                    "operation": operation,
                    "p50_us": round(float(p50), 4),
                    "p99_us": round(float(p99), 4),
                    "mean_us": round(float(times.mean()), 4),
                    "calls": len(times),
                    "relative_regret": None if regret is None else round(regret, 4),
                }
            )
    return rows


def passes(contender: Contender) -> np.ndarray:
    """Median decide + learn round of each block, the first tenth left out."""
    rounds = len(contender.choose_ns) // BLOCK * BLOCK
    choose = np.array(contender.choose_ns[:rounds]).reshape(-1, BLOCK)
    feedback = np.array(contender.feedback_ns[:rounds]).reshape(-1, BLOCK)
    blocks = np.median(choose, axis=1) + np.median(feedback, axis=1)
    return blocks[len(blocks) // 10 :]


def ratios_of(lineup: list[Contender], seed: int) -> list[dict[str, Any]]:
    by_name = {contender.name: contender for contender in lineup}
    rng = np.random.default_rng(seed)
    # A round reads the clock for two operations; that is neither contender's cost.
    clock = 2 * float(np.median(by_name["timer"].choose_ns))
    ratios = []
    for slower, faster, wanted in COMPARED:
        if slower not in by_name or faster not in by_name:
            continue
        gross = passes(by_name[slower]) / passes(by_name[faster])
        ratio = (passes(by_name[slower]) - clock) / (passes(by_name[faster]) - clock)
        draws = rng.choice(ratio, size=(2000, len(ratio)))
        low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
        ratios.append(
            {
                "of": slower,
                "to": faster,
                "ratio": round(float(np.median(ratio)), 3),
                "low": round(float(low), 3),
                "high": round(float(high), 3),
                "with_timer": round(float(np.median(gross)), 3),
                "wanted": wanted,
            }
        )
    return ratios


def make_choice(learner: Any = None, pending_max: int = 4096) -> acumen.Choice:
    return acumen.Choice(
        "overhead",
        arms=list(range(ARMS)),
        context=dict.fromkeys(NAMES, float),
        default=0,
        metric=acumen.maximize("reward"),
        learner=learner,
        pending_max=pending_max,
        seed=1,
    )


def in_threads(count: int, work: Any) -> float:
    """Seconds until `count` threads have finished work()."""
    barrier = threading.Barrier(count + 1)

    def run() -> None:
        barrier.wait()
        work()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    barrier.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def scaling(rounds: int = 60_000, repeats: int = 5) -> list[dict[str, Any]]:
    """Throughput of one choice used by 1, 2 and 4 threads; the same work in all, split."""
    row = np.linspace(-1, 1, FIELDS)
    matrix = np.tile(row, (1000, 1))

    def singly(choice: acumen.Choice, threads: int) -> None:
        for _ in range(rounds // threads):
            choice.choose_row(row).feedback(0.5)

    def in_bulk(choice: acumen.Choice, threads: int) -> None:
        for _ in range(5 * rounds // len(matrix) // threads):
            choice.choose_many(matrix)

    kinds = (("choose_row + feedback", singly, rounds), ("choose_many", in_bulk, 5 * rounds))
    rows = []
    for operation, work, decisions in kinds:
        for threads in (1, 2, 4):
            seconds, busy, lost = [], 0, 0
            for _ in range(repeats):
                # While a thread waits for the GIL others take thousands of decisions: more than
                # the 4,096 pending ones of the default.
                choice = make_choice(acumen.learners.LinUCB(), pending_max=1 << 16)
                seconds.append(in_threads(threads, partial(work, choice, threads)))
                counters = choice.counters()
                busy += counters["busy"]
                if operation != "choose_many":
                    lost += decisions - counters["busy"] - counters["feedback_learned"]
            rows.append(
                {
                    "operation": operation,
                    "threads": threads,
                    "per_second": round(decisions / float(np.median(seconds))),
                    "busy_share": busy / decisions / repeats,
                    "lessons_lost": lost,
                }
            )
    return rows


def rss_bytes() -> int:
    """Most memory that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory_here(decisions: int) -> dict[str, Any]:
    """Runs in a process of its own: decisions without feedback, and what they leave behind."""
    choice = make_choice()
    row = np.linspace(-1, 1, FIELDS)
    for _ in range(100_000):
        choice.choose_row(row)
    before, stated = rss_bytes(), choice.memory_bytes
    for _ in range(decisions):
        choice.choose_row(row)
    return {
        "decisions": decisions,
        "memory_bytes": choice.memory_bytes,
        "grown_bytes": choice.memory_bytes - stated,
        "rss_grown_bytes": rss_bytes() - before,
        "overwritten": choice.counters()["overwritten"],
    }


def memory(decisions: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--memory-of", str(decisions)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(answer)
    return result


def show(report: dict[str, Any], console: Console) -> None:
    table = Table("contender", "operation", "p50 us", "p99 us", "mean us", "regret")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in report["rows"]:
        regret = row["relative_regret"]
        shown = [f"{row[key]:.3f}" for key in ("p50_us", "p99_us", "mean_us")]
        regret = "" if regret is None else f"{regret:.1%}"
        table.add_row(row["contender"], row["operation"], *shown, regret)
    console.print(table, "regret: of the last half of the rounds, that of a random arm is 100 %\n")

    table = Table(
        "decide + learn round of", "costs, in rounds of", "ratio", "95 %", "with timer", "wanted"
    )
    for row in report["ratios"]:
        wanted = f">= {row['wanted']}" if row["wanted"] else ""
        interval = f"{row['low']:.2f} … {row['high']:.2f}"
        timed = f"{row['with_timer']:.2f}"
        table.add_row(row["of"], row["to"], f"{row['ratio']:.2f}", interval, timed, wanted)
    console.print(table, "ratio: without the timer's own cost, which a row of its own measures\n")

    table = Table("one choice", "threads", "decisions a second", "found it busy", "lessons lost")
    for row in report["threads"]:
        shown = (f"{row['per_second']:,}", f"{row['busy_share']:.1%}", str(row["lessons_lost"]))
        table.add_row(row["operation"], str(row["threads"]), *shown)
    console.print(table)
    m = report["memory"]
    console.print(
        f"memory: {m['memory_bytes']:,} bytes a choice; after {m['decisions']:,} decisions without "
        f"feedback {m['grown_bytes']} bytes more (the process: {m['rss_grown_bytes']:,})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=4000, help="of each contender")
    parser.add_argument("--decisions", type=int, default=10_000_000, help="of the memory check")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of is not None:
        print(json.dumps(memory_here(options.memory_of)))
        return
    if options.rounds < 10 * BLOCK:
        parser.error(f"--rounds must be at least {10 * BLOCK}")
    console = Console()
    problem = Problem.make(options.rounds, options.seed)
    lineup, missing = contenders(problem)
    for line in missing:
        console.print(f"{line}. Install it with: pip install 'acumen[bench]'", markup=False)
    play(lineup, options.rounds, options.seed, console)
    report = {
        "benchmark": "choice_overhead",
        "seed": options.seed,
        "rounds": options.rounds,
        "machine": describe_machine(),
        "missing": missing,
        "rows": rows_of(lineup),
        "ratios": ratios_of(lineup, options.seed),
        "threads": scaling(),
        "memory": memory(options.decisions),
    }
    show(report, console)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
