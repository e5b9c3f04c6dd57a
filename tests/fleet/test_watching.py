"""The page over a fleet: what hubs say of themselves, asked without a network between."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from journaled import live, make

import acumen
from acumen.cli import main
from acumen.cli_watch import ray_address
from acumen.core import model_file
from acumen.core.trainer import Trainer
from acumen.core.twin import twin
from acumen.fleet import cluster, hub_name, ledger
from acumen.fleet.uplink import HubUnavailableError
from acumen.fleet.watching import FleetWatcher
from acumen.fleet.wire import decode, encode
from acumen.watch.snapshot import RANGES

pytest.importorskip("fsspec", reason="needs fsspec, for checkpoints: acumen[fleet]")
from acumen.fleet.hub import Hub
from acumen.fleet.sharding import RootHub, shard_of


class Here:
    """All hubs of a fleet, in this process; some do not answer."""

    def __init__(self, **hubs: Hub | RootHub) -> None:
        self.hubs = hubs
        self.silent: set[str] = set()
        self.gone = False
        self.asked = 0

    def names(self) -> list[str]:
        if self.gone:
            raise HubUnavailableError("nobody is there")
        return [*self.hubs, "something/else"]

    def ask(
        self, names: Sequence[str], timeout: float, *arguments: Any
    ) -> dict[str, bytes | HubUnavailableError]:
        self.asked += 1
        return {name: HubUnavailableError("it hangs") if name in self.silent
                else self.hubs[name].look(*arguments) for name in names}  # fmt: skip

    def close(self) -> None:
        self.gone = True


def tell(hub: Hub, choice: acumen.Choice, folder: Path, have: tuple[int, int] = (0, 0)) -> int:
    """All that is in a journal, from the beginning; how many events that was."""
    assert choice.journal is not None
    assert choice.journal.flush()
    batches = list(acumen.Journal(folder).events(choice.name))
    sent, after = [], {choice.journal.stream: 0}
    for batch in batches:
        sent.append((encode(batch), after.get(batch.info.stream, 0)))
        after[batch.info.stream] = batch.last
    hub.exchange(sent, have, list(after))
    return sum(batch.rows.num_rows for batch in batches)


def whole(watcher: FleetWatcher, choice: str | None = None, span: str = "5m") -> dict[str, Any]:
    watcher._details.clear()
    state = watcher.state(choice, span)
    assert json.dumps(state, allow_nan=False)
    return state


def test_the_page_shows_what_the_hub_was_told(tmp_path: Path) -> None:
    one, two = make(tmp_path / "a"), make(tmp_path / "b", seed=8)
    hub = Hub(str(tmp_path / "kept"), publish_seconds=1e-6)
    name = hub_name(one)
    watcher = FleetWatcher(Here(**{name: hub}), "ray:here")
    watcher.poll()
    state = whole(watcher)
    assert state["selected"] is None
    assert state["silent"] == 1
    live(one, 400)
    live(two, 300)
    events = tell(hub, one, tmp_path / "a", (0, 0)) + tell(hub, two, tmp_path / "b", (1, 7))
    tell(hub, one, tmp_path / "a")  # once more: it changes nothing
    watcher.poll()
    for span in RANGES:
        state = whole(watcher, None, span)
        chosen = state["selected"]
        assert [c["name"] for c in state["choices"]] == ["codec"]
        assert chosen["decisions"] == 700
        assert chosen["totals"]["events"] == events
    learned = [c.counters()["feedback_learned"] for c in (one, two)]
    assert chosen["fleet"]["lessons"] == sum(learned)
    said = hub.trainer.choice.comparison()  # type: ignore[union-attr]
    assert said.learned_decisions > 0
    assert chosen["comparison"]["learned"]["decisions"] == said.learned_decisions
    assert chosen["comparison"]["difference"] == pytest.approx(said.difference, rel=1e-5)
    heard = {h["name"]: h for h in chosen["fleet"]["heard"]}
    assert heard.keys() == {one.journal.stream, two.journal.stream}  # type: ignore[union-attr]
    again = heard[one.journal.stream]  # type: ignore[union-attr]
    assert again["repeated"] > 0
    assert heard[two.journal.stream]["have"] == [1, 7]  # type: ignore[union-attr]
    assert sum(h["events"] for h in heard.values()) == events
    assert all(0 <= chosen["fleet"]["hub_now"] - h["heard_s"] < 60 for h in heard.values())
    [line] = chosen["fleet"]["hubs"]
    assert line["checkpoint"] == list(hub.stamp)
    assert line["checkpoints"] == str(tmp_path / "kept")
    assert chosen["fleet"]["report"]["duplicates"] > 0


def test_what_is_refused_is_told(tmp_path: Path) -> None:
    choice, other = make(tmp_path / "a"), make(tmp_path / "b", arms=["x", "y"], default="x")
    hub = Hub(str(tmp_path / "kept"))
    live(choice, 100)
    live(other, 50)
    tell(hub, choice, tmp_path / "a")
    tell(hub, other, tmp_path / "b")  # of another kind: it is left out
    hub.exchange([(b"no batch at all", 0)], (0, 0), [])
    watcher = FleetWatcher(Here(**{hub_name(choice): hub}), "ray:here")
    watcher.poll()
    fleet = whole(watcher)["selected"]["fleet"]
    assert fleet["refused"] == 1
    assert "no batch of events" in fleet["problems"][0]
    assert "arms" in fleet["foreign"][other.journal.stream]  # type: ignore[union-attr]


def test_a_hub_keeps_no_more_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT_BYTES", 60_000)
    monkeypatch.setattr(ledger, "STREAMS_KEPT", 3)
    hub = Hub(str(tmp_path / "kept"))
    choices = [make(tmp_path / str(i), seed=i) for i in range(5)]
    events = 0
    for i, choice in enumerate(choices):
        live(choice, 300)
        events += tell(hub, choice, tmp_path / str(i))
    held = hub.ledger
    assert held._bytes == sum(len(contents) for contents, _, _ in held._waiting) <= 60_000
    assert held.uncounted > 0
    assert len(held.heard) == 3
    watcher = FleetWatcher(Here(**{hub_name(choices[0]): hub}), "ray:here")
    watcher.poll()
    chosen = whole(watcher)["selected"]
    assert chosen["totals"]["events"] + chosen["fleet"]["uncounted"] == events
    assert chosen["fleet"]["events"] == events  # it has learned from all of them
    assert held._bytes == 0


# In a process of its own: Arrow's memory is counted for a whole process, threads of others' in it.
KEEPS = """
import gc, sys, tracemalloc
import pyarrow as pa
from acumen.fleet import ledger
from acumen.fleet.wire import decode

