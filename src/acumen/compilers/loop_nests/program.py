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
from acumen.compilers.loop_nests.errors import LoopNestError
from acumen.compilers.loop_nests.isl import load
from acumen.compilers.loop_nests.printing import Printer
from acumen.compilers.loop_nests.scop import Scop, build, parameters_of
from acumen.compilers.loop_nests.source import Source, read_source
from acumen.compilers.loop_nests.syntax import parse_region
from acumen.evaluation.programs.run import Limits, Run, Runner

GCC = ("gcc", "-O3", "-march=native")
_PROBE = "acumen-probe"
_COMPILE_SECONDS = 120
# A scalar of a loop's body is kept once for each iteration; so many at most.
_LOCAL_ELEMENTS_MAX = 1 << 25
_TYPES = ("double", "float", "int", "long")


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
        better = f"{self._locals()}{loops}\n{self._freed()}"
        if values:
            guarded = " && ".join(values)
            better = f"if ({guarded}) {{\n{better}}} else {{\n{self.source.region}}}"
        return self.source.with_region(f"{{\n{better}\n}}", printer.preamble())

    def _locals(self) -> str:
        """Declarations of what the region declared itself: as arrays, where it was in loops."""
        lines = []
        for name, local in self.scop.locals.items():
            if not local.iterators:
                lines.append(f"{local.type} {name};")
                continue
            sizes = self._extents(name)
            inner = "".join(f"[{size}]" for size in sizes[1:])
            if math.prod(sizes) > _LOCAL_ELEMENTS_MAX:
                raise LoopNestError(
                    f"{name} lives for one of {math.prod(sizes):,} iterations: too many to keep one"
                    " for each; declare it outside of the loops"
                )
            count = "*".join(map(str, sizes))
            lines.append(
                f"{local.type} (*{name}){inner} = __builtin_malloc(sizeof({local.type})*{count});"
            )
        return "".join(line + "\n" for line in lines)

    def _freed(self) -> str:
        names = (name for name, local in self.scop.locals.items() if local.iterators)
        return "".join(f"__builtin_free({name});\n" for name in names)

    def _extents(self, name: str) -> list[int]:
        isl = load()
        touched = self.model.writes.union(self.model.reads).range()
        found: list[Any] = []
        touched.foreach_set(lambda e: found.append(e) if e.get_tuple_name() == name else None)
        elements = found[0]
        dims = range(elements.dim(isl.dim_type.set))
        return [int(elements.dim_max_val(i).to_python()) + 1 for i in dims]

    def compile(self, text: str, command: Sequence[str] = GCC) -> Path:
        """An executable of a text of the file.

        Raises:
            LoopNestError: the compiler refuses it.
        """
        self._count += 1
        name = self.folder / f"{self.source.path.stem}-{self._count}"
        name.with_suffix(".c").write_text(text)
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
            return subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_SECONDS)
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
    parameters = parameters_of(tree)
    draft = build(tree, dict.fromkeys(parameters, 0)) if parameters else build(tree, {})
    text = source.with_region(source.region, begin=_probe(draft, parameters))
    probe = folder / f"{path.stem}-probe"
    probe.with_suffix(".c").write_text(text)
    compile_file(probe.with_suffix(".c"), probe, source)
    with Runner(Limits(seconds=seconds)) as runner:
        run = runner.run([str(probe), *arguments])
    if run.problem:
        raise LoopNestError(f"the program fails as it is: {run.problem}")
    values, types = _seen(run, parameters)
    scop = build(tree, values)
    return Program(source, scop, model_of(scop), types, folder, tuple(arguments))


def _probe(scop: Scop, parameters: Sequence[str]) -> str:
    """Lines of C that print the parameters and the types of what the region touches."""
    lines = [f'__builtin_printf("\\n{_PROBE} {n} %lld\\n", (long long)({n}));' for n in parameters]
    typed = {n: n + "[0]" * count for n, count in scop.arrays.items() if n not in scop.locals}
    typed |= {name: name for name in scop.constants}
    kinds = ", ".join(f"{kind}: {i}" for i, kind in enumerate(_TYPES))
    for name, text in sorted(typed.items()):
        kind = f"_Generic(({text}), {kinds}, default: -1)"
        lines.append(f'__builtin_printf("\\n{_PROBE}-type {name} %d\\n", {kind});')
    return "".join(line + "\n" for line in lines)


def _seen(run: Run, parameters: Sequence[str]) -> tuple[dict[str, int], dict[str, str]]:
    text = run.output.text
    values: dict[str, int] = {}
    for name, value in re.findall(rf"^{_PROBE} (\w+) (-?\d+)$", text, re.MULTILINE):
        # Of a region that runs several times the first values count; the guard sees to the rest.
        values.setdefault(name, int(value))
    if set(parameters) - set(values):
        raise LoopNestError("the program does not come to the region")
    found = re.findall(rf"^{_PROBE}-type (\w+) (-?\d+)$", text, re.MULTILINE)
    return values, {name: _TYPES[int(kind)] for name, kind in found if kind != "-1"}


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
