"""The program around a region: compiling it with other code in the region, and running it.

Everything about a program is seen from outside: its time is taken by who runs it, and its output
is compared with the original's. What the region's parameters are, and of which type its arrays, a
run of the program itself tells, with a line of print in front of the region.
"""

from __future__ import annotations

import math
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acumen.compilers.loop_nests.dependences import Model, model_of
from acumen.compilers.loop_nests.errors import LoopNestError, RegionError
from acumen.compilers.loop_nests.printing import Printer
from acumen.compilers.loop_nests.scop import Scop, build, sketch
from acumen.compilers.loop_nests.source import TEXT, Source, read_source
from acumen.compilers.loop_nests.syntax import parse_region
from acumen.evaluation.programs.run import Limits, Run, Runner

GCC = ("gcc", "-O3", "-march=native")
_PROBE = "acumen-probe"
_COMPILE_SECONDS = 120
_TYPES = ("double", "float", "int", "long", "unsigned", "unsigned long", "unsigned long long")
# Of each end of the output, in bytes.
OUTPUT_MAX = 1 << 26


@dataclass
class Program:
    """A program with a region, ready to be varied.

    Attributes:
        source: its file.
        scop: the region.
        model: the region in isl's terms.
        types: of its arrays and scalars, where they are known.
        folder: where it is compiled.
        arguments: what it is run with.
    """

    source: Source
    scop: Scop
    model: Model
    types: Mapping[str, str]
    folder: Path
    arguments: tuple[str, ...] = ()
    _count: int = field(default=0)

    def text(self, tree: Any, threads: int) -> str:
        """The file with the loops of a schedule tree in its region, under their guard."""
        printer = Printer(self.model, self.types, threads)
        loops = printer.text(tree)
        values = [f"{name} == {value}" for name, value in sorted(self.scop.parameters.items())]
        # A macro is compared, too: the compiler then takes the comparison away.
        values += [f"{name} == {value}" for name, value in sorted(self.source.values.items())]
        better = f"{loops}\n"
        if values:
            guarded = " && ".join(values)
            better = f"if ({guarded}) {{\n{better}}} else {{\n{self.source.region}}}"
        return self.source.with_region(f"{{\n{better}\n}}", printer.preamble())

    def compile(self, text: str, command: Sequence[str] = GCC) -> Path:
        """An executable of a text of the file.

        Raises:
            LoopNestError: the compiler refuses it.
        """
        self._count += 1
        name = self.folder / f"{self.source.path.stem}-{self._count}"
        name.with_suffix(".c").write_text(text, **TEXT)
        return compile_file(name.with_suffix(".c"), name, self.source, command)


def compile_file(
    path: Path, executable: Path, source: Source, command: Sequence[str] = GCC
) -> Path:
    """Compiles a text of the file.

    Raises:
        LoopNestError: the compiler refuses it.
    """
    first, *flags = command
    whole = [
        *(first, *flags, "-w", f"-I{source.path.resolve().parent}", *source.flags),
        *(str(path), "-o", str(executable), "-lm"),
    ]
    done = _patiently(whole)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        complaint = (errors or done.stderr.splitlines() or [f"exit code {done.returncode}"])[0]
        raise LoopNestError(f"{first} refuses the program: {complaint}")
    return executable