ledger.KEPT_BYTES = kept = 1 << 20
contents = open(sys.argv[1], "rb").read()
held = ledger.Ledger()
held.note(contents, batch := decode(contents), batch.first - 1, "applied", (0, 0))
gc.collect()
arrow = pa.total_allocated_bytes()
tracemalloc.start()
for _ in range(4 * kept // len(contents)):
    came = bytes(bytearray(contents))  # as from a network: each for itself
    batch = decode(came)
    held.note(came, batch, batch.first - 1, "applied", (0, 0))
del batch, came
gc.collect()
taken = tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes() - arrow
assert held.uncounted > 0
assert kept / 2 < held._bytes <= kept
assert 0.9 * held._bytes < taken < 1.1 * kept, (taken, held._bytes)
"""


def test_what_a_hub_keeps_is_no_more_in_memory(tmp_path: Path) -> None:
    """Small batches are worst: each says anew what its choice is like."""
    choice = make(tmp_path / "a")
    live(choice, 1)
    assert choice.journal is not None
    assert choice.journal.flush()
    [contents, *_] = [encode(batch) for batch in acumen.Journal(tmp_path / "a").events("codec")]
    (tmp_path / "batch").write_bytes(contents)
    subprocess.run([sys.executable, "-c", KEEPS, str(tmp_path / "batch")], check=True, timeout=60)


def test_a_look_takes_no_longer_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = make(tmp_path / "a")
    hub = Hub(str(tmp_path / "kept"))
    for _ in range(3):
        live(choice, 50)
        tell(hub, choice, tmp_path / "a")
    monkeypatch.setattr(ledger, "LOOK_SECONDS", 0.0)
    assert json.loads(hub.look("5m", False))["hub"]["behind"]
    monkeypatch.undo()
    said = json.loads(hub.look("5m", False))
    assert not said["hub"]["behind"]
    assert said["choice"]["decisions"] == 150


def test_looks_of_one_second_share_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many look: a batch takes 60 ms here, by a clock that nothing else moves."""
    choice = make(tmp_path / "a")
    live(choice, 1)
    assert choice.journal is not None
    assert choice.journal.flush()
    [contents, *_] = [encode(batch) for batch in acumen.Journal(tmp_path / "a").events("codec")]
    batch = decode(contents)
    held = ledger.Ledger()
    for _ in range(100):
        held.note(contents, batch, batch.first - 1, "applied", (0, 0))
    clock, took, counted = 1000.0, 0.06, []

    def take(*_: Any) -> None:
        nonlocal clock
        clock += took
        counted.append(clock)

    monkeypatch.setattr(ledger, "time", SimpleNamespace(time=time.time, monotonic=lambda: clock))
    monkeypatch.setattr(ledger._HubView, "take", take)
    for _ in range(10):
        held.view(choice)
    assert len(counted) == 4  # the last began at 0.18 s
    clock += 1.19  # 0.24 s are a fifth of 1.2 s
    held.view(choice)
    assert len(counted) == 4
    clock += 0.02
    held.view(choice)
    assert len(counted) == 8
    clock, took = 2000.0, 0.01
    for _ in range(400):  # forty looks a second for ten
        held.view(choice)
        clock += 0.025
    assert held.behind is False
    late = [at for at in counted if at >= 2000]
    assert len(late) == 92
    assert (
        max(sum(at - 1 < other <= at for other in late) for at in late) <= 21
    )  # the last began in time
    took = 3.0
    for _ in range(2):
        held.note(contents, batch, batch.first - 1, "applied", (0, 0))
    clock = 3000.0
    for _ in range(2):
        held.view(choice)
        clock += 14.9
    assert len(counted) == 101  # 3 s of work, 15 s of rest
    clock += 0.3
    held.view(choice)
    assert len(counted) == 102


def test_a_silent_hub_is_shown_as_it_was(tmp_path: Path) -> None:
    choice = make(tmp_path / "a")
    hub = Hub(str(tmp_path / "kept"))
    live(choice, 100)
    tell(hub, choice, tmp_path / "a")
    name = hub_name(choice)
    here = Here(**{name: hub})
    watcher = FleetWatcher(here, "ray:here")
    watcher.poll()
    assert whole(watcher)["selected"]["fleet"]["silent_for"] == 0
    watcher.state("codec", "5m")
    asked = here.asked
    here.silent = {name}
    watcher.poll()
    state = watcher.state("codec", "5m")
    assert here.asked == asked + 1  # the poll: who hangs is not waited for by the page
    assert state["selected"]["decisions"] == 100
    assert state["selected"]["fleet"]["silent_for"] > 0
    assert state["selected"]["fleet"]["hubs"][0]["problem"] == "it hangs"
    assert not state["choices"][0]["live"]
    here.gone = True
    watcher.poll()
    assert "nobody is there" in watcher.state("codec", "5m")["trouble"]
    here.gone, here.silent = False, set()
    watcher.poll()
    state = watcher.state("codec", "5m")
    assert state["trouble"] == ""
    assert state["selected"]["fleet"]["silent_for"] == 0


def test_a_cluster_that_blocks_a_call_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acumen.fleet.watching.ANSWER_SECONDS", -0.9)  # waits for 0.1 s
    choice = make(tmp_path / "a")
    hub = Hub(str(tmp_path / "kept"))
    live(choice, 100)
    tell(hub, choice, tmp_path / "a")
    here = Here(**{hub_name(choice): hub})
    watcher = FleetWatcher(here, "ray:here")
    watcher.poll()
    assert whole(watcher)["selected"]["decisions"] == 100
    answer, free = here.ask, threading.Event()

    def blocks(*arguments: Any) -> Any:
        free.wait(30)
        return answer(*arguments)

    here.ask = blocks
    monkeypatch.setattr("acumen.fleet.watching.FRESH_SECONDS", 0.0)
    monkeypatch.setattr("acumen.fleet.watching.LATE_SECONDS", 0.0)
    for _ in range(5):
        state = watcher.state("codec", "5m")
        assert state["selected"]["decisions"] == 100
        assert "has not answered for" in state["trouble"]
    assert here.asked == 2  # the poll, and the first look: nobody else has gone on asking
    free.set()
    watcher._fetching.join()
    watcher.state("codec", "5m")
    assert here.asked > 2


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"hub": 1, "choice": null}', b"[" * 9999])
def test_nonsense_is_no_answer(tmp_path: Path, answer: bytes) -> None:
    here = Here(**{"hub/codec/0123456789ab": Hub(str(tmp_path))})
    here.ask = lambda names, timeout, *a: dict.fromkeys(names, answer)
    watcher = FleetWatcher(here, "ray:here")
    watcher.poll()
    assert whole(watcher)["choices"] == []
    assert "no sense" in watcher._seen["hub/codec/0123456789ab"].problem


