"""Several hubs and a root: the sums of one hub, and no wrong merge."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journaled import live, make
from test_hub import Line, learned, ship, told

import acumen
from acumen.core import model_file
from acumen.core.following import Follower
from acumen.core.published import ModelFolder, Published
from acumen.core.trainer import Trainer
from acumen.core.twin import twin
from acumen.fleet.cluster import start_shards
from acumen.fleet.hub import Shown
from acumen.fleet.sharding import Root, RootHub, Shards, shard_of
from acumen.fleet.uplink import Uplink, models_of

LINEAR: dict[str, Any] = {"learner": acumen.learners.LinUCB(), "pending_max": 1 << 14}
SHARDS = 3


@pytest.fixture
def settled(tmp_path: Path) -> bytes:
    """A model whose scales are settled."""
    choice = make(tmp_path / "settled", **LINEAR)
    live(choice, 700)
    told(choice)
    trainer = Trainer(twin(choice))
    for batch in acumen.Journal(tmp_path / "settled").events():
        trainer.take(batch)
    published = trainer.publish((1, 1))
    return model_file.encode(published.header, published.arrays)


def shown_by(line: Line) -> Shown:
    line.hub.tend(force=True)
    shown, *_ = line.model_since((0, 0))
    assert shown is not None
    return shown


def model_of(line: Line) -> Published:
    shown = shown_by(line)
    assert shown.model is not None
    return Published(shown.stamp, *model_file.decode(shown.model))


def uplink_of(lines: list[Line], choice: acumen.Choice, folder: Path, home: str) -> Uplink:
    return Uplink(Shards(lines, lambda: home), choice, folder)


def test_many_hubs_and_a_root_make_the_model_of_one(tmp_path: Path, settled: bytes) -> None:
    lines = [Line(str(tmp_path / f"hub{i}"), scales=settled) for i in range(SHARDS)]
    alone = Line(str(tmp_path / "alone"), scales=settled)
    members = [make(tmp_path / f"m{i}", seed=i, **LINEAR) for i in range(8)]
    root = RootHub(str(tmp_path / "root"), lines)
    uplinks = [uplink_of(lines, c, tmp_path / f"m{i}", f"{i}") for i, c in enumerate(members)]
    for part in range(4):
        for i, choice in enumerate(members):
            live(choice, 40, seed=10 * part + i)
            told(choice)
            uplinks[i].step()
        root.step()
        lines[part % SHARDS].crash()
        if part == 2:
            root = RootHub(str(tmp_path / "root"), lines)
    for i, uplink in enumerate(uplinks):
        ship(uplink)
        lone = Uplink(alone, members[i], tmp_path / f"m{i}")
        uplink.stop()
        ship(lone)
        lone.stop()
    busy = [line.hub.trainer is not None and len(line.hub.trainer.positions) for line in lines]
    assert sum(busy) == 8
    assert max(busy) < 8
    for line in lines:
        line.hub.tend(force=True)
    root.step()
    assert root.shown.stamp[0] == 2
    assert root.shown.model is not None
    merged = Published(root.shown.stamp, *model_file.decode(root.shown.model))
    assert root.state()["refused"] == {}
    assert root.errors == []
    one = alone.hub.trainer
    assert one is not None
    total = sum(learned(choice) for choice in members)
    assert int(merged.arrays["lessons"][0]) == total == one.choice.model_version
    assert root.shown.lessons == one.lessons
    assert root.shown.positions == one.positions
    assert merged.header["trainer"]["taught"] == one.taught == total
    theirs = one.choice.learner.state()
    for name in ("sums", "products", "counts"):
        difference = np.abs(theirs[name] - merged.arrays[name]).max()
        assert difference <= 1e-9 * np.abs(theirs[name]).max(), name
    # And it is a model that members take.
    ship(uplinks[0])
    follower = Follower(members[0], uplinks[0].models)
    assert follower.step(), follower.health
    assert members[0].model_version == total


def test_what_does_not_add_up_is_refused(tmp_path: Path, settled: bytes) -> None:
    lines = [Line(str(tmp_path / f"hub{i}"), scales=settled) for i in range(2)]
    plain = Line(str(tmp_path / "plain"))
    choice = make(tmp_path / "m", **LINEAR)
    live(choice, 200)
    told(choice)
    for line in (*lines, plain):
        uplink = Uplink(line, choice, tmp_path / "m")
        ship(uplink)
        uplink.stop()
    root = Root(twin(choice))
    for hub, line in zip(("a", "b", "c"), (*lines, plain), strict=True):
        assert root.take(hub, shown_by(line))
        assert not root.take(hub, shown_by(line))  # once
    merged = root.merged()
    assert int(merged.arrays["lessons"][0]) == learned(choice)
    assert "which another has too" in root.refused["b"]
    assert "scales are not those of the others" in root.refused["c"]
    for learner in (None, acumen.learners.SarsaLambda(), acumen.learners.ActorCritic()):
        with pytest.raises(TypeError, match="do not add up"):
            Root(make(learner=learner))
        with pytest.raises(TypeError, match=r"one can do it all"):  # before anything is started
            start_shards(make(learner=learner), str(tmp_path / "none"), 2, settled)
    with pytest.raises(ValueError, match="another kind"):
        Root(make(arms=["a", "b"], **LINEAR)).take("a", shown_by(lines[0]))
    with pytest.raises(ValueError, match="no hub"):
        Root(twin(choice)).merged()
    early = Line(str(tmp_path / "early"), scales=None)
    few = make(tmp_path / "few", **LINEAR)
    live(few, 100)
    told(few)
    ship(Uplink(early, few, tmp_path / "few"))
    with pytest.raises(ValueError, match="settle after 512"):
        Trainer(twin(choice)).settle(model_of(early))


def test_one_directory_has_one_hub_and_keeps_it(tmp_path: Path, settled: bytes) -> None:
    """Feedback of another process is joined; and a stream never goes to two hubs."""
    lines = [Line(str(tmp_path / f"hub{i}"), scales=settled) for i in range(SHARDS)]
    asked, told_of = (make(tmp_path / "m", seed=seed, **LINEAR) for seed in (1, 2))
    folder = models_of(asked)
    home = folder.home()
    assert home == ModelFolder(folder.folder).home()
    ids = [asked.choose(size=float(i), kind="x", level=1.0, hot=True).id for i in range(40)]
    for number in ids:
        assert not told_of.feedback(number, seconds=1.0, bytes=1.0)
    for choice in (asked, told_of):
        told(choice)
    uplink = Uplink(Shards(lines, folder.home), asked, tmp_path / "m")
    ship(uplink)
    uplink.stop()
    trainers = [line.hub.trainer for line in lines]
    assert [t.report.lessons for t in trainers if t is not None] == [40]
    own = next(i for i, trainer in enumerate(trainers) if trainer is not None)
    # The folder loses its name. What a hub has of these streams, it goes on with.
    (folder.folder / "home").unlink()
    names = [f"{i}" for i in range(20)]
    other = next(name for name in names if shard_of(name, SHARDS) != own)
    live(asked, 60)
    late = make(tmp_path / "m", seed=3, **LINEAR)
    live(late, 60)
    for choice in (asked, told_of, late):
        told(choice)
    uplink = uplink_of(lines, asked, tmp_path / "m", other)
    ship(uplink)
    uplink.stop()
    where = [sorted(t.positions) if t else [] for t in (line.hub.trainer for line in lines)]
    streams = [choice.journal.stream for choice in (asked, told_of)]  # type: ignore[union-attr]
    assert where[own] == sorted(streams)
    assert where[shard_of(other, SHARDS)] == [late.journal.stream]  # type: ignore[union-attr]
    root = RootHub(str(tmp_path / "root"), lines)
    for line in lines:
        line.hub.tend(force=True)
    root.step()
    assert root.state()["refused"] == {}
    assert sum(root.shown.lessons.values()) == 40 + learned(asked) + learned(late)


def test_directories_are_spread_evenly() -> None:
    counts = np.bincount([shard_of(f"{i:032x}", 8) for i in range(8000)])
    assert len(counts) == 8
    assert counts.min() > 800
    assert counts.max() < 1200


def test_a_restarted_root_waits_for_all_hubs(tmp_path: Path, settled: bytes) -> None:
    """A sum without a hub that is down would take its lessons from those who have had them."""
    lines = [Line(str(tmp_path / f"hub{i}"), scales=settled) for i in range(SHARDS)]
    homes = [next(h for h in map(str, range(99)) if shard_of(h, SHARDS) == i) for i in range(2)]
    members = [make(tmp_path / f"m{i}", seed=i, **LINEAR) for i in range(2)]  # the third hub: none
    uplinks = [uplink_of(lines, c, tmp_path / f"m{i}", homes[i]) for i, c in enumerate(members)]

    def learn(n: int, *which: int) -> None:
        for i in which:
            live(members[i], n, seed=i)
            told(members[i])
            ship(uplinks[i])
            lines[i].hub.tend(force=True)

    learn(100, 0, 1)
    lines[2].cut = True
    root = RootHub(str(tmp_path / "root"), lines)
    root.step()
    assert root.shown.model is None
    assert root.state()["unheard"] == [2]
    lines[2].cut = False  # it has learned nothing, and says so
    root.step()
    first = root.shown
    assert sum(first.lessons.values()) == learned(members[0]) + learned(members[1])
    lines[1].cut = True
    learn(50, 0)
    root.step()  # this one has heard it, and has its newest model
    assert root.shown.stamp > first.stamp
    before = root.shown
    learn(50, 0)
    root = RootHub(str(tmp_path / "root"), lines)
    for _ in range(3):
        root.step()
        assert root.shown.model is None
        assert lines[0].model_since((0, 0))[1] == before.stamp  # and its hubs relay the last one
    assert "hub 1: awaited" in root.look("5m", False).decode()
    lines[1].cut = False
    root.step()
    assert root.shown.stamp > before.stamp
    assert sum(root.shown.lessons.values()) == learned(members[0]) + learned(members[1])
    for uplink, choice in zip(uplinks, members, strict=True):
        ship(uplink)
        follower = Follower(choice, uplink.models)
        assert follower.step(), follower.health
        assert choice.model_version == sum(root.shown.lessons.values())


def test_a_root_without_its_checkpoints_is_heard(tmp_path: Path, settled: bytes) -> None:
    lines = [Line(str(tmp_path / f"hub{i}"), scales=settled) for i in range(SHARDS)]
    home = next(h for h in map(str, range(99)) if shard_of(h, SHARDS) == 0)
    member = make(tmp_path / "m", **LINEAR)
    uplink = uplink_of(lines, member, tmp_path / "m", home)

    def learn(root: RootHub) -> tuple[int, int]:
        live(member, 60)
        told(member)
        ship(uplink)
        lines[0].hub.tend(force=True)
        for _ in range(2):
            root.step()
        ship(uplink)
        newest = uplink.models.newer((0, 0), [])
        assert newest is not None
        return newest.stamp

    stamps = [learn(RootHub(str(tmp_path / "root"), lines)) for _ in range(3)]
    assert [term for term, _ in stamps] == [1, 2, 3]
    for forgetful in (False, True):  # hubs relay the last one still, or have been restarted, too
        shutil.rmtree(tmp_path / "root")
        if forgetful:
            for line in lines:
                line.crash()
        stamps.append(learn(RootHub(str(tmp_path / "root"), lines)))
    assert stamps == sorted(set(stamps))


def test_a_hub_whose_model_cannot_be_used_is_not_heard(tmp_path: Path, settled: bytes) -> None:
    lines = [Line(str(tmp_path / f"hub{i}"), scales=settled) for i in range(2)]
    choice = make(tmp_path / "m", **LINEAR)
    live(choice, 100)
    told(choice)
    ship(uplink_of(lines[:1], choice, tmp_path / "m", "m"))
    good = shown_by(lines[0])
    assert good.model is not None
    lines[1].hub._shown = Shown(good.stamp, good.model[:-1], good.positions, good.lessons)
    root = RootHub(str(tmp_path / "root"), lines)
    for _ in range(3):
        root.step()
    assert root.shown.model is None
    assert root.state()["unheard"] == [1]
    assert any("checksum" in error for error in root.errors)
    lines[1].crash()
    root = RootHub(str(tmp_path / "root"), lines)
    root.step()
    assert sum(root.shown.lessons.values()) == learned(choice)
