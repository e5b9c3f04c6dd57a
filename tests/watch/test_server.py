"""The page's server over real HTTP: who is answered, with what, and what cannot hurt it."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import Serve, serving
from traffic import close, flush, live, make, note

from acumen.core.journal_segments import segments_in
from acumen.watch.guard import SECURITY_HEADERS, host_name, is_loopback
from acumen.watch.server import PageServer, WatchError, assets
from acumen.watch.watcher import RANGES

TOKEN = "a-token-that-is-long-enough"
Answer = tuple[int, dict[str, str], bytes]


def ask(
    server: PageServer, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def state(server: PageServer, **query: str) -> dict[str, Any]:
    status, _, body = ask(server, f"/api/state?{urlencode(query)}")
    assert status == 200
    return dict(json.loads(body))


def until(server: PageServer, condition: Any, seconds: float = 15, **query: str) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        found = state(server, **query)
        if condition(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Path]:
    choice = make(tmp_path)
    live(choice, 500)
    flush(choice)
    yield tmp_path
    close(choice)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Servers, for all tests that change nothing, of one journal."""
    folder = tmp_path_factory.mktemp("shared")
    choice = make(folder)
    live(choice, 500)
    flush(choice)
    with serving() as start:
        yield lambda **options: start(folder, **options)
    close(choice)


@pytest.fixture(scope="module")
def shared(several: Serve) -> PageServer:
    return several()


@pytest.fixture(scope="module")
def guarded(several: Serve) -> PageServer:
    """One that wants the token."""
    return several(token=TOKEN)


def test_the_page_and_all_that_it_asks_for_come_from_here(shared: PageServer) -> None:
    server = shared
    status, headers, body = ask(server, "/")
    assert status == 200
    page = body.decode()
    for name in ("page.css", "page.js"):
        assert f"/assets/{name}" in page
    for name, content in assets().items():
        text = content.decode()
        assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?https?:", text), name
        assert "innerHTML" not in text
        assert "eval(" not in text
        if name.endswith(".html"):
            assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|<style", text), name
        status, sent, _ = ask(server, f"/assets/{name}")
        assert status == 200
        for key, value in SECURITY_HEADERS:
            assert sent[key.decode()] == value.decode()
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert ask(server, "/login")[0] == 303


def test_every_answer_carries_the_headers(shared: PageServer) -> None:
    server = shared
    for path, wanted in (("/", 200), ("/nothing", 404), ("/api/state?range=x", 400)):
        status, sent, _ = ask(server, path)
        assert status == wanted
        for key, value in SECURITY_HEADERS:
            assert sent[key.decode()] == value.decode()


def test_state_and_stream_say_the_same(journal: Path, serve: Serve) -> None:
    server = serve(journal)
    found = state(server, choice="codec", range="1h")
    assert found["selected"]["name"] == "codec"
    assert found["selected"]["decisions"] == 500
    health = found["selected"]["health"]
    assert health["live"] + health["sealed"] >= 1
    assert found["selected"]["health"]["problem_count"] == 0
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/api/events?choice=codec&range=1h")
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    line = answer.readline()
    assert line.startswith(b"data: ")
    streamed = json.loads(line[6:])
    assert streamed["selected"]["comparison"] == found["selected"]["comparison"]
    assert answer.readline() == b"\n"
    connection.close()


