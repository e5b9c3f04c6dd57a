"""Processes of one number: of 10,000 two have the same, and none is taken for the other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from journaled import make

import acumen
from acumen.core.journal import EventBatch
from acumen.core.journal_format import KIND_CODES
from acumen.core.journal_segments import replica_of
from acumen.core.trainer import Trainer
from acumen.core.twin import twin
from acumen.evaluation.off_policy import LogError, read_records
from acumen.fleet.hub import Hub
from acumen.fleet.wire import encode
from acumen.watch.view import ChoiceView

REPLICA = 0x5F2E1A
ROUNDS = 80


class Urandom:
    """What the system draws, where the test says what that is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.drawn: dict[int, bytes] = {}
        drawn = os.urandom
        monkeypatch.setattr(os, "urandom", lambda n: self.drawn.get(n) or drawn(n))


@pytest.fixture
def urandom(monkeypatch: pytest.MonkeyPatch) -> Urandom:
    return Urandom(monkeypatch)


def begin(folder: Path, urandom: Urandom, number: int | None, seed: int) -> acumen.Choice:
    """A process that has drawn that replica; and that number to begin with, if one is said."""
    urandom.drawn = {3: REPLICA.to_bytes(3)}
    if number is not None:
        urandom.drawn[8] = number.to_bytes(8)
    choice = make(folder, seed=seed, learner=acumen.learners.LinUCB())
    urandom.drawn = {}
    assert choice.journal is not None
    assert replica_of(choice.journal.stream) == REPLICA
    return choice


def decide(choice: acumen.Choice, size: float) -> list[acumen.Decision]:
    return [
        choice.choose(size=size + 0.01 * i, kind="x", level=1.0, hot=True) for i in range(ROUNDS)
    ]


Live = Callable[[int | None], tuple[list[acumen.Choice], list[list[acumen.Decision]]]]


@pytest.fixture
def live(tmp_path: Path, urandom: Urandom) -> Live:
    """Two of one replica on two machines, and a third process that hears some of the feedback."""

    def lived(number: int | None) -> tuple[list[acumen.Choice], list[list[acumen.Decision]]]:
        twins = [begin(tmp_path / f"{i}", urandom, number, seed=i) for i in range(2)]
        other = make(tmp_path / "2", seed=2, learner=acumen.learners.LinUCB())
        made = [decide(choice, 10.0 * (i + 1)) for i, choice in enumerate(twins)]
        for i, (choice, decisions) in enumerate(zip(twins, made, strict=True)):
            for j, decision in enumerate(decisions):
                # Its seconds are its size, so that a wrong merge can be seen.
                who = other if j >= ROUNDS // 2 else choice
                who.feedback(decision.id, seconds=10.0 * (i + 1) + 0.01 * j, bytes=0.0)
        for choice in (*twins, other):
            assert choice.journal is not None
            assert choice.journal.close()
        return [*twins, other], made

    return lived


def batches(folder: Path, order: tuple[int, ...]) -> list[EventBatch]:
    """Of all machines, one after the other."""
    return [b for i in order for b in acumen.Journal(folder / f"{i}").events("codec")]


ORDERS = [(0, 1, 2), (1, 0, 2), (2, 0, 1), (2, 1, 0)]


def joined(trainer: Trainer) -> int:
    """Decisions that have their feedback; all of them have their own."""
    records = trainer.choice.records()
    done = records.filter(np.array(records["state"].cast("string")) == "done")
    size, seconds = (done[name].to_numpy() for name in ("context.size", "metric.seconds"))
    assert np.allclose(size, seconds)
    return len(size)


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_a_trainer_takes_no_process_for_another(
    tmp_path: Path, live: Live, order: tuple[int, ...]
) -> None:
    """They begin with other numbers: even what others have heard finds its decision."""
    choices, made = live(None)
    assert len({d.id for decisions in made for d in decisions}) == 2 * ROUNDS
    trainer = Trainer(twin(choices[0]))
    for batch in batches(tmp_path, order):
        assert trainer.take(batch) == "applied"
        successor = Trainer(twin(choices[0]))
        successor.resume(trainer.publish((1, 1), whole=True))
        ambiguous = trainer.report.ambiguous
        trainer = successor
        assert ambiguous == 0
    assert joined(trainer) == 2 * ROUNDS


