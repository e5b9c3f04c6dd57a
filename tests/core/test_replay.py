"""A model from its journal: bit for bit, for every learner, across restarts and forks."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from journaled import differences, live, make, whole_state

import acumen
from acumen.core.journal import EventBatch
from acumen.core.replay import Replayer

LEARNERS = [
    acumen.learners.BinnedAdditive(),
    acumen.learners.LinUCB(),
    acumen.learners.LinearThompson(half_life=50),
    acumen.learners.SquareCB(),
    acumen.learners.EpsilonGreedy(),
    acumen.learners.SoftmaxGradient(),
]
ARMS: list[dict[str, Any]] = [
    {},
    {"arms": acumen.Candidates(features=3), "default": 0},
    {"arms": acumen.Range(1, 64, log=True), "default": 8},
]


class Sums:
    """A learner in Python whose state shows every lesson and their order."""

    version = 0

    def build(self, dimension: int, arms: int, features: int) -> "Sums":
        self.arms = arms
        self.reset()
        return self

    def reset(self) -> None:
        self.total = np.zeros(2)

    def distribution(self, x: Any, features: Any = None) -> Any:
        n = self.arms if features is None else len(features)
        return np.full(n, 1 / n, np.float32)

    def learn(
        self, x: Any, arm: int, propensity: float, reward: float, features: Any = None
    ) -> None:
        extra = 0.0 if features is None else float(features.sum())
        self.total = self.total * 0.99 + [float(x.sum()) * propensity + extra, reward + arm]

    def state(self) -> dict[str, Any]:
        return {"total": self.total.copy()}

    def restore(self, arrays: dict[str, Any]) -> None:
        self.total = arrays["total"].copy()


@pytest.mark.parametrize("arms", ARMS, ids=["fixed", "candidates", "range"])
@pytest.mark.parametrize("learner", LEARNERS, ids=lambda spec: type(spec).__name__)
def test_bit_for_bit(tmp_path: Path, learner: Any, arms: dict[str, Any]) -> None:
    shape = {"learner": learner, "pending_max": 512, **arms}
    choice = make(tmp_path, **shape)
    live(choice, 1500)
    choice.objective = acumen.minimize("seconds", log=True)
    choice.set_mode("canary", 0.5)
    live(choice, 300, seed=1)
    choice.kill()
    live(choice, 30, seed=2)
    assert choice.journal is not None
    assert choice.journal.flush()
    again = make(**shape)
    report = again.replay(tmp_path)
    assert report.exact, report
    assert report.decisions == 1830
    assert report.lessons == choice.counters()["feedback_learned"]
    assert differences(choice, again) == []
    assert again.objective == choice.objective
    assert again.mode == "on"  # a mode is the program's to set


@pytest.mark.parametrize("arms", ARMS, ids=["fixed", "candidates", "range"])
def test_learners_in_python(tmp_path: Path, arms: dict[str, Any]) -> None:
    choice = make(tmp_path, learner=Sums(), pending_max=512, **arms)
    live(choice, 1000)
    assert choice.journal is not None
    assert choice.journal.flush()
    again = make(learner=Sums(), pending_max=512, **arms)
    report = again.replay(tmp_path)
    assert report.exact, report
    assert differences(choice, again) == []
    assert again.learner.state()["total"].any()


@pytest.mark.parametrize("reward", [None, -5.0])
def test_time_outs(tmp_path: Path, reward: float | None) -> None:
    shape = {"timeout": 0.005, "timeout_reward": reward}
    choice = make(tmp_path, **shape)
    for i in range(300):
        late = choice.choose(size=1.0 * i, kind="x", hot=True)
        if i % 7 == 0:
            time.sleep(0.006)
        if i % 2:
            late.feedback(seconds=1.0)
    assert choice.counters()["timed_out"] > 20
    assert choice.journal is not None
    assert choice.journal.flush()
    again = make(**shape)
    report = again.replay(tmp_path)
    assert report.exact, report
    assert report.timeouts == choice.counters()["timed_out"]
    assert differences(choice, again) == []


def test_a_snapshot_and_the_rest(tmp_path: Path) -> None:
    choice = make(tmp_path / "journal")
    assert choice.journal is not None
    for part, rounds in enumerate([0, 5, 100, 700, 1500]):
        live(choice, rounds, seed=part)
        choice.save(tmp_path / f"model{part}")
    choice.objective = acumen.maximize("bytes")
    live(choice, 300, seed=9)
    assert choice.journal.flush()
    for part in range(5):
        again = make()
        if part == 4:  # any objective of the past will do: the model says which it was made for
            assert again.objective != choice.objective
        again.load(tmp_path / f"model{part}")
        report = again.replay(tmp_path / "journal")
        assert report.exact, report
        assert differences(choice, again) == []


def test_what_waited_in_a_snapshot_is_taught_though_decisions_behind_it_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loaded choice goes on with numbers of its own; the rest of the journal has the old ones."""
    choice = make(tmp_path / "journal")
    asked = [choice.choose(size=i, kind="x", level=1.0, hot=True) for i in range(20)]
    choice.save(tmp_path / "model")
    behind = [choice.choose(size=0, kind="x", level=1.0, hot=True).id for _ in range(5)]
    for decision in asked:
        decision.feedback(seconds=1.0, bytes=1.0)
    assert choice.journal.close()
    take = Replayer._take

    def without(self: Replayer, batch: EventBatch) -> None:
        kept = ~np.isin(batch.rows.column("id").to_numpy(), behind[:3])
        take(self, replace(batch, rows=batch.rows.filter(pa.array(kept))))

    monkeypatch.setattr(Replayer, "_take", without)
    again = make(tmp_path / "other", model=tmp_path / "model")
    assert again.replay(tmp_path / "journal").lessons == 20


