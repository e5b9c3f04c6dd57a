"""The command line: `acumen race` and what it needs; `acumen journal` is in cli_journal.py.

Exit codes: 0 all went well; 2 the command was wrong, or something in it failed while the rest
ran on; 130 interrupted, with the finished rows saved.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from acumen.cli_evaluate import evaluate
from acumen.cli_journal import journal
from acumen.cli_nests import nests
from acumen.cli_place import place
from acumen.cli_train import train
from acumen.cli_tune import tune
from acumen.cli_watch import watch
from acumen.evaluation import (
    Ask,
    Race,
    RaceError,
    Result,
    describe_machine,
    find_data,
    run,
    select_contenders,
)
from acumen.evaluation.discovery import find_races, load_race
from acumen.evaluation.live import Watch
from acumen.evaluation.report import Page, check_plotly, write_report
from acumen.evaluation.results import describe_versions, is_special
from acumen.evaluation.runner import Event
from acumen.evaluation.terminal import tables


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="acumen")
def main() -> None:
    """Learned choices for systems software.

    Start with `acumen race`: it lists what can be raced. `acumen journal ls DIR` lists what was
    chosen; `acumen watch DIR` shows it.
    """


main.add_command(journal)
main.add_command(nests)
main.add_command(place)
main.add_command(evaluate)
main.add_command(train)
main.add_command(tune)
main.add_command(watch)


@main.command()
@click.argument("domain", required=False)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of workloads, or of folders of them by domain. Else $ACUMEN_DATA/DOMAIN, then"
    " the user's cache directory, else the race makes its own small real workload.",
)
@click.option(
    "--workload",
    "workloads",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Race on this file only; may be given several times.",
)
@click.option(
    "--contender",
    "contenders",
    multiple=True,
    metavar="NAME",
    help="Run only these (and the default and the bound, which give values their meaning); may"
    " be given several times. Also names contenders that are too slow to run unasked.",
)
@click.option("--quick", is_flag=True, help="A first look in under a minute.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**62),
    default=0,
    show_default=True,
    help="First seed of what is random.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the rows here, again and again while they come in.",
)
@click.option(
    "--html",
    "html_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write one self-contained page with plots here (needs plotly).",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=None,
    metavar="N",
    help="Processes; as many as there are cores unless given. The learned contender is timed"
    " while nothing else runs; with 1, everybody is. Where time is what is raced for (index), all"
    " take turns in one process anyway.",
)
def race(
    domain: str | None,
    data: Path | None,
    workloads: tuple[Path, ...],
    contenders: tuple[str, ...],
    quick: bool,
    seed: int,
    json_path: Path | None,
    html_path: Path | None,
    jobs: int | None,
) -> None:
    """Race a learned choice against today's heuristics and against the bound.

    DOMAIN is what is raced; without one, the domains are listed. Every contender runs on every
    workload at every setting. Each row is a mean with its 95 % interval where something is
    random. The residual of a contender is the share of the gap between the default heuristic and
    the bound that it leaves: 0 is perfect, 1 is no better than today.

    \b
      acumen race                                   which domains there are
      acumen race caching --quick                   a first look, with no data at all
      acumen race caching --workload trace.csv      on a trace of your own
      acumen race caching --data DIR --json out.json --html out.html
      acumen race index --workload keys.parquet     look-ups among your own keys

    Ctrl-C stops at once and keeps the rows that are finished. A workload that cannot be used is
    reported in one line, the others run on, and the exit code is 2.
    """  # noqa: D301 (a real backspace is how click is told to leave lines as they are)
    if domain is None:
        _list_races()
        return
    try:
        chosen = load_race(domain)
        # Named files replace the data that would have been found unasked.
        folder = None if workloads and data is None else find_data(domain, data)
        ask = Ask(folder, workloads, quick, seed, contenders)
        _check_outputs(ask, json_path, html_path)
        if html_path is not None:
            check_plotly()
        code = _run_race(chosen, ask, jobs or _cores(), json_path, html_path)
    except (RaceError, OSError) as error:
        _complain(str(error))
        code = 2
    sys.exit(code)


def _list_races() -> None:
    table = Table(box=None, show_header=False)
    for name, load in find_races().items():
        try:
            table.add_row(f"[bold]{name}[/bold]", load().summary)
        except Exception as error:  # A part that is broken must not hide the others.
            table.add_row(name, f"[red]cannot be loaded: {error}[/red]")
    console = Console()
    console.print("Domains to race in (acumen race DOMAIN):")
    console.print(table)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _complain(message: str) -> None:
    click.echo(f"acumen: {message}", err=True)


def _check_outputs(ask: Ask, *outputs: Path | None) -> None:
    """Better now than after twenty minutes."""
    taken = [Path(os.path.realpath(path)) for path in ask.files]
    for path in outputs:
        if path is None:
            continue
        if is_special(path):
            if not os.access(path, os.W_OK):
                raise RaceError(f"cannot write {path}: no permission")
            continue
        real = Path(os.path.realpath(path))
        folder = real.parent
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise RaceError(f"cannot write {path}: its folder is missing or read-only")
        if real.exists() and not os.access(real, os.W_OK):
            raise RaceError(f"cannot write {path}: the file is read-only")
        if any(real == other or _is_same(real, other) for other in taken):
            raise RaceError(f"cannot write {path}: it is a workload or the other output")
        if real.exists() and _lies_among(real, ask.data):
            raise RaceError(f"cannot write {path}: it lies among the workloads")
        taken.append(real)


def _is_same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


def _lies_among(path: Path, folder: Path | None) -> bool:
    # Results of an earlier race may well be kept beside the data.
    own = path.suffix.lower() in (".json", ".html")
    return folder is not None and not own and path.parent == folder.resolve()


def _run_race(
    chosen: Race, ask: Ask, jobs: int, json_path: Path | None, html_path: Path | None
) -> int:
    # No terminal is worth a lost race: what it cannot show becomes a question mark.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    everyone = select_contenders(chosen, ask)
    default = next((c.name for c in everyone if c.default), None)
    result = Result(
        chosen.domain,
        chosen.metric,
        ask.seed,
        describe_machine(),
        judged=next((c.name for c in everyone if c.kind == "learned" and not c.control), None),
        control=next((c.name for c in everyone if c.control), None),
    )
    notes = list(chosen.notes(ask))
    for note in notes:
        click.echo(note, err=True)
    watch = Watch(result, json_path, Console(stderr=True))
    result.context.update(
        versions=describe_versions(),
        quick=ask.quick,
        jobs=jobs,
        contenders=[contender.name for contender in everyone],
        notes=notes,
        # These two grow while the race runs.
        remarks=watch.remarks,
        workloads=watch.details,
    )
    interrupted = _watch_race(watch, run(chosen, ask, jobs))
    # From here on nothing may be lost: neither by a full disk nor by one more Ctrl-C.
    saved = _attempt(watch.finish)
    # What is piped or kept in a file has no width to be squeezed into.
    output = Console() if sys.stdout.isatty() else Console(width=140)
    for table in tables(result, default, output.width):
        output.print(table)
    if html_path is not None:
        page = Page(
            result,
            chosen.summary,
            default,
            watch.details,
            {contender.name: contender.about for contender in everyone},
            (*notes, *watch.remarks),
        )
        if _attempt(lambda: write_report(page, html_path)):
            click.echo(f"The report is in {html_path}; open it in a browser.")
        else:
            saved = False
    if interrupted:
        where = f", saved in {json_path}" if json_path and saved else ""
        _complain(f"interrupted; {len(result.rows)} finished rows{where}")
        return 130
    if not result.rows and not watch.failures:
        _complain("nothing was raced")
    return 0 if result.rows and saved and not watch.failures else 2


def _watch_race(watch: Watch, events: Generator[Event, None, None]) -> bool:
    """Takes all events; True if it was interrupted. Afterwards Ctrl-C does nothing."""
    # Whoever ends the process politely, or closes its terminal, gets the finished rows too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with watch.live(), contextlib.closing(events):
            for event in events:
                watch.take(event)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return True
    return False


def _attempt(write: Callable[[], None]) -> bool:
    """Whether it could be written; says so if not."""
    try:
        write()
    except (OSError, RaceError) as error:
        _complain(str(error))
        return False
    return True
