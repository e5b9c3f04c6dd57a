"""Episodes: credit, fates, bounds, threads, forks."""

import gc
import math
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import acumen
from acumen.core import episode as episodes

Make = Callable[..., acumen.Choice]


class Recorder:
    """Prefers nothing and remembers the rewards of its lessons."""

    version = 0

    def __init__(self) -> None:
        self.rewards: list[float] = []

    def build(self, dimension: int, arms: int, features: int) -> "Recorder":
        self.arms = arms
        return self

    def distribution(self, x: Any, features: Any = None) -> Any:
        return np.full(self.arms, 1.0 / self.arms, np.float32)

    def learn(self, x: Any, arm: int, p: float, reward: float, features: Any = None) -> None:
        self.rewards.append(reward)

    def reset(self) -> None:
        self.rewards.clear()

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, arrays: dict[str, Any]) -> None:
        pass


def test_one_feedback_for_all(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner)
    with choice.episode() as episode:
        for size in range(3):
            assert episode.choose(size=float(size)).arm in "abc"
        assert len(episode) == 3
        assert episode.is_open
        assert episode.feedback(reward=7.0)
        assert not episode.is_open
    assert learner.rewards == [7.0, 7.0, 7.0]
    counters = choice.counters()
    assert counters["episodes_ended"] == 1
    assert counters["episodes_cut_off"] == counters["episodes_open"] == 0
    assert counters["feedback_learned"] == 3


def test_rewards_in_between_are_discounted(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner)
    with choice.episode(discount=0.5) as episode:
        episode.choose(size=0.0)
        assert episode.reward(reward=1.0)
        assert episode.reward(reward=2.0)
        episode.choose_row((1.0,))
        episode.choose(size=2.0)
        assert episode.feedback(reward=8.0)
    assert learner.rewards == [5.0, 4.0, 8.0]


def test_the_objective_makes_the_reward(make_choice: Make) -> None:
    learner = Recorder()
    metric = acumen.minimize("seconds") + acumen.maximize("hits") + acumen.observe("bytes")
    choice = make_choice(learner=learner, metric=metric)
    with choice.episode() as episode:
        episode.choose(size=0.0)
        assert episode.reward(seconds=0.25, hits=2.0, bytes=5.0)
        episode.choose(size=0.0)
        assert episode.feedback(seconds=0.5, hits=0.0)
    assert learner.rewards == [1.25, -0.5]
    assert choice.records()["metric.bytes"].to_pylist() == [5.0, 0.0]


def test_rewards_may_have_said_everything(make_choice: Make) -> None:
    choice = make_choice(learner=Recorder())
    with choice.episode() as episode:
        episode.choose(size=0.0)
        assert not episode.feedback()  # nothing was ever reported
        assert episode.reward(reward=3.0)
        assert episode.feedback()
    assert choice.counters()["episode_feedback_bad"] == 1


BAD: list[dict[str, Any]] = [
    {"reward": math.nan},
    {"reward": math.inf},
    {"reward": 1e19},
    {"reward": "x"},
    {"reward": None},
    {"reward": 10**400},
    {"other": 1.0},
    {"reward": 1.0, "other": 1.0},
]


@pytest.mark.parametrize("metrics", BAD, ids=repr)
def test_bad_reports_change_nothing(make_choice: Make, metrics: Any) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner)
    with choice.episode() as episode:
        assert not episode.reward(reward=1.0)  # of no step
        episode.choose(size=1.0)
        assert not episode.reward(**metrics)
        assert not episode.feedback(**metrics)
        assert episode.is_open
        assert episode.feedback(reward=2.0)
    assert learner.rewards == [2.0]
    assert choice.counters()["episode_feedback_bad"] == 3


def test_leaving_the_block_cuts_it_off(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner)
    with choice.episode() as episode:
        episode.choose(size=1.0)
        episode.reward(reward=1.0)
    with pytest.raises(ZeroDivisionError), choice.episode() as failed:
        failed.choose(size=1.0 / 0.0)
    assert learner.rewards == []
    counters = choice.counters()
    assert counters["episodes_cut_off"] == 2
    assert counters["episodes_ended"] == 0
    assert not episode.cut_off()
    assert not episode.feedback(reward=1.0)
    assert not episode.reward(reward=1.0)
    assert choice.counters()["episode_feedback_closed"] == 2


