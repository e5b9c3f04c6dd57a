"""Models name no more streams than they must, and what has ended is forgotten without harm."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from journaled import differences, live, make, wait_for
from test_hub import Line, events_of, learned, ship, told

import acumen
from acumen.core import journal_tail
from acumen.core.following import Follower
from acumen.core.journal_tail import Absences
from acumen.core.published import NONE
from acumen.core.trainer import ENDED_MAX, Trainer, stated, taught_in
from acumen.core.training import Training
from acumen.core.twin import twin
from acumen.fleet.uplink import Uplink
from acumen.fleet.wire import encode


def closed(choice: acumen.Choice) -> None:
    assert choice.journal is not None
    assert choice.journal.close()


def stream_of(choice: acumen.Choice) -> str:
    assert choice.journal is not None
    return choice.journal.stream


def test_a_hub_shows_the_same_bytes_to_all(tmp_path: Path) -> None:
    """However many streams there are; and a machine writes down what is in there of its own."""
    line = Line(str(tmp_path / "hub"))
    members = [make(tmp_path / f"m{i}", seed=i) for i in range(4)]
    uplinks = [Uplink(line, c, tmp_path / f"m{i}") for i, c in enumerate(members)]
    sizes = []
    for i, choice in enumerate(members):
        live(choice, 60, seed=i)
        told(choice)
        ship(uplinks[i])
        replies = [line.hub.exchange([], NONE, [stream_of(c)]) for c in members[: i + 1]]
        assert len({reply.model for reply in replies}) == 1
        named = [list(reply.positions) for reply in replies]
        assert named == [[stream_of(choice)] for choice in members[: i + 1]]
        assert replies[0].model is not None
        sizes.append(len(replies[0].model))
    assert max(sizes) - min(sizes) <= 64  # numbers with more digits
    for i, choice in enumerate(members):
        ship(uplinks[i])
        found = uplinks[i].models.newer(NONE, [])
        assert found is not None
        positions, lessons = stated(found.header)
        assert positions == {stream_of(choice): choice.journal.sequence}  # type: ignore[union-attr]
        assert lessons == {stream_of(choice): learned(choice)}
        assert taught_in(found.header) == sum(map(learned, members))
        follower = Follower(choice, uplinks[i].models)
        assert follower.step()
        assert choice.model_version == sum(map(learned, members))
        assert not follower.step()


def test_a_stream_without_files_is_forgotten_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_tail, "GONE_SECONDS", 0.05)
    line = Line(str(tmp_path / "hub"))
    ended, goes_on = make(tmp_path / "m", seed=1), make(tmp_path / "m", seed=2)
    uplink = Uplink(line, goes_on, tmp_path / "m")
    for i, choice in enumerate((ended, goes_on)):
        live(choice, 80, seed=i)
        told(choice)
    closed(ended)
    ship(uplink)
    late = [(encode(b), 0) for b in events_of(tmp_path / "m") if b.info.stream == stream_of(ended)]
    total = learned(ended) + learned(goes_on)
    for path in (tmp_path / "m" / "codec").glob(f"{stream_of(ended)}*"):
        path.unlink()  # as retention does

    def forgotten() -> bool:
        uplink.step()
        assert line.hub.trainer is not None
        return stream_of(ended) not in line.hub.trainer.positions

    wait_for(forgotten)
    live(goes_on, 30, seed=5)
    told(goes_on)
    ship(uplink)
    total = learned(ended) + learned(goes_on)
    line.hub.tend(force=True)
    # A call that was on its way comes late, before and after the hub was killed.
    for _ in range(2):
        trainer = line.hub.trainer
        assert trainer is not None
        assert stream_of(goes_on) in trainer.positions
        line.hub.exchange(late, NONE, [])
        assert trainer.choice.model_version == total == trainer.taught
        assert trainer.positions[stream_of(ended)] > 0  # it is remembered again
        trainer.forget([stream_of(ended)])
        line.hub.tend(force=True)
        line.crash()
    # Who is elected next knows from the machine's newest model what there was.
    uplink.stop()
    line.hub.exchange(late, NONE, [])
    assert line.hub.trainer is not None
    assert stream_of(ended) in line.hub.trainer.positions


def test_a_successor_tells_what_has_gone_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_tail, "GONE_SECONDS", 0.05)
    line = Line(str(tmp_path / "hub"))
    ended, goes_on = make(tmp_path / "m", seed=1), make(tmp_path / "m", seed=2)
    for i, choice in enumerate((ended, goes_on)):
        live(choice, 80, seed=i)
        told(choice)
    first = Uplink(line, goes_on, tmp_path / "m")
    ship(first)
    first.stop()
    closed(ended)
    for path in (tmp_path / "m" / "codec").glob(f"{stream_of(ended)}*"):
        path.unlink()
    second = Uplink(line, goes_on, tmp_path / "m")

    def forgotten() -> bool:
        second.step()
        assert line.hub.trainer is not None
        return stream_of(ended) not in line.hub.trainer.positions

    wait_for(forgotten)
    second.stop()


def test_a_trainer_of_a_directory_forgets_and_a_process_that_wakes_up_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention may delete all that a process has written while it lives on and says nothing."""
    monkeypatch.setattr(journal_tail, "GONE_SECONDS", 0.05)
    sleeper, other = make(tmp_path, seed=1), make(tmp_path, seed=2)
    settings: dict[str, Any] = {"publish_seconds": 1e-6, "checkpoint_seconds": 1e-6}
    training = Training(lambda: twin(other), tmp_path, **settings)
    follower = Follower(sleeper, training.models)
    for i, choice in enumerate((sleeper, other)):
        live(choice, 80, seed=i)
        told(choice)
    while training.step():
        pass
    assert follower.step()
    held = sleeper.model_version
    away = tmp_path / "away"
    away.mkdir()
    for path in (tmp_path / "codec").glob(f"{stream_of(sleeper)}*"):
        shutil.move(path, away)
    live(other, 40, seed=3)
    told(other)
    wait_for(lambda: not training.step() and stream_of(sleeper) not in training.trainer.positions)
    live(other, 40, seed=4)
    told(other)
    while training.step():
        pass
    # Which of its lessons this model has, it does not say: it is not taken.
    assert not follower.step()
    assert sleeper.model_version == held
    assert training.trainer.taught == learned(sleeper) + learned(other)
    # When its files are there again (or it says more), all is known again, and counted once.
    for path in away.iterdir():
        shutil.move(path, tmp_path / "codec")
    live(sleeper, 40, seed=6)
    told(sleeper)
    wait_for(lambda: not training.step() and stream_of(sleeper) in training.trainer.positions)
    while training.step():
        pass
    assert follower.step()
    total = learned(sleeper) + learned(other)
    assert sleeper.model_version == training.trainer.taught == total
    assert training.trainer.report.lost == 0


def test_what_was_forgotten_is_bounded_and_kept_by_successors(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 60)
    closed(choice)
    trainer = Trainer(twin(choice))
    for batch in acumen.Journal(tmp_path).events("codec"):
        trainer.take(batch)
    names = [f"{i:012x}-{i:06x}" for i in range(ENDED_MAX + 10)]
    trainer.positions |= dict.fromkeys(names, 5)
    trainer.forget(names)
    assert len(trainer.ended) == ENDED_MAX
    assert list(trainer.positions) == [stream_of(choice)]
    successor = Trainer(twin(choice))
    successor.resume(trainer.publish((1, 1), whole=True))
    assert successor.ended == trainer.ended
    assert successor.taught == trainer.taught
    assert differences(trainer.choice, successor.choice) == []


def test_one_look_says_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_tail, "GONE_SECONDS", 0.0)
    absences = Absences()
    assert absences.gone(["a", "b"], {"b"}) == []
    assert absences.gone(["a", "b"], {"b"}) == []
    assert absences.gone(["a", "b"], {"a", "b"}) == []  # it was only being renamed
    for _ in range(2):
        assert absences.gone(["a", "b"], {"b"}) == []
    assert absences.gone(["a", "b"], {"b"}) == ["a"]