def test_news_come_by_themselves(journal: Path, serve: Serve) -> None:
    server = serve(journal)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/api/events")
    answer = connection.getresponse()
    first = json.loads(answer.readline()[6:])
    answer.readline()
    choice = make(journal, "another")
    live(choice, 50)
    flush(choice)
    deadline = time.monotonic() + 15
    while True:
        names = [c["name"] for c in json.loads(answer.readline()[6:])["choices"] if c["decisions"]]
        answer.readline()
        if names == ["another", "codec"]:
            break
        assert time.monotonic() < deadline
    assert [c["name"] for c in first["choices"]] == ["codec"]
    connection.close()
    close(choice)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8642", 200),
        ("127.0.0.1", 200),
        ("127.8.8.8:1", 200),
        ("[::1]:8642", 200),
        ("LOCALHOST.", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("192.168.1.5", 421),
        ("localhost@evil.example", 421),
        ("evil.example#localhost", 421),
        ("", 421),
        ("[::1", 421),
        ("localhost:port", 421),
    ],
)
def test_foreign_names_are_not_answered(shared: PageServer, host: str, status: int) -> None:
    """A page of evil.example may point that name at 127.0.0.1, and would then read everything."""
    for path in ("/", "/api/state", "/assets/page.js", "/login"):
        found = ask(shared, path, Host=host)[0]
        assert found == status or (path == "/login" and found == 303)


def test_two_hosts_are_none(shared: PageServer) -> None:
    server = shared
    with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert raw.recv(100).split()[1] in (b"400", b"421")