def test_from_elsewhere_twice_and_never_heard_of(make_choice: Make) -> None:
    learner = Recorder()
    choice, other = make_choice(learner=learner), make_choice()
    episode, foreign = choice.episode(), other.episode()
    episode.choose(size=1.0)
    assert choice.episode_feedback(episode.id, reward=4.0)
    assert not choice.episode_feedback(episode.id, reward=5.0)
    for unknown in (0, -1, foreign.id, episode.id + 1, 1 << 80, None, "x", []):
        assert not choice.episode_feedback(unknown, reward=1.0)  # type: ignore[arg-type]
    assert learner.rewards == [4.0]
    assert choice.counters()["episode_feedback_closed"] == 1
    assert choice.counters()["episode_feedback_unknown"] == 8


def test_interleaved_and_nested(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner)
    with choice.episode() as outer:
        outer.choose(size=1.0)
        with choice.episode() as inner:
            inner.choose(size=2.0)
            outer.choose(size=3.0)
            inner.feedback(reward=1.0)
        outer.feedback(reward=2.0)
    assert learner.rewards == [1.0, 2.0, 2.0]


def test_open_episodes_are_bounded(make_choice: Make) -> None:
    choice = make_choice(learner=Recorder())
    oldest = choice.episode()
    oldest.choose(size=1.0)
    for _ in range(episodes.OPEN_MAX):
        choice.episode()
    counters = choice.counters()
    assert (counters["episodes_open"], counters["episodes_dropped"]) == (episodes.OPEN_MAX, 1)
    assert not oldest.feedback(reward=1.0)
    assert oldest.choose(size=1.0).arm in "abc"  # choosing goes on


def test_steps_are_bounded(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner, pending_max=600)
    with choice.episode() as episode:
        for _ in range(1500):
            episode.choose(size=1.0)
        assert len(episode) == 1024
        episode.feedback(reward=1.0)
    assert choice.counters()["episode_steps_dropped"] == 1500 - 1024
    assert len(learner.rewards) == 1024


def test_steps_that_teach_nothing_cost_no_other(make_choice: Make) -> None:
    learner = Recorder()
    choice = make_choice(learner=learner)
    with choice.episode(discount=0.5) as episode:
        episode.choose(size=1.0)
        assert episode.choose(size=math.nan).reason == "bad_context"
        episode.choose(size=2.0)
        assert episode.feedback(reward=4.0)
    assert learner.rewards == [1.0, 4.0]


@pytest.mark.parametrize("discount", [-0.1, 1.1, math.nan])
def test_discounts_out_of_range(make_choice: Make, discount: float) -> None:
    with pytest.raises(ValueError, match="discount"):
        make_choice().episode(discount=discount)


