"""A thread of a process's own upkeep: bounded at exit, and away while the process forks.

Around fork() such threads pause, so that the child's copy of everything is whole, and Python has no
other thread to warn of. In the child each one's owner says what is to become of it.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable

PAUSE_SECONDS = 2.0


class Background:
    """A daemon thread that can be stopped, and that survives fork().

    Args:
        name: the thread's.
        run: its work; it returns soon after the event is set.
        in_child: what to do after fork() in the child, where the thread is not running; None:
            nothing.
        at_exit: what to do at the end of the program, with the thread stopped; None: nothing.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[threading.Event], None],
        in_child: Callable[[], None] | None = None,
        at_exit: Callable[[], None] | None = None,
    ) -> None:
        self._name, self._run = name, run
        self._in_child, self._at_exit = in_child, at_exit
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread is still at work."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stop.is_set()

    def start(self) -> None:
        """Starts the thread, or starts it anew."""
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._stop,), name=self._name, daemon=True
        )
        _running.add(self)
        self._thread.start()

    def stop_soon(self) -> None:
        """Tells the thread to end; does not wait."""
        _running.discard(self)
        self._stop.set()

    def stop(self, timeout: float) -> bool:
        """Tells the thread to end and waits for it, `timeout` seconds at most; whether it has."""
        self.stop_soon()
        self._join(timeout)
        return not self.alive

    def _join(self, timeout: float) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)


_running: weakref.WeakSet[Background] = weakref.WeakSet()


def _before_fork() -> None:
    paused = list(_running)
    for background in paused:
        background._stop.set()
    for background in paused:
        background._join(PAUSE_SECONDS)


def _after_fork_in_parent() -> None:
    for background in list(_running):
        background.start()


def _after_fork_in_child() -> None:
    for background in list(_running):
        background._thread = None
        _running.discard(background)
        if background._in_child is not None:
            background._in_child()


def _finish_all() -> None:
    for background in list(_running):
        background.stop(PAUSE_SECONDS)
        if background._at_exit is not None:
            background._at_exit()


atexit.register(_finish_all)
# Choices begin their new streams before: their module was imported first.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
