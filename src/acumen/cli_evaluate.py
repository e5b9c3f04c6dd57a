"""The command `acumen evaluate`: what a policy would have earned, from the log of another."""

from __future__ import annotations

import importlib
import json
import os
import sys
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from acumen.cli_parts import fail
from acumen.core import (
    ModelError,
    Objective,
    maximize,
    minimize,
)
from acumen.evaluation.off_policy import (
    IPS,
    SNIPS,
    DecisionLog,
    Difference,
    DirectMethod,
    DoublyRobust,
    Estimate,
    Estimator,
    Limits,
    LogError,
    Policy,
    PolicyError,
    Switch,
    compare,
    estimates,
    read_records,
)
from acumen.evaluation.results import write_atomically
from acumen.learners.described import choice_of_model

if TYPE_CHECKING:
    import pyarrow as pa

ESTIMATORS: dict[str, Estimator] = {
    e.name: e for e in (DoublyRobust(), Switch(), SNIPS(), IPS(), DirectMethod())
}
NOTHING = "\u2013"


@click.command()
@click.argument("log", type=click.Path(path_type=Path), metavar="LOG")
@click.option(
    "--policy",
    required=True,
    metavar="POLICY",
    help="What to evaluate: a model file, MODULE:NAME (a choice, a function of the context, an"
    " arm's index), arm:INDEX, 'default', 'uniform' or 'logged'.",
)
@click.option(
    "--against",
    default="logged",
    show_default=True,
    metavar="POLICY",
    help="What to compare it with.",
)
@click.option(
    "--estimator",
    "names",
    multiple=True,
    type=click.Choice(list(ESTIMATORS)),
    help="Only this one; may be given several times. The first decides the comparison.",
)
@click.option("--minimize", "less", multiple=True, metavar="METRIC", help="Less of it is better.")
@click.option("--maximize", "more", multiple=True, metavar="METRIC", help="More of it is better.")
@click.option("--choice", "choice_name", metavar="NAME", help="Which choice of a journal.")
@click.option("--arms", type=click.IntRange(1), metavar="N", help="How many arms there are.")
@click.option(
    "--timeout-reward", type=float, metavar="R", help="Reward of decisions that timed out."
)
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Of the intervals.",
)
@click.option(
    "--min-ess",
    type=click.FloatRange(1),
    default=Limits().effective_sample_size,
    show_default=True,
    metavar="N",
    help="Effective sample size below which nothing is said.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write all figures here.",
)
def evaluate(
    log: Path,
    policy: str,
    against: str,
    names: tuple[str, ...],
    less: tuple[str, ...],
    more: tuple[str, ...],
    choice_name: str | None,
    arms: int | None,
    timeout_reward: float | None,
    confidence: float,
    min_ess: float,
    json_path: Path | None,
) -> None:
    """Estimate what a policy would have earned, from the log of another.

    LOG is a Parquet or Arrow file with the columns of `Choice.records()`, or a journal's directory.
    Intervals are for the mean reward a decision; where the log is too small or does not cover what
    the policy would do, the answer is that, not a number.

    \b
      acumen evaluate log.parquet --policy model.acumen --minimize seconds
      acumen evaluate log.parquet --policy mine.py:heuristic --against default --maximize hits

    Exit codes: 0 there is an answer; 1 every estimator refused; 2 the command was wrong.
    """  # noqa: D301 (a real backspace is how click is told to leave lines as they are)
    try:
        records = read_log(log, choice_name)
        read = read_records(
            records, _objective(less, more), arms=arms, timeout_reward=timeout_reward
        )
        chosen = [ESTIMATORS[name] for name in names or ESTIMATORS]
        limits = Limits(effective_sample_size=min_ess, spread_size=min_ess / 2)
        candidate, baseline = find_policy(policy, read), find_policy(against, read)
        found = estimates(read, candidate, chosen, confidence=confidence, limits=limits)
        decider = next((e for e in chosen if not isinstance(e, DirectMethod)), None)
        difference = None
        if decider is not None:
            difference = compare(
                read,
                candidate,
                baseline,
                estimator=decider,
                confidence=confidence,
                limits=limits,
            )
        if json_path is not None:
            _write(json_path, policy, against, found, difference)
    except (LogError, PolicyError, ModelError, OSError) as error:
        fail(str(error))
    _show(read, found, difference, against)
    sys.exit(0 if any(e.value is not None for e in found) else 1)


