"""A C file with a marked region: finding it, preprocessing it, putting better code in its place.

The region lies between `#pragma scop` and `#pragma endscop`, the marks of the field. What replaces
it was made for the sizes that the program ran with, so it stands under a guard that compares them,
and the original stays beside it for all other sizes:

    if (N == 2000 && M == 2600) { better } else { original }
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acumen.compilers.loop_nests.affine import Affine, affine
from acumen.compilers.loop_nests.errors import LoopNestError, RegionError
from acumen.compilers.loop_nests.syntax import parse_region

_BEGIN = re.compile(r"^\s*#\s*pragma\s+scop\b")
_END = re.compile(r"^\s*#\s*pragma\s+endscop\b")
_MARKER = re.compile(r'^#\s+(\d+)\s+"((?:[^"\\]|\\.)*)"')
_NAME = re.compile(r"[A-Za-z_]\w*")
_TYPE = re.compile(r"\btypedef\b[^;{}]*?\b(\w+)\s*;")
_PROBE = "acumen_macro_"
_FILES = (".c", ".o", ".a", ".so", ".s", ".S")
# Comments of old programs are in all kinds of encodings; nobody reads them here.
TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}


@dataclass(frozen=True, slots=True)
class Source:
    """A file and its region.

    Attributes:
        path: of the file.
        before, region, after: its text; the marks belong to `before` and `after`.
        first_line: of the region, counted from 1.
        expanded: the region after the preprocessor, with line markers.
        types: names that the file defines as types.
        values: of the integer macros that the region uses, which better code is made for.
        flags: of the preprocessor and the compiler (`-D`, `-I`), further files to link with too.
    """

    path: Path
    before: str
    region: str
    after: str
    first_line: int
    expanded: str
    types: tuple[str, ...]
    values: Mapping[str, int]
    flags: tuple[str, ...]

    def with_region(self, text: str, above: str = "", begin: str = "") -> str:
        """The whole file with another region; `above` is put before all else, `begin` before it."""
        return f'{above}#line 1 "{self.path.name}"\n{self.before}{begin}{text}\n{self.after}'


def read_source(path: Path, flags: Sequence[str] = ()) -> Source:
    """Reads a file and finds its region.

    Raises:
        RegionError: there is none, or more than one.
        LoopNestError: the file cannot be read, or the preprocessor refuses it.
    """
    if path.suffix in (".cc", ".cpp", ".cxx", ".C"):
        raise LoopNestError("this is C++; only C is understood")
    try:
        lines = re.findall(r"[^\n]*\n|[^\n]+$", path.read_text(**TEXT))
    except OSError as error:
        raise LoopNestError(f"{path}: {error}") from error
    begins = [number for number, line in enumerate(lines) if _BEGIN.match(line)]
    ends = [number for number, line in enumerate(lines) if _END.match(line)]
    if not begins or not ends:
        raise RegionError("no region is marked with #pragma scop and #pragma endscop")
    if len(begins) > 1 or len(ends) > 1:
        raise RegionError("more than one region is marked; mark one", max(begins[-1], ends[-1]) + 1)
    begin, end = begins[0], ends[0]
    if end < begin:
        raise RegionError("#pragma endscop comes before #pragma scop", end + 1)
    region = "".join(lines[begin + 1 : end])
    names = sorted(set(_NAME.findall(region)))
    if any(name.startswith("acumen_") for name in names):
        raise RegionError("names that begin with acumen_ are those of the better loops", begin + 2)
    probes = "".join(f"{_PROBE}{name} = {name};\n" for name in names)
    text = "".join([*lines[: end + 1], probes, *lines[end + 1 :]])
    whole = _preprocess(text, path, flags)
    expanded, values, above = _cut(whole, path)
    if re.search(r"(\)|\b(else|do))\s*$", above):
        raise RegionError("the region is a loop's or a condition's body: give it braces", begin + 1)
    macros = [name for name in names if values.get(name, name) != name]
    return Source(
        path=path,
        before="".join(lines[: begin + 1]),
        region=region,
        after="".join(lines[end:]),
        first_line=begin + 2,
        expanded=expanded,
        types=tuple(sorted({match[1] for match in _TYPE.finditer(whole)})),
        values={name: number for name in macros if (number := _number(values[name])) is not None},
        flags=tuple(flags),
    )


def _number(text: str) -> int | None:
    """The value of a constant expression of integers; None: it is something else."""
    try:
        node = parse_region(f"value = {text};").block_items[0].rvalue
        found = affine(node, lambda name: Affine({name: 1}))
    except RegionError:
        return None
    return None if found.terms else found.constant


def _preprocess(text: str, path: Path, flags: Sequence[str]) -> str:
    wanted = [flag for flag in flags if not flag.endswith(_FILES) and not flag.startswith("-l")]
    command = ["gcc", "-E", *wanted, f"-I{path.resolve().parent}", "-x", "c", "-"]
    text = f'# 1 "{path}"\n{text}'
    try:
        done = subprocess.run(command, input=text, capture_output=True, timeout=60, **TEXT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoopNestError(f"the preprocessor cannot be run: {error}") from error
    if done.returncode:
        complaint = next((x for x in done.stderr.splitlines() if "error" in x), done.stderr[:200])
        raise LoopNestError(f"the preprocessor refuses the file: {complaint}")
    return str(done.stdout)


def _cut(text: str, path: Path) -> tuple[str, dict[str, str], str]:
    """The region of preprocessed text, what its names stand for, and the line above it."""
    region: list[str] = []
    values: dict[str, str] = {}
    inside, number, here, above, last = False, 0, "", "", ""
    for line in text.split("\n"):
        marker = _MARKER.match(line)
        if marker:
            number, here = int(marker[1]) - 1, marker[2]
            if inside:
                region.append(line)
            continue
        number += 1
        if here == str(path) and _BEGIN.match(line):
            inside, above = True, last
            region.append(f'# {number + 1} "{path}"')
        elif here == str(path) and _END.match(line):
            inside = False
        elif inside:
            region.append(line)
        elif line.startswith(_PROBE):
            name, _, value = line.removeprefix(_PROBE).partition(" = ")
            values[name] = value.rstrip("; ")
        elif line.strip() and not line.lstrip().startswith("#"):
            last = line
    return "\n".join(region), values, above
