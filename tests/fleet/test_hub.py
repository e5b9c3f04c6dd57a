"""Hub and uplinks without a network between them: exact, whole again after crashes, bounded."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journaled import differences, live, make, wait_for, walk

import acumen
from acumen.core import array_file, episode, model_file
from acumen.core.following import Follower
from acumen.core.journal_format import JournalError
from acumen.core.published import Stamp
from acumen.core.trainer import Trainer
from acumen.core.training import Training
from acumen.core.twin import twin
from acumen.fleet.uplink import HubUnavailableError, Uplink, follow_hub
from acumen.fleet.wire import BATCH_BYTES_MAX, decode, encode

pytest.importorskip("fsspec", reason="needs fsspec, for checkpoints: acumen[fleet]")
from acumen.fleet.hub import Hub, Reply, Shown

FAST = {"commit_seconds": 0.001}


class Line:
    """The way to a hub, which can be cut, lose answers, or lead to another hub."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.url, self.settings = url, {"publish_seconds": 1e-6} | settings
        self.hub = Hub(url, **self.settings)
        self.cut = self.loses_answers = False

    def __call__(
        self,
        batches: Sequence[tuple[bytes, int]],
        have: Stamp,
        streams: Sequence[str],
        gone: Sequence[str] = (),
    ) -> Reply:
        if self.cut:
            raise HubUnavailableError("cut")
        reply = self.hub.exchange(batches, have, streams, gone)
        if self.loses_answers:
            raise HubUnavailableError("the answer is lost")
        return reply

    def model_since(self, have: Stamp) -> tuple[Shown | None, Stamp, Stamp]:
        if self.cut:
            raise HubUnavailableError("cut")
        return self.hub.model_since(have)

    def relay(self, shown: Shown) -> None:
        self.hub.relay(shown)

    def crash(self) -> None:
        """The hub dies with all that it has not kept, and begins again."""
        self.hub = Hub(self.url, **self.settings)


def told(choice: acumen.Choice) -> None:
    assert choice.journal is not None
    assert choice.journal.flush()


def ship(uplink: Uplink) -> None:
    for _ in range(3):
        while uplink.step():
            pass


def learned(choice: acumen.Choice) -> int:
    return choice.counters()["feedback_learned"]


def events_of(folder: Path) -> list[Any]:
    return list(acumen.Journal(folder).events("codec"))


def test_batches_survive_the_wire_and_damage_does_not(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 200)
    told(choice)
    batch = max(events_of(tmp_path), key=lambda b: b.rows.num_rows)
    contents = encode(batch)
    again = decode(contents)
    assert (again.first, again.last, again.info) == (batch.first, batch.last, batch.info)
    assert again.rows.equals(batch.rows)
    cut = encode(type(batch)(batch.info, batch.first + 5, batch.last, batch.rows.slice(5)))
    assert decode(cut).rows.equals(batch.rows.slice(5))
    rng = random.Random(4)
    refused = 0
    for _ in range(400):
        damaged = bytearray(contents)
        for _ in range(rng.choice([1, 1, 3])):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.2:
            del damaged[rng.randrange(len(damaged)) :]
        try:
            same = decode(bytes(damaged))
        except JournalError:
            refused += 1
        else:  # padding, or what no reader looks at
            assert same.rows.equals(batch.rows)
    assert refused > 200
    for nothing in (b"", b"x" * 100):
        with pytest.raises(JournalError):
            decode(nothing)
    with pytest.raises(JournalError, match="more than a batch"):
        decode(bytes(BATCH_BYTES_MAX + 1))


@pytest.mark.parametrize("scheme", ["", "memory:/"])
def test_one_process_is_as_if_it_were_alone(tmp_path: Path, scheme: str) -> None:
    alone, member = make(), make(tmp_path / "machine")
    url = f"{scheme}/{tmp_path}/hub" if scheme else str(tmp_path / "hub")
    line = Line(url)
    uplink = Uplink(line, member, tmp_path / "machine")
    follower = Follower(member, uplink.models)
    for part in range(6):
        mine, theirs = live(alone, 100, seed=part), live(member, 100, seed=part)
        assert [d.index for d in mine] == [d.index for d in theirs]
        told(member)
        ship(uplink)
        follower.step()
        if part == 3:
            line.crash()
    assert (follower.health.taken, uplink.health.errors) == (0, 0)
    state, other = alone._state(), member._state()
    assert all(np.array_equal(state[name], other[name]) for name in state)
    assert line.hub.trainer is not None
    assert differences(member, line.hub.trainer.choice) == []
    assert line.hub.errors == []


