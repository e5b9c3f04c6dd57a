"""A watch over a live choice: alarms soon after a change, hardly any without, reactions on record.

All worlds are seeded; what happens in them happens again.
"""

import json
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journaled import events, wait_for
from numpy.typing import NDArray

import acumen
from acumen import _native
from acumen.core.drift_watch import BY_DEFAULT, BY_POLICY, DriftAlarm
from acumen.core.replay import Replayer

LEARNERS = [
    acumen.learners.BinnedAdditive(),
    acumen.learners.LinUCB(),
    acumen.learners.SquareCB(),
    acumen.learners.EpsilonGreedy(),
]


class World:
    """Three arms, of which one never changes; which of the others is better, depends on x."""

    def __init__(self, seed: int = 0, journal: Any = None, **arguments: Any) -> None:
        self.rng = np.random.default_rng(seed)
        self.moved, self.turned = 0.0, False
        self.choice = acumen.Choice(
            "c",
            ["a", "b", "c"],
            context={"x": float, "k": str},
            default="c",
            metric=acumen.maximize("r"),
            seed=seed,
            journal=journal,
            **{"holdback": 0.05, **arguments},
        )

    def live(self, decisions: int, answered: float = 1.0) -> float:
        """The mean of what the decisions earn, without noise."""
        x = np.c_[self.rng.standard_normal(decisions), self.rng.integers(16, size=decisions)]
        x[:, 0] += self.moved
        made = self.choice.choose_many(x)
        best = (x[:, 0] > self.moved).astype(int)
        best = 1 - best if self.turned else best
        means = np.where(made.indices == 2, 0.5, made.indices == best)
        rewards = means + 0.5 * self.rng.standard_normal(decisions)
        told = self.rng.random(decisions) < answered
        self.choice.feedback_many(made.ids[told], r=rewards[told])
        return float(means.mean())

    @property
    def recorded(self) -> int:
        """Decisions that were recorded: where another thread holds the choice too long, none is."""
        counters = self.choice.counters()
        return sum(counters[reason] for reason in _native.REASONS) - counters["busy"]

    def watched(
        self, watch: acumen.DriftWatch, decisions: int, **how: float
    ) -> tuple[float, list[DriftAlarm]]:
        """The same in blocks of 50, with a look after each; and the alarms."""
        alarms: list[DriftAlarm] = []
        earned = []
        for _ in range(decisions // 50):
            earned.append(self.live(50, **how))
            alarms += watch.look()
        return float(np.mean(earned)), alarms


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="choice 'c'")
        yield


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda spec: type(spec).__name__)
@pytest.mark.parametrize("seed", range(3))
def test_who_notices_and_explores_loses_little(learner: Any, seed: int) -> None:
    """The better arm becomes the worse one after 10,000 decisions."""
    plain = World(seed, learner=learner)
    plain.live(10_000)
    plain.turned = True
    lost = np.mean([plain.live(50) for _ in range(100)])

    world = World(seed, learner=learner)
    watch = acumen.DriftWatch(world.choice, on_reward="explore", seed=seed)
    before, alarms = world.watched(watch, 10_000)
    assert alarms == []
    world.turned = True
    after, alarms = world.watched(watch, 5000)
    first = alarms[0]
    assert (first.stream, first.kind, first.reaction) == (BY_POLICY, "lower", "explore")
    assert 10_000 < first.decision <= 10_100
    assert 10 < first.since < 200
    assert all(a.reaction == "warn" for a in alarms[1:])
    # Within 5,000 decisions it earns what it would have earned in a quiet world, nearly.
    assert after > before - 0.12
    assert after > lost + 0.1


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda spec: type(spec).__name__)
def test_a_quiet_world_is_quiet(learner: Any) -> None:
    """80,000 decisions, a tenth of them never answered, of a learner that gets better."""
    world = World(1, learner=learner)
    watch = acumen.DriftWatch(world.choice)
    _, alarms = world.watched(watch, 80_000, answered=0.9)
    assert alarms == []  # one in 125 such runs, at most
    status = watch.status()
    assert (status["looked_at"], status["missed"]) == (80_000, 0)
    values = {name: s["values"] for name, s in status["streams"].items()}
    assert values["x"] == 80_000 - 256
    assert values["k"] == 80_000 - 16  # the first of each kind is marked as unseen
    assert 64_000 < values[BY_POLICY] < 72_000
    assert 3_000 < values[BY_DEFAULT] < 4_200
    assert all(0 <= s["evidence"] < 1 for s in status["streams"].values())


def test_false_alarms_are_as_rare_as_promised() -> None:
    """16 runs of 20,000 decisions, one alarm in 40,000 allowed: 8 of them, at most."""
    false = 0
    for seed in range(16):
        world = World(seed)
        watch = acumen.DriftWatch(
            world.choice, on_reward="warn", decisions_per_alarm=40_000, seed=seed
        )
        false += len(world.watched(watch, 20_000, answered=0.95)[1])
    assert false <= 19  # as a Poisson number of mean 8 is but once in 4,000 times


