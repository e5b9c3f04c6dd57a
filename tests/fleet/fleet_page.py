"""The page over a fleet on Ray for ray_scenario.py, looked at in a browser and from afar."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "watch"))
from browser import CHROMIUM, Browser
from ray_fleet import Fleet, wait_for

CLIENT_PORT = 10001


class Page:
    """`acumen watch` over a cluster."""

    def __init__(self, fleet: Fleet, address: str) -> None:
        command = [str(Path(sys.executable).with_name("acumen")), "watch", address, "--port", "0"]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=(fleet.folder / "page.err").open("ab"),
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        fleet.callback(fleet.end, self.process)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(f"Watching {address} on http://127.0.0.1:"), line
        self.url = line.split()[3]

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}api/state?range=5m", timeout=20) as answer:
            return dict(json.load(answer))

    def fleet(self) -> dict[str, Any]:
        return dict((self.state()["selected"] or {}).get("fleet", {}))

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(20) == 0


def look(page: Page, folder: Path) -> str:
    """In a browser, as a person does, if there is one."""
    if CHROMIUM is None:
        return "no browser"
    with Browser(folder / "profile") as browser:
        browser.look(1280, 900)
        browser.open(page.url)
        browser.wait_for("document.body?.dataset.drawn === 'fleet'", 60)
        browser.wait_for("document.querySelectorAll('#streams tbody tr').length === 2")
        browser.wait_for("document.querySelectorAll('#hubs tbody tr').length === 1")
        browser.wait_for("document.querySelectorAll('#charts svg path').length > 6")
        browser.screenshot(folder / "page.png")
        assert browser.errors == [], browser.errors
        assert all(url.startswith(page.url) for url in browser.requests), browser.requests
    return "in a browser"


def look_from_afar(fleet: Fleet) -> str:
    """By `ray://`, which needs a server of its own on the other side, and gRPC on both."""
    if importlib.util.find_spec("grpc") is None:
        return "no ray://, which needs grpcio"
    where = ["--host", "127.0.0.1", "--port", str(CLIENT_PORT), "--mode", "specific-server"]
    module = ["-m", "ray.util.client.server", "--address", fleet.address]
    server = fleet.python("client", *module, *where)

    def listens() -> bool:
        assert server.poll() is None, "Ray's server of clients has ended"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", CLIENT_PORT), 1).close()
            return True
        return False

    wait_for("a server of clients", listens, 60)
    page = Page(fleet, f"ray://127.0.0.1:{CLIENT_PORT}")
    wait_for("both were heard", lambda: len(page.fleet().get("heard", [])) == 2, 60)
    # It goes, and the page tells so, and shows what was known.
    fleet.end(server)
    wait_for("it is told", lambda: "does not answer" in page.state()["trouble"], 60)
    assert len(page.fleet()["heard"]) == 2
    page.end()
    return "ray:// too"
