"""The page over a fleet in a real browser; the hubs are real, and in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from journaled import live, make
from served import serving

from acumen.fleet import hub_name
from acumen.fleet.watching import FleetWatcher

pytest.importorskip("fsspec", reason="needs fsspec, for checkpoints: acumen[fleet]")
from test_watching import Here, tell

from acumen.fleet.hub import Hub

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
HOSTILE = "<img src=x onerror=alert(1)>"


def test_what_hubs_say_is_shown_and_is_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acumen.fleet.watching.POLL_SECONDS", 0.05)
    choice = make(tmp_path / "a", name=HOSTILE)
    hub = Hub(str(tmp_path / HOSTILE))
    name = hub_name(choice)
    here = Here(**{name: hub})
    with serving() as start, Browser(tmp_path / "profile") as page:
        page.open(start(FleetWatcher(here, "ray:here")).url)
        page.wait_for("document.body?.dataset.drawn === 'empty'")
        assert "none has been told of a choice" in page.evaluate("banner.textContent")
        assert "fleet.join" in page.evaluate("snippet.textContent")
        live(choice, 300)
        tell(hub, choice, tmp_path / "a")
        hub.exchange([(HOSTILE.encode(), 0)], (0, 0), [])
        page.wait_for(f"document.body.dataset.drawn === {json.dumps(HOSTILE)}")
        assert page.evaluate("document.querySelector('h1').textContent") == HOSTILE
        page.wait_for("document.querySelectorAll('#charts svg path').length > 6")
        tile = "document.querySelector('.tile:nth-child(4)').textContent"
        page.wait_for(f"{tile}.includes('damaged')")  # a batch that was none
        tile = page.evaluate(tile)
        assert f"{hub.trainer.choice.model_version} lessons" in tile
        assert choice.journal.stream in page.evaluate("streams.textContent")
        assert HOSTILE in page.evaluate("hubs.textContent")
        assert "no batch of events" in page.evaluate("problems.textContent")
        assert page.evaluate("document.querySelectorAll('main img').length") == 0
        here.silent = {name}
        page.wait_for("document.querySelector('#banner').textContent.includes('does not answer')")
        assert "no answer" in page.evaluate(
            "document.querySelector('.tile:nth-child(4)').textContent"
        )
        page.look(320, 800, dark=True)
        page.wait_for("document.documentElement.scrollWidth <= 320")
        assert page.errors == []
