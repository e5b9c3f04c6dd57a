"""One model from the episodes of many processes; none is lost, doubled, or mixed with another."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journaled import differences, make, walk
from test_replay_episodes import Trail
from test_trainer import pieces, slices

import acumen
from acumen.core import episode as episodes
from acumen.core import episode_parts, model_file
from acumen.core.episode_parts import EpisodeParts
from acumen.core.journal import EventBatch
from acumen.core.journal_segments import folder_of, newest_info
from acumen.core.published import Published
from acumen.core.trainer import Trainer
from acumen.core.training import Training
from acumen.core.twin import twin
from acumen.learners import ActorCritic, QLambda, SarsaLambda
from acumen.learners.described import choice_of_journal

KINDS: list[dict[str, Any]] = [
    {"learner": ActorCritic()},
    {"learner": QLambda()},
    {"learner": SarsaLambda(hidden=8), "pending_max": 512},
    {"learner": SarsaLambda(), "arms": acumen.Candidates(features=2, most=8), "default": 0},
    {"learner": SarsaLambda(), "timeout_reward": -9.0, "timeout": 1e-4},
]


@pytest.fixture
def short_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """An episode of more than three steps is several events."""
    monkeypatch.setattr(episodes, "EVENT_STEPS", 3)


def close(*choices: acumen.Choice) -> None:
    for choice in choices:
        assert choice.journal is not None
        assert choice.journal.close()


def by_stream(folder: Path, size: int) -> dict[str, list[EventBatch]]:
    parts: dict[str, list[EventBatch]] = {}
    for batch in slices(folder, size):
        parts.setdefault(batch.info.stream, []).append(batch)
    return parts


def shuffled(folder: Path, size: int, seed: int) -> list[EventBatch]:
    """Batches of all streams, mixed, but of each in its order."""
    parts = by_stream(folder, size)
    turns = [stream for stream, mine in parts.items() for _ in mine]
    random.Random(seed).shuffle(turns)
    return [parts[stream].pop(0) for stream in turns]


@pytest.mark.usefixtures("short_events")
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_one_stream_makes_the_very_model(tmp_path: Path, kind: dict[str, Any]) -> None:
    choice = make(tmp_path, **kind)
    walk(choice, 160)
    choice.objective = acumen.minimize("bytes") + acumen.observe("seconds")
    walk(choice, 40, seed=1)
    choice.forget(keep=100, reason="the world is another")
    walk(choice, 40, seed=2)
    close(choice)
    info = newest_info(folder_of(tmp_path, "codec"))
    assert info is not None
    for size in (7, 97):
        taught = choice_of_journal(info) if size == 97 else twin(choice)
        taught.objective = acumen.minimize("seconds") + acumen.observe("bytes")
        trainer = Trainer(taught)
        assert {trainer.take(batch) for batch in slices(tmp_path, size)} == {"applied"}
        assert differences(choice, taught) == []
        assert trainer.report.unjoined == trainer.report.refused == 0
        assert trainer.report.episodes > 150
        # What cut-off episodes teach has no feedback: it is a lesson all the same.
        assert trainer.taught > choice.counters()["feedback_learned"]


class Tape:
    """A learner in Python that writes down what it is taught."""

    version = 0

    def build(self, dimension: int, arms: int, features: int) -> "Tape":
        self.shape = dimension, arms, features
        self.taught: list[tuple[str, tuple[Any, ...]]] = []
        self.episodes: list[tuple[list[float], bool]] = []
        self.resets = 0
        return self

    def reset(self) -> None:
        self.resets += 1
        self.taught.clear()

    def distribution(self, x: Any, features: Any = None) -> Any:
        return np.full(self.shape[1], 1 / self.shape[1], np.float32)

    def learn(self, *lesson: Any) -> None:
        self.taught.append(("learn", lesson))

    def learn_episode(self, *episode: Any) -> None:
        self.taught.append(("learn_episode", episode))
        self.episodes.append((episode[3].tolist(), episode[5]))

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, arrays: dict[str, Any]) -> None:
        raise AssertionError


@pytest.mark.usefixtures("short_events")
@pytest.mark.parametrize("learner", [ActorCritic(), SarsaLambda()], ids=repr)
def test_many_streams_teach_each_episode_once_and_whole(tmp_path: Path, learner: Any) -> None:
    """The model is that of the same episodes, taught to a plain learner in the trainer's order."""
    choices = [make(tmp_path, seed=i, learner=learner) for i in range(4)]
    rng = np.random.default_rng(3)
    lived: list[tuple[list[float], bool]] = []
    for part in range(300):
        episode = choices[part % 4].episode(discount=0.8)
        rewards = []
        for step in range(int(rng.integers(2, 9))):
            episode.choose(size=float(rng.normal()), kind="x", level=1.0, hot=bool(step % 2))
            rewards.append(-(part + step / 16))
            episode.reward(seconds=-rewards[-1], bytes=1.0)
        assert episode.feedback() if part % 5 else episode.cut_off()
        lived.append((rewards, part % 5 > 0))
    close(*choices)
    batches = shuffled(tmp_path, 9, seed=9)
    trainer, taped = Trainer(twin(choices[0])), make(learner=Tape())
    taped._settings["learner"] = repr(learner)  # which of the two learns is not said
    tape, told, resets = Trainer(taped), taped.learner, -1
    assert isinstance(told, Tape)
    plain = learner.build(*told.shape)
    for batch in batches:
        assert trainer.take(batch) == tape.take(batch) == "applied"
        if told.resets > resets:  # new scales: what was taught before is taught anew
            plain.restore(trainer.choice.learner.state())
            resets = told.resets
            told.taught.clear()
    assert resets == 4
    assert sorted(told.episodes) == sorted(lived)
    assert sum(what == "learn_episode" for what, _ in told.taught) > 150
    for what, values in told.taught:
        getattr(plain, what)(*values)
    mine, theirs = plain.state(), trainer.choice.learner.state()
    assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)
    assert trainer.report.episodes == 300
    assert trainer.report.unjoined == 0
    assert trainer.taught == trainer.report.lessons == sum(len(rewards) for rewards, _ in lived)
    assert sum(trainer.lessons.values()) == trainer.taught


