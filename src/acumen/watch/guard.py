"""Who may see the page: host names, the token, and the headers that every answer carries.

A page on a loopback address is open to this machine's browsers, and nothing else may make them
fetch it for somebody: a foreign page can point a name of its own at 127.0.0.1 (DNS rebinding), so
only known host names are answered. Beyond loopback everything needs the token, in the header
``Authorization: Bearer`` or as the cookie that ``/login`` gives in exchange for it. The token
itself is never in a page, a URL that is sent, or a cookie. Nothing here knows a web framework.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_LEAST = 16
BODY_MOST = 2048
REFUSAL_SECONDS = 0.5
OPEN_PATHS = ("/login", "/assets/page.css", "/assets/login.js", "/assets/icon.svg")
SECURITY_HEADERS = (
    (b"content-security-policy",
     b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
     b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not "no-referrer": with that a browser does not say whose form it sends.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_name(header: str) -> str | None:
    """The name in a Host header, without its port; None if it is none.

    >>> host_name("Localhost:8642"), host_name("[::1]:80"), host_name("a@b"), host_name("x:y")
    ('localhost', '::1', None, None)
    """
    if not header or len(header) > 300 or any(c in header for c in "/@?#\\ \t,"):
        return None
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port
    except ValueError:
        return None
    return (parts.hostname or "").rstrip(".") or None


class Guard:
    """ASGI middleware that answers only those who may ask, and only reading.

    Args:
        app: what is guarded.
        loopback: whether it listens on loopback; then only loopback's names are answered, else
            any address and the names in `hosts`.
        hosts: further host names.
        token: needed for everything but the login page; None: nothing is needed.
    """

    def __init__(
        self, app: App, *, loopback: bool, hosts: Iterable[str] = (), token: str | None = None
    ) -> None:
        self._app = app
        self._loopback = loopback
        self._hosts = {host.lower().rstrip(".") for host in hosts}
        self._token = token
        self._session = secrets.token_urlsafe(32)
        # Cookies know no ports: two of these on one machine must not take each other's.
        self._cookie = f"acumen-{secrets.token_hex(4)}"
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        headers = [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in scope["headers"]]
        refusal = self._refusal(scope, headers)
        if refusal:
            await _answer(send, *refusal)
            return
        path, method = scope["path"], scope["method"]
        if path == "/login" and method == "POST":
            await self._login(headers, receive, send)
        elif self._token is not None and path not in OPEN_PATHS and not self._knows(headers):
            if any(k == "authorization" for k, _ in headers):
                await self._wait()
            if path == "/":
                await _answer(send, 303, "", (b"location", b"/login"))
            else:
                await _answer(send, 401, "a token is needed", (b"www-authenticate", b"Bearer"))
        elif self._token is None and path == "/login":
            await _answer(send, 303, "", (b"location", b"/"))
        else:
            await self._app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: list[tuple[str, str]]) -> tuple[int, str] | None:
        hosts = [value for name, value in headers if name == "host"]
        name = host_name(hosts[0]) if len(hosts) == 1 else None
        if name is None or not self._is_ours(name):
            return 421, "this page does not go by that name; see --allow-host"
        if scope["method"] not in ("GET", "HEAD") and not (
            scope["path"] == "/login" and scope["method"] == "POST"
        ):
            return 405, "this page is for reading only"
        said = dict(headers)
        # Another site may link here, but neither embed this nor fetch from it.
        foreign = said.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        if foreign and (said.get("sec-fetch-mode") != "navigate" or scope["method"] == "POST"):
            return 403, "not from another site"
        origin = said.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != hosts[0].lower():
            return 403, "not from another origin"
        return None

    def _is_ours(self, name: str) -> bool:
        if name in self._hosts or name == "localhost":
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._loopback

    def _knows(self, headers: list[tuple[str, str]]) -> bool:
        for name, value in headers:
            kind, _, given = value.partition(" ")
            if name == "authorization" and kind.lower() == "bearer" and self._is_token(given):
                return True
            if name == "cookie":
                for pair in value.split(";")[:50]:
                    key, _, session = pair.strip().partition("=")
                    if key == self._cookie and _same(session, self._session):
                        return True
        return False

    def _is_token(self, given: str) -> bool:
        return self._token is not None and _same(given.strip(), self._token)

    async def _login(self, headers: list[tuple[str, str]], receive: Receive, send: Send) -> None:
        body = await _body(receive)
        given = ""
        if body is not None:
            try:
                fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=4)
                given = fields.get("token", [""])[0]
            except ValueError:
                given = ""
        if self._token is None or not self._is_token(given):
            await self._wait()
            await _answer(send, 303, "", (b"location", b"/login?wrong"))
            return
        cookie = f"{self._cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict"
        await _answer(send, 303, "", (b"location", b"/"), (b"set-cookie", cookie.encode()))

    async def _wait(self) -> None:
        """Wrong tokens are answered one by one: who guesses gets two guesses a second."""
        async with self._turn:
            await asyncio.sleep(REFUSAL_SECONDS)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


async def _body(receive: Receive) -> bytes | None:
    """A request's body; None if it is longer than a token can be, or broken off."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += bytes(message.get("body", b""))
        if len(body) > BODY_MOST:
            return None
        if not message.get("more_body"):
            return body


async def _answer(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    content = (text + "\n").encode() if text else b""
    plain = (
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(content)).encode()),
    )
    every = [*plain, *headers, *SECURITY_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": every})
    await send({"type": "http.response.body", "body": content})


def _with_headers(send: Send) -> Send:
    async def wrapped(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *SECURITY_HEADERS]
        await send(message)

    return wrapped
