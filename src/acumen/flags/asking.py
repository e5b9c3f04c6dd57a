"""From what a user writes to what is tuned; and `tune_program`, which does all of it in a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from acumen.evaluation.programs.run import Limits
from acumen.flags.goal import OUTSIDE, Goal, GoalError, parse_limit
from acumen.flags.program import Check, ProgramSubject
from acumen.flags.side_by_side import SideBySide
from acumen.flags.space_file import SpaceFile, load_space
from acumen.flags.template import Template, TemplateError, parse_command
from acumen.flags.tuner import Budget, Progress, Tuned, Tuner
from acumen.learners.search import SearchLearner


def make_template(
    command: Sequence[str], spaces: Sequence[str | Path | SpaceFile] = (), shell: bool = False
) -> Template:
    """A command with its flags, those of space files included.

    Args:
        command: its words; see `acumen.flags.template`.
        spaces: files, or names of spaces that come with the package.
        shell: whether it is one line for a shell.

    Raises:
        TemplateError: it cannot be understood.
    """
    if not command:
        raise TemplateError("no command; it follows after --, as in: acumen tune -- ./prog {a:-x?}")
    files = [one if isinstance(one, SpaceFile) else load_space(one) for one in spaces]
    pieces = {name: piece for file in files for name, piece in file.pieces.items()}
    if len(pieces) < sum(len(file.pieces) for file in files):
        raise TemplateError("two of the spaces have flags of the same name")
    return parse_command(
        command,
        pieces,
        shell=shell,
        join=files[0].join if files else " ",
        conditions={name: when for file in files for name, when in file.conditions.items()},
        constraints=[one for file in files for one in file.constraints],
    )


def make_goal(
    minimize: str | None = None,
    maximize: str | None = None,
    regex: str | None = None,
    more: Mapping[str, str] | None = None,
    limits: Sequence[str] = (),
    whole: bool = False,
    runs: int = 1,
) -> Goal:
    """What is to be better.

    Args:
        minimize: a metric; time unless something is given.
        maximize: or one of which more is better.
        regex: finds it in the output.
        more: further metrics, by name the expressions that find them.
        limits: what must hold, such as ``peak_memory=2G``.
        whole: whether all commands are measured, not the last one alone.
        runs: of the last command, after those before it have run once.

    Raises:
        GoalError: it cannot be understood.
    """
    if minimize and maximize:
        raise GoalError("one metric is minimised or maximised; what else must hold is a limit")
    metric = maximize or minimize or "time"
    patterns = dict(more or {})
    if regex is not None:
        patterns[metric] = regex
    if clash := set(patterns) & set(OUTSIDE):
        raise GoalError(f"{', '.join(clash)} is measured from outside; call yours something else")
    parsed = [parse_limit(one) for one in limits]
    return Goal(metric, bool(maximize), parsed, patterns, whole, runs)


def tune_program(
    command: Sequence[str],
    *,
    budget: float | Budget = 300.0,
    spaces: Sequence[str | Path | SpaceFile] = (),
    goal: Goal | None = None,
    check: Check | str = "auto",
    limits: Limits | None = None,
    shell: bool = False,
    cwd: Path | None = None,
    stdin: Path | None = None,
    learner: SearchLearner | None = None,
    repeat: int | None = None,
    file: Path | None = None,
    seed: int | None = None,
    side_by_side: SideBySide | None = None,
    told: Callable[[Progress], None] = lambda progress: None,
) -> Tuned:
    """Tunes the flags of a program, as `acumen tune` does.

    Args:
        command: its words, with the flags that may be set: see `acumen.flags.template`.
        budget: seconds of wall time for everything, or a `Budget`.
        spaces: files of flags, or names of spaces that come with the package.
        goal: what is to be better; less time unless given. See `make_goal`.
        check: what makes a run right.
        limits: of each command.
        shell: whether it is one line for a shell.
        cwd: where it runs; here unless given.
        stdin: a file that the last command reads.
        learner: who searches.
        repeat: runs of each setting that is tried; None: more of promising ones.
        file: keeps the search, so that it can go on there.
        seed: makes what is drawn repeatable.
        side_by_side: how many settings are tried at once, and where; one here unless given.
        told: is called often, with where things are.

    Raises:
        TemplateError, TuneError: something is wrong with what was asked.

    >>> tuned = tune_program(["true", "{verbose:--verbose?}"], budget=Budget(trials=2, seconds=2))
    >>> tuned.verdict.kind
    'no_difference'
    """
    template = make_template(command, spaces, shell)
    checked = Check(check) if isinstance(check, str) else check
    spend = budget if isinstance(budget, Budget) else Budget(seconds=budget)
    with ProgramSubject(
        template, goal or Goal(), checked, limits=limits, cwd=cwd, stdin=stdin
    ) as subject:
        return Tuner(
            subject, spend, learner=learner, repeat=repeat, file=file, seed=seed,
            side_by_side=side_by_side, told=told,
        ).run()  # fmt: skip