def test_context_that_moves_is_fallen_back_from(tmp_path: Path) -> None:
    world = World(2, journal=tmp_path)
    watch = acumen.DriftWatch(world.choice, on_context="fall_back", on_reward="warn")
    assert world.watched(watch, 5000)[1] == []
    world.moved = 1.0
    _, alarms = world.watched(watch, 500)
    assert (alarms[0].stream, alarms[0].kind, alarms[0].reaction) == ("x", "higher", "fall_back")
    assert alarms[0].decision < 5120
    assert world.choice.mode == "shadow"
    assert list(watch.alarms) == alarms
    # The default serves already: a second alarm finds nothing to do.
    assert world.watched(watch, 1500)[1] == []
    world.moved = -2.0
    _, alarms = world.watched(watch, 3000)
    assert {(a.stream, a.reaction) for a in alarms} == {("x", "warn")}
    assert "the default serves already" in alarms[-1].reason

    assert world.choice.journal is not None
    assert world.choice.journal.flush()
    story = [e for e in events(tmp_path) if e["kind"] in ("note", "mode")]
    assert [e["kind"] for e in story[:2]] == ["note", "mode"]
    note = json.loads(story[0]["text"])["drift"]
    assert note["stream"] == "x"
    assert note["reaction"] == "fall_back"
    assert note["reason"].startswith("x is higher than before, for about ")
    assert json.loads(story[1]["text"])["mode"] == "shadow"
    assert len(story) == 2 + len(alarms)


def test_exploring_is_on_record_and_replayed(tmp_path: Path) -> None:
    world = World(3, journal=tmp_path)
    watch = acumen.DriftWatch(world.choice)
    world.watched(watch, 8000)
    world.turned = True
    _, alarms = world.watched(watch, 2000)
    assert alarms[0].reaction == "explore"
    assert world.choice.journal is not None
    assert world.choice.journal.flush()
    story = [e for e in events(tmp_path) if e["kind"] in ("note", "objective")]
    assert [e["kind"] for e in story[:2]] == ["note", "objective"]
    forgot = json.loads(story[1]["text"])["forget"]
    assert watch._began_s < forgot.pop("began_s") < time.time()
    assert forgot == {"keep": alarms[0].since, "reason": alarms[0].reason}
    again = World(3).choice
    report = again.replay(tmp_path)
    assert report.exact
    probe = np.c_[np.linspace(-2, 2, 9), np.zeros(9)]
    np.testing.assert_array_equal(again.distributions(probe), world.choice.distributions(probe))


def test_the_default_alone_tells_when_nothing_is_served_that_was_learned() -> None:
    world = World(4, mode="shadow")
    watch = acumen.DriftWatch(world.choice, on_reward="fall_back")
    assert world.watched(watch, 3000)[1] == []
    for _ in range(10):
        x = np.zeros((50, 2))
        made = world.choice.choose_many(x)
        world.choice.feedback_many(made.ids, r=world.rng.standard_normal(50) * 0.5 - 0.5)
        if alarms := [a for a in watch.look() if a.stream == BY_DEFAULT]:
            break
    assert alarms[0].kind == "lower"
    assert alarms[0].reaction == "warn"  # there is nothing to fall back from


def test_one_reaction_at_a_time() -> None:
    """One event moves a field and the rewards: who has just reacted waits."""
    world = World(5)
    watch = acumen.DriftWatch(world.choice, on_context="explore", on_reward="explore")
    world.watched(watch, 6000)
    world.turned, world.moved = True, 3.0
    _, alarms = world.watched(watch, 900)
    assert len(alarms) > 1
    assert [a.reaction for a in alarms] == ["explore"] + ["warn"] * (len(alarms) - 1)
    assert "a moment ago" in alarms[1].reason


def test_rewards_count_in_the_order_of_their_decisions() -> None:
    """Slow answers are waited for, and what times out counts as the time-out's reward."""
    choice = acumen.Choice(
        "c",
        ["a"],
        context={},
        default="a",
        metric=acumen.maximize("r"),
        mode="shadow",
        pending_max=512,
        timeout=0.01,
        timeout_reward=-5.0,
    )
    watch = acumen.DriftWatch(choice)
    slow = choice.choose()
    for _ in range(300):
        choice.choose().feedback(0.0)
    watch.look()
    stream = watch._streams[BY_DEFAULT]
    # Of 301 decisions the last 256 are waited for; the slow one is older.
    assert stream.numbers[-1] == 301
    slower = choice.choose()
    for _ in range(100):
        choice.choose().feedback(0.0)
    watch.look()
    assert stream.numbers[-1] == 301
    slower.feedback(1.0)
    watch.look()
    assert stream.numbers[-1] == 402
    assert slow.id & ((1 << 40) - 1) not in stream.numbers
    lost = choice.choose()
    time.sleep(0.02)
    choice.choose().feedback(0.0)
    watch.look()
    assert lost.id & ((1 << 40) - 1) in stream.numbers