def test_kinds_and_shards_have_names_of_their_own(tmp_path: Path) -> None:
    settled = make(tmp_path / "settled", learner=acumen.learners.LinUCB())
    live(settled, 600)
    assert settled.journal is not None
    assert settled.journal.flush()
    trainer = Trainer(twin(settled))
    for batch in acumen.Journal(tmp_path / "settled").events():
        trainer.take(batch)
    published = trainer.publish((1, 1))
    scales = model_file.encode(published.header, published.arrays)
    old = make(tmp_path / "old")
    live(old, 20)
    base = hub_name(settled)
    hubs = [Hub(str(tmp_path / str(i)), scales=scales, publish_seconds=1e-6) for i in range(2)]
    for i in range(6):
        choice = make(tmp_path / f"m{i}", seed=i, learner=acumen.learners.LinUCB())
        live(choice, 30)
        assert choice.journal is not None
        tell(hubs[shard_of(choice.journal.stream, 2)], choice, tmp_path / f"m{i}")
    root = RootHub(str(tmp_path / "root"), hubs)
    root.step()
    former = Hub(str(tmp_path / "former"))
    tell(former, old, tmp_path / "old")
    named: dict[str, Hub | RootHub] = {f"{base}/{i}-of-2": hub for i, hub in enumerate(hubs)}
    watcher = FleetWatcher(Here(**named, **{f"{base}/root-of-2": root}), "ray:here")
    watcher.poll()
    state = whole(watcher, "codec · hub 2 of 2")
    told = [h.trainer is not None for h in hubs]
    assert [c["name"] for c in state["choices"]] == [
        f"codec · hub {i + 1} of 2" for i in range(2) if told[i]
    ]
    rows = {row["part"]: row for row in state["selected"]["fleet"]["hubs"]}
    assert rows.keys() == {"hub 1", "hub 2", "root"}
    assert rows["root"]["stamp"] == [1, 1]
    assert rows["root"]["checkpoint"] == [1, 1]
    assert sum(rows[f"hub {i}"]["streams"] or 0 for i in (1, 2)) == 6
    # During an upgrade there are two kinds of the same name; what was looked at, stays.
    both = {hub_name(old): former, base: hubs[0] if told[0] else hubs[1]}
    watcher = FleetWatcher(Here(**both), "ray:here")
    watcher.poll()
    names = [c["name"] for c in watcher.state(None, "5m")["choices"]]
    assert names == sorted(f"codec · {name.split('/')[2][:6]}" for name in both)
    assert whole(watcher, "codec")["selected"]["name"] in names