@pytest.mark.usefixtures("short_events")
@pytest.mark.parametrize("learner", [ActorCritic(), SarsaLambda(hidden=4)], ids=repr)
def test_a_successor_goes_on_in_the_middle_of_an_episode(tmp_path: Path, learner: Any) -> None:
    """Whatever event the checkpoint ends with: nothing is lost, nothing doubled."""
    choices = [make(tmp_path, seed=i, learner=learner, pending_max=512) for i in range(2)]
    for i, choice in enumerate(choices):
        walk(choice, 20, seed=i)
        with choice.episode(discount=0.5) as episode:
            for step in range(11):
                episode.choose(size=float(step), kind="x", level=None, hot=False)
            episode.feedback(seconds=1.0, bytes=1.0)
    close(*choices)
    batches = shuffled(tmp_path, 1, seed=4)
    through = Trainer(twin(choices[0]))
    assert {through.take(batch) for batch in batches} == {"applied"}
    within = 0
    successor = Trainer(twin(choices[0]))
    for i, batch in enumerate(batches):
        if i % 3 == 0 or batch.rows.column("kind")[0].as_py() == "episode":
            checkpoint = successor.publish((1, i + 1), whole=True)
            within += bool(checkpoint.header["trainer"]["episodes"])
            file = model_file.encode(checkpoint.header, checkpoint.arrays)
            successor = Trainer(twin(choices[0]))
            successor.resume(Published(checkpoint.stamp, *model_file.decode(file)))
        assert successor.take(batch) == "applied"
        if i:
            assert successor.take(batches[i - 1]) == "known"
    assert within > 5
    assert differences(through.choice, successor.choice) == []
    assert (through.lessons, through.taught) == (successor.lessons, successor.taught)


class Several(Trail):
    """A learner in Python, another one for every choice."""

    def build(self, dimension: int, arms: int, features: int) -> Trail:
        return Trail().build(dimension, arms, features)


def test_a_learner_in_python_is_trained_too(tmp_path: Path) -> None:
    """What was published can be loaded."""
    choice = make(tmp_path / "journal", learner=Several())
    walk(choice, 100)
    close(choice)
    training = Training(lambda: twin(choice), tmp_path / "journal")
    while training.step():
        pass
    training.stop()
    assert differences(choice, training.trainer.choice) == []
    fresh = make(learner=Several(), model=training.models.files()[0][1])
    assert np.array_equal(fresh.learner.state()["total"], choice.learner.state()["total"])
    assert fresh.model_version == choice.model_version


@pytest.mark.usefixtures("short_events")
def test_what_is_missing_of_an_episode_does_not_join_another(tmp_path: Path) -> None:
    choice = make(tmp_path, learner=SarsaLambda())
    for _ in range(2):
        with choice.episode() as episode:
            for step in range(5):
                episode.choose(size=float(step), kind="x", level=None, hot=False)
            episode.feedback(seconds=1.0, bytes=1.0)
    close(choice)
    (batch,) = acumen.Journal(tmp_path).events("codec")
    kinds = batch.rows.column("kind").to_pylist()
    first, end = kinds.index("episode"), kinds.index("episode") + 1
    assert kinds[end] == "episode"
    one = pieces(batch, 1)
    trainer = Trainer(twin(choice))
    for event in one[:end]:
        assert trainer.take(event) == "applied"
    # The event with the last steps is gone, and nobody can bring it any more.
    assert trainer.take(one[end + 1]) == "early"
    for event in one[end + 1 :]:
        after = event.first - 1 if event is not one[end + 1] else first + 1
        assert trainer.take(event, after=after) == "applied"
    assert trainer.report.lost == 1
    assert trainer.report.episodes == 1
    # The feedback of the first one teaches, each step for itself.
    assert trainer.report.lessons == trainer.choice.model_version == 10


