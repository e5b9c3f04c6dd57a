"""Runs programs as an outsider: whole process trees, with limits, timed and measured from outside.

A program is an argument list, or several of them that run one after the other. No shell is
involved: what an argument says is what the program gets.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from acumen.evaluation.programs import supervisor

Ending = Literal["exit", "timeout", "memory", "output", "processes", "leftovers", "stopped"]
_LINGER_SECONDS = 2.0
# Programs have it in their environments: so they are found when nobody else knows them any more.
_MARK = "ACUMEN_RUNNER"


class ProgramError(Exception):
    """A program could not even be started, or whoever watched it was killed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use up before it is ended, which counts as a failure.

    Attributes:
        seconds: wall time of one command.
        memory: bytes that all its processes hold together, looked at ten times a second;
            None: nine tenths of what is free when the runner starts.
        process_memory: bytes that any one of its processes holds; None: no such limit.
        output: bytes written to stdout and stderr together.
        file_size: bytes of any one file it writes; None: no limit.
        processes: how many there may be at a time.
        end_leftovers: what becomes of processes that outlive the program by two seconds: True:
            they are ended and forgiven; False: they are ended and the run is a failure.
    """

    seconds: float = 3600.0
    memory: int | None = None
    process_memory: int | None = None
    output: int = 1 << 30
    file_size: int | None = None
    processes: int = 1000
    end_leftovers: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """What a program wrote: how much, the hash of all of it, and its two ends."""

    size: int
    sha256: str
    head: bytes
    tail: bytes

    @property
    def text(self) -> str:
        """Both ends; a line between them where there was more."""
        cut = self.size > len(self.head) + len(self.tail)
        middle = b"\n[...]\n" if cut else b""
        return (self.head + middle + self.tail).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one command.

    Attributes:
        seconds: wall time, from before its creation to the end of the last of its processes.
        cpu_seconds: user and system time of all processes that were waited for.
        peak_memory: bytes of resident memory, of the largest of its processes. Nothing below
            about 17 MB can be seen: that much a process has of whoever started it.
        exit: its exit code; minus the signal's number if a signal ended it; None if it had to be
            ended.
        ended: how it ended.
        output: stdout.
        errors: stderr.
    """

    seconds: float
    cpu_seconds: float
    peak_memory: int
    exit: int | None
    ended: Ending
    output: Output
    errors: Output

    @property
    def problem(self) -> str | None:
        """Why the run is a failure, in words; None if it is none."""
        if self.ended != "exit":
            return _PROBLEMS[self.ended]
        if self.exit is not None and self.exit < 0:
            with contextlib.suppress(ValueError):
                return f"crashed with {signal.Signals(-self.exit).name}"
            return f"crashed with signal {-self.exit}"
        if self.exit:
            said = self.errors.text.strip().splitlines()
            return f"exit code {self.exit}" + (f": {said[-1][:200]}" if said else "")
        return None


_PROBLEMS: dict[Ending, str] = {
    "timeout": "took too long",
    "memory": "used too much memory",
    "output": "wrote too much output",
    "processes": "started too many processes",
    "leftovers": "left processes behind",
    "stopped": "was stopped",
}


@dataclass(frozen=True, slots=True)
class Program:
    """Commands that run one after the other, as long as each of them succeeds.

    Attributes:
        steps: their argument lists.
        cwd: where they run.
        env: what is added to the environment.
        stdin: a file that the last command reads; the others, and it without one, read nothing.
    """

    steps: tuple[tuple[str, ...], ...]
    cwd: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: Path | None = None

    def __post_init__(self) -> None:
        if not self.steps or not all(self.steps):
            raise ValueError("a program needs a command, and each of its commands a first word")