def test_passwords_in_paths_are_not_shown(tmp_path: Path) -> None:
    hub = Hub(f"memory://me:secret@{tmp_path}")
    assert b"secret" not in hub.look("5m", True)


def test_looking_makes_no_difference_to_what_is_learned(tmp_path: Path) -> None:
    choice = make(tmp_path / "a")
    looked, alone = Hub(str(tmp_path / "x")), Hub(str(tmp_path / "y"))
    for _ in range(4):
        live(choice, 100)
        for hub in (looked, alone):
            tell(hub, choice, tmp_path / "a")
        looked.look("5m", True)
    assert looked.trainer is not None
    assert alone.trainer is not None
    one, other = (hub.trainer.choice._snapshot()[0] for hub in (looked, alone))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key], equal_nan=True) for key in one)


@pytest.mark.parametrize(
    "text", ["ray:", "ray://", "ray:x", "ray://h:0", "ray:h:99999", "ray:a b:1"]
)
def test_addresses_that_make_no_sense_are_explained(text: str) -> None:
    with pytest.raises(ValueError, match="no address of a fleet"):
        ray_address(text)
    result = CliRunner().invoke(main, ["watch", text])
    assert result.exit_code == 2
    assert "no address of a fleet" in result.output
    assert "ray://HOST:10001" in result.output