def read_log(path: Path, choice: str | None) -> pa.Table:
    """The records of a Parquet or Arrow file, or of a journal.

    Raises:
        LogError: it is none of these.
        OSError: it cannot be read.
    """
    import acumen

    if path.is_dir():
        journal: Any = getattr(acumen, "Journal", None)
        if journal is None:
            raise LogError(f"{path}: a directory; this version of Acumen reads files")
        try:
            return journal(path).decisions(choice)
        except ValueError as error:
            raise LogError(f"{path}: {error}") from None
    import pyarrow as pa
    from pyarrow import feather, ipc, parquet

    if not path.is_file():
        raise LogError(f"{path}: no such file")
    with open(path, "rb") as file:
        start = file.read(8)
    try:
        if start.startswith(b"PAR1"):
            return parquet.read_table(path)
        if start.startswith(b"ARROW1"):
            return feather.read_table(path, memory_map=False)
        with pa.OSFile(str(path)) as file:
            return ipc.open_stream(file).read_all()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise LogError(
            f"{path}: neither Parquet nor Arrow: {(str(error).splitlines() or [''])[0]}"
        ) from None


def find_policy(name: str, log: DecisionLog) -> Policy:
    """What the command line calls a policy.

    Raises:
        PolicyError: there is no such thing.
        ModelError: a model file that cannot be used.
        OSError: or not be read.
    """
    if name in ("logged", "default", "uniform"):
        return name  # type: ignore[return-value]
    if name.startswith("arm:"):
        arm = name.removeprefix("arm:")
        labels = [label.strip("'\"") for label in log.labels]
        if arm in labels:
            return labels.index(arm)
        if not arm.isdecimal():
            raise PolicyError(f"no arm {arm!r}; the log has {', '.join(labels) or log.arms}")
        return int(arm)
    if Path(name).is_file():
        return choice_of_model(Path(name))
    module, colon, attribute = name.partition(":")
    if not (colon and module and attribute):
        raise PolicyError(f"no policy {name!r}: no such file, and not MODULE:NAME")
    return _imported(module.removesuffix(".py").replace(os.sep, "."), attribute)


def _imported(module: str, attribute: str) -> Policy:
    sys.path.insert(0, os.getcwd())
    try:
        found: Policy = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise PolicyError(f"cannot import {module!r}: {error}") from None
    except AttributeError:
        raise PolicyError(f"module {module!r} has no {attribute!r}") from None
    finally:
        sys.path.pop(0)
    return found


def _objective(less: tuple[str, ...], more: tuple[str, ...]) -> Objective | None:
    terms = [*map(minimize, less), *map(maximize, more)]
    return reduce(add, terms) if terms else None


def _write(
    path: Path, policy: str, against: str, found: list[Estimate], difference: Difference | None
) -> None:
    said = {
        "policy": policy,
        "against": against,
        "estimates": [e.as_dict() for e in found],
        "difference": difference.as_dict() if difference else None,
    }
    write_atomically(path, [json.dumps(said, indent=1, allow_nan=False), "\n"])


def _show(
    log: DecisionLog, found: list[Estimate], difference: Difference | None, against: str
) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=140)
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("estimator", "value", "interval", "± s.e.", "ESS", "max weight"):
        table.add_column(name, justify="left" if name == "estimator" else "right", no_wrap=True)
    for e in found:
        shown: list[str | Text] = [Text("refused", style="yellow"), NOTHING, NOTHING]
        if e.value is not None:
            shown = [f"{e.value:.5g}", NOTHING, f"{e.standard_error:.2g}"]
        if e.low is not None and e.high is not None:
            shown[1] = f"{e.low:.5g} … {e.high:.5g}"
        table.add_row(
            e.estimator,
            *shown,
            f"{e.effective_sample_size:,.0f}",
            f"{e.max_weight:.3g}",
        )
    console.print(table)
    first = found[0]
    left_out = ", ".join(f"{n:,} {reason}" for reason, n in log.excluded.items())
    console.print(
        f"{first.records:,} records; left out: {first.missing:,} without a reward, "
        f"{first.duplicates:,} duplicates" + (f", not drawn: {left_out}" if left_out else "")
    )
    for refusal in dict.fromkeys(e.refusal for e in found if e.refusal):
        console.print(refusal)
    if first.value is not None:
        console.print(f"{first.estimator}: {first.verdict}")
    if difference is not None:
        console.print(f"against {against}: {difference}")
