"""A learner of sequences from its journal, bit for bit."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journaled import differences, events, make, walk
from test_trainer import pieces

import acumen
from acumen.core import episode as episodes
from acumen.core.journaling import describe
from acumen.core.replay import Replayer
from acumen.learners import ActorCritic, QLambda, SarsaLambda

LEARNERS = [ActorCritic(), SarsaLambda(), QLambda(), SarsaLambda(hidden=8), QLambda(hidden=8)]


class Trail:
    """A learner in Python whose state shows every episode, and their order."""

    version = 0

    def build(self, dimension: int, arms: int, features: int) -> "Trail":
        self.arms, self.features = arms, features
        self.reset()
        return self

    def reset(self) -> None:
        self.total = np.zeros(3)

    def distribution(self, x: Any, features: Any = None) -> Any:
        arms = self.arms if features is None else len(features)
        return np.full(arms, 1 / arms, np.float32)

    def __repr__(self) -> str:
        return "Trail()"

    def learn(self, x: Any, arm: int, propensity: float, reward: float, f: Any = None) -> None:
        self.total = self.total * 0.99 + [reward, arm, 1]

    def learn_episode(
        self,
        xs: Any,
        arms: Any,
        propensities: Any,
        rewards: Any,
        discount: float,
        ended: bool,
        features: Any = None,
    ) -> None:
        seen = xs if features is None else np.hstack([xs, features])
        assert (features is None) == (self.features == 0)
        for x, arm, reward in zip(seen, arms, rewards, strict=True):
            self.total = self.total * 0.9 + [float(x.sum()) + reward, arm, ended + discount]

    def state(self) -> dict[str, Any]:
        return {"total": self.total.copy()}

    def restore(self, arrays: dict[str, Any]) -> None:
        self.total = arrays["total"].copy()


@pytest.mark.parametrize("learner", [*LEARNERS, Trail()], ids=repr)
def test_bit_for_bit(tmp_path: Path, learner: Any) -> None:
    choice = make(tmp_path, learner=learner, pending_max=512)
    walk(choice, 300)
    assert choice.journal is not None
    assert choice.journal.flush()
    again = make(learner=learner, pending_max=512)
    report = again.replay(tmp_path)
    assert report.exact, report
    assert report.refused == 0
    assert differences(choice, again) == []
    walk(choice, 50, seed=1)  # chance is not part of a model; what is learned from now on is
    assert differences(choice, again) != []


def test_a_snapshot_and_the_rest(tmp_path: Path) -> None:
    learner = SarsaLambda(hidden=8)
    choice = make(tmp_path / "journal", learner=learner)
    walk(choice, 60)
    choice.save(tmp_path / "model")
    walk(choice, 60, seed=1)
    assert choice.journal is not None
    assert choice.journal.flush()
    again = make(learner=learner)
    again.load(tmp_path / "model")
    report = again.replay(tmp_path / "journal")
    assert report.exact, report
    assert differences(choice, again) == []


@pytest.mark.parametrize("learner", [SarsaLambda(), SarsaLambda(hidden=8), Trail()], ids=repr)
@pytest.mark.parametrize(
    "arms", [acumen.Candidates(2, most=6), acumen.Range(1, 64, log=True)], ids=repr
)
def test_arms_with_features(tmp_path: Path, learner: Any, arms: Any) -> None:
    def make_one(**options: Any) -> acumen.Choice:
        default = 0 if isinstance(arms, acumen.Candidates) else 8
        return acumen.Choice(
            "offers",
            arms,
            context={"x": float},
            default=default,
            metric=acumen.maximize("reward"),
            learner=learner,
            pending_max=512,
            **options,
        )

    choice, rng = make_one(journal=tmp_path, seed=3), np.random.default_rng(5)
    for i in range(300):
        with choice.episode(discount=0.9) as episode:
            for _ in range(int(rng.integers(1, 5))):
                row = (float(rng.normal()),)
                if isinstance(arms, acumen.Candidates):
                    offers = rng.normal(size=(int(rng.integers(1, 7)), 2)) * 10.0 ** (i / 100)
                    episode.choose_row(row, offers.astype(np.float32))
                else:
                    episode.choose_row(row)
                episode.reward(reward=float(rng.normal()))
            if i % 5:
                episode.feedback()
    assert choice.journal is not None
    assert choice.journal.flush()
    again = make_one()
    report = again.replay(tmp_path)
    assert report.exact, report
    assert differences(choice, again) == []


def test_what_is_missing_of_an_episode_does_not_join_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episodes, "EVENT_STEPS", 3)
    choice = make(tmp_path, learner=SarsaLambda())
    for _ in range(2):
        with choice.episode() as episode:
            for step in range(5):
                episode.choose(size=float(step), kind="x", level=None, hot=False)
            episode.feedback(seconds=1.0, bytes=1.0)
    assert choice.journal is not None
    assert choice.journal.close()
    (whole,) = acumen.Journal(tmp_path).events("codec")
    one = pieces(whole, 1)
    parts = [event for event in one if event.rows.column("kind")[0].as_py() == "episode"]
    taught, steps = make(learner=SarsaLambda()), []
    replay = taught._replay_episode
    monkeypatch.setattr(
        taught, "_replay_episode", lambda *e: (steps.append(len(e[0])), replay(*e))[1]
    )
    replayer = Replayer(taught, describe(taught, "0" * 12 + "-" + "0" * 6), {})
    for event in one:
        if event is not parts[1]:  # the last steps of the first episode
            replayer._take(event)
    assert steps == [5]
    assert replayer.report.lessons == 10  # the first one's feedback teaches, each step for itself


def test_a_long_episode_is_several_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "EVENT_STEPS", 7)
    choice = make(tmp_path, learner=ActorCritic())
    with choice.episode() as episode:
        for step in range(20):
            episode.choose(size=float(step), kind="x", level=None, hot=False)
        episode.feedback(seconds=1.0, bytes=1.0)
    assert choice.journal is not None
    assert choice.journal.flush()
    texts = [json.loads(row["text"]) for row in events(tmp_path) if row["kind"] == "episode"]
    assert [len(text["ids"]) for text in texts] == [7, 7, 6]
    assert [text["last"] for text in texts] == [False, False, True]
    again = make(learner=ActorCritic())
    assert again.replay(tmp_path).exact
    assert differences(choice, again) == []


def test_threads_with_episodes_of_their_own(tmp_path: Path) -> None:
    """The order in the journal is the order in which the model changed."""
    choice = make(tmp_path, learner=QLambda())
    threads = [threading.Thread(target=walk, args=(choice, 40, seed)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert choice.journal is not None
    assert choice.journal.flush()
    again = make(learner=QLambda())
    report = again.replay(tmp_path)
    assert report.exact, report
    assert differences(choice, again) == []


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"ids": [1], "rewards": [1e300], "discount": 1, "ended": true, "last": true}',
        '{"ids": [1], "rewards": [NaN], "discount": 1, "ended": true, "last": true}',
        '{"ids": [1], "rewards": [], "discount": 1, "ended": true, "last": true}',
        '{"ids": [-1], "rewards": [1], "discount": 1, "ended": true, "last": true}',
        '{"ids": [1], "rewards": [1], "discount": 7, "ended": true, "last": true}',
        '{"ids": [1], "rewards": [1], "discount": NaN, "ended": true, "last": true}',
        '{"ids": 3, "rewards": "x", "discount": [], "ended": true, "last": true}',
    ],
)
def test_what_cannot_have_been_is_left_out(tmp_path: Path, text: str) -> None:
    choice = make(tmp_path, learner=SarsaLambda())
    choice.choose(size=1.0, kind="x", level=None, hot=False).feedback(seconds=1.0, bytes=1.0)
    from acumen.core.journal_format import KIND_CODES

    choice._note(KIND_CODES["episode"], text)
    assert choice.journal is not None
    assert choice.journal.flush()
    again = make(learner=SarsaLambda())
    report = again.replay(tmp_path)
    assert not report.exact
    assert differences(choice, again) == []