def test_other_sites_neither_read_nor_write(shared: PageServer) -> None:
    server = shared
    assert ask(server, "/api/state", Origin="http://evil.example")[0] == 403
    assert ask(server, "/api/state", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="cors")[0] == 403
    assert ask(server, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    own = f"http://127.0.0.1:{server.port}"
    assert ask(server, "/api/state", Origin=own, Sec_Fetch_Site="same-origin")[0] == 200
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        for path in ("/", "/api/state", "/api/events"):
            assert ask(server, path, method)[0] == 405
    _, headers, _ = ask(server, "/api/state")
    assert not any(name.startswith("access-control") for name in headers)


def test_answers_on_a_kept_connection_do_not_wait(shared: PageServer) -> None:
    server = shared
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    took = []
    for _ in range(30):
        began = time.monotonic()
        connection.request("GET", "/assets/icon.svg")
        connection.getresponse().read()
        took.append(time.monotonic() - began)
    connection.close()
    assert min(took[1:]) < 0.02  # a delayed acknowledgement would make each of them wait 0.04 s


def test_the_token_is_needed_and_never_shown(
    journal: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acumen.watch.guard.REFUSAL_SECONDS", 0.1)
    server = serve(journal, token=TOKEN)
    for path in ("/api/state", "/api/events", "/assets/page.js", "/nothing"):
        assert ask(server, path)[0] == 401
    assert ask(server, "/")[:2][1]["location"] == "/login"
    seen = [ask(server, path) for path in ("/login", "/assets/login.js", "/assets/page.css")]
    assert [status for status, _, _ in seen] == [200, 200, 200]
    assert ask(server, "/api/state", Authorization=f"Bearer {TOKEN}")[0] == 200
    began = time.monotonic()
    for wrong in (TOKEN[:-1], TOKEN + "x", "", "ä" * 20):
        given = f"Bearer {wrong}".encode().decode("latin-1")
        assert ask(server, "/api/state", Authorization=given)[0] == 401
    assert time.monotonic() - began > 0.39  # guessing is slow
    assert ask(server, f"/api/state?token={TOKEN}")[0] == 401
    status, headers, _ = ask(server, "/login", "POST", urlencode({"token": TOKEN}))
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    pair = cookie.split(";")[0]
    status, _, body = ask(server, "/", Cookie=f"other=1; {pair}")
    assert status == 200
    seen.append((status, {}, body))
    seen.append(ask(server, "/api/state", Cookie=pair))
    assert seen[-1][0] == 200
    assert all(TOKEN.encode() not in content for _, _, content in seen)
    name = pair.split("=")[0]
    for forged in (f"{name}=", f"{name}={TOKEN}", f"{pair}x", pair.replace(name, "session")):
        assert ask(server, "/api/state", Cookie=forged)[0] == 401


@pytest.mark.parametrize(
    "body",
    ["", "token=", "token=wrong", "token=%FF%FE", "x" * 5000, "&".join(["a=1"] * 50), "=&=;\0"],
)
def test_a_wrong_login_is_none(
    guarded: PageServer, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr("acumen.watch.guard.REFUSAL_SECONDS", 0.01)
    server = guarded
    status, headers, _ = ask(server, "/login", "POST", body)
    assert (status, headers["location"]) == (303, "/login?wrong")
    assert "set-cookie" not in headers
    good = urlencode({"token": TOKEN})
    assert ask(server, "/login", "POST", good, Origin="http://evil.example")[0] == 403
    foreign = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert ask(server, "/login", "POST", good, **foreign)[0] == 403


def test_beyond_loopback_a_token_is_needed(tmp_path: Path, serve: Serve) -> None:
    with pytest.raises(WatchError, match="needs a token"):
        PageServer(tmp_path, "0.0.0.0")
    server = serve(tmp_path, host="0.0.0.0", token=TOKEN, hosts=("watch.example",))
    bearer = f"Bearer {TOKEN}"
    for host, status in (("watch.example", 200), ("10.1.2.3:80", 200), ("evil.example", 421)):
        assert ask(server, "/api/state", Host=host, Authorization=bearer)[0] == status


@given(
    st.text(max_size=40) | st.sampled_from(["codec", "../codec", "%00", "a" * 1001]),
    st.sampled_from(list(RANGES)) | st.text(max_size=10),
    st.text(max_size=40),
)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_query_is_answered(shared: PageServer, choice: str, span: str, rest: str) -> None:
    path = f"/api/state?choice={quote(choice, errors='replace')}&range={quote(span)}&{quote(rest)}"
    status, _, body = ask(shared, path)
    if span in RANGES and len(choice) <= 1000:
        assert status == 200
        assert json.loads(body)["selected"]["name"] == "codec"  # an unknown one is the first
    elif span not in RANGES or len(choice) > 1000:
        assert status == 400
    status, _, _ = ask(shared, f"/assets/{quote(rest, safe='')}")
    assert status in (200, 404)


@pytest.mark.parametrize(
    "path",
    ["/assets/../server.py", "/assets/..%2fserver.py", "/assets/%2e%2e/__init__.py",
     "/assets//etc/passwd", "/assets/", "/assets/page.css%00", "//evil.example/"],
)  # fmt: skip
def test_nothing_else_is_served(shared: PageServer, path: str) -> None:
    assert ask(shared, path)[0] in (400, 404)


@pytest.mark.parametrize(
    "raw",
    [b"\0\1\2\3\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
     b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"],
)  # fmt: skip
def test_broken_requests_break_nothing(shared: PageServer, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), 10) as connection:
        connection.sendall(raw)
        connection.settimeout(5)
        answer = connection.recv(300)
    assert b"500" not in answer.split(b"\r\n")[0]
    assert ask(shared, "/api/state")[0] == 200


def test_an_empty_directory_waits(tmp_path: Path, serve: Serve) -> None:
    server = serve(tmp_path)
    found = state(server)
    assert found["selected"] is None
    assert found["present"]
    (tmp_path / "not a journal").mkdir()
    choice = make(tmp_path, "späte Wahl <b>")
    live(choice, 10)
    found = until(server, lambda s: s["selected"] and s["selected"]["decisions"] == 10)
    assert found["selected"]["name"] == "späte Wahl <b>"
    close(choice)


def test_a_directory_that_vanishes_is_told_and_may_come_back(tmp_path: Path, serve: Serve) -> None:
    root = tmp_path / "journal"
    root.mkdir()
    choice = make(root)
    live(choice, 100)
    close(choice)
    server = serve(root)
    assert state(server)["selected"]["decisions"] == 100
    shutil.rmtree(root)
    found = until(server, lambda s: not s["present"])
    assert found["selected"]["decisions"] == 100
    until(server, lambda s: not s["selected"]["health"]["present"])
    choice = make(root)
    live(choice, 30)
    close(choice)
    until(server, lambda s: s["present"] and s["selected"]["decisions"] == 130)


def test_damage_while_watching_is_told_and_the_rest_is_shown(tmp_path: Path, serve: Serve) -> None:
    choice = make(tmp_path, pending_max=512)
    for i in range(8):
        live(choice, 200, i)
        flush(choice)
    close(choice)
    server = serve(tmp_path)
    before = state(server)["selected"]["decisions"]
    assert before == 1600
    other = make(tmp_path, "other")
    for i in range(4):
        live(other, 200, i)
        flush(other)
    close(other)
    path = sorted((tmp_path / "other").glob("*.arrow"))[0]
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)
    (tmp_path / "other" / f"{path.stem[:-6]}{'0' * 6}.arrows").write_bytes(b"no journal at all")
    server = serve(tmp_path)
    found = state(server, choice="other")["selected"]
    assert found["health"]["problem_count"] >= 1
    assert found["health"]["problems"]
    assert state(server, choice="codec")["selected"]["decisions"] == 1600


def test_a_killed_process_is_seen_and_nothing_durable_is_missing(
    tmp_path: Path, serve: Serve
) -> None:
    script = """
import sys
from pathlib import Path
from traffic import flush, live, make
choice = make(Path(sys.argv[1]))
while True:
    live(choice, 100)
    flush(choice)
    print(choice.counters()["feedback_learned"], flush=True)
"""
    server = serve(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(30)]
        until(server, lambda s: s["selected"] and s["selected"]["health"].get("live"))
        process.send_signal(signal.SIGKILL)
        durable = int([*told, *process.stdout.read().split()][-1])
    # Mostly one; two if it was sealing the one before, none if it just had.
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    left = sum(not segment.sealed for segment in segments_in(folder))
    found = until(server, lambda s: s["selected"]["health"]["live"] == 0)["selected"]
    assert found["health"]["unsealed"] == left
    found = until(server, lambda s: s["selected"]["totals"]["fates"]["learned"] >= durable)
    again = make(tmp_path)  # seals what was left
    live(again, 50)
    close(again)
    found = until(server, lambda s: s["selected"]["stream_count"] == 2)["selected"]
    found = until(server, lambda s: s["selected"]["health"]["unsealed"] == 0)["selected"]
    assert found["health"]["problem_count"] == 0


def test_what_a_journal_says_is_text(tmp_path: Path, serve: Serve) -> None:
    hostile = "</script><img src=x onerror=alert(1)>\u2028\0\ud7ff"
    choice = make(tmp_path, hostile[:60], arms=["none", hostile, "zstd"])
    live(choice, 50)
    note(choice, hostile)
    close(choice)
    server = serve(tmp_path)
    found = state(server)["selected"]
    assert found["name"] == hostile[:60].rstrip("\0")
    assert any(hostile in h["why"] for h in found["happenings"])


@pytest.mark.parametrize(
    ("header", "name"),
    [("a:1", "a"), ("A.b.", "a.b"), ("[fe80::1]:2", "fe80::1"), ("a b", None), ("a/b", None),
     ("x" * 400, None), (":80", None), ("a:99999999", None)],
)  # fmt: skip
def test_host_names(header: str, name: str | None) -> None:
    assert host_name(header) == name


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "")))


def test_a_port_that_is_taken(tmp_path: Path, serve: Serve) -> None:
    server = serve(tmp_path)
    with pytest.raises(WatchError, match=r"cannot listen on 127\.0\.0\.1:.*in use"):
        PageServer(tmp_path, port=server.port)
    with pytest.raises(WatchError, match=r"cannot listen on 203\.0\.113\.7"):
        PageServer(tmp_path, "203.0.113.7", token=TOKEN)
    with pytest.raises(WatchError, match="cannot listen on nowhere"):
        PageServer(tmp_path, "nowhere", token=TOKEN)
