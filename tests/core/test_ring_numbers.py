"""Numbers of decisions that nobody would believe: they do not cost the others anything."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from journaled import differences, live, make

import acumen
from acumen.core.journal import EventBatch
from acumen.core.journal_format import KIND_CODES
from acumen.core.ring_numbers import FIRST_MAX, NUMBER, REPLICA, RUNS_MAX, RingNumbers
from acumen.core.trainer import Trainer
from acumen.core.twin import twin

FORGED = "0198c1d2a3b4-00abcd"


def ids(replica: int, *numbers: int) -> np.ndarray:
    return np.array([replica << 40 | number for number in numbers], np.uint64)


class Numbers(RingNumbers):
    """Of streams that are called by their replica."""

    def place(self, ids: np.ndarray) -> None:  # type: ignore[override]
        super().place(stream(int(ids[0] >> REPLICA)), ids)

    def of(self, ids: np.ndarray) -> np.ndarray:  # type: ignore[override]
        return super().of(stream(0xFFFFFF), ids)


def stream(replica: int) -> str:
    return f"0198c1d2a3b4-{replica:06x}"


def test_one_process_keeps_its_numbers() -> None:
    numbers = Numbers(512)
    for first in (7, 107, 300):  # what was dropped in between leaves its places empty
        numbers.place(ids(5, *range(first, first + 100)))
    asked = ids(5, 7, 150, 299, 399)
    assert numbers.of(asked).tolist() == asked.tolist()
    assert numbers.of(ids(6, 7)).tolist() == [0]


@pytest.mark.parametrize(
    "claimed",
    [[51, (1 << 40) - 1], [(1 << 40) - 1, 51], [51, 5000, 52], [51, 0, 52], [51, 51], [40, 51]],
)
def test_a_claim_moves_nobody(claimed: list[int]) -> None:
    """Whatever a stream says of itself, others' decisions lie where they lay."""
    numbers = Numbers(512)
    numbers.place(ids(1, *range(1, 51)))
    numbers.place(ids(2, *range(1, 51)))
    before = numbers.of(ids(2, 1, 25, 50))
    numbers.place(ids(1, *claimed))
    numbers.place(ids(2, *range(51, 61)))
    assert numbers.of(ids(2, 1, 25, 50)).tolist() == before.tolist()
    places = numbers.of(ids(2, 51, 60)) & NUMBER
    assert (places <= 200).all()  # a claim to have skipped a few is believed
    numbers.place(ids(1, 53, 54))  # and the one that said so goes on
    found = numbers.of(ids(1, 53, 54))
    assert (found >> REPLICA).tolist() == [1, 1]
    assert int(found[1] - found[0]) == 1
    again = Numbers(512)
    again.restore(numbers.described())
    assert again.of(ids(2, 1, 60)).tolist() == numbers.of(ids(2, 1, 60)).tolist()


def test_who_begins_with_a_number_beyond_belief_does_not_use_them_up() -> None:
    numbers = Numbers(512)
    numbers.place(ids(1, (1 << 40) - 2, (1 << 40) - 1))
    for replica in range(2, 40):
        numbers.place(ids(replica, *range(1, 500)))
    assert numbers.described()["next"] < FIRST_MAX + 40 * 500
    again = Numbers(512)
    again.restore(numbers.described())


def test_what_was_skipped_is_nobody_elses() -> None:
    """Its feedback may still come, and must teach no other decision."""
    numbers = Numbers(512)
    numbers.place(ids(1, *range(1, 51)))
    numbers.place(ids(1, *range(5000, 5050)))
    assert (numbers.of(ids(1, 50, 5000, 5049)) & NUMBER).tolist() == [50, 51, 100]
    assert numbers.of(ids(1, 51, 100, 4999, 5050)).tolist() == [0] * 4


@pytest.mark.parametrize("claimed", [(1 << 40) - 2, 5000, 50, 3])
@pytest.mark.parametrize("said", ["all", "where runs begin, and the newest", "where runs begin"])
def test_a_successor_believes_no_more(claimed: int, said: str) -> None:
    first, second = Numbers(512), Numbers(512)
    first.place(ids(3, 1))  # and says nothing more
    first.place(ids(2, *range(1, 51)))
    first.place(ids(1, *range(1, 51)))
    described = first.described()
    if said != "all":  # as older checkpoints have it
        ended = described["runs"]
        described["runs"] = {name: [run[:2] for run in runs] for name, runs in ended.items()}
        if "newest" in said:
            described["made"] = {name: runs[-1][2] for name, runs in ended.items()}
    second.restore(described)
    for numbers in (first, second):
        numbers.place(ids(1, claimed))
        numbers.place(ids(2, 51))
    one, two = first.described(), second.described()
    assert one["next"] == two["next"] == 104
    assert (
        one["runs"][stream(1)][-1]
        == two["runs"][stream(1)][-1]
        == (claimed, 102 - claimed, claimed)
    )
    assert one["runs"] == two["runs"] or said == "where runs begin"
    Numbers(512).restore(two)


TWINS = [f"0198c1d2a3b{i}-5f2e1a" for i in (4, 5)]  # of one replica


