"""What several commands share: how they end when they cannot begin, and options that many have."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

DIRECTORY = click.Path(path_type=Path, file_okay=False)


def fail(message: str, *more: str) -> NoReturn:
    """Ends the command with exit code 2, a line that says why, and perhaps more of them."""
    click.echo(f"acumen: {(message.splitlines() or [''])[0]}", err=True)
    for line in more:
        click.echo(line, err=True)
    sys.exit(2)


def choice_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--choice NAME``, for commands that are about one choice of a directory."""
    about = "Whose journal; needed where the directory has several."
    return click.option("--choice", metavar="NAME", help=about)(function)
