"""Live objectives: a C program, compiled and run for every measurement."""

from __future__ import annotations

import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from acumen.evaluation import WorkloadError
from acumen.evaluation.programs.pairs import RunFailedError
from acumen.flags.asking import make_goal, make_template
from acumen.flags.program import ProgramSubject
from acumen.flags.subject import TuneError
from acumen.learners.search import Setting, Space

COMPILERS = ("gcc", "clang")
# What was chosen is measured so often afterwards, in turns with the default.
PAIRS = 9


@dataclass(frozen=True, slots=True)
class LiveEntry:
    """A source file and a compiler, whose shipped space of flags is searched."""

    path: Path
    compiler: str

    @property
    def name(self) -> str:
        """The workload's name."""
        return f"{self.path.stem}-{self.compiler}"

    def open(self) -> Live:
        """Compiles and runs the default; raises WorkloadError."""
        return _opened(self.path, self.compiler)


@functools.lru_cache(maxsize=1)
def _opened(path: Path, compiler: str) -> Live:
    return Live(path, compiler)


class Live:
    """A program as an objective: seconds from outside; costs are ratios to the default's.

    Raises:
        WorkloadError: the compiler is not there, or the default does not work.
    """

    best = None

    def __init__(self, path: Path, compiler: str) -> None:
        if not path.is_file():
            raise WorkloadError("there is no such file")
        if shutil.which(compiler) is None:
            raise WorkloadError(f"{compiler} is not installed")
        self._folder = tempfile.TemporaryDirectory(prefix="acumen-race-live-")
        program = str(Path(self._folder.name, "program"))
        command = [compiler, "-O3", "-march=native", "{flags}", str(path.resolve())]
        template = make_template([*command, "-o", program, "-lm", "&&", program], [compiler])
        self._subject = ProgramSubject(template, make_goal("cpu_time"))
        try:
            self._subject.prepare()
        except TuneError as error:
            raise WorkloadError(str(error)) from None

    @property
    def space(self) -> Space:
        """The compiler's shipped space."""
        return self._subject.space

    def measure(self, setting: Setting, rng: np.random.Generator) -> float | None:
        """Seconds of one run; None where compiling or running failed, or the output differs."""
        del rng
        return self._seconds(setting)

    def true(self, setting: Setting) -> float:
        """Median of fresh runs over that of the default's, in turns; infinite where one fails."""
        if setting == self.space.default:
            return 1.0
        runs: list[tuple[float, float]] = []
        for _ in range(PAIRS):
            mine, default = self._seconds(setting), self._seconds(self.space.default)
            if mine is None or default is None:
                return float("inf")
            runs.append((mine, default))
        return median(mine for mine, _ in runs) / median(default for _, default in runs)

    def _seconds(self, setting: Setting) -> float | None:
        try:
            return self._subject.measure(setting).value
        except RunFailedError:
            return None
