"""Real processes that are killed, paused, or of another version: nothing durable is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journaled import wait_for
from replica import SEQUENCES, make

import acumen
from acumen.core import model_file
from acumen.core.journal_format import FATES
from acumen.core.published import MODELS, ModelFolder

HERE = Path(__file__).parent
ACUMEN = [sys.executable, "-c", "from acumen.cli import main; main()"]


class Processes(ExitStack):
    """Processes of this test; the end of the block is theirs."""

    def run(self, *command: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "default"},
        )
        self.enter_context(process)  # closes its pipes and waits
        self.callback(process.kill)
        return process

    def replica(self, folder: Path, seed: int, *more: str) -> subprocess.Popen[str]:
        return self.run(sys.executable, HERE / "replica.py", folder, str(seed), *more)

    def trainer(self, folder: Path, patience: float = 1.5) -> subprocess.Popen[str]:
        times = ("--publish-seconds", "0.05", "--patience-seconds", str(patience))
        return self.run(*ACUMEN, "train", str(folder), "--watch", *times)


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes() as all_of_them:
        yield all_of_them


def models_in(folder: Path) -> list[ModelFolder]:
    kinds = (folder / "fleet" / MODELS).glob("*") if (folder / "fleet" / MODELS).exists() else []
    return [ModelFolder(kind) for kind in kinds]


def newest(folder: Path) -> dict[str, Any]:
    """What the newest model says of itself; of the only kind there is."""
    for models in models_in(folder):
        for _, path in models.files():
            try:
                header: dict[str, Any] = model_file.read(path)[0]["trainer"]
                return header
            except FileNotFoundError:  # pruned just now
                continue
    return {"term": 0, "version": 0, "lessons": {}}


def durable_lessons(folder: Path) -> dict[str, int]:
    """Stream → feedback in its journal that taught its process something."""
    counts: dict[str, int] = {}
    for batch in acumen.Journal(folder).events("fleet"):
        taught = batch.rows.column("fate").indices.to_pylist().count(FATES.index("learned"))
        if taught:
            counts[batch.info.stream] = counts.get(batch.info.stream, 0) + taught
    return counts


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert "Warning" not in err, err
    said: dict[str, Any] = json.loads(out)
    return said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of Unix are sent")
def test_kills_and_pauses_lose_nothing(tmp_path: Path, processes: Processes) -> None:
    steady, paused, victim = (processes.replica(tmp_path, seed) for seed in (1, 2, 3))
    wrong = processes.replica(tmp_path, 4, "--clock", "-86400")  # yesterday
    wait_for(lambda: len(list((tmp_path / "fleet").glob("*.arrow*"))) >= 4, 90)
    # On a busy machine a trainer may show no life for a second and a half, and lose its office for
    # that. The first is too patient to take it from the second, unless that one is dead.
    first = processes.trainer(tmp_path, patience=600)
    wait_for(lambda: len(newest(tmp_path)["lessons"]) == 4, 90)
    assert newest(tmp_path)["term"] == 1
    second = processes.trainer(tmp_path)

    # A replica and the trainer are paused: another takes the office, and the others go on.
    paused.send_signal(signal.SIGSTOP)
    first.send_signal(signal.SIGSTOP)
    wait_for(lambda: newest(tmp_path)["term"] == 2, 90)
    first.send_signal(signal.SIGCONT)
    # A replica is killed, and one that was not there before begins.
    victim.kill()
    late = processes.replica(tmp_path, 5)
    wait_for(lambda: len(newest(tmp_path)["lessons"]) == 5, 90)
    assert newest(tmp_path)["term"] == 2  # the first has seen that it was replaced, and stays so
    # The trainer is killed: the first stands in again.
    second.kill()
    wait_for(lambda: newest(tmp_path)["term"] == 3, 90)
    paused.send_signal(signal.SIGCONT)

    (tmp_path / "stop").touch()
    replicas = {1: steady, 2: paused, 4: wrong, 5: late}
    wait_for(lambda: all((tmp_path / f"waits-{seed}").exists() for seed in replicas), 90)
    wanted = durable_lessons(tmp_path)
    wait_for(lambda: newest(tmp_path)["lessons"] == wanted, 90)
    (tmp_path / "end").touch()
    for seed, process in replicas.items():
        said = finish(process)
        assert said["learned"] == wanted[said["stream"]], seed
        health = said["following"]
        assert health["taken"] >= 1, (seed, health)
        assert health["refused"] == health["errors"] == health["missed"] == 0, (seed, health)
        assert said["slowest_ms"] < 1000
    first.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0
    assert "training:" in out
    assert err == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of Unix are sent")
def test_trainers_are_killed_among_episodes(tmp_path: Path, processes: Processes) -> None:
    """Whatever a trainer was at: its successors make the very model that a replay makes."""
    player = processes.replica(tmp_path, 1, "--episodes")
    wait_for(lambda: list((tmp_path / "fleet").glob("*.arrow*")))
    for term in (1, 2):
        trainer = processes.trainer(tmp_path)
        wait_for(lambda: newest(tmp_path)["term"] == term)  # noqa: B023 (called at once)
        time.sleep(0.15)  # in the middle of something
        trainer.kill()
    (tmp_path / "stop").touch()
    wait_for(lambda: (tmp_path / "waits-1").exists())
    replayed = make(tmp_path / "elsewhere", 0, learner=SEQUENCES)
    report = replayed.replay(tmp_path)
    assert report.exact
    processes.trainer(tmp_path)
    wait_for(lambda: sum(newest(tmp_path)["lessons"].values()) == report.lessons)
    (models,) = models_in(tmp_path)
    published = models.newer((0, 0), [])
    assert published is not None
    for name, array in replayed.learner.state().items():
        assert np.array_equal(array, published.arrays[name]), name
    assert published.arrays["lessons"][0] == replayed.model_version
    (tmp_path / "end").touch()
    player.kill()  # alone it waits in vain for a model with news


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of Unix are sent")
def test_two_versions_of_a_program_do_not_mix(tmp_path: Path, processes: Processes) -> None:
    old = [processes.replica(tmp_path, seed, "--train") for seed in (1, 2)]
    new = [processes.replica(tmp_path, seed, "--train", "--fields", "3") for seed in (3, 4)]

    def lessons() -> list[dict[str, int]]:
        return [
            model_file.read(path)[0]["trainer"]["lessons"]
            for models in models_in(tmp_path)
            for _, path in models.files()[:1]
        ]

    def both() -> bool:
        try:
            found = lessons()
        except FileNotFoundError:
            return False
        return len(found) == 2 and all(len(streams) == 2 for streams in found)

    wait_for(both, 90)
    (tmp_path / "stop").touch()
    wait_for(lambda: all((tmp_path / f"waits-{seed}").exists() for seed in (1, 2, 3, 4)), 90)
    wanted = durable_lessons(tmp_path)

    def all_learned() -> bool:
        try:
            merged = {s: n for streams in lessons() for s, n in streams.items()}
        except FileNotFoundError:
            return False
        return merged == wanted

    wait_for(all_learned, 90)
    (tmp_path / "end").touch()
    said = [finish(process) for process in old + new]
    for one in said:
        assert one["following"]["taken"] > 0, json.dumps(one)
        assert one["following"]["refused"] == one["following"]["errors"] == 0, one
    groups = [{said[0]["stream"], said[1]["stream"]}, {said[2]["stream"], said[3]["stream"]}]
    for streams in lessons():
        assert set(streams) in groups
