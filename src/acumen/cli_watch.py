"""The command `acumen watch`: a local page that shows what choices do, on a machine or in a fleet.

Exit codes: 0 it was ended by Ctrl-C or SIGTERM; 2 it could not begin.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acumen.cli_parts import fail
from acumen.watch.guard import TOKEN_LEAST, is_loopback

if TYPE_CHECKING:
    from acumen.watch.server import Source

TOKEN_VARIABLE = "ACUMEN_WATCH_TOKEN"
CLIENT_PORT = 10001
WAIT_SECONDS = 30 * 86_400
FORMS = """\
ray:auto               the cluster that this machine belongs to
ray:HOST:6379          the same by its address (GCS); from a machine of the cluster
ray://HOST:10001       from any machine, by way of Ray Client: pip install 'ray[client]' here
                       and on the cluster's head, the same versions of Ray and Python on both"""
HELP = """Show what the choices of a journal directory, or of a fleet, do, on a local web page.

Traffic, arms over time, learned against default with its interval, propensities, drift alarms,
switches of mode with who and why, and how the journal itself is, or the fleet's hubs. The page
follows the journal while it is written; it changes nothing, and it loads nothing from anywhere
else.

\b
  acumen watch DIR                         http://127.0.0.1:8642, for this machine only
  acumen watch DIR --port 0                on any free port
  ssh -L 8642:localhost:8642 SERVER        the page of a server, safely, from afar
  acumen watch DIR --host 0.0.0.0          for others: prints a link with a token

What the hubs of a fleet on Ray know is shown for an address in one of these forms. A directory
whose name begins with ray: is ./ray:…

\b
{forms}

A journal is what Choice(..., journal="DIR") writes. The token goes over the network as it is:
use ssh, or a proxy with TLS, where others listen. Ctrl-C ends it.
""".format(forms="\n".join(f"  {line}" for line in FORMS.splitlines()))


@click.command(help=HELP)
@click.argument("where", metavar="DIR|ray:…")
@click.option(
    "--choice",
    "choices",
    multiple=True,
    metavar="NAME",
    help="Only this one of a directory's; several times, or a pattern such as 'codec*'.",
)
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
    where: str,
    choices: tuple[str, ...],
    host: str,
    port: int,
    token_file: Path | None,
    hosts: tuple[str, ...],
) -> None:
    """See HELP."""
    from acumen.watch.server import PageServer, WatchError
    from acumen.watch.watcher import Watcher

    if not where.startswith("ray:") and not Path(where).is_dir():
        what = "no directory" if Path(where).exists() else "no such directory"
        fail(f"{where}: {what}")
    token = _token(token_file)
    made_up = token is None and not is_loopback(host)
    if made_up:
        token = secrets.token_urlsafe(32)
    try:
        fleet = where.startswith("ray:")
        if fleet and choices:
            fail("--choice is for a directory; the page over a fleet has a search of its own")
        source = _fleet(where) if fleet else Watcher(Path(where), choices)
        server = PageServer(source, host, port, token=token, hosts=hosts)
    except WatchError as error:
        fail(str(error))
    click.echo(f"Watching {where} on {server.url}  (Ctrl-C ends it)")
    if made_up:
        # What stands behind the # is not sent: the page takes it from there and asks for a cookie.
        click.echo(f"Others open {server.url}login#{token}")
        click.echo(
            "The token goes over the network as it is; docs/watching.md says how to do better."
        )
    server.run()


def ray_address(text: str) -> str:
    """What Ray is to be given for an address of a fleet.

    Raises:
        ValueError: it has none of the forms that there are.

    >>> ray_address("ray:auto"), ray_address("ray:head:6379"), ray_address("ray://head")
    ('auto', 'head:6379', 'ray://head:10001')
    """
    client = text.startswith("ray://")
    place = text[6 if client else 4 :].rstrip("/")
    if place == "auto" and not client:
        return place
    host, colon, port = place.rpartition(":")
    if client and place and (not colon or place.endswith("]")):
        host, port = place, str(CLIENT_PORT)
    good = re.fullmatch(r"[\w.-]+|\[[0-9A-Fa-f:.]+\]", host) and re.fullmatch(r"\d{1,5}", port)
    if not good or not 0 < int(port) < 65536:
        raise ValueError(f"{text}: no address of a fleet. There are")
    return f"{'ray://' if client else ''}{host}:{port}"


def _fleet(where: str) -> Source:
    """What the hubs of a cluster know."""
    try:
        address = ray_address(where)
        # A page that has lost its cluster waits for it. Ray's own way would be to start another
        # one, or to end the process after a minute.
        os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(WAIT_SECONDS))
        from acumen.fleet.cluster import Hubs
        from acumen.fleet.watching import FleetWatcher

        click.echo(f"Connecting to {address} …", err=True)
        return FleetWatcher(Hubs(address), where)
    except ImportError as error:
        fail(str(error))
    except ValueError as error:
        fail(str(error), FORMS)
    except OSError as error:
        fail(f"{where}: no cluster to look at: {error}", "There are", FORMS)


def _token(path: Path | None) -> str | None:
    try:
        token = path.read_text(encoding="utf-8") if path else os.environ.get(TOKEN_VARIABLE)
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "not text"
        fail(f"{path}: {words}")
    if token is None:
        return None
    token = token.strip()
    if len(token) < TOKEN_LEAST or not token.isprintable() or not token.isascii():
        fail(f"the token must have at least {TOKEN_LEAST} printable ASCII characters")
    return token