def test_addresses_have_three_forms() -> None:
    assert ray_address("ray://[::1]") == "ray://[::1]:10001"
    assert ray_address("ray://head:123/") == "ray://head:123"
    assert ray_address("ray:10.0.0.1:6379") == "10.0.0.1:6379"


def test_a_cluster_that_is_not_there_is_told_soon() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: acumen[fleet]")
    began = time.monotonic()
    result = CliRunner().invoke(main, ["watch", "ray:127.0.0.1:1"])
    assert result.exit_code == 2
    assert "no cluster to look at: 127.0.0.1:1: Connection refused" in result.output
    assert "ray:auto" in result.output
    assert time.monotonic() - began < 20


def test_who_asks_while_the_hubs_are_closed_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads: one looks at hubs, the other leaves the cluster."""
    hubs = object.__new__(cluster.Hubs)
    hubs._lines, hubs._begun, hubs._mine = {}, {}, True

    class Line:
        def __init__(self, name: str) -> None:
            self.name = name

        def begin(self, *arguments: Any) -> str:
            return self.name

        def result(self, begun: str, timeout: float) -> bytes:
            hubs.close()
            raise HubUnavailableError(f"GetTimeoutError: {begun}")

    ray = SimpleNamespace(is_initialized=lambda: True, shutdown=lambda: None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(cluster, "_Line", Line)
    found = hubs.ask(["a", "b"], 1.0, "5m", True)
    assert {name: type(answer) for name, answer in found.items()} == {
        "a": HubUnavailableError,
        "b": HubUnavailableError,
    }


def test_after_leaving_no_cluster_is_begun() -> None:
    """What is asked of Ray when it is not connected starts a cluster of its own."""
    pytest.importorskip("ray", reason="needs Ray: acumen[fleet]")
    line = cluster._Line("hub/nobody")
    for call in (lambda: line.begin("look"), lambda: line.result(None, 1.0)):
        with pytest.raises(HubUnavailableError, match="not connected"):
            call()
