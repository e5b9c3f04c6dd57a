"""What following costs who chooses, what trainer and hub take in, and how fast news travels.

    unshare --net --map-root-user python benchmarks/fleet_overhead.py --ray [--json FILE]
        [--seed N] [--rounds N] [--events N] [--processes 2,4,8]

Choosing: services, each a process of its own with one choice and a journal: one without a
follower, one more (A/A), one that follows its directory, where two others bring it news all the
time and a third trains; and with `--ray` one that is joined to a hub, to which others bring news.
They choose one after the other, in blocks of 100 calls, in an order drawn anew in every pass; what
follower, uplink and the journal's writer take from the interpreter is in there. Medians with
bootstrapped 95 % intervals, and percentiles of single calls.

Records: a journal of decisions and feedback, read and learned by a trainer; the same through
uplink and hub (encoding, checks, checkpoints), without a network; and with `--ray` through a hub
that is an actor on Ray, until it has said that all of it is kept.

News: idle processes follow; one of them learns something, and the others note when they have it.
Times are on the machine's monotonic clock.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import acumen
from acumen.core.training import Training
from acumen.core.twin import twin
from acumen.evaluation.results import describe_machine
from fleet_faults import end, heard, tell
from journal_overhead import BLOCK, FIELDS, interval, make
from ray_alone import loopback_up, token_for_ray

BLOCKS = 5

TRAIN = [sys.executable, "-c", "from acumen.cli import main; main()", "train"]


class Processes(ExitStack):
    """Processes that end with the block."""

    def run(self, *command: str) -> subprocess.Popen[str]:
        """Starts a command whose input and output are ours."""
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
        )
        self.callback(end, process)
        return process

    def trainer(self, folder: Path, *more: str) -> None:
        """`acumen train`."""
        self.run(*TRAIN, str(folder), "--watch", "--quiet", *more)

    def program(self, role: str, *arguments: str | Path) -> subprocess.Popen[str]:
        """A process of fleet_process.py."""
        program = Path(__file__).with_name("fleet_process.py")
        return self.run(sys.executable, str(program), role, *map(str, arguments))

    def cluster(self, folder: Path) -> list[str]:
        """Address of a cluster of Ray of this run, and where its hubs keep themselves safe."""
        loopback_up()
        token_for_ray(folder)
        return [heard(self.program("head", folder / "ray")), str(folder / "checkpoints")]

    def worker(self, folder: Path, seed: int) -> subprocess.Popen[str]:
        """This program as one process of the fleet."""
        return self.run(sys.executable, __file__, "--worker", str(folder), str(seed))


def worker(folder: Path, seed: int) -> None:
    """A process of the fleet that waits for news and says when they came."""
    choice = make(acumen.Journal(folder))
    follower = acumen.follow(choice)
    rows = np.random.default_rng(seed).normal(size=(BLOCK, FIELDS))
    print("ready", flush=True)
    for line in sys.stdin:
        taken = follower.health.taken
        if line.strip() == "learn":
            now = time.monotonic()
            choice.feedback_many(choice.choose_many(rows[:20]).ids, reward=np.full(20, 0.5))
        else:
            while follower.health.taken == taken:
                time.sleep(0.0005)
            now = time.monotonic()
        print(now, flush=True)


def choosing(
    folder: Path, rounds: int, seed: int, processes: Processes, hub: list[str]
) -> dict[str, Any]:
    """Services in turn, each in a process of its own."""
    order, rng = random.Random(seed), np.random.default_rng(seed)
    more: dict[str, list[str]] = {"off": [], "off again": [], "follows": ["--follow"]}
    if hub:
        more["joined"] = ["--hub", *hub]
    for number in range(2):
        processes.program("peer", folder / "follows", str(seed + number))
        if hub:
            where = folder / f"machine {number}"
            processes.program("peer", where, str(seed + 10 + number), "--hub", *hub)
    lineup = {
        name: processes.program("service", folder / name, str(seed + 20), *arguments)
        for name, arguments in more.items()
    }
    time.sleep(1.0)
    processes.trainer(folder / "follows")
    assert [heard(process) for process in lineup.values()] == ["ready"] * len(lineup)
    times: dict[str, list[Any]] = {name: [] for name in lineup}
    taken = {name: [0, 0] for name in lineup}
    for turn in range(rounds):
        for name in order.sample(list(lineup), len(lineup)):
            tell(lineup[name], str(BLOCKS))
            blocks, taken[name][turn > 0] = heard(lineup[name])
            times[name].append(blocks)
    result: dict[str, Any] = {"rows": []}
    result["models_taken"] = {name: last - first for name, (first, last) in taken.items()}
    warm = {name: np.array(t)[len(t) // 10 :] for name, t in times.items()}
    for column, call in enumerate(("choose_row", "feedback")):
        plain = np.median(warm["off"][..., column], axis=(1, 2))
        for name in lineup:
            every = warm[name][..., column]
            medians = np.median(every, axis=(1, 2))
            tails = np.percentile(every, 99, axis=(1, 2))
            theirs = np.percentile(warm["off"][..., column], 99, axis=(1, 2))
            result["rows"].append(
                {
                    "call": call,
                    "choice": name,
                    "ns": round(float(np.median(medians)), 1),
                    "ratio": interval(medians / plain, rng),
                    "p99_ratio": interval(tails / theirs, rng),
                    "percentiles_ns": [
                        round(float(p)) for p in np.percentile(every, [99, 99.9, 99.99])
                    ],
                }
            )
    return result


def _until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the fleet did not come to life")
        time.sleep(0.01)


def records(folder: Path, count: int, seed: int, hub: list[str]) -> dict[str, Any]:
    matrix = np.random.default_rng(seed).normal(size=(2000, FIELDS))
    choice = make(acumen.Journal(folder / "machine", ring_bytes=32 << 20), pending_max=1 << 14)
    writer = choice.journal
    assert writer is not None
    while writer.sequence < count:
        choice.feedback_many(choice.choose_many(matrix).ids, reward=np.full(len(matrix), 0.5))
        assert writer.flush(60)
    result: dict[str, Any] = {"events": writer.sequence, "bytes": writer.health.bytes}
    training = Training(lambda: twin(choice), folder / "machine", publish_seconds=1e6)
    started, cpu = time.perf_counter(), time.process_time()
    while training.step():
        pass
    result["trainer_per_second"] = round(writer.sequence / (time.perf_counter() - started))
    result["trainer_per_cpu_second"] = round(writer.sequence / (time.process_time() - cpu))
    assert training.trainer.report.events >= count
    training.stop()
    result |= _through_a_hub(folder, choice)
    if hub:
        result["ray_per_second"] = _through_ray(choice, *hub)
    writer.close(60)
    return result


def _through_a_hub(folder: Path, choice: acumen.Choice) -> dict[str, Any]:
    try:
        from acumen.fleet import Hub, Uplink

        hub = Hub(str(folder / "hub"), publish_seconds=1.0)
    except ImportError:
        return {"hub_per_second": None}
    assert choice.journal is not None
    uplink = Uplink(hub.exchange, choice, folder / "machine")
    started, cpu = time.perf_counter(), time.process_time()
    while uplink.step():
        pass
    hub.tend(force=True)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    assert hub.trainer is not None
    assert hub.trainer.positions[choice.journal.stream] == choice.journal.sequence
    uplink.stop()
    events = choice.journal.sequence
    return {"hub_per_second": round(events / seconds), "hub_per_cpu_second": round(events / cpu)}


def _through_ray(choice: acumen.Choice, address: str, checkpoints: str) -> int:
    """Records a second, from the directory until a hub on Ray has said that it has kept them."""
    import ray

    from acumen import fleet

    ray.init(address, namespace="acumen", log_to_driver=False, logging_level="ERROR")
    fleet.start_hub(choice, f"{checkpoints}/records")
    assert fleet.hub_state(choice)["lessons"] == 0  # it is up, and knows nothing
    assert choice.journal is not None
    started = time.perf_counter()
    follower = fleet.join(choice)
    health: Any = follower.training.health if follower.training else None
    learned = choice.counters()["feedback_learned"]
    _until(lambda: health.events and not health.unacknowledged)
    _until(lambda: fleet.hub_state(choice)["lessons"] == learned)
    rate = choice.journal.sequence / (time.perf_counter() - started)
    follower.stop()
    ray.shutdown()
    return round(rate)


def news(folder: Path, processes: int, rounds: int) -> dict[str, Any]:
    """Seconds until all others have what one has learned, at the default settings."""
    seconds = []
    with Processes() as all_of_them:
        workers = [all_of_them.worker(folder, seed) for seed in range(processes)]
        for process in workers:
            assert process.stdout is not None
            process.stdout.readline()
        all_of_them.trainer(folder)
        order = random.Random(processes)
        for _ in range(rounds):
            time.sleep(order.uniform(1.0, 2.0))  # not in step with the trainer
            _tell(workers[1:], "wait")
            time.sleep(0.05)
            _tell(workers[:1], "learn")
            (start,) = _said(workers[:1])
            seconds.append([end - start for end in _said(workers[1:])])
    all_have, each = np.max(seconds, axis=1), np.ravel(seconds)
    return {
        "processes": processes,
        "median_s": round(float(np.median(each)), 3),
        "last_median_s": round(float(np.median(all_have)), 3),
        "last_worst_s": round(float(np.max(all_have)), 3),
    }


def _tell(processes: list[subprocess.Popen[str]], word: str) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(word + "\n")
        process.stdin.flush()


def _said(processes: list[subprocess.Popen[str]]) -> list[float]:
    return [float(p.stdout.readline()) for p in processes if p.stdout is not None]


def show(report: dict[str, Any], console: Console) -> None:
    table = Table(
        "call", "choice", "ns", "ratio to off (95 %)", "of p99", "p99, p99.9, p99.99 in ns"
    )
    for row in report["choosing"]["rows"]:
        ratio, tail = row["ratio"], row["p99_ratio"]
        table.add_row(
            row["call"],
            row["choice"],
            f"{row['ns']:.0f}",
            f"{ratio['median']:.3f} ({ratio['low']:.3f} … {ratio['high']:.3f})",
            f"{tail['median']:.2f} ({tail['low']:.2f} … {tail['high']:.2f})",
            ", ".join(f"{p:,}" for p in row["percentiles_ns"]),
        )
    console.print(table)
    console.print(report["choosing"] | {"rows": "above"})
    console.print(report["records"])
    for row in report["news"]:
        console.print(row)


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        worker(Path(sys.argv[2]), int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=200, help=f"passes of {BLOCKS} blocks each")
    parser.add_argument("--ray", action="store_true", help="a hub, too; in a network of its own")
    parser.add_argument("--events", type=int, default=400_000, help="read by trainer and hub")
    parser.add_argument("--processes", default="2,4,8,16", help="for the travel of news")
    parser.add_argument("--bursts", type=int, default=8, help="of news, for each count")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fleet-"))
    counts = [int(count) for count in options.processes.split(",") if count]
    try:
        with Processes() as cluster:
            hub = cluster.cluster(folder) if options.ray else []
            with Processes() as services:
                chosen = choosing(folder / "choosing", options.rounds, options.seed, services, hub)
            taken = records(folder / "records", options.events, options.seed, hub)
        report = {
            "benchmark": "fleet_overhead",
            "seed": options.seed,
            "machine": describe_machine(),
            "choosing": chosen,
            "records": taken,
            "news": [news(folder / f"news{n}", n, options.bursts) for n in counts],
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(report, Console())
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
