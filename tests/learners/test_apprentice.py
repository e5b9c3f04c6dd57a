"""The apprentice: no cold start, a bounded loss, and better than its teacher in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acumen
from acumen import _native
from acumen.learners import ActorCritic, Apprentice, BinnedAdditive, SoftmaxGradient, VowpalWabbit
from acumen.testing.learners import upper_bound

ARMS, INPUTS, NOISE = 8, 4, 1.5


class School:
    """Rewards are linear in the context; the heuristic is good, but has the weights a bit wrong."""

    def __init__(self, seed: int, slip: float = 0.35) -> None:
        rng = np.random.default_rng(seed)
        self.worth = rng.standard_normal((ARMS, INPUTS + 1))
        self.believed = self.worth + slip * rng.standard_normal((ARMS, INPUTS + 1))
        self.rng = np.random.default_rng(seed + 1000)

    def heuristic(self, context: dict[str, float]) -> int:
        x = np.array([1.0, *(context[f"x{i}"] for i in range(INPUTS))])
        return int((self.believed @ x).argmax())

    def choice(self, learner: Any = None, **changes: Any) -> acumen.Choice:
        arguments: dict[str, Any] = {
            "arms": list(range(ARMS)),
            "context": {f"x{i}": float for i in range(INPUTS)},
            "default": self.heuristic,
            "metric": acumen.maximize("reward"),
            "learner": learner,
            "mode": "shadow",
            "seed": 1,
        }
        return acumen.Choice("school", **(arguments | changes))

    def live(self, choice: acumen.Choice, decisions: int) -> tuple[Any, Any]:
        """Regrets of what was served, and of what the heuristic would have been."""
        mine, theirs = [], []
        for _ in range(decisions // 20):
            x = self.rng.standard_normal((20, INPUTS))
            with_bias = np.c_[np.ones(20), x]
            made = choice.choose_many(x)
            means = with_bias @ self.worth.T
            rows, best = np.arange(20), means.max(1)
            reward = means[rows, made.indices] + NOISE * self.rng.standard_normal(20)
            choice.feedback_many(made.ids, reward=reward)
            mine.append(best - means[rows, made.indices])
            theirs.append(best - means[rows, (with_bias @ self.believed.T).argmax(1)])
        return np.concatenate(mine), np.concatenate(theirs)


SPEC = Apprentice(agreement=0.8)


def test_no_cold_start_and_better_than_its_teacher_in_the_end() -> None:
    """With a log of 3,000 decisions; bounds of three standard errors over eight worlds.

    The first 500 decisions cost less than half of a cold start's, and at most 0.1 more than the
    heuristic's, a twentieth of what the arms' rewards vary by. In the end they cost less than two
    thirds of what the heuristic's do.
    """
    cold_gaps, loss_gaps, late_gaps, done = [], [], [], 0
    for seed in range(8):
        school = School(seed)
        choice = school.choice(SPEC)
        school.live(choice, 3000)
        assert choice.learner.share == SPEC.trial
        choice.set_mode("on")
        early, teacher = school.live(choice, 500)
        school.live(choice, 40_000)
        late, late_teacher = school.live(choice, 2000)
        done += choice.learner.share == 1.0
        cold, _ = School(seed).live(School(seed).choice(BinnedAdditive(), mode="on"), 500)
        cold_gaps.append(early.mean() - cold.mean() / 2)
        loss_gaps.append(early.mean() - teacher.mean() - 0.1)
        late_gaps.append(late.mean() - late_teacher.mean() * 2 / 3)
    assert upper_bound(np.array(cold_gaps)) < 0
    assert upper_bound(np.array(loss_gaps)) < 0
    assert upper_bound(np.array(late_gaps)) < 0
    assert done >= 5  # the others are on the way


def test_with_a_perfect_teacher_it_stays_an_apprentice() -> None:
    """What cannot be bettered is not handed over: at most the trial is lost to trying."""
    gaps = []
    for seed in range(6):
        school = School(seed, slip=0.0)
        choice = school.choice(SPEC)
        school.live(choice, 3000)
        choice.set_mode("on")
        mine, _ = school.live(choice, 6000)
        assert choice.learner.share <= 2 * SPEC.trial
        gaps.append(mine.mean())
    assert upper_bound(np.array(gaps)) < 0.25


def test_a_teacher_that_cannot_be_imitated_is_not_left() -> None:
    """One that takes arms at random: the proof never comes, and nothing is handed over."""
    school = School(0)
    rng = np.random.default_rng(0)
    choice = school.choice(SPEC, default=lambda context: int(rng.integers(ARMS)))
    school.live(choice, 4000)
    assert choice.learner.agreement < 0.3
    assert choice.learner.share == 0.0


def test_agreement_is_measured_on_what_was_not_learned_from() -> None:
    """It equals what the imitation does on fresh contexts, within three standard errors."""
    school = School(3)
    choice = school.choice(SPEC)
    school.live(choice, 128 * (1 + 2 + 4 + 8))  # the fourth block ends here
    told = choice.learner.agreement
    rows = school.rng.standard_normal((4000, INPUTS))
    chosen = choice.distributions(rows).argmax(1)
    truth = (np.c_[np.ones(4000), rows] @ school.believed.T).argmax(1)
    fresh = (chosen == truth).mean()
    assert abs(told - fresh) < 3 * np.sqrt(fresh * (1 - fresh) * (1 / 1024 + 1 / 4000)) + 0.02
    # 0.02: in the course of the block it became better.


def test_propensities_are_true() -> None:
    school = School(1)
    choice = school.choice(SPEC, holdback=0.1)
    school.live(choice, 3000)
    choice.set_mode("on")
    row = np.full((20_000, INPUTS), 0.3)
    made = choice.choose_many(row)
    assert len(set(made.indices.tolist())) > 1
    for arm in set(made.indices.tolist()):
        p = float(made.propensities[made.indices == arm][0])
        count = np.count_nonzero(made.indices == arm)
        assert abs(count - 20_000 * p) <= 4 * np.sqrt(20_000 * p * (1 - p)) + 1


def test_without_a_log_it_is_the_inner_learner() -> None:
    """Also where it hears the holdback's demonstrations: they are too few to begin with."""
    ours, theirs = School(2), School(2)
    one, two = ours.choice(SPEC, mode="on"), theirs.choice(BinnedAdditive(), mode="on")
    np.testing.assert_array_equal(ours.live(one, 2000)[0], theirs.live(two, 2000)[0])
    assert not one.learner.imitates
    assert one.learner.share == 1.0
    assert one.counters()["holdback"] > 10


