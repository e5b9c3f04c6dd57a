"""When there is no number: and what is said instead."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from acumen.evaluation.off_policy import (
    IPS,
    SNIPS,
    DecisionLog,
    DirectMethod,
    DoublyRobust,
    Estimator,
    Limits,
    LogError,
    PolicyError,
    Switch,
    compare,
    estimate,
    estimates,
)

ALL: list[Estimator] = [IPS(), SNIPS(), DoublyRobust(), Switch(), DirectMethod()]


def uniform(n: int, arms: int = 2, seed: int = 0, **more: Any) -> DecisionLog:
    rng = np.random.default_rng(seed)
    arm = rng.integers(arms, size=n)
    return DecisionLog.of(arm, np.full(n, 1 / arms), arm + rng.normal(0, 1, n), arms=arms, **more)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: e.name)
def test_too_little_data(estimator: Estimator) -> None:
    result = estimate(uniform(60), 1, estimator=estimator)
    assert result.value is None
    assert result.low is None
    assert result.standard_error is None
    size = f"{result.effective_sample_size:.0f}"
    assert result.verdict == f"not enough data: effective sample size {size} of the 100 needed"
    assert json.loads(json.dumps(result.as_dict()))["value"] is None
    limits = Limits(effective_sample_size=10, spread_size=10)
    enough = estimate(uniform(60), 1, estimator=estimator, limits=limits)
    assert enough.value is not None


def test_no_rewards_at_all() -> None:
    log = DecisionLog.of([0, 1], [0.5, 0.5], [np.nan, np.nan])
    for e in estimates(log, 0, ALL):
        assert e.verdict == "not enough data: no rewards"
        assert e.missing == 2
    assert compare(log, 0, 1).verdict == "refused"
    empty = DecisionLog.of(np.zeros(0, int), [], [], arms=2)
    assert estimate(empty, 0).value is None


def test_decisions_that_were_certain_support_no_other_arm() -> None:
    log = DecisionLog.of(np.zeros(1000, int), np.ones(1000), np.arange(1000.0), arms=2)
    assert estimate(log, 1).verdict.startswith("no support: 100.0% of the policy's decisions")
    assert estimate(log, "uniform").verdict.startswith("no support: 50.0%")
    assert estimate(log, 0, estimator=IPS()).value == pytest.approx(499.5)


def test_a_few_certain_decisions_are_told() -> None:
    log = uniform(4000)
    propensity = log.propensity.copy()
    propensity[:20] = 1.0
    mostly = DecisionLog.of(log.arm, propensity, log.reward)
    result = estimate(mostly, "uniform")
    assert result.value is not None
    assert result.unsupported == pytest.approx(0.005)
    assert "in 0.5% of them the policy wants arms that the log lacks" in result.verdict


def test_known_logging_policies_tell_exactly_what_they_lack() -> None:
    rng = np.random.default_rng(1)
    logging = np.tile([0.5, 0.5, 0.0], (2000, 1))
    arm = rng.integers(2, size=2000)
    log = DecisionLog.of(arm, np.full(2000, 0.5), rng.normal(size=2000), arms=3, logging=logging)
    assert estimate(log, "uniform").verdict.startswith("no support: 33.3%")
    assert estimate(log, 0).value is not None


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_wrong_propensities_are_noticed(factor: float) -> None:
    log = uniform(5000)
    wrong = DecisionLog.of(log.arm, log.propensity * factor, log.reward)
    result = estimate(wrong, 1)
    assert result.value is None
    assert "instead of 1: propensities are wrong" in result.verdict


def test_arms_that_a_log_of_taken_arms_never_had_are_noticed() -> None:
    rng = np.random.default_rng(2)
    arm = rng.integers(2, size=5000)
    log = DecisionLog.of(arm, np.full(5000, 0.5), rng.normal(size=5000), arms=3)
    assert "the log could not take arms that the policy wants" in estimate(log, "uniform").verdict


def test_rewards_that_never_vary_say_nothing_of_what_never_came() -> None:
    log = DecisionLog.of(uniform(1000).arm, np.full(1000, 0.5), np.zeros(1000))
    assert "the rewards do not vary" in estimate(log, 1).verdict
    reward = np.zeros(1000)
    reward[np.flatnonzero(log.arm == 1)[0]] = 1.0
    few = DecisionLog.of(log.arm, log.propensity, reward)
    assert "1.0 records of the 2 needed" in estimate(few, 1, estimator=IPS()).verdict


def test_heavy_weights_that_few_records_carry() -> None:
    rng = np.random.default_rng(3)
    arm = (rng.random(20_000) < 0.0002).astype(int)
    log = DecisionLog.of(arm, np.where(arm == 1, 0.0002, 0.9998), rng.normal(size=20_000))
    policy = np.tile([0.96, 0.04], (20_000, 1))
    result = estimate(log, policy, estimator=IPS())
    assert result.effective_sample_size > 100
    assert "the weights rest on" in result.verdict


def test_missing_rewards_are_counted_and_their_bias_is_told() -> None:
    log = uniform(4000)
    reward = log.reward.copy()
    reward[::4] = np.nan
    plain = estimate(DecisionLog.of(log.arm, log.propensity, reward), 1)
    assert plain.missing == 1000
    assert plain.records == 3000
    assert abs(plain.missing_z) < 4
    assert "caution" not in plain.verdict
    reward = log.reward.copy()
    reward[(log.arm == 1) & (np.arange(4000) % 2 == 0)] = np.nan
    log = DecisionLog.of(log.arm, log.propensity, reward)
    assert estimate(log, np.full(4000, 0.5), estimator=IPS()).missing_z == 0
    far = np.where(log.arm == 1, 0.6, 0.4)
    biased = estimate(log, far, estimator=IPS())
    assert biased.missing_z > 3
    assert "rewards are missing more often where the policy would go" in biased.verdict


def test_the_pairing_makes_differences_sure() -> None:
    rng = np.random.default_rng(4)
    log = uniform(5000, context=rng.normal(size=(5000, 1)))
    a = np.tile([0.5, 0.5], (5000, 1))
    b = a.copy()
    b[:500] = [0.4, 0.6]
    result = compare(log, b, a, estimator=SNIPS())
    assert result.verdict == "better"
    assert str(result).startswith("better: +0.0")
    assert result.standard_error is not None
    assert result.candidate.standard_error is not None
    assert result.standard_error < 0.2 * result.candidate.standard_error
    assert compare(log, a, b, estimator=SNIPS()).verdict == "worse"
    assert compare(log, 1, 0).verdict == "better"
    assert compare(log, 0).verdict == "worse"  # than the one that wrote the log
    same = compare(log, a, a)
    assert (same.value, same.verdict) == (None, "refused")
    assert compare(log, 1, 0, estimator=DirectMethod()).refusal == "direct knows no interval"
    json.dumps(result.as_dict())


def test_a_difference_to_what_cannot_be_told_cannot_be_told() -> None:
    log = DecisionLog.of(np.zeros(1000, int), np.ones(1000), np.arange(1000.0), arms=2)
    result = compare(log, 0, 1)
    assert result.verdict == "refused"
    assert result.refusal.startswith("baseline: no support")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"propensity": [0.5, 0.0]}, "row 1: 0.0 is no probability"),
        ({"propensity": [0.5, 1.1]}, "row 1: 1.1 is no probability"),
        ({"propensity": [np.nan, 0.5]}, "row 0: nan is no probability"),
        ({"reward": [1.0, np.inf]}, "row 1: inf is no reward"),
        ({"reward": [1.0]}, "of one length"),
        ({"arm": [0, -1]}, "row 1: -1 is no index of 1 arms"),
        ({"arm": [0.0, 1.0]}, "arms are indices, not float64"),
        ({"context": [1.0, 2.0]}, "1 dimensions"),
        ({"context": np.zeros((3, 1))}, r"shape \(3, 1\), not \(2, 1\)"),
        ({"logging": np.zeros((2, 3))}, r"logging has shape \(2, 3\)"),
        ({"context": np.zeros((2, 300))}, "at most 256 fields"),
        ({"ids": [7, 7]}, "two different decisions have the id 7"),
    ],
)
def test_impossible_logs(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"arm": [0, 1], "propensity": [0.5, 0.5], "reward": [1.0, 2.0]}
    with pytest.raises(LogError, match=message):
        DecisionLog.of(**{**good, **change})


def test_the_rounding_of_float32_is_no_error() -> None:
    log = DecisionLog.of([0, 0], np.float32([1.0000001, 1.0]), [1.0, 2.0])
    assert log.propensity.tolist() == [1.0, 1.0]


def test_duplicates_count_once_and_the_one_with_a_reward() -> None:
    log = DecisionLog.of([0, 1, 0, 0], [0.5] * 4, [np.nan, 1.0, 3.0, 4.0], ids=[9, 8, 9, 9])
    assert log.reward.tolist() == [1.0, 3.0]
    assert log.duplicates == 2
    assert estimate(log, 0).duplicates == 2


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("logd", "there are 'logged', 'default' and 'uniform'"),
        ("default", "does not tell what the default"),
        (2, "took arm 2; the log has 2 arms"),
        (np.ones((3, 2)), r"shape \(3, 2\), the log 4 rows and 2 arms"),
        (np.ones((4, 2)), "row 0: the policy's probabilities are no distribution"),
        (np.full((4, 2), np.nan), "no distribution"),
        (np.full(4, 1.5), "between 0 and 1"),
        (lambda context: "left", "row 0: the policy answered 'left'"),
        (lambda context: 5, "row 0: the policy took arm 5 of 2"),
        (lambda context: [0.5, 0.6], "no distribution"),
    ],
)
def test_impossible_policies(policy: Any, message: str) -> None:
    log = DecisionLog.of([0, 1, 0, 1], [0.5] * 4, [1.0] * 4)
    with pytest.raises(PolicyError, match=message):
        estimate(log, policy)


def test_taken_probabilities_are_enough_for_weights_alone() -> None:
    log = uniform(2000)
    taken = np.where(log.arm == 1, 0.7, 0.3)
    whole = np.tile([0.3, 0.7], (2000, 1))
    for e in (IPS(), SNIPS()):
        assert estimate(log, taken, estimator=e).value == estimate(log, whole, estimator=e).value
    with pytest.raises(PolicyError, match="probabilities of all arms"):
        estimate(log, taken, estimator=DoublyRobust())


@pytest.mark.parametrize("confidence", [0.0, 1.0, float("nan")])
def test_impossible_confidences(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        estimate(uniform(10), 0, confidence=confidence)
