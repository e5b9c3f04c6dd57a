"""Learners written in Python: good ones, bad ones, slow ones, in threads, and inside a turn."""

import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import acumen
from acumen.core import model_file, snapshot

Make = Callable[..., acumen.Choice]


class Recorder:
    """Prefers nothing and remembers all its lessons; hooks let a test interfere."""

    version = 0

    def __init__(self) -> None:
        self.lessons: list[tuple[Any, ...]] = []
        self.asked: list[tuple[Any, ...]] = []
        self.resets = 0
        self.on_ask: Callable[[], Any] = lambda: None
        self.on_learn: Callable[[], Any] = lambda: None
        self.lesson_values = np.zeros(1)

    def build(self, dimension: int, arms: int, features: int) -> "Recorder":
        self.shape = (dimension, arms, features)
        return self

    def distribution(self, x: NDArray[np.float32], features: Any = None) -> Any:
        self.asked.append((x, features))
        answer = self.on_ask()
        count = self.shape[1] if features is None else len(features)
        return np.full(count, 1.0 / count, np.float32) if answer is None else answer

    def learn(
        self, x: Any, arm: int, propensity: float, reward: float, features: Any = None
    ) -> None:
        self.on_learn()
        self.lessons.append((x, arm, propensity, reward, features))

    def reset(self) -> None:
        self.resets += 1
        self.lessons.clear()

    def state(self) -> dict[str, NDArray[Any]]:
        return {"values": np.array([lesson[3] for lesson in self.lessons], dtype=np.float64)}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.restored = arrays["values"]


def test_nobody_asks_it_while_it_is_switched_off(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner)
    choice.kill()
    assert choice.choose(size=1.0).reason == "killed"
    choice.revive()
    choice.set_mode("off")
    assert choice.choose(size=1.0).reason == "off"
    assert not learner.asked
    choice.set_mode("on", 1.0)
    choice.choose(size=1.0)
    assert len(learner.asked) == 1


def test_lessons_arrive_in_order(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner, holdback=0.0)
    assert learner.shape == (2, 3, 0)
    for i in range(6):
        decision = choice.choose(size=float(i))
        assert decision.reason == "learned"
        assert decision.propensity == pytest.approx(1 / 3)
        assert decision.feedback(float(i))
    assert [lesson[3] for lesson in learner.lessons] == [0, 1, 2, 3, 4, 5]
    x, arm, propensity, _, features = learner.lessons[-1]
    assert x.dtype == np.float32
    assert x.tolist() == [1.0, 5.0]
    assert arm in range(3)
    assert propensity == pytest.approx(1 / 3)
    assert features is None
    # After a calibration it is taught anew, in the new scale.
    choice.choose(size=6.0)
    choice.choose(size=7.0)
    assert learner.resets == 1
    assert len(learner.lessons) == 6
    assert abs(learner.lessons[0][0][1]) < 2


def test_it_is_asked_as_it_is_taught(make_choice: Make) -> None:
    """Also in the first encounter with a category, which is encoded as unseen."""
    learner = Recorder()
    choice = make_choice(learner=learner, context={"kind": acumen.Category(4)}, holdback=0.0)
    for _ in range(3):
        choice.choose(kind="json").feedback(1.0)
    for asked, lesson in zip(learner.asked, learner.lessons, strict=True):
        np.testing.assert_array_equal(asked[0], lesson[0])
    assert learner.asked[0][0].tolist() == [1, 0, 0, 0, 0, 1]
    assert learner.asked[1][0].tolist() != learner.asked[0][0].tolist()


def test_candidates_come_with_features(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner, arms=acumen.Candidates(2), default=0, holdback=0.0)
    candidates = np.array([[1.0, 2.0], [3.0, 4.0]])
    decision = choice.choose(size=1.0, candidates=candidates)
    decision.feedback(1.0)
    np.testing.assert_array_equal(learner.asked[0][1], candidates)
    np.testing.assert_array_equal(learner.lessons[0][4], candidates[decision.index])


def test_what_it_holds_is_its_own(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner)
    for i in range(200):
        choice.choose(size=float(i)).feedback(1.0)
    kept = [lesson[0].copy() for lesson in learner.lessons]
    for i in range(200):
        choice.choose(size=-float(i)).feedback(1.0)
    for before, after in zip(kept, learner.lessons, strict=False):
        np.testing.assert_array_equal(before, after[0])


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [1.0, 1.0],
        [1.0] * 4,
        [math.nan, 1.0, 1.0],
        [math.inf, 1.0, 1.0],
        [-0.1, 1.0, 1.0],
        [0.0, 0.0, 0.0],
        [3e38, 3e38, 3e38],
        "abc",
        ["x", "y", "z"],
        3.0,
        {},
        np.ones((3, 1)),
        object(),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_unusable_answers(make_choice: Make, answer: Any) -> None:
    learner = Recorder()
    learner.on_ask = lambda: answer
    choice = make_choice(learner=learner)
    decision = choice.choose(size=1.0)
    assert (decision.reason, decision.arm, decision.propensity) == ("learner_failed", "b", 1.0)
    assert decision.feedback(1.0)  # and it may learn from what the default did
    assert len(learner.lessons) == 1
    learner.on_ask = lambda: [0.0, 0.0, 2.0]
    assert choice.choose(size=1.0).reason in ("learned", "holdback")


def test_a_learner_that_raises(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner)
    learner.on_ask = lambda: 1 / 0
    assert choice.choose(size=1.0).reason == "learner_failed"
    assert choice.last_problem.startswith("learner: ")
    learner.on_ask = lambda: None
    learner.on_learn = lambda: 1 / 0
    decisions = choice.choose_many(np.ones((3, 1)))
    assert choice.feedback_many(decisions.ids, reward=1.0) == 3
    assert choice.counters()["learner_failed_calls"] == 4
    assert learner.lessons == []