def test_episodes_take_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the hub dies with a half of one."""
    monkeypatch.setattr(episode, "EVENT_STEPS", 3)
    settings: dict[str, Any] = {"learner": acumen.learners.SarsaLambda(), "pending_max": 1 << 14}
    members = [make(tmp_path / f"m{i}", seed=3 + i, **settings) for i in range(3)]
    line = Line(str(tmp_path / "hub"))
    uplinks = [Uplink(line, c, tmp_path / f"m{i}") for i, c in enumerate(members)]
    followers = [Follower(c, u.models) for c, u in zip(members, uplinks, strict=True)]
    for part in range(12):
        for i, choice in enumerate(members[: 1 if part < 4 else 3]):
            walk(choice, 20, seed=10 * part + i)
            told(choice)
            uplinks[i].step()
            followers[i].step()
        if part % 2:
            line.crash()
        if part == 3:  # until here there was one machine, and one is as if it were alone
            ship(uplinks[0])
            assert line.hub.trainer is not None
            assert differences(members[0], line.hub.trainer.choice) == []
            assert followers[0].health.taken == 0
    for uplink in uplinks:
        ship(uplink)
    assert line.hub.trainer is not None
    total = sum(learned(choice) for choice in members)
    assert line.hub.trainer.choice.model_version == total
    theirs = line.hub.trainer.choice.learner.state()
    for uplink, follower, choice in zip(uplinks, followers, members, strict=True):
        ship(uplink)
        follower.step()
        assert choice.model_version == total, (follower.health, uplink.health)
        mine = choice.learner.state()
        assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)
        assert uplink.health.unacknowledged == 0
        assert uplink.health.errors == follower.health.refused == follower.health.missed == 0


def test_machines_learn_from_each_other_through_all_that_goes_wrong(tmp_path: Path) -> None:
    rng = random.Random(6)
    line = Line(str(tmp_path / "hub"), publish_seconds=0.01)
    members = [make(acumen.Journal(tmp_path / f"m{i}", **FAST), seed=i) for i in range(4)]
    uplinks = [Uplink(line, c, tmp_path / f"m{i}") for i, c in enumerate(members)]
    followers = [Follower(c, u.models) for c, u in zip(members, uplinks, strict=True)]
    unavailable = 0
    for part in range(40):
        for i, choice in enumerate(members):
            live(choice, 25, seed=100 * part + i)
            told(choice)
            line.cut, line.loses_answers = rng.random() < 0.15, rng.random() < 0.15
            try:
                uplinks[i].step()
                followers[i].step()
            except HubUnavailableError:
                unavailable += 1
        if rng.random() < 0.2:
            line.crash()
    line.cut = line.loses_answers = False
    assert unavailable > 5
    for uplink in uplinks:
        ship(uplink)
    line.hub.tend(force=True)
    total = sum(learned(choice) for choice in members)
    assert line.hub.trainer is not None
    assert line.hub.trainer.choice.model_version == total
    for uplink, follower, choice in zip(uplinks, followers, members, strict=True):
        ship(uplink)
        follower.step()
        assert choice.model_version == total
        assert uplink.health.unacknowledged == 0
        assert uplink.health.errors == follower.health.refused == 0


def test_what_was_acknowledged_survives_the_hub(tmp_path: Path) -> None:
    line = Line(str(tmp_path / "hub"), publish_seconds=1e6)
    member = make(tmp_path / "m")
    uplink = Uplink(line, member, tmp_path / "m")
    live(member, 100)
    told(member)
    ship(uplink)
    kept = line.hub.trainer
    assert kept is not None
    line.hub.tend(force=True)
    live(member, 100, seed=1)
    told(member)
    ship(uplink)
    assert uplink.health.unacknowledged > 0
    before = kept.choice.model_version
    line.crash()
    resumed = line.hub.trainer
    assert resumed is not None
    assert 0 < resumed.choice.model_version < before
    assert line.hub.stamp[0] == 2
    ship(uplink)  # what was not acknowledged comes again
    assert resumed.choice.model_version == before == learned(member)
    assert differences(member, resumed.choice) == []


def test_a_hub_that_fell_back_takes_nothing_for_missing(tmp_path: Path) -> None:
    """It crashes between two calls: what it has lost comes again, and is no hole."""
    line = Line(str(tmp_path / "hub"), publish_seconds=1e6)
    member = make(tmp_path / "m")
    uplink = Uplink(line, member, tmp_path / "m")
    for part in range(4):
        live(member, 60, seed=part)
        told(member)
        ship(uplink)
        if part == 1:
            line.hub.tend(force=True)
        live(member, 60, seed=100 + part)
        told(member)
        line.crash()
        uplink.step()  # sends what comes after that which the hub has lost
        ship(uplink)
        assert line.hub.trainer is not None
        assert line.hub.trainer.report.lost == 0
        assert line.hub.trainer.choice.model_version == learned(member)
    assert differences(member, line.hub.trainer.choice) == []


def test_what_retention_deleted_is_told_to_the_hub(tmp_path: Path) -> None:
    line = Line(str(tmp_path / "hub"))
    member = make(acumen.Journal(tmp_path / "m", segment_bytes=1 << 14, commit_seconds=0.001))
    uplink = Uplink(line, member, tmp_path / "m")
    live(member, 60)
    told(member)
    ship(uplink)
    for part in range(24):
        live(member, 60, seed=part)
        told(member)
    assert member.journal is not None
    assert member.journal.close()
    segments = sorted((tmp_path / "m" / "codec").glob("*.arrow"))
    assert len(segments) > 4
    segments[len(segments) // 2].unlink()  # of what was not shipped

    def all_there() -> bool:
        uplink.step()
        assert line.hub.trainer is not None
        assert member.journal is not None
        return line.hub.trainer.positions[member.journal.stream] == member.journal.sequence

    wait_for(all_there)
    assert line.hub.trainer is not None
    assert line.hub.trainer.report.lost > 0
    assert any("are missing" in text for text in [uplink.health.last_error])


def test_a_store_that_fails_is_counted_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    line = Line(str(tmp_path / "hub"))
    (tmp_path / "hub").write_text("no folder")
    member = make(tmp_path / "m")
    uplink = Uplink(line, member, tmp_path / "m")
    live(member, 50)
    told(member)
    ship(uplink)
    assert line.hub.errors
    assert uplink.health.unacknowledged > 0
    assert uplink.health.models > 0  # learning goes on
    (tmp_path / "hub").unlink()
    live(member, 50, seed=1)
    told(member)
    ship(uplink)
    assert uplink.health.unacknowledged == 0


def test_a_checkpoint_too_large_to_be_read_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(str(tmp_path / "hub"))
    member = make(tmp_path / "m")
    uplink = Uplink(line, member, tmp_path / "m")
    with monkeypatch.context() as patch:
        patch.setattr(array_file, "_HEADER_BYTES_MAX", 256)
        live(member, 50)
        told(member)
        ship(uplink)
        assert any("more than a model file may have" in error for error in line.hub.errors)
        assert uplink.health.unacknowledged > 0
        assert uplink.health.models == 0
        assert not list(tmp_path.glob("hub/*"))
        line.crash()
        ship(uplink)  # what was not kept comes again
        assert line.hub.trainer is not None
        assert line.hub.trainer.report.lessons == learned(member)
        line.hub.tend(force=True)
    ship(uplink)
    assert (uplink.health.unacknowledged, uplink.health.models) == (0, 1)
    line.crash()
    assert line.hub.trainer is not None
    assert line.hub.trainer.choice.model_version == learned(member)


def test_torn_checkpoints_and_foreign_streams(tmp_path: Path) -> None:
    line = Line(str(tmp_path / "hub"))
    member = make(tmp_path / "m")
    uplink = Uplink(line, member, tmp_path / "m")
    for part in range(3):
        live(member, 50, seed=part)
        told(member)
        ship(uplink)
    newest = max((tmp_path / "hub").iterdir())
    newest.write_bytes(newest.read_bytes()[:-7])
    line.crash()
    assert any("checksum" in error for error in line.hub.errors)
    other = make(tmp_path / "m", arms=["a", "b"])
    live(other, 20)
    told(other)
    ship(uplink)
    assert line.hub.trainer is not None
    assert set(line.hub.trainer.positions) == {member.journal.stream}  # type: ignore[union-attr]
    assert differences(member, line.hub.trainer.choice) == []
    # Who sends it all the same is told.
    batch = next(b for b in events_of(tmp_path / "m") if len(b.info.arms) == 2)
    reply = line.hub.exchange([(encode(batch), 0), (b"junk", 0)], (0, 0), [])
    assert batch.info.stream in reply.foreign
    assert len(reply.problems) == 1


def test_a_checkpoint_that_is_too_large_is_not_even_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpoint-00000001-0000000001.acumen").write_bytes(bytes(1001))
    monkeypatch.setattr(model_file, "BYTES_MAX", 1000)
    assert any("1001 bytes are more than a model" in error for error in Hub(str(tmp_path)).errors)


def test_many_processes_of_one_machine_have_one_uplink(tmp_path: Path) -> None:
    line = Line(str(tmp_path / "hub"), publish_seconds=0.02)
    members = [make(acumen.Journal(tmp_path / "m", **FAST), seed=i) for i in range(3)]
    followers = [follow_hub(c, line, period_seconds=0.02, poll_seconds=0.02) for c in members]
    for i, choice in enumerate(members):
        live(choice, 100, seed=i)
        told(choice)
    total = sum(learned(choice) for choice in members)
    wait_for(lambda: all(choice.model_version == total for choice in members), 30)
    elected = [f for f in followers if f.training.health.elected]  # type: ignore[union-attr]
    assert len(elected) == 1
    elected[0].stop()
    live(members[0], 50, seed=8)
    told(members[0])
    wait_for(lambda: line.hub.trainer.choice.model_version > total, 30)  # type: ignore[union-attr]
    for follower in followers:
        follower.stop()


def test_the_model_is_the_one_of_all_records(tmp_path: Path) -> None:
    """Eight machines' batches in any order against one trainer that replays all rows."""
    settled = {"learner": acumen.learners.LinUCB(), "pending_max": 1 << 14}
    start = make(tmp_path / "m0", **settled)
    line = Line(str(tmp_path / "hub"))
    live(start, 700)
    told(start)
    ship(Uplink(line, start, tmp_path / "m0"))
    members = [make(tmp_path / f"m{1 + i}", seed=i, **settled) for i in range(8)]
    uplinks = [Uplink(line, c, tmp_path / f"m{1 + i}") for i, c in enumerate(members)]
    for part in range(5):
        for i in random.Random(part).sample(range(8), 8):
            live(members[i], 30, seed=50 * part + i)
            told(members[i])
            uplinks[i].step()
    for uplink in uplinks:
        ship(uplink)
    alone = Trainer(twin(start))
    for machine in range(9):
        for batch in events_of(tmp_path / f"m{machine}"):
            assert alone.take(batch) == "applied"
    assert line.hub.trainer is not None
    one, other = alone.choice.learner.state(), line.hub.trainer.choice.learner.state()
    assert alone.choice.model_version == line.hub.trainer.choice.model_version > 800
    for name in ("sums", "products"):
        assert np.abs(one[name] - other[name]).max() <= 1e-9 * np.abs(one[name]).max()
    contents = model_file.encode(*(lambda p: (p.header, p.arrays))(alone.publish((1, 1))))
    assert model_file.decode(contents)[0]["trainer"]["lessons"] == alone.lessons


