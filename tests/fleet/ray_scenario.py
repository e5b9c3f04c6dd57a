"""A fleet on Ray, and the page over it, through kills and pauses; run by test_cluster.py.

    unshare --net --map-root-user python ray_scenario.py FOLDER

Ray's servers listen on all addresses of the machine. In this network there is only loopback, and
they ask for a token that is made for this run. The last line says what was seen; FOLDER/page.png is
what the page looked like, if there is a browser.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from fleet_page import Page, look, look_from_afar
from ray_fleet import Fleet, durable_lessons, hub_state, wait_for


def hub_hangs(page: Page) -> None:
    """It is shown as it was; when it goes on, so does the page."""
    hub = page.fleet()["process"]
    os.kill(hub, signal.SIGSTOP)
    wait_for("it is silent", lambda: page.fleet()["silent_for"] > 0)
    assert page.state()["selected"]["decisions"] > 0
    os.kill(hub, signal.SIGCONT)
    wait_for("it answers", lambda: page.fleet()["silent_for"] == 0)


def hub_is_killed(fleet: Fleet, page: Page) -> None:
    """Members go on choosing; it comes back from its checkpoint, as another process."""
    hub, before = page.fleet()["process"], fleet.said(1)["learned"]
    os.kill(hub, signal.SIGKILL)
    wait_for("choosing goes on", lambda: fleet.said(1)["learned"] > before + 50)
    wait_for("a second term", lambda: min(fleet.newest(1)[0], fleet.newest(2)[0]) == 2, 60)
    wait_for("the page sees another", lambda: page.fleet()["process"] != hub, 60)


def member_is_killed(fleet: Fleet, member: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """Paused, then killed; the other one goes on. Whoever comes next there ships its journal."""
    member.send_signal(signal.SIGSTOP)
    taken = fleet.said(1)["learned"]
    wait_for("the other goes on", lambda: fleet.said(1)["learned"] > taken + 50)
    member.kill()
    member.wait()
    (fleet.machines / "m2.json").unlink()  # what it said
    again = fleet.member(2)
    wait_for("it follows", lambda: fleet.newest(2)[0] == 2 and fleet.newest(2)[1] > 0, 60)
    return again


def expect_all(fleet: Fleet, page: Page) -> tuple[int, dict[str, Any]]:
    """Every lesson of every member is with the hub, with all members, and on the page."""
    (fleet.machines / "stop").touch()
    waiting = [fleet.machines / f"waits-{seed}" for seed in (1, 2)]
    wait_for("journals are written", lambda: all(path.exists() for path in waiting))
    total = sum(durable_lessons(fleet.machines / f"m{seed}") for seed in (1, 2))
    wait_for("the hub has all", lambda: hub_state(fleet)["lessons"] == total)
    wait_for("all have all", lambda: all(fleet.said(s)["model_version"] == total for s in (1, 2)))
    wait_for(
        "all is kept",
        lambda: all(fleet.said(s)["uplink"]["unacknowledged"] == 0 for s in (1, 2)),
    )
    state = hub_state(fleet)
    assert state["report"].unjoined == state["report"].lost == 0, state
    assert state["errors"] == (), state
    for seed in (1, 2):
        said = fleet.said(seed)
        assert said["following"]["refused"] == said["following"]["errors"] == 0, said
        assert said["uplink"]["errors"] == 0, said
        assert said["slowest_ms"] < 1000, said
    wait_for("the page has all", lambda: page.fleet()["lessons"] == total)
    shown = page.state()
    assert shown["trouble"] == "", shown["trouble"]
    now = shown["selected"]["fleet"]
    assert now["checkpoint"] == now["stamp"], now
    assert now["stamp"][0] == 2, now
    assert now["refused"] == 0, now
    return total, state


def main(folder: Path) -> None:
    with Fleet(folder) as fleet:
        one, two = fleet.member(1), fleet.member(2)
        wait_for("both learn", lambda: min(fleet.newest(1)[1], fleet.newest(2)[1]) > 2, 60)
        page = Page(fleet, f"ray:{fleet.address}")
        wait_for("both were heard", lambda: len(page.fleet().get("heard", [])) == 2, 60)
        seen = look(page, folder)
        afar = look_from_afar(fleet)
        hub_hangs(page)
        hub_is_killed(fleet, page)
        again = member_is_killed(fleet, two)
        total, state = expect_all(fleet, page)
        page.end()
        (fleet.machines / "end").touch()
        assert [one.wait(20), again.wait(20)] == [0, 0]
        import ray_process

        seconds, rate = ray_process.one_row_and_many(fleet.folder / "late", total)
        sharded = ray_process.try_shards(fleet.folder)
        print(
            f"ok: {total} lessons, {state['streams']} streams; {sharded} in shards; {seen}; "
            f"{afar}; one row {seconds:.2f} s; {rate:.0f} records/s"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
