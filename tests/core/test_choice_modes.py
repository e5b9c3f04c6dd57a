"""Modes, shares, the kill switch, propensities, and the comparison with the default."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

import acumen
from acumen import learners

Make = Callable[..., acumen.Choice]


def close(count: int, n: int, p: float) -> bool:
    """Whether `count` of `n` is within four standard deviations of the expected share."""
    return abs(count - n * p) <= 4 * np.sqrt(max(n * p * (1 - p), 1e-9))


def test_shares_of_every_mode(make_choice: Make) -> None:
    n = 20_000
    row = np.ones((n, 1))
    expected = {
        "off": {"off": 1.0},
        "shadow": {"shadow": 1.0},
        "canary": {"learned": 0.3 * 0.9, "control": 1 - 0.3 * 0.9},
        "on": {"learned": 0.9, "holdback": 0.1},
    }
    for mode, shares in expected.items():
        choice = make_choice(mode=mode, canary=0.3, holdback=0.1)
        choice.choose_many(row)
        counters = choice.counters()
        for reason, share in shares.items():
            assert close(counters[reason], n, share), (mode, reason, counters[reason])
        assert sum(counters[reason] for reason in shares) == n


def test_switching(make_choice: Make) -> None:
    choice = make_choice(mode="off", holdback=0.0)
    assert choice.mode == "off"
    for mode in ("shadow", "canary", "on", "off"):
        choice.set_mode(mode)
        assert choice.mode == mode
    choice.set_mode("canary", canary=1.0)
    assert choice.choose(size=1.0).reason == "learned"
    choice.set_mode("canary", canary=0.0)
    assert choice.choose(size=1.0).reason == "control"
    for wrong in ("maybe", "ON"):
        with pytest.raises(ValueError, match="mode"):
            choice.set_mode(wrong)
    with pytest.raises(ValueError, match="canary"):
        choice.set_mode("canary", canary=2.0)


def test_the_kill_switch_outlives_modes(make_choice: Make) -> None:
    choice = make_choice(holdback=0.0)
    choice.kill()
    assert choice.mode == "killed"
    choice.set_mode("on")
    decision = choice.choose(size=1.0)
    assert (decision.reason, decision.arm, decision.propensity) == ("killed", "b", 1.0)
    assert decision.feedback(1.0)
    assert choice.model_version == 0
    choice.revive()
    assert choice.choose(size=1.0).reason == "learned"


def test_shadow_learns_from_the_default(make_choice: Make) -> None:
    choice = make_choice(mode="shadow")
    for _ in range(50):
        decision = choice.choose(size=1.0)
        assert (decision.arm, decision.propensity) == ("b", 1.0)
        assert decision.suggested in (0, 1, 2)
        decision.feedback(1.0)
    assert choice.model_version == 50
    assert make_choice(mode="off").choose(size=1.0).suggested is None


SPECS = [
    learners.EpsilonGreedy(epsilon=0.4),
    learners.LinUCB(exploration=0.3),
    learners.LinearThompson(),
    learners.SquareCB(),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("mode", ["on", "canary"])
def test_propensity_is_frequency(make_choice: Make, spec: object, mode: str) -> None:
    choice = make_choice(learner=spec, holdback=0.2, mode=mode, canary=0.6)
    for i in range(600):  # beyond the last calibration
        decision = choice.choose(size=1.0 + i % 3)
        decision.feedback(float(decision.index) * 0.1)
    n = 20_000
    decisions = choice.choose_many(np.full((n, 1), 2.0))  # no feedback: the model stands still
    stated: dict[int, float] = {}
    for index, propensity in zip(decisions.indices, decisions.propensities, strict=True):
        assert stated.setdefault(int(index), float(propensity)) == pytest.approx(propensity)
    counts = Counter(decisions.indices.tolist())
    for index, propensity in stated.items():
        assert close(counts[index], n, propensity), (index, counts[index] / n, propensity)
    assert sum(stated.values()) <= 1 + 1e-5


def test_same_seed_same_choices(make_choice: Make) -> None:
    def play(seed: int) -> list[tuple[int, float]]:
        choice = make_choice(seed=seed)
        rng = np.random.default_rng(0)
        taken = []
        for _ in range(700):  # beyond the last calibration
            decision = choice.choose(size=rng.lognormal())
            taken.append((decision.index, decision.propensity))
            decision.feedback(decision.index + rng.normal())
        return taken

    assert play(1) == play(1)
    assert play(1) != play(2)


def play_world(choice: acumen.Choice, n: int, gain: float, seed: int) -> acumen.Comparison:
    rng = np.random.default_rng(seed)
    for _ in range(n):
        decision = choice.choose(size=rng.normal())
        decision.feedback(gain * decision.index + rng.normal())
    return choice.comparison()


def test_comparison_finds_what_is_better_and_what_is_worse(make_choice: Make) -> None:
    better = play_world(make_choice(default="a", holdback=0.2), 4000, 1.0, 0)
    assert better.verdict == "better"
    assert better.low <= better.difference <= better.high
    assert "learned is better" in str(better)
    assert better.learned_decisions + better.default_decisions == 4000
    # The default is the best there is, and the learner hardly ever uses it.
    stubborn = learners.EpsilonGreedy(epsilon=1.0)
    worse = play_world(make_choice(default="c", learner=stubborn, holdback=0.2), 4000, 1.0, 0)
    assert worse.verdict == "worse"
    assert worse.difference == pytest.approx(-1.0, abs=0.3)


def test_comparison_stays_undecided_between_equals(make_choice: Make) -> None:
    verdicts = Counter()
    for seed in range(20):
        choice = make_choice(holdback=0.3, seed=seed)
        looks = [play_world(choice, 200, 0.0, 100 * seed + i).verdict for i in range(5)]
        verdicts.update(["undecided" if set(looks) == {"undecided"} else "decided"])
    # Five looks at each of twenty pairs of equals; at 95 % one false alarm is to be expected.
    assert verdicts["decided"] <= 3


def test_missing_feedback_is_no_victory(make_choice: Make) -> None:
    """The learned arm's worst outcomes never report; what does is better than the default."""
    rng = np.random.default_rng(0)
    for lost, verdict in ((0.0, "better"), (0.3, "undecided")):
        choice = make_choice(holdback=0.2, pending_max=128)
        for _ in range(4000):
            decision = choice.choose(size=1.0)
            learned = decision.reason == "learned"
            if not (learned and rng.random() < lost):
                decision.feedback(rng.normal(1.0 if learned else 0.9, 0.05))
        comparison = choice.comparison()
        assert comparison.low > 0  # of those that came
        assert comparison.verdict == verdict
        assert (comparison.loss_z > 3) == (lost > 0)
        assert (comparison.learned_lost > 500) == (lost > 0)
        assert comparison.default_lost == 0
        assert f"{comparison.learned_lost} and 0 lost" in str(comparison)


def test_one_number_does_not_end_the_comparison(make_choice: Make) -> None:
    choice = make_choice(default="a", holdback=0.2)
    play_world(choice, 1000, 1.0, 0)
    before = choice.comparison()
    assert not choice.choose(size=1.0).feedback(1e200)
    assert choice.comparison() == before
    assert before.verdict == "better"


def test_comparison_before_there_is_anything(make_choice: Make) -> None:
    comparison = make_choice().comparison(0.9)
    assert (comparison.low, comparison.high) == (-np.inf, np.inf)
    assert comparison.verdict == "undecided"
    for confidence in (0.0, 1.0, 2.0):
        with pytest.raises(ValueError, match="confidence"):
            make_choice().comparison(confidence)