def test_saved_it_goes_on_where_it_was(tmp_path: Path) -> None:
    school = School(4)
    choice = school.choice(SPEC)
    school.live(choice, 3000)
    choice.set_mode("on")
    school.live(choice, 4000)
    choice.save(tmp_path / "model")
    again = school.choice(SPEC, mode="on")
    again.load(tmp_path / "model")
    assert again.learner.share == choice.learner.share
    assert again.learner.demonstrations == choice.learner.demonstrations
    assert again.learner.agreement == choice.learner.agreement
    rows = school.rng.standard_normal((50, INPUTS))
    np.testing.assert_array_equal(again.distributions(rows), choice.distributions(rows))
    state = choice.learner.state()
    for name, place, value in (
        ("apprentice.counts", 0, 3),
        ("apprentice.counts", 4, 0),
        ("apprentice.sums", 3, 1.5),
        ("apprentice.sums", 3, -0.1),
        ("apprentice.sums", 5, -1.0),
        ("apprentice.sums", 1, 1e9),
        ("multinomial.lines", 0, 1e9),
        ("multinomial.line_sums", 0, -1.0),
    ):
        broken = {n: a.copy() for n, a in state.items()}
        broken[name][place] = value
        with pytest.raises(ValueError):
            again.learner.restore(broken)
    np.testing.assert_array_equal(again.distributions(rows), choice.distributions(rows))


def test_replay_gives_the_same_bits(tmp_path: Path) -> None:
    school = School(5)
    choice = school.choice(SPEC, journal=tmp_path)
    school.live(choice, 3000)
    choice.set_mode("on")
    school.live(choice, 2000)
    assert choice.journal is not None
    assert choice.journal.flush()
    again = school.choice(SPEC)
    report = again.replay(tmp_path)
    assert report.exact, report
    ours, theirs = choice.learner.state(), again.learner.state()
    assert {n: a.tobytes() for n, a in ours.items()} == {n: a.tobytes() for n, a in theirs.items()}


@pytest.mark.parametrize("mode", ["off", "shadow"])
def test_a_journal_of_the_default_alone_is_a_school(tmp_path: Path, mode: str) -> None:
    school = School(6)
    before = school.choice(BinnedAdditive(), mode=mode, journal=tmp_path)
    school.live(before, 3000)
    assert before.journal is not None
    assert before.journal.flush()
    choice = school.choice(SPEC)
    report = acumen.apprentice(choice, tmp_path)
    assert (report.decisions, report.lessons) == (3000, 3000)
    assert choice.learner.demonstrations > 2900
    assert choice.learner.share == SPEC.trial
    table = acumen.Journal(tmp_path).decisions()
    other = school.choice(SPEC)
    acumen.apprentice(other, table)
    rows = school.rng.standard_normal((50, INPUTS))
    np.testing.assert_array_equal(other.distributions(rows), choice.distributions(rows))
    choice.choose_many(rows)
    with pytest.raises(ValueError, match="before the first decision"):
        acumen.apprentice(choice, tmp_path)
    with pytest.raises(acumen.JournalError, match="no column"):
        acumen.apprentice(school.choice(SPEC), table.drop_columns(["arm"]))
    with pytest.raises(acumen.JournalError):
        acumen.apprentice(school.choice(SPEC), tmp_path / "nothing")


