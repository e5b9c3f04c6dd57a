"""Searches for the best loops of a region, by measuring programs from outside.

Each candidate is proved legal before it is compiled, its output is compared before its time
counts, and its time is taken in turns with the best so far, so that a machine that is now faster,
now slower favours nobody. The winner is measured again beside the original before anything is said.
"""

from __future__ import annotations

import math
import os
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acumen.compilers.loop_nests.errors import LoopNestError
from acumen.compilers.loop_nests.first_settings import first_settings, read_lessons
from acumen.compilers.loop_nests.guided import Guided
from acumen.compilers.loop_nests.program import GCC, OUTPUT_MAX, Program, same_output
from acumen.compilers.loop_nests.settings import ORIGINAL, Choices, IllegalError, space_of
from acumen.core import minimize
from acumen.evaluation.programs.run import Limits, Runner
from acumen.learners.search import Confirmation, Search, Setting

# What compilers contract (a · b + c rounded once) differs between loops: with contraction numbers
# may differ by so much, relatively. Without it they must not differ at all.
TOLERANCE = 1e-8
NO_CONTRACTION = "-ffp-contract=off"
# A candidate this much slower than the best is not worth a second look.
_HOPELESS = 1.25
_PAIRS_MAX = 3
# A candidate is ended when it has taken so many times as long as the best, and at least so much.
_SLOWEST, _PATIENCE_SECONDS = 3, 0.5
# One that had less of the processor than this was held up by something else: it has one more try.
_HELD_UP = 0.7
# One that takes so many times as long as the best when it is first seen is not timed any further.
_CLEARLY_SLOWER = 1.6


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        setting: the best; its `schedule` is "original" where nothing was better.
        text: the C file.
        executable: of it.
        command: the compiler and its flags.
        confirmation: fresh pairs with the original; None where that is the best, or there is
            no need (see `Tuner.obvious`).
        ranking: settings and seconds, the best first.
        failures: candidates that were not legal, refused, wrong, or too slow to wait for.
        evaluations: candidates asked for.
    """

    setting: Setting
    text: str
    executable: Path
    command: tuple[str, ...]
    confirmation: Confirmation | None
    ranking: tuple[tuple[Setting, float], ...]
    failures: Mapping[str, int]
    evaluations: int


@dataclass
class _Candidate:
    text: str
    executable: Path
    command: tuple[str, ...]
    threads: int


@dataclass(frozen=True)
class _Ran:
    seconds: float
    cpu_seconds: float
    output: str


@dataclass
class Tuner:
    """A search for one program.

    Attributes:
        program: what is tuned.
        threads: how many there are.
        budget: candidates.
        seed: of the search.
        without: the program whose own lesson is not used; see `first_settings`.
        obvious: a winner that took less than this part of the original's time in the search is
            not measured again with it: for those who do that themselves.
        tell: is told a line now and then.
    """

    program: Program
    threads: int = 1
    budget: int = 30
    seed: int = 0
    without: str = ""
    obvious: float = 0.0
    tell: Callable[[str], None] = lambda _: None
    failures: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.choices = Choices(self.program.model, self.program.types)
        self._made: dict[str, _Candidate] = {}
        self._values: dict[str, float] = {}

    def run(self, repeats: int = 7) -> Tuned:
        """Searches, and confirms what it found with so many pairs.

        Raises:
            LoopNestError: the program cannot be compiled, or run as it is.
        """
        with Runner(Limits(seconds=3600), keep=OUTPUT_MAX) as self._runner:
            self._begin()
            space = space_of(self.threads)
            first = first_settings(self.choices, space, self.threads, read_lessons(), self.without)
            search = Search(
                space,
                minimize("seconds"),
                learner=Guided(first),
                budget=self.budget,
                control=0.1,
                seed=self.seed,
            )
            for trial in search:
                try:
                    search.tell(trial, seconds=self._measure(trial.setting))
                except LoopNestError as error:
                    kind = _kind_of(error)
                    self.failures[kind] = self.failures.get(kind, 0) + 1
                    search.fail(trial, str(error))
            return self._finish(search, repeats)

    def _begin(self) -> None:
        source = self.program.source
        text = source.with_region(source.region)
        self._original = _Candidate(text, self.program.compile(text), GCC, 1)
        first, again = (self._once(self._original, 3600) for _ in range(2))
        self._output = first.output
        if not self._output.strip():
            raise LoopNestError("the program prints nothing: there is no result to compare")
        if not same_output(again.output, self._output):
            raise LoopNestError("the program prints something else each time it is run")
        self._exact = ""
        self._best = self._original
        self._best_seconds = min(first.seconds, again.seconds)

    def _once(self, candidate: _Candidate, seconds: float) -> _Ran:
        command = [str(candidate.executable), *self.program.arguments]
        run = self._runner.run(command, seconds=seconds)
        if run.ended == "timeout" and run.cpu_seconds < _HELD_UP * seconds:
            run = self._runner.run(command, seconds=10 * seconds)
        if run.problem:
            raise LoopNestError(run.problem)
        # Where there is no other, what a program says on stderr is its output (PolyBench's do so).
        output = run.output if run.output.size else run.errors
        text = output.sha256 if output.size > OUTPUT_MAX else output.text
        return _Ran(run.seconds, run.cpu_seconds, text)

    def _candidate(self, setting: Mapping[str, Any]) -> _Candidate:
        """Text and executable of a setting; equal texts are compiled once.

        Raises:
            IllegalError: it would change what the program computes.
            LoopNestError: the compiler refuses it.
        """
        if setting["schedule"] == ORIGINAL:
            return self._original
        tree = self.choices.tree(setting)
        text = self.program.text(tree, setting["threads"])
        command = command_of(setting)
        key = f"{command}\n{text}"
        if key not in self._made:
            executable = self.program.compile(text, command)
            self._made[key] = _Candidate(text, executable, command, setting["threads"])
        return self._made[key]

    def _measure(self, setting: Setting) -> float:
        """Seconds, as if the machine had been as it was when the original was measured.

        Raises:
            LoopNestError: it is not legal, is refused, is wrong, or takes too long.
        """
        candidate = self._candidate(setting)
        if candidate is self._original:
            return self._best_seconds if self._best is candidate else self._values["original"]
        key = str(candidate.executable)
        if key in self._values:
            return self._values[key]
        limit = max(_SLOWEST * self._best_seconds, self._best_seconds + _PATIENCE_SECONDS)
        first = self._once(candidate, limit)
        if not same_output(first.output, self._output, TOLERANCE):
            raise LoopNestError("its output differs")
        if min(first.seconds, first.cpu_seconds / _HELD_UP) > _CLEARLY_SLOWER * self._best_seconds:
            self._values[key] = first.seconds
            return first.seconds
        logs: list[float] = []
        for number in range(_PAIRS_MAX):
            pair = [(candidate, 1.0), (self._best, -1.0)]
            for each, sign in pair if number % 2 else pair[::-1]:
                logs.append(sign * math.log(self._once(each, 4 * limit).seconds))
            ratios = [logs[i] + logs[i + 1] for i in range(0, len(logs), 2)]
            if math.exp(min(ratios)) > _HOPELESS:
                break
        seconds = self._best_seconds * math.exp(statistics.median(ratios))
        self._values[key] = seconds
        if seconds < self._best_seconds:
            self._prove(candidate, limit)
            if self._best is self._original:
                self._values["original"] = self._best_seconds
            self._best, self._best_seconds = candidate, seconds
            self.tell(f"{seconds:.4g} s with {shown(setting)}")
        return seconds

    def _prove(self, candidate: _Candidate, seconds: float) -> None:
        """Without contraction of operations every bit has to be the same.

        Raises:
            LoopNestError: it is not.
        """
        command = (*candidate.command, NO_CONTRACTION)
        executable = self.program.compile(candidate.text, command)
        exact = _Candidate(candidate.text, executable, command, candidate.threads)
        self._exact = self._exact or self._original_exactly()
        if self._once(exact, 4 * seconds + 10).output != self._exact:
            self._values.pop(str(candidate.executable), None)
            raise LoopNestError("without contraction its output is not the same, bit for bit")

    def _original_exactly(self) -> str:
        """What the original prints without contraction."""
        command = (*GCC, NO_CONTRACTION)
        executable = self.program.compile(self._original.text, command)
        return self._once(_Candidate(self._original.text, executable, command, 1), 3600).output

    def _finish(self, search: Search, repeats: int) -> Tuned:
        ended = [(t.setting, t.value) for t in search.trials if t.state == "done"]
        ranking = sorted(((s, v) for s, v in ended if v is not None), key=lambda pair: pair[1])
        setting, _ = ranking[0]
        confirmation = None
        best = self._candidate(setting)
        clear = self._best_seconds < self.obvious * self._values.get("original", 0.0)
        if best is not self._original and not clear:
            confirmation = search.confirm(
                lambda each: self._once(self._candidate(each), 3600).seconds, repeats
            )
            if not confirmation.better:
                setting, best = dict(search.space.default), self._original
        return Tuned(
            setting,
            best.text,
            best.executable,
            best.command,
            confirmation,
            tuple(ranking),
            self.failures,
            len(search.trials),
        )


def _kind_of(error: LoopNestError) -> str:
    """A failure for counting: without the place in a file that nobody sees."""
    if isinstance(error, IllegalError):
        return "illegal"
    return re.sub(r"\S+:\d+:\d+: ", "", str(error))[:80]


def command_of(setting: Mapping[str, Any]) -> tuple[str, ...]:
    """The compiler and its flags for a setting."""
    openmp = ("-fopenmp",) if setting["threads"] > 1 else ()
    return (*GCC, f"-mprefer-vector-width={setting['bits']}", *openmp)


def shown(setting: Mapping[str, Any]) -> str:
    """A setting for people, on one line."""
    return " ".join(f"{name}={value}" for name, value in setting.items() if value not in (0, False))


def cores() -> int:
    """How many threads there are to give."""
    return len(os.sched_getaffinity(0))


def flags_of(text: Sequence[str]) -> tuple[str, ...]:
    """Flags that were given as one or several words."""
    return tuple(word for each in text for word in each.split())
