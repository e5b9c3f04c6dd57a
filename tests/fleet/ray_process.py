"""Processes of a fleet on Ray, for tests.

python ray_process.py head TEMPORARY           starts a cluster; ends with its standard input
python ray_process.py member ADDRESS DIR SEED CHECKPOINTS     see tests/core/replica.py
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray

sys.path.append(str(Path(__file__).parents[1] / "core"))
from replica import make, rewards

import acumen
from acumen import fleet
from acumen.core import model_file
from acumen.core.trainer import Trainer
from acumen.core.twin import twin


def head(temporary: str) -> None:
    context = ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80 << 20,
        _temp_dir=temporary,
        log_to_driver=False,
    )
    print(context.address_info["gcs_address"], flush=True)
    sys.stdin.read()
    ray.shutdown()


def member(address: str, folder: Path, seed: int, checkpoints: str) -> None:
    root = folder.parent
    choice = make(folder, seed)
    follower = fleet.join(
        choice,
        checkpoints,
        address=address,
        publish_seconds=0.1,
        period_seconds=0.05,
        poll_seconds=0.02,
    )
    print("joined", flush=True)
    rng = np.random.default_rng(seed)
    slowest = 0
    while not (root / "stop").exists():
        for row in rng.normal(size=(20, 2)):
            started = time.perf_counter_ns()
            decision = choice.choose_row(row)
            slowest = max(slowest, time.perf_counter_ns() - started)
            decision.feedback(rewards(row, decision.index))
        say(folder, choice, follower, slowest)
        time.sleep(0.02)
    assert choice.journal is not None
    assert choice.journal.flush()
    (root / f"waits-{seed}").touch()
    while not (root / "end").exists():
        say(folder, choice, follower, slowest)
        time.sleep(0.02)
    follower.stop()


def state_of(address: str, folder: Path) -> dict[str, object]:
    """Of the hub, for who watches."""
    if not ray.is_initialized():
        ray.init(address=address, namespace="acumen", log_to_driver=False, logging_level="ERROR")
    return fleet.hub_state(make(folder, 0, journal=acumen.Journal(folder)))


def one_row_and_many(folder: Path, lessons: int) -> tuple[float, float]:
    """One row from a choice to the hub that is there and back as a model, then many.

    Args:
        folder: of a machine that joins now.
        lessons: that the hub has.

    Returns:
        Seconds until a model with the row is on its machine; records a second, from the
        first decision to the hub's word that it has all of them.
    """
    choice = make(folder, 77)
    follower = fleet.join(choice, period_seconds=0.02, poll_seconds=0.01)
    _until(lambda: choice.model_version == lessons, "the hub's model")
    assert follower.training is not None
    health: Any = follower.training.health
    models = health.models
    started = time.perf_counter()
    choice.choose_row((0.25, -0.5)).feedback(0.75)
    _until(lambda: fleet.hub_state(choice)["lessons"] == lessons + 1, "one row more at the hub")
    _until(lambda: health.models > models and health.unacknowledged == 0, "it comes back")
    seconds = time.perf_counter() - started
    assert choice.model_version == lessons + 1
    rows = np.random.default_rng(7).normal(size=(500, 2))
    started = time.perf_counter()
    for _ in range(20):
        choice.feedback_many(choice.choose_many(rows).ids, reward=rows[:, 0])
    total = lessons + choice.counters()["feedback_learned"]
    _until(lambda: fleet.hub_state(choice)["lessons"] == total, "all records at the hub")
    rate = 2 * 20 * len(rows) / (time.perf_counter() - started)
    follower.stop()
    assert total == lessons + 1 + 20 * len(rows)
    return seconds, rate


def _until(condition: Callable[[], bool], what: str, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def try_shards(folder: Path) -> int:
    """Two hubs and a root; three machines' worth of choices, all in this process. Lessons."""
    settled = make(folder / "settled", 90)
    rows = np.random.default_rng(1).normal(size=(700, 2))
    settled.feedback_many(settled.choose_many(rows).ids, reward=rows[:, 0])
    trainer = Trainer(twin(settled))
    assert settled.journal is not None
    assert settled.journal.flush()
    for batch in acumen.Journal(folder / "settled").events():
        trainer.take(batch)
    published = trainer.publish((1, 1))
    scales = model_file.encode(published.header, published.arrays)
    members = [make(folder / f"s{seed}", seed) for seed in (91, 92, 93)]
    fleet.start_shards(members[0], str(folder / "shards"), 2, scales, publish_seconds=0.1)
    times = {"period_seconds": 0.05, "poll_seconds": 0.02}
    followers = [fleet.join(choice, shards=2, **times) for choice in members]
    for choice in members:
        choice.feedback_many(choice.choose_many(rows[:200]).ids, reward=rows[:200, 0])
    _until(lambda: {choice.model_version for choice in members} == {600}, "600 lessons")
    for follower in followers:
        follower.stop()
    return members[0].model_version


def say(folder: Path, choice: acumen.Choice, follower: object, slowest: int) -> None:
    said = {
        "stream": choice.journal.stream,  # type: ignore[union-attr]
        "learned": choice.counters()["feedback_learned"],
        "model_version": choice.model_version,
        "slowest_ms": slowest / 1e6,
        "following": dataclasses.asdict(follower.health),  # type: ignore[attr-defined]
        "uplink": dataclasses.asdict(follower.training.health),  # type: ignore[attr-defined]
    }
    partial = folder.with_suffix(".partial")
    partial.write_text(json.dumps(said))
    os.replace(partial, folder.with_suffix(".json"))


if __name__ == "__main__":
    if sys.argv[1] == "head":
        head(sys.argv[2])
    else:
        member(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
