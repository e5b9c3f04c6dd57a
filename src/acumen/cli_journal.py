"""The command line's group `acumen journal`: looking into journals, asking, checking, tidying.

Exit codes: 0 all is well; 2 the command was wrong, or the journal is damaged or cannot be read.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from acumen.cli_parts import DIRECTORY, choice_option, fail

if TYPE_CHECKING:
    import pyarrow as pa

    from acumen.core.journal import Journal

HIDDEN = ("stream", "replica", "feedback_time", "suggested", "learned_share")


def _command(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is wrong with a journal is one line, not a traceback."""

    @wraps(function)
    def run(*args: Any, **options: Any) -> None:
        from acumen.core.journal_format import JournalError

        try:
            function(*args, **options)
        except BrokenPipeError:
            sys.stderr.close()  # whoever read this has seen enough
        except (JournalError, OSError) as error:
            fail(str(error))

    return run


def _open(directory: Path, choice: str | None, wanted: bool = True) -> tuple[Journal, str | None]:
    from acumen.core.journal import Journal
    from acumen.core.journal_format import JournalError

    if not directory.is_dir():
        raise JournalError(f"{directory}: no such directory")
    journal = Journal(directory)
    known = journal.choices()
    if not known:
        raise JournalError(f"{directory}: there is no journal here")
    if choice is not None and choice not in known:
        raise JournalError(f"{directory}: no choice {choice!r}; there are {', '.join(known)}")
    if choice is None and wanted:
        if len(known) > 1:
            raise JournalError(f"several choices, name one with --choice: {', '.join(known)}")
        choice = known[0]
    return journal, choice


def open_one(directory: Path, choice: str | None) -> tuple[Journal, str]:
    """A directory's journal and the one choice that is meant.

    Raises:
        JournalError: there is no such journal or choice, or several and none is named.
        OSError: it cannot be read.
    """
    opened, name = _open(directory, choice)
    assert name is not None
    return opened, name


@click.group()
def journal() -> None:
    """Look into journals: what was chosen, and what came of it.

    A journal is a directory that choices write with `Choice(..., journal="DIR")`. Its sealed
    segments are Arrow IPC files; these commands only save typing.

    \b
      acumen journal ls DIR
      acumen journal show DIR --choice codec
      acumen journal sql DIR "select arm, avg(metric_seconds) from decisions group by arm"
      acumen journal verify DIR
      acumen journal compact DIR
    """  # noqa: D301 (a real backspace is how click is told to leave lines as they are)


def _format_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--format",
        "form",
        type=click.Choice(["table", "csv", "json"]),
        default="table",
        show_default=True,
        help="How to print; json is one object a line.",
    )(function)


@journal.command("ls")
@click.argument("directory", type=DIRECTORY)
@choice_option
@_command
def list_segments(directory: Path, choice: str | None) -> None:
    """List segments: whose, their state, events, and bytes."""
    from acumen.core.journal_format import JournalError
    from acumen.core.journal_segments import SegmentReader, folder_of, segments_in

    opened, choice = _open(directory, choice, wanted=False)
    rows = []
    for name in [choice] if choice else opened.choices():
        for segment in segments_in(folder_of(opened.path, name)):
            state = "sealed" if segment.sealed else "open"
            try:
                size = segment.path.stat().st_size
                first, last = SegmentReader(segment.path).bounds()
                events = f"{first} … {last}"
            except FileNotFoundError:
                continue  # sealed or deleted just now
            except JournalError as error:
                events = f"cannot be read: {error}" if size else "none yet"
            rows.append((name, segment.path.name, state, events, f"{size:,}"))
    _print("table", ["choice", "segment", "state", "events", "bytes"], rows)


@journal.command()
@click.argument("directory", type=DIRECTORY)
@choice_option
@click.option("--events", is_flag=True, help="Raw events instead of decisions with their feedback.")
@click.option("--modes", is_flag=True, help="Switches of the mode instead: when, by whom, why.")
@click.option(
    "-n",
    "--last",
    type=click.IntRange(1, 1_000_000),
    default=20,
    show_default=True,
    help="How many, counted from the end.",
)
@click.option("--all-columns", is_flag=True, help="Also those that are left out of tables.")
@_format_option
@_command
def show(
    directory: Path,
    choice: str | None,
    events: bool,
    modes: bool,
    last: int,
    all_columns: bool,
    form: str,
) -> None:
    """Show the last decisions with what came of them, the last events, or switches of the mode.

    Names of categories stand for their codes, arms for their indices, where the journal knows them.
    """
    opened, choice = _open(directory, choice)
    rows: list[dict[str, Any]]
    if modes:
        rows = _switches(opened, choice)[-last:]
    elif events:
        newest: deque[dict[str, Any]] = deque(maxlen=last)
        for batch in opened.scan(choice):
            newest.extend(batch.slice(max(0, batch.num_rows - last)).to_pylist())
        rows = list(newest)
    else:
        table = opened.decisions(choice)
        rows = table.slice(max(0, table.num_rows - last)).to_pylist()
        _name(rows, opened, choice)
    columns = list(rows[0]) if rows else []
    if form == "table" and not all_columns:
        # A column in which nothing stands says nothing.
        columns = [c for c in columns if any(r[c] is not None for r in rows) and c not in HIDDEN]
    _print(form, columns, [[row[c] for c in columns] for row in rows])


def _switches(opened: Journal, choice: str | None) -> list[dict[str, Any]]:
    """Every switch of the mode, in all processes, in order of time."""
    import pyarrow.compute as pc

    found = []
    for batch in opened.scan(choice):
        kept = pc.equal(batch.column("kind").cast("string"), "mode")
        for row in batch.filter(kept).to_pylist():
            try:
                said = json.loads(row["text"])
            except (ValueError, TypeError, RecursionError):
                said = None
            told = said if isinstance(said, dict) else {"why": row["text"]}
            columns = ("mode", "canary", "killed", "stage", "by", "why")
            found.append(
                {"time": row["time"], "replica": row["replica"]} | {c: told.get(c) for c in columns}
            )
    return sorted(found, key=lambda row: row["time"])


