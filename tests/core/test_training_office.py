"""A trainer shows that it is alive while it works, and stops when another has its office."""

from __future__ import annotations

from pathlib import Path

import pytest
from journaled import live, make

import acumen
from acumen.core import journal_tail
from acumen.core.journal import EventBatch
from acumen.core.published import Candidacy, ModelFolder, Published
from acumen.core.trainer import Trainer
from acumen.core.training import Training
from acumen.core.twin import twin


def trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[acumen.Choice, Training]:
    """A choice with a live segment of many pieces, and a trainer that shows every sign of life."""
    monkeypatch.setattr(journal_tail, "READ_BYTES", 1 << 12)
    choice = make(acumen.Journal(folder, segment_bytes=1 << 30, commit_seconds=0.001))
    for i in range(5):
        live(choice, 50, i)
        assert choice.journal is not None
        assert choice.journal.flush()
    training = Training(
        lambda: twin(choice),
        folder,
        publish_seconds=1e-9,
        checkpoint_seconds=1e-9,
        patience_seconds=1e-9,
    )
    return choice, training


def test_signs_of_life_lie_around_everything_that_takes_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    show, write = Candidacy.show_life, ModelFolder.write
    publish, piece = Trainer.publish, journal_tail.LiveTail._read_chunk

    def show_noted(self: Candidacy) -> None:
        done.append("life")
        show(self)

    def write_noted(self: ModelFolder, published: Published, what: str = "model") -> None:
        write(self, published, what)
        done.append(what)

    def publish_noted(self: Trainer, stamp: tuple[int, int], *, whole: bool = False) -> Published:
        done.append("made")
        return publish(self, stamp, whole=whole)

    def piece_noted(self: journal_tail.LiveTail, known: int) -> None:
        done.append("piece")
        piece(self, known)

    monkeypatch.setattr(Candidacy, "show_life", show_noted)
    monkeypatch.setattr(ModelFolder, "write", write_noted)
    monkeypatch.setattr(Trainer, "publish", publish_noted)
    monkeypatch.setattr(journal_tail.LiveTail, "_read_chunk", piece_noted)
    choice, training = trained(tmp_path, monkeypatch)
    assert training.step()
    training.stop()
    assert choice.journal is not None
    assert choice.journal.close(10)
    assert done.count("model") >= 1
    assert done.count("checkpoint") >= 1
    assert done.count("piece") >= 5
    for before, after in zip(done, [*done[1:], "life"], strict=True):
        assert "life" in (before, after), (before, after)


def test_who_was_replaced_reads_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[EventBatch] = []
    take = Trainer.take
    choice, training = trained(tmp_path, monkeypatch)

    def replaced_meanwhile(self: Trainer, batch: EventBatch, *, after: int | None = None) -> str:
        taken.append(batch)
        lock = training.folder / "lock"
        lock.unlink()
        lock.touch()  # another's
        return take(self, batch, after=after)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "take", replaced_meanwhile)
        training.step()
    assert len(taken) == 1
    assert choice.journal is not None
    assert taken[0].last < choice.journal.sequence
    assert training.health.published == training.health.checkpoints == 0
    training.step()  # finds that it was replaced, and takes the other's lock: it is free
    assert training.health.deposed == 1
    assert training.health.elections == 2
    assert training.health.published == 1
    assert training.trainer.positions == {choice.journal.stream: choice.journal.sequence}
    training.stop()
    assert choice.journal.close(10)