def test_feedback_that_comes_first_waits_for_its_own(tmp_path: Path, live: Live) -> None:
    """A process's first decision is read, then its twin, then what others have heard of both."""
    choices, _ = live(None)
    trainer = Trainer(twin(choices[0]))
    [mine], twins, others = (batches(tmp_path, (i,)) for i in range(3))
    kinds = mine.rows.column("kind").indices.to_numpy()
    cut = int(np.flatnonzero(kinds == KIND_CODES["decision"])[1])
    first = EventBatch(mine.info, mine.first, mine.first + cut - 1, mine.rows.slice(0, cut))
    rest = EventBatch(mine.info, mine.first + cut, mine.last, mine.rows.slice(cut))
    for batch in (first, *twins, *others, rest):
        assert trainer.take(batch) == "applied"
    assert joined(trainer) == 2 * ROUNDS
    assert trainer.report.ambiguous == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)], ids=str)
def test_what_may_be_for_two_is_for_neither(
    tmp_path: Path, live: Live, order: tuple[int, ...]
) -> None:
    """Their numbers are the same, too, which nobody will live to see but who forges them."""
    choices, made = live(1 << 20)
    assert {d.id for d in made[0]} == {d.id for d in made[1]}
    trainer = Trainer(twin(choices[0]))
    for batch in batches(tmp_path, order):
        assert trainer.take(batch) == "applied"
    assert joined(trainer) == ROUNDS  # what each has heard of itself
    assert trainer.report.ambiguous == ROUNDS
    assert trainer.report.lessons == ROUNDS


def test_a_hub_takes_no_process_for_another(tmp_path: Path, live: Live) -> None:
    _, _ = live(1 << 20)
    hub = Hub(str(tmp_path / "hub"))
    for batch in batches(tmp_path, (0, 1, 2)):
        hub.exchange([(encode(batch), batch.first - 1)], (0, 0), [])
    assert hub.trainer is not None
    assert joined(hub.trainer) == ROUNDS
    shown = json.loads(hub.look("5m", whole=True))
    assert shown["hub"]["report"]["ambiguous"] == ROUNDS
    assert shown["choice"]["decisions"] == 2 * ROUNDS


def test_a_page_takes_no_process_for_another(tmp_path: Path, live: Live) -> None:
    _, made = live(1 << 20)
    view = ChoiceView("codec")
    parts = [list(acumen.Journal(tmp_path / f"{i}").events("codec")) for i in range(3)]
    for one, two in zip(parts[0], parts[1], strict=True):  # side by side
        view.take(one)
        view.take(two)
    for batch in parts[2]:
        view.take(batch)
    counted = np.zeros(3)
    total = np.zeros(3)
    for i, decisions in enumerate(made):
        for j, decision in enumerate(decisions[: ROUNDS // 2]):
            counted[decision.index] += 1
            total[decision.index] -= 10.0 * (i + 1) + 0.01 * j
    assert view.arm_feedback[:3].tolist() == counted.tolist()
    assert np.allclose(view.arm_reward[:3], total)


@pytest.mark.parametrize("number", [None, 1 << 20], ids=["numbers", "same numbers"])
def test_a_log_takes_no_process_for_another(tmp_path: Path, live: Live, number: int | None) -> None:
    """Machines' journals that were put together are evaluated decision by decision."""
    live(number)
    folder = tmp_path / "all" / "codec"
    folder.mkdir(parents=True)
    for i in range(3):
        for path in (tmp_path / f"{i}" / "codec").glob("*.arrow*"):
            path.rename(folder / path.name)
    table = acumen.Journal(tmp_path / "all").decisions("codec")
    done = table.filter(np.array(table["state"].cast("string")) == "done")
    size, seconds = (done[name].to_numpy() for name in ("context.size", "metric.seconds"))
    assert np.allclose(size, seconds)
    assert len(table) == 2 * ROUNDS
    if number is None:
        assert len(done) == len(read_records(table)) == 2 * ROUNDS
    else:
        assert len(done) == ROUNDS
        with pytest.raises(LogError, match="two different decisions"):
            read_records(table)


def test_who_starts_from_the_same_snapshot_begins_elsewhere(
    tmp_path: Path, urandom: Urandom
) -> None:
    """And finds all the same what it holds."""
    first = make(tmp_path / "first")
    held = decide(first, 1.0)
    first.save(tmp_path / "model")
    ids = set()
    for i in range(3):
        urandom.drawn = {3: REPLICA.to_bytes(3)}
        choice = make(tmp_path / f"{i}", model=tmp_path / "model")
        urandom.drawn = {}
        assert choice.feedback(held[-1].id, seconds=1.0, bytes=1.0)
        ids |= {d.id for d in decide(choice, 1.0)}
        assert choice.journal is not None
        assert choice.journal.close()
    assert len(ids) == 3 * ROUNDS
