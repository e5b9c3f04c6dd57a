"""Clients that are slow, or many, over real sockets: they are cut, and others are served."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from served import serving

from acumen.watch import clients
from acumen.watch.server import PageServer, assets

PATIENCE_SECONDS, CLIENTS_MOST = 0.3, 6
HEAD = b"GET /assets/page.js HTTP/1.1\r\nhost: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    hurry = pytest.MonkeyPatch()
    hurry.setattr(clients, "PATIENCE_SECONDS", PATIENCE_SECONDS)
    hurry.setattr(clients, "CLIENTS_MOST", CLIENTS_MOST)
    with serving() as start:
        yield start(tmp_path_factory.mktemp("empty"))
    hurry.undo()


def status(page: PageServer) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
    connection.request("GET", "/api/state")
    found = connection.getresponse().status
    connection.close()
    return found


def cut_after(client: socket.socket, drip: bytes = b"") -> float:
    """Seconds until the server has ended a connection into which bytes drip."""
    client.settimeout(0.05)
    started = time.monotonic()
    while time.monotonic() - started < 5:
        try:
            client.sendall(drip)
            if not client.recv(1):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("said", "drip"),
    [
        (b"", b""),
        (HEAD, b"x"),
        (b"POST /login HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000\r\n\r\n", b"y"),
    ],
    ids=["silent", "head", "body"],
)
def test_a_request_that_takes_too_long_is_cut(page: PageServer, said: bytes, drip: bytes) -> None:
    before = time.monotonic()
    with socket.create_connection(("127.0.0.1", page.port)) as client:
        client.sendall(said)
        assert cut_after(client, drip) < 4
        assert time.monotonic() - before > PATIENCE_SECONDS / 2
        assert status(page) == 200


def test_who_does_not_read_is_cut(page: PageServer) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", page.port))
        answers = 10_000_000 // len(assets()["page.js"])  # more than sockets keep
        client.settimeout(0.05)
        with pytest.raises(ConnectionError):
            ask_for(client, (HEAD + b"\r\n") * answers)
        assert status(page) == 200


def ask_for(client: socket.socket, requests: bytes) -> None:
    """Sends them again and again, for some seconds, and reads nothing."""
    started = time.monotonic()
    while time.monotonic() - started < 5:
        with suppress(TimeoutError):
            client.sendall(requests)


def test_clients_beyond_the_most_are_cut_and_the_others_stay(page: PageServer) -> None:
    with ExitStack() as stack:
        kept = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
        stack.callback(kept.close)
        kept.request("GET", "/api/events")
        stream = kept.getresponse()
        assert stream.status == 200
        many = [
            stack.enter_context(socket.create_connection(("127.0.0.1", page.port)))
            for _ in range(2 * CLIENTS_MOST)
        ]
        ended = sorted(cut_after(client) for client in many[:1] + many[-1:])
        assert ended[0] < PATIENCE_SECONDS / 2  # the last one, at once
        assert stream.readline().startswith(b"data: ")
        assert status(page) == 200  # who comes now is heard
    deadline = time.monotonic() + 5
    while page._server.server_state.connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert status(page) == 200