def test_another_objective_is_no_drift() -> None:
    world = World(6)
    watch = acumen.DriftWatch(world.choice)
    world.watched(watch, 6000)
    world.choice.objective = 0.01 * acumen.maximize("r")
    assert world.watched(watch, 6000)[1] == []


def test_what_leaves_the_ring_unseen_is_counted() -> None:
    world = World(7, pending_max=512)
    watch = acumen.DriftWatch(world.choice)
    world.live(512)
    watch.look()
    world.live(1000)
    watch.look()
    assert watch.status()["missed"] == 1000 - 512
    assert watch.status()["looked_at"] == 1024


def test_every_so_manieth_decision() -> None:
    world = World(8)
    watch = acumen.DriftWatch(world.choice, every=10)
    world.watched(watch, 5000)
    assert watch.status()["looked_at"] == 500


def test_a_thread_of_its_own() -> None:
    world = World(9)
    with acumen.DriftWatch(world.choice).start(0.005) as watch:
        thread = watch._background._thread
        assert thread is not None
        for _ in range(5):
            world.live(1000)
            wait_for(lambda: watch.status()["looked_at"] == world.recorded)
        world.turned = True
        # A filter that makes errors of warnings ends no watch.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(40):
                world.live(50)
                time.sleep(0.001)
            wait_for(lambda: watch.alarms)
        assert watch._background._thread is thread
        assert thread.is_alive()
    assert not thread.is_alive()
    assert watch.alarms[0].stream == BY_POLICY
    assert watch.status()["missed"] == 0


def test_a_watch_that_is_thrown_away_ends() -> None:
    watch = acumen.DriftWatch(World(10).choice).start(0.005)
    thread = watch._background._thread
    assert thread is not None
    del watch
    wait_for(lambda: not thread.is_alive())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_watches_on() -> None:
    world = World(11)
    watch = acumen.DriftWatch(world.choice)
    assert world.watched(watch, 3000)[1] == []
    watch.start(0.005)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            world.live(500)
            wait_for(lambda: watch.status()["looked_at"] == world.recorded)
            world.turned = True
            for _ in range(30):
                world.live(50)
                time.sleep(0.002)
            wait_for(lambda: watch.alarms)
            code = 0 if watch.status()["missed"] == 0 else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    world.live(500)
    wait_for(lambda: watch.status()["looked_at"] == world.recorded)
    watch.stop()
    assert not watch.alarms


@pytest.mark.parametrize("number", [0, 1 << 38], ids=["below", "above"])
def test_a_look_while_a_replay_is_on_blinds_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The numbers of what is replayed are another process's: above its own, or below them."""
    first = World(13, journal=tmp_path)
    first.choice._begin_at(number)
    first.live(300)
    assert first.choice.journal is not None
    assert first.choice.journal.close()
    world = World(13)
    world.choice._begin_at(1 << 20)
    watch = acumen.DriftWatch(world.choice)
    looked: list[int] = []
    act = Replayer._act

    def act_and_look(self: Replayer, *a: Any) -> None:
        act(self, *a)
        watch.look()
        looked.append(watch.status()["looked_at"])

    monkeypatch.setattr(Replayer, "_act", act_and_look)
    world.choice.replay(tmp_path)
    assert (max(looked) > 0) == (number > 0)
    world.live(100)
    watch.look()
    assert watch.status()["looked_at"] == max(looked) + 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_childs_drift_began_after_it_did() -> None:
    """Else a worker that is forked late would say of a new drift that it is an old one."""
    watch = acumen.DriftWatch(World(14).choice)
    watch._began_s -= 3600
    before = time.time()
    child = os.fork()
    if child == 0:
        os._exit(0 if watch._began_s >= before else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_records_after_a_decision() -> None:
    world = World(12, pending_max=512)
    world.live(700)

    def numbers(after: int) -> NDArray[np.uint64]:
        ids: NDArray[np.uint64] = world.choice._records(after)["id"]
        return ids & np.uint64((1 << 40) - 1)

    assert numbers(0).tolist() == list(range(189, 701))
    assert numbers(650).tolist() == list(range(651, 701))
    assert numbers(700).tolist() == []
    assert numbers((1 << 63) - 1).tolist() == []
    assert numbers(-(1 << 63)).tolist() == list(range(189, 701))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"on_reward": "panic"}, "a reaction is one of"),
        ({"on_context": None}, "a reaction is one of"),
        ({"decisions_per_alarm": 0}, "decisions_per_alarm must be"),
        ({"decisions_per_alarm": float("nan")}, "decisions_per_alarm must be"),
        ({"settle": -1}, "settle >= 0"),
        ({"every": 0}, "every >= 1"),
    ],
)
def test_impossible_settings(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        acumen.DriftWatch(World().choice, **wrong)
    with pytest.raises(ValueError, match="positive number of seconds"):
        acumen.DriftWatch(World().choice).start(0)