def _name(rows: list[dict[str, Any]], opened: Journal, choice: str | None) -> None:
    """Replaces indices of arms and codes of categories by what people call them."""
    names = opened.names(choice)
    arms = next(iter(opened.events(choice))).info.arms
    for row in rows:
        for column in ("arm", "suggested", "default_arm"):
            index = row[column]
            if index is not None and index < len(arms) and not arms[0].startswith("candidates["):
                row[column] = arms[index]
        for field, codes in names.items():
            value = row.get(f"context.{field}")
            if value is not None and int(value) in codes:
                row[f"context.{field}"] = " or ".join(codes[int(value)])


@journal.command()
@click.argument("directory", type=DIRECTORY)
@click.argument("query")
@choice_option
@_format_option
@_command
def sql(directory: Path, query: str, choice: str | None, form: str) -> None:
    """Ask a journal in SQL (DuckDB; pip install 'acumen[sql]').

    \b
    Tables:
      decisions   every decision with what came of it, one a row
      events      everything, in order
      names       field, code, name: what stands behind the codes of categories
      arms        arm, name

    Dots in column names become underscores: context_size, metric_seconds.

    \b
      acumen journal sql DIR "select reason, count(*) from decisions group by all"
      acumen journal sql DIR "select name, avg(metric_seconds), count(*)
                              from decisions join arms using (arm) group by name"
    """  # noqa: D301
    opened, choice = _open(directory, choice)
    columns, rows = _ask(query, _tables(opened, choice))
    _print(form, columns, rows)


def _tables(opened: Journal, choice: str | None) -> dict[str, Any]:
    import pyarrow as pa

    batches = list(opened.events(choice))
    arms = batches[0].info.arms if batches else ()
    named = [
        (f, c, n) for f, codes in opened.names(choice).items() for c in codes for n in codes[c]
    ]
    events = [pa.Table.from_batches([b.rows.replace_schema_metadata(None)]) for b in batches]
    return {
        "events": _plain_names(pa.concat_tables(events, promote_options="default")),
        "decisions": _plain_names(opened.decisions(choice)),
        "names": pa.table(
            {
                "field": pa.array([n[0] for n in named], pa.utf8()),
                "code": pa.array([n[1] for n in named], pa.int64()),
                "name": pa.array([n[2] for n in named], pa.utf8()),
            }
        ),
        "arms": pa.table(
            {"arm": pa.array(range(len(arms)), pa.int32()), "name": pa.array(arms, pa.utf8())}
        ),
    }


def _plain_names(table: pa.Table) -> pa.Table:
    return table.rename_columns([name.replace(".", "_") for name in table.column_names])


def _ask(query: str, tables: dict[str, Any]) -> tuple[list[str], list[Sequence[Any]]]:
    try:
        import duckdb
    except ImportError:
        fail("SQL needs DuckDB: pip install 'acumen[sql]'")
    connection = duckdb.connect()
    for name, table in tables.items():
        connection.register(name, table)
    try:
        result = connection.execute(query)
        columns = [column[0] for column in result.description or []]
        return columns, list(result.fetchall())
    except duckdb.Error as error:
        fail(str(error))


@journal.command()
@click.argument("directory", type=DIRECTORY)
@choice_option
@_command
def verify(directory: Path, choice: str | None) -> None:
    """Check every segment; seal what dead processes have left, and say what had to be cut off.

    What a kill has torn off behind the last batch is reported, but is no damage: it was never said
    to be on the disk. Exit code 2 if something is damaged or missing.
    """
    opened, choice = _open(directory, choice, wanted=False)
    found = opened.verify(choice)
    for recovered in found.recovered:
        click.echo(
            f"{recovered.path.name}: sealed, {recovered.rows} events up to {recovered.last}, "
            f"{recovered.torn_bytes} torn bytes cut off"
        )
    problems = [f"{s.path.name}: {text}" for s in found.segments for text in s.problems]
    problems += [f"{r.path.name}: {text}" for r in found.recovered for text in r.problems]
    problems += found.missing
    for problem in problems:
        click.echo(problem)
    events = sum(segment.rows for segment in found.segments)
    click.echo(f"{len(found.segments)} segments, {events} events")
    if problems:
        fail(f"{directory}: {len(problems)} problems")


@journal.command()
@click.argument("directory", type=DIRECTORY)
@choice_option
@click.option(
    "--compression",
    type=click.Choice(["zstd", "lz4", "none"]),
    default="zstd",
    show_default=True,
    help="Of the columns; every reader of Arrow knows these.",
)
@_command
def compact(directory: Path, choice: str | None, compression: str) -> None:
    """Put small segments together into larger, compressed ones; nothing is lost.

    Choices may go on writing meanwhile.
    """
    opened, choice = _open(directory, choice, wanted=False)
    fewer = opened.compact(choice, compression=None if compression == "none" else compression)
    click.echo(f"{fewer} files fewer")


def _print(form: str, columns: list[str], rows: Iterable[Sequence[Any]]) -> None:
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    elif form == "json":
        for row in rows:
            click.echo(json.dumps(dict(zip(columns, row, strict=True)), default=str))
    else:
        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*(_text(value) for value in row))
        # What is piped or kept in a file has no width to be squeezed into.
        console = Console() if sys.stdout.isatty() else Console(width=240)
        console.print(table, markup=False, highlight=False)


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("[", "\\[")