def threads_for(context: dict[str, float]) -> int:
    """A heuristic over a range: more load, more threads."""
    load = context["load"]
    return 1 if load < -0.5 else 4 if load < 0.5 else 16


def pool(**changes: Any) -> acumen.Choice:
    arguments: dict[str, Any] = {
        "arms": acumen.Range(1, 64, log=True, points=7),
        "context": {"load": float},
        "default": threads_for,
        "metric": acumen.maximize("reward"),
        "learner": Apprentice(),
        "mode": "shadow",
        "seed": 1,
    }
    return acumen.Choice("pool", **(arguments | changes))


def work(choice: acumen.Choice, rng: np.random.Generator, decisions: int) -> Any:
    """Decisions; the best number of threads is twice what the heuristic takes."""
    load = rng.standard_normal((decisions, 1))
    made = choice.choose_many(load)
    best = np.array([1 + np.log2(threads_for({"load": x})) for x in load[:, 0]])
    off = np.abs(made.indices - best)
    choice.feedback_many(made.ids, reward=-off + 0.5 * rng.standard_normal(decisions))
    return made.indices - best


def test_a_range_is_imitated_and_bettered(tmp_path: Path) -> None:
    """What else was on offer is known there: the same in every call."""
    choice, rng = pool(journal=tmp_path), np.random.default_rng(1)
    for _ in range(30):
        work(choice, rng, 100)
    assert choice.learner.imitates
    assert choice.learner.agreement > 0.9
    assert choice.learner.share == 0.1
    choice.set_mode("on")
    served = np.concatenate([work(choice, rng, 50) for _ in range(10)])
    assert np.mean(served == -1.0) > 0.8  # what the heuristic does, one step too few
    for _ in range(400):
        work(choice, rng, 100)
    assert choice.learner.share == 1.0
    assert np.abs(work(choice, rng, 1000)).mean() < 0.7
    assert choice.journal is not None
    assert choice.journal.flush()
    again = pool()
    assert again.replay(tmp_path).exact
    ours, theirs = choice.learner.state(), again.learner.state()
    assert {n: a.tobytes() for n, a in ours.items()} == {n: a.tobytes() for n, a in theirs.items()}


def test_candidates_are_not_imitated() -> None:
    choice = pool(arms=acumen.Candidates(features=2), default=0)
    rng = np.random.default_rng(1)
    for _ in range(300):
        made = choice.choose(candidates=rng.standard_normal((3, 2)), load=float(rng.normal()))
        made.feedback(reward=float(rng.normal()))
    assert choice.learner.version == 300
    assert not choice.learner.imitates
    assert choice.learner.share == 1.0


def test_tables_that_do_not_fit() -> None:
    for table in (np.zeros((4, 2)), np.zeros((3, 3)), np.full((4, 3), np.nan), np.zeros((4, 0))):
        with pytest.raises((ValueError, TypeError)):
            _native.apprentice(
                BinnedAdditive().build(3, 4, 3),
                agreement=0.9,
                trial=0.1,
                error=0.05,
                table=table.astype(np.float32),
            )


def test_hostile_lessons_and_settings() -> None:
    for bad in ({"agreement": 1.0}, {"agreement": 0.0}, {"trial": 0.0}, {"trial": 1.5}):
        with pytest.raises(ValueError, match="between"):
            Apprentice(**bad)
    with pytest.raises(ValueError, match="between"):
        Apprentice(error=float("nan"))
    with pytest.raises(TypeError, match="description"):
        Apprentice("BinnedAdditive")  # type: ignore[arg-type]
    for inner in (VowpalWabbit(), ActorCritic()):
        with pytest.raises(TypeError, match="native learner of single choices"):
            Apprentice(inner).build(3, 2, 0)
    learner = Apprentice(SoftmaxGradient()).build(3, 4, 0)
    rng = np.random.default_rng(0)
    rewards = [1e18, -1e18, 1e-40, 0.0]
    for i in range(3000):
        x = rng.standard_normal(3).astype(np.float32) * np.float32([1, 1e3, 1e-38][i % 3])
        x[0] = 1.0
        logged = i < 1500
        p = 1.0 if logged else 1e-6
        assert learner.learn(x, int(x[1] > 0), p, rewards[i % 4], demonstrated=logged)
        assert np.isfinite(learner.distribution(x)).all()
    assert learner.imitates
    before = learner.state()
    for bad_x in (np.nan, np.inf):
        assert not learner.learn(np.array([1, bad_x, 0], np.float32), 0, 1.0, 1.0, None, True)
    assert not learner.learn(np.ones(3, np.float32), 9, 1.0, 1.0, None, True)
    assert all(np.array_equal(a, learner.state()[n]) for n, a in before.items())
