"""A fleet on Ray for ray_scenario.py: a cluster, members of the fleet, and what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from ray_alone import loopback_up, token_for_ray

HERE = Path(__file__).parent


class Fleet(ExitStack):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.machines = folder, folder / "w"
        self.checkpoints = folder / "checkpoints"
        self.machines.mkdir()
        loopback_up()
        token_for_ray(folder)
        # Seconds that ray:// hopes for a server that is gone; 30 otherwise.
        os.environ["RAY_CLIENT_RECONNECT_GRACE_PERIOD"] = "3"
        head = self.run("head", str(folder / "ray"), stdin=subprocess.PIPE)
        assert head.stdout is not None
        self.address = head.stdout.readline().strip()

    def run(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        return self.python(arguments[0], str(HERE / "ray_process.py"), *arguments, **more)

    def python(self, name: str, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", *arguments],
            stdout=subprocess.PIPE,
            stderr=(self.folder / f"{name}.err").open("ab"),
            text=True,
            **more,
        )
        self.callback(self.end, process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        if process.stdin is not None:  # the head takes its cluster with it
            process.stdin.close()
        else:
            process.send_signal(signal.SIGCONT)
            process.kill()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def member(self, seed: int) -> subprocess.Popen[str]:
        return self.run(
            "member",
            self.address,
            str(self.machines / f"m{seed}"),
            str(seed),
            str(self.checkpoints),
        )

    def said(self, seed: int) -> dict[str, Any]:
        path = self.machines / f"m{seed}.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def newest(self, seed: int) -> tuple[int, int]:
        health = self.said(seed).get("following", {"term": 0, "version": 0, "taken": 0})
        return health["term"], health["taken"]


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def durable_lessons(folder: Path) -> int:
    import acumen
    from acumen.core.journal_format import FATES

    return sum(
        batch.rows.column("fate").indices.to_pylist().count(FATES.index("learned"))
        for batch in acumen.Journal(folder).events("fleet")
    )


def hub_state(fleet: Fleet) -> dict[str, Any]:
    sys.path.append(str(HERE))
    import ray_process

    return ray_process.state_of(fleet.address, fleet.machines / "asks")
