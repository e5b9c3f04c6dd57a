"""A program with flags, as something to be tuned."""

from __future__ import annotations

import copy
import hashlib
import json
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from acumen.evaluation.programs.pairs import RunFailedError
from acumen.evaluation.programs.run import Limits, Program, ProgramError, Run, Runner
from acumen.flags.goal import Goal, GoalError
from acumen.flags.subject import Measured, TuneError
from acumen.flags.template import Template
from acumen.learners.search import Setting

FILE = "file:"
CHECKS = ("auto", "output", "exit")
_CHECK_SECONDS = 600.0
# A default that takes longer than this is run twice before the search, not three times.
_LONG_SECONDS = 20.0
# Where building takes so many times as long as running, running again costs little.
_LONG_BUILD = 5.0


@dataclass(frozen=True)
class Check:
    """What makes a run right, beside its exit codes.

    Attributes:
        kind: ``output``: stdout of the last command is, byte for byte, that of the default;
            ``file:PATH``: a file that it writes is; ``exit``: nothing else is looked at; ``auto``:
            as ``output``, if the default always prints the same, else ``exit``.
        command: a command that reads that stdout and exits with 0 if it is right.
    """

    kind: str = "auto"
    command: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.kind not in CHECKS and not self.kind.startswith(FILE):
            raise TuneError(f"{self.kind!r} is no check: there are {', '.join(CHECKS)}, {FILE}PATH")


