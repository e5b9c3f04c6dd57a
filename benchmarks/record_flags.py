"""Records what C programs take under every setting of a small space of gcc's and clang's flags.

    CLANG=clang-19 python benchmarks/record_flags.py --kernels DIR --out polybench.npz
    python benchmarks/record_flags.py --kernels DIR --out wide.npz --spaces wide --only lu 2mm

DIR holds PolyBench-like programs that print sums of their results. Every setting is compiled to
assembler; settings of one text are one program, linked once, its output compared with that of an
unoptimised build. Then every round runs every program once, in an order drawn anew, and the kernel
says how much processor time it took, start and end included. See `acumen.flags.recorded`.

The wide space has 2,560 settings, nearly all of them programs of their own: a quarter of an hour
and 2 GB of executables in the temporary folder for each table.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import math
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from acumen.evaluation.results import describe_machine
from acumen.flags.recorded import Table, every_setting, save_tables
from acumen.learners.search import Categorical, Flag, Setting, Space, When

# Sizes at which a run takes some milliseconds.
SIZES = {
    "2mm": {"NI": 210, "NJ": 220, "NK": 230, "NL": 240},
    "correlation": {"M": 220, "N": 240},
    "fdtd-2d": {"TMAX": 120, "NX": 180, "NY": 220},
    "jacobi-2d": {"TSTEPS": 160, "N": 220},
    "lu": {"N": 300},
    "nussinov": {"N": 400},
}
# What a value adds to the command line; values without an entry add nothing.
Flags = Mapping[str, Mapping[object, list[str]]]
GCC_FLAGS: Flags = {
    "level": {"2": ["-O2"], "3": ["-O3"]},
    "vectorize": {False: ["-fno-tree-vectorize"]},
    "width": {w: [f"-mprefer-vector-width={w}"] for w in ("128", "256", "512")},
    "cost": {model: [f"-fvect-cost-model={model}"] for model in ("dynamic", "unlimited")},
    "unroll": {True: ["-funroll-loops"]},
    "nest": {True: ["-floop-nest-optimize"]},
    "prefetch": {True: ["-fprefetch-loop-arrays"]},
    "schedule": {True: ["-fschedule-insns"]},
}
GCC = Space(
    {
        "level": Categorical(["2", "3"], default="3"),
        "vectorize": Flag(True),
        "width": Categorical(["128", "256", "512"], default="256"),
        "cost": Categorical(["dynamic", "unlimited"]),
        "unroll": Flag(),
        "nest": Flag(),
        "prefetch": Flag(),
        "schedule": Flag(),
    },
    conditions={"width": When("vectorize", True), "cost": When("vectorize", True)},
)
WIDE_FLAGS: Flags = {
    **GCC_FLAGS,
    "times": {n: [f"--param=max-unroll-times={n}"] for n in ("2", "4", "16")},
    "late": {False: ["-fno-schedule-insns2"]},
    "ivopts": {False: ["-fno-ivopts"]},
    "pre": {False: ["-fno-tree-pre"]},
}
WIDE = Space(
    {
        **{name: part for name, part in GCC.parameters.items() if name != "cost"},
        "times": Categorical(["8", "2", "4", "16"]),
        "late": Flag(True),
        "ivopts": Flag(True),
        "pre": Flag(True),
    },
    conditions={"width": When("vectorize", True), "times": When("unroll", True)},
)


def _llvm(option: str) -> list[str]:
    return ["-mllvm", option]


CLANG_FLAGS: Flags = {
    "vectorize": {False: ["-fno-vectorize"]},
    "lanes": {n: _llvm(f"-force-vector-width={n}") for n in ("2", "4", "8")},
    "interleave": {n: _llvm(f"-force-vector-interleave={n}") for n in ("1", "2", "4")},
    "wide": {True: ["-mprefer-vector-width=512"]},
    "unroll": {False: ["-fno-unroll-loops"]},
    "jam": {True: _llvm("-enable-unroll-and-jam") + _llvm("-allow-unroll-and-jam")},
    "interchange": {True: _llvm("-enable-loopinterchange")},
}
CLANG = Space(
    {
        "vectorize": Flag(True),
        "lanes": Categorical(["auto", "2", "4", "8"]),
        "interleave": Categorical(["auto", "1", "2", "4"]),
        "wide": Flag(),
        "unroll": Flag(True),
        "jam": Flag(),
        "interchange": Flag(),
    },
    conditions={"lanes": When("vectorize", True), "interleave": When("vectorize", True)},
)
BASE = ["-O3", "-march=native"]
# Compiler, space, and what its values add.
SPACES: dict[str, tuple[str, Space, Flags]] = {
    "gcc": ("gcc", GCC, GCC_FLAGS),
    "clang": ("clang", CLANG, CLANG_FLAGS),
    "wide": ("gcc", WIDE, WIDE_FLAGS),
}
COMMANDS = {"gcc": os.environ.get("GCC", "gcc"), "clang": os.environ.get("CLANG", "clang")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kernels", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--only", nargs="*", default=[], help="names of kernels")
    parser.add_argument("--spaces", nargs="*", default=["gcc", "clang"], choices=list(SPACES))
    options = parser.parse_args()
    tables: dict[str, Table] = {}
    notes: dict[str, str] = {}
    cpu = time.process_time() + _children()
    for kernel in options.only or SIZES:
        for space in options.spaces:
            with tempfile.TemporaryDirectory(prefix="acumen-record-") as folder:
                name = f"{kernel}-{space}"
                tables[name], notes[name] = record(
                    options.kernels / f"{kernel}.c", space, options.rounds, Path(folder)
                )
                print(f"{name}: {notes[name]}", flush=True)
            save_tables(options.out, tables, {"notes": notes})  # as far as it has come
    about = {
        "machine": describe_machine(),
        "compilers": {name: _version(name) for name in {SPACES[s][0] for s in options.spaces}},
        "date": datetime.date.today().isoformat(),
        "rounds": options.rounds,
        "sizes": SIZES,
        "measured": "processor time of the whole process, user and system, as wait4 reports it",
        "notes": notes,
        "cpu_seconds": round(time.process_time() + _children() - cpu),
    }
    save_tables(options.out, tables, about)
    print(about)


def record(source: Path, space_name: str, rounds: int, folder: Path) -> tuple[Table, str]:
    """A table of one program and one space, and a line about it."""
    compiler, space, flags = SPACES[space_name]
    defines = [f"-D{name}={value}" for name, value in SIZES[source.stem].items()]
    plain = folder / "program.i"
    _call([COMMANDS[compiler], "-E", *BASE, *defines, str(source), "-o", str(plain)])
    reference = _sums(_link(compiler, _assembler(compiler, ["-O0"], plain), folder / "reference"))
    texts: dict[str, int] = {}
    program, paths = [], []
    for setting in every_setting(space):
        text = _assembler(compiler, BASE + _arguments(flags, setting), plain)
        name = hashlib.sha256(text).hexdigest()
        if name not in texts:
            texts[name] = len(texts)
            paths.append(_link(compiler, text, folder / f"p{len(paths)}"))
        program.append(texts[name])
    right = [_alike(_sums(path), reference) for path in paths]
    seconds = np.full((len(paths), rounds), np.nan)
    order = [row for row, fine in enumerate(right) if fine]
    shuffled = random.Random(1)
    for number in range(-1, rounds):
        shuffled.shuffle(order)
        for row in order:
            took = _run(paths[row])
            if number >= 0:  # the first round warms up
                seconds[row, number] = took
    table = Table(space, np.array(program, np.uint16), seconds)
    return table, describe(table)


def describe(table: Table) -> str:
    """How good a table is: what there is to gain, and how far its halves differ (A/A)."""
    seen, held = (table.seconds[:, k::2].min(axis=1) for k in (0, 1))
    default = table.rows()[table.space.key(table.space.default)]
    fine = np.isfinite(held)
    apart = np.abs(np.log(seen[fine] / held[fine]))
    spread = table.seconds[fine].std(axis=1) / np.median(table.seconds[fine], axis=1)
    return (
        f"{len(table.program)} settings, {len(table.seconds)} programs, {(~fine).sum()} wrong; "
        f"default {1e3 * held[default]:.2f} ms, best {1e3 * np.nanmin(held):.2f}, "
        f"worst {1e3 * np.nanmax(held):.2f}; A/A of the halves' least times "
        f"{np.median(apart):.2%} (largest {apart.max():.2%}); deviation of a run "
        f"{np.median(spread):.2%}"
    )


def _arguments(flags: Flags, setting: Setting) -> list[str]:
    return [word for name, value in setting.items() for word in flags[name].get(value, [])]


def _assembler(compiler: str, arguments: list[str], plain: Path) -> bytes:
    return _call([COMMANDS[compiler], *arguments, "-x", "cpp-output", "-S", "-o", "-", str(plain)])


def _link(compiler: str, text: bytes, path: Path) -> Path:
    command = [COMMANDS[compiler], "-static", "-x", "assembler", "-", "-lm"]
    _call([*command, "-o", str(path)], text)
    return path


def _call(command: list[str], text: bytes = b"") -> bytes:
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True).stdout


def _sums(path: Path) -> list[float] | None:
    """The numbers that a program prints, its hashes left out; None if it fails."""
    done = subprocess.run([path], capture_output=True, timeout=60)
    if done.returncode:
        return None
    return [float(word) for line in done.stdout.split(b"\n") for word in line.split()[1:3]]


def _alike(found: list[float] | None, reference: list[float] | None) -> bool:
    if found is None or reference is None or len(found) != len(reference):
        return False
    return all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(found, reference, strict=True))


def _run(path: Path) -> float:
    nothing = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(path, [str(path)], {}, file_actions=nothing)
    _, status, used = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"{path} failed with status {status}")
    return used.ru_utime + used.ru_stime


def _children() -> float:
    used = os.times()
    return used.children_user + used.children_system


def _version(compiler: str) -> str:
    return _call([COMMANDS[compiler], "--version"]).decode().splitlines()[0]


if __name__ == "__main__":
    main()
