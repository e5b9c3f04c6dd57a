"""Servers of the page for tests: real ones, each in a thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acumen.watch import server, watcher
from acumen.watch.server import PageServer

HURRY_SECONDS = 0.05
Serve = Callable[..., PageServer]


@contextlib.contextmanager
def serving() -> Iterator[Serve]:
    """Starts servers on free ports, each in a thread, and ends them.

    They look at their files more often than they would, so that tests need not wait.
    """
    running: list[tuple[PageServer, threading.Thread]] = []
    hurry = pytest.MonkeyPatch()
    for name in ("POLL_SECONDS", "HEALTH_SECONDS"):
        hurry.setattr(watcher, name, HURRY_SECONDS)
    hurry.setattr(server, "NEWS_SECONDS", HURRY_SECONDS)

    def start(directory: Path, **options: Any) -> PageServer:
        page = PageServer(directory, **options)
        thread = threading.Thread(target=page.run)
        thread.start()
        running.append((page, thread))
        deadline = time.monotonic() + 20
        while not page._server.started or page.watcher.reading:
            assert time.monotonic() < deadline
            assert thread.is_alive()
            time.sleep(0.01)
        return page

    try:
        yield start
    finally:
        for page, _ in running:
            page.stop()
        for _, thread in running:
            thread.join(15)
            assert not thread.is_alive()
        hurry.undo()
