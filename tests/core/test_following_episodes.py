"""Choices that follow with learners of sequences: alone nothing changes, together none is lost."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journaled import differences, live, make, wait_for, walk
from test_following import FAST, follower_of, learned, told, train, training_for
from test_trainer import slices

import acumen
from acumen.core import episode as episodes
from acumen.core.following import Follower
from acumen.core.published import NONE, ModelFolder
from acumen.core.trainer import Trainer
from acumen.core.twin import twin
from acumen.learners import ActorCritic, QLambda, SarsaLambda

KINDS: list[dict[str, Any]] = [
    {"learner": ActorCritic()},
    {"learner": QLambda(hidden=4)},
    {"learner": SarsaLambda()},
    {"learner": SarsaLambda(), "arms": acumen.Candidates(features=2, most=8), "default": 0},
    {"learner": SarsaLambda(), "arms": acumen.Range(1, 64, log=True, points=7), "default": 5},
]


def same_model(choice: acumen.Choice, trainer: Trainer) -> bool:
    mine, theirs = choice.learner.state(), trainer.choice.learner.state()
    return choice.model_version == trainer.choice.model_version and all(
        np.array_equal(mine[name], theirs[name]) for name in theirs
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_process_alone_is_as_if_it_did_not_follow(tmp_path: Path, kind: dict[str, Any]) -> None:
    alone, follows = make(**kind), make(tmp_path, **kind)
    training = training_for(follows, tmp_path)
    follower = follower_of(follows, training)
    for part in range(6):
        walk(alone, 40, seed=part)
        walk(follows, 40, seed=part)
        told(follows)
        train(training)
        follower.step()
    assert (follower.health.taken, follower.health.refused) == (0, 0)
    assert follower.health.own >= 5
    one, other = alone._records(), follows._records()
    for name in ("arm", "propensity", "reason", "model_version"):
        assert np.array_equal(one[name], other[name])
    state, other = alone._state(), follows._state()
    assert all(np.array_equal(state[name], other[name]) for name in state)
    assert differences(follows, training.trainer.choice) == []


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_all_learn_from_all(tmp_path: Path, kind: dict[str, Any]) -> None:
    choices = [make(tmp_path, seed=i, **kind) for i in range(3)]
    training = training_for(choices[0], tmp_path)
    followers = [follower_of(choice, training) for choice in choices]
    for part in range(4):
        for i, choice in enumerate(choices):
            walk(choice, 25, seed=10 * part + i)
            told(choice)
        train(training)
        total = training.trainer.choice.model_version
        counted = [learned(choice) for choice in choices]
        assert total == sum(counted)
        for i, choice in enumerate(choices):  # these lessons the model does not have yet
            walk(choice, 10, seed=1000 + 10 * part + i)
        for i, choice in enumerate(choices):
            assert followers[i].step()
            # What the others had told, and all of the own.
            assert choice.model_version == total - counted[i] + learned(choice)
    for choice in choices:
        told(choice)
    train(training)
    for choice, follower in zip(choices, followers, strict=True):
        assert follower.step()
        assert same_model(choice, training.trainer)
        assert follower.health.missed == follower.health.refused == 0
        assert follower.health.caught_up > 0
    assert training.trainer.report.unjoined == 0


@pytest.mark.parametrize("learner", [ActorCritic(), SarsaLambda(hidden=4)], ids=repr)
def test_own_episodes_are_learned_again_whatever_the_model_has_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learner: Any
) -> None:
    """A model may end within an episode: before its last steps, or before some of its feedback."""
    monkeypatch.setattr(episodes, "EVENT_STEPS", 3)
    other = make(tmp_path / "other", seed=1, learner=learner)
    live(other, 700)  # scales are settled
    told(other)
    start = list(acumen.Journal(tmp_path / "other").events("codec"))
    cut = make(tmp_path / "own", seed=2, learner=learner)
    follower = Follower(cut, ModelFolder(tmp_path / "models"))
    models = ModelFolder(tmp_path / "models")
    walk(cut, 8)
    with cut.episode() as episode:
        for step in range(8):
            episode.choose(size=float(step), kind="x", level=None, hot=False)
            episode.reward(seconds=float(step), bytes=1.0)
        episode.cut_off()
    walk(cut, 3, seed=1)
    told(cut)
    own = slices(tmp_path / "own", 1)
    whole, part = Trainer(twin(cut)), Trainer(twin(cut))
    for batch in [*start, *own]:
        assert whole.take(batch) == "applied"
    for batch in start:
        part.take(batch)
    within = 0
    for version, batch in enumerate([None, *own]):
        if batch is not None:
            part.take(batch)
            within += batch.rows.column("kind")[0].as_py() == "episode"
        models.write(part.publish((1, version + 1)))
        follower._elsewhere = -1  # there is news, whatever it is
        assert follower.step()
        assert same_model(cut, whole), version
    assert within > 8
    assert follower.health.missed == follower.health.refused == 0


def test_another_objective_makes_older_models_too_old(tmp_path: Path) -> None:
    """Episodes since then were rewarded otherwise, even where the objective is the same again."""
    choice, other = (make(tmp_path, seed=i, learner=SarsaLambda()) for i in range(2))
    training = training_for(choice, tmp_path)
    follower = follower_of(choice, training)
    for one in (choice, other):
        walk(one, 30)
        told(one)
    train(training)
    objective = choice.objective
    choice.objective = acumen.minimize("bytes") + acumen.observe("seconds")
    walk(choice, 5)
    choice.objective = objective
    assert not follower.step()
    assert follower.health.behind == 1
    walk(other, 5)
    told(choice)
    told(other)
    train(training)
    assert follower.step()
    assert same_model(choice, training.trainer)


def test_a_model_that_comes_while_the_objective_changes_is_too_old(tmp_path: Path) -> None:
    """It was checked before, and would change places just when the new objective is there."""
    choice, other = (make(tmp_path, seed=i, learner=SarsaLambda()) for i in range(2))
    training = training_for(choice, tmp_path)
    follower = follower_of(choice, training)
    for one in (choice, other):
        walk(one, 30)
        told(one)
    train(training)
    found = training.models.newer(NONE, [])
    assert found is not None
    positions, change = follower._check(choice, found), choice._set_objective
    taken: list[bool] = []

    def as_another_thread_sees_it(*arguments: Any) -> None:
        change(*arguments)
        taken.append(follower._take(choice, found, positions))

    choice._set_objective = as_another_thread_sees_it  # type: ignore[method-assign]
    choice.objective = acumen.minimize("bytes") + acumen.observe("seconds")
    assert taken == [False]
    assert follower.health.behind == 1


def test_nothing_is_lost_under_the_hands_of_threads(tmp_path: Path) -> None:
    """Episodes of many threads, and of two at once, while models change places."""
    settings: dict[str, Any] = {"learner": SarsaLambda(), "pending_max": 1 << 15}
    choices = [make(acumen.Journal(tmp_path, **FAST), seed=i, **settings) for i in range(2)]
    training = training_for(choices[0], tmp_path, publish_seconds=0.02)
    followers = [Follower(choice, training.models, poll_seconds=0.01) for choice in choices]

    def shared(choice: acumen.Choice) -> None:
        """Nested, and handed from thread to thread."""
        for _ in range(60):
            with choice.episode(discount=0.9) as outer:
                for size in range(3):
                    with choice.episode() as inner:
                        steps = [
                            threading.Thread(target=e.choose, kwargs={"size": size, "kind": "y"})
                            for e in (outer, inner, inner)
                        ]
                        for step in steps:
                            step.start()
                        for step in steps:
                            step.join()
                        inner.feedback(seconds=1.0, bytes=1.0)
                outer.feedback(seconds=float(size), bytes=1.0)

    threads = [
        threading.Thread(target=walk, args=(choice, 150, 10 * i + k))
        for i, choice in enumerate(choices)
        for k in range(2)
    ]
    threads += [threading.Thread(target=shared, args=(choice,)) for choice in choices]
    training.start()
    for follower in followers:
        follower.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for choice in choices:
        told(choice)
    total = sum(learned(choice) for choice in choices)
    wait_for(lambda: training.trainer.choice.model_version == total)
    wait_for(lambda: all(same_model(choice, training.trainer) for choice in choices))
    training.stop()
    for follower in followers:
        follower.stop()
        assert follower.health.taken > 0
        assert follower.health.errors == follower.health.refused == 0, follower.health
        assert follower.health.missed == 0
    assert training.health.errors == 0, training.health
    assert training.trainer.report.unjoined == training.trainer.report.refused == 0
