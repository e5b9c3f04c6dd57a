"""What survives: restarts, damaged and missing files, full disks, forks, several processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gated import gate_of, go_to, live, make, modes_in
from hypothesis import given, settings
from hypothesis import strategies as st

import acumen
from acumen.evaluation.promotion.store import State, Store, StoreError, last_in_journal
from acumen.evaluation.promotion.sums import Moments, Tossed


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    choice, rng = make(tmp_path), np.random.default_rng(1)
    gate = gate_of(choice)
    go_to(gate, 2)
    live(choice, rng, 300, gap=0.1)
    seen = gate.step().comparison
    assert seen.learned_decisions > 100
    again = make(tmp_path)
    assert again.mode == "shadow"
    gate = gate_of(again)
    status = gate.status()
    assert (status.stage, again.mode, status.attempt) == ("canary 0.5", "canary", 1)
    assert status.comparison == seen
    assert status.transitions[-1].why == "for a test"
    assert again.journal is not None
    assert again.journal.flush()
    assert modes_in(tmp_path)[-1]["by"] == "acumen.Promotion, as it stood"


@pytest.mark.parametrize("damage", ["gone", "cut", "altered", "foreign", "huge"])
def test_without_its_file_the_journal_tells(tmp_path: Path, damage: str) -> None:
    """The stage is the same; the sums are gone, so that what comes is another attempt's."""
    choice, rng = make(tmp_path), np.random.default_rng(1)
    gate = gate_of(choice)
    go_to(gate, 1)
    live(choice, rng, 500, gap=0.1)
    gate.step()
    go_to(gate, 2)
    assert choice.journal is not None
    assert choice.journal.flush()
    path = tmp_path / "codec" / "promotion.json"
    contents = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        altered = contents.replace(b'"stage": 2', b'"stage": 3')
        new = {"cut": contents[:50], "altered": altered, "foreign": b"\0\xff", "huge": b"x" * 2**21}
        assert new[damage] != contents
        path.write_bytes(new[damage])
    again = make(tmp_path)
    status = gate_of(again).status()
    assert (status.stage, again.mode, status.attempt) == ("canary 0.5", "canary", 2)
    assert status.comparison.learned_decisions == 0
    assert ("checksum" in status.problem) == (damage != "gone")
    assert gate_of(make(tmp_path)).status().attempt == 2  # it has been put down again
    other = gate_of(make(tmp_path), canary=(0.2, 0.6)).status()
    assert other.stage == "shadow"  # of other stages that one says nothing


def test_hostile_files(tmp_path: Path) -> None:
    store = Store(tmp_path / "promotion.json")
    gate = gate_of(make(), state=store.path)
    live(gate.choice, np.random.default_rng(0), 100, 0.0)
    go_to(gate, 1)
    contents = (tmp_path / "promotion.json").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(contents)
        broken[rng.integers(len(broken))] ^= int(rng.integers(1, 256))
        (tmp_path / "promotion.json").write_bytes(broken)
        with pytest.raises(StoreError):
            store.load()
    text = contents.partition(b" ")[2]
    for old, new in (
        (b'"format": 1', b'"format": 2'),
        (b'"stage": 1', b'"stage": -1'),
        (b'"stage": 1', b'"stage": 1e400'),
        (b'"attempt": 1', b'"attempt": 0'),
        (b'"attempt": 1', b'"attempt": true'),
        (b'"tossed": [', b'"tossed": [NaN, '),
        (b'"metrics": {', b'"metrics": {"errors": [1], '),
        (b'"history": [', b'"history": [3, '),
        (text, b"[" * 100_000),
        (text, b"null"),
    ):
        assert old in text
        bad = text.replace(old, new)
        (tmp_path / "promotion.json").write_bytes(b"%08x " % zlib.crc32(bad) + bad)
        with pytest.raises(StoreError):
            store.load()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_state_is_taken_whole_or_refused(data: st.DataObject) -> None:
    """Whatever stands in a file whose checksum is right: a state that goes on, or an error."""
    state = State(tossed=Tossed(Moments(3, 1.0, 2.0)), metrics={"errors": Moments(1, 0.0, 0.0)})
    state = replace(state.moved(1, ["shadow", "canary"], "for a test"), metrics=state.metrics)
    said = json.loads(state.to_json())
    for _ in range(data.draw(st.integers(1, 3))):
        where: Any = said
        key = data.draw(st.sampled_from(sorted(said)))
        while isinstance(where[key], dict | list) and where[key] and data.draw(st.booleans()):
            where = where[key]
            keys = sorted(where) if isinstance(where, dict) else range(len(where))
            key = data.draw(st.sampled_from(keys))
        where[key] = data.draw(JSON)
    try:
        found = State.from_json(json.dumps(said))
    except StoreError:
        return
    assert State.from_json(found.to_json()) == found
    again = found.moved(0, ["shadow", "canary"], "on") if found.stage < 2 else found
    assert again.tossed.comparison(0.05).learned_decisions >= 0


