from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acumen.watch.server import PageServer

Serve = Callable[..., PageServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers on free ports, each in a thread, and ends them."""
    running: list[tuple[PageServer, threading.Thread]] = []

    def start(directory: Path, **options: Any) -> PageServer:
        server = PageServer(directory, **options)
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        deadline = time.monotonic() + 20
        while not server._server.started or server.watcher.reading:
            assert time.monotonic() < deadline
            assert thread.is_alive()
            time.sleep(0.01)
        return server

    yield start
    for server, _ in running:
        server.stop()
    for _, thread in running:
        thread.join(15)
        assert not thread.is_alive()
