"""What `acumen tune` shows: where it is while it runs, and the verdict at its end."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from acumen.evaluation.programs.verdict import shown_interval

if TYPE_CHECKING:
    from acumen.flags import tuner
    from acumen.flags.subject import Subject

_PHASES = {
    "default": "the default",
    "search": "searching",
    "choosing": "the best beside each other",
    "minimising": "dropping flags that do not matter",
    "confirming": "confirming on fresh runs",
}
_LINES_EVERY_SECONDS = 30.0


class Display:
    """A line that shows where the tuning is; lines now and then where there is no terminal."""

    def __init__(self, budget: tuner.Budget, subject: Subject) -> None:
        self._console = Console(stderr=True)
        self._budget, self._subject = budget, subject
        self._began = self._said = time.monotonic()
        self._phase = ""
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
            console=self._console, transient=True, disable=not self._console.is_terminal,
        )  # fmt: skip
        total = budget.trials or budget.seconds
        self._task = self._bar.add_task("the default", total=total)

    def __enter__(self) -> Self:
        size = self._subject.space.size()
        shown = (
            f"{size:,.0f}" if size < 1e6 else f"{size:.1e}" if math.isfinite(size) else "countless"
        )
        self._say(f"default: {self._subject.shown(self._subject.space.default)}")
        self._say(f"{len(self._subject.units)} flags, {shown} settings")
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def take(self, progress: tuner.Progress) -> None:
        """Shows where things are."""
        now = time.monotonic()
        done = progress.trials if self._budget.trials else now - self._began
        words = self._words(progress)
        self._bar.update(self._task, completed=done, description=escape(words))
        new = progress.phase != self._phase
        if not self._console.is_terminal and (new or now - self._said > _LINES_EVERY_SECONDS):
            self._said = now
            self._say(f"{now - self._began:6.1f} s  {words}")
        self._phase = progress.phase

    def _words(self, progress: tuner.Progress) -> str:
        words = _PHASES[progress.phase]
        if progress.phase == "search":
            words += f": {progress.trials} tried, {progress.failures} failed"
            if progress.best is not None:
                words += f", best {progress.best:.3f}× (not confirmed)"
        elif progress.phase == "confirming" and progress.comparison is not None:
            found = progress.comparison
            if found.looked is not None:
                words += f": {found.looked.ratio:.3f}× {shown_interval(found.looked)}"
            words += f", n = {len(found.pairs)}"
        return words

    def _say(self, line: str) -> None:
        self._console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)


def show(tuned: tuner.Tuned, subject: Subject) -> None:
    """Prints the verdict, what it rests on, and the command to paste, which comes last."""
    console = Console()
    for note in tuned.notes:
        Console(stderr=True).print(
            f"note: {note}", style="dim", highlight=False, markup=False, soft_wrap=True
        )
    verdict = tuned.verdict
    style = {"better": "bold green", "no_difference": "bold", "failed": "bold red"}[verdict.kind]
    console.print(verdict.words, style=style, highlight=False, markup=False, soft_wrap=True)
    if verdict.n:
        floor = (verdict.noise_floor or 1.0) - 1.0
        console.print(
            f"  noise floor: the default beside itself, n = {verdict.n}, lies within "
            f"{floor:.2%} of itself",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    for flag in tuned.flags_that_matter:
        console.print(f"  {flag}", highlight=False, markup=False, soft_wrap=True)
    if verdict.kind == "no_difference" and tuned.trials:
        count = len(tuned.trials)
        console.print(
            f"  {count} trial{'s' * (count != 1)}, the default's own among them; stay with it:",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    if verdict.kind != "failed":
        # As it is: this line is to be pasted.
        click.echo(tuned.shown)
