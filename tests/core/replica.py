"""A process of a fleet, for tests: chooses, learns and follows until it is told to stop.

    python replica.py DIR SEED [--clock SECONDS] [--fields N] [--train] [--episodes]

It ends when the file DIR/stop is there, and prints what it knows as JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import acumen
from acumen.core import episode

LINEAR = acumen.learners.LinUCB()
SEQUENCES = acumen.learners.SarsaLambda()


def make(
    folder: Path,
    seed: int,
    fields: int = 2,
    journal: acumen.Journal | None = None,
    learner: Any = LINEAR,
) -> acumen.Choice:
    return acumen.Choice(
        "fleet",
        arms=["a", "b", "c"],
        context={f"f{i}": float for i in range(fields)},
        default="a",
        metric=acumen.maximize("reward"),
        learner=learner,
        pending_max=1 << 17,  # a busy machine may show a model minutes late
        journal=journal or acumen.Journal(folder, commit_seconds=0.005, segment_bytes=1 << 16),
        seed=seed,
    )


def rewards(row: np.ndarray, arm: int) -> float:
    return float(row[arm % len(row)])


def play(choice: acumen.Choice, rng: np.random.Generator, fields: int) -> int:
    """A few episodes, one of which is cut off; how many steps they had."""
    steps = 0
    for number in range(5):
        with choice.episode(discount=0.9) as one:
            for row in rng.normal(size=(8, fields)):
                one.reward(reward=rewards(row, one.choose_row(row).index))
                steps += 1
            if number:
                one.feedback()
        time.sleep(0.002)
    return steps


def waited_ns() -> int:
    """How long this thread has waited for a core: that is the machine's, and nobody's fault."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("--clock", type=float, default=0.0, help="how wrong the clock is")
    parser.add_argument("--fields", type=int, default=2)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--episodes", action="store_true", help="and a learner of sequences")
    options = parser.parse_args()
    if options.clock:
        now, now_ns = time.time, time.time_ns
        time.time = lambda: now() + options.clock
        time.time_ns = lambda: now_ns() + int(options.clock * 1e9)
    episode.EVENT_STEPS = 3  # so that most episodes are several events
    learner = SEQUENCES if options.episodes else LINEAR
    choice = make(options.folder, options.seed, options.fields, learner=learner)
    follower = acumen.follow(choice, train=options.train, poll_seconds=0.02, publish_seconds=0.05)
    rng = np.random.default_rng(options.seed)
    slowest = decisions = 0
    while not (options.folder / "stop").exists():
        if options.episodes:
            decisions += play(choice, rng, options.fields)
            continue
        waited, slowest_now = waited_ns(), 0
        for row in rng.normal(size=(20, options.fields)):
            started = time.perf_counter_ns()
            decision = choice.choose_row(row)
            slowest_now = max(slowest_now, time.perf_counter_ns() - started)
            decision.feedback(rewards(row, decision.index))
            decisions += 1
        slowest = max(slowest, slowest_now - (waited_ns() - waited))
        time.sleep(0.05)  # a trainer on a busy machine has to keep up
    assert choice.journal is not None
    assert choice.journal.flush()
    (options.folder / f"waits-{options.seed}").touch()
    deadline = time.monotonic() + 60
    while not (options.folder / "end").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    while follower.health.taken == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    follower.stop()
    said = {
        "stream": choice.journal.stream,
        "decisions": decisions,
        "learned": choice.counters()["feedback_learned"],
        "model_version": choice.model_version,
        "slowest_ms": slowest / 1e6,
        "following": dataclasses.asdict(follower.health),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
