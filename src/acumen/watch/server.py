"""The web server of `acumen watch`: a page, its assets, one JSON state, one stream of states."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from acumen.watch.clients import limited
from acumen.watch.guard import Guard, is_loopback
from acumen.watch.watcher import RANGES, Watcher

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

STREAMS_MOST = 32
TICK_SECONDS, NEWS_SECONDS, QUIET_SECONDS = 0.1, 1.0, 5.0
NAME_MOST = 1000
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml",
          ".html": "text/html"}  # fmt: skip


class Source(Protocol):
    """Whose state the page shows: a journal's `Watcher`, or a fleet's.

    Attributes:
        version: another one whenever there is news.
        reading: whether what was there before is still being read.
    """

    version: int
    reading: bool

    def start(self) -> None:
        """Begins to follow, in a thread."""
        ...

    def stop(self) -> None:
        """Ends that."""
        ...

    def state(self, choice: str | None, span: str) -> dict[str, Any]:
        """What the page draws, as JSON values; from any thread."""
        ...


class WatchError(Exception):
    """The page cannot be served, in one line."""


def assets() -> dict[str, bytes]:
    """The page's files, by name."""
    folder = resources.files("acumen.watch").joinpath("assets")
    return {f.name: f.read_bytes() for f in folder.iterdir() if Path(f.name).suffix in _TYPES}


class _Pages:
    """The routes, over one watcher."""

    def __init__(self, watcher: Source, stopping: Callable[[], bool]) -> None:
        self._watcher = watcher
        self._stopping = stopping
        self._assets = assets()
        self._streams = 0

    def app(self) -> Any:
        from starlette.applications import Starlette
        from starlette.routing import Route

        app = Starlette(
            routes=[
                Route("/", self.page),
                Route("/login", self.login),
                Route("/assets/{name}", self.asset),
                Route("/api/state", self.state),
                Route("/api/events", self.events),
            ]
        )
        app.router.redirect_slashes = False  # what is not there is not elsewhere either
        return app

    async def page(self, request: Request) -> Response:
        return self._file("page.html")

    async def login(self, request: Request) -> Response:
        return self._file("login.html")

    async def asset(self, request: Request) -> Response:
        return self._file(request.path_params["name"])

    def _file(self, name: str) -> Response:
        from starlette.responses import PlainTextResponse, Response

        if name not in self._assets:
            return PlainTextResponse("no such file\n", 404)
        return Response(self._assets[name], media_type=_TYPES[Path(name).suffix])

    async def state(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse, Response

        asked = _asked(request)
        if asked is None:
            return PlainTextResponse("no such range\n", 400)
        return Response(await self._json(*asked), media_type="application/json")

    async def events(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse, StreamingResponse

        asked = _asked(request)
        if asked is None:
            return PlainTextResponse("no such range\n", 400)
        if self._streams >= STREAMS_MOST:
            return PlainTextResponse("too many pages are open\n", 503)
        return StreamingResponse(self._follow(*asked), media_type="text/event-stream")

    async def _json(self, choice: str | None, span: str) -> bytes:
        state = await asyncio.to_thread(self._watcher.state, choice, span)
        return json.dumps(state, allow_nan=False, separators=(",", ":")).encode()

    async def _follow(self, choice: str | None, span: str) -> AsyncIterator[bytes]:
        """A state when there is news, once a second at most, and every few seconds without."""
        self._streams += 1
        try:
            seen, quiet = -1, QUIET_SECONDS
            while not self._stopping():
                version = self._watcher.version
                if quiet >= (QUIET_SECONDS if version == seen else NEWS_SECONDS):
                    seen, quiet = version, 0.0
                    yield b"data: " + await self._json(choice, span) + b"\n\n"
                await asyncio.sleep(TICK_SECONDS)
                quiet += TICK_SECONDS
        finally:
            self._streams -= 1


def _asked(request: Request) -> tuple[str | None, str] | None:
    """Which choice over which range of time; None if that makes no sense."""
    query = request.query_params
    span, choice = query.get("range", "5m"), query.get("choice")
    if span not in RANGES or len(choice or "") > NAME_MOST:
        return None
    return choice or None, span


class PageServer:
    """Serves the page of one directory, or of a fleet, until it is told to stop.

    Args:
        source: a directory of journals, or what else follows choices.
        host: address to listen on.
        port: 0 takes a free one.
        token: see `Guard`; needed where `host` is no loopback address.
        hosts: further names that the page goes by.

    Raises:
        WatchError: Starlette or uvicorn is missing, or it cannot listen there.
    """

    def __init__(
        self,
        source: Path | Source,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        token: str | None = None,
        hosts: tuple[str, ...] = (),
    ) -> None:
        try:
            import starlette  # noqa: F401
            import uvicorn
            from uvicorn.protocols.http.h11_impl import H11Protocol
        except ImportError:
            raise WatchError(
                "watching needs Starlette and uvicorn: pip install 'acumen[watch]'"
            ) from None
        loopback = is_loopback(host)
        if not loopback and not token:
            raise WatchError(f"listening on {host} needs a token")
        self.watcher: Source = Watcher(source) if isinstance(source, Path) else source
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        shown = "127.0.0.1" if host == "localhost" else host
        shown = socket.gethostname() if shown in ("0.0.0.0", "::") else shown
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/"
        if not loopback:
            hosts = (*hosts, socket.gethostname())
        app = _Pages(self.watcher, lambda: self._server.should_exit).app()
        config = uvicorn.Config(
            Guard(app, loopback=loopback, hosts=hosts, token=token),
            http=limited(H11Protocol),
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=16384,
            timeout_graceful_shutdown=2,
        )
        self._server = _make_server(config)

    def run(self) -> None:
        """Serves until `stop`, SIGINT or SIGTERM."""
        with self._signals():
            self.watcher.start()
            try:
                self._server.run(sockets=[self._socket])
            finally:
                self.watcher.stop()
                self._socket.close()

    def stop(self) -> None:
        """Asks it to end."""
        self._server.should_exit = True

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, lambda *_: self.stop()) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def _make_server(config: Any) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        # Its own would raise the signal again when all is over, and that ends in a traceback.
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return Server(config)


def _listen(host: str, port: int) -> socket.socket:
    try:
        address = "127.0.0.1" if host == "localhost" else host
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        found = socket.create_server((address, port), family=family, backlog=64)
        # What it accepts inherits this; asyncio sets it only where a socket names its protocol.
        # Without, the second answer on a connection waits 40 ms for the first one's delayed ACK.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found
    except (OSError, OverflowError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise WatchError(f"cannot listen on {host}:{port}: {words}") from None
