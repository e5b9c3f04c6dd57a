"""The command `acumen train`: learns from a journal what all of its processes have learned."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from acumen.cli_parts import DIRECTORY, choice_option, fail

if TYPE_CHECKING:
    from acumen.core.training import Training

SHOW_SECONDS = 2.0


@click.command()
@click.argument("directory", type=DIRECTORY)
@choice_option
@click.option("--watch", is_flag=True, help="Go on, and stand in if another trainer dies.")
@click.option(
    "--publish-seconds",
    type=click.FloatRange(0.01, 3600),
    default=1.0,
    show_default=True,
    help="At least so much time between two models.",
)
@click.option(
    "--pending-max",
    type=click.IntRange(1, 1 << 24),
    help="Decisions that may wait for feedback, of all processes together; as many as one "
    "process keeps unless you say more.",
)
@click.option(
    "--patience-seconds",
    type=click.FloatRange(0.1, 3600),
    default=10.0,
    show_default=True,
    help="A trainer that shows no sign of life for so long is replaced.",
)
@click.option("--quiet", is_flag=True, help="No progress.")
def train(
    directory: Path,
    choice: str | None,
    watch: bool,
    publish_seconds: float,
    pending_max: int | None,
    patience_seconds: float,
    quiet: bool,
) -> None:
    """Learn from a journal, and publish models beside it for those who follow.

    The choice is made from what the journal says of it. One trainer at a time does the work in a
    directory; with --watch others wait to stand in.

    Exit codes: 0 all is well; 1 somebody else is the trainer; 2 the journal cannot be used.
    """
    from acumen.core import ModelError
    from acumen.core.journal_format import JournalError

    try:
        times = {"publish_seconds": publish_seconds, "patience_seconds": patience_seconds}
        training = _training(directory, choice, pending_max, times)
        sys.exit(_watch(training, quiet) if watch else _train_once(training, quiet))
    except (JournalError, ModelError, ValueError, TypeError, OSError) as error:
        fail(str(error))


def _training(
    directory: Path, choice: str | None, pending_max: int | None, times: dict[str, float]
) -> Training:
    from acumen.cli_journal import open_one
    from acumen.core.journal_format import JournalError
    from acumen.core.journal_segments import folder_of, newest_info
    from acumen.core.training import Training
    from acumen.learners.described import choice_of_journal

    journal, name = open_one(directory, choice)
    info = newest_info(folder_of(journal.path, name))
    if info is None:
        raise JournalError(f"{directory}: no segment of {name!r} can be read")
    return Training(lambda: choice_of_journal(info, pending_max), journal, **times)


def _train_once(training: Training, quiet: bool) -> int:
    """Everything that is there now."""
    training.step()
    if not training.health.elected:
        click.echo("acumen: another trainer is at work in this directory", err=True)
        return 1
    # Once more after a second: what seemed to be missing may just have been renamed.
    deadline = time.monotonic() + 1.5
    while training.step() or time.monotonic() < deadline:
        if training.caught_up and not training.has_holes:
            break
    training.publish(force=True)
    _show(training, quiet)
    training.stop()
    return 0


def _watch(training: Training, quiet: bool) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    worker = threading.Thread(target=training.run, args=(stop,), name="acumen-training")
    worker.start()
    shown: object = None
    while worker.is_alive():
        stop.wait(SHOW_SECONDS)
        state = _state(training)
        if state != shown:
            _show(training, quiet)
            shown = state
        if stop.is_set():
            worker.join(10)
            break
    _show(training, quiet)
    training.stop()
    return 0


def _state(training: Training) -> tuple[Any, ...]:
    report, health = training.trainer.report, training.health
    return health.elected, report.events, health.errors, len(training.problems)


def _show(training: Training, quiet: bool) -> None:
    """One line of progress, and what is wrong, once each."""
    report, health = training.trainer.report, training.health
    if not quiet:
        what = "training" if health.elected else "standing by"
        click.echo(
            f"{what}: {report.events:,} events, {report.lessons:,} lessons from "
            f"{len(training.trainer.positions)} streams; model {training.stamp[0]}."
            f"{training.stamp[1]} in {training.folder}"
        )
    notes = list(training.problems)
    notes += [f"{stream}: {why}: left out" for stream, why in report.foreign.items()]
    if report.unjoined:
        notes.append(
            f"{report.unjoined:,} feedbacks came later than the decisions that are kept: "
            "raise --pending-max"
        )
    if report.ambiguous:
        notes.append(
            f"{report.ambiguous:,} feedbacks may be for any of several processes' decisions: "
            "they are left out"
        )
    if health.last_error:
        notes.append(f"{health.errors} errors, the last: {health.last_error}")
    _warn(notes, lambda text: click.echo(f"acumen: {text}", err=True))


_told: set[str] = set()


def _warn(notes: list[str], tell: Callable[[str], None]) -> None:
    for note in notes:
        kind = note.split(" feedbacks ")[-1]
        if kind not in _told:
            _told.add(kind)
            tell(note)