def _patiently(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs a compiler; a machine without room for one more process may have some a little later."""
    for attempt in range(5):
        try:
            return subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_COMPILE_SECONDS
            )
        except BlockingIOError:
            time.sleep(2**attempt)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LoopNestError(f"the compiler cannot be run: {error}") from error
    raise LoopNestError("the compiler cannot be run: too many processes")


def load_program(
    path: Path,
    folder: Path,
    flags: Sequence[str] = (),
    arguments: Sequence[str] = (),
    seconds: float = 600.0,
) -> Program:
    """Reads a file, runs it once to see what its region works on, and models the region.

    Args:
        path: of the C file.
        folder: where to compile.
        flags: what its compilation needs: `-D`, `-I`, further files.
        arguments: what the program is run with.
        seconds: a limit of that run.

    Raises:
        RegionError: the region is not affine.
        LoopNestError: the file cannot be read, compiled or run.
    """
    source = read_source(path, flags)
    tree = parse_region(source.expanded, source.types)
    draft = sketch(tree)
    probe = folder / f"{path.stem}-probe"
    probe.with_suffix(".c").write_text(_probed(source, draft), **TEXT)
    try:
        compile_file(probe.with_suffix(".c"), probe, source)
    except LoopNestError:
        probe.with_suffix(".c").write_text(source.with_region(source.region), **TEXT)
        compile_file(probe.with_suffix(".c"), probe, source)
        raise RegionError(
            "what the region declares is used after it: declare it before", source.first_line
        ) from None
    with Runner(Limits(seconds=seconds), keep=OUTPUT_MAX) as runner:
        run = runner.run([str(probe), *arguments])
    if run.problem:
        raise LoopNestError(f"the program fails as it is: {run.problem}")
    values, types = _seen(run, draft)
    unsigned = [name for name, kind in types.items() if kind.startswith("unsigned")]
    scop = build(tree, values, unsigned)
    types |= {name: types.get(local.type, "") for name, local in scop.locals.items()}
    return Program(source, scop, model_of(scop), types, folder, tuple(arguments))


def _asked(scop: Scop) -> list[tuple[str, str]]:
    """Whose types are asked for: a name or a type, and an expression of its type."""
    kinds = {*scop.counters.values(), *(local.type for local in scop.locals.values())}
    asked = [(kind, f"({kind})0") for kind in sorted(kinds)]
    asked += [(name, name) for name in sorted({*scop.constants, *scop.parameters})]
    arrays = sorted(scop.arrays.items())
    return asked + [(n, n + "[0]" * dims) for n, dims in arrays if n not in scop.locals]


def _probed(source: Source, scop: Scop) -> str:
    """The file with lines that print the parameters, and the types of what the region touches."""
    lines = [
        f'__builtin_printf("\\n{_PROBE} {name} %lld\\n", (long long)({name}));'
        for name in sorted(scop.parameters)
    ]
    kinds = ", ".join(f"{kind}: {i}" for i, kind in enumerate(_TYPES))
    for number, (_, text) in enumerate(_asked(scop)):
        kind = f"_Generic(({text}), {kinds}, default: -1)"
        lines.append(f'__builtin_printf("\\n{_PROBE}-type {number} %d\\n", {kind});')
    # Once: the region may run often.
    text = "".join(line + "\n" for line in lines)
    once = f"{{ static int acumen_seen; if (!acumen_seen++) {{\n{text}}} }}\n"
    return source.with_region(f"{{\n{once}{source.region}}}")


def _seen(run: Run, scop: Scop) -> tuple[dict[str, int], dict[str, str]]:
    text = run.output.text
    found = re.findall(rf"^{_PROBE} (\w+) (-?\d+)$", text, re.MULTILINE)
    values = {name: int(value) for name, value in found}
    kinds = re.findall(rf"^{_PROBE}-type (\d+) (-?\d+)$", text, re.MULTILINE)
    asked = _asked(scop)
    if len(kinds) < len(asked) or set(scop.parameters) - set(values):
        raise LoopNestError("the program does not come to the region")
    return values, {asked[int(i)][0]: _TYPES[int(kind)] for i, kind in kinds if kind != "-1"}


def same_output(ours: str, reference: str, tolerance: float = 0.0) -> bool:
    """Whether two outputs say the same.

    Args:
        ours: of the program that is looked at.
        reference: of the original.
        tolerance: by how much numbers may differ, relative to the larger; 0: not at all. Words
            of hexadecimal digits, as of a hash of bits, are then not compared.
    """
    if ours == reference or not tolerance:
        return ours == reference
    one, two = ours.split(), reference.split()
    return len(one) == len(two) and all(
        _close(a, b, tolerance) for a, b in zip(one, two, strict=True)
    )


def _close(one: str, two: str, tolerance: float) -> bool:
    if one == two or (one.startswith("0x") and two.startswith("0x")):
        return True
    try:
        return math.isclose(float(one), float(two), rel_tol=tolerance)
    except ValueError:
        return False
