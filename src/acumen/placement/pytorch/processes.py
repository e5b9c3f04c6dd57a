"""Processes that run stages of a pipeline, one a device: started, asked, bounded, ended.

They are asked and answer in lines of JSON. Whatever happens (an answer that is late, a process
that dies, an error, Ctrl-C), leaving the `with` block ends each of them, by its own id; and each
ends itself when the one that started it is gone.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

PROCESSES_MAX = 16
_PROGRAM = "acumen.placement.pytorch.stage_process"
# When one fails its neighbours do, who wait for it: the first cause is among what comes in then.
_CAUSE_SECONDS = 1.0
_END = object()


class RunError(RuntimeError):
    """A pipeline that could not be run; the message is one line that names the device."""


class StageProcesses:
    """A process for each device: see the module.

    Args:
        devices: as PyTorch calls them: "cpu" (any number of times), "cuda:0".
        threads: of each process, for operators on a CPU.
        seconds_max: until when, from now, all that is asked must be answered.

    Raises:
        RunError: there are too many.
    """

    def __init__(self, devices: Sequence[str], threads: int, seconds_max: float) -> None:
        if not 0 < len(devices) <= PROCESSES_MAX:
            raise RunError(f"{len(devices)} devices: 1 to {PROCESSES_MAX} can be run")
        self.devices = tuple(devices)
        self._until = time.monotonic() + seconds_max
        self._seconds_max = seconds_max
        self._threads = threads
        self._folder = tempfile.TemporaryDirectory(prefix="acumen-stages-")
        self.folder = Path(self._folder.name)
        self._answers: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._running: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []
        self._meetings = 0

    def __enter__(self) -> StageProcesses:
        try:
            for number, device in enumerate(self.devices):
                self._start(number, device)
            self.ask({number: {"do": "ready"} for number in range(len(self.devices))})
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.kill()
        for process in self._running:
            process.wait()
        for reader in self._readers:
            reader.join()
        for process in self._running:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._folder.cleanup()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes' ids, a device each."""
        return tuple(process.pid for process in self._running)

    def meeting(self) -> str:
        """A new place (a file's path) where processes find each other."""
        self._meetings += 1
        return str(self.folder / f"meeting{self._meetings}")

    def ask(self, questions: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
        """Asks processes at the same time, and waits for all of their answers.

        Args:
            questions: what to do, for each process by its number.

        Raises:
            RunError: one has died, has failed, or is late.
        """
        for number, question in questions.items():
            pipe = self._running[number].stdin
            assert pipe is not None
            try:
                pipe.write(json.dumps(question) + "\n")
                pipe.flush()
            except BrokenPipeError:
                pass  # its end is the next thing that is read
        answers: dict[int, dict[str, Any]] = {}
        while len(answers) < len(questions):
            number, answer = self._next(self._until - time.monotonic())
            if number < 0:
                waiting = [self._name(one) for one in questions if one not in answers]
                raise RunError(f"no answer after {self._seconds_max:.0f} s from {waiting[0]}")
            if answer is _END or "error" in answer:
                raise RunError(self._cause(number, answer))
            answers[number] = answer
        return answers

    def _start(self, number: int, device: str) -> None:
        errors = self.folder / f"errors{number}"
        local = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(self._threads),
            # Nobody else is to reach what the processes listen on.
            "GLOO_SOCKET_IFNAME": local[0] if local else "lo",
            "NCCL_SOCKET_IFNAME": local[0] if local else "lo",
        }
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", _PROGRAM, device, str(self._threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=environment,
            )
        self._running.append(process)
        assert process.stdout is not None
        reader = threading.Thread(target=self._read, args=(number, process.stdout), daemon=True)
        self._readers.append(reader)
        reader.start()

    def _read(self, number: int, lines: IO[str]) -> None:
        for line in lines:
            self._answers.put((number, json.loads(line)))
        self._answers.put((number, _END))

    def _next(self, seconds: float) -> tuple[int, Any]:
        try:
            return self._answers.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return -1, None

    def _cause(self, number: int, answer: Any) -> str:
        """Of what fails at once: a process that has died before one that says what it misses."""
        until = time.monotonic() + _CAUSE_SECONDS
        while answer is not _END:
            other, found = self._next(until - time.monotonic())
            if other < 0:
                return f"{self._name(number)}: {answer['error']}"
            if found is _END:
                number, answer = other, found
        code = self._running[number].wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        last = (self.folder / f"errors{number}").read_text(errors="replace").strip()
        said = f": {last.splitlines()[-1]}" if last else ""
        return f"{self._name(number)} {how}{said}"

    def _name(self, number: int) -> str:
        return f"the process of device {number} ({self.devices[number]})"
