"""`optimise`: a C file with a marked region in, the same with better loops and a verdict out."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from acumen.compilers.loop_nests.errors import LoopNestError
from acumen.compilers.loop_nests.program import GCC, load_program
from acumen.compilers.loop_nests.source import TEXT
from acumen.compilers.loop_nests.tuning import Tuned, Tuner, cores

Verdict = Literal["better", "no_difference"]


@dataclass(frozen=True)
class Optimised:
    """What came of it.

    Attributes:
        verdict: whether the new loops are certainly faster.
        ratio: seconds of the original by those of the new program, whole programs, seen from
            outside: the pseudo-median of fresh pairs; 1 where the original is kept.
        low: lower end of its 95 % interval.
        high: upper end.
        pairs: how many there were.
        text: the new file; the original's text where nothing is better.
        path: where it was written; None: nowhere.
        command: how to compile it.
        setting: what was chosen.
        evaluations: candidates that were asked for.
        failures: those that came to nothing, by reason.
    """

    verdict: Verdict
    ratio: float
    low: float
    high: float
    pairs: int
    text: str
    path: Path | None
    command: str
    setting: Mapping[str, Any]
    evaluations: int
    failures: Mapping[str, int]

    def __str__(self) -> str:
        """The verdict in words."""
        if self.verdict == "no_difference":
            said = (
                f"of {self.evaluations} ways to run these loops none is faster than the original"
                " beyond the noise"
            )
            failed = sum(self.failures.values())
            reason = max(self.failures, key=self.failures.__getitem__, default="")
            if 2 * failed > self.evaluations:
                return f"{said}; {failed} of them came to nothing ({reason})"
            return said
        return (
            f"faster by {self.ratio:.2f}\N{MULTIPLICATION SIGN}"
            f" (95 %: {self.low:.2f}-{self.high:.2f}), n = {self.pairs}"
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values, without the text."""
        return {
            "verdict": self.verdict,
            "ratio": self.ratio,
            "low": self.low,
            "high": self.high,
            "n": self.pairs,
            "command": self.command,
            "setting": dict(self.setting),
            "evaluations": self.evaluations,
            "failures": dict(self.failures),
        }


def optimise(
    path: str | Path,
    *,
    flags: Sequence[str] = (),
    arguments: Sequence[str] = (),
    budget: int = 30,
    threads: int | None = None,
    repeats: int = 9,
    seed: int = 0,
    out: str | Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> Optimised:
    """Finds faster loops for the region between `#pragma scop` and `#pragma endscop`.

    The file must be a whole program (with what `flags` adds) that prints what it computes; arrays
    and scalars of different names must not overlap. The region may hold loops, conditions and
    assignments whose bounds and subscripts are affine, and calls of the C library's pure functions.
    What is written keeps the original beside it, for sizes other than those that were seen.

    Args:
        path: of the file.
        flags: what its compilation needs: `-D`, `-I`, further files.
        arguments: what the program is run with.
        budget: how many candidates to try, the original among them.
        threads: at most so many; None: as many as there are cores.
        repeats: fresh pairs that confirm the winner; fewer than six can prove nothing.
        seed: of the search.
        out: where to write the new file; None: nowhere.
        tell: is told a line whenever something better was found.

    Raises:
        RegionError: the region is not affine; the message names the line.
        MissingError: islpy or pycparser is not installed.
        LoopNestError: the program cannot be read, compiled or run.
    """
    source = Path(path)
    with tempfile.TemporaryDirectory(prefix="acumen-nests-") as folder:
        program = load_program(source, Path(folder), flags, arguments)
        tuner = Tuner(program, threads or cores(), budget, seed, tell=tell or (lambda _: None))
        tuned = tuner.run(repeats)
        original = program.source.with_region(program.source.region)
    if out is not None:
        try:
            Path(out).write_text(tuned.text, **TEXT)
        except OSError as error:
            raise LoopNestError(f"cannot write {out}: {error}") from error
    return _judged(tuned, original, Path(out) if out is not None else None, source, flags)


def _judged(
    tuned: Tuned, original: str, out: Path | None, source: Path, flags: Sequence[str]
) -> Optimised:
    found = tuned.confirmation
    better = found is not None and found.better and tuned.text != original
    name = str(out or f"{source.stem}-better.c") if better else str(source)
    command = tuned.command if better else GCC
    words = [*command, f"-I{source.parent}", *flags, name, "-o", source.stem, "-lm"]
    return Optimised(
        verdict="better" if better else "no_difference",
        ratio=float(found.ratio or 1.0) if found is not None and better else 1.0,
        low=found.low if found is not None and better else 1.0,
        high=found.high if found is not None and better else 1.0,
        pairs=found.pairs if found is not None else 0,
        text=tuned.text,
        path=out,
        command=shlex.join(words),
        setting=tuned.setting,
        evaluations=tuned.evaluations,
        failures=tuned.failures,
    )
