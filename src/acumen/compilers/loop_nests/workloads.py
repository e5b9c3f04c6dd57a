"""The programs of the race: the kernels beside this module, or files of one's own."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from acumen.compilers.loop_nests.errors import LoopNestError
from acumen.compilers.loop_nests.source import read_source
from acumen.evaluation import Ask, Prepared, RaceError, Workload, WorkloadError

KERNELS = Path(__file__).with_name("kernels")
# The published sizes of PolyBench/C 4.2: of each program in the order of its parameters.
PARAMETERS = {
    "2mm": "NI NJ NK NL",
    "3mm": "NI NJ NK NL NM",
    "adi": "TSTEPS N",
    "atax": "M N",
    "bicg": "M N",
    "cholesky": "N",
    "correlation": "M N",
    "covariance": "M N",
    "doitgen": "NQ NR NP",
    "fdtd-2d": "TMAX NX NY",
    "floyd-warshall": "N",
    "gemm": "NI NJ NK",
    "gemver": "N",
    "gesummv": "N",
    "gramschmidt": "M N",
    "heat-3d": "TSTEPS N",
    "jacobi-1d": "TSTEPS N",
    "jacobi-2d": "TSTEPS N",
    "lu": "N",
    "mvt": "N",
    "nussinov": "N",
    "seidel-2d": "TSTEPS N",
    "symm": "M N",
    "syr2k": "M N",
    "syrk": "M N",
    "trisolv": "N",
    "trmm": "M N",
}
_LINEAR, _SQUARE = ("40", "120", "400", "2000"), ("38 42", "116 124", "390 410", "1900 2100")
_TRIANGLE = ("20 30", "60 80", "200 240", "1000 1200")
_COLUMNS = ("28 32", "80 100", "240 260", "1200 1400")
SIZES = ("MINI", "SMALL", "MEDIUM", "LARGE")
VALUES = {
    "2mm": ("16 18 22 24", "40 50 70 80", "180 190 210 220", "800 900 1100 1200"),
    "3mm": ("16 18 20 22 24", "40 50 60 70 80", "180 190 200 210 220", "800 900 1000 1100 1200"),
    "adi": ("20 20", "40 60", "100 200", "500 1000"),
    "atax": _SQUARE,
    "bicg": _SQUARE,
    "cholesky": _LINEAR,
    "correlation": _COLUMNS,
    "covariance": _COLUMNS,
    "doitgen": ("8 10 12", "20 25 30", "40 50 60", "140 150 160"),
    "fdtd-2d": ("20 20 30", "40 60 80", "100 200 240", "500 1000 1200"),
    "floyd-warshall": ("60", "180", "500", "2800"),
    "gemm": ("20 25 30", "60 70 80", "200 220 240", "1000 1100 1200"),
    "gemver": _LINEAR,
    "gesummv": ("30", "90", "250", "1300"),
    "gramschmidt": _TRIANGLE,
    "heat-3d": ("20 10", "40 20", "100 40", "500 120"),
    "jacobi-1d": ("20 30", "40 120", "100 400", "500 2000"),
    "jacobi-2d": ("20 30", "40 90", "100 250", "500 1300"),
    "lu": _LINEAR,
    "mvt": _LINEAR,
    "nussinov": ("60", "180", "500", "2500"),
    "seidel-2d": ("20 40", "40 120", "100 400", "500 2000"),
    "symm": _TRIANGLE,
    "syr2k": _TRIANGLE,
    "syrk": _TRIANGLE,
    "trisolv": _LINEAR,
    "trmm": _TRIANGLE,
}
AS_IT_IS = "as it is"


@dataclass(frozen=True, slots=True)
class Task:
    """A program of the race.

    Attributes:
        name: of the program.
        path: of its file.
        scratch: a folder for executables, the workload's own.
        seed: of the search.
        quick: a small search.
    """

    name: str
    path: Path
    scratch: Path
    seed: int
    quick: bool

    def flags(self, setting: str) -> tuple[str, ...]:
        """Compiler's flags that set the sizes."""
        if setting == AS_IT_IS:
            return ()
        names = PARAMETERS[self.name].split()
        values = VALUES[self.name][SIZES.index(setting)].split()
        return tuple(f"-D{name}={value}" for name, value in zip(names, values, strict=True))


def workloads_of(ask: Ask) -> Sequence[Workload]:
    """Programs named one by one, those of a folder, or else the kernels.

    Raises:
        RaceError: the folder holds no C file.
    """
    own = list(_own(ask))
    if own:
        return own
    size = "SMALL" if ask.quick else "LARGE"
    names = ("gemm", "atax", "jacobi-2d") if ask.quick else tuple(PARAMETERS)
    return [
        Workload(
            name,
            functools.partial(prepare, name, KERNELS / f"{name}.c", size, ask.seed, ask.quick),
            number,
        )
        for number, name in enumerate(names)
    ]


def _own(ask: Ask) -> Iterator[Workload]:
    paths = list(ask.files)
    if ask.data is not None:
        found = sorted(ask.data.rglob("*.c"))
        if not found and not paths:
            raise RaceError(f"no C files in {ask.data}")
        paths += found
    for number, path in enumerate(dict.fromkeys(paths)):
        whole = functools.partial(prepare, path.stem, path, AS_IT_IS, ask.seed, ask.quick)
        yield Workload(f"{path.stem}", whole, number)


def prepare(name: str, path: Path, size: str, seed: int, quick: bool, scratch: Path) -> Prepared:
    """Finds the region; it is compiled where it is raced.

    Raises:
        WorkloadError: the file cannot be used.
    """
    task = Task(name, path.resolve(), scratch, seed, quick)
    try:
        source = read_source(path, task.flags(size))
    except LoopNestError as error:
        raise WorkloadError(str(error)) from error
    detail = " ".join(flag.removeprefix("-D") for flag in task.flags(size))
    lines = source.region.count("\n")
    return Prepared(task, (size,), 1, f"{lines} lines in the region; {detail}".rstrip("; "))