def test_forgetting_alone_is_news(tmp_path: Path) -> None:
    """To whom nothing was taught since would otherwise be served what a drift has made wrong."""
    members = [make(tmp_path / f"m{i}", seed=i) for i in range(2)]
    line = Line(str(tmp_path / "hub"))
    uplinks = [Uplink(line, c, tmp_path / f"m{i}") for i, c in enumerate(members)]
    followers = [Follower(c, u.models) for c, u in zip(members, uplinks, strict=True)]

    def exchange() -> list[bool]:
        for uplink in (*uplinks, *uplinks):
            ship(uplink)
        return [follower.step() for follower in followers]

    for i, choice in enumerate(members):
        live(choice, 200, seed=i)
        told(choice)
    assert exchange() == [True, True]
    members[0].forget()
    told(members[0])
    assert exchange()[1]  # to the other, which knows of nothing else
    untaught = make()
    for choice in members:
        state, fresh = choice.learner.state(), untaught.learner.state()
        assert all(np.array_equal(state[n], fresh[n]) for n in ("sums", "products", "counts"))
    assert exchange() == [False, False]
    assert [f.health.refused + f.health.errors for f in followers] == [0, 0]


def test_a_directory_hears_of_forgetting_alone(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 200)
    told(choice)
    training = Training(lambda: twin(choice), tmp_path, publish_seconds=1e-6)
    while training.step():
        pass
    assert training.health.published > 0
    published = training.health.published
    choice.forget()
    told(choice)
    while training.step():
        pass
    training.step()
    assert training.health.published == published + 1
    training.stop()


def test_more_streams_than_a_header_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that could not keep itself would acknowledge nothing, for ever."""
    choice = make(tmp_path / "m")
    live(choice, 60)
    told(choice)
    line = Line(str(tmp_path / "hub"))
    uplink = Uplink(line, choice, tmp_path / "m")
    ship(uplink)
    trainer = line.hub.trainer
    assert trainer is not None
    for i in range(2000):
        stream = f"{0x198C1D2A3B4 + i:012x}-{i:06x}"
        trainer.positions[stream], trainer.lessons[stream] = 100 + i, i
    choice.forget()
    live(choice, 60, seed=1)
    told(choice)
    monkeypatch.setattr(array_file, "_HEADER_BYTES_MAX", 1 << 15)
    ship(uplink)
    line.hub.tend(force=True)
    assert line.hub.errors == []
    line.crash()
    again = line.hub.trainer
    assert again is not None, line.hub.errors
    assert again.positions == trainer.positions
    assert again.lessons == trainer.lessons
    assert again._forgot_s == trainer._forgot_s > 0
    assert differences(again.choice, trainer.choice) == []
    assert line.hub.errors == []