@pytest.mark.usefixtures("short_events")
@pytest.mark.parametrize(("kept", "episodes_learned"), [(1, 1), (0, 0)])
def test_a_half_goes_with_its_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int, episodes_learned: int
) -> None:
    """Not before it: what was on its way may still come."""
    monkeypatch.setattr("acumen.core.trainer.ENDED_MAX", kept)
    choice = make(tmp_path, learner=SarsaLambda())
    with choice.episode() as episode:
        for step in range(5):
            episode.choose(size=float(step), kind="x", level=None, hot=False)
        episode.feedback(seconds=1.0, bytes=1.0)
    close(choice)
    (batch,) = acumen.Journal(tmp_path).events("codec")
    half = batch.rows.column("kind").to_pylist().index("episode") + 1
    first, rest = (
        pieces(batch, half)[0],
        EventBatch(batch.info, half + 1, batch.last, batch.rows.slice(half)),
    )
    trainer = Trainer(twin(choice))
    assert trainer.take(first) == "applied"
    trainer.forget([batch.info.stream])
    assert len(trainer._parts.arrays()[0]) == kept
    assert trainer.take(rest) == ("applied" if kept else "early")
    assert trainer.report.episodes == episodes_learned


def test_halves_of_several_streams_stay_apart_in_a_file(tmp_path: Path) -> None:
    """Its header has names in their order, whoever came first."""
    parts = EpisodeParts()
    part = {"rewards": [0.5, 1.0], "discount": 0.5, "ended": True, "last": False}
    for stream, first in (("b", 1), ("c", 3), ("a", 5)):
        parts.add(stream, part | {"ids": [first, first + 1]})
    steps, arrays = parts.arrays()
    model_file.write(tmp_path / "file", {"episodes": steps}, arrays)
    header, arrays = model_file.read(tmp_path / "file")
    again = EpisodeParts()
    again.restore(header["episodes"], arrays)
    for stream, first in (("a", 5), ("b", 1), ("c", 3)):
        whole = again.add(stream, part | {"ids": [9, 10], "last": True})
        assert whole is not None
        assert whole.ids.tolist() == [first, first + 1, 9, 10]


def test_parts_are_bounded_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = EpisodeParts()
    part = {"ids": [1, 2], "rewards": [0.5, 1.0], "discount": 0.5, "ended": True, "last": False}
    assert parts.add("a", part) is None
    assert parts.add("b", part | {"ids": [7, 8]}) is None
    again = EpisodeParts()
    again.restore(*parts.arrays())
    whole = again.add("a", part | {"ids": [3], "rewards": [2.0], "last": True})
    assert whole is not None
    assert whole.ids.tolist() == [1, 2, 3]
    assert whole.rewards.tolist() == [0.5, 1.0, 2.0]
    assert (whole.discount, whole.ended) == (0.5, True)
    with pytest.raises(ValueError, match="cannot have been"):
        again.add("b", part | {"rewards": [1.0]})
    with pytest.raises(ValueError, match="twice"):  # else it would cost memory without end
        again.add("b", part | {"ids": [1] * 2, "last": True})
    busy = again.add("b", part | {"ids": [0] * 2, "last": True})
    assert busy is not None  # the choice was asked by others meanwhile, and these are nobody's
    assert again.arrays()[0] == {}  # what does not fit together is given up
    monkeypatch.setattr(episode_parts, "STEPS_MAX", 5)
    assert again.add("c", part) is again.add("d", part) is again.add("e", part) is None
    assert again.arrays()[0] == {"d": 2, "e": 2}  # the oldest has gone
    steps, arrays = again.arrays()
    for wrong in (7, {"d": 2}, {"d": 2, "e": -2}, {"d": 3, "e": 2}, {"d": "x"}):
        with pytest.raises(ValueError, match="no sense"):
            again.restore(wrong, arrays)
    for name, values in (("ids", np.zeros(4)), ("rewards", np.full(4, np.nan))):
        with pytest.raises(ValueError, match="no sense"):
            again.restore(steps, arrays | {f"episode:{name}": values})
    monkeypatch.setattr(episode_parts, "STEPS_MAX", 3)
    with pytest.raises(ValueError, match="no sense"):
        again.restore(steps, arrays)