class ProgramSubject:
    """A command template whose settings are run and measured from outside; a `Subject`.

    A context manager: leaving it ends the process that runs programs.

    Args:
        template: the command.
        goal: what is to be better.
        check: what makes a run right.
        limits: of each command.
        cwd: where it runs; here unless given.
        stdin: a file that the last command reads.
        cpus: the processors it may use.

    Attributes:
        folder: where it runs.
    """

    def __init__(
        self,
        template: Template,
        goal: Goal,
        check: Check | None = None,
        *,
        limits: Limits | None = None,
        cwd: Path | None = None,
        stdin: Path | None = None,
        cpus: Sequence[int] = (),
    ) -> None:
        self._template, self._goal, self._check = template, goal, check or Check()
        self._cwd, self._stdin = cwd, stdin
        self._limits, self._cpus = _with_limit(limits or Limits(), goal), tuple(cpus)
        self._kind = self._check.kind
        self._right: str | None = None
        self._names = [*goal.files]
        if self._kind.startswith(FILE):
            self._names.append(self._kind.removeprefix(FILE))
        self._patience: list[float] = []
        self.space = template.space()
        self.units = {name: tuple(piece.space()[0]) for name, piece in template.pieces.items()}
        self.metric, self.maximize = goal.metric, goal.maximize
        self.fingerprint = json.dumps(
            [template.shown(self.space.default), sorted(map(repr, template.pieces.values())),
             None if stdin is None else str(stdin), template.shell,
             goal.metric, goal.maximize, [str(limit) for limit in goal.limits],
             dict(goal.patterns), goal.whole, goal.runs, self._check.kind,
             list(self._check.command)]
        )  # fmt: skip
        self.folder = Path(cwd or ".").absolute()
        self._open(None)

    def _open(self, scratch: Path | None) -> None:
        self._runner = Runner(self._limits, self._cpus)
        self._spool = tempfile.TemporaryDirectory(prefix="acumen-tune-", dir=scratch)
        self._files = [self._cwd / name if self._cwd else Path(name) for name in self._names]

    def at(self, folder: Path) -> ProgramSubject:
        """The same in another folder, as far prepared as this one is; it keeps things beside that.

        Raises:
            TuneError: a file that is measured or checked would be the same one.
        """
        for name in self._names:
            if Path(name).is_absolute():
                raise TuneError(f"{name} would be written by every trial: runs side by side need"
                                " a path in the folder they run in")  # fmt: skip
        other = copy.copy(self)
        other._cwd = folder
        other._stdin = None if self._stdin is None else self.folder / self._stdin
        other._open(folder.parent)
        return other

    def __getstate__(self) -> dict[str, object]:
        """What travels to other processes: `at` makes a subject of it that runs."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_runner", "_spool")}

    def __enter__(self) -> ProgramSubject:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process that runs programs, and what it runs."""
        self._runner.close()
        self._spool.cleanup()

    def prepare(self) -> list[str]:
        """See `Subject`."""
        seconds: list[list[float]] = []
        seen: list[str] = []
        count = 3
        while len(seconds) < count:
            try:
                passes = self._run(self.space.default, ())
                seen += map(self._evidence, passes)
                seconds.append([run.seconds for run in passes[0]])
                self._goal_of(passes)
                self._ask_checker()
            except (RunFailedError, ProgramError) as failure:
                before = ("", "worked once, then ", "worked twice, then ")[len(seconds)]
                raise TuneError(f"the default {before}failed: {failure}") from None
            if sum(seconds[-1]) > _LONG_SECONDS:
                count = 2
        times = [median(step) for step in zip(*seconds, strict=True)]
        # What is built may take far longer with other flags; what is to be fast may not.
        slow = (3.0, 1.0) if self.metric == "time" and not self._goal.whole else (10.0, 10.0)
        factors = [(10.0, 10.0)] * (len(times) - 1) + [slow]
        self._patience = [a * t + b for (a, b), t in zip(factors, times, strict=True)]
        return [*self._settle(seen, passes[0][-1]), *self._advice(times)]

    def _advice(self, seconds: Sequence[float]) -> list[str]:
        """What would make the same budget say more."""
        before = sum(seconds[:-1])
        timed = self.metric in ("time", "cpu_time") and not self._goal.whole
        if not timed or self._goal.runs > 1 or before < _LONG_BUILD * seconds[-1]:
            return []
        return [
            f"what runs before the last command takes {before / max(seconds[-1], 1e-4):.0f} times"
            " as long as that: with --runs 10 that one runs ten times each time, if that does not"
            " change what it does"
        ]

    def _settle(self, seen: Sequence[str], last: Run) -> list[str]:
        """Decides what right results are; what the user should know of it."""
        if self._kind == "auto" and self.metric == "output_size":
            # What is smaller is another output.
            self._kind = "exit"
            if not self._check.command:
                return ["only exit codes are checked: that an output of another size is right as"
                        " well, a command of yours can tell (--check-with)"]  # fmt: skip
        if self._kind == "exit":
            return []
        if len(set(seen)) > 1:
            what = "output" if not self._kind.startswith(FILE) else self._kind[len(FILE) :]
            if self._kind != "auto":
                raise TuneError(
                    f"the default's own {what} changes from run to run, so it cannot be compared;"
                    " check it with a command of yours (--check-with), or only exit codes"
                    " (--check exit)"
                )
            self._kind = "exit"
            if self._check.command:
                return []
            return ["the default's output changes from run to run: only exit codes are checked"]
        self._right = seen[-1]
        if last.output.size == 0 and not self._kind.startswith(FILE) and not self._check.command:
            return [
                "the last command prints nothing, so that there is no output to check: a wrong"
                " result would go unnoticed (--check file:PATH, --check-with COMMAND)"
            ]
        return []

    def measure(self, setting: Setting, hurry: bool = False) -> Measured:
        """See `Subject`."""
        try:
            passes = self._run(setting, self._patience if hurry else ())
            if self._right is not None and any(self._evidence(p) != self._right for p in passes):
                raise RunFailedError("its output differs from the default's")
            metrics = self._goal_of(passes)
            self._ask_checker()
        except ProgramError as error:
            raise RunFailedError(str(error)) from None
        if broken := self._goal.broken(metrics):
            raise RunFailedError(broken)
        return Measured(metrics[self.metric], metrics)

    def shown(self, setting: Setting) -> str:
        """See `Subject`."""
        if self._stdin is None:
            return self._template.shown(setting)
        return self._template.shown(setting, f" < {shlex.quote(str(self._stdin))}")

    def flag(self, unit: str, setting: Setting) -> str:
        """See `Subject`."""
        piece = self._template.pieces[unit]
        text = piece.render(setting)
        if text is None:
            default = piece.render(self.space.default)
            return f"without {default or unit}"
        return text if piece.before else f"{unit}: {text}"

    def _run(self, setting: Setting, seconds: Sequence[float]) -> list[list[Run]]:
        """The runs of the commands, for each run of the last one."""
        template = self._template
        program = Program(
            template.arguments(setting), self._cwd, template.environment(setting), self._stdin
        )
        spool = Path(self._spool.name, "output") if self._check.command else None
        before = {path: _stamp(path) for path in self._files}
        runs = self._runner.run_program(program, seconds=seconds, spool=spool)
        passes = [runs]
        while not passes[-1][-1].problem and len(passes) < self._goal.runs:
            again = self._runner.run_program(
                replace(program, steps=program.steps[-1:]), seconds=seconds[-1:], spool=spool
            )
            passes.append([*runs[:-1], *again])
        if problem := passes[-1][-1].problem:
            which = "" if len(program.steps) == 1 else f"{program.steps[len(runs) - 1][0]}: "
            raise RunFailedError(f"{which}{problem}")
        for path, stamp in before.items():
            # What an earlier run wrote must not be taken for this one's.
            if _stamp(path) == stamp:
                raise RunFailedError(f"{path} was not written")
        return passes

    def _goal_of(self, passes: Sequence[Sequence[Run]]) -> dict[str, float]:
        try:
            return self._goal.medians(passes, self._cwd)
        except GoalError as error:
            raise RunFailedError(str(error)) from None

    def _evidence(self, runs: Sequence[Run]) -> str:
        """What must be the same in every run."""
        if not self._kind.startswith(FILE):
            return runs[-1].output.sha256
        path = self._files[-1]
        try:
            return _hash(path)
        except OSError as error:
            raise RunFailedError(f"{path}: {error.strerror}") from None

    def _ask_checker(self) -> None:
        if not self._check.command:
            return
        output = Path(self._spool.name, "output")
        found = self._runner.run(
            self._check.command, cwd=self._cwd, stdin=output, seconds=_CHECK_SECONDS
        )
        if found.problem:
            raise RunFailedError(
                f"{shlex.join(self._check.command)} does not accept its output: {found.problem}"
            )


def _with_limit(limits: Limits, goal: Goal) -> Limits:
    """A limit on memory ends a program at once, not only when it is over."""
    for limit in goal.limits:
        if limit.metric == "peak_memory" and limit.most:
            limits = replace(limits, process_memory=int(limit.number))
    return limits


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes when a file is written."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
