"""Kills processes that write a journal, at random moments, and looks at what is left.

    python benchmarks/journal_crash.py [--trials N] [--seed N] [--folder DIR]

In every trial a real process chooses, learns, rotates and seals small segments, saves snapshots
and says what it has been told is durable, until kill -9 hits it. In a third of the trials something
half written is put behind what was synced, as a power cut may do; in a third the process that
recovers is killed, too. Then: is everything there that was said to be durable? Is the model that a
replay makes, up to the last snapshot's position, bit for bit the snapshot's? Do the snapshot and
the rest make the same model as all events? Exit code 1 if not, in any trial.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import acumen

LEARNERS = [
    acumen.learners.BinnedAdditive(),
    acumen.learners.LinUCB(),
    acumen.learners.SquareCB(half_life=200),
    acumen.learners.SoftmaxGradient(),
]


@dataclass
class Outcome:
    """One trial."""

    durable: int = 0  # number of the last event that was reported durable
    found: int = 0  # number of the last event that is there
    torn_bytes: int = 0
    segments: int = 0
    snapshots: int = 0
    seconds: float = 0.0
    problem: str = ""


def make(learner: Any, journal: acumen.Journal | None = None) -> acumen.Choice:
    return acumen.Choice(
        "crash",
        arms=["a", "b", "c"],
        context={"size": float, "kind": str},
        default="b",
        metric=acumen.minimize("seconds"),
        learner=learner,
        pending_max=512,
        journal=journal,
    )


def victim(folder: Path, learner: Any, seed: int, report: int) -> None:
    """Runs until it is killed; says `d NUMBER` and `s NUMBER` of what is on the disk."""
    rng = random.Random(seed)
    settings = {"commit_seconds": 0.001, "segment_bytes": rng.choice([1 << 14, 1 << 16, 1 << 20])}
    choice = make(learner, acumen.Journal(folder / "journal", **settings))
    writer = choice.journal
    assert writer is not None
    snapshots = 0
    while True:
        for _ in range(rng.randrange(200)):
            size = rng.expovariate(1) * (1000 if rng.random() < 0.01 else 1)
            decision = choice.choose(size=size, kind=rng.choice("xyz"))
            if rng.random() < 0.8:
                decision.feedback(seconds=rng.random())
        if rng.random() < 0.3:
            choice.save(folder / f"snapshot{snapshots}")
            if writer.flush():
                os.write(report, b"s %d\n" % snapshots)
                snapshots += 1
        elif writer.flush():
            os.write(report, b"d %d\n" % writer.durable_sequence)


def run_and_kill(work: Any, seconds: float, pipe: tuple[int, int] | None = None) -> None:
    """Forks, lets the child work, and kills it after a while (from its first word on the pipe)."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    if pipe is not None:
        os.close(pipe[1])
        select.select([pipe[0]], [], [], 5)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def bits(choice: acumen.Choice) -> dict[str, Any]:
    """All of the state that a replay has to reproduce."""
    model, history, _, _ = choice._snapshot()
    history = dict(history)
    del history["times"]  # on the clock of whoever has them
    cursors = history["cursors"].copy()
    # Ids go on with numbers of one's own; the first is of no use once the ring has come round.
    cursors[:4] = np.minimum(cursors[0] - cursors[:4], len(history["ids"]))
    cursors[2] = 0  # which decision is asked next whether its time is over
    done = (history["marks"] >> np.uint64(8) & np.uint64(0xFF)) == 2
    return model | history | {"cursors": cursors, "values": history["values"][done]}


def same(a: acumen.Choice, b: acumen.Choice) -> bool:
    one, other = bits(a), bits(b)
    return all(np.array_equal(one[n], other[n], equal_nan=n in ("rows", "rewards")) for n in one)


