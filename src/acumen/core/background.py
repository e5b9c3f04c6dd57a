"""Threads of a process's own upkeep: bounded at exit, and away while the process forks.

Around fork() such threads pause, so that the child's copy of everything is whole, and Python has no
other thread to warn of. In the child each one's owner says what is to become of it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import warnings
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
        self._begun = False
        _living.add(self)

    @property
    def alive(self) -> bool:
        """Whether the thread is still at work."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stop.is_set()

    def start(self) -> None:
        """Starts the thread, or starts it anew; the one before is told to end, and waited for."""
        self._stop.set()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run_after, args=(self._stop, self._thread), name=self._name, daemon=True
        )
        self._begun = True
        self._thread.start()

    def _run_after(self, stop: threading.Event, before: threading.Thread | None) -> None:
        """Two at once would do the same work, with the same object, which one thread owns."""
        if before is not None:
            before.join()
        del before
        self._run(stop)

    def stop_soon(self) -> None:
        """Tells the thread to end; does not wait."""
        self._begun = False
        self._stop.set()

    def stop(self, timeout: float | None = None) -> bool:
        """Tells the thread to end and waits for it, `timeout` seconds at most; whether it has."""
        self.stop_soon()
        self._join(timeout)
        return not self.alive

    def _join(self, timeout: float | None) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _go_on_in_child(self, begun: bool) -> None:
        if begun and self._in_child is not None:
            self._in_child()


class Regular(Background):
    """One that calls a method every so many seconds, and does not keep its object alive.

    After fork() the child goes on as the parent does. What a step raises ends nothing: it is
    remembered, and the first time warned of.

    Args:
        name: the thread's.
        step: a bound method; the thread ends when its object is gone.
        in_child: a bound method of the same object, called in every child, thread or not.

    Attributes:
        last_error: what a step raised, in words; empty if none did.
    """

    def __init__(
        self, name: str, step: Callable[[], object], in_child: Callable[[], object]
    ) -> None:
        super().__init__(name, self._beat)
        self._step, self._child = weakref.WeakMethod(step), weakref.WeakMethod(in_child)
        self._seconds = 0.0
        self.last_error = ""

    def start_every(self, seconds: float) -> None:
        """Starts the thread, or starts it anew; the first step is `seconds` from now."""
        self._seconds = seconds
        self.start()

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(self._seconds):
            step = self._step()
            if step is None:
                return
            try:
                step()
            except Exception as error:
                self._tell(error)
            del step

    def _tell(self, error: Exception) -> None:
        first, self.last_error = not self.last_error, str(error) or type(error).__name__
        # Filters may turn a warning into an error; this thread has to live on.
        with contextlib.suppress(Exception):
            if first:
                message = f"{self._name}: a step failed, others will be tried: {error!r}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)

    def _go_on_in_child(self, begun: bool) -> None:
        if (in_child := self._child()) is not None:
            in_child()
            if begun:
                self.start()


_living: weakref.WeakSet[Background] = weakref.WeakSet()


def _running() -> list[Background]:
    return [background for background in list(_living) if background._begun]


def _before_fork() -> None:
    for background in _running():
        background._stop.set()
    for background in _running():
        background._join(PAUSE_SECONDS)


def _after_fork_in_parent() -> None:
    for background in _running():
        background.start()


def _after_fork_in_child() -> None:
    for background in list(_living):
        begun, background._begun, background._thread = background._begun, False, None
        background._go_on_in_child(begun)


def _finish_all() -> None:
    for background in _running():
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
