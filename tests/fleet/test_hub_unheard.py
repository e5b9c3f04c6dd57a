"""Hubs that nobody would hear, and hubs that hear nobody."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from journaled import live, make
from test_hub import Line, learned, ship, told

from acumen.core.journal_format import JournalError
from acumen.core.trainer import taught_in
from acumen.fleet import hub as hub_module
from acumen.fleet.hub import Hub
from acumen.fleet.uplink import Uplink


@pytest.mark.parametrize("lost", ["emptied", "cannot be written"])
def test_a_hub_without_its_checkpoints_is_heard(tmp_path: Path, lost: str) -> None:
    line = Line(str(tmp_path / "hub"))
    member = make(tmp_path / "m")
    uplink = Uplink(line, member, tmp_path / "m")
    for _ in range(3):  # three terms
        live(member, 50)
        told(member)
        ship(uplink)
        line.crash()
    ship(uplink)
    before = uplink.models.newer((0, 0), [])
    assert before is not None
    assert before.stamp[0] > 2
    shutil.rmtree(tmp_path / "hub")
    if lost != "emptied":
        (tmp_path / "hub").write_text("no folder")
    line.crash()
    assert line.hub.stamp[0] == 1
    live(member, 50, seed=1)
    told(member)
    ship(uplink)
    after = uplink.models.newer((0, 0), [])
    assert after is not None
    assert after.stamp > before.stamp
    assert taught_in(after.header) == learned(member)  # what is in the journal came again


def test_what_is_refused_is_not_sent_without_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(str(tmp_path / "hub"))
    member = make(tmp_path / "m")
    uplink = Uplink(line, member, tmp_path / "m")
    live(member, 50)
    told(member)
    with monkeypatch.context() as patch:

        def refuse(contents: bytes) -> None:
            raise JournalError("of a later version")

        patch.setattr(hub_module, "decode", refuse)
        assert uplink.step()  # asks
        assert not uplink.step()  # sends, and waits before it sends again
        assert uplink.health.unacknowledged > 0
        assert "later version" in uplink.health.last_error
    ship(uplink)
    assert uplink.health.unacknowledged == 0
    assert uplink.health.models == 1


def test_a_caller_cannot_end_the_terms(tmp_path: Path) -> None:
    hub = Hub(str(tmp_path / "hub"))
    hub.exchange([], (1 << 60, 1), [])
    assert hub.stamp[0] == 1
