"""The processes of benchmarks/fleet_faults.py, which starts them and tells them what to do.

    python fleet_process.py measured FAULTED CONTROL SEED [--still] [--hub ADDRESS CHECKPOINTS]
    python fleet_process.py peer FOLDER SEED [--fields N] [--train] [--hub ADDRESS CHECKPOINTS]
    python fleet_process.py service FOLDER SEED [--follow] [--hub ADDRESS CHECKPOINTS]
    python fleet_process.py head TEMPORARY

`measured` chooses in three choices side by side: one of the fleet that has the fault, two of one
that has none. `peer` brings a fleet its news. `service` chooses so many
blocks as it is told to. `head` is a cluster of Ray. All end with their input.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import mmap
import os
import random
import select
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import acumen

FIELDS, ARMS, BLOCK = 16, 10, 100
PASS_SECONDS = 0.01  # as busy as a service that has something else to do, too
PEER_SECONDS, PEER_LESSONS = 0.05, 20
PENDING_MAX = 1 << 16
CLOCK = "ACUMEN_BENCHMARK_CLOCK"
DAY_SECONDS = 86_400
ANSWER = "= "
NAMES = ("faulted", "control", "control again")


def make(folder: Path, seed: int, fields: int = FIELDS) -> acumen.Choice:
    return acumen.Choice(
        "fleet",
        arms=list(range(ARMS)),
        context={f"f{i}": float for i in range(fields)},
        default=0,
        metric=acumen.maximize("reward"),
        learner=acumen.learners.LinUCB(),
        pending_max=PENDING_MAX,
        journal=acumen.Journal(folder),
        seed=seed,
    )


def follow(choice: acumen.Choice, hub: list[str] | None, *, train: bool = False) -> Any:
    if hub is None:
        return acumen.follow(choice, train=train)
    from acumen import fleet

    return fleet.join(choice, hub[1], address=hub[0])


def head(temporary: str) -> None:
    import ray

    context = ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80 << 20,
        _temp_dir=temporary,
        log_to_driver=False,
    )
    say(context.address_info["gcs_address"])
    sys.stdin.read()
    ray.shutdown()


class Clock:
    """How wrong the wall clock is of all processes that share a file; see fleet_faults.py."""

    def __init__(self) -> None:
        path = os.environ.get(CLOCK)
        self._shared: mmap.mmap | None = None
        if path:
            with Path(path).open("r+b") as file:
                self._shared = mmap.mmap(file.fileno(), 8)

    def jump(self, seconds: int) -> None:
        """By so much from the real time."""
        if self._shared is not None:
            self._shared[:8] = struct.pack("q", seconds)


def block(choice: acumen.Choice, rows: list[tuple[float, ...]]) -> list[tuple[int, int]]:
    """Nanoseconds of every choose and feedback of a block."""
    clock, choose = time.perf_counter_ns, choice.choose_row
    times = []
    for row in rows:
        start = clock()
        decision = choose(row)
        middle = clock()
        decision.feedback(0.5)
        times.append((middle - start, clock() - middle))
    return times


def told(seconds: float) -> str | None:
    """What the driver says, waiting for it so long; None: nothing."""
    if select.select([sys.stdin], [], [], seconds)[0]:
        return sys.stdin.readline().strip() or "quit"
    return None


def say(value: Any) -> None:
    print(ANSWER + json.dumps(value), flush=True)


class Measured:
    """Chooses in all three choices in turn, in an order drawn anew, and notes how long it takes."""

    def __init__(self, options: argparse.Namespace) -> None:
        folders = (options.faulted, options.control, options.control)
        self.lineup = {
            name: make(folder, options.seed + i)
            for i, (name, folder) in enumerate(zip(NAMES, folders, strict=True))
        }
        rng = np.random.default_rng(options.seed)
        self.rows = [tuple(row) for row in rng.normal(size=(BLOCK, FIELDS)).tolist()]
        self.order = random.Random(options.seed)
        self.clock, self.jumps = Clock(), False
        for choice in self.lineup.values():
            block(choice, self.rows)
            assert choice.journal is not None
            assert choice.journal.flush(30)
        self.followers = {
            name: follow(choice, options.hub if name == "faulted" else None)
            for name, choice in self.lineup.items()
            if name == "faulted" or not options.still
        }
        self.times: dict[str, list[list[tuple[int, int]]]] | None = None

    def turn(self) -> None:
        """A block in each."""
        for name in self.order.sample(NAMES, len(NAMES)):
            if self.jumps and name == "faulted":
                self.clock.jump(self.order.randint(-DAY_SECONDS, DAY_SECONDS))
            times = block(self.lineup[name], self.rows)
            if self.jumps and name == "faulted":
                self.clock.jump(0)
            if self.times is not None:
                self.times[name].append(times)

    def run(self) -> None:
        """Until it is told to end."""
        say("begun")
        while any(f.health.taken == 0 for f in self.followers.values()):
            self.turn()
            if told(PASS_SECONDS) == "quit":
                return
        say("ready")
        while True:
            self.turn()
            word, _, rest = (told(PASS_SECONDS) or "").partition(" ")
            if word == "begin":
                self.times = {name: [] for name in NAMES}
                self.jumps = rest == "clock"
            elif word == "end":
                assert self.times is not None
                np.savez(rest, **{n.replace(" ", "_"): np.array(t) for n, t in self.times.items()})
                self.times, self.jumps = None, False
                say(dataclasses.asdict(self.followers["faulted"].health))
            elif word == "quit":
                return
            elif word == "flush":
                for choice in self.lineup.values():
                    assert choice.journal is not None
                    assert choice.journal.flush(30)
                say(self.lineup["faulted"].counters()["feedback_learned"])
                sys.stdin.read()
                return


def peer(options: argparse.Namespace) -> None:
    choice = make(options.folder, options.seed, options.fields)
    follower = follow(choice, options.hub, train=options.train)
    rng = np.random.default_rng(options.seed)
    while (word := told(PEER_SECONDS)) is None:
        rows = rng.normal(size=(PEER_LESSONS, options.fields))
        choice.feedback_many(choice.choose_many(rows).ids, reward=rows[:, 0])
    if word == "flush":
        assert choice.journal is not None
        assert choice.journal.flush(30)
        say(choice.counters()["feedback_learned"])
        sys.stdin.read()
    follower.stop()


def service(options: argparse.Namespace) -> None:
    """A process that has one choice, and its follower, if any, for itself."""
    choice = make(options.folder, options.seed)
    rng = np.random.default_rng(options.seed)
    rows = [tuple(row) for row in rng.normal(size=(BLOCK, FIELDS)).tolist()]
    for _ in range(20):  # until its scales are set
        block(choice, rows)
    following = options.follow or options.hub
    follower = follow(choice, options.hub) if following else None
    while follower is not None and follower.health.taken == 0:
        block(choice, rows)
        time.sleep(PASS_SECONDS)
    say("ready")
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            time.sleep(PASS_SECONDS)
            times.append(block(choice, rows))
        say([times, follower.health.taken if follower else 0])


def main() -> None:
    parser = argparse.ArgumentParser()
    roles = parser.add_subparsers(dest="role", required=True)
    measured = roles.add_parser("measured")
    measured.add_argument("faulted", type=Path)
    measured.add_argument("control", type=Path)
    measured.add_argument("seed", type=int)
    measured.add_argument("--still", action="store_true", help="the control does not follow")
    other = roles.add_parser("peer")
    other.add_argument("folder", type=Path)
    other.add_argument("seed", type=int)
    other.add_argument("--fields", type=int, default=FIELDS)
    other.add_argument("--train", action="store_true")
    alone = roles.add_parser("service")
    alone.add_argument("folder", type=Path)
    alone.add_argument("seed", type=int)
    alone.add_argument("--follow", action="store_true")
    for role in (measured, other, alone):
        role.add_argument("--hub", nargs=2)
    roles.add_parser("head").add_argument("temporary")
    options = parser.parse_args()
    if options.role == "head":
        head(options.temporary)
    elif options.role == "peer":
        peer(options)
    elif options.role == "service":
        service(options)
    else:
        Measured(options).run()


if __name__ == "__main__":
    main()
