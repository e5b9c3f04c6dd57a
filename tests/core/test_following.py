"""Choices that follow: alone nothing changes, together all learn from all, and nothing is lost."""

import gc
import os
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journaled import differences, live, make, wait_for
from test_python_learner import Recorder

import acumen
from acumen.core import array_file
from acumen.core.following import Follower
from acumen.core.journal_segments import folder_of
from acumen.core.published import NONE, Candidacy, ModelFolder, Published
from acumen.core.trainer import Trainer
from acumen.core.training import Training
from acumen.core.twin import twin

FAST = {"commit_seconds": 0.001}


def training_for(choice: acumen.Choice, folder: Path, **changes: Any) -> Training:
    settings: dict[str, Any] = {"publish_seconds": 1e-6, "checkpoint_seconds": 1e-6}
    return Training(lambda: twin(choice), folder, **(settings | changes))


def train(training: Training) -> None:
    """Until there is nothing new."""
    while training.step():
        pass


def follower_of(choice: acumen.Choice, training: Training) -> Follower:
    """Without its thread: tests say when it looks."""
    return Follower(choice, training.models)


def told(choice: acumen.Choice) -> None:
    assert choice.journal is not None
    assert choice.journal.flush()


def learned(choice: acumen.Choice) -> int:
    return choice.counters()["feedback_learned"]


