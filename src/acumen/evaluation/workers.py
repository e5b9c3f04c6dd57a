"""A few processes that run one task each, and may be killed at any moment.

Python's own executor waits for running tasks when it is shut down, and gives up altogether when
one worker dies. A race needs the opposite of both: Ctrl-C must end it although a C library is
in the middle of a long run, and a library that crashes must cost one cell, not the evening.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import TracebackType
from typing import Any

from acumen.evaluation.race import BrokenError, WorkloadError

# From linux/prctl.h.
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Task:
    """`call(*arguments)`, to be run elsewhere: both must be picklable. `key` is the caller's."""

    key: Any
    label: str
    call: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task: a result, or one line that says why there is none.

    `expected` is True where the task itself refused (BrokenError, WorkloadError), False where
    something is wrong.
    """

    result: Any = None
    error: str | None = None
    expected: bool = False


@dataclass(slots=True)
class _Worker:
    process: Any
    connection: Connection
    log: Path
    task: Task | None = None


def attempt(call: Callable[..., Any], *arguments: Any) -> Outcome:
    """Calls; whatever it raises becomes one line."""
    try:
        return Outcome(result=call(*arguments))
    except (BrokenError, WorkloadError) as error:
        return Outcome(error=_line(error), expected=True)
    except Exception as error:
        return Outcome(error=f"{type(error).__name__}: {_line(error)}")


class Workers:
    """At most `count` processes, started when first needed, all dead after the `with` block."""

    def __init__(self, count: int, scratch: Path) -> None:
        """`scratch` is a folder for what the processes print, which nobody wants on a screen."""
        self._count = count
        self._scratch = scratch
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._started = 0

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.process.kill()
            worker.connection.close()
        for worker in self._workers:
            worker.process.join()
        self._workers.clear()

    @property
    def running(self) -> list[str]:
        """Labels of the tasks that run now."""
        return [worker.task.label for worker in self._workers if worker.task is not None]

    def run(
        self, tasks: Sequence[Task], width: int | None = None
    ) -> Iterator[tuple[Task, Outcome]]:
        """Runs the tasks, started in order, at most `width` at once; yields them as they end."""
        queue = list(reversed(tasks))
        width = min(width or self._count, self._count)
        while queue or self.running:
            yield from self._fill(queue, width)
            busy = [worker for worker in self._workers if worker.task is not None]
            # Both are watched: a worker that dies closes its pipe, but so may a worker's child.
            ready = wait([w.connection for w in busy] + [w.process.sentinel for w in busy])
            done = [
                (worker.task, self._collect(worker))
                for worker in busy
                if worker.task is not None
                and (worker.connection in ready or worker.process.sentinel in ready)
            ]
            # Hand out new work before yielding: the caller may take its time over the results.
            done += self._fill(queue, width)
            yield from done

    def _fill(self, queue: list[Task], width: int) -> list[tuple[Task, Outcome]]:
        """Hands out work while there is room; those tasks come back that cannot travel."""
        failed = []
        while queue and len(self.running) < width:
            task = queue.pop()
            try:
                message = bytes(ForkingPickler.dumps((task.call, task.arguments)))
            except Exception as error:
                failed.append((task, Outcome(error=f"cannot be pickled: {_line(error)}")))
            else:
                self._hand(task, message)
        return failed

    def _hand(self, task: Task, message: bytes) -> None:
        for worker in [worker for worker in self._workers if worker.task is None]:
            if not worker.process.is_alive():
                self._bury(worker)
        idle = [worker for worker in self._workers if worker.task is None]
        worker = idle[0] if idle else self._start()
        worker.task = task
        # A worker may die at any moment, this one too; `_collect` then tells.
        with contextlib.suppress(BrokenPipeError):
            worker.connection.send_bytes(message)

    def _start(self) -> _Worker:
        mine, theirs = self._context.Pipe()
        log = self._scratch / f"worker-{self._started}.log"
        self._started += 1
        process = self._context.Process(target=_serve, args=(theirs, log, os.getpid()), daemon=True)
        # Ctrl-C reaches the whole process group; the parent alone decides what it means. A signal
        # that is blocked here is blocked in the child too, even before it runs any Python.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        worker = _Worker(process, mine, log)
        self._workers.append(worker)
        return worker

    def _collect(self, worker: _Worker) -> Outcome:
        worker.task = None
        try:
            outcome: Outcome = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            self._bury(worker)
            return Outcome(error=_obituary(worker))
        return outcome

    def _bury(self, worker: _Worker) -> None:
        worker.process.join()
        self._workers.remove(worker)
        worker.connection.close()


def _obituary(worker: _Worker) -> str:
    code = worker.process.exitcode or 0
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    printed = worker.log.read_text(errors="replace").strip().splitlines()
    return f"its process died ({how})" + (f": {printed[-1][:200]}" if printed else "")


def _serve(connection: Connection, log: Path, parent: int) -> None:
    """A worker's life: calls what it is sent until the pipe closes."""
    _die_with(parent)
    with open(log, "wb") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    while True:
        try:
            call, arguments = connection.recv()
        except EOFError:
            return
        connection.send(attempt(call, *arguments))


def _die_with(parent: int) -> None:
    """Asks Linux to kill this process with its parent, even amid a long call of a C library."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # It died before.
            os._exit(1)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