def test_threads_share_a_choice_and_an_episode(make_choice: Make) -> None:
    choice = make_choice(pending_max=1 << 14)
    shared = choice.episode()
    ended = []

    def work() -> None:
        for i in range(100):
            with choice.episode() as episode:
                for _ in range(5):
                    episode.choose(size=float(i))
                    shared.choose(size=float(i))
                episode.feedback(reward=1.0)
        ended.append(shared.feedback(reward=1.0))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counters = choice.counters()
    assert sorted(ended) == [False, False, False, True]
    assert counters["episodes_ended"] == 401
    assert counters["episodes_open"] == 0
    served = counters["learned"] + counters["holdback"]
    assert served == 4000 - counters["busy"]
    # Steps that came after the shared episode's end are those without feedback.
    assert counters["feedback_learned"] >= 4 * 100 * 5 - counters["busy"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_starts_without_episodes(make_choice: Make) -> None:
    choice = make_choice()
    episode = choice.episode()
    episode.choose(size=1.0)
    choice._episodes._lock.acquire()  # as a thread that the child does not have
    child = os.fork()
    if child == 0:
        good = not episode.feedback(reward=1.0) and choice.counters()["episodes_open"] == 0
        with choice.episode() as own:
            own.choose(size=1.0)
            good = good and own.feedback(reward=1.0) and own.id != episode.id + 1
        os._exit(0 if good else 1)
    choice._episodes._lock.release()
    assert os.waitpid(child, 0)[1] == 0
    assert episode.feedback(reward=1.0)


def test_a_choice_with_open_episodes_is_collected(make_choice: Make) -> None:
    gone = []

    class Watched(Recorder):
        def __del__(self) -> None:
            gone.append(True)

    choice = make_choice(learner=Watched())
    choice.episode().choose(size=1.0)
    del choice
    gc.collect()
    assert gone == [True]


class SequenceRecorder(Recorder):
    """Remembers the episodes it was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.episodes: list[tuple[Any, ...]] = []

    def learn_episode(self, *episode: Any) -> None:
        self.episodes.append(episode)


def test_a_learner_in_python_is_handed_the_episode(make_choice: Make) -> None:
    learner = SequenceRecorder()
    choice = make_choice(learner=learner, holdback=0.0)
    with choice.episode(discount=0.5) as episode:
        taken = [episode.choose(size=float(i)).index for i in range(2)]
        episode.reward(reward=1.0)
        assert episode.choose(size=math.nan).reason == "bad_context"
        episode.reward(reward=4.0)
        taken.append(episode.choose(size=7.0).index)
        assert episode.feedback(reward=8.0)
    ((xs, arms, propensities, rewards, discount, ended),) = learner.episodes
    assert xs.dtype == propensities.dtype == rewards.dtype == np.float32
    assert xs.tolist() == [[1, 0], [1, 1], [1, 7]]
    assert arms.dtype == np.uint32
    assert arms.tolist() == taken
    assert propensities == pytest.approx([1 / 3] * 3)
    assert rewards.tolist() == [0.0, 3.0, 8.0]  # what the bad step brought is its neighbour's
    assert (discount, ended) == (0.5, True)
    assert learner.rewards == []  # nothing is taught twice
    assert choice.counters()["feedback_learned"] == 3
    assert choice.model_version == 3


def test_cut_off_episodes_are_handed_over_too(make_choice: Make) -> None:
    learner = SequenceRecorder()
    choice = make_choice(learner=learner)
    with choice.episode() as episode:
        episode.choose(size=1.0)
        episode.choose(size=2.0)
    with choice.episode():
        pass
    ((xs, *_, ended),) = learner.episodes
    assert (len(xs), ended) == (2, False)
    assert choice.counters()["feedback_learned"] == 0
    assert choice.records()["state"].to_pylist() == ["waiting", "waiting"]


def test_steps_whose_time_is_up_are_taught_once(make_choice: Make) -> None:
    learner = SequenceRecorder()
    choice = make_choice(learner=learner, holdback=0.0, timeout=0.05, timeout_reward=-9.0)
    with choice.episode() as episode:
        for size in range(3):
            episode.choose(size=float(size))
        time.sleep(0.1)
        assert episode.feedback(reward=-1.0)
    assert learner.rewards == [-9.0] * 3
    assert not learner.episodes
    assert choice.counters()["timed_out"] == 3


def test_new_scales_teach_the_returns_anew(make_choice: Make) -> None:
    learner = SequenceRecorder()
    choice = make_choice(learner=learner)
    with choice.episode(discount=0.5) as episode:
        for size in range(3):
            episode.choose(size=float(size))
        episode.feedback(reward=8.0)
    for size in range(6):  # the eighth row is a calibration
        choice.choose(size=float(size))
    assert learner.rewards == [2.0, 4.0, 8.0]


def test_a_learner_that_cannot_take_an_episode(make_choice: Make) -> None:
    class Broken(SequenceRecorder):
        def learn_episode(self, *episode: Any) -> None:
            raise ValueError("no")

    choice = make_choice(learner=Broken())
    with choice.episode() as episode:
        episode.choose(size=1.0)
        assert episode.feedback(reward=1.0)
    assert choice.counters()["learner_failed_calls"] == 1
    assert choice.last_problem.startswith("learner: ")