KINDS: list[dict[str, Any]] = [
    {},
    {"learner": acumen.learners.LinUCB()},
    {"learner": acumen.learners.SoftmaxGradient()},
    {"arms": acumen.Candidates(features=2, most=8), "default": 0},
    {"arms": acumen.Range(1, 64, log=True, points=7), "default": 5},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_process_alone_is_as_if_it_did_not_follow(tmp_path: Path, kind: dict[str, Any]) -> None:
    alone, follows = make(**kind), make(tmp_path, **kind)
    training = training_for(follows, tmp_path)
    follower = follower_of(follows, training)
    for part in range(8):
        mine = live(alone, 100, seed=part)
        theirs = live(follows, 100, seed=part)
        for a, b in zip(mine, theirs, strict=True):
            assert (a.index, a.propensity, a.reason) == (b.index, b.propensity, b.reason)
        told(follows)
        train(training)
        follower.step()
    assert follower.health.taken == 0
    assert follower.health.own >= 5
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
            live(choice, 80, seed=10 * part + i)
            told(choice)
        train(training)
        for i, choice in enumerate(choices):  # these lessons the model does not have yet
            live(choice, 20, seed=1000 + 10 * part + i)
        taken = [follower.step() for follower in followers]
        assert all(taken)
        total = training.trainer.choice.model_version
        before = [learned(choice) for choice in choices]
        for choice, follower, mine in zip(choices, followers, before, strict=True):
            counted = training.trainer.lessons[follower._writer.stream]
            # What the others had told, and all of the own.
            assert choice.model_version == total - counted + mine
    for choice in choices:
        told(choice)
    train(training)
    for choice, follower in zip(choices, followers, strict=True):
        assert follower.step()
        mine, theirs = choice.learner.state(), training.trainer.choice.learner.state()
        assert all(np.array_equal(mine[n], theirs[n]) for n in theirs)
        assert follower.health.missed == follower.health.refused == 0
        assert follower.health.caught_up > 0
    assert training.trainer.report.unjoined == 0


def test_nothing_is_lost_under_the_hands_of_threads(tmp_path: Path) -> None:
    """Three processes' worth of threads choose while models change places."""
    linear = {"learner": acumen.learners.LinUCB(), "pending_max": 1 << 16}
    choices = [make(acumen.Journal(tmp_path, **FAST), seed=i, **linear) for i in range(3)]
    training = training_for(choices[0], tmp_path, publish_seconds=0.02)
    followers = [Follower(c, training.models, poll_seconds=0.01) for c in choices]
    threads = [
        threading.Thread(target=live, args=(choice, 3000, i)) for i, choice in enumerate(choices)
    ]
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
    wait_for(lambda: all(choice.model_version == total for choice in choices))
    training.stop()
    for follower in followers:
        follower.stop()
        assert follower.health.taken > 0
        assert follower.health.errors == follower.health.refused == 0, follower.health
    assert training.health.errors == 0, training.health


def test_damaged_and_foreign_models_are_refused(tmp_path: Path) -> None:
    choice, other = make(tmp_path), make(tmp_path, seed=5)
    training = training_for(choice, tmp_path)
    follower = follower_of(choice, training)
    live(other, 200)
    told(other)
    train(training)
    newest = training.models.files()[0][1]
    good = newest.read_bytes()
    newest.write_bytes(good[:-40] + b"x" + good[-39:])
    with pytest.warns(RuntimeWarning, match="last good one stays.*checksum"):
        assert not follower.step()
    assert follower.health.refused == 1
    assert not follower.step()  # once is enough
    before = choice._state()
    published = training.trainer.publish((9, 1))
    for change in (
        {"schema": "size:number"},
        {"learner": "LinUCB()"},
        {"objective": ["Term()"]},
        {"trainer": published.header["trainer"] | {"kind": "0" * 12}},
        {"trainer": 5},
        {"journal": {"positions": {follower._writer.stream: 1 << 40}}},
    ):
        changed = Published(published.stamp, published.header | change, published.arrays)
        training.models.write(changed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert not follower.step()
        published = Published((9, published.stamp[1] + 1), published.header, published.arrays)
    wrong = {name: array for name, array in published.arrays.items() if name != "sums"}
    training.models.write(Published(published.stamp, published.header, wrong))
    with pytest.warns(RuntimeWarning, match="'sums' is missing"):
        assert not follower.step()
    wrong = published.arrays | {"sums": np.full_like(published.arrays["sums"], np.nan)}
    training.models.write(Published((9, 90), published.header, wrong))
    with pytest.warns(RuntimeWarning, match="breaks? an invariant"):
        assert not follower.step()
    assert follower.health.refused == 9
    after = choice._state()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    training.models.write(Published((9, 99), published.header, published.arrays))
    assert follower.step()
    assert choice.model_version == learned(other)


def test_another_objective_is_refused_and_a_changed_one_followed(tmp_path: Path) -> None:
    choice, other = make(tmp_path), make(tmp_path, seed=5)
    training = training_for(choice, tmp_path)
    follower = follower_of(choice, training)
    live(other, 100)
    told(other)
    train(training)
    choice.objective = acumen.minimize("bytes") + acumen.observe("seconds")
    with pytest.warns(RuntimeWarning, match="its objective is"):
        assert not follower.step()
    told(choice)
    live(other, 50, seed=1)
    told(other)
    train(training)
    assert follower.step()


def test_what_was_forgotten_does_not_come_back(tmp_path: Path) -> None:
    """A model may have been made before."""
    one, other = (make(tmp_path, seed=i, learner=acumen.learners.LinUCB()) for i in range(2))
    training = training_for(one, tmp_path)
    follower = follower_of(one, training)
    for choice in (one, other):
        live(choice, 300)
        told(choice)
    train(training)
    one.forget(reason="the world is another")
    told(one)
    assert not follower.step()
    assert follower.health.behind == 1
    assert one._state()["counts"].sum() == 0
    live(other, 50, seed=5)
    told(other)
    train(training)
    assert follower.step()
    kept = training.trainer
    assert kept is not None
    assert 0 < one._state()["counts"].sum() == kept.choice._state()["counts"].sum() <= 50
    for choice in (one, other):
        assert choice.journal is not None
        assert choice.journal.close()


def test_a_gate_counts_while_its_choice_follows(tmp_path: Path) -> None:
    """Another model a second is no reason to begin anew."""
    one, other = (make(tmp_path, seed=i, holdback=0.5) for i in range(2))
    gate = acumen.Promotion(one, probe=0.01, look_seconds=0)
    training = training_for(one, tmp_path)
    follower, taken = follower_of(one, training), 0
    for part in range(8):
        live(other, 60, seed=part)
        for _ in range(60):
            decision = one.choose(size=1.0, kind="x", level=1.0, hot=True)
            decision.feedback(seconds=1.0, bytes=1.0)
        told(one)
        told(other)
        train(training)
        taken += follower.step()
        gate.step()
    assert taken >= 6
    counted = gate.status().comparison
    assert counted.learned_decisions + counted.default_decisions == 480
    for choice in (one, other):
        assert choice.journal is not None
        assert choice.journal.close()


def test_a_snapshot_of_a_choice_that_follows_says_what_it_has(tmp_path: Path) -> None:
    choice, other = make(tmp_path), make(tmp_path, seed=5)
    training = training_for(choice, tmp_path)
    follower = follower_of(choice, training)
    live(choice, 50)
    live(other, 100)
    told(choice)
    told(other)
    train(training)
    assert follower.step()
    choice.save(tmp_path / "saved")
    told(other)
    again = make(seed=8)
    again.load(tmp_path / "saved")
    assert choice.journal is not None
    assert other.journal is not None
    assert again._held.positions[other.journal.stream] == other.journal.sequence
    assert again.model_version == choice.model_version == learned(choice) + learned(other)


def test_published_models_are_model_files(tmp_path: Path) -> None:
    choice = make(tmp_path)
    training = training_for(choice, tmp_path)
    live(choice, 100)
    told(choice)
    train(training)
    fresh = make(tmp_path / "elsewhere", model=training.models.files()[0][1])
    assert fresh.model_version == choice.model_version
    with pytest.raises(ValueError, match="journal"):
        acumen.follow(make())
    with pytest.raises(TypeError, match="native learner only, and Recorder is written in Python"):
        acumen.follow(make(tmp_path, learner=Recorder()))


def test_its_threads_end_with_its_choice(tmp_path: Path) -> None:
    def threads() -> list[str]:
        names = [t.name for t in threading.enumerate()]
        return [n for n in names if n in ("acumen-following", "acumen-training")]

    wait_for(lambda: gc.collect() is not None and not threads())
    choice = make(tmp_path)
    acumen.follow(choice, train=True, poll_seconds=0.01)
    live(choice, 50)
    assert len(threads()) == 2
    del choice
    wait_for(lambda: gc.collect() is not None and not threads())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forks_follow_too(tmp_path: Path) -> None:
    choice = make(acumen.Journal(tmp_path, **FAST))
    follower = acumen.follow(choice, train=True, poll_seconds=0.01, publish_seconds=0.02)
    live(choice, 100)
    begun = learned(choice)
    children = []
    for seed in range(2):
        child = os.fork()
        if child == 0:
            before = learned(choice)
            live(choice, 60, seed=seed)
            told(choice)
            mine = learned(choice) - before
            deadline = time.monotonic() + 30
            # Until the lessons of the parent's later life and of the other child are here too.
            while choice.model_version < begun + mine + 20 and time.monotonic() < deadline:
                time.sleep(0.01)
            os._exit(0 if choice.model_version >= begun + mine + 20 else 1)
        children.append(child)
    wait_for(lambda: follower.health.taken > 0, 30)
    live(choice, 60, seed=9)
    told(choice)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0, 0]
    wait_for(lambda: follower.training.health.elected)  # a child may have been it first
    assert follower.health.errors == 0, follower.health
    follower.stop()


# Offices and files.


def test_terms_are_claimed_once(tmp_path: Path) -> None:
    models = ModelFolder(tmp_path / "m")
    one, other = Candidacy(models, 0.2), Candidacy(models, 0.2)
    assert one.stand() == 1
    assert other.stand() is None
    assert one.elected
    # A sign of life now and then keeps the office.
    deadline = time.monotonic() + 0.4
    while time.monotonic() < deadline:
        one.show_life()
        assert other.stand() is None
        time.sleep(0.02)
    # Silence does not, whatever the wall clock says of the file.
    os.utime(tmp_path / "m" / "lock", (4e9, 4e9))
    assert other.stand() is None
    wait_for(lambda: other.stand() == 2)
    assert not one.elected
    assert other.elected
    other.resign()
    assert one.stand() == 3
    (tmp_path / "m" / "lock").unlink()
    assert not one.elected


def test_who_is_deposed_cannot_put_old_over_new(tmp_path: Path) -> None:
    choice, other = make(tmp_path), make(tmp_path, seed=5)
    old = training_for(choice, tmp_path, patience_seconds=0.1)
    new = training_for(choice, tmp_path, patience_seconds=0.1)
    live(other, 100)
    told(other)
    train(old)
    assert old.health.elected
    # The old one is silent for a while; the new one stands in and knows more.
    live(other, 100, seed=1)
    told(other)
    wait_for(lambda: new.step() or new.health.elected)
    train(new)
    newest = new.models.files()[0]
    assert newest[0][0] == 2
    # It wakes up in the middle of publishing: what it writes is older, and it notices.
    old.models.write(old.trainer.publish((1, 99)))
    assert new.models.files()[0] == newest
    follower = follower_of(choice, new)
    assert follower.step()
    assert (follower.health.term, choice.model_version) == (2, learned(other))
    train(old)
    assert old.health.deposed == 1
    assert not old.health.elected


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    choice = make(tmp_path)
    first = training_for(choice, tmp_path)
    for part in range(3):
        live(choice, 60, seed=part)
        told(choice)
        train(first)
        time.sleep(0.001)
    checkpoints = first.models.files("checkpoint")
    assert len(checkpoints) >= 2
    first.stop()
    for _, path in first.models.files("checkpoint")[:2]:
        path.write_bytes(path.read_bytes()[:-100])
    second = training_for(choice, tmp_path)
    train(second)
    assert differences(choice, second.trainer.choice) == []
    assert any("checksum" in problem for problem in second.problems)
    assert second.stamp[0] == 2
    assert len(second.models.files()) <= 3


def test_a_folder_without_a_journal_is_left_alone(tmp_path: Path) -> None:
    training = training_for(make(), tmp_path)
    assert not training.step()
    assert list(tmp_path.iterdir()) == []
    assert ModelFolder(folder_of(tmp_path, "codec")).newer(NONE, []) is None
    assert Trainer(make()).report.batches == 0


def test_what_a_checkpoint_alone_has_is_news_from_its_successor(tmp_path: Path) -> None:
    """Its trainer was killed between the two: followers would wait for another lesson."""
    choice, other = make(tmp_path), make(tmp_path, seed=5)
    live(choice, 100)
    told(choice)
    first = training_for(choice, tmp_path)
    train(first)
    first._publish_seconds = 1e9
    live(choice, 100, seed=1)
    told(choice)
    train(first)
    assert first.models.files()[0][0] == first.models.files("checkpoint")[0][0]
    first._candidacy.resign()  # as if it had been killed
    successor, follower = training_for(choice, tmp_path), follower_of(other, first)
    train(successor)
    assert follower.step()
    assert other.model_version == successor.trainer.choice.model_version == learned(choice)
    train(successor)
    assert successor.health.published == 1


def test_a_model_too_large_to_be_read_is_an_error_and_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = make(tmp_path)
    live(choice, 50)
    told(choice)
    training = training_for(choice, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(array_file, "_HEADER_BYTES_MAX", 256)
        training.start()
        wait_for(lambda: training.health.errors > 0)
        assert "more than a model file may have" in training.health.last_error
        assert (training.health.published, training.health.checkpoints) == (0, 0)
        assert training.models.files() == training.models.files("checkpoint") == []
    wait_for(lambda: training.health.checkpoints > 0)
    training.stop()
    published = training.models.newer(NONE, [])
    assert published is not None
    assert int(published.arrays["lessons"][0]) == choice.counters()["feedback_learned"]
