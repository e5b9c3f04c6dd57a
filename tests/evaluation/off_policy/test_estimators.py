"""Estimators against arithmetic by hand, against all possible logs, and against each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from acumen import learners
from acumen.evaluation.off_policy import (
    IPS,
    SNIPS,
    DecisionLog,
    DirectMethod,
    DoublyRobust,
    Estimator,
    LogError,
    Modelling,
    Switch,
    estimates,
)
from acumen.evaluation.off_policy.estimator import Case
from acumen.evaluation.off_policy.policies import resolve
from acumen.evaluation.off_policy.reward_model import expected_rewards
from acumen.evaluation.off_policy.switch import thresholds
from acumen.testing.logged_worlds import LoggedWorld, mixed, softmax

Floats = NDArray[np.float64]
ALL: list[Estimator] = [IPS(), SNIPS(), DoublyRobust(), Switch(), DirectMethod()]


def case(log: DecisionLog, policy: Floats, predictions: Floats | None = None) -> Case:
    return Case(log, resolve(policy, log), predictions=predictions)


@pytest.fixture
def small() -> DecisionLog:
    return DecisionLog.of([0, 1, 1], [0.5, 0.25, 0.8], [2.0, 4.0, -1.0])


def test_by_hand(small: DecisionLog) -> None:
    policy = np.array([[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]])
    predictions = np.array([[1.0, 3.0], [2.0, 5.0], [0.0, -2.0]])
    w = np.array([2.0, 2.0, 1.0])
    c = case(small, policy, predictions)
    assert IPS().scores(c).value == pytest.approx((2 * 2 + 2 * 4 - 1) / 3)
    assert SNIPS().scores(c).value == pytest.approx((2 * 2 + 2 * 4 - 1) / 5)
    direct = np.array([1.0, 3.5, -1.6])
    assert DirectMethod().scores(c).value == pytest.approx(direct.mean())
    errors = np.array([2.0 - 1.0, 4.0 - 5.0, -1.0 + 2.0])
    assert DoublyRobust().scores(c).value == pytest.approx((direct + w * errors).mean())
    kept = np.where(w <= 1.5, w, 0.0)
    assert Switch(threshold=1.5).scores(c).value == pytest.approx((direct + kept * errors).mean())


def test_the_jackknife_of_snips_leaves_each_record_out(small: DecisionLog) -> None:
    policy = np.array([[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]])
    w, r = np.array([2.0, 2.0, 1.0]), small.reward
    scores = SNIPS().scores(case(small, policy))
    for i in range(3):
        rest = np.arange(3) != i
        without = (w[rest] * r[rest]).sum() / w[rest].sum()
        assert scores.influence[i] == pytest.approx(2 * (scores.value - without))


@pytest.mark.parametrize("estimator", [IPS(), DoublyRobust(), Switch()], ids=lambda e: e.name)
def test_unbiased_over_all_possible_logs(estimator: Estimator) -> None:
    """Every log that can come of three contexts, weighed with its probability: the exact value."""
    rng = np.random.default_rng(3)
    logging, policy = rng.dirichlet(np.ones(3), 3), rng.dirichlet(np.ones(3), 3)
    mean, predictions = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    expected = total = 0.0
    for arms in itertools.product(range(3), repeat=3):
        taken = np.array(arms)
        p, r = logging[range(3), taken], mean[range(3), taken]
        log = DecisionLog.of(taken, p, r, arms=3)
        total += p.prod()
        expected += p.prod() * estimator.scores(case(log, policy, predictions)).value
    assert total == pytest.approx(1.0)
    assert expected == pytest.approx((policy * mean).sum(1).mean(), abs=1e-12)


def world(seed: int = 0, arms: int = 4, share: float = 0.3) -> LoggedWorld:
    rng = np.random.default_rng(seed)
    context = rng.standard_normal((800, 3))
    mean = context @ rng.standard_normal((3, arms)) + 5.0
    return LoggedWorld(
        context,
        mean,
        softmax(mean, 2.0),
        mixed(softmax(-mean), share),
        noise=lambda rng, mean: mean + rng.normal(0, 0.5, len(mean)),
    )


def test_a_constant_added_to_all_rewards_moves_all_but_ips_by_that() -> None:
    log, policy = world().draw(3000, 1)
    shifted = DecisionLog.of(
        log.arm, log.propensity, log.reward + 100, context=log.context, logging=log.logging
    )
    before, after = estimates(log, policy, ALL), estimates(shifted, policy, ALL)
    for a, b in zip(before, after, strict=True):
        assert a.value is not None
        assert b.value is not None
        assert a.standard_error is not None
        assert b.standard_error is not None
        if a.estimator == "ips":
            assert b.standard_error > 5 * a.standard_error
        else:
            assert b.value == pytest.approx(a.value + 100, abs=2e-3)
            assert b.standard_error == pytest.approx(a.standard_error, rel=1e-2)


def test_a_good_model_makes_doubly_robust_the_surer_one() -> None:
    made = world()
    log, policy = made.draw(4000, 2)
    ips, snips, dr, switch, direct = estimates(log, policy, ALL)
    for e in (ips, snips, dr, switch):
        assert e.low is not None
        assert e.high is not None
        assert e.low <= made.truth <= e.high
    assert dr.standard_error is not None
    assert ips.standard_error is not None
    assert snips.standard_error is not None
    assert dr.standard_error < 0.6 * snips.standard_error < 0.6 * ips.standard_error
    assert direct.low is None
    assert "reference" in direct.verdict


@pytest.mark.parametrize("make", [np.zeros_like, np.ones_like, lambda p: 50 - 3 * p])
def test_a_wrong_model_costs_doubly_robust_no_bias(make: Callable[[Floats], Floats]) -> None:
    made = world(share=0.6)
    values = []
    for seed in range(200):
        log, policy = made.draw(500, seed)
        mean = expected_rewards(log)
        values.append(DoublyRobust().scores(case(log, policy, make(mean))).value)
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values) - made.truth) < 4 * error


def test_switch_without_the_logging_policy_is_doubly_robust() -> None:
    log, policy = world().draw(2000, 3, logging=False)
    dr, switch = estimates(log, policy, [DoublyRobust(), Switch()])
    assert (switch.value, switch.low, switch.high) == (dr.value, dr.low, dr.high)


def test_the_rule_would_not_switch_by_taken_arms_alone() -> None:
    """What `switch` says of its own rule, checked: no threshold beats infinity there."""
    log, policy = world(share=0.05).draw(2000, 4, logging=False)
    c = case(log, policy)
    best = None
    for threshold in (*thresholds(c.weights.values), np.inf):
        scores = Switch(threshold=float(threshold)).scores(c)
        risk = scores.influence.var() / len(log) + scores.bias_max**2
        if best is None or risk < best[0]:
            best = risk, threshold
    assert best is not None
    assert best[1] == np.inf or best[1] >= c.weights.largest


def test_switch_gives_hopeless_weights_up_and_is_nearer_the_truth() -> None:
    rng = np.random.default_rng(5)
    context = rng.standard_normal((500, 2))
    mean = np.column_stack([context[:, 0], context[:, 1], 0.1 * context[:, 0]])
    # The third arm is taken once in a million decisions, and wanted in one of a hundred.
    logging = np.tile([0.5, 0.5 - 1e-6, 1e-6], (500, 1))
    candidate = np.tile([0.5, 0.49, 0.01], (500, 1))
    made = LoggedWorld(
        context, mean, candidate, logging, noise=lambda g, m: m + g.normal(0, 2, len(m))
    )
    errors: dict[str, list[float]] = {"dr": [], "switch": []}
    switched = 0
    for seed in range(40):
        log, policy = made.draw(300, seed)
        if seed % 4 == 0:  # as if once in a thousand logs it had come
            arm = log.arm.copy()
            arm[0] = 2
            propensity = log.propensity.copy()
            propensity[0] = 1e-6
            log = DecisionLog.of(
                arm, propensity, log.reward, context=log.context, logging=log.logging
            )
        c = case(log, policy)
        for e in (DoublyRobust(), Switch()):
            errors[e.name].append(e.scores(c).value - made.truth)
        switched += Switch().scores(c).bias_max > 0
    assert switched >= 10
    assert np.square(errors["switch"]).mean() < 0.05 * np.square(errors["dr"]).mean()


def test_a_model_sees_no_reward_that_it_predicts() -> None:
    log, _ = world().draw(300, 6)
    reward = log.reward.copy()
    reward[100] += 1000.0
    other = DecisionLog.of(log.arm, log.propensity, reward, context=log.context)
    before, after = expected_rewards(log), expected_rewards(other)
    assert np.array_equal(before[:101], after[:101])
    assert not np.allclose(before[101:], after[101:])
    before, after = expected_rewards(log, folds=3, seed=1), expected_rewards(other, folds=3, seed=1)
    fold = np.random.default_rng(1).permutation(300) % 3
    same = fold == fold[100]
    assert np.array_equal(before[same], after[same])
    assert not np.allclose(before[~same], after[~same])
    assert np.array_equal(before, expected_rewards(log, folds=3, seed=1))


def test_other_reward_models() -> None:
    log, policy = world().draw(2000, 7)
    for spec in (learners.EpsilonGreedy(), learners.SquareCB(), learners.BinnedAdditive()):
        (e,) = estimates(log, policy, [DoublyRobust()], modelling=Modelling(learner=spec))
        assert e.value == pytest.approx(world().truth, abs=0.5)
    for spec in (learners.SoftmaxGradient(),):
        with pytest.raises(LogError, match="models no rewards"):
            estimates(log, policy, [DoublyRobust()], modelling=Modelling(learner=spec))
    with pytest.raises(ValueError, match="at least 2 folds"):
        estimates(log, policy, [DoublyRobust()], modelling=Modelling(folds=1))


def test_without_a_context_the_model_knows_the_arms() -> None:
    rng = np.random.default_rng(8)
    arm = rng.integers(3, size=3000)
    log = DecisionLog.of(arm, np.full(3000, 1 / 3), arm + rng.normal(0, 0.1, 3000))
    ips, _, dr, _, _ = estimates(log, 2, ALL)
    assert dr.low is not None
    assert dr.high is not None
    assert dr.low <= 2.0 <= dr.high
    assert dr.standard_error is not None
    assert ips.standard_error is not None
    assert dr.standard_error < 0.2 * ips.standard_error
