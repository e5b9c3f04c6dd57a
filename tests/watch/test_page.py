"""The page in a real browser, over a real journal, without any network but loopback."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from served import Serve, serving
from traffic import close, flush, live, make, note, switch

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

HOSTILE = "<img src=x onerror=alert(1)>"
TOKEN = "a-token-that-is-long-enough"


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    profile = tmp_path_factory.mktemp("profile")
    with Browser(profile) as opened:
        yield opened
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
def page(browser: Browser) -> Browser:
    browser.open("about:blank")
    browser.errors.clear()
    browser.requests.clear()
    browser.look(1280, 900)
    return browser


def drawn(page: Browser, name: str) -> None:
    page.wait_for(f"document.body?.dataset.drawn === {json.dumps(name)}")


def text(page: Browser, selector: str) -> str:
    return str(page.evaluate(f"document.querySelector({json.dumps(selector)}).textContent"))


def test_everything_is_there_and_comes_from_here(
    tmp_path: Path, serve: Serve, page: Browser
) -> None:
    codec = make(tmp_path, mode="shadow")
    live(codec, 300)
    switch(codec, "on", "the gate", "better by 0.4")
    live(codec, 1500, 1, answered=1)
    note(codec, json.dumps({"kind": "drift", "why": HOSTILE}))
    other = make(tmp_path, HOSTILE, arms=["none", HOSTILE, "zstd"])
    live(other, 200)
    flush(codec, other)
    server = serve(tmp_path)
    page.open(f"{server.url}#choice=codec")
    drawn(page, "codec")
    assert text(page, "#name") == "codec"
    assert text(page, ".tile .number") == "on"
    assert "by the gate" in text(page, ".tile .note")
    page.wait_for("document.querySelectorAll('#charts svg path').length > 8")
    page.wait_for("document.querySelectorAll('.mark').length >= 2")
    comparison = codec.comparison()
    shown = text(page, ".tile:nth-child(2) .number").replace("\u2212", "-")
    assert math.isclose(float(shown), comparison.difference, rel_tol=6e-3)
    assert comparison.verdict in text(page, ".tile:nth-child(2) .badge")
    assert text(page, ".tile:nth-child(4) .number") == "healthy"
    happened = text(page, "#happenings")
    for words in ("better by 0.4", "by the gate", "drift alarm", HOSTILE, "process started"):
        assert words in happened
    # Nothing from a journal became an element.
    assert page.evaluate("document.querySelectorAll('#main img, #choices img').length") == 0
    assert all(url.startswith(server.url) for url in page.requests)
    # News come without reloading, and a click chooses.
    live(codec, 700, 2)
    flush(codec)
    page.wait_for("document.querySelector('.tile:nth-child(3) .note').textContent"
                  ".startsWith('2,500 in all')")  # fmt: skip
    page.evaluate("document.querySelectorAll('#choices button')[0].click()")
    drawn(page, HOSTILE)
    assert text(page, "#arms tr:nth-child(2) td.name span") == HOSTILE
    page.evaluate("document.querySelector('#ranges button[data-key=\"1h\"]').click()")
    page.wait_for("location.hash.includes('range=1h')")
    assert page.errors == []
    close(codec, other)


@pytest.fixture(scope="module")
def long_name(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A page whose choice, arms and category are called awkwardly; its address, and the name."""
    folder = tmp_path_factory.mktemp("long")
    name = "a-rather-long-name-for-a-choice-that-goes-on-and-on-and-on" + "x" * 100
    choice = make(folder, name, arms=["zstd", "w" * 190, "zstd with a dictionary of its own " * 4])
    live(choice, 500)
    note(choice, "v" * 400)
    close(choice)
    with serving() as start:
        yield start(folder).url, name


@pytest.mark.parametrize("width", [1280, 390, 320])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits(long_name: tuple[str, str], page: Browser, width: int, dark: bool) -> None:
    url, name = long_name
    page.look(width, 900, dark=dark)
    page.open(url)
    drawn(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(
        "[...document.querySelectorAll('.plot > svg')].every((s) => s.clientWidth > 200)"
    )
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(12, 15, 21)") == dark
    assert page.errors == []


def test_one_of_many_choices_is_found_by_its_name(
    tmp_path: Path, serve: Serve, page: Browser
) -> None:
    for i in range(12):
        choice = make(tmp_path, f"choice-{i:02d}")
        live(choice, 3)
        close(choice)
    server = serve(tmp_path)
    page.open(server.url)
    page.wait_for("document.querySelectorAll('#choices button').length === 12")
    page.evaluate("document.querySelector('#find-name').focus()")
    page.call("Input.insertText", text="-07")
    page.wait_for("document.querySelectorAll('#choices button').length === 1")
    assert text(page, "#found") == "1 of 12 choices"
    page.evaluate("document.querySelector('#choices button').click()")
    drawn(page, "choice-07")
    assert page.evaluate("document.querySelector('#find-name').value") == "-07"
    assert page.errors == []


def test_the_pointer_tells_values(tmp_path: Path, serve: Serve, page: Browser) -> None:
    choice = make(tmp_path)
    live(choice, 500)
    flush(choice)
    server = serve(tmp_path)
    page.open(server.url)
    drawn(page, "codec")
    place = page.evaluate(
        "(() => { const b = document.querySelector('.plot').getBoundingClientRect();"
        " return [b.x + b.width * 0.9, b.y + b.height / 2]; })()"
    )
    page.move(*place)
    page.wait_for("document.querySelector('.tip:not([hidden])')?.textContent.includes('decisions')")
    crosses = "[...document.querySelectorAll('.cross')].map((c) => c.getAttribute('visibility'))"
    assert set(page.evaluate(crosses)) == {"visible"}
    assert page.errors == []
    close(choice)


def test_an_empty_directory_shows_how_to_begin(tmp_path: Path, serve: Serve, page: Browser) -> None:
    server = serve(tmp_path)
    page.open(server.url)
    drawn(page, "empty")
    assert "Nothing was chosen here yet" in text(page, "#empty")
    assert str(tmp_path) in text(page, "#snippet")
    choice = make(tmp_path)
    live(choice, 20)
    flush(choice)
    drawn(page, "codec")
    assert page.evaluate("document.getElementById('empty').hidden")
    assert page.errors == []
    close(choice)


def test_a_link_with_a_token_opens_the_page_and_forgets_the_token(
    tmp_path: Path, serve: Serve, page: Browser
) -> None:
    choice = make(tmp_path)
    live(choice, 20)
    close(choice)
    server = serve(tmp_path, token=TOKEN)
    page.open(server.url)
    page.wait_for("location.pathname === '/login' && !!document.querySelector('#token')")
    page.open(f"{server.url}login#wrong-token-wrong-token")
    page.wait_for("location.search === '?wrong' && !document.querySelector('#wrong').hidden")
    page.open(f"{server.url}login#{TOKEN}")
    drawn(page, "codec")
    assert TOKEN not in page.evaluate("location.href + document.documentElement.outerHTML")
    assert page.evaluate("document.cookie") == ""  # no script can read it
    assert not any(TOKEN in url for url in page.requests if "#" not in url)
    assert page.errors == []


def test_a_server_that_ends_is_noticed(tmp_path: Path, serve: Serve, page: Browser) -> None:
    choice = make(tmp_path)
    live(choice, 20)
    flush(choice)
    server = serve(tmp_path)
    page.open(server.url)
    drawn(page, "codec")
    server.stop()
    page.wait_for("document.querySelector('#pulse').classList.contains('lost')")
    close(choice)