def test_replaying_twice_learns_once(tmp_path: Path) -> None:
    choice = make(tmp_path)
    assert choice.journal is not None
    again = make()
    for part in range(3):
        live(choice, 200, seed=part)
        assert choice.journal.flush()
        report = again.replay(tmp_path)
        assert report.decisions == 200
        assert report.exact
        assert differences(choice, again) == []
    assert again.replay(tmp_path).events == 0


def test_until(tmp_path: Path) -> None:
    choice = make(tmp_path / "journal")
    live(choice, 400)
    choice.save(tmp_path / "model")
    live(choice, 400, seed=1)
    assert choice.journal is not None
    assert choice.journal.flush()
    loaded, again = make(), make()
    loaded.load(tmp_path / "model")
    report = again.replay(tmp_path / "journal", until=loaded._held.positions)
    assert report.decisions == 400
    assert differences(loaded, again) == []


def test_a_chain_of_restarts(tmp_path: Path) -> None:
    """Each process loads the last snapshot, or nothing, replays the rest, and goes on."""
    journal = tmp_path / "journal"
    first = make(journal)
    live(first, 300)
    first.save(tmp_path / "model")
    open_decisions = live(first, 300, seed=1)
    assert first.journal is not None
    assert first.journal.close()
    second = make(journal, model=tmp_path / "model", seed=8)
    assert second.replay(journal).exact
    # What was decided before the restart can still be told of.
    late = next(d for d in open_decisions[::-1] if second.feedback(d.id, seconds=2.0))
    assert late.id
    live(second, 300, seed=2)
    assert second.journal is not None
    assert second.journal.close()
    third = make(journal, seed=9)
    report = third.replay(journal)
    assert report.exact, report
    assert differences(second, third) == []
    live(third, 300, seed=3)
    assert third.journal is not None
    assert third.journal.flush()
    fourth = make()
    report = fourth.replay(journal)
    assert report.exact, report
    assert len(report.positions) == 3
    assert differences(third, fourth) == []