def judge(folder: Path, learner: Any, said: list[str], outcome: Outcome) -> str:
    """What is wrong with what a killed process has left; empty if nothing is."""
    journal = acumen.Journal(folder / "journal")
    if not journal.choices():
        return "events that were durable are gone" if said else ""
    verification = journal.verify()
    outcome.torn_bytes = sum(r.torn_bytes for r in verification.recovered)
    outcome.segments = len(verification.segments)
    outcome.found = max((s.last for s in verification.segments), default=0)
    numbers = [line.split() for line in said if line.endswith("\n")]
    outcome.durable = max((int(n) for what, n in numbers if what == "d"), default=0)
    snapshots = [int(n) for what, n in numbers if what == "s"]
    outcome.snapshots = len(snapshots)
    if verification.missing or any(s.problems for s in verification.segments):
        return f"damage: {verification}"
    if outcome.found < outcome.durable:
        return f"event {outcome.durable} was durable, the last one is {outcome.found}"
    whole = make(learner)
    report = whole.replay(journal)
    if not report.exact:
        return str(report)
    if snapshots:
        path = folder / f"snapshot{snapshots[-1]}"
        loaded, again, rest = make(learner), make(learner), make(learner)
        loaded.load(path)
        again.replay(journal, until=loaded._held.positions)
        if not same(loaded, again):
            return "the replayed model is not the snapshot's"
        rest.load(path)
        rest.replay(journal)
        if not same(rest, whole):
            return "the snapshot and the rest are not the whole"
    return ""


def tear(folder: Path, rng: random.Random) -> None:
    """What a power cut may leave behind what was synced: half a batch, zeros, old blocks."""
    for path in (folder / "journal").glob("*/*.arrows"):
        contents = path.read_bytes()
        half = contents[rng.randrange(len(contents) + 1) :][: rng.randrange(1, 5000)]
        tail = rng.choice([half, bytes(rng.randrange(1, 5000)), rng.randbytes(100)])
        with path.open("ab") as file:
            file.write(tail)


def trial(folder: Path, seed: int) -> Outcome:
    started = time.perf_counter()
    rng = random.Random(seed)
    learner = rng.choice(LEARNERS)
    outcome = Outcome()
    reading, writing = os.pipe()
    if rng.random() < 0.8:
        work = partial(victim, folder, learner, seed, writing)
        run_and_kill(work, 0.1 * rng.random(), (reading, writing))
    else:  # perhaps before it has done anything at all
        run_and_kill(partial(victim, folder, learner, seed, writing), 0.03 * rng.random())
        os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.readlines()
    if rng.random() < 0.33:
        tear(folder, rng)
    for _ in range(rng.randrange(3) if rng.random() < 0.33 else 0):
        tidy = acumen.Journal(folder / "journal", segment_bytes=1 << 20)
        work = rng.choice([tidy.verify, tidy.compact])
        run_and_kill(work, 0.02 * rng.random())
    outcome.problem = judge(folder, learner, said, outcome)
    outcome.seconds = time.perf_counter() - started
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="on the disk to use")
    options = parser.parse_args()
    outcomes = []
    for number in range(options.trials):
        folder = Path(tempfile.mkdtemp(prefix="crash-", dir=options.folder))
        outcome = trial(folder, options.seed + number)
        outcomes.append(outcome)
        if outcome.problem:
            print(f"trial {number}, {folder}: {outcome.problem}", flush=True)
        else:
            shutil.rmtree(folder)
    failed = sum(bool(outcome.problem) for outcome in outcomes)
    print(
        f"{len(outcomes)} trials, {failed} failed; "
        f"{sum(o.durable > 0 for o in outcomes)} with durable events, "
        f"{sum(o.found > o.durable for o in outcomes)} with more than were said to be, "
        f"{sum(o.torn_bytes > 0 for o in outcomes)} with a torn tail, "
        f"{sum(o.segments > 1 for o in outcomes)} with several segments, "
        f"{sum(o.snapshots > 0 for o in outcomes)} with snapshots; "
        f"{sum(o.found for o in outcomes)} events, "
        f"{sum(o.seconds for o in outcomes) / len(outcomes):.2f} s a trial"
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