def twins(*counts: int) -> tuple[RingNumbers, Any]:
    """Their decisions in turns, so many each time; and where one is said to lie."""
    numbers = RingNumbers(512)
    made = [1 << 20, 1 << 30]
    for i, count in enumerate(counts):
        numbers.place(TWINS[i % 2], ids(0x5F2E1A, *range(made[i % 2], made[i % 2] + count)))
        made[i % 2] += count

    def place(number: int, said_in: str = stream(1)) -> int:
        unsure = np.array([said_in == stream(1)])
        return int(numbers.of(said_in, ids(0x5F2E1A, number), unsure)[0])

    return numbers, place


def test_what_is_not_there_yet_is_not_taken_for_a_twins() -> None:
    """Others may hear feedback before its decision is read."""
    numbers, place = twins(50, 50)
    first, second = 1 << 20, 1 << 30
    assert place(first + 60) == 0
    assert not numbers.have_come(ids(0x5F2E1A, first + 60)).any()
    assert place(first + 49) + 1 == place(second) > 0
    assert numbers.ambiguous == 0
    numbers.place(TWINS[0], ids(0x5F2E1A, *range(first + 50, first + 100)))
    assert place(first + 60) == place(second + 49) + 11


def test_what_was_dropped_is_not_taken_for_a_twins() -> None:
    numbers, place = twins(50, 50)
    first = 1 << 20
    numbers.place(TWINS[0], ids(0x5F2E1A, first + 60))  # a gap of ten
    assert [place(first + n, TWINS[0]) for n in (50, 59, 61)] == [0, 0, 0]
    # Nor where the next place is as far on as the next number.
    numbers, place = twins(50, 20)
    numbers.place(TWINS[0], ids(0x5F2E1A, first + 70))
    assert [place(first + n, TWINS[0]) for n in (50, 69)] == [0, 0]
    assert place(first + 70, TWINS[0]) == place(first, TWINS[0]) + 70


def test_who_says_no_more_is_forgotten() -> None:
    """A trainer meets more processes than a checkpoint has room for."""
    numbers = Numbers(512)
    for replica in range(1, 5001):
        numbers.place(ids(replica, 7))
    numbers.place(ids(1, 8))
    described = numbers.described()
    assert len(described["runs"]) == len(described["begun"]) == 2 * 512 + 1024
    assert len(numbers._streams) == len(described["runs"])
    assert stream(1) in described["runs"]
    again = Numbers(512)
    again.restore(json.loads(json.dumps(described)))
    asked = np.concatenate([ids(replica, 7, 8) for replica in (1, 2, 4000, 5000)])
    assert again.of(asked).tolist() == numbers.of(asked).tolist()
    assert (numbers.of(asked) > 0).tolist() == [False, True, False, False, True, False, True, False]


def test_many_processes_are_not_looked_at_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tidied = []
    tidy = RingNumbers.tidy
    monkeypatch.setattr(RingNumbers, "tidy", lambda self: (tidied.append(1), tidy(self))[1])
    numbers = Numbers(1 << 16)
    for i in range(3 * RUNS_MAX):
        numbers.place(ids(1 + i % 10000, 1 + i // 10000))
    assert len(tidied) == 2


def test_runs_do_not_become_more_and_more() -> None:
    numbers = Numbers(512)
    rng = np.random.default_rng(1)
    for _ in range(40):
        numbers.place(ids(1, *rng.integers(1, 1 << 40, 1000).tolist()))
    assert len(numbers.described()["runs"][stream(1)]) <= 2 * 512 + 1025


def forged(batch: EventBatch) -> EventBatch:
    """The same events of another process, which says to be about to run out of numbers."""
    rows = batch.rows
    made = (rows.column("kind").indices.to_numpy() == KIND_CODES["decision"]).nonzero()[0]
    numbers = rows.column("id").fill_null(0).to_numpy().copy()
    numbers[made] = ids(0xABCD, *range((1 << 40) - len(made), 1 << 40))
    columns = list(rows.columns)
    columns[rows.schema.names.index("id")] = pa.array(numbers, pa.uint64())
    info = dataclasses.replace(batch.info, stream=FORGED)
    return EventBatch(
        info, 1, batch.last, pa.RecordBatch.from_arrays(columns, names=rows.schema.names)
    )


def test_feedback_finds_its_decision_and_a_successor_goes_on(tmp_path: Path) -> None:
    choice = make(tmp_path)
    decisions = live(choice, 300)
    assert choice.journal is not None
    assert choice.journal.flush()
    trainer = Trainer(twin(choice))
    batches = list(acumen.Journal(tmp_path).events("codec"))
    for batch in batches:
        assert trainer.take(batch) == "applied"
    # In the middle between decisions and their feedback, far ahead.
    assert trainer.take(forged(batches[0])) == "applied"
    taught = trainer.lessons[choice.journal.stream]
    waiting = [d for d in decisions if d.feedback(seconds=1.0, bytes=1.0)]
    live(choice, 100, seed=1)
    assert choice.journal.close()
    for batch in acumen.Journal(tmp_path).events("codec", after=trainer.positions):
        trainer.take(batch)
    assert len(waiting) > 20
    assert trainer.lessons[choice.journal.stream] == choice.counters()["feedback_learned"] > taught
    successor = Trainer(twin(choice))
    successor.resume(trainer.publish((1, 1), whole=True))
    assert differences(trainer.choice, successor.choice) == []
