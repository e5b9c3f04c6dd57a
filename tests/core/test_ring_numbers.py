"""Numbers of decisions that nobody would believe: they do not cost the others anything."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from journaled import differences, live, make

import acumen
from acumen.core.journal import EventBatch
from acumen.core.journal_format import KIND_CODES
from acumen.core.ring_numbers import FIRST_MAX, NUMBER, REPLICA, RingNumbers
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
@pytest.mark.parametrize("said", [("made",), ()], ids=["now", "before made was kept"])
def test_a_successor_believes_no_more(claimed: int, said: tuple[str, ...]) -> None:
    first, second = Numbers(512), Numbers(512)
    first.place(ids(3, 1))  # and says nothing more
    first.place(ids(2, *range(1, 51)))
    first.place(ids(1, *range(1, 51)))
    described = first.described()
    second.restore({n: v for n, v in described.items() if n != "made" or n in said})
    for numbers in (first, second):
        numbers.place(ids(1, claimed))
        numbers.place(ids(2, 51))
    assert second.described()["runs"] == first.described()["runs"]
    assert second.described()["next"] == first.described()["next"] == 104
    assert second.made[stream(1)] == first.made[stream(1)] == claimed
    assert not said or second.made == first.made
    Numbers(512).restore(second.described())


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
