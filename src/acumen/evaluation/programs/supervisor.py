"""The small process that runs other people's programs: starts, watches, measures and ends them.

It is started by `run.py` as a file of its own, imports the standard library only, and stays small:
forking a small process is quick and even, and what a program inherits of its parent's memory is
its floor of peak memory. It reads one request a line (JSON) and answers each with one line.

Ending a program means ending everything it started. It gets a session of its own, but its children
may leave that; so this process is their "subreaper" (prctl(2)): whatever loses its parent becomes
a child of this one, found and ended here. When whoever asked dies, the pipe closes, and the
program ends as well.

The clock is CLOCK_MONOTONIC, read here, outside the program: nothing a program does to its own
clocks, or says about its own time, is believed.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import hashlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36
_CHUNK = 1 << 20
# How often memory and the number of processes are looked at; how long SIGTERM may take; how long
# processes may take to disappear once they are killed.
_WATCH_SECONDS = 0.1
_POLITE_SECONDS = 0.5
_ENDING_SECONDS_MAX = 10.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Stream:
    """One output of a program: all of it counted and hashed, its two ends kept."""

    def __init__(self, descriptor: int, keep: int, spool: str | None) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.open = True
        self.size = 0
        self._keep = keep
        self._hash = hashlib.sha256()
        self._head = bytearray()
        self._tail = bytearray()
        self._spool = open(spool, "wb") if spool else None  # noqa: SIM115 (closed with the stream)

    def read(self) -> bool:
        """Takes what is there; False if nothing was."""
        try:
            chunk = os.read(self.descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self.close()
            return False
        self.size += len(chunk)
        self._hash.update(chunk)
        if self._spool:
            self._spool.write(chunk)
        missing = self._keep - len(self._head)
        self._head += chunk[:missing]
        self._tail += chunk[max(missing, 0) :]
        if len(self._tail) > self._keep:
            del self._tail[: -self._keep]
        return True

    def close(self) -> None:
        """No more is read."""
        if self.open:
            self.open = False
            os.close(self.descriptor)
            if self._spool:
                self._spool.close()

    def described(self) -> dict[str, Any]:
        """For the answer."""
        return {
            "size": self.size,
            "sha256": self._hash.hexdigest(),
            "head": base64.b64encode(self._head).decode(),
            "tail": base64.b64encode(self._tail).decode(),
        }


class Watch:
    """One running program, from its start to the end of the last process that it started."""

    def __init__(self, request: dict[str, Any], wake: int) -> None:
        self._request = request
        self._wake = wake
        self._cause = "exit"
        self._peak = 0
        self._cpu = 0.0
        self._code: int | None = None
        self._left = 0
        self._end_by: float | None = None
        # Some process survives even SIGKILL: it sits in the kernel, or is somebody else's.
        self._unending = False
        source = request["stdin"] or os.devnull
        with open(source, "rb") as stdin:
            self._began = time.monotonic()
            self._process = subprocess.Popen(
                request["argv"],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=request["cwd"],
                env=request["env"],
                start_new_session=True,
            )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._ended = self._began
        keep = request["keep"]
        self._output = Stream(os.dup(self._process.stdout.fileno()), keep, request["spool"])
        self._errors = Stream(os.dup(self._process.stderr.fileno()), keep, None)
        self._process.stdout.close()
        self._process.stderr.close()

    def run(self) -> dict[str, Any]:
        """Watches until all is over; the answer."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        poller.register(0, select.POLLIN)
        streams = {stream.descriptor: stream for stream in (self._output, self._errors)}
        for descriptor in streams:
            poller.register(descriptor, select.POLLIN)
        looked = self._began
        while self._reap() and not self._unending:
            for descriptor, _ in poller.poll(self._patience_ms()):
                if descriptor == self._wake:
                    os.read(self._wake, 4096)
                elif descriptor == 0:
                    # Nobody speaks while a program runs: whoever asked has gone, or wants an end.
                    self._stop("stopped")
                    break
                elif not streams[descriptor].read() and not streams[descriptor].open:
                    poller.unregister(descriptor)
            now = time.monotonic()
            self._check(now)
            if now - looked >= _WATCH_SECONDS:
                looked = now
                self._look()
        for stream in streams.values():
            while stream.open and stream.read():
                pass
            stream.close()
        return self._answer()

    def _reap(self) -> bool:
        """Takes in whoever has ended; whether anybody is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self._ended = time.monotonic()
            self._peak = max(self._peak, usage.ru_maxrss * 1024)
            self._cpu += usage.ru_utime + usage.ru_stime
            if pid == self._process.pid:
                self._code = self._process.returncode = os.waitstatus_to_exitcode(status)
                self._end_by = self._ended + self._request["linger"]

    def _patience_ms(self) -> float:
        until: float = self._began + self._request["timeout"]
        if self._end_by is not None:
            until = min(until, self._end_by)
        return max(min(until - time.monotonic(), _WATCH_SECONDS), 0.0) * 1e3 + 0.5

    def _check(self, now: float) -> None:
        if self._output.size + self._errors.size > self._request["output"]:
            self._stop("output")
        elif self._end_by is not None and now >= self._end_by:
            # The program is over, but not all that it started.
            ended = self._ended
            self._left = len(descendants())
            self._stop("exit" if self._left == 0 or self._request["end_leftovers"] else "leftovers")
            self._ended = ended
        elif now - self._began >= self._request["timeout"]:
            self._stop("timeout")

    def _look(self) -> None:
        everyone = descendants()
        held = [resident(pid) for pid in everyone]
        largest = max((own + shared for own, shared in held), default=0)
        # What processes share, such as a database's buffers, they hold once.
        together = sum(own for own, _ in held) + max((shared for _, shared in held), default=0)
        self._peak = max(self._peak, largest)
        if together > self._request["memory"] or largest > self._request["process_memory"]:
            self._stop("memory")
        elif len(everyone) > self._request["processes"]:
            self._stop("processes")

    def _stop(self, cause: str) -> None:
        """Ends everybody: politely at first, unless it is urgent."""
        self._cause = cause
        polite = _POLITE_SECONDS if cause in ("timeout", "leftovers", "stopped", "exit") else 0.0
        began = time.monotonic()
        if polite:
            self._signal(signal.SIGTERM)
        else:
            # Who multiplies is faster than who kills; who is stopped is not.
            before = -1
            while before < (found := self._signal(signal.SIGSTOP)):
                before = found
        while self._reap():
            self._unending = time.monotonic() - began >= _ENDING_SECONDS_MAX
            if self._unending:
                break
            if time.monotonic() - began >= polite:
                self._signal(signal.SIGKILL)
            # Whoever writes into a full pipe waits there; nobody reads any more.
            time.sleep(0.002)

    def _signal(self, number: int) -> int:
        """Sends a signal to everybody; to how many."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._code is None:
                os.killpg(self._process.pid, number)
        everyone = descendants()
        for pid in everyone:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        return len(everyone)

    def _answer(self) -> dict[str, Any]:
        return {
            "seconds": self._ended - self._began,
            "cpu_seconds": self._cpu,
            "peak_memory": self._peak,
            "exit": self._code,
            "ended": self._cause,
            "left": self._left,
            "stdout": self._output.described(),
            "stderr": self._errors.described(),
        }


