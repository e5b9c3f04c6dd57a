"""A fleet on Ray through kills and pauses, in a network of its own; run by test_cluster.py.

    unshare --net --map-root-user python ray_scenario.py FOLDER

Ray's servers listen on all addresses of the machine. Here there is only loopback, and they ask for
a token that is made for this run.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        ask = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, GET_FLAGS, ask))[1]
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", flags | UP))


def only_loopback() -> bool:
    names = [name for _, name in socket.if_nameindex()]
    return names == ["lo"]


class Fleet(ExitStack):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.machines = folder, folder / "w"
        self.checkpoints = folder / "checkpoints"
        self.machines.mkdir()
        token = folder / "token"
        token.touch(0o600)
        token.write_text(secrets.token_hex(32))
        os.environ |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DEDUP_LOGS": "0",
        }
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


def main(folder: Path) -> None:
    loopback_up()
    assert only_loopback()
    with Fleet(folder) as fleet:
        one, two = fleet.member(1), fleet.member(2)
        wait_for("both learn", lambda: min(fleet.newest(1)[1], fleet.newest(2)[1]) > 2, 60)
        before = fleet.said(1)["learned"]
        # The hub is killed: members go on choosing, it comes back from its checkpoint.
        os.kill(hub_state(fleet)["process"], signal.SIGKILL)
        wait_for("choosing goes on", lambda: fleet.said(1)["learned"] > before + 50)
        wait_for("a second term", lambda: min(fleet.newest(1)[0], fleet.newest(2)[0]) == 2, 60)
        # A member is paused, then killed; the other one goes on learning.
        two.send_signal(signal.SIGSTOP)
        taken = fleet.said(1)["learned"]
        wait_for("the other goes on", lambda: fleet.said(1)["learned"] > taken + 50)
        two.kill()
        two.wait()
        # Its journal is shipped by whoever comes next on its machine.
        again = fleet.member(2)
        wait_for("it follows", lambda: fleet.newest(2)[0] == 2 and fleet.newest(2)[1] > 0, 60)
        (fleet.machines / "stop").touch()
        time.sleep(0.3)
        total = sum(durable_lessons(fleet.machines / f"m{seed}") for seed in (1, 2))
        wait_for("the hub has all", lambda: hub_state(fleet)["lessons"] == total)
        wait_for(
            "all have all", lambda: all(fleet.said(s)["model_version"] == total for s in (1, 2))
        )
        wait_for(
            "all is kept",
            lambda: all(fleet.said(s)["uplink"]["unacknowledged"] == 0 for s in (1, 2)),
        )
        state = hub_state(fleet)
        assert state["report"].unjoined == state["report"].lost == 0, state
        assert state["errors"] == (), state
        for seed in (1, 2):
            said = fleet.said(seed)
            assert said["following"]["refused"] == said["following"]["errors"] == 0, said
            assert said["uplink"]["errors"] == 0, said
            assert said["slowest_ms"] < 1000, said
        (fleet.machines / "end").touch()
        assert [one.wait(20), again.wait(20)] == [0, 0]
        import ray_process

        sharded = ray_process.try_shards(fleet.folder)
        print(f"ok: {total} lessons, {state['streams']} streams; {sharded} lessons in shards")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