def test_one_bad_lesson_costs_no_other(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner)
    turns = iter(range(100))
    learner.on_learn = lambda: 1 / (next(turns) - 1)  # the second one fails
    decisions = choice.choose_many(np.ones((5, 1)))
    choice.feedback_many(decisions.ids, reward=np.arange(5.0))
    assert [lesson[3] for lesson in learner.lessons] == [0, 2, 3, 4]


@pytest.mark.parametrize("hook", ["on_ask", "on_learn"])
def test_ctrl_c_comes_through(make_choice: Make, hook: str) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    learner = Recorder()
    choice = make_choice(learner=learner)
    setattr(learner, hook, interrupted)
    with pytest.raises(KeyboardInterrupt):
        choice.choose(size=1.0).feedback(1.0)
    setattr(learner, hook, lambda: None)
    assert choice.choose(size=1.0).feedback(1.0)


def test_a_learner_that_uses_its_own_choice(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner, holdback=0.0)
    inner: list[Any] = []

    def ask() -> None:
        if len(learner.asked) % 2:
            inner.append(choice.choose(size=9.0))

    def learn() -> None:
        if inner:
            inner.pop().feedback(-1.0)

    learner.on_ask, learner.on_learn = ask, learn
    for _ in range(5):
        assert choice.choose(size=1.0).feedback(1.0)
    assert sorted(lesson[3] for lesson in learner.lessons) == [-1.0] * 5 + [1.0] * 5


def test_a_learner_that_asks_itself_for_ever(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner)
    learner.on_ask = lambda: choice.choose(size=1.0) and None
    assert choice.choose(size=1.0).arm in ("a", "b", "c")
    assert choice.counters()["learner_failed"] >= 1


def test_time_outs_teach_without_feedback(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner, timeout=1e-9, timeout_reward=-7.0)
    for _ in range(20):
        choice.choose(size=1.0)
    assert len(learner.lessons) >= 10
    assert {lesson[3] for lesson in learner.lessons} == {-7.0}


def test_state_goes_through_the_file(make_choice: Make, tmp_path: Any) -> None:
    choice = make_choice(learner=Recorder())
    for i in range(5):
        choice.choose(size=1.0).feedback(float(i))
    choice.save(tmp_path / "model")
    learner = Recorder()
    make_choice(learner=learner, model=tmp_path / "model")
    assert learner.restored.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("error", [ValueError, KeyError, TypeError, IndexError])
def test_a_state_that_does_not_fit(
    make_choice: Make, tmp_path: Any, error: type[Exception]
) -> None:
    class Picky(Recorder):
        def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
            raise error("no")

    make_choice(learner=Recorder()).save(tmp_path / "model")
    Picky.kind = f"{Recorder.__module__}.{Recorder.__name__}"  # type: ignore[attr-defined]
    with pytest.warns(RuntimeWarning, match="serves its default"):
        make_choice(learner=Picky(), model=tmp_path / "model")


def test_a_load_that_fails_leaves_the_learner(make_choice: Make, tmp_path: Path) -> None:
    choice = make_choice(learner=Recorder())
    for i in range(5):
        choice.choose(size=1.0).feedback(float(i))
    _, arrays = snapshot.take(choice)
    arrays["holdback.moments"] = np.full_like(arrays["holdback.moments"], np.nan)
    model_file.write(tmp_path / "model", choice._header(), arrays)
    other = make_choice(learner=Recorder())
    other.choose(size=1.0).feedback(7.0)
    with pytest.raises(acumen.ModelError, match="nothing has changed"):
        other.load(tmp_path / "model")
    assert other.learner.restored.tolist() == [7.0]  # what it had
    assert other.model_version == 1


def test_threads_neither_deadlock_nor_lose_lessons(make_choice: Make) -> None:
    learner = Recorder()
    # Whoever is inside gives the GIL away again and again.
    learner.on_ask = learner.on_learn = lambda: time.sleep(1e-5)
    choice = make_choice(learner=learner, pending_max=1 << 12)
    errors: list[str] = []

    def work(i: int) -> None:
        for n in range(60):
            if n % 3 == i % 3:
                decisions = choice.choose_many(np.ones((2, 1)))
                choice.feedback_many(decisions.ids, reward=1.0)
            else:
                for _ in range(2):
                    decision = choice.choose(size=1.0)
                    if not decision.feedback(1.0) and decision.reason != "busy":
                        errors.append(decision.reason)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive(), "deadlock"
    counters = choice.counters()
    assert errors == []
    assert counters["learner_failed_calls"] == 0
    assert len(learner.lessons) == counters["feedback_learned"] == 360 - counters["busy"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork_while_another_thread_is_inside(make_choice: Make) -> None:
    learner = Recorder()
    inside, leave = threading.Event(), threading.Event()

    def linger() -> None:
        inside.set()
        leave.wait(30)

    choice = make_choice(learner=learner)
    learner.on_ask = linger
    thread = threading.Thread(target=lambda: choice.choose(size=1.0))
    thread.start()
    assert inside.wait(30)
    learner.on_ask = lambda: None
    child = os.fork()
    if child == 0:
        os._exit(0 if choice.choose(size=1.0).feedback(1.0) else 1)
    for _ in range(500):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        threading.Event().wait(0.01)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
    leave.set()
    thread.join()
    assert done, "the child waits for a thread that it does not have"
    assert status == 0
