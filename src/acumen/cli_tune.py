"""The command `acumen tune`: better flags for any program, or the truth that there are none.

Exit codes: 0 there is a verdict, better or no difference; 2 the command was wrong, or the default
itself fails; 130 it was interrupted, and the verdict is about what was found until then.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from acumen.cli_parts import fail

if TYPE_CHECKING:
    from acumen.flags.program import ProgramSubject
    from acumen.flags.side_by_side import SideBySide
    from acumen.learners.search import SearchLearner

_FILE = click.Path(path_type=Path, dir_okay=False)
_TIMES = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """A time such as 30s or 5m, in seconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The time in seconds."""
        found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([a-z]+)", str(value).strip().lower())
        if not found or found[2] not in _TIMES or float(found[1]) <= 0:
            self.fail(f"{value!r} is no time such as 30s, 5m or 1h", param, ctx)
        return float(found[1]) * _TIMES[found[2]]


class Spend(click.ParamType["float | int"]):
    """A time, or a number of trials."""

    name = "budget"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | int:
        """A float of seconds, or an int of trials."""
        if re.fullmatch(r"[1-9]\d*", str(value).strip()):
            return int(str(value))
        return Duration().convert(value, param, ctx)


@click.command()
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--minimize", metavar="METRIC", help="What should be less. [default: time]")
@click.option("--maximize", metavar="METRIC", help="What should be more.")
@click.option(
    "--metric-regex", metavar="REGEX",
    help="Where METRIC stands in the output: the group of the last match. It is then what the "
    "program says of itself.",
)  # fmt: skip
@click.option(
    "--metric", "more_metrics", type=(str, str), multiple=True, metavar="NAME REGEX",
    help="One more such number, for --limit and the report; may be given several times.",
)  # fmt: skip
@click.option(
    "--limit", "limits", multiple=True, metavar="METRIC=N",
    help="What must hold, such as peak_memory=2G (at most) or tps>=100; may be given several "
    "times. A setting that breaks one has failed.",
)  # fmt: skip
@click.option(
    "--space", "spaces", multiple=True, metavar="FILE|NAME",
    help="Flags from a TOML file, or one of those that come with Acumen (--list-spaces). They go "
    "where {flags} or {NAME} stands in the command, else into the environment.",
)  # fmt: skip
@click.option("--list-spaces", is_flag=True, help="Name the spaces that come with Acumen.")
@click.option(
    "--budget", type=Spend(), default="5m", show_default=True, metavar="TIME|TRIALS",
    help="How long all of it may take, such as 90s or 5m, or how many settings to try.",
)  # fmt: skip
@click.option(
    "--repeat", metavar="auto|N", default="auto", show_default=True,
    help="Runs of each setting that is tried; auto: more of those that look promising. The "
    "verdict has as many runs of its own as it needs, whatever is said here.",
)  # fmt: skip
@click.option(
    "--check", "check", metavar="KIND", default="auto", show_default=True,
    help="What makes a run right, beside exit code 0. output: the last command prints what the "
    "default prints; file:PATH: it writes the same file; exit: nothing more; auto: output, if the "
    "default always prints the same.",
)  # fmt: skip
@click.option(
    "--check-with", metavar="COMMAND",
    help="A command of yours that reads the output and exits with 0 if it is right.",
)  # fmt: skip
@click.option(
    "--whole", is_flag=True,
    help="Count time and memory of all commands that && joins. Unless given, those of the last "
    "one count: what is built before may take as long as it likes.",
)  # fmt: skip
@click.option(
    "--runs", type=click.IntRange(1, 1000), default=1, show_default=True, metavar="N",
    help="Run the last command N times each time what stands before it has run; medians count. "
    "For short programs that take long to build.",
)  # fmt: skip
@click.option("--shell", is_flag=True, help="Run the command as one line of /bin/sh.")
@click.option("--stdin", type=_FILE, metavar="FILE", help="What the last command reads.")
@click.option(
    "--timeout", type=Duration(), default="1h", show_default=True, metavar="TIME",
    help="A command that takes longer has failed. Settings that are far slower than the default "
    "are given less.",
)  # fmt: skip
@click.option(
    "--memory", metavar="SIZE",
    help="A run whose processes hold more is ended. [default: 9/10 of what is free]",
)  # fmt: skip
@click.option(
    "--output-limit", metavar="SIZE", default="1G", show_default=True,
    help="A run that prints more is ended.",
)  # fmt: skip
@click.option("--file-limit", metavar="SIZE", help="No file that it writes can become larger.")
@click.option(
    "--end-leftovers", is_flag=True,
    help="Processes that outlive the command are ended without complaint; unless given, a run "
    "that leaves some behind has failed, for its work may not be done.",
)  # fmt: skip
@click.option("--cpu", "cpus", type=click.IntRange(0), multiple=True, metavar="N",
              help="Run on this processor only; may be given several times.")  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(1, 1024), metavar="N",
    help="Try N settings at once, each in a copy of this folder: for sizes, and numbers that do "
    "not depend on what else runs. Trials that are timed disturb each other. The verdict is of "
    "runs that were alone in any case. [default: 1]",
)  # fmt: skip
@click.option(
    "--ray", metavar="ADDRESS",
    help="Try settings on a Ray cluster whose machines see this folder: auto, local, HOST:PORT or "
    "ray://HOST:PORT; as many at once as it has processors, or --jobs.",
)  # fmt: skip
@click.option(
    "--state", type=_FILE, metavar="FILE",
    help="Keep the search in this file; started again with it, it goes on where it stopped.",
)  # fmt: skip
@click.option(
    "--warm-start", "earlier", type=_FILE, multiple=True, metavar="FILE",
    help="Begin with what was best in the --state of an earlier tuning, of another input, say; "
    "may be given several times.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), help="Makes what is drawn repeatable.")
@click.option("--json", "json_path", type=_FILE, metavar="FILE", help="Write the verdict there.")
@click.option(
    "--html", "html_path", type=_FILE, metavar="FILE",
    help="Write a page there: the verdict, every pair, the search, and which flags matter.",
)  # fmt: skip
def tune(
    command: tuple[str, ...],
    list_spaces: bool,
    budget: float | int,
    repeat: str,
    json_path: Path | None,
    html_path: Path | None,
    **asked: Any,
) -> None:
    """Find better flags for COMMAND, and say honestly whether they are better.

    COMMAND follows after --, with the flags that may be set written where they belong:

    \b
      {opt:-funroll-loops?}         given or not; by default it is not
      '{level:-O[1,2,3*]}'          one of these, by default the one with the star (or the first);
                                    quoted, as a shell takes {a,b} apart
      '{vec:-f[,no-]ipa-pta?}'      one of these, or nothing, which is the default
      {size:--block=[1..64=8]}      a whole number, by default 8; [1..1024 log=64] in ratios
      {unroll:--max=[2..32]}        a whole number; by default the flag is left out

    \b
      acumen tune -- gcc -O3 {opt:-funroll-loops?} k.c -o k '&&' ./k
      acumen tune --space gcc -- gcc -O2 {flags} k.c -o k '&&' ./k
      acumen tune --space zstd --minimize file_size:out.zst --limit time=2s -- \\
          zstd -qf {flags} data -o out.zst
      acumen tune --space sqlite.toml --maximize tps --metric-regex 'tps=([0-9.]+)' -- ./bench.sh

    '&&' joins commands; the last one is what is measured (--whole: all). No shell is used unless
    asked (--shell). Metrics: time, cpu_time, peak_memory, output_size, file_size:PATH (all seen
    from outside), or a number that the program prints (--metric-regex).

    What is tried is run beside the default, and the winner is judged by fresh runs only: pairs in
    random order, until better or worse is certain. Of tunings in which nothing is better, at most
    one in a hundred says otherwise. Crashes, time-outs and wrong output never win. Of a winner
    only flags that matter are kept. Ctrl-C ends the search and goes on to the verdict; a second
    one stops.
    """  # noqa: D301 (a real backspace is how click is told to leave lines as they are)
    from acumen.flags.goal import GoalError
    from acumen.flags.subject import TuneError
    from acumen.flags.template import TemplateError
    from acumen.learners.search import SearchFileError

    if list_spaces:
        _list_spaces()
        return
    try:
        if repeat != "auto" and not re.fullmatch(r"[1-9]\d{0,3}", repeat):
            raise TuneError(f"--repeat is auto or a number, not {repeat!r}")
        _check_outputs(json_path, html_path)
        settings = {
            "learner": _learner(asked["earlier"]),
            "repeat": None if repeat == "auto" else int(repeat),
            "file": asked["state"],
            "seed": asked["seed"],
            "side_by_side": _side_by_side(asked["jobs"], asked["ray"]),
        }
        with _subject(command, asked) as subject:
            code = _run(subject, budget, settings, json_path, html_path)
    except (TemplateError, GoalError, TuneError, SearchFileError, OSError) as error:
        fail(str(error))
    sys.exit(code)


def _subject(command: tuple[str, ...], asked: dict[str, Any]) -> ProgramSubject:
    """The program as the options describe it."""
    from acumen.evaluation.programs.run import Limits
    from acumen.flags.asking import make_goal, make_template
    from acumen.flags.goal import parse_amount
    from acumen.flags.program import Check, ProgramSubject

    def size(name: str) -> int | None:
        return None if asked[name] is None else int(parse_amount(asked[name]))

    goal = make_goal(
        asked["minimize"],
        asked["maximize"],
        asked["metric_regex"],
        dict(asked["more_metrics"]),
        asked["limits"],
        asked["whole"],
        asked["runs"],
    )
    limits = Limits(
        seconds=asked["timeout"],
        memory=size("memory"),
        output=size("output_limit") or 0,
        file_size=size("file_limit"),
        end_leftovers=asked["end_leftovers"],
    )
    return ProgramSubject(
        make_template(command, asked["spaces"], asked["shell"]),
        goal,
        Check(asked["check"], tuple(shlex.split(asked["check_with"] or ""))),
        limits=limits,
        stdin=asked["stdin"],
        cpus=asked["cpus"],
    )


def _list_spaces() -> None:
    from acumen.flags.space_file import load_space, shipped

    for name, about in shipped().items():
        click.echo(f"{name:12} {len(load_space(name).pieces):3} flags  {about}")


def _check_outputs(*paths: Path | None) -> None:
    """Notices now what could not be written in the end."""
    from acumen.evaluation.results import is_special

    for path in paths:
        if path is not None and not is_special(path):
            folder = path.resolve().parent
            if not folder.is_dir():
                raise OSError(f"cannot write {path}: there is no folder {folder}")
            try:
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise OSError(f"cannot write {path}: {folder}: {error.strerror}") from None


def _learner(earlier: tuple[Path, ...]) -> SearchLearner | None:
    """The default one; after the best settings of earlier tunings, if there are any."""
    from acumen.learners.search import EarlierRun, WarmStart

    return WarmStart(tuple(map(EarlierRun.from_file, earlier))) if earlier else None


def _side_by_side(jobs: int | None, ray: str | None) -> SideBySide | None:
    from acumen.flags.side_by_side import SideBySide

    return SideBySide(jobs, ray) if ray is not None or (jobs or 1) > 1 else None


def _run(
    subject: ProgramSubject,
    budget: float | int,
    settings: dict[str, Any],
    json_path: Path | None,
    html_path: Path | None,
) -> int:
    from acumen.cli_tune_out import Display, show
    from acumen.evaluation.results import write_atomically
    from acumen.flags.report import write_report
    from acumen.flags.tuner import Budget, Tuner

    spend = Budget(trials=budget) if isinstance(budget, int) else Budget(seconds=budget)
    # Whoever ends the process politely, or closes its terminal, gets a verdict too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    with Display(spend, subject) as display:
        tuned = Tuner(subject, spend, told=display.take, **settings).run()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    show(tuned, subject)
    if json_path is not None:
        write_atomically(json_path, [json.dumps(tuned.as_dict(), indent=2) + "\n"])
    if html_path is not None:
        write_report(tuned, subject, html_path)
        click.echo(f"The report is in {html_path}; open it in a browser.", err=True)
    if tuned.interrupted:
        return 130
    return 2 if tuned.verdict.kind == "failed" else 0