@settings(max_examples=100, deadline=None)
@given(contents=st.binary(max_size=300), sealed=st.booleans())
def test_garbage_is_refused_in_words(contents: bytes, sealed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "promotion.json"
        path.write_bytes(b"%08x " % zlib.crc32(contents) + contents if sealed else contents)
        with pytest.raises(StoreError, match=re.escape(str(path))):
            Store(path).load()


def test_what_cannot_be_put_down_is_not_done_upwards_but_downwards(tmp_path: Path) -> None:
    choice, rng = make(), np.random.default_rng(2)
    gate = gate_of(choice, state=tmp_path / "folder" / "state")
    go_to(gate, 1)
    for file in (tmp_path / "folder").iterdir():
        file.unlink()
    (tmp_path / "folder").rmdir()
    (tmp_path / "folder").write_text("no folder any more")
    for _ in range(8):
        live(choice, rng, 1000, gap=1.0)
        status = gate.step()
    assert (status.stage, choice.mode) == ("canary 0.1", "canary")
    assert "exists" in status.problem or "directory" in status.problem
    for _ in range(60):
        live(choice, rng, 1000, gap=-3.0)
        if gate.step().stage == "shadow":
            break
    assert choice.mode == "shadow"
    (tmp_path / "folder").unlink()
    status = gate.step()
    assert status.problem == ""
    found = Store(tmp_path / "folder" / "state").load()
    assert found is not None
    assert (found.stage, found.attempt) == (0, 2)  # put down when it could be


def test_two_gates_of_one_journal_pool_their_evidence(tmp_path: Path) -> None:
    """Neither has seen enough by itself; a transition is made once, and followed once."""
    first, second = make(tmp_path, seed=1), make(tmp_path, seed=2)
    gates = [gate_of(first, decisions=1000), gate_of(second, decisions=1000)]
    go_to(gates[0], 2)
    assert gates[1].step().stage == "canary 0.5"
    assert second.mode == "canary"
    rng = np.random.default_rng(3)
    for choice, gate in ((first, gates[0]), (second, gates[1])):
        live(choice, rng, 1800, gap=1.0)
        status = gate.step()
        assert status.comparison.learned_decisions < 1000 or status.promoted
    assert [gate.step().stage for gate in gates] == ["on", "on"]
    assert (first.mode, second.mode) == ("on", "on")
    gates[1].rollback("enough")
    assert first.mode == "on"
    gates[0].step()
    assert first.mode == "shadow"
    for choice in (first, second):
        assert choice.journal is not None
        assert choice.journal.flush()
    steps = [e["promotion"]["serial"] for e in modes_in(tmp_path)]
    assert sorted(steps) == [0, 0, 1, 1, 2, 2, 3, 3]
    followed = [e for e in modes_in(tmp_path) if e["by"].endswith("following another process")]
    assert len(followed) == 3
    found = last_in_journal(acumen.Journal(tmp_path), "codec")
    assert found is not None
    assert (found.serial, found.stage) == (3, 0)


def test_other_settings_in_another_process_decide_nothing(tmp_path: Path) -> None:
    first, second = make(tmp_path, seed=1), make(tmp_path, seed=2)
    old = gate_of(first)
    go_to(old, 2)
    new = gate_of(second, margin=0.5)
    assert (new.status().stage, new.status().attempt) == ("shadow", 2)
    for _ in range(3):
        assert "other settings" in old.step().problem
        assert first.mode == "shadow"
        assert new.step().attempt == 2


WORKER = """
import sys
import time
import numpy as np
sys.path.insert(0, {tests!r})
from gated import gate_of, live, make
choice = make({path!r}, seed=int(sys.argv[1]))
gate = gate_of(choice, probe=0.1)
rng = np.random.default_rng(int(sys.argv[1]))
end = time.monotonic() + 60
while not gate.step().promoted and time.monotonic() < end:
    live(choice, rng, 200, gap=0.8)
    time.sleep(0.002)
print(gate.status().stage)
"""


def test_real_processes_come_to_the_same_end(tmp_path: Path) -> None:
    code = WORKER.format(tests=str(Path(__file__).parent), path=str(tmp_path))
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(i)], stdout=subprocess.PIPE, text=True)
        for i in range(3)
    ]
    assert [run.communicate(timeout=120)[0].strip() for run in runs] == ["on"] * 3
    events = modes_in(tmp_path)
    # One that waits long for the others at its begin says so, and makes no step.
    steps = [e for e in events if e["by"] == "acumen.Promotion" and "promotion" in e]
    made = [e["promotion"]["serial"] for e in steps]
    assert sorted(made) == [1, 2, 3]  # each by one of them


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    code = f"""
import os, pathlib
from acumen.evaluation.promotion.store import Store
with Store(pathlib.Path({str(tmp_path / "state")!r})).locked() as alone:
    print(alone, flush=True)
    os.kill(os.getpid(), 9)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (-9, "True")
    with store.locked() as alone, Store(tmp_path / "state").locked() as other:
        assert (alone, other) == (True, False)


def test_what_a_killed_process_had_begun_goes(tmp_path: Path) -> None:
    store = Store(tmp_path / "promotion.json")
    old, new = (
        tmp_path / f".promotion.json.{name}.acumen-partial" for name in ("abcd1234", "ab_d1235")
    )
    others = tmp_path / ".other.json.ab12"
    with store.locked():
        for path in (old, new, others):
            path.write_bytes(b"half of a")
        for path in (old, others, tmp_path / ".promotion.json.lock"):
            os.utime(path, (0, 0))
        store.save(State(), durable=True)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"promotion.json", ".promotion.json.lock", new.name, others.name}


def test_a_thread_steps_and_ends(tmp_path: Path) -> None:
    choice, rng = make(tmp_path), np.random.default_rng(4)
    with gate_of(choice, probe=0.1) as gate:
        gate.stop()
        with pytest.raises(ValueError, match="interval"):
            gate.start(0.0)
        gate.start(0.01)
        deadline = time.monotonic() + 60
        while not gate.status().promoted:
            assert time.monotonic() < deadline, gate
            live(choice, rng, 200, gap=0.8)
            time.sleep(0.002)
    assert choice.mode == "on"


def in_child(
    gate: acumen.Promotion, answers: multiprocessing.Queue[tuple[str, float, bool]]
) -> None:
    choice, rng = gate.choice, np.random.default_rng(os.getpid())
    before = gate.status().comparison.learned_decisions
    deadline = time.monotonic() + 30
    while gate.status().comparison.learned_decisions <= before and time.monotonic() < deadline:
        live(choice, rng, 50, gap=0.0)
        time.sleep(0.02)
    news = gate.status().comparison.learned_decisions - before
    answers.put((gate.status().stage, news, gate._background.alive))


def test_fork(tmp_path: Path) -> None:
    """The child's gate has a thread of its own, and does not count the parent's decisions twice."""
    choice, rng = make(tmp_path), np.random.default_rng(5)
    gate = gate_of(choice)
    go_to(gate, 2)
    live(choice, rng, 1000, gap=0.0)
    with gate.start(0.01):
        context = multiprocessing.get_context("fork")
        answers = context.Queue()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = context.Process(target=in_child, args=(gate, answers))
            child.start()
        stage, news, running = answers.get(timeout=60)
        child.join(60)
        assert (stage, running, child.exitcode) == ("canary 0.5", True, 0)
        assert 0 < news < 1000
        assert gate._background.alive
    total = gate.step().comparison
    assert total.learned_decisions + total.default_decisions < 2000


def test_one_that_cannot_begin_serves_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acumen.evaluation.promotion.gate.LOCK_SECONDS", 0.05)
    choice = make(tmp_path, mode="on")
    with Store(tmp_path / "codec" / "promotion.json").locked() as alone:
        assert alone
        gate = gate_of(choice)
        assert choice.mode == "shadow"
        assert "another process" in gate.status().waiting
    gate.step()
    assert (choice.mode, gate.status().attempt) == ("shadow", 1)
    assert gate_of(make(tmp_path)).status().attempt == 1
