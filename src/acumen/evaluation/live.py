"""What a user sees while a race runs: a progress bar, and a line for whatever goes wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from acumen.evaluation import runner
from acumen.evaluation.race import Row, shown_setting
from acumen.evaluation.results import Result, is_special

# Rows may come in hundreds a second; the file is written at most so often.
_SAVE_EVERY_S = 1.0


class Watch:
    """Takes the runner's events: keeps rows, saves them, and keeps the terminal alive.

    Attributes:
        remarks: every line about something failed or left out, for the report.
        failures: how many workloads or cells failed.
        details: a line for each workload that was read.
    """

    def __init__(self, result: Result, json_path: Path | None, console: Console) -> None:
        self.remarks: list[str] = []
        self.failures = 0
        self.details: dict[str, str] = {}
        self._result = result
        self._json_path = json_path
        # A pipe takes one document, at the end; a file is there to be looked at all the time.
        self._saves_early = json_path is not None and not is_special(json_path)
        self._console = console
        self._saved_at = 0.0
        self._left_out: dict[tuple[str, str], list[str]] = {}
        self._bar = Progress(
            TextColumn("{task.percentage:>3.0f} %"),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            TextColumn("{task.fields[rows]} rows"),
            TextColumn("{task.description}", style="dim", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID = self._bar.add_task("starting", total=None, rows=0)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Shows the progress bar while the block runs (on a terminal; else nothing)."""
        with self._bar:
            yield

    def take(self, event: runner.Event) -> None:
        """Shows and keeps one event."""
        if isinstance(event, Row):
            self._result.rows.append(event)
            if self._saves_early and time.monotonic() - self._saved_at >= _SAVE_EVERY_S:
                # A full disk now need not be full at the end, where it is reported.
                with suppress(OSError):
                    self.save()
        elif isinstance(event, runner.Progress):
            self._bar.update(
                self._task,
                completed=event.done,
                total=event.total or 1.0,
                description=", ".join(event.running[:2]),
                rows=len(self._result.rows),
            )
        elif isinstance(event, runner.Ready):
            self.details[event.workload] = event.prepared.detail
            if not event.prepared.settings:
                self._remark(f"{event.workload}: {event.prepared.detail}")
        elif isinstance(event, runner.LeftOut):
            cells = self._left_out.setdefault((event.contender, event.reason), [])
            cells.append(f"{event.workload} at {shown_setting(event.setting)}")
        else:
            self.failures += 1
            self._remark(_failure_line(event), style="red")

    def finish(self) -> None:
        """Says which rows were left out, and saves what there is.

        Raises:
            OSError: the rows cannot be saved.
        """
        for (contender, reason), cells in self._left_out.items():
            self._remark(f"{contender} left out on {', '.join(cells)}: {reason}")
        self.save()

    def save(self) -> None:
        """Writes the JSON, if one was asked for."""
        if self._json_path is not None:
            self._result.save(self._json_path)
            self._saved_at = time.monotonic()

    def _remark(self, line: str, style: str = "yellow") -> None:
        self.remarks.append(line)
        # soft_wrap: one message is one line, however narrow the terminal.
        self._console.print(
            f"acumen: {line}", style=style, markup=False, highlight=False, soft_wrap=True
        )


def _failure_line(event: runner.Failed) -> str:
    if event.contender is None:
        return f"{event.workload}: {event.message}"
    at = f" at {shown_setting(event.setting)}" if event.setting is not None else ""
    where = f"{event.workload}{at}"
    return f"{event.contender} on {where}: {event.message}"