def descendants() -> list[int]:
    """Everyone below this process: its children, and theirs."""
    found: list[int] = []
    queue = [os.getpid()]
    while queue:
        for child in children(queue.pop()):
            found.append(child)
            queue.append(child)
    return found


def children(pid: int) -> list[int]:
    """Children of a process; none of one that has gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as names:
                found += map(int, names.read().split())
    return found


def resident(pid: int) -> tuple[int, int]:
    """Bytes of memory that a process holds now: its own, and shared; none of one that has gone."""
    with contextlib.suppress(OSError, IndexError, ValueError), open(f"/proc/{pid}/statm") as sizes:
        pages = [int(size) for size in sizes.read().split()]
        return (pages[1] - pages[2]) * _PAGE, pages[2] * _PAGE
    return 0, 0


def serve(file_size: int | None, cpus: list[int]) -> None:
    """Answers requests until nobody asks any more."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    if cpus:
        os.sched_setaffinity(0, cpus)
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    pending = b""
    while chunk := os.read(0, _CHUNK):
        pending += chunk
        if not pending.endswith(b"\n"):
            continue
        request, pending = json.loads(pending), b""
        try:
            answer = Watch(request, wake).run()
        except OSError as error:
            answer = {"problem": f"{error.strerror}: {error.filename or request['argv'][0]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    serve(settings["file_size"], settings["cpus"])