def test_streams_that_learned_apart_are_said_to(tmp_path: Path) -> None:
    lessons = 0
    for seed in (1, 2):
        choice = make(tmp_path, seed=seed)
        live(choice, 200, seed=seed)
        lessons += choice.counters()["feedback_learned"]
        assert choice.journal is not None
        assert choice.journal.close()
    both = make()
    report = both.replay(tmp_path)
    assert not report.exact
    assert "did not begin with" in report.notes[0]
    assert report.lessons == lessons


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_continues_its_parent(tmp_path: Path) -> None:
    parent = make(tmp_path / "journal")
    live(parent, 300)
    child = os.fork()
    if child == 0:
        try:
            live(parent, 200, seed=5)
            parent.save(tmp_path / "model")
            good = parent.journal is not None and parent.journal.close(10)
            os._exit(0 if good else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    # The parent had nothing to say meanwhile, so its child's life is a continuation of its own.
    assert parent.journal is not None
    assert parent.journal.flush()
    loaded, again = make(), make()
    loaded.load(tmp_path / "model")
    report = again.replay(tmp_path / "journal")
    assert report.exact, report
    assert differences(loaded, again) == []
    assert len(report.positions) == 2


def test_after_decisions_it_is_too_late(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 3)
    assert choice.journal is not None
    assert choice.journal.flush()
    with pytest.raises(ValueError, match="before the first decision"):
        choice.replay(tmp_path)


def test_models_without_a_journal_do_not_say_what_they_hold(tmp_path: Path) -> None:
    choice = make()
    live(choice, 50)
    choice.save(tmp_path / "model")
    again = make(tmp_path / "journal", model=tmp_path / "model")
    with pytest.raises(acumen.JournalError, match="saved without a journal"):
        again.replay(tmp_path / "journal")


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"learner": acumen.learners.LinUCB()}, "learner was"),
        ({"pending_max": 1 << 13}, "pending_max was 4096"),
        ({"metric": acumen.minimize("bytes") + acumen.observe("seconds")}, "metrics differ"),
        ({"arms": ["a", "b"], "default": "a"}, "arms differ"),
        ({"context": {"size": float}}, "schema differ"),
    ],
)
def test_choices_that_have_changed(tmp_path: Path, change: dict[str, Any], note: str) -> None:
    choice = make(tmp_path)
    live(choice, 100)
    assert choice.journal is not None
    assert choice.journal.flush()
    other = make(**change)
    report = other.replay(tmp_path)
    assert not report.exact
    assert any(note in text for text in report.notes), report.notes
    assert report.decisions == (0 if "differ" in note else 100)


def test_a_replay_is_not_journaled_again(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 100)
    choice.objective = acumen.maximize("bytes")
    assert choice.journal is not None
    assert choice.journal.close()
    again = make(tmp_path)
    again.replay(tmp_path)
    assert again.journal is not None
    assert again.journal.sequence == 2  # it began, and it replayed


def test_another_ring_takes_the_model_only(tmp_path: Path) -> None:
    choice = make(tmp_path / "journal")
    live(choice, 400)
    choice.save(tmp_path / "model")
    live(choice, 100, seed=1)
    assert choice.journal is not None
    assert choice.journal.flush()
    other = make(pending_max=1 << 13)
    other.load(tmp_path / "model")
    report = other.replay(tmp_path / "journal")
    assert not report.exact
    assert "recent decisions could not be taken over" in report.notes[0]
    assert report.decisions == 100


@pytest.mark.parametrize("name", ["history:cursors", "history:marks", "history:ids"])
def test_a_forged_past_is_refused(tmp_path: Path, name: str) -> None:
    from acumen.core import model_file

    choice = make(tmp_path / "journal")
    live(choice, 600)
    choice.save(tmp_path / "model")
    header, arrays = model_file.read(tmp_path / "model")
    forged: Callable[[Any], Any] = np.bitwise_not
    model_file.write(tmp_path / "forged", header, arrays | {name: forged(arrays[name])})
    again = make()
    again.load(tmp_path / "forged")
    assert again._is_untouched()
    live(again, 50)  # the model is good without
    state = whole_state(again)
    assert all(np.isfinite(v).all() for k, v in state.items() if k.startswith("model."))


def test_events_wait_until_they_are_on_the_disk(tmp_path: Path) -> None:
    choice = make(acumen.Journal(tmp_path, commit_seconds=30))
    live(choice, 10)
    again = make()
    assert again.replay(tmp_path).events == 0
    assert choice.journal is not None
    assert choice.journal.flush()
    assert again.replay(tmp_path).decisions == 10