class Runner:
    """Runs programs, one at a time, in a small process of its own.

    A context manager; it may be left in the middle of a run (KeyboardInterrupt), which ends the
    program. After that, and after a program has killed its watcher, the next run starts afresh.

    Args:
        limits: of each command.
        cpus: the processors that programs may use; all unless given.
        keep: how many bytes of each end of their outputs are kept.

    Example:
        >>> with Runner() as runner:
        ...     run = runner.run(["printf", "hello"])
        >>> run.output.text, run.exit, run.problem
        ('hello', 0, None)
    """

    def __init__(
        self, limits: Limits | None = None, cpus: Sequence[int] = (), keep: int = 1 << 20
    ) -> None:
        self.limits = limits or Limits()
        self._cpus = list(cpus)
        self._keep = keep
        self._process: subprocess.Popen[bytes] | None = None
        self._mark = uuid.uuid4().hex
        self._memory = self.limits.memory or free_memory() * 9 // 10

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends what runs, and the watcher."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        if process.returncode:
            _end_marked(self._mark)

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Path | None = None,
        seconds: float | None = None,
        spool: Path | None = None,
    ) -> Run:
        """Runs one command to its end, and ends all that it started.

        Args:
            argv: program and arguments.
            cwd: where; here unless given.
            env: what is added to the environment.
            stdin: the file it reads; nothing unless given.
            seconds: a limit of its time below that of all.
            spool: a file for all of its stdout.

        Raises:
            ProgramError: there is no such program, or no such folder or file.
        """
        request = {
            "argv": list(argv),
            "cwd": str(cwd) if cwd else None,
            "env": {**os.environ, **(env or {}), _MARK: self._mark},
            "stdin": str(stdin) if stdin else None,
            "timeout": min(self.limits.seconds, seconds or self.limits.seconds),
            "memory": self._memory,
            "process_memory": self.limits.process_memory or self._memory,
            "output": self.limits.output,
            "keep": self._keep,
            "spool": str(spool) if spool else None,
            "processes": self.limits.processes,
            "linger": _LINGER_SECONDS if not self.limits.end_leftovers else 0.0,
            "end_leftovers": self.limits.end_leftovers,
        }
        answer = self._ask(request)
        if "problem" in answer:
            raise ProgramError(answer["problem"])
        outputs = [
            Output(
                part["size"],
                part["sha256"],
                base64.b64decode(part["head"]),
                base64.b64decode(part["tail"]),
            )
            for part in (answer["stdout"], answer["stderr"])
        ]
        return Run(
            answer["seconds"],
            answer["cpu_seconds"],
            answer["peak_memory"],
            answer["exit"],
            answer["ended"],
            *outputs,
        )

    def run_program(
        self, program: Program, *, seconds: Sequence[float] = (), spool: Path | None = None
    ) -> list[Run]:
        """Runs the commands of a program until one of them fails.

        Args:
            program: what to run.
            seconds: a limit for each command.
            spool: a file for all of the last command's stdout.

        Returns:
            a run for each command that was started.

        Raises:
            ProgramError: as of `run`.
        """
        runs: list[Run] = []
        for number, argv in enumerate(program.steps):
            last = number == len(program.steps) - 1
            runs.append(
                self.run(
                    argv,
                    cwd=program.cwd,
                    env=program.env,
                    stdin=program.stdin if last else None,
                    seconds=seconds[number] if seconds else None,
                    spool=spool if last else None,
                )
            )
            if runs[-1].problem:
                break
        return runs

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        except BaseException:
            # Half a conversation cannot be taken up again.
            self.close()
            raise
        if not line:
            self.close()
            raise ProgramError("the process that watches programs was ended from outside")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {"file_size": self.limits.file_size, "cpus": self._cpus}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A Ctrl-C of the terminal is for whoever asked, not for who measures.
            start_new_session=True,
        )
        return self._process


def free_memory() -> int:
    """Bytes that can be used without swapping, as far as the system says so."""
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 1 << 62


def _end_marked(mark: str) -> None:
    """Ends every process that has the mark in its environment: its watcher is dead."""
    entry = f"{_MARK}={mark}".encode()
    until = time.monotonic() + 10.0
    while time.monotonic() < until:
        found = False
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if entry in (place / "environ").read_bytes().split(b"\0"):
                    os.kill(int(place.name), signal.SIGKILL)
                    found = True
        if not found:
            return
        time.sleep(0.002)
