"""What single learners promise beyond the contract."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import acumen.learners
from acumen import _native
from acumen.learners import BinnedAdditive, EpsilonGreedy, LinUCB, SoftmaxGradient, SquareCB
from acumen.testing import discover_learners, discover_sequence_learners
from acumen.testing.learners import answers, teach, upper_bound
from acumen.testing.worlds import bent_world


def bias() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ones(1, np.float32)


EVERYONE = [*discover_learners(acumen.learners), *discover_sequence_learners(acumen.learners)]


@pytest.mark.parametrize("spec", EVERYONE)
def test_every_parameter_is_checked(spec: Any) -> None:
    for field in dataclasses.fields(spec):
        if not isinstance(getattr(spec(), field.name), int | float):
            continue  # a learner within a learner checks its own
        for bad in (-1.0, float("nan")):
            with pytest.raises(ValueError, match=f"{field.name} must be between"):
                spec(**{field.name: bad})


@pytest.mark.parametrize("spec", EVERYONE)
def test_descriptions_are_values(spec: Any) -> None:
    assert spec() == spec()
    assert hash(spec()) == hash(spec())
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec().half_life = 3.0


@pytest.mark.parametrize("spec", EVERYONE)
def test_states_are_whole_and_memory_is_constant(spec: Any) -> None:
    """Memory is told and constant; a fresh learner prefers nothing; states are bit-identical."""
    one, two = (spec().build(5, 4, 0) for _ in range(2))
    memory = one.memory_bytes
    assert memory > 0
    np.testing.assert_allclose(answers(one, (5, 4, 0)), 0.25, atol=1e-3)
    teach(one, (5, 4, 0), count=300, seed=3)
    two.restore(one.state())
    for learner in (one, two):
        teach(learner, (5, 4, 0), count=100, seed=4)
    assert one.memory_bytes == memory
    ours, theirs = one.state(), two.state()
    assert {k: v.tobytes() for k, v in ours.items()} == {k: v.tobytes() for k, v in theirs.items()}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((0, 3, 0), "dimension must be"),
        ((5000, 3, 0), "dimension must be"),
        ((3, 0, 0), "arms must be"),
        ((3, 100_000, 0), "arms must be"),
        ((3, 2, 5000), "features must be"),
        ((4000, 60_000, 0), "more than 2 GiB"),
    ],
)
def test_impossible_shapes_are_refused(shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SquareCB().build(*shape)


def test_native_parameters_are_checked_again() -> None:
    with pytest.raises(ValueError, match="ridge"):
        _native.lin_ucb(2, 2, 0, ridge=0.0, half_life=0.0, alpha=1.0, exploration=0.0)


def test_wrong_arrays_raise() -> None:
    learner, featured = SquareCB().build(3, 2, 0), SquareCB().build(3, 2, 2)
    x = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="dimension"):
        learner.distribution(x[:2])
    with pytest.raises(ValueError, match="finite"):
        learner.distribution(np.array([1.0, np.nan, 0.0], np.float32))
    with pytest.raises(ValueError, match="no features"):
        learner.distribution(x, np.ones((2, 2), np.float32))
    with pytest.raises(ValueError, match="need features"):
        featured.distribution(x)
    with pytest.raises(ValueError, match="columns"):
        featured.distribution(x, np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match="rows"):
        featured.distribution(x, np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match="merged with itself"):
        learner.merge(learner)


def test_epsilon_falls_with_experience() -> None:
    learner = EpsilonGreedy(epsilon=0.2, decay=1.0).build(1, 2, 0)
    for _ in range(100):
        learner.learn(bias(), 0, 0.5, 1.0)
        learner.learn(bias(), 1, 0.5, 0.0)
    np.testing.assert_allclose(learner.distribution(bias())[1], 0.1 / 101, rtol=1e-3)


def test_lin_ucb_tries_every_arm_first() -> None:
    learner = LinUCB(exploration=0.0).build(1, 4, 0)
    taken = []
    for _ in range(4):
        arm = int(learner.distribution(bias()).argmax())
        learner.learn(bias(), arm, 1.0, 1.0)
        taken.append(arm)
    assert sorted(taken) == [0, 1, 2, 3]


def test_square_cb_weighs_gaps() -> None:
    learner = SquareCB(gamma=4.0, exponent=0.0).build(1, 3, 0)
    for _ in range(2000):
        for arm, reward in enumerate([1.0, 2.0, 4.0]):
            learner.learn(bias(), arm, 0.3, reward)
    deviation = np.std([1.0, 2.0, 4.0])
    worse = 1 / (3 + 4 * np.array([3.0, 2.0]) / deviation)
    np.testing.assert_allclose(learner.distribution(bias()), [*worse, 1 - worse.sum()], rtol=1e-2)


def test_softmax_cuts_importance_off() -> None:
    one, two = (SoftmaxGradient().build(1, 2, 0) for _ in range(2))
    for learner, propensity in ((one, 0.5), (two, 1e-6)):
        learner.learn(bias(), 0, 0.5, 0.0)
        learner.learn(bias(), 1, propensity, 1.0)
    np.testing.assert_allclose(one.distribution(bias()), two.distribution(bias()), atol=0.01)


@pytest.mark.parametrize("linear", [EpsilonGreedy(), LinUCB(), SquareCB()])
def test_binned_additive_beats_lines_where_rewards_bend(linear: Any) -> None:
    gaps = []
    for seed in range(8):
        world = bent_world(seed)
        mine = world.run(BinnedAdditive().build(4, 3, 0), 2000, seed).mean()
        gaps.append(mine - 0.5 * world.run(linear.build(4, 3, 0), 2000, seed).mean())
    assert upper_bound(np.array(gaps)) < 0


def test_bins_follow_the_data() -> None:
    """An input crowded into a thousandth of the usual range still gets its own bins."""
    rng = np.random.default_rng(0)
    learner = BinnedAdditive().build(2, 2, 0)
    for _ in range(3000):
        x = np.array([1.0, 1e-3 * rng.standard_normal()], np.float32)
        near = float(abs(x[1]) < 5e-4)
        learner.learn(x, 0, 0.5, near)
        learner.learn(x, 1, 0.5, 0.5)
    wins = [learner.distribution(np.array([1.0, v], np.float32))[0] for v in (-1e-3, 0.0, 1e-3)]
    assert wins[1] > 0.9
    assert max(wins[0], wins[2]) < 0.1


def test_restore_refuses_another_shape() -> None:
    state = SquareCB().build(3, 2, 0).state()
    with pytest.raises(ValueError, match="sums"):
        SquareCB().build(3, 4, 0).restore(state)
    with pytest.raises(ValueError, match="another type"):
        SquareCB().build(3, 2, 0).restore({**state, "sums": state["sums"].astype(np.float32)})
