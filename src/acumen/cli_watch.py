"""The command `acumen watch`: a local page that shows what choices do.

Exit codes: 0 it was ended by Ctrl-C or SIGTERM; 2 it could not begin.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import NoReturn

import click

from acumen.watch.guard import TOKEN_LEAST, is_loopback

TOKEN_VARIABLE = "ACUMEN_WATCH_TOKEN"


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Any but a loopback address needs a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8642,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=f"The token is in this file (else in ${TOKEN_VARIABLE}; else one is made up and printed).",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name that the page goes by besides addresses; may be given several times.",
)
def watch(
    directory: Path, host: str, port: int, token_file: Path | None, hosts: tuple[str, ...]
) -> None:
    """Show what the choices of a journal DIRECTORY do, on a local web page.

    Traffic, arms over time, learned against default with its interval, propensities, drift alarms,
    switches of mode with who and why, and how the journal itself is. The page follows the journal
    while it is written; it changes nothing, and it loads nothing from anywhere else.

    \b
      acumen watch DIR                         http://127.0.0.1:8642, for this machine only
      acumen watch DIR --port 0                on any free port
      ssh -L 8642:localhost:8642 SERVER        the page of a server, safely, from afar
      acumen watch DIR --host 0.0.0.0          for others: prints a link with a token

    A journal is what Choice(..., journal="DIR") writes. The token goes over the network as it is:
    use ssh, or a proxy with TLS, where others listen. Ctrl-C ends it.
    """  # noqa: D301 (a real backspace is how click is told to leave lines as they are)
    from acumen.watch.server import PageServer, WatchError

    if not directory.is_dir():
        what = "no directory" if directory.exists() else "no such directory"
        _fail(f"{directory}: {what}")
    token = _token(token_file)
    made_up = token is None and not is_loopback(host)
    if made_up:
        token = secrets.token_urlsafe(32)
    try:
        server = PageServer(directory, host, port, token=token, hosts=hosts)
    except WatchError as error:
        _fail(str(error))
    click.echo(f"Watching {directory} on {server.url}  (Ctrl-C ends it)")
    if made_up:
        # What stands behind the # is not sent: the page takes it from there and asks for a cookie.
        click.echo(f"Others open {server.url}login#{token}")
        click.echo(
            "The token goes over the network as it is; docs/watching.md says how to do better."
        )
    server.run()


def _token(path: Path | None) -> str | None:
    try:
        token = path.read_text(encoding="utf-8") if path else os.environ.get(TOKEN_VARIABLE)
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "not text"
        _fail(f"{path}: {words}")
    if token is None:
        return None
    token = token.strip()
    if len(token) < TOKEN_LEAST or not token.isprintable() or not token.isascii():
        _fail(f"the token must have at least {TOKEN_LEAST} printable ASCII characters")
    return token


def _fail(message: str) -> NoReturn:
    click.echo(f"acumen: {message}", err=True)
    sys.exit(2)
