"""What compilers make of the same programs by their own rules: the rivals of the race."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from acumen.compilers.loop_nests.errors import LoopNestError
from acumen.compilers.loop_nests.program import compile_file, same_output
from acumen.compilers.loop_nests.source import read_source
from acumen.compilers.loop_nests.tuning import TOLERANCE, cores
from acumen.compilers.loop_nests.workloads import Task
from acumen.evaluation import BrokenError, Contender, Measurement
from acumen.evaluation.programs.run import Limits, Runner

_NATIVE = ("-O3", "-march=native")
# Of a rival three times as slow two runs say enough; of who takes a minute and a half, three.
PATIENCE, SECONDS_MAX = 3.0, 90.0
_POLLY = ("-mllvm", "-polly")
# The newest that is installed; Polly comes with Debian's libpolly-N-dev.
CLANG = next((f"clang-{n}" for n in range(25, 13, -1) if shutil.which(f"clang-{n}")), "clang")
COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "gcco3": (("gcc", "-O3"), "gcc -O3"),
    "gcc": (("gcc", *_NATIVE), "gcc -O3 -march=native: what a program does today"),
    "gccautopar": (
        ("gcc", *_NATIVE, f"-ftree-parallelize-loops={cores()}"),
        "gcc, parallelising loops by itself",
    ),
    "clang": ((CLANG, *_NATIVE), f"{CLANG} -O3 -march=native"),
    "polly": ((CLANG, *_NATIVE, *_POLLY), "clang with Polly, in one thread"),
    "pollyparallel": (
        (CLANG, *_NATIVE, *_POLLY, "-mllvm", "-polly-parallel", "-lgomp"),
        "clang with Polly, in all threads",
    ),
}


def heuristic_contenders(rounds: int) -> list[Contender]:
    """Compilers that are installed."""
    return [
        Contender(
            name,
            "heuristic",
            functools.partial(measure, name),
            # At times a hundred times as slow as the others: it would take all the time there is.
            repeats=min(rounds, 2) if name == "gccautopar" else rounds,
            default=name == "gcc",
            patience=PATIENCE,
            seconds_max=SECONDS_MAX,
            about=about,
        )
        for name, (command, about) in COMMANDS.items()
        if shutil.which(command[0]) and (name in ("gcc", "gcco3") or _works(name))
    ]


def missing_rivals() -> str:
    """Who is missing, and how to get them; empty if nobody is."""
    names = [name for name in COMMANDS if not _works(name)]
    return f"Not here: {', '.join(names)} (Debian: clang-19, libpolly-19-dev)" if names else ""


@functools.cache
def _works(name: str) -> bool:
    """Whether a command compiles an empty program: a compiler may be there without Polly."""
    command = COMMANDS[name][0]
    try:
        with Runner(Limits(seconds=60)) as runner:
            words = [*command, "-x", "c", "/dev/null", "-shared", "-o", "/dev/null"]
            return runner.run(words).problem is None
    except Exception:  # There is no such program.
        return False


def measure(name: str, task: Task, setting: str, seed: int) -> Measurement:
    """Compiles, once, and runs.

    Raises:
        BrokenError: it is refused, fails, or prints something else than gcc's program.
    """
    del seed
    executable = compiled(name, task, setting)
    return run_once(executable, task, setting, checked=name != "gcc")


def compiled(name: str, task: Task, setting: str) -> Path:
    """The program as one of the commands makes it.

    Raises:
        BrokenError: it is refused.
    """
    executable = task.scratch / f"{task.name}-{name}"
    if not executable.exists():
        try:
            source = read_source(task.path, task.flags(setting))
            compile_file(task.path, executable, source, COMMANDS[name][0])
        except LoopNestError as error:
            raise BrokenError(str(error)) from error
    return executable


def run_once(executable: Path, task: Task, setting: str, checked: bool = True) -> Measurement:
    """Runs a program and compares what it prints with what gcc's program prints.

    Raises:
        BrokenError: it fails or prints something else.
    """
    with Runner(Limits(seconds=3600)) as runner:
        run = runner.run([str(executable)])
    if run.problem:
        raise BrokenError(run.problem)
    if checked:
        expected = task.scratch / f"{task.name}-output"
        if not expected.exists():
            with Runner(Limits(seconds=3600)) as runner:
                plain = runner.run([str(compiled("gcc", task, setting))])
            expected.write_text(plain.output.text)
        if not same_output(run.output.text, expected.read_text(), TOLERANCE):
            raise BrokenError("its output differs from gcc's")
    return Measurement(run.seconds, 1, run.cpu_seconds)
