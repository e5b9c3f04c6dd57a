"""A thread that lets a gate step, and what happens to it when the process forks."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acumen.evaluation.promotion.gate import Promotion

PAUSE_SECONDS = 1.0  # fork() waits so long for a step that is under way


class Ticker:
    """Steps a gate every so many seconds; ends with the gate."""

    def __init__(self, gate: Promotion) -> None:
        self._gate = weakref.ref(gate)
        self._interval = 0.0
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._paused = False

    @property
    def running(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, interval: float) -> None:
        """Begins; nothing if it has begun.

        Raises:
            ValueError: an impossible interval.
        """
        if not 0.001 <= interval <= 86_400:
            raise ValueError(f"interval must be between 0.001 and 86,400 s, not {interval}")
        if self._thread is not None:
            return
        self._interval = interval
        self._end = threading.Event()
        self._thread = threading.Thread(
            target=_run,
            args=(self._gate, self._end, interval),
            name="acumen-promotion",
            daemon=True,
        )
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Ends it; whether it was there."""
        thread, self._thread = self._thread, None
        self._end.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        return thread is not None

    def pause(self) -> None:
        """Before fork()."""
        self._paused = self.stop(PAUSE_SECONDS)

    def resume(self) -> None:
        """After fork(), in parent and child alike."""
        if self._paused:
            self._paused = False
            self.start(self._interval)


def _run(gate: weakref.ref[Promotion], end: threading.Event, interval: float) -> None:
    warned = False
    while not end.wait(interval):
        living = gate()
        if living is None:
            return
        try:
            living.step()
        # What nobody has foreseen must not end the thread: the gate would stand open in silence.
        except Exception as error:
            if not warned:
                warned = True
                message = f"the gate of choice {living.choice.name!r} cannot step: {error!r}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
        del living


_gates: weakref.WeakSet[Promotion] = weakref.WeakSet()


def watch_forks(gate: Promotion) -> None:
    """From now on the gate survives fork()."""
    _gates.add(gate)


def _before_fork() -> None:
    for gate in list(_gates):
        gate.ticker.pause()


def _after_fork_in_parent() -> None:
    for gate in list(_gates):
        gate.ticker.resume()


def _after_fork_in_child() -> None:
    for gate in list(_gates):
        gate.after_fork()
        gate.ticker.resume()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
